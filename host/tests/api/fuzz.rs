//! schemathesis on both documents: what they promise is what is answered, whatever is sent.
//!
//! All checks are on but for what `hooks.py` says, in all phases: the document's examples, the edges of its schemas, random
//! requests, and sequences of them. Calls follow from a seed. `make test` makes some hundreds of calls; API_CALLS
//! asks for another number, and API_ARGS for further arguments of schemathesis.

use std::path::Path;

use serde_json::Value;

use crate::Test;
use crate::support::Host;
use crate::tools::{Found, Tool, folder, run};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("fuzz::customer", &[Tool::Python], customer),
    ("fuzz::order", &[Tool::Python], order),
];

/// Calls of both documents, where no number is asked for.
const CALLS: u64 = 600;

/// Calls that come of one example, about: both operations, valid and invalid, alone and in sequence.
const PER_EXAMPLE: u64 = 8;

/// Examples for each operation in one round. A round keeps all that it has generated.
const EXAMPLES: std::ops::RangeInclusive<u64> = 10..=1_500;

/// Rounds, each with a seed of its own, within which the calls must have been made.
const ROUNDS: u64 = 20;

/// True if only the fuzzer is to run.
pub fn is_asked_for() -> bool {
    std::env::var_os("API_CALLS").is_some()
}

fn customer(host: &Host, found: &Found) {
    fuzz(host, found, "customer");
}

fn order(host: &Host, found: &Found) {
    fuzz(host, found, "order");
}

fn fuzz(host: &Host, found: &Found, participant: &str) {
    let asked =
        std::env::var("API_CALLS").map(|calls| calls.parse().expect("API_CALLS is a number"));
    let wanted = asked.unwrap_or(CALLS).div_ceil(2);
    let directory = tempfile::tempdir().unwrap();
    let (mut calls, mut seed) = (0, 0);
    while calls < wanted {
        seed += 1;
        assert!(
            seed <= ROUNDS,
            "{calls} of {wanted} calls in {ROUNDS} rounds"
        );
        let examples = (wanted - calls) / PER_EXAMPLE;
        let examples = examples.clamp(*EXAMPLES.start(), *EXAMPLES.end());
        calls += round(host, found, participant, directory.path(), (seed, examples));
    }
    println!("fuzz::{participant}: {calls} calls in {seed} rounds, nothing found");
}

/// One run of schemathesis; gives the number of its calls.
fn round(
    host: &Host,
    found: &Found,
    participant: &str,
    directory: &Path,
    (seed, examples): (u64, u64),
) -> u64 {
    let report = directory.join("report.json");
    let mut command = found.python("schemathesis");
    command
        .current_dir(directory)
        .env("SCHEMATHESIS_HOOKS", folder().join("hooks.py"))
        .arg("run")
        .arg(format!("{}/openapi.json", host.url(participant)))
        .args([
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance",
        ])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args([
            "--continue-on-failure",
            "--generation-database",
            "none",
            "--no-color",
        ])
        .args(["--request-timeout", "30", "--output-truncate", "false"])
        .args([
            "--seed",
            &seed.to_string(),
            "--max-examples",
            &examples.to_string(),
        ])
        .args(["--report", "json", "--report-json-path"])
        .arg(&report);
    let more = std::env::var("API_ARGS").unwrap_or_default();
    command.args(more.split_whitespace());
    run(command);
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    // A run that was cut short proves nothing.
    assert_eq!(report["complete"], true, "{report}");
    assert_eq!(
        report["operations"]["tested"], report["operations"]["total"],
        "{report}"
    );
    report["test_cases"]["generated"].as_u64().unwrap()
}
