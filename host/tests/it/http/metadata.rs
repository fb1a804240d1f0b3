//! What rules are told of a request beside its body: the headers that they ask for. And that an integer
//! reaches them as one, however the client wrote it.

use serde_json::{Value, json};

use crate::chameleon::{Chameleon, serve, start};
use crate::expect::problem;
use crate::store_file::rows;
use crate::support::{Host, Response, request};

fn asking() -> Chameleon {
    let sizes = json!({"type": "object", "properties": {
        "size": {"type": "integer"}, "price": {"type": "number"},
    }});
    Chameleon::new().with(json!({
        "metadata": ["x-tenant", "x-region"],
        "commands": [
            {"name": "tell", "method": "POST", "path": "/told/{key}", "request": sizes},
            {"name": "look", "method": "GET", "path": "/told/{key}", "kind": "read"},
        ],
        "handle": {"tell": "tell", "look": "tell"},
    }))
}

fn tell(host: &Host, headers: &[(&str, &str)], body: &str) -> Response {
    let url = format!("{}/told/1", host.url("chameleon"));
    let headers = [&[("content-type", "application/json")], headers].concat();
    request("POST", &url, &headers, body.as_bytes())
}

#[test]
fn the_headers_that_rules_ask_for_are_told_and_recorded() {
    let data = tempfile::tempdir().unwrap();
    let host = serve(data.path(), &asking());
    let headers = [
        ("X-Region", "eu"),
        ("x-tenant", "acme"),
        ("X-Tenant", "globex"),
        ("x-other", "nobody asks"),
    ];
    let told = tell(&host, &headers, "{}");
    assert_eq!(told.status, 200, "{}", told.text());
    let metadata = json!([["x-tenant", "globex"], ["x-region", "eu"]]);
    assert_eq!(told.json()["metadata"], metadata);
    assert_eq!(told.json()["caller"], Value::Null);
    // A read is told, too.
    let url = format!("{}/told/1", host.url("chameleon"));
    let read = request("GET", &url, &[("x-region", "us")], b"");
    assert_eq!(read.json()["metadata"], json!([["x-region", "us"]]));
    assert_eq!(tell(&host, &[], "{}").json()["metadata"], json!([]));

    for bad in [&"x".repeat(1_025), "a\tb"] {
        let refused = tell(&host, &[("x-tenant", bad)], "{}");
        problem(&refused, 400, "bad-header");
    }
    let document = host.get("chameleon", "/openapi.json").json();
    let parameters = document["paths"]["/told/{key}"]["post"]["parameters"].clone();
    let is_named = |name: &str| {
        let mut parameters = parameters.as_array().unwrap().iter();
        parameters.any(|one| one["name"] == name && one["in"] == "header")
    };
    assert!(
        is_named("x-tenant") && is_named("x-region"),
        "{parameters:#}"
    );
    let bad = &document["paths"]["/told/{key}"]["post"]["responses"]["400"]["description"];
    assert!(bad.as_str().unwrap().contains("`bad-header`"), "{bad}");
    assert!(host.stop().success());
    let recorded = rows(
        data.path(),
        "SELECT message -> '$.metadata' FROM journal ORDER BY seq",
    );
    let first = json!([["x-tenant", "globex"], ["x-region", "eu"]]).to_string();
    assert_eq!(recorded, [[first], ["NULL".to_owned()]]);
}

#[test]
fn a_page_that_is_let_in_may_send_them() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    asking().write(&path);
    let host = start(&path, data.path())
        .setting("http.cors_origins", "https://shop.example")
        .start();
    let url = format!("{}/told/1", host.url("chameleon"));
    let headers = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-tenant"),
    ];
    let preflight = request("OPTIONS", &url, &headers, b"");
    let sendable = preflight.header("access-control-allow-headers").unwrap();
    assert!(sendable.ends_with(", x-tenant, x-region"), "{sendable}");
}

#[test]
fn what_the_schema_calls_an_integer_reaches_rules_as_one() {
    let data = tempfile::tempdir().unwrap();
    let host = serve(data.path(), &asking());
    for (sent, offered) in [
        (r#"{"size":3.0,"price":3.0}"#, r#"{"price":3.0,"size":3}"#),
        (r#"{"size":3e2}"#, r#"{"size":300}"#),
        (
            r#"{ "size": 3, "price": 1.50 }"#,
            r#"{ "size": 3, "price": 1.50 }"#,
        ),
    ] {
        assert_eq!(tell(&host, &[], sent).json()["body"], offered, "{sent}");
    }
    problem(&tell(&host, &[], r#"{"size":3.5}"#), 422, "invalid-body");
}
