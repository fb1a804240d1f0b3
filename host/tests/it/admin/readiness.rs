//! Readiness follows progress: a stage whose oldest message waits beyond its bound is named by `/readyz`, and the host is ready
//! again when it goes on (invariant 11).

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon};
use crate::expect::until;
use crate::exposition::scrape;
use crate::mock_kafka::{cluster, decided, start};
use crate::store_file::{self, Foreign, publish};
use crate::support::{Host, Start, request};

/// Longer than any test.
const AGES: u64 = 3_600_000;

/// The status and the body of `/readyz`.
fn readyz(host: &Host) -> (u16, Value) {
    let answer = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    (answer.status, answer.json())
}

/// Waits until a host is not ready because of this stage; gives the reason.
fn until_standing(host: &Host, stage: &str) -> String {
    let mut reason = String::new();
    until(&format!("the host names the stage {stage}"), || {
        let (status, report) = readyz(host);
        reason = report["reason"].as_str().unwrap_or_default().to_owned();
        status == 503 && reason.contains(&format!("stage {stage} stands still: "))
    });
    let of_stage = reason
        .split(&format!("stage {stage} stands still: "))
        .nth(1);
    let age = of_stage.and_then(|rest| rest.split(" waits for ").nth(1)?.split(' ').next());
    let age: u64 = age.unwrap_or_default().parse().unwrap();
    assert!(age >= 1, "{reason}");
    reason
}

fn until_ready(host: &Host) {
    until("the host is ready again", || {
        let (status, report) = readyz(host);
        status == 200 && report["status"] == "ready"
    });
}

/// Counts events, but not those of an aggregate that is paused.
fn build() -> Chameleon {
    let command = |name: &str, method: &str| json!({"name": name, "method": method, "path": "/counters/{key}"});
    Chameleon::new().with(json!({
        "commands": [command("pause", "POST"), command("resume", "DELETE"), command("set", "PUT")],
        "handle": {
            "pause": {"set": ["paused", true]},
            "resume": {"set": ["paused", false]},
            "set": {"set-timer": {"name": "later", "after_ms": 1}},
            "counted": [{"if-state": [{"paused": true}, {"retry-later": "paused"}]}, {"count": 1}],
            "later": [{"if-state": [{"paused": true}, {"retry-later": "paused"}]}, {"count": 1}],
        },
    }))
}

fn paused(data: &Path) -> Start {
    let path = data.join("chameleon.wasm");
    build().write(&path);
    chameleon::start(&path, data).setting("reload.watch_ms", 0)
}

fn ask(host: &Host, method: &str) {
    let asked = host.send("chameleon", method, "/counters/k", "");
    assert_eq!(asked.status, 200, "{}", asked.text());
}

/// A store in which the aggregate `k` is paused, and these events wait.
fn prepare(data: &Path, events: &[Foreign]) {
    let host = paused(data).start();
    ask(&host, "POST");
    assert!(host.stop().success());
    publish(data, "chameleonTopic", events);
}

fn event(number: u64) -> Foreign {
    let body = json!({"key": "k", "number": number});
    store_file::record(body.to_string()).of_type("counted")
}

#[test]
fn invariant_11_a_key_whose_messages_are_retried_for_ever_makes_the_host_unready() {
    let data = tempfile::tempdir().unwrap();
    prepare(data.path(), &[event(1), event(2)]);
    let host = paused(data.path())
        .setting("retry.first_delay_ms", 1_000)
        .setting("retry.max_delay_ms", 1_000)
        .setting("progress.retry_seconds", 1)
        .start();
    let reason = until_standing(&host, "retry");
    let place = r#"the oldest message of participant chameleon, key "k" waits for "#;
    assert!(reason.contains(place), "{reason}");
    assert!(
        reason.ends_with("(bound: progress.retry_seconds = 1)"),
        "{reason}"
    );
    host.log_until("stage retry stands still");
    ask(&host, "DELETE");
    until_ready(&host);
    host.log_until("the stage makes progress again");
    assert!(host.stop().success());
}

#[test]
fn invariant_11_a_partition_that_makes_no_step_makes_the_host_unready() {
    let data = tempfile::tempdir().unwrap();
    prepare(data.path(), &[event(1), event(2)]);
    // What can't be parked waits in memory, and its partition with it.
    let host = paused(data.path())
        .setting("retry.first_delay_ms", AGES)
        .setting("retry.max_delay_ms", AGES)
        .setting("parked.messages", 0)
        .setting("progress.record_seconds", 1)
        .start();
    let reason = until_standing(&host, "record");
    assert!(
        reason.contains("topic chameleonTopic, partition 0, group "),
        "{reason}"
    );
    ask(&host, "DELETE");
    until_ready(&host);
    assert!(host.stop().success());
}

#[test]
fn records_that_were_deleted_before_a_consumer_came_are_not_waited_for() {
    let data = tempfile::tempdir().unwrap();
    prepare(data.path(), &[event(1), event(2)]);
    for table in ["outbox", "offsets"] {
        store_file::execute(data.path(), &format!("DELETE FROM {table}"));
    }
    let host = paused(data.path())
        .setting("progress.record_seconds", 1)
        .start();
    let place = [("topic", "chameleonTopic"), ("partition", "0")];
    let lag = scrape(&host).one("saga_consumer_lag_records", &place);
    assert_eq!(lag, 0.0);
    assert!(host.stop().success());
}

#[test]
fn invariant_11_a_timer_that_is_due_and_not_decided_makes_the_host_unready() {
    let data = tempfile::tempdir().unwrap();
    let host = paused(data.path())
        .setting("retry.first_delay_ms", 500)
        .setting("retry.max_delay_ms", 500)
        .setting("progress.timer_seconds", 1)
        .start();
    ask(&host, "PUT");
    until("the timer has fired", || {
        let timers = [("origin", "timer"), ("outcome", "decided")];
        scrape(&host).sum("saga_turns_total", &timers) == 1.0
    });
    // It may have been late.
    until_ready(&host);
    ask(&host, "POST");
    ask(&host, "PUT");
    let reason = until_standing(&host, "timer");
    assert!(reason.contains("participant chameleon"), "{reason}");
    ask(&host, "DELETE");
    until_ready(&host);
    assert!(host.stop().success());
}

#[test]
fn invariant_11_rules_that_take_long_make_the_host_unready() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path())
        .setting("instances", 1)
        .setting("guest.deadline_ms", 10_000)
        .setting("guest.fuel", i64::MAX)
        .setting("progress.turn_seconds", 1)
        .start();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| host.post("mischief", "/acts/k", &json!({"do": "spin"})));
        let reason = until_standing(&host, "turn");
        assert!(reason.contains("participant mischief"), "{reason}");
        assert_ne!(asked.join().unwrap().status, 200);
    });
    until_ready(&host);
    assert!(host.stop().success());
}

#[test]
fn invariant_11_an_outbox_that_does_not_shrink_makes_the_host_unready() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    cluster.broker_down(1).unwrap();
    let order = Start::new(&["order"], &data.path().join("order"))
        .arguments(&["--kafka", &cluster.bootstrap_servers()])
        .setting("progress.relay_seconds", 2)
        .start();
    let body = json!({"customerId": 1, "orderTotal": {"amount": 300}});
    assert_eq!(order.post("order", "/orders", &body).status, 201);
    let reason = until_standing(&order, "relay");
    assert!(
        reason.contains("the oldest message of topic orderTopic waits for"),
        "{reason}"
    );
    let (_, report) = readyz(&order);
    let transport = report["transport"].as_str().unwrap_or_default();
    assert!(transport.contains("can't be reached"), "{report}");
    cluster.broker_up(1).unwrap();
    let customer = start("customer", &data, &cluster);
    assert_eq!(decided(&order, "1"), "REJECTED");
    // That the topics could not be read may be told for a while.
    until("the host takes requests again", || readyz(&order).0 == 200);
    assert!(order.stop().success() && customer.stop().success());
}

#[test]
fn a_stage_without_a_bound_leaves_the_host_ready_and_is_still_reported() {
    let data = tempfile::tempdir().unwrap();
    prepare(data.path(), &[event(1)]);
    let host = paused(data.path())
        .setting("retry.first_delay_ms", 1_000)
        .setting("progress.retry_seconds", 0)
        .start();
    until("the age of what is retried is told", || {
        scrape(&host).one("saga_stage_oldest_seconds", &[("stage", "retry")]) >= 1.0
    });
    assert_eq!(readyz(&host).0, 200);
    assert!(host.stop().success());
}

#[test]
fn records_of_types_that_nobody_takes_are_counted_and_said_once_for_each_type() {
    let data = tempfile::tempdir().unwrap();
    prepare(data.path(), &[]);
    let other = |event_type: &str| event(1).of_type(event_type);
    let mut events = vec![
        other("countd"),
        other("countd"),
        other("two words\nand a line"),
        other("elsewhere"),
        other("elsewhere"),
        other("elsewhere"),
    ];
    // Types come from records: their number is bounded.
    events.extend((0..110).map(|number| other(&format!("type-{number}"))));
    publish(data.path(), "chameleonTopic", &events);
    let host = paused(data.path()).start();
    let passed = |event_type: &str| {
        let of = [("topic", "chameleonTopic"), ("event_type", event_type)];
        scrape(&host).sum("saga_records_passed_over_total", &of)
    };
    until("all are passed over", || {
        scrape(&host).sum("saga_records_passed_over_total", &[]) == events.len() as f64
    });
    assert_eq!((passed("countd"), passed("elsewhere")), (2.0, 3.0));
    assert_eq!(
        passed("other"),
        1.0 + 13.0,
        "one is no name, and 97 others have a series"
    );
    let log = host.log();
    let said = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(said("event_type=\"elsewhere\""), 1, "{log}");
    assert_eq!(said("was `counted` meant, which it takes?"), 1, "{log}");
    assert_eq!(said("further types are counted together"), 1, "{log}");
    assert_eq!(said("two words\\nand a line"), 1, "escaped: {log}");
    assert!(host.stop().success());
}
