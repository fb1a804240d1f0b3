//! A store on a PostgreSQL server: who may use it, and what is said if it can't be used.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use saga_testkit::postgres::can_start;
use serde_json::json;

use crate::clients::Authority;
use crate::orders::{ann, decided};
use crate::server_store::ServerStore;
use crate::support::{Host, Start, component, saga};

/// The exit code of a store that can't be used.
const STORE: i32 = 73;
/// The exit code of wrong settings.
const USAGE: i32 = 64;

/// The error of a start that must fail with this code.
fn refused(start: &Start, code: i32) -> String {
    let (status, said) = start.fail();
    assert_eq!(status.code(), Some(code), "{said}");
    said
}

fn order(host: &Host, amount: f64) -> String {
    let body = json!({"customerId": 1, "orderTotal": {"amount": amount}});
    let placed = host.post("order", "/orders", &body);
    assert_eq!(placed.status, 201, "{}", placed.text());
    format!("/orders/{}", placed.json()["orderId"])
}

#[test]
fn the_saga_runs_and_another_host_in_another_directory_goes_on_with_it() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let both = ["customer", "order"];
    let host = store.host(&both, first.path()).start();
    let body = json!({"name": "c", "creditLimit": {"amount": 10.5}});
    assert_eq!(host.post("customer", "/customers", &body).status, 201);
    let approved = order(&host, 10.25);
    assert_eq!(decided(&host, &approved), "APPROVED");
    let rejected = order(&host, 0.26);
    assert_eq!(decided(&host, &rejected), "REJECTED");
    assert!(host.stop().success());

    // Neither store nor component is taken from a directory.
    assert!(!first.path().join("saga.db").exists());
    let host = store.host(&both, second.path()).start();
    assert_eq!(decided(&host, &approved), "APPROVED");
    let left = host.get("customer", "/customer/1").json();
    assert_eq!(left["creditLimit"].to_string(), "0.25");
    assert!(host.stop().success());
    assert!(!second.path().join("saga.db").exists());
}

#[test]
fn a_data_directory_that_is_missing_is_created_with_a_store_on_a_server_too() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("new");
    let plugin = format!("customer={}", component("customer").display());
    let mut command = saga();
    command.args([
        "run",
        "--plugin",
        &plugin,
        "--listen",
        "customer=127.0.0.1:0",
    ]);
    command
        .args(["--store", &store.server.url(), "--data"])
        .arg(&data);
    let host = Host::from_command(command, directory.path());
    for made in ["code", "components", "admin.json"] {
        assert!(data.join(made).exists(), "{made}");
    }
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(host.stop().success());
}

#[test]
fn another_schema_is_another_store() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let host = store.host(&["customer"], first.path()).start();
    ann(&host);
    let start = store.host(&["customer"], second.path());
    let other = start.setting("store.schema", "others").start();
    assert_eq!(other.get("customer", "/customer/1").status, 404);
    assert!(other.stop().success());
    assert!(host.stop().success());
}

#[test]
fn a_killed_host_is_followed_within_seconds() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let data = tempfile::tempdir().unwrap();
    store.host(&["customer"], data.path()).start().kill();
    let began = Instant::now();
    let host = store.host(&["customer"], data.path()).start();
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    assert!(host.stop().success());
}

#[test]
fn what_keeps_a_store_from_being_used_is_named_with_the_remedy() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let server = &store.server;
    let data = tempfile::tempdir().unwrap();
    let at = |url: &str| store.host_at(url, &["customer"], data.path());
    let sql = |text: &str| server.sql(text).unwrap();
    let address = server.address();
    sql("CREATE ROLE guest LOGIN PASSWORD 'guest'");
    sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0");
    sql("REVOKE CREATE ON DATABASE postgres FROM PUBLIC");

    let wrong = format!("postgres://saga:hunter2@{address}/postgres");
    let said = refused(&at(&wrong), STORE);
    assert!(said.contains("check the password of saga"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");

    let said = refused(&at(&server.url().replace("/postgres", "/none")), STORE);
    assert!(said.contains("CREATE DATABASE \"none\""), "{said}");

    let said = refused(
        &at(&format!("postgres://guest:guest@{address}/postgres")),
        STORE,
    );
    assert!(said.contains("GRANT CREATE ON DATABASE"), "{said}");

    sql("ALTER ROLE guest CONNECTION LIMIT 0");
    let said = refused(
        &at(&format!("postgres://guest:guest@{address}/postgres")),
        STORE,
    );
    assert!(said.contains("raise max_connections"), "{said}");

    let said = refused(&at(&server.url().replace("/postgres", "/latin")), STORE);
    assert!(said.contains("ENCODING 'UTF8'"), "{said}");

    let free = saga_testkit::ports::free(1)[0];
    let said = refused(
        &at(&format!("postgres://saga@127.0.0.1:{free}/postgres")),
        STORE,
    );
    assert!(said.contains("check host, port and sslmode"), "{said}");

    let said = refused(&at("mysql://saga@127.0.0.1/postgres"), USAGE);
    assert!(said.contains("--store"), "{said}");
    assert!(
        said.contains("postgres://USER@HOST:5432/DATABASE"),
        "{said}"
    );

    sql("ALTER ROLE saga SET synchronous_commit = off");
    let said = refused(&at(&server.url()), STORE);
    assert!(said.contains("synchronous_commit is off"), "{said}");
    sql("ALTER ROLE saga RESET synchronous_commit");

    at(&server.url()).run_once();
    for (version, remedy) in [(99, "use a newer saga"), (0, "store.schema")] {
        sql(&format!("UPDATE saga.store SET version = {version}"));
        let said = refused(&at(&server.url()), STORE);
        assert!(said.contains(remedy), "{said}");
    }
    assert!(!Path::new(&data.path().join("saga.db")).exists());
}

#[test]
fn a_standby_is_refused_and_its_promotion_makes_it_usable() {
    if !can_start() {
        return;
    }
    let store = ServerStore::with(&[("wal_level", "replica")]);
    let server = &store.server;
    let data = tempfile::tempdir().unwrap();
    store.host(&["customer"], data.path()).run_once();
    server.stop().unwrap();
    let signal = server.directory().join("data").join("standby.signal");
    server.give(&signal, b"").unwrap();
    server.start_again().unwrap();
    let said = refused(&store.host(&["customer"], data.path()), STORE);
    assert!(said.contains("give the address of the primary"), "{said}");

    server.sql("SELECT pg_promote()").unwrap();
    store.host(&["customer"], data.path()).run_once();
}

#[test]
fn a_password_comes_from_a_file_and_is_not_printed() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let url = format!("postgres://saga@{}/postgres", store.server.address());
    let start = store.host_at(&url, &["customer"], data.path());
    let host = start.setting("store.password_file", file.display()).start();
    assert!(!host.log().contains("secret"));
    assert!(host.stop().success());
}

#[test]
fn a_server_shows_a_certificate_of_an_authority_that_the_host_trusts() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let server = &store.server;
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (certificate, key) = authority.sign(2100);
    for (name, text) in [("server.pem", &certificate), ("server.key", &key)] {
        let file = server.directory().join(name);
        server.give(&file, text.as_bytes()).unwrap();
        let setting = if name == "server.pem" {
            "ssl_cert_file"
        } else {
            "ssl_key_file"
        };
        let set = format!("ALTER SYSTEM SET {setting} = '{}'", file.display());
        server.sql(&set).unwrap();
    }
    server.sql("ALTER SYSTEM SET ssl = on").unwrap();
    server.restart().unwrap();
    let url = format!(
        "postgres://saga:secret@127.0.0.1:{}/postgres?sslmode=require",
        server.port()
    );
    let start = || store.host_at(&url, &["customer"], data.path());
    let said = refused(&start(), STORE);
    assert!(said.contains("certificate"), "{said}");
    let file = data.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let host = start().setting("store.ca_file", file.display()).start();
    let encrypted = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                     WHERE a.application_name = 'saga' AND NOT s.ssl";
    assert_eq!(store.number(encrypted), 0);
    assert!(host.stop().success());
}
