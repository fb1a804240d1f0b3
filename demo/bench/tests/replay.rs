//! `saga-bench replay`, with the host and the components that `make test` builds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;

/// Exit code and result of a small run; `more` are further arguments.
fn run(more: &[&str]) -> (Option<i32>, Value) {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_saga-bench"));
    bench.args(["replay", "--json", "--customers", "4", "--orders", "200"]);
    let output = bench.args(["--seed", "1"]).args(more).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.stdout, b"", "{said}");
    let result = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), result)
}

#[test]
fn a_changed_limit_changes_the_decisions_that_follow_from_the_answers_of_clients() {
    let (code, result) = run(&[]);
    assert_eq!(
        (code, &result["right"]),
        (Some(0), &true.into()),
        "{result}"
    );
    let count = |mode: &str, what: &str| result[mode][what].as_u64().unwrap();
    assert!(count("recorded", "rejected") > 20, "{result}");
    assert_eq!(count("recorded", "approved"), 0);
    assert!(count("counterfactual", "approved") > 0, "{result}");
    assert!(count("counterfactual", "other_credit") > 20, "{result}");
}

#[test]
fn rules_without_the_limit_are_noticed() {
    let customer = saga_demo_client::files::component("customer");
    let (code, result) = run(&["--cautious", customer.to_str().unwrap()]);
    assert_eq!(
        (code, &result["right"]),
        (Some(1), &false.into()),
        "{result}"
    );
    let differences = result["differences"].as_array().unwrap();
    for begin in [
        "order ",
        "recorded: decisions changed: 0,",
        "0 orders are listed,",
    ] {
        let is_there = |text: &Value| text.as_str().unwrap().starts_with(begin);
        assert!(differences.iter().any(is_there), "{begin}: {result}");
    }
}
