//! HTTP/2 without TLS, on the port of HTTP/1.1: the same answers, bounds of its own, and the drain.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::clients::{ask, held, http2, read, request, run, whole};
use crate::expect::{connect, until};
use crate::support::{Host, Start, signal};

const CUSTOMER: &str = r#"{"name":"Ann","creditLimit":{"amount":1000}}"#;

/// The preface of an HTTP/2 client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const ENHANCE_YOUR_CALM: u32 = 11;

fn start(data: &tempfile::TempDir) -> Host {
    Start::new(&["customer", "order"], data.path()).start()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()];
    [&head.concat(), payload].concat()
}

/// The next frame: its kind and payload; none at the end.
fn next(stream: &mut std::net::TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], payload))
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().unwrap())
}

#[test]
fn http2_is_served_beside_http1_on_the_same_port() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer");
    run(async {
        let (mut client, _) = http2(url).await;
        let (status, body) = ask(&mut client, "POST", &format!("{url}/customers"), CUSTOMER).await;
        assert_eq!(
            (status, body.contains(r#""customerId":1"#)),
            (201, true),
            "{body}"
        );
        assert_eq!(
            host.send("customer", "POST", "/customers", CUSTOMER).status,
            201
        );
        let (status, body) = ask(&mut client, "GET", &format!("{url}/customer/2"), "").await;
        let read: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &read["creditLimit"]), (200, &json!(1000)));
        let (status, body) = ask(&mut client, "GET", &format!("{url}/none"), "").await;
        assert_eq!(
            (status, body.contains("no-such-route")),
            (404, true),
            "{body}"
        );
        // The operator's listener speaks it too, and takes no other host for this machine.
        let admin = host.admin();
        let (mut client, _) = http2(admin).await;
        let (status, _) = ask(&mut client, "GET", &format!("{admin}/generations"), "").await;
        assert_eq!(status, 200);
        let (status, body) = ask(&mut client, "GET", "http://evil.example/generations", "").await;
        assert_eq!(
            (status, body.contains("foreign-host")),
            (403, true),
            "{body}"
        );
    });
}

#[test]
fn many_requests_share_a_connection() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = format!("{}/customers", host.url("customer"));
    let mut ids = run(async {
        let (client, _) = http2(&url).await;
        let asked: Vec<_> = (0..500)
            .map(|_| {
                let (mut client, url) = (client.clone(), url.clone());
                tokio::spawn(async move { ask(&mut client, "POST", &url, CUSTOMER).await })
            })
            .collect();
        let mut ids = Vec::new();
        for asked in asked {
            let (status, body) = asked.await.unwrap();
            assert_eq!(status, 201, "{body}");
            let answer: Value = serde_json::from_str(&body).unwrap();
            ids.push(answer["customerId"].as_u64().unwrap());
        }
        ids
    });
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=500), "{ids:?}");
}

#[test]
fn bodies_on_http2_have_the_same_bound_as_on_http1() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = format!("{}/customers", host.url("customer"));
    run(async {
        let (mut client, _) = http2(&url).await;
        let within = CUSTOMER.to_owned() + &" ".repeat((1 << 20) - CUSTOMER.len());
        let (status, body) = ask(&mut client, "POST", &url, &within).await;
        assert_eq!(status, 201, "{body}");
        let (status, body) = ask(&mut client, "POST", &url, &format!("{within} ")).await;
        assert_eq!(
            (status, body.contains("body-too-large")),
            (413, true),
            "{body}"
        );
        let (status, _) = ask(&mut client, "POST", &url, CUSTOMER).await;
        assert_eq!(status, 201, "the connection goes on");
    });
}

#[test]
fn requests_over_all_connections_are_as_many_as_connections_may_be() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting("http.connections", 2)
        .start();
    let url = format!("{}/customers", host.url("customer"));
    run(async {
        let (mut client, _) = http2(&url).await;
        let mut begin = async || {
            let (give, body) = held();
            client.ready().await.unwrap();
            let answer = tokio::spawn(client.send_request(request("POST", &url, body)));
            give.send(Bytes::from_static(b"{")).await.unwrap();
            (give, answer)
        };
        let first = begin().await;
        let _second = begin().await;
        // Both have their places before long, and a third one is not answered any more.
        let wait = Duration::from_millis(300);
        let third = loop {
            client.ready().await.unwrap();
            let third = client.send_request(request("POST", &url, whole(CUSTOMER)));
            let mut third = tokio::spawn(third);
            if tokio::time::timeout(wait, &mut third).await.is_err() {
                break third;
            }
        };
        let (give, answer) = first;
        give.send(CUSTOMER[1..].into()).await.unwrap();
        drop(give);
        assert_eq!(read(answer.await.unwrap().unwrap()).await.0, 201);
        assert_eq!(read(third.await.unwrap().unwrap()).await.0, 201);
    });
}

#[test]
fn the_streams_of_one_connection_are_bounded_and_announced() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer");
    let mut stream = connect(url);
    stream.write_all(PREFACE).unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    let (kind, settings) = next(&mut stream).unwrap();
    assert_eq!(kind, SETTINGS);
    let announced: Vec<_> = (settings.chunks(6))
        .map(|setting| {
            (
                u16::from_be_bytes([setting[0], setting[1]]),
                number(&setting[2..]),
            )
        })
        .collect();
    let (concurrent_streams, header_list) = (3, 6);
    assert!(
        announced.contains(&(concurrent_streams, 200)),
        "{announced:?}"
    );
    assert!(
        announced.contains(&(header_list, 16 << 10)),
        "{announced:?}"
    );
    run(async {
        let (mut client, _) = http2(url).await;
        let mut asked = request("GET", &format!("{url}/customer/1"), whole(""));
        let huge = "x".repeat(20_000).parse().unwrap();
        asked.headers_mut().insert("huge", huge);
        assert_eq!(client.send_request(asked).await.unwrap().status(), 431);
        let (status, _) = ask(&mut client, "GET", &format!("{url}/customer/1"), "").await;
        assert_eq!(status, 404, "the connection goes on");
    });
}

#[test]
fn a_client_that_opens_and_resets_streams_endlessly_is_disconnected() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let mut stream = connect(host.url("customer"));
    let mut flood = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    // GET, http, / and an authority, as HPACK has them; the headers end, the stream does not.
    let head = [&[0x82, 0x86, 0x84, 0x41, 1][..], b"x"].concat();
    for number in 0..50_000 {
        let number = number * 2 + 1;
        flood.extend(frame(HEADERS, 4, number, &head));
        flood.extend(frame(RST_STREAM, 0, number, &8_u32.to_be_bytes()));
    }
    // It is shown the door before it is through.
    let _ = stream.write_all(&flood);
    let mut last = None;
    while let Some((kind, payload)) = next(&mut stream) {
        if kind == GOAWAY {
            last = Some(number(&payload[4..8]));
        }
    }
    // What it sends too late may cost it the answer.
    assert!(
        last.is_none_or(|reason| reason == ENHANCE_YOUR_CALM),
        "{last:?}"
    );
    assert_eq!(
        host.send("customer", "POST", "/customers", CUSTOMER).status,
        201
    );
}

#[test]
fn the_drain_answers_requests_in_flight_and_accepts_no_others() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path())
        .setting("drain_seconds", 600)
        .start();
    let url = format!("{}/customers", host.url("customer"));
    run(async {
        let (mut client, connection) = http2(&url).await;
        let (mut idle, idle_connection) = http2(host.url("order")).await;
        let none = format!("{}/orders/1", host.url("order"));
        assert_eq!(ask(&mut idle, "GET", &none, "").await.0, 404);
        let (give, body) = held();
        let answer = tokio::spawn(client.send_request(request("POST", &url, body)));
        give.send(Bytes::from_static(b"{")).await.unwrap();
        // It is there once an answer to what came after it is.
        ask(
            &mut client,
            "GET",
            &format!("{}/customer/1", host.url("customer")),
            "",
        )
        .await;
        signal(host.id(), "TERM");
        idle_connection.await.unwrap().unwrap();
        until("the client was told to go", || {
            !client.is_ready()
                || std::net::TcpStream::connect(crate::expect::address(&url)).is_err()
        });
        give.send(CUSTOMER[1..].into()).await.unwrap();
        drop(give);
        let (status, body) = read(answer.await.unwrap().unwrap()).await;
        assert_eq!(status, 201, "{body}");
        connection.await.unwrap().unwrap();
        client.ready().await.unwrap_err();
    });
    assert_eq!(host.wait().code(), Some(0), "well within 600 s");
}
