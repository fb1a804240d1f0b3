//! The outputs of rules must match the schemas that they declare: nothing else is stored, published or
//! answered.

use serde_json::{Value, json};

use crate::chameleon::{Chameleon, look, serve, start_unwatched};
use crate::commands::{asks, call, fails};
use crate::expect::broke;
use crate::store_file::{number, published, rows};
use crate::support::{Host, Response};

/// The act of a correct `count`.
fn right() -> Vec<Value> {
    vec![
        json!({"set": ["status", "PENDING"]}),
        json!({"publish": {"event_type": "changed", "body": {"id": 1}}}),
        json!({"set-timer": {"name": "later", "after_ms": 3_600_000, "body": {"id": 1}}}),
        json!({"reply": {"orderId": 1}}),
    ]
}

/// The same with another act in the place of one of them.
fn with(place: usize, act: Value) -> Vec<Value> {
    let mut acts = right();
    acts[place] = act;
    acts
}

fn doing(version: &str, acts: &[Value]) -> Chameleon {
    let id = json!({"type": "object", "properties": {"id": {"type": "integer"}}});
    Chameleon::new().version(version).with(json!({
        "state": {"schema": {"properties": {"status": {"enum": ["PENDING", "APPROVED"]}}}},
        "commands": [
            {"name": "count", "method": "POST", "path": "/counters/{key}",
             "reply": {"type": "object", "properties": {"orderId": {"type": "integer"}}, "required": ["orderId"]}},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
            {"name": "show", "method": "GET", "path": "/counters/{key}/shown", "kind": "read", "reply": {"type": "string"}},
        ],
        "publications": [{"event_type": "changed", "topic": "changedTopic", "schema": id}],
        "timer_schemas": {"later": id},
        "handle": {"count": acts, "look": "look", "show": "look"},
    }))
}

fn count(host: &Host) -> Response {
    host.post("chameleon", "/counters/k", &json!({}))
}

/// An act that is wrong, where it stands, and what is said of it.
fn wrong() -> [(usize, Value, &'static str); 5] {
    [
        (
            0,
            json!({"set": ["status", "PENDIG"]}),
            r#"state does not match its schema: /status: "PENDIG" is not one of"#,
        ),
        (
            1,
            json!({"publish": {"event_type": "changed", "body": {"id": "x"}}}),
            r#"event `changed` does not match its schema: /id: "x" is not of type "integer""#,
        ),
        (
            2,
            json!({"set-timer": {"name": "later", "after_ms": 1, "body": {"id": true}}}),
            r#"timer `later` does not match its schema: /id: true is not of type "integer""#,
        ),
        (
            3,
            json!({"reply": {"orderID": 1}}),
            r#"reply to command `count` does not match its schema: "orderId" is a required property"#,
        ),
        (
            3,
            json!({"refuse": "never"}),
            "command `count` refuses with `never` (conflict), which it does not declare",
        ),
    ]
}

#[test]
fn an_output_of_another_schema_is_a_fault_that_names_the_place_and_has_no_effect() {
    for (place, act, said) in wrong() {
        let data = tempfile::tempdir().unwrap();
        let host = serve(data.path(), &doing("1.0.0", &with(place, act)));
        let detail = broke(&count(&host), "bad-output");
        assert!(detail.contains(said), "{said} is not in {detail}");
        assert_eq!(look(&host, "k"), Value::Null, "{said}");
        assert!(host.stop().success());
        assert_eq!(number(data.path(), "SELECT count(*) FROM journal"), 0);
        assert_eq!(published(data.path(), "changedTopic"), 0);
        assert!(rows(data.path(), "SELECT name FROM timers").is_empty());
    }
}

#[test]
fn outputs_that_match_are_taken_and_a_read_is_checked_too() {
    let data = tempfile::tempdir().unwrap();
    let host = serve(data.path(), &doing("1.0.0", &right()));
    let counted = count(&host);
    assert_eq!(
        (counted.status, counted.json()),
        (200, json!({"orderId": 1}))
    );
    assert_eq!(look(&host, "k"), json!({"status": "PENDING"}));
    let detail = broke(&host.get("chameleon", "/counters/k/shown"), "bad-output");
    assert!(
        detail.contains("reply to command `show` does not match its schema: "),
        "{detail}"
    );
    assert!(host.stop().success());
    assert_eq!(published(data.path(), "changedTopic"), 1);
}

#[test]
fn without_the_check_on_turns_new_rules_are_still_checked() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    doing("1.0.0", &right()).write(&data.join("chameleon.wasm"));
    let host = start_unwatched(data)
        .setting("turn.check_outputs", false)
        .start();
    assert_eq!(count(&host).status, 200);
    for (number, (place, act, said)) in wrong().into_iter().enumerate() {
        let path = data.join(format!("{number}.wasm"));
        doing(&format!("2.0.{number}"), &with(place, act)).write(&path);
        let path = path.to_str().unwrap();
        let (code, err) = fails(&mut asks(data, &["verify", path]));
        assert_eq!(code, 65, "{err}");
        assert!(
            err.contains("bad-output: ") && err.contains(said),
            "{said} is not in {err}"
        );
        let (code, err) = fails(&mut asks(data, &["apply", "chameleon", path]));
        assert_eq!(code, 65, "{err}");
        assert!(err.contains(said), "{said} is not in {err}");
        let (code, _, err) = call(&mut asks(
            data,
            &["apply", "--allow-breaking", "chameleon", path],
        ));
        assert_eq!(code, 0, "{err}");
        let answer = count(&host);
        let expected = if act_refuses(said) { 409 } else { 200 };
        assert_eq!(answer.status, expected, "{said}: {}", answer.text());
        let first = data.join("chameleon.wasm");
        let first = first.to_str().unwrap();
        let (code, _, err) = call(&mut asks(
            data,
            &["apply", "--allow-breaking", "chameleon", first],
        ));
        assert_eq!(code, 0, "{err}");
    }
    assert!(host.stop().success());
}

fn act_refuses(said: &str) -> bool {
    said.contains("refuses")
}
