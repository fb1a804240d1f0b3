//! The audit: decisions that were made, made again on fresh instances beside the turns.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count};
use crate::commands::{asks, call};
use crate::expect::until;
use crate::support::{Host, request};

/// A host that audits one of so many decisions.
fn audited(data: &Path, build: &Chameleon, one_in: u64) -> Host {
    let path = data.join("chameleon.wasm");
    build.write(&path);
    chameleon::start(&path, data)
        .setting("instances", 1)
        .setting("rollout.audit_one_in", one_in)
        .start()
}

/// `/readyz`, and what the audit found.
fn told(host: &Host) -> (Value, Value) {
    let report = request("GET", &format!("{}/readyz", host.admin()), &[], b"").json();
    let audit = report["participants"][0]["audit"].clone();
    (report, audit)
}

fn until_audited(host: &Host, decisions: u64) -> Value {
    until("the decisions are audited", || {
        told(host).1["audited"].as_u64() >= Some(decisions)
    });
    told(host).1
}

fn metric(host: &Host, name: &str) -> Option<u64> {
    let text = request("GET", &format!("{}/metrics", host.admin()), &[], b"").text();
    let line = format!("{name}{{participant=\"chameleon\"}} ");
    let value = text.lines().find_map(|one| one.strip_prefix(&line))?;
    Some(value.parse().unwrap())
}

#[test]
fn invariant_7_rules_that_keep_something_are_found_out_by_the_audit_while_they_decide() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    // It answers how often its instance was called.
    let keeping = Chameleon::new().with(json!({"handle": {"count": [{"count": 1}, "tell-calls"]}}));
    let host = audited(data, &keeping, 1);
    for key in ["a", "b", "c"] {
        count(&host, key);
    }
    let found = until_audited(&host, 3);
    // The first call was made on a fresh instance.
    assert_eq!(
        (&found["audited"], &found["alarms"]),
        (&json!(3), &json!(2))
    );
    let last = &found["last"];
    assert_eq!((&last["key"], &last["revision"]), (&json!("c"), &json!(0)));
    let difference = last["difference"].as_str().unwrap();
    assert!(
        difference.starts_with("reply /done: 2 as recorded, 0 on a fresh instance"),
        "{difference}"
    );
    let (report, _) = told(&host);
    assert_eq!(report["status"], "ready", "{report}");
    host.log_until("a decision is another one on a fresh instance");
    for part in [
        "ERROR",
        "saga replay chameleon --self --key b",
        "key=b",
        "revision=0",
    ] {
        assert!(host.log().contains(part), "{part}: {}", host.log());
    }
    assert_eq!(metric(&host, "saga_audited_decisions_total"), Some(3));
    assert_eq!(metric(&host, "saga_audit_alarms_total"), Some(2));
    for arguments in [&["ready"][..], &["generations", "chameleon"]] {
        let (_, out, err) = call(&mut asks(data, arguments));
        let line = "ALARM: 2 of 3 audited decisions are others on a fresh instance, the last at ";
        assert!(out.contains(line), "{arguments:?}: {out}{err}");
    }
    assert!(host.stop().success());
    let (code, _, _) = call(&mut asks(data, &["replay", "chameleon", "--self"]));
    assert_eq!(code, 65, "as the alarm says");
}

#[test]
fn the_audit_of_rules_that_keep_nothing_is_silent() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = audited(data, &Chameleon::new(), 1);
    for key in ["a", "b", "a"] {
        count(&host, key);
    }
    // Other rules take over, and go on to be audited.
    until_audited(&host, 3);
    chameleon::swap(&host, &chameleon::second());
    count(&host, "a");
    let found = until_audited(&host, 4);
    assert_eq!(found, json!({"audited": 4, "alarms": 0}));
    assert!(!host.log().contains("fresh instance"), "{}", host.log());
    assert_eq!(metric(&host, "saga_audit_alarms_total"), Some(0));
    assert!(host.stop().success());
}

#[test]
fn without_an_audit_nothing_is_told_of_it_and_some_decisions_are_few() {
    let data = tempfile::tempdir().unwrap();
    let host = audited(data.path(), &Chameleon::new(), 0);
    count(&host, "a");
    assert_eq!(told(&host).1, Value::Null);
    assert_eq!(metric(&host, "saga_audited_decisions_total"), None);
    assert!(host.stop().success());
    let host = audited(data.path(), &Chameleon::new(), 3);
    for _ in 0..30 {
        count(&host, "a");
    }
    let found = until_audited(&host, 1);
    assert!(found["audited"].as_u64() < Some(25), "{found}");
    assert!(host.stop().success());
}

#[test]
fn what_can_not_be_audited_is_said_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let path = data.join("chameleon.wasm");
    Chameleon::new().write(&path);
    let host = chameleon::start(&path, data)
        .setting("rollout.audit_one_in", 1)
        .setting("participants.chameleon.journal", "no-payloads")
        .start();
    host.log_until("its decisions are not audited, since their payloads are not kept");
    assert!(host.stop().success());
}
