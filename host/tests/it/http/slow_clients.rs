//! Clients that take no answer, or send more than there is memory for: they hold nothing for ever, and others are served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::expect::{connect, path_of, problem, rest, until};
use crate::exposition::scrape;
use crate::support::{Host, PATIENCE, Start, signal};

const CUSTOMER: &str = r#"{"name":"Ann","creditLimit":{"amount":1000}}"#;

/// The preface of an HTTP/2 client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A host of which answers have so many seconds to make progress, on four connections.
fn start(data: &tempfile::TempDir, stall_seconds: u64) -> Host {
    Start::new(&["customer", "order"], data.path())
        .setting("http.connections", 4)
        .setting("http.stall_seconds", stall_seconds)
        .start()
}

/// The file of a page, which is larger than all that a kernel keeps for a client.
fn large(host: &Host) -> String {
    format!(
        "{}/swagger-ui/swagger-ui-bundle.js",
        path_of(host.url("order"))
    )
}

/// Waits until another client is answered, on a connection of its own.
fn others_are_served(host: &Host) {
    let answer = host.get("order", "/openapi.json");
    assert_eq!(answer.status, 200);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

/// A client of HTTP/2 that asks so many times for a path, and lets so many bytes of each answer through. It goes on reading
/// frames and answering pings, so that it is there.
fn narrow(host: &Host, window: u32, path: &str, streams: u32) -> TcpStream {
    let url = host.url("order");
    let mut stream = connect(url);
    let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
    let mut bytes = [PREFACE, &frame(4, 0, 0, &setting)].concat();
    for number in 0..streams {
        // GET, http, path and authority, as HPACK has them without tables.
        let length = u8::try_from(path.len()).unwrap();
        assert!(length < 127);
        let path = [&[0x04, length][..], path.as_bytes()].concat();
        let head = [&[0x82, 0x86][..], &path, &[0x01, 9], b"localhost"].concat();
        bytes.extend(frame(1, 5, number * 2 + 1, &head));
    }
    stream.write_all(&bytes).unwrap();
    let mut reader = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut head = [0; 9];
        while reader.read_exact(&mut head).is_ok() {
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            let _ = reader.read_exact(&mut payload);
            if (head[3], head[4] & 1) == (6, 0) {
                let _ = reader.write_all(&frame(6, 1, 0, &payload));
            }
        }
    });
    stream
}

/// A host that gives a stalled client a second, with a customer.
fn with_a_customer(data: &Path) -> Host {
    let host = Start::new(&["customer", "order"], data)
        .setting("http.stall_seconds", 1)
        .start();
    let registered = host.send("customer", "POST", "/customers", CUSTOMER);
    assert_eq!(registered.status, 201, "{}", registered.text());
    host
}

#[test]
fn an_http1_client_that_reads_nothing_is_disconnected_after_the_bound() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data, 1);
    let asked = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", large(&host)).repeat(4);
    let held: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connect(host.url("order"));
            stream.write_all(asked.as_bytes()).unwrap();
            stream
        })
        .collect();
    others_are_served(&host);
    drop(held);
}

#[test]
fn an_http2_client_without_a_window_is_disconnected_after_the_bound() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data, 1);
    for window in [0, 1] {
        let path = format!("{}/openapi.json", path_of(host.url("order")));
        let held: Vec<_> = (0..4).map(|_| narrow(&host, window, &path, 8)).collect();
        others_are_served(&host);
        for mut stream in held {
            // The reader sees the end too.
            until("it is cut off", || {
                stream.write_all(&frame(6, 0, 0, &[0; 8])).is_err()
            });
        }
    }
}

#[test]
fn a_slow_reader_gets_its_whole_answer() {
    let data = tempfile::tempdir().unwrap();
    // A reader that a loaded machine does not let run for a while is not to be cut off.
    let host = start(&data, 4);
    let mut stream = connect(host.url("order"));
    let asked = format!(
        "GET {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        large(&host)
    );
    stream.write_all(asked.as_bytes()).unwrap();
    let began = Instant::now();
    let mut part = vec![0; 32 << 10];
    let mut bytes = 0;
    loop {
        let read = stream.read(&mut part).unwrap();
        if read == 0 {
            break;
        }
        bytes += read;
        if began.elapsed() < Duration::from_millis(6_200) {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    assert!(bytes > 1_000_000, "{bytes}");
}

#[test]
fn a_client_that_reads_no_events_is_disconnected_and_one_that_waits_for_events_is_not() {
    let data = tempfile::tempdir().unwrap();
    let host = with_a_customer(data.path());
    let url = format!("{}/customer/1", host.url("customer"));
    let mut silent = crate::stream::Stream::open(&url);
    assert!(silent.next().is_some());
    // An aggregate of which nothing more is heard for longer than the bound.
    std::thread::sleep(Duration::from_millis(2_000));
    let order = json!({"customerId": 1, "orderTotal": {"amount": 1}});
    assert_eq!(host.post("order", "/orders", &order).status, 201);
    assert_eq!(silent.next().unwrap().member("creditLimit"), 999);
    // A stream of which the first event has no room on HTTP/2.
    let path = path_of(&url).to_owned();
    let address = crate::expect::address(&url).to_owned();
    let events = [&[0x0f, 0x04, 17][..], b"text/event-stream"].concat();
    let head = [
        &[0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()][..],
        path.as_bytes(),
        &[0x01, 9],
        b"localhost",
        &events,
    ]
    .concat();
    let mut narrow = TcpStream::connect(address).unwrap();
    narrow.set_read_timeout(Some(PATIENCE)).unwrap();
    let window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let asked = [PREFACE, &window, &frame(1, 5, 1, &head)].concat();
    narrow.write_all(&asked).unwrap();
    assert!(!rest(narrow).is_empty(), "its head comes, and then the end");
}

#[test]
fn an_http1_client_that_reads_no_events_is_disconnected_once_its_buffers_are_full() {
    let data = tempfile::tempdir().unwrap();
    let host = with_a_customer(data.path());
    let url = format!("{}/customer/1", host.url("customer"));
    let asked = format!(
        "GET {} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n",
        path_of(&url)
    );
    crate::clients::run(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2_048).unwrap();
        let address = crate::expect::address(&url).parse().unwrap();
        let stream = socket.connect(address).await.unwrap();
        let mut stream = stream.into_std().unwrap();
        stream.write_all(asked.as_bytes()).unwrap();
        let open =
            || scrape(&host).one("saga_http_connections", &[("participant", "customer")]) > 0.0;
        until("it is there", open);
        let order = json!({"customerId": 1, "orderTotal": {"amount": 1}});
        until("it is cut off", || {
            assert_eq!(host.post("order", "/orders", &order).status, 201);
            !open()
        });
    });
}

#[test]
fn bodies_in_flight_hold_no_more_than_their_budget() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting("http.memory_bytes", 4 << 20)
        .start();
    let url = host.url("customer").to_owned();
    let before = host.resident_memory();
    let head = format!(
        "POST {}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{{",
        path_of(&url),
        1_000_001
    );
    let half = " ".repeat(999_999);
    let hold = || {
        let mut stream = connect(&url);
        // One that is refused is closed before it is through.
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(half.as_bytes());
        stream
    };
    let ask = || {
        let body = format!("{CUSTOMER}{}", " ".repeat(1_000_000));
        host.send("customer", "POST", "/customers", &body)
    };
    let mut held = Vec::new();
    let refused = loop {
        held.push(hold());
        let answer = ask();
        if answer.status != 201 {
            break answer;
        }
        assert!(held.len() < 20, "as much is taken as there are clients");
    };
    problem(&refused, 503, "too-many-bytes");
    assert_eq!(refused.header("retry-after"), Some("1"));
    std::thread::scope(|scope| {
        let more: Vec<_> = (0..30).map(|_| scope.spawn(hold)).collect();
        held.extend(more.into_iter().map(|one| one.join().unwrap()));
    });
    let grown = host.peak_memory().saturating_sub(before);
    assert!(grown < 80 << 20, "{} MB", grown >> 20);
    drop(held);
    until("there is room again", || ask().status == 201);
}

#[test]
fn unread_answers_hold_no_more_than_their_budget() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path())
        .setting("http.memory_bytes", 1 << 20)
        .setting("http.stall_seconds", 2)
        .start();
    // Pages on problems are made for each request, and have some KB.
    let path = format!("{}/problems/", path_of(host.url("order")));
    let bytes = host.get("order", "/problems/").body.len();
    let held: Vec<_> = (0..4).map(|_| narrow(&host, 0, &path, 200)).collect();
    assert!(held.len() * 200 * bytes > 2 << 20);
    let mut answer = None;
    until("no more is taken", || {
        let asked = host.send("customer", "POST", "/customers", CUSTOMER);
        let is_refused = asked.status == 503;
        answer = Some(asked);
        is_refused
    });
    problem(&answer.unwrap(), 503, "too-many-bytes");
    until("they are cut off, and others are served", || {
        host.send("customer", "POST", "/customers", CUSTOMER).status == 201
    });
    signal(host.id(), "TERM");
    assert!(host.wait().success());
}
