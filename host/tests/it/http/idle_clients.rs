//! Clients that are connected and ask nothing: they give way to others, and to whoever asks for the host's health.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::expect::{connect, path_of, problem, rest, until};
use crate::exposition::scrape;
use crate::support::{PATIENCE, Response, Start, request, saga};

const CUSTOMER: &str = r#"{"name":"Ann","creditLimit":{"amount":1000}}"#;

/// A connection in the midst of a command, of which the body is still to come.
fn half_asked(url: &str) -> TcpStream {
    let mut stream = connect(url);
    let head = format!(
        "POST {}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        path_of(url),
        CUSTOMER.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn connections_that_are_idle_give_way_the_longest_idle_first() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting("http.connections", 3)
        .start();
    let url = host.url("customer").to_owned();
    let ask = format!(
        "GET {}/customer/1 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        path_of(&url)
    );
    let mut buffer = [0; 4096];
    let mut ask_on = |stream: &mut TcpStream| {
        stream.write_all(ask.as_bytes())?;
        stream.read(&mut buffer).map(|read| read > 0)
    };
    // One in the midst of a command, and two that have been answered.
    let mut busy = half_asked(&url);
    let [mut first, mut second] = [connect(&url), connect(&url)];
    assert!(ask_on(&mut first).unwrap());
    std::thread::sleep(Duration::from_millis(600));
    assert!(ask_on(&mut second).unwrap());
    let mut third = connect(&url);
    assert!(
        ask_on(&mut third).unwrap(),
        "it does not wait for the others to time out"
    );
    assert!(
        !ask_on(&mut first).unwrap_or(false),
        "the longest idle is gone"
    );
    assert!(ask_on(&mut second).unwrap(), "the other one is there");
    busy.write_all(CUSTOMER.as_bytes()).unwrap();
    let answer = rest(busy);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[test]
fn connections_that_are_busy_keep_their_places_and_others_wait() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting("http.connections", 1)
        .start();
    let url = host.url("customer").to_owned();
    let mut busy = half_asked(&url);
    until("it has its place", || {
        scrape(&host).one("saga_http_connections", &[("participant", "customer")]) == 1.0
    });
    let mut other = connect(&url);
    let ask = format!(
        "GET {}/customer/1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        path_of(&url)
    );
    other.write_all(ask.as_bytes()).unwrap();
    other
        .set_read_timeout(Some(Duration::from_millis(900)))
        .unwrap();
    assert!(
        other.read(&mut [0]).is_err(),
        "a second connection was served"
    );
    busy.write_all(CUSTOMER.as_bytes()).unwrap();
    assert!(rest(busy).starts_with("HTTP/1.1 201 "));
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(rest(other).starts_with("HTTP/1.1 200 "));
}

#[test]
fn many_idle_connections_hold_up_nobody() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting("http.connections", 100)
        .start();
    let _idle: Vec<_> = (0..300).map(|_| connect(host.url("customer"))).collect();
    let began = Instant::now();
    assert_eq!(
        host.send("customer", "POST", "/customers", CUSTOMER).status,
        201
    );
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn health_has_room_of_its_own_on_the_admin_listener() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path()).start();
    // Each in the midst of a request, so that none gives way.
    let half = b"POST /participants/customer/rollback HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{";
    let busy: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = connect(host.admin());
            stream.write_all(half).unwrap();
            stream
        })
        .collect();
    // Among them are those of the reserve, which are told so, and those that say nothing.
    let mut told = connect(host.admin());
    told.write_all(half).unwrap();
    let answer = rest(told);
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("/problems/try-later"),
        "{answer}"
    );
    let _idle: Vec<_> = (0..40).map(|_| connect(host.admin())).collect();
    let ask =
        |path: &str| -> Response { request("GET", &format!("{}{path}", host.admin()), &[], b"") };
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(path).status, 200, "{path}");
    }
    problem(&ask("/generations"), 503, "try-later");
    let ready = saga()
        .arg("ready")
        .arg("--data")
        .arg(data.path())
        .status()
        .unwrap();
    assert!(ready.success());
    drop(busy);
    until("others are answered again", || {
        ask("/generations").status == 200
    });
}

#[test]
fn an_operators_first_request_replaces_an_idle_connection() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path()).start();
    let _idle: Vec<_> = (0..64).map(|_| connect(host.admin())).collect();
    // One that has just come is not idle yet.
    std::thread::sleep(Duration::from_millis(1_200));
    let told = request("GET", &format!("{}/generations", host.admin()), &[], b"");
    assert_eq!(told.status, 200, "{}", told.json());
}

#[test]
fn health_is_answered_however_many_connections_send_half_a_request_or_nothing() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path()).start();
    let half = b"GET /livez HTTP/1.1\r\nhost: local";
    let _waiting: Vec<_> = (0..400)
        .map(|number| {
            let mut stream = connect(host.admin());
            if number % 2 == 0 {
                stream.write_all(half).unwrap();
            }
            stream
        })
        .collect();
    // Whoever asks for health has some seconds. Let in one by one, each for the time of a head, 400 would take 20.
    let mut asks = connect(host.admin());
    asks.set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    asks.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .unwrap();
    let answer = rest(asks);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
