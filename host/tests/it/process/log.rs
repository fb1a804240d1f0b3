//! The log: lines for people, JSON for machines, and in neither what clients and records say.

use serde_json::{Value, json};

use crate::store_file::{publish, record, until_consumed};
use crate::support::{Host, Start};

/// Would be found wherever a payload is written.
const SECRET: &str = "Xanthippe-of-4711-Secret-Street";

/// Has payloads go everywhere that one can: commands, records, timers, states, dead letters, faults.
fn work(format: &str, data: &tempfile::TempDir) -> Host {
    let path = data.path();
    let names = ["customer", "order", "mischief"];
    let started = Start::new(&names, path).start();
    assert!(started.stop().success());
    let value = |act: &str| json!({"key": "k", "do": act, "note": SECRET}).to_string();
    let records = ["count", "trap", "malformed"].map(|act| record(value(act)));
    publish(path, "mischiefTopic", &records);
    publish(
        path,
        "mischiefTopic",
        &[record(format!("no json: {SECRET}"))],
    );
    let host = Start::new(&names, path)
        .setting("log.format", format)
        .setting("retry.then", "skip")
        .setting("log.level", "info,saga_host=trace,saga_core=trace")
        .start();
    let customer = json!({"name": SECRET, "creditLimit": {"amount": 1000}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    let bad = json!({"name": SECRET, "creditLimit": {"amount": "much"}});
    assert_eq!(host.post("customer", "/customers", &bad).status, 422);
    let order = json!({"customerId": 1, "orderTotal": {"amount": 1}});
    assert_eq!(host.post("order", "/orders", &order).status, 201);
    let trap = json!({"do": "trap", "note": SECRET});
    assert_eq!(host.post("mischief", "/acts/k", &trap).status, 500);
    for topic in ["mischiefTopic", "orderTopic", "customerTopic"] {
        until_consumed(path, topic);
    }
    host
}

#[test]
fn json_lines_are_json_and_hold_no_payload() {
    let data = tempfile::tempdir().unwrap();
    let host = work("json", &data);
    let own = host.id();
    host.log_until("dead letter");
    let log = data.path().join("log.txt");
    assert!(host.stop().success());
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains(SECRET), "process {own} has logged a payload");
    // The start before it was for people.
    let lines: Vec<_> = log
        .lines()
        .skip_while(|line| !line.starts_with('{'))
        .collect();
    assert!(lines.len() > 10, "{log}");
    let mut said = Vec::new();
    for line in lines {
        let told: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for member in ["timestamp", "level", "target"] {
            assert!(told[member].is_string(), "{line}");
        }
        said.extend(told["fields"]["message"].as_str().map(str::to_owned));
    }
    for expected in ["dead letter", "decided", "drained"] {
        assert!(
            said.iter().any(|text| text == expected),
            "{expected} in {said:?}"
        );
    }
}

#[test]
fn lines_for_people_have_no_colour_in_a_file_and_hold_no_payload() {
    let data = tempfile::tempdir().unwrap();
    let host = work("text", &data);
    host.log_until("dead letter");
    let log = host.log();
    assert!(!log.contains(SECRET), "a payload was logged");
    assert!(!log.contains('\u{1b}'), "{log}");
    assert!(host.stop().success());
}
