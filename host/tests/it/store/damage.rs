//! A damaged page of the store: named once, with what to do, and nothing more is acknowledged.

use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::expect::{problem, until};
use crate::store_file::{self, damage};
use crate::support::{Host, Start, request};

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
}

/// A host with 200 orders, all of them decided, that is stopped.
fn begin(data: &Path) {
    let host = start(data).start();
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1_000_000}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    for _ in 0..200 {
        assert_eq!(host.post("order", "/orders", &order()).status, 201);
    }
    until("all are decided", || {
        let pending = "SELECT count(*) FROM aggregates WHERE state LIKE '%PENDING%'";
        store_file::number(data, pending) == 0
    });
    assert!(host.stop().success());
}

fn order() -> Value {
    json!({"customerId": 1, "orderTotal": {"amount": 1}})
}

#[test]
fn damage_that_a_read_meets_is_named_once_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    begin(data.path());
    damage(data.path(), "aggregates");

    let host = start(data.path()).start();
    let begun = host.log().len();
    let answers: Vec<_> = (1..=200)
        .map(|id| host.get("order", &format!("/orders/{id}")))
        .collect();
    let damaged: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status != 200)
        .collect();
    assert!(!damaged.is_empty());
    for answer in damaged {
        let detail = problem(answer, 503, "store-unusable");
        assert!(detail.contains("the store is damaged"), "{detail}");
        assert_eq!(answer.header("retry-after"), None);
    }
    // What would be acknowledged now would be lost with the restore.
    let placed = host.post("order", "/orders", &order());
    problem(&placed, 503, "store-unusable");
    let report = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    assert_eq!(report.status, 503);
    let report: Value = report.json();
    let reason = report["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("the store is damaged (") && reason.contains("restore a backup"),
        "{reason}"
    );
    let log = host.log();
    let errors: Vec<_> = log[begun..]
        .lines()
        .filter(|line| line.contains("ERROR"))
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("the store is damaged") && errors[0].contains("restore a backup"));
    assert!(host.stop().success());
}

#[test]
fn damage_that_the_writer_meets_is_no_dead_letter() {
    let data = tempfile::tempdir().unwrap();
    begin(data.path());
    damage(data.path(), "inbox");

    // The search for old rows begins at once: on a slow machine it may meet the damage during the start.
    match Host::try_from_command(start(data.path()).program(), data.path()) {
        Ok(host) => {
            // Events of the new orders are looked up among those that were applied.
            for _ in 0..50 {
                let placed = host.post("order", "/orders", &order());
                if placed.status != 201 {
                    problem(&placed, 503, "store-unusable");
                }
            }
            host.log_until("the store is damaged");
            let log = host.log();
            assert_eq!(log.matches("the store is damaged (").count(), 1, "{log}");
            assert!(host.stop().success());
        }
        Err(log) => assert!(log.contains("the store is damaged ("), "{log}"),
    }
    let dead = "SELECT count(*) FROM dead_letters";
    assert_eq!(store_file::number(data.path(), dead), 0);
}

#[test]
fn damage_that_the_start_meets_ends_it() {
    let data = tempfile::tempdir().unwrap();
    begin(data.path());
    let sql = Connection::open(data.path().join("saga.db")).unwrap();
    sql.execute_batch(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         INSERT INTO idempotency_keys (participant, key, fingerprint, aggregate, reply, correlation, time)
         SELECT 1, hex(randomblob(20)), randomblob(32), '', '', '', 9000000000000 FROM n",
    )
    .unwrap();
    drop(sql);
    damage(data.path(), "sqlite_autoindex_idempotency_keys_1");
    let (status, said) = start(data.path()).fail();
    assert_eq!(status.code(), Some(73), "{said}");
    assert!(
        said.contains("saga.db: is not a store, or is damaged"),
        "{said}"
    );
    assert!(said.contains("restore a backup"), "{said}");
}
