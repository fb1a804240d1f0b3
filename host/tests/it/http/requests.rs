//! HTTP itself: routes, methods, media types, paths, heads, connections. What a request says is a matter
//! of `bad_input`.

use std::io::Write as _;

use serde_json::json;

use crate::expect::{connect, converse, exchange, path_of, problem, rest};
use crate::support::{Host, Start, request};

const CUSTOMER: &str = r#"{"name":"Ann","creditLimit":{"amount":1000}}"#;

fn start(data: &tempfile::TempDir) -> Host {
    Start::new(&["customer", "order"], data.path()).start()
}

/// Checks that the host serves, and that so many customers were registered before.
fn still_serves(host: &Host, registered: u64) {
    let next = host.send("customer", "POST", "/customers", CUSTOMER);
    assert_eq!(
        (next.status, &next.json()["customerId"]),
        (201, &json!(registered + 1))
    );
}

/// The statuses of several answers on one connection.
fn statuses(answers: &str) -> Vec<&str> {
    answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| &answer[..3])
        .collect()
}

#[test]
fn an_unknown_route_is_named() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    for path in [
        "//",
        "/customer",
        "/customer/",
        "/customer/1/",
        "/customer/1/orders",
        "/customers/1",
        "/Customers",
        "//customers",
    ] {
        let detail = problem(&host.get("customer", path), 404, "no-such-route");
        assert!(
            detail.ends_with(&format!("/customer-order/customer-service{path}")),
            "{detail}"
        );
    }
    let root = host
        .url("customer")
        .strip_suffix("/customer-order/customer-service")
        .unwrap();
    for path in [
        "/",
        "/customers",
        "/customer-order/customer-servicecustomers",
        "/customer-order/order-service/orders/1",
    ] {
        problem(
            &request("GET", &format!("{root}{path}"), &[], b""),
            404,
            "no-such-route",
        );
    }
    still_serves(&host, 0);
}

#[test]
fn a_wrong_method_is_answered_with_the_allowed_ones() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let cases = [
        (
            "/customers",
            "GET, HEAD, POST, OPTIONS",
            ["PUT", "PATCH", "DELETE", "TRACE", "BREW"],
        ),
        (
            "/customer/1",
            "GET, HEAD, OPTIONS",
            ["POST", "PUT", "PATCH", "DELETE", "BREW"],
        ),
    ];
    for (path, right, wrong) in cases {
        for method in wrong {
            let response = host.send("customer", method, path, CUSTOMER);
            assert_eq!(response.header("allow"), Some(right), "{method} {path}");
            let detail = problem(&response, 405, "method-not-allowed");
            assert!(
                detail.contains(method) && detail.contains(right),
                "{detail}"
            );
        }
    }
    still_serves(&host, 0);
}

#[test]
fn a_key_that_not_every_store_takes_is_a_bad_path() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let detail = problem(&host.get("order", "/orders/%00"), 400, "bad-path");
    assert!(detail.contains("U+0000"), "{detail}");
}

#[test]
fn an_aggregate_that_does_not_exist_is_not_found() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let long = "9".repeat(512);
    for id in [
        "1",
        "0",
        "-1",
        "99999999999999999999",
        "9223372036854775808",
        "1.0",
        "01",
        "+1",
        "abc",
        "%C3%BC",
        "a%2Fb",
        "'--",
        &long,
    ] {
        problem(
            &host.get("customer", &format!("/customer/{id}")),
            404,
            "not-found",
        );
        problem(
            &host.get("order", &format!("/orders/{id}")),
            404,
            "not-found",
        );
    }
    still_serves(&host, 0);
    assert_eq!(
        host.get("customer", "/customer/1").json(),
        json!({"id": 1, "name": "Ann", "creditLimit": 1000})
    );
    assert_eq!(
        host.get("customer", "/customer/%31").json()["id"],
        1,
        "an encoded digit is that digit"
    );
    problem(&host.get("customer", "/customer/01"), 404, "not-found");
}

#[test]
fn a_path_that_cannot_be_a_key_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    for id in [
        "%",
        "%2",
        "%zz",
        "%ff",
        "%C3",
        "%ED%A0%80",
        &"9".repeat(513),
    ] {
        let detail = problem(
            &host.get("customer", &format!("/customer/{id}")),
            400,
            "bad-path",
        );
        assert!(detail.starts_with("path parameter customerId "), "{detail}");
    }
    still_serves(&host, 0);
}

#[test]
fn a_body_must_be_announced_as_json() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = format!("{}/customers", host.url("customer"));
    for wrong in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "json",
        "application/jsonp",
        "",
        "\u{fc}",
    ] {
        let response = request(
            "POST",
            &url,
            &[("content-type", wrong)],
            CUSTOMER.as_bytes(),
        );
        let detail = problem(&response, 415, "unsupported-media-type");
        assert!(detail.contains("application/json"), "{detail}");
    }
    let right = [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/vnd.shop+json",
    ];
    for (number, right) in (1..).zip(right) {
        let response = request(
            "POST",
            &url,
            &[("content-type", right)],
            CUSTOMER.as_bytes(),
        );
        assert_eq!(
            (response.status, &response.json()["customerId"]),
            (201, &json!(number)),
            "{right}"
        );
    }
    for types in [
        "",
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
    ] {
        let answer = converse(
            &url,
            format!(
                "POST {} HTTP/1.1\r\nhost: localhost\r\n{types}connection: close\r\ncontent-length: {}\r\n\r\n{CUSTOMER}",
                path_of(&url),
                CUSTOMER.len()
            )
            .as_bytes(),
        );
        let is_refused =
            answer.starts_with("HTTP/1.1 415 ") && answer.contains("/unsupported-media-type");
        assert!(is_refused, "{types}{answer}");
    }
    still_serves(&host, 4);
}

#[test]
fn unexpected_queries_and_bodies_are_ignored() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    still_serves(&host, 0);
    assert_eq!(
        host.get("customer", "/customer/1?id=2&x=%zz").json()["id"],
        1
    );
    assert_eq!(
        host.send("customer", "GET", "/customer/1", "{not json")
            .json()["id"],
        1
    );
}

#[test]
fn a_head_that_is_no_http_ends_its_connection_only() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer").to_owned();
    let path = format!("{}/customer/1", path_of(&url));
    let huge = "x".repeat(2_000_000);
    let heads = [
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nhuge: {huge}\r\n\r\n"),
        format!("GET {path}?{huge} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        format!(
            "GET {path} HTTP/1.1\r\n{}\r\n",
            "many: x\r\n".repeat(10_000)
        ),
        format!("GET {path} HTTP/9.9\r\nhost: localhost\r\n\r\n"),
        format!("GET {path} HTTP/1.1\r\nbad header\r\n\r\n"),
        format!("POST {path} HTTP/1.1\r\ncontent-length: abc\r\n\r\n"),
        format!("POST {path} HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n"),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".to_owned(),
        "{\"name\":\"Ann\"}\r\n\r\n".to_owned(),
    ];
    for head in &heads {
        let answer = exchange(&url, head.as_bytes());
        let shown: String = head.chars().take(80).collect();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{shown:?}: {answer}"
        );
    }
    still_serves(&host, 0);
}

#[test]
fn requests_in_one_packet_are_answered_in_order_up_to_the_first_that_is_garbage() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer").to_owned();
    let base = path_of(&url);
    let post = format!(
        "POST {base}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{CUSTOMER}",
        CUSTOMER.len()
    );
    let get = format!("GET {base}/customer/1 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let last =
        format!("GET {base}/customer/2 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answers = converse(
        &url,
        format!("{post}{get}garbage\r\n\r\n{post}{last}").as_bytes(),
    );
    assert_eq!(statuses(&answers), ["201", "200", "400"], "{answers}");
    let answers = converse(&url, format!("{post}{get}{last}").as_bytes());
    assert_eq!(statuses(&answers), ["201", "200", "200"], "{answers}");
    still_serves(&host, 2);
}

#[test]
fn a_body_longer_than_announced_is_no_second_command() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer").to_owned();
    let base = path_of(&url);
    let request = format!(
        "POST {base}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{CUSTOMER}{CUSTOMER}",
        CUSTOMER.len()
    );
    let answer = converse(&url, request.as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 201") && answer.contains("HTTP/1.1 400"),
        "{answer}"
    );
    still_serves(&host, 1);
}

#[test]
fn a_chunked_body_is_accepted() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer").to_owned();
    let mut stream = connect(&url);
    let head = format!(
        "POST {}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        path_of(&url)
    );
    stream.write_all(head.as_bytes()).unwrap();
    for byte in CUSTOMER.bytes() {
        stream
            .write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n'])
            .unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let answer = rest(stream);
    assert!(
        answer.starts_with("HTTP/1.1 201") && answer.contains(r#""customerId":1"#),
        "{answer}"
    );
    still_serves(&host, 1);
}

#[test]
fn a_request_names_one_host_on_every_listener() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let customer = format!("{}/customer/1", path_of(host.url("customer")));
    for (url, path) in [
        (host.url("customer"), &*customer),
        (host.url("customer"), "*"),
        (host.admin(), "/livez"),
        (host.admin(), "/generations"),
    ] {
        let method = if path == "*" { "OPTIONS" } else { "GET" };
        for hosts in [
            "",
            "host: localhost\r\nhost: localhost\r\n",
            "host: localhost\r\nhost: evil.example\r\n",
            "host: ann@localhost\r\n",
            "host: a b\r\n",
            "host:\r\n",
        ] {
            let asked = format!("{method} {path} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
            let answer = converse(url, asked.as_bytes());
            let is_refused =
                answer.starts_with("HTTP/1.1 400 ") && answer.contains("/problems/bad-head\"");
            assert!(is_refused, "{path} {hosts}{answer}");
        }
    }
    // HTTP/1.0 knew no such header.
    let asked = format!("GET {customer} HTTP/1.0\r\n\r\n");
    let answer = converse(host.url("customer"), asked.as_bytes());
    assert!(answer.contains("/problems/not-found\""), "{answer}");
    still_serves(&host, 0);
}

#[test]
fn a_body_that_is_compressed_is_refused_on_every_listener() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let customers = format!("{}/customers", host.url("customer"));
    let participant = format!("{}/participants/customer", host.admin());
    for (method, url, body) in [
        ("POST", &customers, CUSTOMER.as_bytes()),
        ("POST", &customers, b"\x1f\x8b\x08\0"),
        (
            "PUT",
            &format!("{participant}/component"),
            b"\x1f\x8b\x08\0",
        ),
        ("POST", &format!("{participant}/rollback"), b"{}"),
    ] {
        for encoding in ["gzip", "br", "identity, gzip", "x"] {
            let refused = request(method, url, &[("content-encoding", encoding)], body);
            let detail = problem(&refused, 415, "unsupported-encoding");
            assert!(detail.contains(encoding), "{detail}");
        }
    }
    let plain = [("content-encoding", "identity")];
    assert_eq!(
        request("POST", &customers, &plain, CUSTOMER.as_bytes()).status,
        201
    );
    still_serves(&host, 1);
}

#[test]
fn a_path_may_encode_unreserved_characters() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    still_serves(&host, 0);
    let root = format!("http://{}", crate::expect::address(host.url("customer")));
    let get = |path: &str| request("GET", &format!("{root}{path}"), &[], b"");
    for path in [
        "/customer-order/customer-service/%63ustomer/1",
        "/customer%2Dorder/customer%2dservice/customer/%31",
        "/customer-order/customer-service/custome%72s?limit=1",
        "/customer-order/customer-service/openapi%2Ejson",
    ] {
        assert_eq!(get(path).status, 200, "{path}");
    }
    for path in [
        "/customer-order%2Fcustomer-service/customer/1",
        "/customer-order/customer-service/%2563ustomer/1",
        "/customer-order/customer-service/%43ustomer/1",
    ] {
        problem(&get(path), 404, "no-such-route");
    }
    let admin = request("GET", &format!("{}/%67enerations", host.admin()), &[], b"");
    assert_eq!(admin.status, 200, "{}", admin.text());
}

#[test]
fn a_long_or_invalid_head_is_answered_with_a_problem() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer").to_owned();
    let base = path_of(&url);
    let get = |path: &str, header: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}connection: close\r\n\r\n")
    };
    // Exactly what is read: bytes that are left over could cost the answer.
    let mut too_large = format!("GET {base} HTTP/1.1\r\nhost: localhost\r\na: ");
    too_large.push_str(&"x".repeat((80 << 10) - too_large.len()));
    for (asked, status, word) in [
        (
            get(&format!("{base}/customers?a={}", "x".repeat(20_000)), ""),
            414,
            "uri-too-long",
        ),
        (
            get(&format!("{base}/customers?a={}", "x".repeat(66_000)), ""),
            414,
            "uri-too-long",
        ),
        (too_large, 431, "head-too-large"),
        (get(base, &"a: b\r\n".repeat(150)), 431, "head-too-large"),
        (get(base, "bad header\r\n"), 400, "bad-head"),
        ("garbage\r\n\r\n".to_owned(), 400, "bad-head"),
    ] {
        let mut stream = connect(&url);
        stream.write_all(asked.as_bytes()).unwrap();
        let answer = rest(stream);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(
            head.contains("content-type: application/problem+json"),
            "{answer}"
        );
        let told: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(told["type"], format!("{base}/problems/{word}"));
        let page = request(
            "GET",
            &format!("{}/problems/{word}", host.url("customer")),
            &[],
            b"",
        );
        assert_eq!(page.status, 200);
    }
    still_serves(&host, 0);
}

#[test]
fn quotes_in_problems_are_shortened() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let digits = "1".repeat(900_000);
    let customer = |name: &str, amount: &str| {
        format!(r#"{{"name":{name},"creditLimit":{{"amount":{amount}}}}}"#)
    };
    let member =
        format!(r#"{{"name":"Ann","creditLimit":{{"amount":1,"{digits}":1}},"{digits}":2}}"#);
    for body in [
        customer("\"Ann\"", &digits),
        customer("\"Ann\"", &format!("0.{digits}")),
        customer("\"Ann\"", &format!("-{digits}")),
        customer(&digits, "1"),
        customer(&format!("\"{digits}\""), "\"x\""),
        member.replacen("\"name\":\"Ann\",", "", 1),
        format!(r#"{{"{digits}":1,"{digits}":2}}"#),
        digits.clone(),
        format!("{digits}x"),
    ] {
        let answer = host.send("customer", "POST", "/customers", &body);
        assert!((400..500).contains(&answer.status), "{}", answer.status);
        assert!(
            answer.body.len() < 8_000,
            "{} bytes: {:.200}",
            answer.body.len(),
            answer.text()
        );
    }
    let long = "9".repeat(15_000);
    for path in [
        format!("/{long}"),
        format!("/customers?{long}=1"),
        format!("/customers?limit={long}"),
    ] {
        let answer = host.get("customer", &path);
        assert!(
            answer.status >= 400 && answer.body.len() < 4_000,
            "{}",
            answer.text()
        );
    }
    let next = host.send("customer", "POST", "/customers", CUSTOMER);
    assert_eq!(next.status, 201);
}
