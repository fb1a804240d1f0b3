//! The commands that look into a store, on one that is on a PostgreSQL server: they get its URL.

use std::path::Path;

use saga_testkit::postgres::can_start;
use serde_json::json;

use crate::chameleon::{Chameleon, count, swap};
use crate::commands::{asks, call, fails, json_of};
use crate::orders::{ann, decided, place};
use crate::server_store::ServerStore;
use crate::support::{component, saga};

#[test]
fn a_saga_is_explained_replayed_exported_and_verified_by_the_url_alone() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let data = tempfile::tempdir().unwrap();
    let url = store.server.url();
    let url = Path::new(&url);
    let host = store.host(&["customer", "order"], data.path()).start();
    ann(&host);
    assert_eq!(decided(&host, &place(&host, 300)), "APPROVED");
    let look = || {
        let told = json_of(&mut asks(url, &["explain", "order", "1"]));
        assert_eq!(told["sagas"].as_array().map(Vec::len), Some(1), "{told}");
        assert_eq!(json_of(&mut asks(url, &["stuck"]))["sagas"], json!([]));
        let replayed = json_of(&mut asks(url, &["replay", "order", "--self"]));
        assert_eq!(replayed["unchanged"], replayed["replayed"], "{replayed}");
        let (code, lines, said) = call(&mut asks(url, &["journal", "export", "order"]));
        assert_eq!((code, said.as_str()), (0, ""));
        assert_eq!(lines.lines().last(), Some("{\"decisions\":2}"), "{lines}");
        let told = json_of(&mut asks(url, &["generations"]));
        let first = &told["participants"][0];
        assert_eq!(first["name"], "customer", "{told}");
        assert_eq!(first["generations"][0]["is_kept"], true, "{told}");
        assert_eq!(
            json_of(&mut asks(url, &["dead-letters", "list"]))["letters"],
            json!([])
        );
        let order = component("order");
        let verified = json_of(asks(url, &["verify"]).arg(order));
        assert_eq!(verified["participant"], "order", "{verified}");
    };
    look();
    assert!(host.stop().success());
    look();

    let target = data.path().join("backup");
    let (code, said) = fails(asks(url, &["backup"]).arg(&target));
    assert_eq!(code, 73);
    assert!(said.contains("pg_dump"), "{said}");
    let (code, said) = fails(&mut asks(url, &["apply", "order", "order.wasm"]));
    assert_ne!(code, 0);
    assert!(!said.contains("secret"), "{said}");
    let (code, said) = fails(&mut asks(url, &["ready"]));
    assert_eq!(code, 69);
    assert!(
        said.contains("--admin URL") && !said.contains("secret"),
        "{said}"
    );
}

#[test]
fn a_store_that_is_named_by_the_environment_needs_no_argument() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let data = tempfile::tempdir().unwrap();
    store.host(&["customer", "order"], data.path()).run_once();
    let mut command = saga();
    command.args(["stuck"]).current_dir(data.path());
    command.env("SAGA__STORE__URL", store.server.url());
    assert_eq!(json_of(&mut command)["sagas"], json!([]));
}

#[test]
fn a_stopped_host_is_rolled_back_and_another_directory_starts_with_the_rules_before() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let data = tempfile::tempdir().unwrap();
    let build = |version: &str| Chameleon::new().version(version);
    let url = store.server.url();
    let file = data.path().join("chameleon.wasm");
    build("1.0.0").write(&file);
    let start = |directory: &Path| {
        let start = crate::chameleon::start(&file, directory).setting("reload.watch_ms", 0);
        start.arguments(&["--store", &url])
    };
    let host = start(data.path()).start();
    count(&host, "k");
    swap(&host, &build("2.0.0"));
    count(&host, "k");
    let (code, said) = fails(&mut asks(Path::new(&url), &["rollback", "chameleon"]));
    assert_eq!(code, 73, "{said}");
    assert!(said.contains("another saga process is using it"), "{said}");
    assert!(host.stop().success());

    let applied = json_of(&mut asks(Path::new(&url), &["rollback", "chameleon"]));
    assert_eq!(applied["version"], "1.0.0", "{applied}");
    assert_eq!(applied["changed"], true, "{applied}");
    let elsewhere = tempfile::tempdir().unwrap();
    let host = start(elsewhere.path()).start();
    assert_eq!(count(&host, "k")["by"], "1.0.0");
    assert!(host.stop().success());
}
