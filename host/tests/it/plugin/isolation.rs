//! Invariant 7: a component sees its input and nothing of the machine.

use serde_json::{Value, json};

use crate::expect::broke;
use crate::store_file::rows;
use crate::support::{Host, Start};

fn ask(host: &Host, word: &str) -> Value {
    let answer = host.post("mischief", "/acts/k", &json!({"do": word}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn the_only_clock_is_the_time_of_the_message() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    let clocks: Vec<String> = (0..3).map(|_| ask(&host, "clock").to_string()).collect();
    assert!(host.stop().success());
    let messages = rows(data.path(), "SELECT message FROM journal ORDER BY seq");
    let times: Vec<String> = messages
        .iter()
        .map(|row| serde_json::from_str::<Value>(&row[0]).unwrap()["time"].to_string())
        .collect();
    assert_eq!(clocks, times);
}

#[test]
fn random_numbers_are_the_same_every_time_and_everywhere() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let host = Start::new(&["mischief"], first.path()).start();
    let number = ask(&host, "random");
    // A fresh instance of the same component has no other numbers either.
    broke(
        &host.post("mischief", "/acts/k", &json!({"do": "trap"})),
        "trap",
    );
    assert_eq!(ask(&host, "random"), number);
    let elsewhere = Start::new(&["mischief"], second.path()).start();
    assert_eq!(ask(&elsewhere, "random"), number);
}

#[test]
fn there_is_no_environment_no_file_and_no_input() {
    let data = tempfile::tempdir().unwrap();
    // The host itself has variables, arguments, files and a standard input.
    let host = Start::new(&["mischief"], data.path())
        .setting("log.level", "info")
        .start();
    assert_eq!(ask(&host, "environment"), 0);
    assert_eq!(ask(&host, "file"), false);
    assert_eq!(ask(&host, "stdin"), 0);
}

#[test]
fn output_of_a_component_is_discarded() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    let printed = host.post("mischief", "/acts/k", &json!({"do": "print", "size": 1000}));
    assert_eq!((printed.status, printed.json()), (200, json!({"count": 1})));
    assert!(!host.log().contains("xxxxxxxx"), "{}", host.log());
}

#[test]
fn a_component_cannot_wait() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    broke(
        &host.post("mischief", "/acts/k", &json!({"do": "sleep"})),
        "trap",
    );
    host.log_until("rules may not wait");
    assert_eq!(ask(&host, "count"), json!({"count": 1}));
}
