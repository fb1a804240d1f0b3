//! A PostgreSQL server that restarts, stands still or is gone for a while, and connections that are lost around a commit:
//! the host goes on, and nothing is lost or done twice.

use std::time::Duration;

use saga_testkit::postgres::can_start;
use saga_testkit::postgres::proxy::{Proxy, Trigger, What};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::expect::until;
use crate::server_store::ServerStore;
use crate::support::{Host, Response, request, try_request};

/// The statement of a commit.
const COMMIT: &str = "saga_commit_v4";

fn ready(host: &Host) -> Response {
    request("GET", &format!("{}/readyz", host.admin()), &[], b"")
}

fn until_unready(host: &Host) -> String {
    let mut report = Value::Null;
    until("the host is not ready", || {
        let told = ready(host);
        report = told.json();
        told.status == 503
    });
    report["reason"].as_str().unwrap_or_default().to_owned()
}

fn until_ready(host: &Host) {
    until("the host is ready", || ready(host).status == 200);
}

/// Registers a customer under an idempotency key; repeats it until it is answered.
fn register(host: &Host, key: &str) -> Value {
    let url = format!("{}/customers", host.url("customer"));
    let body = json!({"name": key, "creditLimit": {"amount": 1}}).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let mut answered = Value::Null;
    until("it is answered", || {
        let Ok(answer) = try_request("POST", &url, &headers, body.as_bytes()) else {
            return false;
        };
        let is_done = answer.status == 201;
        assert!(
            is_done || answer.status == 503 || answer.status == 409,
            "{}",
            answer.text()
        );
        answered = answer.json();
        is_done
    });
    answered
}

/// A server, and a host of customers on it, with short bounds.
struct Running {
    host: Host,
    store: ServerStore,
    _data: TempDir,
}

impl Running {
    /// None if no server can be started here.
    fn start() -> Option<Self> {
        can_start().then(|| Self::at(ServerStore::new(), |store| store.server.url()))
    }

    /// The same through a proxy.
    fn behind_a_proxy() -> Option<(Self, Proxy)> {
        if !can_start() {
            return None;
        }
        let store = ServerStore::new();
        let proxy = Proxy::before(store.server.address()).unwrap();
        let address = proxy.address();
        let running = Self::at(store, |store| store.server.url_at(address));
        Some((running, proxy))
    }

    fn at(store: ServerStore, url: impl FnOnce(&ServerStore) -> String) -> Self {
        let data = tempfile::tempdir().unwrap();
        let start = store.host_at(&url(&store), &["customer"], data.path());
        let start = start.setting("store.standstill_seconds", 2);
        Self {
            host: start.setting("http.answer_seconds", 1).start(),
            store,
            _data: data,
        }
    }
}

#[test]
fn connections_lost_before_and_behind_a_commit_lose_and_double_nothing() {
    let Some((running, proxy)) = Running::behind_a_proxy() else {
        return;
    };
    let Running { host, store, _data } = running;
    for (number, what) in [What::CutBefore, What::CutBeforeAnswer]
        .into_iter()
        .cycle()
        .take(8)
        .enumerate()
    {
        proxy.on(Trigger {
            kind: b'S',
            about: Some(COMMIT.into()),
            nth: 1,
            what,
        });
        let customer = register(&host, &format!("c{number}"));
        assert_eq!(customer["customerId"], number + 1, "{what:?}");
        assert!(
            proxy.wait_for(number + 1, Duration::from_secs(10)),
            "{what:?}"
        );
    }
    assert_eq!(store.number("SELECT count(*) FROM aggregates"), 8);
    assert_eq!(store.number("SELECT count(*) FROM journal"), 8);
    assert!(host.stop().success());
}

#[test]
fn a_server_that_restarts_or_crashes_under_load_is_waited_for() {
    let Some(running) = Running::start() else {
        return;
    };
    let Running { host, store, _data } = running;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..4)
            .map(|client| {
                let host = &host;
                scope.spawn(move || {
                    for number in 0..40 {
                        register(host, &format!("{client}-{number}"));
                    }
                })
            })
            .collect();
        store.server.restart().unwrap();
        store.server.kill();
        store.server.start_again().unwrap();
        running
            .into_iter()
            .for_each(|client| client.join().unwrap());
    });
    assert_eq!(store.number("SELECT count(*) FROM aggregates"), 160);
    assert_eq!(store.number("SELECT count(*) FROM journal"), 160);
    until_ready(&host);
    assert!(host.stop().success());
}

#[test]
fn a_server_that_is_down_makes_the_host_unready_and_the_host_comes_back_with_it() {
    let Some(running) = Running::start() else {
        return;
    };
    let Running { host, store, _data } = running;
    register(&host, "before");
    store.server.stop().unwrap();
    let reason = until_unready(&host);
    assert!(reason.contains("store"), "{reason}");
    assert_eq!(
        request("GET", &format!("{}/livez", host.admin()), &[], b"").status,
        200
    );
    let url = format!("{}/customers", host.url("customer"));
    let body = json!({"name": "c", "creditLimit": {"amount": 1}}).to_string();
    let refused = request("POST", &url, &[], body.as_bytes());
    assert_eq!(refused.status, 503, "{}", refused.text());
    store.server.start_again().unwrap();
    until_ready(&host);
    register(&host, "after");
    assert!(host.stop().success());
}

#[test]
fn a_server_that_stands_still_is_named_and_repeated_commands_get_their_answers_afterwards() {
    let Some((running, proxy)) = Running::behind_a_proxy() else {
        return;
    };
    let Running { host, store, _data } = running;
    register(&host, "before");
    proxy.stall();
    let url = format!("{}/customers", host.url("customer"));
    let body = json!({"name": "during", "creditLimit": {"amount": 1}}).to_string();
    let headers = [("idempotency-key", "during")];
    let unknown = request("POST", &url, &headers, body.as_bytes());
    assert_eq!(unknown.status, 503, "{}", unknown.text());
    let waits = "a commit has been waiting for";
    until("the server is named", || {
        let reason = until_unready(&host);
        reason.contains(waits) && reason.ends_with("for the PostgreSQL server")
    });
    proxy.flow();
    until_ready(&host);
    let customer = register(&host, "during");
    assert_eq!(customer["customerId"], 2);
    assert_eq!(store.number("SELECT count(*) FROM aggregates"), 2);
    assert!(host.stop().success());
}

#[test]
fn a_server_that_has_lost_commits_ends_the_host_before_it_decides_or_waits() {
    for is_idle in [false, true] {
        let Some(Running { host, store, _data }) = Running::start() else {
            return;
        };
        register(&host, "a");
        register(&host, "b");
        store.rows("UPDATE hosts SET batch = batch - 1 RETURNING batch");
        if !is_idle {
            let url = format!("{}/customers", host.url("customer"));
            let body = json!({"name": "c", "creditLimit": {"amount": 1}}).to_string();
            if let Ok(answer) = try_request("POST", &url, &[], body.as_bytes()) {
                assert!(answer.status >= 500, "{}", answer.text());
            }
        }
        host.log_until("has lost commits that it acknowledged");
        assert_eq!(host.wait().code(), Some(73));
        assert_eq!(store.number("SELECT count(*) FROM aggregates"), 2);
    }
}

#[test]
fn a_server_that_has_lost_commits_ends_the_host_after_a_lost_connection() {
    let Some((running, proxy)) = Running::behind_a_proxy() else {
        return;
    };
    let Running { host, store, _data } = running;
    for key in ["a", "b", "c"] {
        register(&host, key);
    }
    // As after a failover to a standby that was behind.
    store.rows("UPDATE hosts SET batch = batch - 2 RETURNING batch");
    proxy.on(Trigger {
        kind: b'S',
        about: Some(COMMIT.into()),
        nth: 1,
        what: What::CutBefore,
    });
    let url = format!("{}/customers", host.url("customer"));
    let body = json!({"name": "d", "creditLimit": {"amount": 1}}).to_string();
    if let Ok(answer) = try_request("POST", &url, &[], body.as_bytes()) {
        assert!(answer.status >= 500, "{}", answer.text());
    }
    host.log_until("has lost commits that it acknowledged");
    assert_eq!(host.wait().code(), Some(73));
    assert_eq!(store.number("SELECT count(*) FROM aggregates"), 3);
}
