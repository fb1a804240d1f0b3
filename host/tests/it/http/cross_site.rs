//! Pages of other sites, in a browser that reaches the host: they read nothing and command nothing.

use std::io::Write as _;

use crate::expect::{address, connect, converse, path_of, problem, rest};
use crate::support::{Host, Start, request};

const CUSTOMER: &str = r#"{"name":"Ann","creditLimit":{"amount":1000}}"#;

fn start(data: &tempfile::TempDir) -> Host {
    Start::new(&["customer", "order"], data.path()).start()
}

/// How many customers there are.
fn customers(host: &Host) -> usize {
    let list = host.get("customer", "/customers").json();
    list["items"].as_array().unwrap().len()
}

#[test]
fn pages_of_other_sites_can_not_send_commands() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = format!("{}/customers", host.url("customer"));
    let own = format!("http://{}", address(&url));
    // A form, `sendBeacon` and `fetch` without leave: what comes without a preflight has one of these types, or none.
    for media in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
    ] {
        let sent = [("content-type", media)];
        let refused = request("POST", &url, &sent, CUSTOMER.as_bytes());
        problem(&refused, 415, "unsupported-media-type");
    }
    let blob = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{CUSTOMER}",
        path_of(&url),
        address(&url),
        CUSTOMER.len()
    );
    let answer = converse(&url, blob.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    // What a browser says of the page, whatever else it sends.
    for page in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "http://localhost:1")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
    ] {
        for method in ["POST", "PUT", "DELETE"] {
            let refused = request(method, &url, page, CUSTOMER.as_bytes());
            let detail = problem(&refused, 403, "foreign-origin");
            assert!(detail.contains("http.cors_origins"), "{detail}");
        }
        assert_eq!(
            request("GET", &url, page, b"").status,
            200,
            "CORS is for that"
        );
    }
    assert_eq!(customers(&host), 0);
    // The pages of the listener itself, programs, and what a person opens.
    for page in [
        &[][..],
        &[("origin", &*own)],
        &[("origin", &own), ("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none")],
    ] {
        let made = request("POST", &url, page, CUSTOMER.as_bytes());
        assert_eq!(made.status, 201, "{page:?}: {}", made.text());
    }
    assert_eq!(customers(&host), 4);
}

#[test]
fn pages_of_listed_origins_may_send_commands() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting("http.cors_origins", "https://shop.example")
        .start();
    let url = format!("{}/customers", host.url("customer"));
    for (origin, status) in [("https://shop.example", 201), ("https://evil.example", 403)] {
        let page = [("origin", origin), ("sec-fetch-site", "cross-site")];
        let answer = request("POST", &url, &page, CUSTOMER.as_bytes());
        assert_eq!(answer.status, status, "{}", answer.text());
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, (status == 201).then_some(origin));
    }
}

#[test]
fn a_post_without_a_body_needs_a_header_that_forms_can_not_send() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    let room = r#"{"code":"A","seats":4}"#;
    assert_eq!(host.send("booking", "PUT", "/rooms", room).status, 201);
    let url = host.url("booking");
    let send = |method: &str, path: &str, headers: &str| {
        let mut stream = connect(url);
        let head = format!(
            "{method} {}{path} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n",
            path_of(url)
        );
        stream.write_all(head.as_bytes()).unwrap();
        rest(stream)
    };
    let document = host.get("booking", "/openapi.json").json();
    let bodiless = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .find(|(_, place)| place["post"].is_object() && place["post"]["requestBody"].is_null());
    let (path, place) = bodiless.expect("booking has a POST without a body");
    assert!(place["post"]["responses"]["415"].is_object(), "{place}");
    let path = path.replace("{code}", "A");
    for headers in [
        "",
        "content-type: text/plain\r\n",
        "accept: application/json\r\n",
    ] {
        let answer = send("POST", &path, headers);
        let is_refused = answer.starts_with("HTTP/1.1 415 ") && answer.contains("Idempotency-Key");
        assert!(is_refused, "{headers}{answer}");
    }
    for headers in [
        "content-type: application/json\r\n",
        "idempotency-key: k\r\n",
        "sec-fetch-site: same-origin\r\n",
    ] {
        let answer = send("POST", &path, headers);
        assert!(!answer.starts_with("HTTP/1.1 415 "), "{headers}{answer}");
    }
    // No form sends it.
    let answer = send("DELETE", "/rooms/A", "");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_rebound_dns_name_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting("http.hosts", "shop.example")
        .start();
    let url = host.url("customer");
    let ask = |name: &str, path: &str| {
        let head = format!(
            "GET {}{path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n",
            path_of(url)
        );
        converse(url, head.as_bytes())
    };
    for path in ["/customers", "/customer/1", "/openapi.json", "/swagger-ui/"] {
        for name in [
            "evil.example",
            "evil.example:8081",
            "192.168.0.7",
            "shop.example.evil",
        ] {
            let answer = ask(name, path);
            let is_refused =
                answer.starts_with("HTTP/1.1 403 ") && answer.contains("/problems/foreign-host");
            assert!(is_refused, "{name}{path}: {answer}");
        }
        for name in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8081",
            "[::1]",
            "Shop.Example:443",
        ] {
            assert!(
                !ask(name, path).starts_with("HTTP/1.1 403 "),
                "{name}{path}"
            );
        }
    }
    let (status, said) = Start::new(&["customer"], data.path())
        .setting("http.hosts", "https://shop.example")
        .fail();
    assert_eq!(status.code(), Some(64));
    assert!(said.contains("without scheme and port"), "{said}");
}
