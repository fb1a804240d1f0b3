//! Checks and waits that several tests share, and requests that no HTTP client would send.
//!
//! Must not know: any participant.

#![allow(clippy::restriction, reason = "a test stops at the first surprise")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::blocking::{PATIENCE, Response};

/// Checks that the answer is a complete problem of this kind; returns its detail.
pub fn problem(response: &Response, status: u16, word: &str) -> String {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(
        response.header("content-type"),
        Some("application/problem+json"),
        "{}",
        response.text()
    );
    let body = response.json();
    assert_eq!(word_of(&body), word, "{body}");
    assert_eq!(body["status"], status, "{body}");
    let said = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    assert!(
        !said("title").is_empty() && !said("detail").is_empty(),
        "{body}"
    );
    said("detail")
}

/// The kind of a problem: the last part of its `type`, which is the path of a page.
pub fn word_of(problem: &Value) -> String {
    let kind = problem["type"].as_str().unwrap_or_default();
    let (place, word) = kind.rsplit_once('/').unwrap_or_default();
    assert!(
        place.starts_with('/') && place.ends_with("/problems"),
        "{problem}"
    );
    word.to_owned()
}

/// Checks that the answer is the problem of rules that broke: with this kind of fault, and a short
/// detail.
pub fn broke(response: &Response, kind: &str) -> String {
    let detail = problem(response, 500, "rules-broke");
    assert!(
        detail.contains(&format!("nothing was changed: {kind}: ")),
        "expected {kind}: {detail}"
    );
    assert!(detail.len() < 2_000, "{} bytes of detail", detail.len());
    detail
}

/// Waits until a condition holds.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < PATIENCE,
            "it did not come to be that {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Host and port of a URL.
pub fn address(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    rest.split('/').next().unwrap()
}

/// A connection to the server of this URL.
pub fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(address(url)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends these bytes, ends the sending, and returns everything that is received.
pub fn exchange(url: &str, bytes: &[u8]) -> String {
    let mut stream = connect(url);
    // A server may refuse and close before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    rest(stream)
}

/// Sends these bytes and returns everything that is received until the server closes.
pub fn converse(url: &str, bytes: &[u8]) -> String {
    let mut stream = connect(url);
    stream.write_all(bytes).unwrap();
    rest(stream)
}

/// Everything that is received until the connection ends, with or without an error.
pub fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The path of a URL.
pub fn path_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    rest.find('/').map_or("", |slash| &rest[slash..])
}
