#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use serde_json::json;

fn outputs(state: &str, reply: &str) -> DeclaredOutputs {
    let description = json!({
        "name": "desk", "version": "1.0.0", "summary": "s",
        "state": {"version": 1, "oldest_readable": 1, "schema": state},
        "endpoint": {"base_path": "", "port": 0},
        "commands": [{"name": "place", "summary": "s", "method": "POST", "path": "/", "kind": "change",
                      "key": "generated", "request": null, "reply": reply, "refusals": []}],
        "subscriptions": [],
        "publications": [{"event_type": "placed", "topic": "t", "schema": r#"{"properties":{"id":{"type":"integer"}}}"#}],
        "timers": [{"name": "due", "schema": r#"{"type":"null"}"#}],
        "listings": [],
    });
    DeclaredOutputs::of(&serde_json::from_value(description).unwrap())
}

#[test]
fn an_error_names_the_place_and_what_was_expected() {
    let state = r#"{"properties":{"status":{"enum":["PENDING","APPROVED"]}}}"#;
    let reply =
        r#"{"type":"object","properties":{"orderId":{"type":"integer"}},"required":["orderId"]}"#;
    let outputs = outputs(state, reply);
    let table = [
        (Output::Reply("place"), r#"{"orderId":1}"#, ""),
        (
            Output::Reply("place"),
            r#"{"orderID":1}"#,
            r#"does not match its schema: "orderId" is a required property"#,
        ),
        (Output::State, r#"{"status":"PENDING"}"#, ""),
        (
            Output::State,
            r#"{"status":"PENDIG"}"#,
            r#"does not match its schema: /status: "PENDIG" is not one of "PENDING" or "APPROVED""#,
        ),
        (
            Output::Event("placed"),
            r#"{"id":"x"}"#,
            r#"does not match its schema: /id: "x" is not of type "integer""#,
        ),
        (
            Output::Timer("due"),
            "1",
            r#"does not match its schema: 1 is not of type "null""#,
        ),
        (
            Output::Timer("due"),
            "nul",
            "is not JSON: EOF while parsing a value at line 1 column 3",
        ),
        (
            Output::State,
            r#"{"a":1,"a":2}"#,
            "has two members named `a` at line 1 column 10",
        ),
    ];
    for (output, text, expected) in table {
        let mismatch = outputs.check(output, text).err().unwrap_or_default();
        assert_eq!(mismatch, expected, "{output} {text}");
    }
}

#[test]
fn at_most_three_places_are_named() {
    let outputs = outputs(r#"{"items":{"type":"integer"}}"#, "true");
    let mismatch = outputs
        .check(Output::State, r#"["a","b",1,"c","d"]"#)
        .unwrap_err();
    assert_eq!(mismatch.matches("is not of type").count(), 3, "{mismatch}");
    assert!(mismatch.contains("/3: \"c\""), "{mismatch}");
}

#[test]
fn a_schema_that_accepts_everything_or_is_none_still_wants_json() {
    for schema in ["true", "{}", r#"{"type":"no-such-type"}"#] {
        let outputs = outputs(schema, schema);
        for output in [
            Output::State,
            Output::Reply("place"),
            Output::Reply("unknown"),
        ] {
            assert_eq!(outputs.check(output, r#"{"a":1e400}"#), Ok(()));
            assert!(outputs.check(output, "{").is_err(), "{schema}");
        }
    }
}
