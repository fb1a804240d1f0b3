//! A disk that stands still, or another program's lock: what can be answered is answered, every drain ends, and nothing takes
//! effect twice.
//!
//! The disk stands still by a small library that is loaded into the real process (`freeze.c`).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::expect::{problem, until};
use crate::exposition::scrape;
use crate::preload::FREEZE;
use crate::store_file::number;
use crate::support::{Host, Response, Start, request, signal};

/// Far less than a store stands still here, and more than a machine under load needs for an answer from memory.
const SOON: Duration = Duration::from_secs(4);

const CUSTOMERS: &str = "SELECT count(*) FROM aggregates";

/// A host whose bounds are short, so that no test waits for long.
fn settings(data: &Path) -> Start {
    Start::new(&["customer"], data)
        .setting("store.standstill_seconds", 3)
        .setting("http.answer_seconds", 1)
        .setting("drain_seconds", 1)
}

/// The file that lets the disk stand still as long as it is there.
fn freeze(data: &Path) -> PathBuf {
    data.join("freeze")
}

/// The file that lets reading of the store stand still as long as it is there.
fn freeze_reads(data: &Path) -> PathBuf {
    data.join("freeze-reads")
}

fn start(data: &Path) -> Host {
    start_with(settings(data), data)
}

fn start_with(settings: Start, data: &Path) -> Host {
    let mut command = settings.program();
    command
        .env("LD_PRELOAD", &*FREEZE)
        .env("FREEZE", freeze(data))
        .env("FREEZE_READS", freeze_reads(data));
    Host::from_command(command, data)
}

fn register(url: &str, key: &str) -> Response {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let body = json!({"name": key, "creditLimit": {"amount": 1}}).to_string();
    request("POST", url, &headers, body.as_bytes())
}

/// An answer of the admin interface, which must come soon, whatever the store does.
fn ask(host: &Host, path: &str) -> Response {
    let asked = Instant::now();
    let answer = request("GET", &format!("{}{path}", host.admin()), &[], b"");
    assert!(asked.elapsed() < SOON, "{path} took {:?}", asked.elapsed());
    answer
}

/// Waits until the host is not ready; gives why.
fn until_unready(host: &Host) -> String {
    let mut report = Value::Null;
    until("the host is not ready", || {
        let told = ask(host, "/readyz");
        report = told.json();
        told.status == 503
    });
    assert_eq!(report["status"], "unavailable", "{report}");
    assert_eq!(report["participants"][0]["name"], "customer", "{report}");
    report["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_stalled_disk_is_reported_and_a_repeated_command_gets_its_answer_afterwards() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let url = format!("{}/customers", host.url("customer"));
    assert_eq!(register(&url, "before").status, 201);
    std::fs::write(freeze(data.path()), "").unwrap();

    // It may take effect yet, and says so.
    let unknown = register(&url, "during");
    let detail = problem(&unknown, 503, "outcome-unknown");
    assert!(
        detail.contains("under the same Idempotency-Key"),
        "{detail}"
    );
    assert_eq!(unknown.header("retry-after"), Some("1"));
    let repeat = register(&url, "during");
    problem(&repeat, 409, "idempotency-key-in-use");

    let reason = until_unready(&host);
    let said = "the store stands still: a commit has been waiting for ";
    assert!(reason.starts_with(said), "{reason}");
    assert_eq!(ask(&host, "/livez").status, 200);
    let told = ask(&host, "/generations");
    let told = &told.json()["participants"][0];
    assert_eq!(told["name"], "customer", "{told}");
    assert!(told["stale_seconds"].is_u64(), "{told}");
    let metrics = scrape(&host);
    assert_eq!(metrics.one("saga_store_failing", &[]), 1.0);
    assert!(metrics.one("saga_store_commit_waiting_seconds", &[]) >= 1.0);

    // Nothing more is taken: this one is known to have done nothing.
    until("commands are refused", || {
        let refused = register(&url, "after");
        refused.json()["type"]
            .as_str()
            .unwrap_or_default()
            .ends_with("/store-failed")
    });
    // What is stored can be read.
    assert_eq!(host.get("customer", "/customer/1").status, 200);

    std::fs::remove_file(freeze(data.path())).unwrap();
    let mut answer = None;
    until("the outcome is known", || {
        let again = register(&url, "during");
        let is_known = again.status == 201;
        answer = is_known.then_some(again);
        is_known
    });
    let answer = answer.unwrap();
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
    assert_eq!(answer.json()["customerId"], 2);
    until("commands are taken", || {
        register(&url, "after").status == 201
    });
    until("it is ready", || ask(&host, "/readyz").status == 200);
    assert!(ask(&host, "/generations").json()["participants"][0]["stale_seconds"].is_null());
    // Some keys were given to commands that were refused.
    until("each took effect once", || {
        number(data.path(), CUSTOMERS) == 3
    });
    host.log_until("the store stands still: a commit has been waiting for ");
    host.log_until("the store makes progress again");
    assert!(host.stop().success());
}

#[test]
fn a_repeat_and_a_list_are_answered_in_time_where_the_disk_does_not_read() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let url = format!("{}/customers", host.url("customer"));
    assert_eq!(register(&url, "k").status, 201);
    std::fs::write(freeze_reads(data.path()), "").unwrap();
    let asked = Instant::now();
    std::thread::scope(|scope| {
        // More than are read at once: those that wait for their place are answered too.
        let repeats = (0..4).map(|_| scope.spawn(|| register(&url, "k")));
        let lists = (0..6).map(|_| scope.spawn(|| host.get("customer", "/customers")));
        let answers: Vec<_> = repeats.chain(lists).collect();
        for answer in answers {
            let detail = problem(&answer.join().unwrap(), 503, "try-later");
            assert!(detail.contains("was not read within 1 s"), "{detail}");
        }
    });
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());

    std::fs::remove_file(freeze_reads(data.path())).unwrap();
    let again = register(&url, "k");
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let list = host.get("customer", "/customers").json();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list}");
    assert!(host.stop().success());
}

#[test]
fn bodies_stay_charged_to_the_budget_until_they_are_committed() {
    let data = tempfile::tempdir().unwrap();
    let settings = settings(data.path())
        .setting("store.standstill_seconds", 600)
        .setting("http.memory_bytes", 1 << 20);
    let host = start_with(settings, data.path());
    let send = || {
        let customer = json!({"name": "Ann", "creditLimit": {"amount": 1}});
        let body = format!("{customer}{}", " ".repeat(300_000));
        host.send("customer", "POST", "/customers", &body)
    };
    std::fs::write(freeze(data.path()), "").unwrap();
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..3).map(|_| scope.spawn(send)).collect();
        for answer in asked {
            problem(&answer.join().unwrap(), 503, "outcome-unknown");
        }
    });
    problem(&send(), 503, "too-many-bytes");
    std::fs::remove_file(freeze(data.path())).unwrap();
    until("there is room again", || send().status == 201);
    assert!(host.stop().success());
}

#[test]
fn invariant_11_a_drain_ends_in_its_time_whatever_the_disk_does() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let url = format!("{}/customers", host.url("customer"));
    std::fs::write(freeze(data.path()), "").unwrap();
    problem(&register(&url, "k"), 503, "outcome-unknown");
    let asked = Instant::now();
    signal(host.id(), "TERM");
    host.log_until("the drain did not end in time: it waits for ");
    assert_eq!(host.wait().code(), Some(75));
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );

    std::fs::remove_file(freeze(data.path())).unwrap();
    let host = settings(data.path()).start();
    let url = format!("{}/customers", host.url("customer"));
    assert_eq!(register(&url, "k").json()["customerId"], 1);
    assert_eq!(number(data.path(), CUSTOMERS), 1);
    assert!(host.stop().success());
}

#[test]
fn another_programs_lock_is_told_with_its_process_and_holds_up_neither_monitors_nor_the_drain() {
    let data = tempfile::tempdir().unwrap();
    let host = settings(data.path()).start();
    let url = format!("{}/customers", host.url("customer"));
    assert_eq!(register(&url, "before").status, 201);
    let lock = Connection::open(data.path().join("saga.db")).unwrap();
    lock.busy_timeout(Duration::from_secs(10)).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    problem(&register(&url, "during"), 503, "outcome-unknown");
    let holder = format!("process {} (", std::process::id());
    // Who holds it is looked for a moment later.
    until("the lock's holder is named", || {
        let reason = until_unready(&host);
        reason.contains(&holder) && reason.contains("lock")
    });
    for path in ["/livez", "/generations", "/metrics"] {
        assert_eq!(ask(&host, path).status, 200, "{path}");
    }
    let asked = Instant::now();
    signal(host.id(), "TERM");
    assert_eq!(host.wait().code(), Some(75));
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    drop(lock);
    let host = settings(data.path()).start();
    let url = format!("{}/customers", host.url("customer"));
    assert_eq!(register(&url, "during").status, 201);
    assert_eq!(number(data.path(), CUSTOMERS), 2);
    assert!(host.stop().success());
}

/// The data directory of a host that has stopped, and this program's lock on its store.
fn locked() -> (tempfile::TempDir, Connection) {
    let data = tempfile::tempdir().unwrap();
    assert!(settings(data.path()).start().stop().success());
    let lock = Connection::open(data.path().join("saga.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    (data, lock)
}

#[test]
fn a_start_under_another_programs_lock_names_the_program() {
    let (data, _lock) = locked();
    let (status, said) = settings(data.path()).fail();
    assert_eq!(status.code(), Some(73), "{said}");
    let own = format!("database is locked: process {} (", std::process::id());
    assert!(said.contains(&own), "{said}");
    let remedy = "has locked it; end that program, or its transaction";
    assert!(said.contains(remedy), "{said}");
}

#[test]
fn a_signal_ends_a_start_that_waits_for_a_lock() {
    let (data, _lock) = locked();
    let mut command = settings(data.path()).program();
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    until("the start has the store", || {
        let lock = std::fs::File::open(data.path().join("saga.lock")).unwrap();
        lock.try_lock().is_err()
    });
    let asked = Instant::now();
    signal(child.id(), "TERM");
    let status = child.wait().unwrap();
    // Waiting for the lock would take 4 seconds.
    assert!(asked.elapsed() < Duration::from_secs(2), "{status}");
    assert_eq!(status.code(), Some(128 + 15));
}
