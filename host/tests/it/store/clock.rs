//! A clock that leaps: nothing is deleted on one reading of it. The store is told that it was last open at another time, which
//! is what a host sees whose clock leapt.

use std::path::Path;

use serde_json::json;

use crate::expect::until;
use crate::store_file::{execute, number};
use crate::support::{Host, Response, Start, request};

const DAY: i64 = 86_400_000;

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
}

fn place(host: &Host, key: &str) -> Response {
    let order = json!({"customerId": 1, "orderTotal": {"amount": 1}}).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let url = format!("{}/orders", host.url("order"));
    request("POST", &url, &headers, order.as_bytes())
}

fn is_replayed(answer: &Response) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

/// A host with one order under the key `k`, all of it decided.
fn begin(data: &Path) {
    let host = start(data).start();
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 100}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    assert_eq!(place(&host, "k").status, 201);
    host.get_until("order", "/orders/1", |answer| {
        answer.json()["orderState"] == "APPROVED"
    });
    assert!(host.stop().success());
}

/// Moves all times of the store, the one at which it was last open included: for the next start, the clock leapt by that much.
fn leap(data: &Path, by: i64) {
    for table in [
        "journal",
        "outbox",
        "inbox",
        "idempotency_keys",
        "trusted_time",
    ] {
        execute(data, &format!("UPDATE {table} SET time = time - {by}"));
    }
}

/// Waits until old rows were looked for: one that is old by any clock is gone.
fn pruned(data: &Path) {
    until("what is old is deleted", || {
        number(data, "SELECT count(*) FROM dead_letters") == 0
    });
}

fn put_old_row(data: &Path) {
    execute(
        data,
        "INSERT INTO dead_letters (participant, consumer, topic, declared_topic, partition, offset, made, attributes,
             reason, detail, attempts, digest, time)
         VALUES (1, 'g', 't', 't', 0, 0, 0, '{}', 'malformed', '', 1, '', 0)",
    );
}

#[test]
fn a_start_with_a_clock_that_is_ahead_deletes_nothing_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    begin(data.path());
    let before = ["inbox", "journal"]
        .map(|table| number(data.path(), &format!("SELECT count(*) FROM {table}")));
    leap(data.path(), 40 * DAY);
    put_old_row(data.path());
    let host = start(data.path()).start();
    pruned(data.path());
    let log = host.log();
    let said = "the clock is 40 days ahead of the time at which the store was last open";
    assert_eq!(log.matches(said).count(), 1, "{log}");
    assert!(
        log.contains("WARN") && log.contains("timers go by the clock"),
        "{log}"
    );
    assert!(is_replayed(&place(&host, "k")), "it takes effect again");
    assert!(host.stop().success());
    let left = ["inbox", "journal"]
        .map(|table| number(data.path(), &format!("SELECT count(*) FROM {table}")));
    assert_eq!(left, before);

    // The clock is set right again: the time goes on from where the store was last open.
    let host = start(data.path()).start();
    assert!(is_replayed(&place(&host, "k")));
    assert!(host.stop().success());
}

#[test]
fn a_clock_that_is_behind_makes_nothing_old_then_or_when_it_is_set_right() {
    let data = tempfile::tempdir().unwrap();
    begin(data.path());
    execute(
        data.path(),
        &format!("UPDATE trusted_time SET time = time + {}", 40 * DAY),
    );
    put_old_row(data.path());
    let host = start(data.path()).start();
    pruned(data.path());
    host.log_until("the clock is 40 days behind the time at which the store was last open");
    assert!(is_replayed(&place(&host, "k")));
    assert_eq!(place(&host, "behind").status, 201);
    host.get_until("order", "/orders/2", |answer| {
        answer.json()["orderState"] == "APPROVED"
    });
    assert!(host.stop().success());

    // The clock is set right: what was written before is forty days old, and what was written while it was behind is not.
    leap(data.path(), 40 * DAY);
    let host = start(data.path()).start();
    until("what is old is deleted", || {
        number(
            data.path(),
            "SELECT count(*) FROM idempotency_keys WHERE key = 'k'",
        ) == 0
    });
    assert!(
        is_replayed(&place(&host, "behind")),
        "it takes effect again"
    );
    assert!(host.stop().success());
    let known = number(data.path(), "SELECT count(*) FROM inbox");
    assert!(known > 0, "events are applied again");
}

#[test]
fn rows_from_a_future_clock_hold_back_no_others() {
    let data = tempfile::tempdir().unwrap();
    begin(data.path());
    // Two days old, as by a clock that was right all the time; the first ones are of a clock that was not.
    for table in ["journal", "outbox", "inbox", "idempotency_keys"] {
        execute(
            data.path(),
            &format!("UPDATE {table} SET time = time - {}", 2 * DAY),
        );
    }
    execute(
        data.path(),
        "UPDATE journal SET time = 2086000000000 WHERE seq = (SELECT min(seq) FROM journal)",
    );
    execute(
        data.path(),
        "UPDATE outbox SET time = 2086000000000 WHERE offset = 0",
    );
    let host = start(data.path())
        .setting("store.retention_hours", 1)
        .start();
    let left = |table: &str| {
        number(
            data.path(),
            &format!("SELECT count(*) FROM {table} WHERE time < 2000000000000"),
        )
    };
    for table in ["journal", "outbox", "inbox", "idempotency_keys"] {
        until(&format!("what is old in {table} is deleted"), || {
            left(table) == 0
        });
    }
    let ahead = number(
        data.path(),
        "SELECT count(*) FROM journal WHERE time = 2086000000000",
    );
    assert_eq!(ahead, 1, "nor do they vanish");
    assert!(host.stop().success());
}
