//! The habits of a good HTTP API: ETags and conditional reads, OPTIONS, CORS.

use std::path::Path;

use serde_json::json;

use crate::expect::{exchange, problem};
use crate::support::{Host, Response, Start, request};

const CUSTOMER: &str = r#"{"name":"Ann","creditLimit":{"amount":1000}}"#;

fn start(data: &Path) -> Host {
    let host = Start::new(&["customer", "order"], data).start();
    register(&host);
    host
}

fn register(host: &Host) {
    assert_eq!(
        host.send("customer", "POST", "/customers", CUSTOMER).status,
        201
    );
}

fn ask(host: &Host, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    request(
        method,
        &format!("{}{path}", host.url("customer")),
        headers,
        b"",
    )
}

#[test]
fn an_unchanged_read_is_answered_304() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let read = host.get("customer", "/customer/1");
    let tag = read.header("etag").unwrap().to_owned();
    assert!(
        tag.starts_with('"') && tag.ends_with('"') && tag.len() == 34,
        "{tag}"
    );
    assert_eq!(read.header("cache-control"), Some("no-cache"));
    for listed in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"a\", {tag}"),
        "*".to_owned(),
    ] {
        for method in ["GET", "HEAD"] {
            let same = ask(&host, method, "/customer/1", &[("if-none-match", &listed)]);
            assert_eq!((same.status, &*same.text()), (304, ""), "{method} {listed}");
            assert_eq!(same.header("etag"), Some(&*tag));
            assert_eq!(same.header("content-type"), None);
        }
    }
    let other = ask(&host, "GET", "/customer/1", &[("if-none-match", "\"a\"")]);
    assert_eq!((other.status, other.text()), (200, read.text()));

    // What changes has another tag; what is the same after a restart has the same.
    let order = json!({"customerId": 1, "orderTotal": {"amount": 300}});
    assert_eq!(host.post("order", "/orders", &order).status, 201);
    host.get_until("customer", "/customer/1", |response| {
        response.json()["creditLimit"] == 700
    });
    let changed = ask(&host, "GET", "/customer/1", &[("if-none-match", &tag)]);
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(&*tag));
    assert!(host.stop().success());
    let host = Start::new(&["customer"], data.path()).start();
    let again = host.get("customer", "/customer/1");
    assert_eq!(again.header("etag"), changed.header("etag"));
    // What is no read of something that is there has none, whatever the client has.
    problem(
        &ask(&host, "GET", "/customer/9", &[("if-none-match", "*")]),
        404,
        "not-found",
    );
    let created = host.send("customer", "POST", "/customers", CUSTOMER);
    assert_eq!((created.status, created.header("etag")), (201, None));
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let get = host.get("customer", "/customer/1");
    let url = host.url("customer");
    let path = crate::expect::path_of(url);
    let head = exchange(
        url,
        format!("HEAD {path}/customer/1 HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes(),
    );
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    for name in [
        "content-type",
        "content-length",
        "etag",
        "cache-control",
        "vary",
    ] {
        let line = format!("{name}: {}\r\n", get.header(name).unwrap());
        assert!(head.contains(&line), "no {line} in {head}");
    }
}

#[test]
fn options_lists_the_methods_of_a_path() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    for (path, methods) in [
        ("/customers", "GET, HEAD, POST, OPTIONS"),
        ("/customer/1", "GET, HEAD, OPTIONS"),
        ("/customer/99", "GET, HEAD, OPTIONS"),
    ] {
        let response = ask(&host, "OPTIONS", path, &[]);
        assert_eq!(
            (response.status, response.header("allow")),
            (204, Some(methods)),
            "{path}"
        );
        assert_eq!(response.text(), "");
        let wrong = ask(&host, "PUT", path, &[]);
        assert_eq!(wrong.header("allow"), Some(methods), "{path}");
        problem(&wrong, 405, "method-not-allowed");
    }
    problem(&ask(&host, "OPTIONS", "/none", &[]), 404, "no-such-route");
    let any = exchange(
        host.url("customer"),
        b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    );
    assert!(any.starts_with("HTTP/1.1 204 No Content\r\n"), "{any}");
    assert!(any.contains("allow: GET, HEAD, POST, OPTIONS\r\n"), "{any}");
    let other = exchange(
        host.url("customer"),
        b"GET * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    );
    assert!(other.starts_with("HTTP/1.1 4"), "{other}");
}

/// The preflight request of a browser for a POST from this origin.
fn preflight(host: &Host, origin: &str) -> Response {
    let asked = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,prefer"),
    ];
    ask(host, "OPTIONS", "/customers", &asked)
}

const ALLOWED: &str = "access-control-allow-origin";

#[test]
fn pages_of_other_origins_are_let_in_where_the_operator_says_so() {
    const SHOP: &str = "https://shop.example";
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting(
            "http.cors_origins",
            format!("{SHOP}, http://localhost:3000"),
        )
        .start();
    let before = preflight(&host, SHOP);
    assert_eq!((before.status, before.header(ALLOWED)), (204, Some(SHOP)));
    assert_eq!(
        before.header("access-control-allow-methods"),
        Some("GET, HEAD, POST, OPTIONS")
    );
    let headers = before.header("access-control-allow-headers").unwrap();
    assert!(
        headers.contains("content-type") && headers.contains("prefer"),
        "{headers}"
    );
    assert_eq!(before.header("access-control-max-age"), Some("600"));
    let url = format!("{}/customers", host.url("customer"));
    for (origin, allowed) in [
        (SHOP, Some(SHOP)),
        ("http://localhost:3000", Some("http://localhost:3000")),
        ("https://evil.example", None),
        ("null", None),
    ] {
        // A page that is not let in commands nothing, and may not read the answer either.
        let created = request("POST", &url, &[("origin", origin)], CUSTOMER.as_bytes());
        let status = if allowed.is_some() { 201 } else { 403 };
        assert_eq!(
            (created.status, created.header(ALLOWED)),
            (status, allowed),
            "{origin}"
        );
        assert_eq!(created.header("vary"), Some("origin"));
        assert_eq!(
            created.header("access-control-expose-headers").is_some(),
            allowed.is_some()
        );
        assert_eq!(created.header("access-control-allow-credentials"), None);
        assert_eq!(preflight(&host, origin).header(ALLOWED), allowed);
        // Problems are to be read too.
        let missing = ask(&host, "GET", "/customer/99", &[("origin", origin)]);
        assert_eq!((missing.status, missing.header(ALLOWED)), (404, allowed));
    }
    assert!(host.stop().success());

    let host = Start::new(&["customer"], data.path())
        .setting("http.cors_origins", "*")
        .start();
    assert_eq!(
        preflight(&host, "https://evil.example").header(ALLOWED),
        Some("*")
    );
    assert!(host.stop().success());
    let host = Start::new(&["customer"], data.path()).start();
    let before = preflight(&host, SHOP);
    assert_eq!(
        (
            before.status,
            before.header(ALLOWED),
            before.header("access-control-allow-methods")
        ),
        (204, None, None)
    );
}

#[test]
fn an_origin_that_no_browser_sends_is_refused_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    for (wrong, why) in [
        ("https://shop.example/app", "has a path"),
        ("https://shop.example/", "`/` at its end"),
        ("shop.example", "no scheme"),
        ("https://shop.example,*", "beside others"),
        ("https://shop.example,,", "origin"),
    ] {
        let (status, said) = Start::new(&["customer"], data.path())
            .setting("http.cors_origins", wrong)
            .fail();
        assert_eq!(status.code(), Some(64), "{wrong}: {said}");
        assert!(
            said.contains("SAGA__HTTP__CORS_ORIGINS") && said.contains(why),
            "{said}"
        );
    }
}
