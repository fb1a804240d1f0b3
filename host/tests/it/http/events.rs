//! Server-sent events: the state of one aggregate as it changes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::builds::Build;
use crate::chameleon::{self, Chameleon, count, swap};
use crate::decider::{self, decide};
use crate::expect::{exchange, path_of, problem};
use crate::stream::Stream;
use crate::support::{Host, Start, request, signal};

const ORDER: &str = r#"{"customerId":1,"orderTotal":{"amount":300}}"#;

/// A host on which order 1 waits for the decider.
fn pending(data: &Path) -> (Host, String) {
    let host = decider::start(data).setting("drain_seconds", 600).start();
    assert_eq!(host.send("order", "POST", "/orders", ORDER).status, 201);
    let url = format!("{}/orders/1", host.url("order"));
    (host, url)
}

/// The value of the header `etag`, without its quotes.
fn etag(url: &str) -> String {
    let response = request("GET", url, &[], b"");
    response
        .header("etag")
        .unwrap()
        .trim_matches('"')
        .to_owned()
}

#[test]
fn a_stream_sends_the_state_and_the_decision_and_ends() {
    let data = tempfile::tempdir().unwrap();
    let (host, url) = pending(data.path());
    let mut stream = Stream::open(&url);
    let first = stream.next().unwrap();
    assert_eq!(
        (first.phase(), &*first.data),
        ("pending", r#"{"orderId":1,"orderState":"PENDING"}"#)
    );
    assert_eq!(first.tag(), etag(&url));
    decide(&host, 1, "APPROVED");
    let second = stream.next().unwrap();
    assert_eq!(
        (second.phase(), &*second.data),
        ("decided", r#"{"orderId":1,"orderState":"APPROVED"}"#)
    );
    assert_eq!(second.tag(), etag(&url));
    assert_eq!(stream.next(), None);

    // Who comes again has seen all there is to see; who broke off before has not.
    assert_eq!(Stream::ask(&url, Some(&second.id)).status(), 204);
    let mut late = Stream::ask(&url, Some(&first.id));
    assert_eq!((late.next(), late.next()), (Some(second.clone()), None));
    // Who has seen nothing of it is told the state, and of whatever becomes of it.
    for last in [None, Some("17"), Some("\"17\""), Some("")] {
        let event = Stream::ask(&url, last).next().unwrap();
        assert_eq!((event.phase(), &event.data), ("current", &second.data));
    }
}

#[test]
fn a_reconnecting_client_gets_no_event_twice() {
    let data = tempfile::tempdir().unwrap();
    let (host, url) = pending(data.path());
    let first = Stream::open(&url).next().unwrap();
    let mut again = Stream::ask(&url, Some(&first.id));
    assert_eq!(again.status(), 200);
    decide(&host, 1, "REJECTED");
    assert_eq!(again.next().unwrap().member("orderState"), "REJECTED");
    assert_eq!(again.next(), None);
}

#[test]
fn a_state_that_is_never_pending_is_streamed_until_the_client_leaves() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path()).start();
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1000}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    let url = format!("{}/customer/1", host.url("customer"));
    let mut stream = Stream::open(&url);
    let mut last = stream.next().unwrap();
    assert_eq!(last.member("creditLimit"), 1000);
    for left in [700, 400, 100] {
        assert_eq!(host.send("order", "POST", "/orders", ORDER).status, 201);
        last = stream.next().unwrap();
        assert_eq!(
            (last.phase(), last.member("creditLimit")),
            ("current", json!(left))
        );
    }
    // One that is refused changes nothing, so nothing is told of it.
    assert_eq!(host.send("order", "POST", "/orders", ORDER).status, 201);
    host.get_until("order", "/orders/4", |response| {
        response.json()["orderState"] == "REJECTED"
    });
    let small = ORDER.replace("300", "1");
    assert_eq!(host.send("order", "POST", "/orders", &small).status, 201);
    assert_eq!(stream.next().unwrap().member("creditLimit"), 99);
    // A connection that broke is taken up again, though nothing happened.
    let mut again = Stream::ask(&url, Some(&last.id));
    assert_eq!(
        (again.status(), again.next().unwrap().member("creditLimit")),
        (200, json!(99))
    );
}

#[test]
fn a_read_that_fails_is_a_problem_and_no_stream() {
    let data = tempfile::tempdir().unwrap();
    let (host, url) = pending(data.path());
    let ask = |method: &str, url: &str, accept| request(method, url, &[("accept", accept)], b"");
    let missing = url.replace("/orders/1", "/orders/99");
    problem(&ask("GET", &missing, "text/event-stream"), 404, "not-found");
    problem(
        &ask(
            "GET",
            &url.replace("/orders/1", "/none"),
            "text/event-stream",
        ),
        404,
        "no-such-route",
    );
    problem(
        &ask("POST", &url, "text/event-stream"),
        405,
        "method-not-allowed",
    );
    for accept in [
        "*/*",
        "application/json, text/event-stream",
        "text/html",
        "text/event-stream;q=0",
    ] {
        let response = ask("GET", &url, accept);
        assert_eq!(
            response.header("content-type"),
            Some("application/json"),
            "{accept}"
        );
        assert_eq!(response.header("vary"), Some("accept"));
    }
    let head = format!(
        "HEAD {} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n",
        path_of(&url)
    );
    let head = exchange(&url, head.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/json\r\n"),
        "{head}"
    );
    assert!(host.stop().success());
}

#[test]
fn a_stream_sends_keep_alives() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path())
        .setting("http.heartbeat_seconds", 1)
        .start();
    assert_eq!(host.send("order", "POST", "/orders", ORDER).status, 201);
    let mut stream = Stream::open(&format!("{}/orders/1", host.url("order")));
    assert!(stream.block().unwrap().starts_with("event: state\n"));
    let asked = Instant::now();
    assert_eq!(stream.block().as_deref(), Some(":"));
    assert_eq!(stream.block().as_deref(), Some(":"));
    assert!(
        asked.elapsed() >= Duration::from_millis(1_500),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_slow_client_gets_the_newest_state_and_nothing_is_queued_for_it() {
    const CHANGES: u64 = 1_600;
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    // Each event is large, so that the sockets between the two don't hold them all.
    let build = Chameleon::new().version(&"x".repeat(15_000));
    build.write(&path);
    let host = chameleon::start(&path, data.path()).start();
    count(&host, "k");
    let mut stream = Stream::open(&format!("{}/counters/k", host.url("chameleon")));
    for _ in 1..CHANGES {
        count(&host, "k");
    }
    let mut told = Vec::new();
    while told.last() != Some(&CHANGES) {
        told.push(stream.next().unwrap().member("count").as_u64().unwrap());
    }
    assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
    assert!((told.len() as u64) < CHANGES, "everything was gathered");
    count(&host, "k");
    assert_eq!(stream.next().unwrap().member("count"), CHANGES + 1);
}

#[test]
fn a_drain_ends_every_stream_at_once() {
    let data = tempfile::tempdir().unwrap();
    let (host, url) = pending(data.path());
    let mut stream = Stream::open(&url);
    assert_eq!(stream.next().unwrap().phase(), "pending");
    signal(host.id(), "TERM");
    assert_eq!(stream.next(), None);
    assert_eq!(host.wait().code(), Some(0), "well within 600 s");
}

#[test]
fn a_stream_outlives_a_swap_of_the_rules() {
    let data = tempfile::tempdir().unwrap();
    let (host, url) = pending(data.path());
    let mut stream = Stream::open(&url);
    assert_eq!(stream.next().unwrap().phase(), "pending");
    for mark in ["one", "two", "three"] {
        Build::marked("order", mark).apply(&host);
    }
    decide(&host, 1, "APPROVED");
    assert_eq!(stream.next().unwrap().member("orderState"), "APPROVED");
    assert_eq!(stream.next(), None);
}

#[test]
fn a_swap_to_rules_with_another_read_updates_or_ends_the_stream() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    let reading = |answer: &str| {
        Chameleon::new().with(json!({"handle": {"look": {"reply": {"says": answer}}}}))
    };
    reading("one").write(&path);
    let host = chameleon::start(&path, data.path())
        .setting("reload.watch_ms", 0)
        .start();
    let mut stream = Stream::open(&format!("{}/counters/k", host.url("chameleon")));
    assert_eq!(stream.next().unwrap().member("says"), "one");
    swap(&host, &reading("two"));
    assert_eq!(stream.next().unwrap().member("says"), "two");
    let blind =
        json!({"commands": [{"name": "count", "method": "POST", "path": "/counters/{key}"}]});
    let url = format!(
        "{}/participants/chameleon/component?drop-used=true",
        host.admin()
    );
    let applied = request("PUT", &url, &[], &Chameleon::new().with(blind).bytes());
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(stream.next(), None);
}

#[test]
fn a_removed_aggregate_ends_its_stream() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    assert_eq!(
        host.send("booking", "PUT", "/rooms", r#"{"code":"a","seats":4}"#)
            .status,
        201
    );
    let url = format!("{}/rooms/a", host.url("booking"));
    let mut stream = Stream::open(&url);
    assert_eq!(stream.next().unwrap().member("seats"), 4);
    assert_eq!(host.send("booking", "DELETE", "/rooms/a", "").status, 200);
    assert_eq!(stream.next(), None);
    assert_eq!(Stream::ask(&url, None).status(), 404);
}
