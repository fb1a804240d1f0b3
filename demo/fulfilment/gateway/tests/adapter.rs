//! A round of the adapter, with payments that answer as they are told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use fulfilment_gateway::adapter;
use fulfilment_gateway::fake::FakeGateway;
use saga_testkit::http::{BaseUrl, Client};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

const LIST: &str = r#"{"items":[{"order":1,"cents":5,"state":"REQUESTED"},{"order":2,"cents":6,"state":"REQUESTED"}]}"#;

/// Answers one connection: payments 1 and 2 are in the list, and a report of 1 is refused.
async fn payments(listener: TcpListener, reports: Arc<Mutex<Vec<String>>>) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap() == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| {
            let line = line.to_ascii_lowercase();
            line.strip_prefix("content-length:")?.trim().parse().ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await.unwrap();
        let path = head.split(' ').nth(1).unwrap();
        if path.ends_with("/report") {
            reports.lock().unwrap().push(path.to_owned());
        }
        let (status, text) = match path {
            "/payments?state=REQUESTED" => ("200 OK", LIST),
            "/payments?state=REFUNDING" => ("200 OK", r#"{"items":[]}"#),
            "/payments/1/report" => ("409 Conflict", "a dead letter comes first"),
            _ => ("200 OK", "{}"),
        };
        let bytes = text.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {bytes}\r\n\r\n{text}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_report_that_is_refused_is_told_and_holds_up_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let url: BaseUrl = url.parse().unwrap();
    let reports = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(payments(listener, reports.clone()));
    let gateway = Mutex::new(FakeGateway::default());
    let error = adapter::round(&mut Client::new(url, false), &gateway)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/payments/1/report: 409 a dead letter"),
        "{error}"
    );
    let reports = reports.lock().unwrap().clone();
    assert_eq!(reports, ["/payments/1/report", "/payments/2/report"]);
    assert_eq!(gateway.into_inner().unwrap().balance(), 11);
}
