//! `Prefer: wait=N`: a command is answered when the saga has decided, or when the time is over.

use std::io::Write as _;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::builds::Build;
use crate::decider::{self, decide};
use crate::expect::{connect, path_of, problem, until};
use crate::stream::Stream;
use crate::support::{Host, Response, Start, request, signal};

const ORDER: &str = r#"{"customerId":1,"orderTotal":{"amount":300}}"#;
const PENDING: &str = r#"{"orderId":1,"orderState":"PENDING","customerId":1,"orderTotal":300}"#;

/// The saga, with a customer who has 1000 to spend.
fn saga(data: &Path) -> Host {
    let host = Start::new(&["customer", "order"], data).start();
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1000}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    host
}

fn place(url: &str, prefer: &str, body: &str) -> Response {
    request(
        "POST",
        &format!("{url}/orders"),
        &[("prefer", prefer)],
        body.as_bytes(),
    )
}

/// An order of which the client waits for the decision; given when it is stored.
fn wait_for_order(host: &Host, prefer: &'static str) -> JoinHandle<Response> {
    let url = host.url("order").to_owned();
    let waiting = std::thread::spawn(move || place(&url, prefer, ORDER));
    host.get_until("order", "/orders/1", |response| response.status == 200);
    waiting
}

#[test]
fn a_waiting_client_is_answered_when_its_order_is_decided() {
    let data = tempfile::tempdir().unwrap();
    let host = saga(data.path());
    for (number, amount, state) in [
        (1, 300, "APPROVED"),
        (2, 701, "REJECTED"),
        (3, 700, "APPROVED"),
    ] {
        let body = format!(r#"{{"customerId":1,"orderTotal":{{"amount":{amount}}}}}"#);
        let answer = place(host.url("order"), "wait=25", &body);
        assert_eq!(answer.status, 201);
        assert_eq!(answer.header("preference-applied"), Some("wait=25"));
        let location = answer.header("location").unwrap();
        assert!(
            location.ends_with(&format!("/orders/{number}")),
            "{location}"
        );
        let read = host.get("order", &format!("/orders/{number}"));
        assert_eq!(read.json()["orderState"], state);
        assert_eq!(answer.text(), read.text());
    }
    let unknown = r#"{"customerId":99,"orderTotal":{"amount":1}}"#;
    assert_eq!(
        place(host.url("order"), "wait=25", unknown).json()["orderState"],
        "REJECTED"
    );
}

#[test]
fn many_who_wait_at_once_are_all_answered_with_the_decision() {
    let data = tempfile::tempdir().unwrap();
    let host = saga(data.path());
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let url = host.url("order").to_owned();
            std::thread::spawn(move || {
                for _ in 0..8 {
                    let body = r#"{"customerId":1,"orderTotal":{"amount":1}}"#;
                    let answer = place(&url, "wait=25", body);
                    assert_eq!(
                        (answer.status, &answer.json()["orderState"]),
                        (201, &json!("APPROVED"))
                    );
                }
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    assert_eq!(
        host.get("customer", "/customer/1").json()["creditLimit"],
        1000 - 256
    );
}

#[test]
fn an_undecided_saga_is_answered_as_pending_when_the_wait_is_over() {
    let data = tempfile::tempdir().unwrap();
    // Alone, it waits for ever.
    let host = Start::new(&["order"], data.path())
        .setting("http.wait_seconds", 2)
        .start();
    for (wanted, granted) in [("wait=1", 1), ("respond-async, wait=600", 2)] {
        let asked = Instant::now();
        let answer = place(host.url("order"), wanted, ORDER);
        assert!(asked.elapsed() >= Duration::from_secs(granted));
        assert_eq!(
            (answer.status, &answer.json()["orderState"]),
            (201, &json!("PENDING"))
        );
        assert_eq!(
            answer.header("preference-applied"),
            Some(&*format!("wait={granted}"))
        );
        assert!(answer.header("location").is_some());
    }
    for ignored in [
        "wait=x",
        "wait=-1",
        "wait=0",
        "respond-async",
        "return=minimal",
    ] {
        let answer = place(host.url("order"), ignored, ORDER);
        assert_eq!(
            (answer.status, answer.header("preference-applied")),
            (201, None),
            "{ignored}"
        );
    }
    problem(
        &place(host.url("order"), "wait=600", "{}"),
        422,
        "invalid-body",
    );
    drop(host);
    let host = Start::new(&["order"], data.path())
        .setting("http.wait_seconds", 0)
        .start();
    assert_eq!(
        place(host.url("order"), "wait=600", ORDER).header("preference-applied"),
        None
    );
}

#[test]
fn a_decided_command_is_answered_without_waiting() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "booking"], data.path()).start();
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1000}});
    let url = format!("{}/customers", host.url("customer"));
    let answer = request(
        "POST",
        &url,
        &[("prefer", "wait=600")],
        customer.to_string().as_bytes(),
    );
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (201, None)
    );
    assert_eq!(
        answer.text(),
        r#"{"customerId":1,"name":"Ann","amount":1000}"#
    );
    // A change that is pending is followed too, by the read of its aggregate, which is never pending here.
    assert_eq!(
        host.send("booking", "PUT", "/rooms", r#"{"code":"a","seats":4}"#)
            .status,
        201
    );
    let url = format!("{}/rooms/a/hold", host.url("booking"));
    let hold = br#"{"by":"Ann","ttlMillis":600000}"#;
    let answer = request("POST", &url, &[("prefer", "wait=25")], hold);
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (200, Some("wait=25"))
    );
    let room = host.get("booking", "/rooms/a");
    assert_eq!(answer.text(), room.text());
    assert_eq!(answer.json()["seats"], 4, "a member that only the read has");
}

/// Places an order under a key, once nobody else is about to.
fn place_again(url: &str, wait: Option<&str>) -> Response {
    let key = ("idempotency-key", "k");
    let headers: Vec<_> = wait
        .map(|wait| ("prefer", wait))
        .into_iter()
        .chain([key])
        .collect();
    let mut answer = None;
    until("the key is not in use", || {
        let again = request("POST", &format!("{url}/orders"), &headers, ORDER.as_bytes());
        let is_free = again.status != 409;
        answer = Some(again);
        is_free
    });
    answer.unwrap()
}

#[test]
fn a_repeat_waits_for_the_decision_as_the_first_request_did() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path()).start();
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let url = host.url("order").to_owned();
            std::thread::spawn(move || place_again(&url, Some("wait=29")))
        })
        .collect();
    host.get_until("order", "/orders/1", |response| response.status == 200);
    // Without the preference, the first reply is given, as it was.
    let url = host.url("order");
    let pending = place_again(url, None);
    assert_eq!((pending.status, &*pending.text()), (201, PENDING));
    assert_eq!(pending.header("idempotency-replayed"), Some("true"));
    assert_eq!(pending.header("preference-applied"), None);
    let over = place_again(url, Some("wait=1"));
    assert_eq!((over.status, &*over.text()), (201, PENDING));
    assert_eq!(over.header("preference-applied"), Some("wait=1"));

    assert!(clients.iter().all(|client| !client.is_finished()));
    decide(&host, 1, "APPROVED");
    let answers: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().unwrap())
        .collect();
    let read = host.get("order", "/orders/1");
    assert_eq!(read.json()["orderState"], "APPROVED");
    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (201, read.text()));
        assert_eq!(answer.header("location"), pending.header("location"));
        assert_eq!(answer.header("preference-applied"), Some("wait=29"));
    }
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotency-replayed").is_some());
    assert_eq!(replayed.count(), 2, "one of them was the first");

    assert!(host.stop().success());
    let host = decider::start(data.path()).start();
    let again = place_again(host.url("order"), Some("wait=29"));
    assert_eq!((again.status, again.text()), (201, read.text()));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(place_again(host.url("order"), None).text(), PENDING);
}

#[test]
fn a_repeat_for_a_removed_aggregate_gets_the_first_answer() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    let room = host.send("booking", "PUT", "/rooms", r#"{"code":"a","seats":4}"#);
    assert_eq!(room.status, 201);
    let url = format!("{}/rooms/a/hold", host.url("booking"));
    let hold = |prefer: &str| {
        let headers = [("idempotency-key", "k"), ("prefer", prefer)];
        request(
            "POST",
            &url,
            &headers,
            br#"{"by":"Ann","ttlMillis":600000}"#,
        )
    };
    let first = hold("wait=0");
    assert_eq!(first.status, 202, "{}", first.text());
    assert_eq!(hold("wait=29").status, 200, "it can be read");
    assert_eq!(host.send("booking", "DELETE", "/rooms/a", "").status, 200);
    let again = hold("wait=29");
    assert_eq!((again.status, again.text()), (202, first.text()));
    assert_eq!(again.header("preference-applied"), None, "nobody waited");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[test]
fn beyond_the_bound_nobody_waits_and_no_stream_is_opened() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path())
        .setting("http.watchers", 1)
        .setting("http.heartbeat_seconds", 1)
        .start();
    assert_eq!(host.send("order", "POST", "/orders", ORDER).status, 201);
    let url = format!("{}/orders/1", host.url("order"));
    let stream = Stream::open(&url);
    let answer = place(host.url("order"), "wait=600", ORDER);
    assert_eq!(
        (answer.status, answer.header("preference-applied")),
        (201, None)
    );
    assert_eq!(answer.json()["orderState"], "PENDING");
    let refused = request("GET", &url, &[("accept", "text/event-stream")], b"");
    problem(&refused, 503, "too-many-wait");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        host.get("order", "/orders/1").status,
        200,
        "who waits for nothing is answered"
    );
    // Its place is free when it has gone, which the next sign of life finds out.
    drop(stream);
    until("the place is free", || {
        Stream::ask(&url, None).status() == 200
    });
}

#[test]
fn a_client_that_has_gone_keeps_its_place_only_until_the_decision() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path())
        .setting("http.watchers", 1)
        .start();
    let url = format!("{}/orders", host.url("order"));
    let mut gone = connect(&url);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nprefer: wait=600\r\ncontent-length: {}\r\n\r\n{ORDER}",
        path_of(&url),
        ORDER.len()
    );
    gone.write_all(head.as_bytes()).unwrap();
    host.get_until("order", "/orders/1", |response| response.status == 200);
    drop(gone);
    decide(&host, 1, "APPROVED");
    host.get_until("order", "/orders/1", |response| {
        response.json()["orderState"] == "APPROVED"
    });
    let mut order = 1;
    until("the place is free", || {
        order += 1;
        place(host.url("order"), "wait=1", ORDER).header("preference-applied") == Some("wait=1")
    });
    assert!(host.stop().success());
}

#[test]
fn a_drain_ends_every_wait_at_once() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["order"], data.path())
        .setting("drain_seconds", 600)
        .start();
    let waiting = wait_for_order(&host, "wait=29");
    let asked = Instant::now();
    signal(host.id(), "TERM");
    let answer = waiting.join().unwrap();
    assert_eq!((answer.status, &*answer.text()), (201, PENDING));
    assert_eq!(host.wait().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(20),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_wait_outlives_a_swap_of_the_rules() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path()).start();
    let waiting = wait_for_order(&host, "wait=29");
    for mark in ["one", "two", "three"] {
        Build::marked("order", mark).apply(&host);
    }
    assert!(!waiting.is_finished());
    decide(&host, 1, "REJECTED");
    let answer = waiting.join().unwrap();
    assert_eq!(answer.text(), r#"{"orderId":1,"orderState":"REJECTED"}"#);
    assert_eq!(answer.header("preference-applied"), Some("wait=29"));
}
