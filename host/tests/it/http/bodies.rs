//! Bodies that make no sense. Each gets a clear answer, creates nothing, uses up no number, and the host
//! goes on. And amounts that do make sense, to the cent.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon};
use crate::expect::{connect, exchange, path_of, problem, rest, word_of};
use crate::store_file::{number, published};
use crate::support::{Host, Response, Start};

/// Bodies for both services: what is wrong with them does not depend on the fields.
const NO_JSON: [&str; 9] = [
    "",
    "   \r\n ",
    "no json",
    "{",
    "{\"name\":\"Ann\",}",
    "{\"name\":\"Ann\",\"creditLimit\":{\"amount\":NaN}}",
    "{\"name\":\"Ann\",\"creditLimit\":{\"amount\":0x10}}",
    "{\"name\":\"\\ud800\",\"creditLimit\":{\"amount\":1}}",
    "{\"name\":\"Ann\",\"creditLimit\":{\"amount\":1}} {}",
];

fn start(data: &tempfile::TempDir) -> Host {
    Start::new(&["customer", "order"], data.path()).start()
}

fn refused(response: &Response, pointer: &str) {
    assert_eq!(response.status, 422, "{}", response.text());
    problem(response, 422, &word_of(&response.json()));
    let errors = response.json()["errors"].clone();
    let pointers: Vec<_> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert!(pointers.contains(&pointer), "{pointer}: {errors}");
}

/// Checks that the next of each gets number 1: nothing was created before.
fn nothing_was_created(host: &Host) {
    let ann = host.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": 10}}),
    );
    assert_eq!((ann.status, &ann.json()["customerId"]), (201, &json!(1)));
    let order = host.post(
        "order",
        "/orders",
        &json!({"customerId": 1, "orderTotal": {"amount": 4}}),
    );
    assert_eq!((order.status, &order.json()["orderId"]), (201, &json!(1)));
    host.get_until("order", "/orders/1", |response| {
        response.json()["orderState"] == "APPROVED"
    });
    assert_eq!(host.get("customer", "/customer/1").json()["creditLimit"], 6);
}

#[test]
fn bodies_that_are_not_json_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let deep = "[".repeat(100_000);
    let deep_object = r#"{"name":"#.repeat(1_000);
    for (service, path) in [("customer", "/customers"), ("order", "/orders")] {
        for body in NO_JSON
            .into_iter()
            .chain([deep.as_str(), deep_object.as_str()])
        {
            let detail = problem(&host.send(service, "POST", path, body), 400, "bad-json");
            assert!(
                detail.starts_with("the body is ") && detail.len() < 1_000,
                "{detail}"
            );
        }
        let url = format!("{}{path}", host.url(service));
        for bytes in [
            &b"{\"name\":\"\xff\"}"[..],
            b"\xef\xbb\xbf{}",
            b"\xff\xfe{\0}\0",
            b"\0",
        ] {
            problem(
                &crate::support::request("POST", &url, &[], bytes),
                400,
                "bad-json",
            );
        }
    }
    nothing_was_created(&host);
}

#[test]
fn an_empty_body_is_null_where_the_schema_allows_it() {
    let data = tempfile::tempdir().unwrap();
    let command = |name: &str, path: &str, request: Value| json!({"name": name, "method": "POST", "path": path, "request": request});
    let build = Chameleon::new().with(json!({
        "commands": [
            command("maybe", "/maybe/{key}", json!({"type": ["object", "null"]})),
            command("word", "/word/{key}", json!({"type": "string"})),
        ],
        "handle": {"maybe": "tell", "word": "tell"},
    }));
    let host = chameleon::serve(data.path(), &build);
    for body in ["", " \n", "null"] {
        let told = host.send("chameleon", "POST", "/maybe/k", body);
        assert_eq!(
            (told.status, &told.json()["body"]),
            (200, &json!("null")),
            "{body}"
        );
    }
    let detail = problem(
        &host.send("chameleon", "POST", "/word/k", ""),
        400,
        "bad-json",
    );
    assert_eq!(detail, "the body is empty; a string is expected, as JSON");
    // Without a body there is nothing to announce; a form that a page sends looks alike.
    let url = host.url("chameleon");
    let ask = |path: &str, headers: &str| {
        let place = format!("{}{path}", path_of(url));
        let head = format!(
            "POST {place} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n{headers}connection: close\r\n\r\n"
        );
        exchange(url, head.as_bytes())
    };
    let answer = ask("/maybe/k", "idempotency-key: k\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for (path, headers) in [
        ("/maybe/k", ""),
        ("/maybe/k", "content-type: text/plain\r\n"),
        ("/word/k", "idempotency-key: w\r\n"),
    ] {
        let answer = ask(path, headers);
        assert!(
            answer.starts_with("HTTP/1.1 415 "),
            "{path} {headers}{answer}"
        );
    }
    let paths = &host.get("chameleon", "/openapi.json").json()["paths"];
    let is_required = |path: &str| paths[path]["post"]["requestBody"]["required"].clone();
    assert_eq!(
        (is_required("/maybe/{key}"), is_required("/word/{key}")),
        (json!(false), json!(true))
    );
    assert!(host.stop().success());
}

#[test]
fn customers_of_the_wrong_shape_are_refused_with_the_place() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let long_name = format!(
        r#"{{"name":"{}","creditLimit":{{"amount":1}}}}"#,
        "x".repeat(201)
    );
    let cases = [
        ("null", ""),
        ("[]", ""),
        ("[{\"name\":\"Ann\",\"creditLimit\":{\"amount\":1}}]", ""),
        ("7", ""),
        ("\"Ann\"", ""),
        ("{}", ""),
        (r#"{"name":"Ann"}"#, ""),
        (r#"{"creditLimit":{"amount":1}}"#, ""),
        (r#"{"Name":"Ann","creditLimit":{"amount":1}}"#, ""),
        (r#"{"name":null,"creditLimit":{"amount":1}}"#, "/name"),
        (r#"{"name":7,"creditLimit":{"amount":1}}"#, "/name"),
        (r#"{"name":["Ann"],"creditLimit":{"amount":1}}"#, "/name"),
        (r#"{"name":"","creditLimit":{"amount":1}}"#, "/name"),
        (r#"{"name":" \t ","creditLimit":{"amount":1}}"#, "/name"),
        (long_name.as_str(), "/name"),
        (r#"{"name":"Ann","creditLimit":null}"#, "/creditLimit"),
        (r#"{"name":"Ann","creditLimit":100}"#, "/creditLimit"),
        (r#"{"name":"Ann","creditLimit":[100]}"#, "/creditLimit"),
        (r#"{"name":"Ann","creditLimit":{}}"#, "/creditLimit"),
    ];
    for (body, pointer) in cases {
        refused(&host.send("customer", "POST", "/customers", body), pointer);
    }
    let amounts = [
        "null",
        r#""100""#,
        "true",
        "[1]",
        "-0.01",
        "-1000",
        "90000000000000000.01",
        "123456789012345678901234567890",
        "1e400",
        "1e999999999999999999999",
    ];
    for amount in amounts {
        let body = format!(r#"{{"name":"Ann","creditLimit":{{"amount":{amount}}}}}"#);
        let answer = host.send("customer", "POST", "/customers", &body);
        refused(&answer, "/creditLimit/amount");
    }
    nothing_was_created(&host);
}

#[test]
fn orders_of_the_wrong_shape_are_refused_with_the_place() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let cases = [
        ("null", ""),
        ("[]", ""),
        ("{}", ""),
        (r#"{"customerId":1}"#, ""),
        (r#"{"orderTotal":{"amount":1}}"#, ""),
        (
            r#"{"customerId":null,"orderTotal":{"amount":1}}"#,
            "/customerId",
        ),
        (
            r#"{"customerId":"1","orderTotal":{"amount":1}}"#,
            "/customerId",
        ),
        (
            r#"{"customerId":1.5,"orderTotal":{"amount":1}}"#,
            "/customerId",
        ),
        (
            r#"{"customerId":0,"orderTotal":{"amount":1}}"#,
            "/customerId",
        ),
        (
            r#"{"customerId":-1,"orderTotal":{"amount":1}}"#,
            "/customerId",
        ),
        (
            r#"{"customerId":9223372036854775808,"orderTotal":{"amount":1}}"#,
            "/customerId",
        ),
        (
            r#"{"customerId":99999999999999999999,"orderTotal":{"amount":1}}"#,
            "/customerId",
        ),
        (
            r#"{"customerId":1e30,"orderTotal":{"amount":1}}"#,
            "/customerId",
        ),
        (r#"{"customerId":1,"orderTotal":null}"#, "/orderTotal"),
        (r#"{"customerId":1,"orderTotal":5}"#, "/orderTotal"),
        (
            r#"{"customerId":1,"orderTotal":{"amount":"5"}}"#,
            "/orderTotal/amount",
        ),
        (
            r#"{"customerId":1,"orderTotal":{"amount":0}}"#,
            "/orderTotal/amount",
        ),
        (
            r#"{"customerId":1,"orderTotal":{"amount":0.00}}"#,
            "/orderTotal/amount",
        ),
        (
            r#"{"customerId":1,"orderTotal":{"amount":-0}}"#,
            "/orderTotal/amount",
        ),
        (
            r#"{"customerId":1,"orderTotal":{"amount":-5}}"#,
            "/orderTotal/amount",
        ),
        (
            r#"{"customerId":1,"orderTotal":{"amount":123456789012345678901234567890}}"#,
            "/orderTotal/amount",
        ),
    ];
    for (body, pointer) in cases {
        refused(&host.send("order", "POST", "/orders", body), pointer);
    }
    nothing_was_created(&host);
}

/// A schema can't say what is finer than a cent: the rules refuse it. The number that it was offered
/// under is not used again.
#[test]
fn amounts_finer_than_a_cent_are_refused_by_the_rules() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let ann = host.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": 10}}),
    );
    let ann = ann.json()["customerId"].to_string();
    let fine = [
        "0.001",
        "0.0100000000000000000000000000001",
        "9.999",
        "1e-3",
        "1e-999999999999999999999",
        "0.000000000000000000000000000001",
    ];
    for amount in fine {
        let body = format!(r#"{{"name":"Bob","creditLimit":{{"amount":{amount}}}}}"#);
        refused(
            &host.send("customer", "POST", "/customers", &body),
            "/creditLimit/amount",
        );
        let body = format!(r#"{{"customerId":{ann},"orderTotal":{{"amount":{amount}}}}}"#);
        refused(
            &host.send("order", "POST", "/orders", &body),
            "/orderTotal/amount",
        );
    }
    assert_eq!(
        host.get("customer", &format!("/customer/{ann}")).json()["creditLimit"],
        10
    );
    let placed = host.send(
        "order",
        "POST",
        "/orders",
        &format!(r#"{{"customerId":{ann},"orderTotal":{{"amount":10}}}}"#),
    );
    let path = format!("/orders/{}", placed.json()["orderId"]);
    host.get_until("order", &path, |response| {
        response.json()["orderState"] == "APPROVED"
    });
    assert!(host.stop().success());
    assert_eq!(
        number(data.path(), "SELECT count(*) FROM aggregates"),
        2,
        "Ann and her order, and nothing else"
    );
    assert_eq!(published(data.path(), "orderTopic"), 1);
}

/// Limit, order, what is left: exactly.
#[test]
fn amounts_keep_every_cent() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let cases = [
        ("10.25", "0.01", "10.24"),
        ("1e2", "1e1", "90"),
        ("1E+2", "1000e-2", "90"),
        ("0.10", "0.1", "0"),
        ("0.30", "0.10", "0.2"),
        ("1000000000000", "0.01", "999999999999.99"),
        ("90000000000000000", "0.01", "89999999999999999.99"),
        ("90000000000000000", "89999999999999999.99", "0.01"),
        ("90071992547.41", "0.02", "90071992547.39"),
        ("10.250000000000000000000000000000", "10.25", "0"),
    ];
    for (number, (limit, total, left)) in (1..).zip(cases) {
        let registered = host.send(
            "customer",
            "POST",
            "/customers",
            &format!(r#"{{"name":"Ann","creditLimit":{{"amount":{limit}}}}}"#),
        );
        assert_eq!(
            (registered.status, &registered.json()["customerId"]),
            (201, &json!(number)),
            "{}",
            registered.text()
        );
        let placed = host.send(
            "order",
            "POST",
            "/orders",
            &format!(r#"{{"customerId":{number},"orderTotal":{{"amount":{total}}}}}"#),
        );
        assert_eq!(
            (placed.status, &placed.json()["orderId"]),
            (201, &json!(number)),
            "{}",
            placed.text()
        );
        let path = format!("/orders/{number}");
        let decided = host.get_until("order", &path, |response| {
            response.json()["orderState"] != "PENDING"
        });
        assert_eq!(
            decided.json()["orderState"],
            "APPROVED",
            "{limit} - {total}"
        );
        let shown = host.get("customer", &format!("/customer/{number}")).text();
        assert!(
            shown.ends_with(&format!(r#""creditLimit":{left}}}"#)),
            "{limit} - {total} = {left}: {shown}"
        );
    }
}

#[test]
fn the_largest_customer_number_is_a_customer_who_does_not_exist() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let placed = host.send(
        "order",
        "POST",
        "/orders",
        r#"{"customerId":9223372036854775807,"orderTotal":{"amount":1}}"#,
    );
    assert_eq!(
        (placed.status, &placed.json()["customerId"]),
        (201, &json!(i64::MAX))
    );
    host.get_until("order", "/orders/1", |response| {
        response.json()["orderState"] == "REJECTED"
    });
}

#[test]
fn a_huge_body_is_refused_without_being_read() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = format!("{}/customers", host.url("customer"));
    let huge = vec![b' '; 100 << 20];
    let before = host.peak_memory();
    // In one piece with its length announced, and in chunks with none.
    let mut stream = connect(&url);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        path_of(&url),
        huge.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // The host hangs up on the way.
    let sent = (huge.chunks(1 << 20))
        .take_while(|part| stream.write_all(part).is_ok())
        .count();
    assert!(sent < 100, "all 100 MB were taken");
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.contains("body-too-large") && answer.contains("1048576 bytes"),
        "{answer}"
    );
    let mut stream = connect(&url);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        path_of(&url)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"100000\r\n", &huge[..1 << 20], b"\r\n"].concat();
    // The host hangs up on the way.
    let sent = (0..100)
        .take_while(|_| stream.write_all(&chunk).is_ok())
        .count();
    assert!(sent < 100, "all 100 MB were taken");
    let answer = rest(stream);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let after = host.peak_memory();
    assert!(
        after < before + (30 << 20),
        "grew from {before} to {after} bytes"
    );
    nothing_was_created(&host);
}

#[test]
fn a_body_just_within_the_bound_is_read() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let mut body = r#"{"name":"Ann","creditLimit":{"amount":10}}"#.to_owned();
    body.push_str(&" ".repeat((1 << 20) - body.len()));
    assert_eq!(
        host.send("customer", "POST", "/customers", &body).status,
        201
    );
    body.push(' ');
    problem(
        &host.send("customer", "POST", "/customers", &body),
        413,
        "body-too-large",
    );
}

#[test]
fn a_body_that_breaks_off_creates_nothing() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    let url = host.url("customer").to_owned();
    let whole = r#"{"name":"Ann","creditLimit":{"amount":10}}"#;
    let head = format!(
        "POST {}/customers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n",
        path_of(&url)
    );
    for request in [
        format!("{head}content-length: {}\r\n\r\n{whole}", whole.len() + 1),
        format!("{head}content-length: 1000000\r\n\r\n{whole}"),
        format!(
            "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{whole}\r\n",
            whole.len()
        ),
        format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n{whole}\r\n"),
    ] {
        let answer = exchange(&url, request.as_bytes());
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{request}: {answer}"
        );
    }
    // A client that goes away without a word.
    let mut stream = connect(&url);
    stream
        .write_all(format!("{head}content-length: 1000\r\n\r\n{{").as_bytes())
        .unwrap();
    drop(stream);
    nothing_was_created(&host);
}

#[test]
fn unusual_but_legal_names_are_unchanged() {
    let data = tempfile::tempdir().unwrap();
    let host = start(&data);
    for (number, name) in (1..).zip([
        "Ann \u{1f600} Øre",
        "\u{0}\u{1}\u{7f}",
        "<script>alert(1)</script>",
        "'; DROP TABLE aggregates; --",
        "{{name}} %s \\",
    ]) {
        let body = json!({"name": name, "creditLimit": {"amount": 1}});
        assert_eq!(host.post("customer", "/customers", &body).status, 201);
        let shown: Value = host.get("customer", &format!("/customer/{number}")).json();
        assert_eq!(shown["name"], name);
    }
}
