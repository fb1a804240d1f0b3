//! A store copied to a PostgreSQL server and back, and checked.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use saga_testkit::postgres::can_start;
use saga_testkit::postgres::proxy::{Proxy, Trigger, What};
use serde_json::{Value, json};

use crate::commands::{asks, call, fails, json_of};
use crate::orders::{ann, decided, place};
use crate::server_store::ServerStore;
use crate::store_file::{execute, number};
use crate::support::{Host, Start, saga};

/// Both participants.
const BOTH: [&str; 2] = ["customer", "order"];

fn copy(from: &str, to: &str) -> Command {
    let mut command = saga();
    command.args(["store", "copy", "--from", from, "--to", to]);
    command
}

fn path(directory: &Path) -> &str {
    directory.to_str().unwrap()
}

/// The rows of a kind that were copied.
fn rows(copied: &Value, kind: &str) -> u64 {
    let kinds = copied["kinds"].as_array().unwrap();
    let found = kinds.iter().find(|one| one["kind"] == kind);
    found.unwrap()["rows"].as_u64().unwrap()
}

/// Publishes the same answer each time; gives the participants that have applied it before.
fn publish(data: &Path) -> Value {
    let details = json!({"customerId": 1, "orderTotal": {"amount": 300}});
    let answer = json!({"id": 1, "state": "APPROVED", "orderDetails": details}).to_string();
    let typed = "saga.customer.credit-answered";
    let arguments = ["publish", "customerTopic", &answer, "--type", typed];
    let given = ["--id", "mine", "--source", "/gateway"];
    json_of(asks(data, &arguments).args(given))["known_to"].clone()
}

fn check(data: &Path) -> Value {
    let checked = json_of(&mut asks(data, &["store", "check"]));
    let all = checked["checked"].as_array().unwrap();
    let wrong: Vec<_> = all.iter().filter(|one| one["wrong"] != 0).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    checked
}

/// Places an order, waits until it is decided; gives its path and its state.
fn order(host: &Host, amount: u64) -> (String, String) {
    let placed = place(host, amount);
    let state = decided(host, &placed);
    (placed, state)
}

fn expected(path: &str, state: &str) -> (String, String) {
    (path.to_owned(), state.to_owned())
}

fn credit(host: &Host) -> String {
    let customer = host.get("customer", "/customer/1").json();
    customer["creditLimit"].to_string()
}

#[test]
fn a_saga_goes_on_after_a_copy_to_a_server_and_after_one_back() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let url = store.server.url();
    let [first, elsewhere, last] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let host = Start::new(&BOTH, first.path()).start();
    ann(&host);
    assert_eq!(order(&host, 300), expected("/orders/1", "APPROVED"));
    assert_eq!(order(&host, 800), expected("/orders/2", "REJECTED"));
    assert_eq!(publish(first.path()), json!([]));
    check(first.path());
    let (code, said) = fails(&mut copy(path(first.path()), &url));
    assert_eq!(code, 73, "{said}");
    assert!(said.contains("another saga process is using it"), "{said}");
    assert!(host.stop().success());
    // The customer does not learn of this order before the copy.
    let host = Start::new(&["order"], first.path()).start();
    let waiting = place(&host, 300);
    assert!(host.stop().success());

    let copied = json_of(&mut copy(path(first.path()), &url));
    assert_eq!(rows(&copied, "aggregates"), 4, "{copied}");
    assert_eq!(copied["components"].as_array().map(Vec::len), Some(2));
    assert_eq!(copied["missing"], json!([]));
    check(Path::new(&url));
    let (code, said) = fails(&mut copy(path(first.path()), &url));
    assert_eq!(code, 73, "{said}");
    assert!(said.contains("DROP SCHEMA \"saga\" CASCADE"), "{said}");
    let host = store.host(&BOTH, elsewhere.path()).start();
    assert_eq!(decided(&host, &waiting), "APPROVED");
    assert_eq!(order(&host, 300), expected("/orders/4", "APPROVED"));
    assert_eq!(publish(elsewhere.path()), json!(["order"]));
    assert_eq!(credit(&host), "100");
    let (code, said) = fails(&mut copy(&url, path(last.path())));
    assert_eq!(code, 73, "{said}");
    assert!(said.contains("another saga process is using it"), "{said}");
    assert!(host.stop().success());
    check(Path::new(&url));

    let copied = json_of(&mut copy(&url, path(last.path())));
    assert_eq!(rows(&copied, "aggregates"), 5, "{copied}");
    assert_eq!(rows(&copied, "identities of applied events"), 9, "{copied}");
    check(last.path());
    let host = Start::new(&BOTH, last.path()).start();
    assert_eq!(decided(&host, &waiting), "APPROVED");
    assert_eq!(order(&host, 100), expected("/orders/5", "APPROVED"));
    assert_eq!(order(&host, 1), expected("/orders/6", "REJECTED"));
    assert_eq!(publish(last.path()), json!(["order"]));
    assert_eq!(credit(&host), "0");
    let replayed = json_of(&mut asks(last.path(), &["replay", "order", "--self"]));
    assert_eq!(replayed["unchanged"], replayed["replayed"], "{replayed}");
    assert!(host.stop().success());
    check(last.path());
    // Each order was decided once: placed and answered.
    let twice = "SELECT count(*) FROM aggregates a JOIN participants p ON p.id = a.participant
                 WHERE p.name = 'order' AND a.revision <> 2";
    assert_eq!(number(last.path(), twice), 0);
}

#[test]
fn a_copy_that_is_killed_or_cut_off_leaves_an_empty_store_or_a_whole_one() {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let proxy = Proxy::before(store.server.address()).unwrap();
    let url = store.server.url_at(proxy.address());
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&BOTH, data.path()).start();
    ann(&host);
    assert_eq!(order(&host, 300), expected("/orders/1", "APPROVED"));
    assert!(host.stop().success());
    let on_nth = |nth, kind, about: &str, what| {
        proxy.on(Trigger {
            kind,
            about: Some(about.to_owned()),
            nth,
            what,
        });
    };
    let on = |kind, about: &str, what| on_nth(1, kind, about, what);
    let participants = || store.number("SELECT count(*) FROM participants");

    on(b'E', "INSERT INTO journal", What::Stall);
    let mut copying = copy(path(data.path()), &url).spawn().unwrap();
    assert!(proxy.wait_for(1, Duration::from_secs(60)));
    copying.kill().unwrap();
    copying.wait().unwrap();
    proxy.cut_all();
    proxy.flow();
    assert_eq!(participants(), 0);

    // The first one is that of taking the store.
    on_nth(2, b'Q', "COMMIT", What::CutBefore);
    let (code, said) = fails(&mut copy(path(data.path()), &url));
    assert_eq!(code, 73, "{said}");
    assert!(
        said.contains("it is not known if the copy was made"),
        "{said}"
    );
    assert_eq!(participants(), 0);

    on_nth(2, b'Q', "COMMIT", What::CutBeforeAnswer);
    let (code, said) = fails(&mut copy(path(data.path()), &url));
    assert_eq!(code, 73, "{said}");
    assert!(
        said.contains("it is not known if the copy was made"),
        "{said}"
    );
    assert_eq!(participants(), 2);
    check(Path::new(&store.server.url()));
}

#[test]
fn a_check_of_a_store_that_is_wrong_says_so_and_ends_with_1() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&BOTH, data.path()).start();
    ann(&host);
    assert_eq!(order(&host, 300), expected("/orders/1", "APPROVED"));
    assert!(host.stop().success());
    let (code, out, err) = call(&mut asks(data.path(), &["store", "check"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("nothing is wrong\n"), "{out}");
    assert_eq!(
        execute(
            data.path(),
            "UPDATE aggregates SET revision = 9 WHERE key = '1'"
        ),
        2
    );
    std::fs::remove_dir_all(data.path().join("components")).unwrap();
    let (code, out, _) = call(&mut asks(data.path(), &["store", "check"]));
    assert_eq!(code, 1, "{out}");
    for said in [
        "aggregates: participant order, key \"1\": has revision 9, its last decision led to 2",
        "the active component",
        "4 wrong; ",
    ] {
        assert!(out.contains(said), "{out}");
    }
    let nothing = tempfile::tempdir().unwrap();
    let (code, said) = fails(&mut asks(nothing.path(), &["store", "check"]));
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("there is no store in"), "{said}");
}
