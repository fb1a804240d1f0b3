//! Backups: made beside the host that runs, restored as the documentation says, and never mixed with the log of another file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::store_file::{execute, number};
use crate::support::{Host, Start, saga};

const ORDERS: &str = "SELECT count(*) FROM aggregates a JOIN participants p ON p.id = a.participant
    WHERE p.name = 'order'";

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
}

fn register(host: &Host) {
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1_000_000}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
}

fn place(host: &Host, count: u64) {
    for _ in 0..count {
        let order = json!({"customerId": 1, "orderTotal": {"amount": 1}});
        assert_eq!(host.post("order", "/orders", &order).status, 201);
    }
}

fn db(data: &Path) -> PathBuf {
    data.join("saga.db")
}

/// Makes a backup with the program; gives what it says.
fn backup(data: &Path, target: &Path) -> Value {
    let made = (saga().arg("backup").arg("--json").arg("--data").arg(data))
        .arg(target)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    serde_json::from_slice(&made.stdout).unwrap()
}

/// A copy as SQLite's own program makes it.
fn copy_beside(data: &Path, to: &Path) {
    let from = Connection::open(db(data)).unwrap();
    let mut to = Connection::open(to).unwrap();
    let backup = rusqlite::backup::Backup::new(&from, &mut to).unwrap();
    backup.run_to_completion(100, Duration::ZERO, None).unwrap();
}

/// Starts a host that must refuse its store.
fn refused(data: &Path) -> String {
    let before = std::fs::read(db(data)).unwrap();
    let (status, said) = start(data).fail();
    assert_eq!(status.code(), Some(73), "{said}");
    assert_eq!(std::fs::read(db(data)).unwrap(), before, "it was changed");
    said
}

#[test]
fn a_backup_of_a_running_host_is_restored_as_the_documentation_says() {
    let parent = tempfile::tempdir().unwrap();
    let (data, target) = (parent.path().join("data"), parent.path().join("backup"));
    let host = start(&data).start();
    register(&host);
    place(&host, 3);
    let made = backup(&data, &target);
    assert_eq!(made["missing"], json!([]));
    assert_eq!(made["components"].as_array().unwrap().len(), 2);
    assert_eq!(
        made["store_bytes"],
        std::fs::metadata(db(&target)).unwrap().len()
    );
    place(&host, 5);
    host.kill();

    // The components' files may be gone too: the backup has them.
    let documented = include_str!("../../../../docs/operations.md");
    let (_, commands) = documented
        .split_once("<!-- restore -->\n```console\n")
        .unwrap();
    let (commands, _) = commands.split_once("```").unwrap();
    for line in commands.lines().filter(|line| !line.contains("systemctl")) {
        let command = (line.trim_start_matches("# "))
            .replace("/var/lib/saga", data.to_str().unwrap())
            .replace("/backup/saga-2026-05-01", target.to_str().unwrap());
        let status = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(status.success(), "{command}");
    }
    let host = start(&data).start();
    assert_eq!(number(&data, ORDERS), 3);
    place(&host, 1);
    assert!(host.stop().success());
    // The backup is as it was, and can be restored again.
    assert_eq!(number(&target, ORDERS), 3);
}

#[test]
fn a_backup_has_all_that_was_acknowledged_before_it_and_no_half_turn() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let host = start(&data).start();
    register(&host);
    // Large enough that writes come in between.
    execute_large(&data);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    place(&host, 1);
                }
            });
        }
        for round in 0..3 {
            let target = parent.path().join(format!("backup-{round}"));
            let acknowledged = number(&data, ORDERS);
            let began = Instant::now();
            backup(&data, &target);
            let took = began.elapsed();
            assert!(took < Duration::from_secs(20), "{took:?}");
            let sql = Connection::open(db(&target)).unwrap();
            let checked: String = sql
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(checked, "ok");
            assert!(number(&target, ORDERS) >= acknowledged);
            // State, event and record of a decision are there together.
            let journal = "SELECT count(*) FROM journal j JOIN generations g ON g.id = j.generation
                JOIN participants p ON p.id = g.participant WHERE p.name = 'order' AND j.revision = 0";
            assert_eq!(number(&target, journal), number(&target, ORDERS));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(host.stop().success());
}

fn execute_large(data: &Path) {
    execute(data, "CREATE TABLE filler (x)");
    execute(
        data,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO filler SELECT randomblob(4000) FROM n",
    );
}

#[test]
fn a_backup_is_refused_where_something_is_there_and_where_there_is_no_store() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let failed = |target: &Path| {
        let made = (saga().arg("backup").arg("--data").arg(&data))
            .arg(target)
            .output()
            .unwrap();
        assert_eq!(made.status.code(), Some(73), "{made:?}");
        String::from_utf8(made.stderr).unwrap()
    };
    let target = parent.path().join("backup");
    assert!(failed(&target).contains("there is no store"));
    assert!(start(&data).start().stop().success());
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("note"), "mine").unwrap();
    assert!(failed(&target).contains("exists already"));
    assert_eq!(
        std::fs::read_to_string(target.join("note")).unwrap(),
        "mine"
    );
    // Nothing is left of one that failed.
    assert!(!parent.path().join("backup.unfinished").exists());
}

#[test]
fn no_backup_is_made_of_a_damaged_store() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let host = start(&data).start();
    register(&host);
    place(&host, 200);
    assert!(host.stop().success());
    crate::store_file::damage(&data, "aggregates");
    let target = parent.path().join("backup");
    let made = (saga().arg("backup").arg("--data").arg(&data))
        .arg(&target)
        .output()
        .unwrap();
    assert_eq!(made.status.code(), Some(73), "{made:?}");
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(
        said.contains("is damaged (") && said.contains("no backup was made"),
        "{said}"
    );
    assert!(!target.exists());
}

#[test]
fn a_backup_beside_the_log_of_another_store_is_refused() {
    // As many orders after the backup, so that the log would undo the restore, or not fit what is restored at all.
    for (before, after) in [(3, 5), (3, 120)] {
        for way in ["in place", "replaced", "saga backup"] {
            let parent = tempfile::tempdir().unwrap();
            let data = parent.path().join("data");
            let host = start(&data).start();
            register(&host);
            place(&host, before);
            let copy = parent.path().join("copy.db");
            if way == "saga backup" {
                backup(&data, &parent.path().join("backup"));
                std::fs::copy(db(&parent.path().join("backup")), &copy).unwrap();
            } else {
                copy_beside(&data, &copy);
            }
            place(&host, after);
            host.kill();
            if way == "replaced" {
                std::fs::remove_file(db(&data)).unwrap();
            }
            std::fs::copy(&copy, db(&data)).unwrap();
            let said = refused(&data);
            for expected in [
                "saga.db: does not belong to the log beside it",
                "move saga.db-wal and saga.db-shm away",
            ] {
                assert!(said.contains(expected), "{way}: {said}");
            }
            // Nor is a backup made of the two together.
            let made = (saga().arg("backup").arg("--data").arg(&data))
                .arg(parent.path().join("mixed"))
                .output()
                .unwrap();
            assert_eq!(made.status.code(), Some(73), "{made:?}");
            // What is said helps.
            for name in ["saga.db-wal", "saga.db-shm"] {
                std::fs::rename(data.join(name), parent.path().join(name)).unwrap();
            }
            let host = start(&data).start();
            assert_eq!(number(&data, ORDERS), before as i64, "{way}");
            place(&host, 1);
            assert!(host.stop().success());
        }
    }
}

#[test]
fn a_log_or_file_that_was_removed_after_a_crash_is_reported() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    register(&host);
    place(&host, 2);
    host.kill();
    let aside = tempfile::tempdir().unwrap();
    let log = data.path().join("saga.db-wal");
    std::fs::copy(&log, aside.path().join("log")).unwrap();
    std::fs::remove_file(&log).unwrap();
    let said = refused(data.path());
    assert!(said.contains("lacks its log (saga.db-wal)"), "{said}");
    std::fs::copy(aside.path().join("log"), &log).unwrap();
    let host = start(data.path()).start();
    assert_eq!(number(data.path(), ORDERS), 2);
    host.kill();
    let file = db(data.path());
    std::fs::rename(&file, aside.path().join("file")).unwrap();
    let (status, said) = start(data.path()).fail();
    assert_eq!(status.code(), Some(73), "{said}");
    assert!(said.contains("is missing, though its log"), "{said}");
    assert!(!file.exists() && log.exists());
    std::fs::copy(aside.path().join("file"), &file).unwrap();
    // Who can do without the log says so.
    std::fs::remove_file(&log).unwrap();
    std::fs::remove_file(data.path().join("saga.db-mark")).unwrap();
    assert!(start(data.path()).start().stop().success());
}

#[test]
fn a_directory_that_is_copied_after_a_crash_is_a_store() {
    let parent = tempfile::tempdir().unwrap();
    let (data, copy) = (parent.path().join("data"), parent.path().join("copy"));
    let host = start(&data).start();
    register(&host);
    place(&host, 3);
    host.kill();
    let copied = Command::new("cp").arg("-a").arg(&data).arg(&copy).status();
    assert!(copied.unwrap().success());
    let host = start(&copy).start();
    assert_eq!(number(&copy, ORDERS), 3);
    assert!(host.stop().success());
}
