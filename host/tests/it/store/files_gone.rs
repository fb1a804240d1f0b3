//! The store's files go away while the host runs: nothing is acknowledged on what is lost, and the host ends.

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::expect::word_of;
use crate::support::{Host, Response, Start, request, try_request};

/// Longest time after which a commit may still be acknowledged. That a commit comes after it is looked at each one.
const NOTICED: Duration = Duration::from_secs(1);

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
}

fn place(host: &Host) -> std::io::Result<Response> {
    let url = format!("{}/orders", host.url("order"));
    let order = json!({"customerId": 1, "orderTotal": {"amount": 1}});
    try_request("POST", &url, &[], order.to_string().as_bytes())
}

fn begin(data: &Path) -> Host {
    let host = start(data).start();
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1_000_000}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    assert_eq!(place(&host).unwrap().status, 201);
    host
}

/// Checks a host whose files have just gone: it refuses, says why, and ends.
fn refuses_and_ends(host: Host) -> (ExitStatus, String) {
    let gone = Instant::now();
    let (mut refused, mut reported) = (0, 0);
    while let Ok(answer) = place(&host) {
        match answer.status {
            201 => assert!(
                gone.elapsed() < NOTICED && refused == 0,
                "acknowledged {:?} after the files went",
                gone.elapsed()
            ),
            503 => {
                refused += 1;
                assert_eq!(word_of(&answer.json()), "store-unusable");
                assert_eq!(answer.header("retry-after"), None);
                if let Ok(report) =
                    try_request("GET", &format!("{}/readyz", host.admin()), &[], b"")
                {
                    reported += 1;
                    assert_eq!(report.status, 503);
                    let report: Value = report.json();
                    assert_eq!(report["status"], "unavailable");
                    let reason = report["reason"].as_str().unwrap();
                    assert!(reason.contains("removed, moved or replaced"), "{reason}");
                }
            }
            other => panic!("{other}: {}", answer.text()),
        }
        assert!(gone.elapsed() < Duration::from_secs(20), "it goes on");
    }
    assert!(refused > 0 && reported > 0, "{refused} {reported}");
    let log = host.log_path();
    (
        host.wait(),
        std::fs::read_to_string(log).unwrap_or_default(),
    )
}

#[test]
fn invariant_10_nothing_is_acknowledged_on_files_that_were_removed() {
    for names in [
        &["saga.db-wal", "saga.db-shm"][..],
        &["saga.db", "saga.db-wal", "saga.db-shm", "saga.db-mark"],
        &["saga.db-shm"],
        &["saga.lock"],
    ] {
        let data = tempfile::tempdir().unwrap();
        let host = begin(data.path());
        for name in names {
            std::fs::remove_file(data.path().join(name)).unwrap();
        }
        let (status, log) = refuses_and_ends(host);
        assert_eq!(status.code(), Some(73), "{log}");
        let said =
            "was removed, moved or replaced; nothing more is acknowledged, and the host ends";
        assert_eq!(log.matches(said).count(), 1, "{log}");
        assert!(log.contains("saga: the store can't be used:"), "{log}");
    }
}

#[test]
fn invariant_10_a_store_that_was_moved_keeps_all_that_was_acknowledged() {
    let parent = tempfile::tempdir().unwrap();
    let (data, moved) = (parent.path().join("data"), parent.path().join("moved"));
    let host = begin(&data);
    std::fs::rename(&data, &moved).unwrap();
    std::fs::create_dir(&data).unwrap();
    let log = moved.join("log.txt");
    let (status, _) = refuses_and_ends(host);
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(73), "{log}");
    let host = start(&moved).start();
    assert_eq!(host.get("order", "/orders/1").status, 200);
    assert!(host.stop().success());
}

#[test]
fn an_idle_host_notices_that_its_files_are_gone() {
    let data = tempfile::tempdir().unwrap();
    let host = begin(data.path());
    std::fs::remove_file(data.path().join("saga.db")).unwrap();
    let log = host.log_path();
    assert_eq!(host.wait().code(), Some(73));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("nothing more is acknowledged"), "{log}");
}

#[test]
fn a_second_process_is_refused_where_the_lock_file_was_removed() {
    let data = tempfile::tempdir().unwrap();
    let host = begin(data.path());
    std::fs::remove_file(data.path().join("saga.lock")).unwrap();
    let (status, said) = start(data.path()).fail();
    assert_eq!(status.code(), Some(73), "{said}");
    assert!(said.contains("another saga process is using it"), "{said}");
    assert_eq!(host.wait().code(), Some(73));
}

#[test]
fn a_file_that_is_copied_over_the_store_of_a_running_host_ends_it() {
    let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(begin(other.path()).stop().success());
    let host = begin(data.path());
    std::fs::copy(other.path().join("saga.db"), data.path().join("saga.db")).unwrap();
    let log = host.log_path();
    assert_eq!(host.wait().code(), Some(73));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("another file was copied over it"), "{log}");
}

#[test]
fn a_checkpoint_that_another_program_takes_is_no_loss() {
    let data = tempfile::tempdir().unwrap();
    let host = begin(data.path());
    for _ in 0..2 {
        let sql = rusqlite::Connection::open(data.path().join("saga.db")).unwrap();
        let busy: i64 = sql
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(0))
            .unwrap();
        assert_eq!(busy, 0);
        // Several looks at the files later.
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            assert_eq!(place(&host).unwrap().status, 201);
        }
    }
    let readyz = format!("{}/readyz", host.admin());
    assert_eq!(request("GET", &readyz, &[], b"").status, 200);
    host.kill();
    // And none for the next start.
    let host = start(data.path()).start();
    assert_eq!(host.get("order", "/orders/1").status, 200);
    assert!(host.stop().success());
}
