//! Callers that a trusted proxy states in headers.

use std::path::Path;

use serde_json::json;

use crate::chameleon::{Chameleon, start};
use crate::expect::problem;
use crate::support::{Host, Response, Start, request};

fn configured(data: &Path) -> Start {
    let path = data.join("chameleon.wasm");
    let build = Chameleon::new().with(json!({
        "claims": ["tenant"],
        "metadata": ["x-forwarded-user", "x-forwarded-groups", "x-claims", "x-tenant"],
        "commands": [
            {"name": "tell", "method": "POST", "path": "/counters/{key}/tell"},
            {"name": "reset", "method": "DELETE", "path": "/counters/{key}", "requires": ["reset"]},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
        ],
        "handle": {"tell": "tell", "reset": "remove"},
    }));
    build.write(&path);
    start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("http.auth.mode", "headers")
        .setting("http.auth.claims_header", "x-claims")
}

fn ask(host: &Host, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let json = [("content-type", "application/json")];
    let url = format!("{}{path}", host.url("chameleon"));
    request(method, &url, &[headers, &json].concat(), b"")
}

#[test]
fn the_proxy_says_who_asks() {
    let data = tempfile::tempdir().unwrap();
    let host = configured(data.path()).start();
    host.log_until("callers are stated by trusted proxies: 127.0.0.0/8, ::1/128 in the header x-forwarded-user");
    let ann = [
        ("x-forwarded-user", "ann"),
        ("x-claims", r#"{"tenant": 7, "email": "a@example.com"}"#),
    ];
    let told = ask(&host, "POST", "/counters/k/tell", &ann).json();
    assert_eq!(
        told["caller"],
        json!({"subject": "ann", "claims": "{\"tenant\":7}"}),
        "{told}"
    );
    let forbidden = ask(&host, "DELETE", "/counters/k", &ann);
    problem(&forbidden, 403, "permission-missing");
    let may = [ann[0], ("x-forwarded-groups", "clerks,reset")];
    assert_eq!(ask(&host, "DELETE", "/counters/k", &may).status, 200);
    let nobody = ask(&host, "GET", "/counters/k", &[]);
    problem(&nobody, 401, "caller-missing");
    assert!(nobody.header("www-authenticate").is_some());
    let twice = [("x-forwarded-user", "ann"), ("x-forwarded-user", "eve")];
    problem(
        &ask(&host, "GET", "/counters/k", &twice),
        401,
        "caller-refused",
    );
    // A token says nothing here.
    problem(
        &ask(
            &host,
            "GET",
            "/counters/k",
            &[("authorization", "Bearer x")],
        ),
        401,
        "caller-missing",
    );
    let document = host.get("chameleon", "/openapi.json").json();
    let scheme = &document["components"]["securitySchemes"]["caller"];
    assert_eq!(
        (&scheme["type"], &scheme["name"]),
        (&json!("apiKey"), &json!("x-forwarded-user"))
    );
}

#[test]
fn nobody_else_does() {
    let data = tempfile::tempdir().unwrap();
    let host = configured(data.path())
        .setting("http.auth.trusted_proxies", "10.1.2.3, 192.0.2.0/24")
        .start();
    let ann = [("x-forwarded-user", "ann"), ("x-forwarded-groups", "reset")];
    for (method, path) in [("GET", "/counters/k"), ("DELETE", "/counters/k")] {
        problem(&ask(&host, method, path, &ann), 401, "caller-missing");
    }
}

#[test]
fn rules_are_told_the_statement_of_a_trusted_proxy_only() {
    let sent = [
        ("x-forwarded-user", "ann"),
        ("x-forwarded-groups", "reset"),
        ("x-claims", "{}"),
        ("x-tenant", "acme"),
    ];
    let told = |trusted: &str, sent: &[(&str, &str)]| {
        let data = tempfile::tempdir().unwrap();
        let host = configured(data.path())
            .setting("http.auth.anonymous", "unrestricted")
            .setting("http.auth.trusted_proxies", trusted)
            .start();
        let told = ask(&host, "POST", "/counters/k/tell", sent);
        assert_eq!(told.status, 200, "{}", told.text());
        told.json()["metadata"].clone()
    };
    assert_eq!(told("127.0.0.1, ::1", &sent), json!(sent));
    assert_eq!(told("192.0.2.0/24", &sent), json!(sent[3..]));
    // A proxy that names nobody states nothing: the rest may be the client's.
    assert_eq!(told("127.0.0.1, ::1", &sent[1..]), json!(sent[3..]));
}
