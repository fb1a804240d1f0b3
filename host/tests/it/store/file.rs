//! The store's file: what can be wrong with it at start, a disk that is full, and that it keeps what it has.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rusqlite::Connection;
use serde_json::json;

use crate::expect::{problem, until};
use crate::store_file;
use crate::support::{Host, Start, component, output};

/// Exit code for a store that can't be used.
const STORE: Option<i32> = Some(73);

fn start(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
}

/// The store in a data directory.
fn db(data: &Path) -> PathBuf {
    data.join("saga.db")
}

fn register(host: &Host, limit: u64) -> u64 {
    let registered = host.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": limit}}),
    );
    assert_eq!(registered.status, 201, "{}", registered.text());
    registered.json()["customerId"].as_u64().unwrap()
}

/// Starts a host that must refuse its store, and gives what it said.
fn refused(data: &Path) -> String {
    let (status, said) = start(data).fail();
    assert_eq!(status.code(), STORE, "{said}");
    assert!(said.lines().last().unwrap().starts_with("saga: "), "{said}");
    said
}

#[test]
fn a_second_process_on_the_same_directory_is_refused_and_the_first_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let first = start(data.path()).start();
    let said = refused(data.path());
    for expected in [
        "saga.db: another saga process is using it",
        "saga.lock",
        "stop that one first",
        "a data directory of its own",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    assert_eq!(register(&first, 1), 1);
    first.kill();
    // The lock ends with its process, however that ended.
    let second = start(data.path()).start();
    assert_eq!(register(&second, 1), 2);
    assert!(second.stop().success());
}

#[test]
fn a_file_that_is_no_store_is_named_and_not_changed() {
    let data = tempfile::tempdir().unwrap();
    let file = db(data.path());

    std::fs::create_dir(&file).unwrap();
    assert!(refused(data.path()).contains("saga.db: is a directory; move it away"));
    std::fs::remove_dir(&file).unwrap();

    let text = "a letter that somebody saved under this name\n".repeat(100);
    std::fs::write(&file, &text).unwrap();
    assert!(refused(data.path()).contains("saga.db: is not a store, or is damaged"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    std::fs::remove_file(&file).unwrap();

    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .unwrap();
    let before = std::fs::read(&file).unwrap();
    assert!(refused(data.path()).contains("saga.db: is a SQLite database of another program"));
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

#[test]
fn a_store_of_a_newer_version_is_named_and_left_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    register(&host, 5);
    assert!(host.stop().success());
    let sql = Connection::open(db(data.path())).unwrap();
    let current: i64 = sql
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    sql.pragma_update(None, "user_version", current + 1)
        .unwrap();
    drop(sql);
    let before = std::fs::read(db(data.path())).unwrap();
    let said = refused(data.path());
    assert!(
        said.contains(&format!(
            "has schema version {}, this saga knows up to {current}",
            current + 1
        )),
        "{said}"
    );
    assert!(said.contains("use a newer saga"), "{said}");
    assert_eq!(std::fs::read(db(data.path())).unwrap(), before);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for data in [file.join("data"), file, PathBuf::from("/proc/saga-data")] {
        let said = refused(&data);
        assert!(
            said.contains(&format!("data directory {}: ", data.display())),
            "{said}"
        );
    }
}

/// Runs the program as somebody who may not write everywhere, which the superuser may.
fn as_nobody(directory: &Path, data: &Path) -> (ExitStatus, String) {
    let program = directory.join("saga");
    let rules = directory.join("customer.wasm");
    std::fs::copy(env!("CARGO_BIN_EXE_saga"), &program).unwrap();
    std::fs::copy(component("customer"), &rules).unwrap();
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program);
        command
    } else {
        Command::new(&program)
    };
    command
        .arg("run")
        .arg("--data")
        .arg(data)
        .arg(format!("--plugin=customer={}", rules.display()));
    command.args(["--listen", "customer=127.0.0.1:0"]);
    output(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    )
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_store_that_may_not_be_written_is_named() {
    let directory = tempfile::tempdir().unwrap();
    allow(directory.path(), 0o755);
    let data = directory.path().join("data");
    let host = Start::new(&["customer"], &data).start();
    assert_eq!(register(&host, 5), 1);
    assert!(host.stop().success());
    let file = db(&data);
    let before = std::fs::read(&file).unwrap();

    // The directory may not be written.
    allow(&data, 0o555);
    allow(&data.join("saga.lock"), 0o444);
    let (status, said) = as_nobody(directory.path(), &data);
    assert_eq!(status.code(), STORE, "{said}");
    assert!(
        said.contains(&format!(
            "data directory {}: Permission denied",
            data.display()
        )),
        "{said}"
    );

    // Only the file may not be written.
    allow(&data, 0o777);
    allow(&data.join("saga.lock"), 0o666);
    allow(&file, 0o444);
    let (status, said) = as_nobody(directory.path(), &data);
    assert_eq!(status.code(), STORE, "{said}");
    assert!(
        said.contains("saga.db: can't be opened for writing")
            && said.contains("check its permissions"),
        "{said}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);

    // Then nothing is in the way of who may.
    let host = Start::new(&["customer"], &data).start();
    assert_eq!(host.get("customer", "/customer/1").json()["creditLimit"], 5);
    assert!(host.stop().success());
}

#[test]
fn a_restart_goes_on_with_everything_that_was_there() {
    let data = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let host = start(data.path()).start();
        let customer = register(&host, 100);
        assert_eq!(customer, round, "ids go on");
        for earlier in 1..round {
            let left = host.get("customer", &format!("/customer/{earlier}")).json();
            assert_eq!(
                left,
                json!({"id": earlier, "name": "Ann", "creditLimit": 30})
            );
            assert_eq!(
                host.get("order", &format!("/orders/{earlier}")).json()["orderState"],
                "APPROVED"
            );
        }
        let placed = host.post(
            "order",
            "/orders",
            &json!({"customerId": customer, "orderTotal": {"amount": 70}}),
        );
        assert_eq!(placed.json()["orderId"], round);
        host.get_until("order", &format!("/orders/{round}"), |response| {
            response.json()["orderState"] == "APPROVED"
        });
        assert!(host.stop().success());
        // Everything is in the one file, which can be copied as it is.
        let log = data.path().join("saga.db-wal");
        assert!(
            !log.exists() || log.metadata().unwrap().len() == 0,
            "the log is left behind"
        );
    }
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(db(data.path()), db(copy.path())).unwrap();
    let host = start(copy.path()).start();
    assert_eq!(
        host.get("order", "/orders/3").json()["orderState"],
        "APPROVED"
    );
    assert!(host.stop().success());
}

/// Limits the size to which files of a process may grow. Beyond it a write fails, as on a full disk.
fn limit_files(host: &Host, bytes: &str) {
    let limit = format!("--fsize={bytes}:");
    let status = Command::new("prlimit")
        .arg(format!("--pid={}", host.id()))
        .arg(limit)
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn invariant_5_a_full_disk_refuses_nothing_loses_nothing_and_work_goes_on_when_there_is_room() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    assert_eq!(register(&host, 1_000), 1);
    let mut acknowledged = 0;
    let order = json!({"customerId": 1, "orderTotal": {"amount": 1}});
    let mut place = || {
        let placed = host.post("order", "/orders", &order);
        if placed.status == 201 {
            acknowledged += 1;
        }
        placed
    };
    assert_eq!(place().status, 201);

    for _ in 0..2 {
        let log = std::fs::metadata(data.path().join("saga.db-wal"))
            .unwrap()
            .len();
        // Room for a few commits yet, in the middle of a page.
        limit_files(&host, &(log + 30_001).to_string());
        // A small commit may find room where a larger one did not, until there is none at all. Each one's own
        // commit may fail, or one that it was decided upon.
        let mut in_a_row = 0;
        until("the disk is full", || {
            let placed = place();
            if placed.status == 201 {
                in_a_row = 0;
                return false;
            }
            let detail = problem(&placed, 503, "store-failed");
            assert!(detail.contains("nothing was changed"), "{detail}");
            assert!(placed.header("retry-after").is_some());
            in_a_row += 1;
            in_a_row == 10
        });
        // What is stored can be read all the while.
        assert_eq!(host.get("order", "/orders/1").status, 200);
        assert_eq!(host.get("customer", "/customer/1").status, 200);
        limit_files(&host, "unlimited");
        until("orders are taken again", || place().status == 201);
    }
    let orders = "SELECT count(*) FROM aggregates a JOIN participants p ON p.id = a.participant WHERE p.name = 'order'";
    let approved = format!("{orders} AND a.state LIKE '%APPROVED%'");
    until("all orders are approved", || {
        store_file::number(data.path(), &approved) == acknowledged
    });
    assert_eq!(
        store_file::number(data.path(), orders),
        acknowledged,
        "an order that was not acknowledged was stored"
    );
    assert_eq!(
        host.get("customer", "/customer/1").json()["creditLimit"],
        1_000 - acknowledged
    );
    assert_eq!(
        store_file::number(data.path(), "SELECT count(*) FROM dead_letters"),
        0
    );
    let log = host.log();
    assert!(log.contains("a commit failed and was undone"), "{log}");
    assert!(log.contains("the store takes commits again"), "{log}");
    assert!(host.stop().success());
}

#[test]
fn a_disk_that_is_full_at_the_start_is_named() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new("prlimit");
    // One page of the store would be more.
    command
        .arg("--fsize=2000:")
        .arg("--")
        .arg(env!("CARGO_BIN_EXE_saga"));
    command.arg("run").arg("--data").arg(data.path());
    command.arg(format!(
        "--plugin=customer={}",
        component("customer").display()
    ));
    let (status, said) = output(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    assert_eq!(status.code(), STORE, "{said}");
    assert!(said.contains("saga.db"), "{said}");
    let host = Start::new(&["customer"], data.path()).start();
    assert_eq!(register(&host, 5), 1);
    assert!(host.stop().success());
}

#[test]
fn fewer_partitions_than_before_strand_nothing() {
    let data = tempfile::tempdir().unwrap();
    let start = |partitions: u32| {
        Start::new(&["customer", "order"], data.path())
            .setting("embedded.partitions", partitions)
            .start()
    };
    let host = start(4);
    // Customers that do not exist: each has a key, and so a partition, of its own.
    let place = |customer: u64| {
        let order = serde_json::json!({"customerId": customer, "orderTotal": {"amount": 1}});
        assert_eq!(host.post("order", "/orders", &order).status, 201);
    };
    (1..=200).for_each(place);
    host.kill();
    let host = start(1);
    for id in 1..=200 {
        host.get_until("order", &format!("/orders/{id}"), |answer| {
            answer.json()["orderState"] == "REJECTED"
        });
    }
}
