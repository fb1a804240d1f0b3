//! Member names to which a library gives a meaning are data: what was checked is what the rules read, wherever JSON comes in.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, look};
use crate::expect::problem;
use crate::store_file::{Foreign, execute, publish, record, rows, until_consumed};
use crate::support::{Host, Start, saga};

/// Names by which serde_json marks numbers and raw values, plain and in escapes.
const NAMES: [&str; 3] = [
    "$serde_json::private::Number",
    "$serde_json::private::RawValue",
    "\\u0024serde_json::private::N\\u0075mber",
];

/// An object that serde_json takes for the number 300.
fn disguised(name: &str) -> String {
    format!(r#"{{"{name}":"300"}}"#)
}

fn order_of(amount: &str) -> String {
    format!(r#"{{"customerId":1,"orderTotal":{{"amount":{amount}}}}}"#)
}

/// A host of the saga, with a customer who has 1000 to spend.
fn saga_of(participants: &[&str], data: &Path) -> Host {
    let host = Start::new(participants, data).start();
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1000}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    host
}

#[test]
fn a_body_is_checked_as_the_rules_read_it() {
    let data = tempfile::tempdir().unwrap();
    let host = saga_of(&["customer", "order"], data.path());
    let place = |body: &str| host.send("order", "POST", "/orders", body);
    for name in NAMES {
        let refused = place(&order_of(&disguised(name)));
        problem(&refused, 422, "invalid-body");
        assert_eq!(
            refused.json()["errors"][0]["pointer"],
            "/orderTotal/amount",
            "{}",
            refused.text()
        );
        // The schema takes it, and the rules can't tell it from a number.
        let spare = format!(
            r#"{{"customerId":1,"orderTotal":{{"amount":1}},"spare":{}}}"#,
            disguised(name)
        );
        let detail = problem(&place(&spare), 400, "malformed");
        assert!(
            detail.contains("the member name `$serde_json::private::")
                && detail.contains("in /spare/$serde_json::private::"),
            "{detail}"
        );
    }
    for (body, name) in [
        (
            r#"{"customerId":1,"orderTotal":{"amount":1,"amount":900}}"#,
            "amount",
        ),
        (
            r#"{"customerId":2,"orderTotal":{"amount":1},"\u0063ustomerId":1}"#,
            "customerId",
        ),
        (
            r#"{"customerId":1,"orderTotal":{"amount":1},"spare":[{"x":1,"x":1}]}"#,
            "x",
        ),
    ] {
        let detail = problem(&place(body), 400, "bad-json");
        let expected = format!("the body has two members named `{name}` at line 1");
        assert!(detail.starts_with(&expected), "{detail}");
    }
    // The names are nothing special where they are no names.
    let named = json!({"name": NAMES[0], "creditLimit": {"amount": 1}});
    let named = host.post("customer", "/customers", &named);
    assert_eq!(
        (named.status, &named.json()["name"]),
        (201, &json!(NAMES[0]))
    );
    assert_eq!(place(&order_of("4")).status, 201);
    // Refused ones may have taken numbers, but are nothing.
    host.get_until("order", "/orders", |response| {
        let orders = response.json()["items"].clone();
        orders.as_array().unwrap().len() == 1 && orders[0]["orderState"] == "APPROVED"
    });
    assert_eq!(
        host.get("customer", "/customer/1").json()["creditLimit"],
        996
    );
}

#[test]
fn a_record_takes_no_credit_by_an_amount_that_is_no_number() {
    let data = tempfile::tempdir().unwrap();
    assert!(saga_of(&["customer"], data.path()).stop().success());
    let order = |amount: &str| {
        record(format!(
            r#"{{"id":1,"state":"PENDING","orderDetails":{{"customerId":1,"orderTotal":{{"amount":{amount}}}}}}}"#
        ))
    };
    let mut records: Vec<Foreign> = NAMES.iter().map(|name| order(&disguised(name))).collect();
    records.push(order(r#"1,"amount":900"#));
    records.push(order("4"));
    publish(data.path(), "orderTopic", &records);
    let host = Start::new(&["customer"], data.path())
        .setting("retry.then", "skip")
        .start();
    until_consumed(data.path(), "orderTopic");
    assert_eq!(
        host.get("customer", "/customer/1").json()["creditLimit"],
        996
    );
    assert!(host.stop().success());
    let letters = rows(
        data.path(),
        "SELECT reason, detail FROM dead_letters ORDER BY offset",
    );
    assert_eq!(letters.len(), 4, "{letters:?}");
    for (letter, detail) in letters.iter().zip([
        "the member name `$serde_json::private::Number` is reserved",
        "the member name `$serde_json::private::RawValue` is reserved",
        "the member name `$serde_json::private::Number` is reserved",
        "value has two members named `amount` at line 1",
    ]) {
        assert_eq!(letter[0], "malformed");
        assert!(letter[1].contains(detail), "{letter:?}");
    }
}

#[test]
fn a_stored_state_is_not_read_as_something_else() {
    let data = tempfile::tempdir().unwrap();
    assert!(saga_of(&["customer"], data.path()).stop().success());
    let changed = execute(
        data.path(),
        r#"UPDATE aggregates SET state =
           '{"name":"Ann","creditLimit":1000,"available":{"$serde_json::private::Number":"1000000"}}'"#,
    );
    assert_eq!(changed, 1);
    let host = Start::new(&["customer"], data.path()).start();
    problem(&host.get("customer", "/customer/1"), 503, "quarantined");
    host.log_until("the member name `$serde_json::private::Number` is reserved");
    host.log_until("in /available/$serde_json::private::Number");
}

/// A participant that keeps whatever its schema allows, to the letter, in no language whose JSON library is serde_json.
#[test]
fn rules_that_can_distinguish_such_a_member_get_it_unchanged() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    Chameleon::new()
        .with(json!({
            "commands": [
                {"name": "store", "method": "POST", "path": "/counters/{key}", "request": texts},
                {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
            ],
            "handle": {"store": "store"},
        }))
        .write(&path);
    let host = chameleon::start(&path, data.path()).start();
    for name in NAMES {
        let body = disguised(name);
        let stored = host.send("chameleon", "POST", "/counters/k", &body);
        assert_eq!((stored.status, stored.text()), (200, body.clone()));
        assert_eq!(host.get("chameleon", "/counters/k").text(), body);
        let number = body.replace("\"300\"", "300");
        let refused = host.send("chameleon", "POST", "/counters/k", &number);
        problem(&refused, 422, "invalid-body");
    }
    assert!(look(&host, "other").is_null());
}

#[test]
fn reserved_names_are_refused_in_settings_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("saga.toml");
    for text in [
        "[store]\nretention_hours = {\"$__toml_private_datetime\" = \"1979-05-27\"}\n",
        "[kafka]\nbootstrap = {\"$__toml_private_datetime\" = \"1979-05-27\"}\n",
        "[store]\nretention_hours = {\"$serde_json::private::Number\" = \"1\"}\n",
        "\"$__toml_private_datetime\" = \"1979-05-27\"\n",
    ] {
        std::fs::write(&path, text).unwrap();
        let refused = saga()
            .arg("config")
            .arg("--config")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(64), "{text}: {said}");
    }
}

#[test]
fn the_host_reads_values_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("src"), root.join("core/src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            read += 1;
            // Tests stand at the end.
            let source = source.split("#[cfg(test)]").next().unwrap();
            let is_tests = path.to_str().unwrap().ends_with("tests.rs");
            let otherwise = source.lines().filter(|line| {
                let reads = ["from_str", "from_slice", "from_reader", "from_value"];
                let reads = reads
                    .iter()
                    .any(|name| line.contains(&format!("serde_json::{name}")));
                reads && line.contains("Value") && !line.contains("RawValue")
            });
            let otherwise: Vec<_> = otherwise.collect();
            assert!(
                is_tests || otherwise.is_empty(),
                "{}: {otherwise:?}: use saga_contract::json::parse",
                path.display()
            );
        }
    }
    assert!(read > 100, "only {read} files were read");
}

#[test]
fn disguised_numbers_are_what_serde_json_takes_for_numbers() {
    // Where this is not so any more, the tests above show nothing.
    let read: Value = serde_json::from_str(&disguised(NAMES[0])).unwrap();
    assert!(read.is_number(), "{read:?}");
}
