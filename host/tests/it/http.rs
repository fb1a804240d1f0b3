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
        "",
        "/",
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
fn a_wrong_method_is_told_the_right_ones() {
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
        "%00",
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
fn a_body_must_be_announced_as_json_if_it_is_announced() {
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
    assert_eq!(
        request("POST", &url, &[], CUSTOMER.as_bytes()).json()["customerId"],
        5
    );
    still_serves(&host, 5);
}

#[test]
fn a_query_and_a_body_that_nobody_asked_for_are_passed_over() {
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
        "POST {base}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{CUSTOMER}",
        CUSTOMER.len()
    );
    let get = format!("GET {base}/customer/1 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let last = format!("GET {base}/customer/2 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
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
        "POST {base}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{CUSTOMER}{CUSTOMER}",
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
fn a_body_in_chunks_is_as_good_as_one_with_a_length() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer").to_owned();
    let mut stream = connect(&url);
    let head = format!(
        "POST {}/customers HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
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
