//! Callers that a trusted proxy states in headers.

use std::path::Path;

use serde_json::json;

use crate::chameleon::{Chameleon, start};
use crate::commands::{asks, fails};
use crate::expect::problem;
use crate::support::{Host, Response, Start, request, saga};

fn rules(metadata: &[&str]) -> Chameleon {
    Chameleon::new().with(json!({
        "claims": ["tenant"],
        "metadata": metadata,
        "commands": [
            {"name": "tell", "method": "POST", "path": "/counters/{key}/tell"},
            {"name": "reset", "method": "DELETE", "path": "/counters/{key}", "requires": ["reset"]},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
        ],
        "handle": {"tell": "tell", "reset": "remove"},
    }))
}

fn configured(data: &Path) -> Start {
    asking_for(data, &["x-tenant"])
}

fn asking_for(data: &Path, metadata: &[&str]) -> Start {
    let path = data.join("chameleon.wasm");
    rules(metadata).write(&path);
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
fn rules_can_not_ask_for_a_header_that_states_a_caller() {
    for (header, setting) in [
        ("x-forwarded-user", "subject_header"),
        ("x-forwarded-groups", "permissions_header"),
        ("x-claims", "claims_header"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let start = asking_for(data.path(), &["x-tenant", header]);
        let refused = |said: &str| {
            let names = format!("participant chameleon asks for the header `{header}`");
            let remedy = format!("or name another one in `http.auth.{setting}`");
            assert!(said.contains(&names) && said.contains(&remedy), "{said}");
        };
        let (status, said) = start.fail();
        assert_eq!(status.code(), Some(64), "{said}");
        refused(&said);
        let config = data.path().join("saga.toml");
        let text = "[http.auth]\nmode = \"headers\"\nclaims_header = \"X-Claims\"\n";
        std::fs::write(&config, text).unwrap();
        let path = data.path().join("chameleon.wasm");
        let mut verify = saga();
        verify.arg("verify").arg(&path).arg("--config").arg(&config);
        let (code, said) = fails(&mut verify);
        assert_eq!(code, 65, "{said}");
        refused(&said);
    }
}

#[test]
fn new_rules_can_not_ask_for_it_either() {
    let data = tempfile::tempdir().unwrap();
    let host = configured(data.path()).start();
    let told = ask(
        &host,
        "POST",
        "/counters/k/tell",
        &[("x-forwarded-user", "ann"), ("x-tenant", "acme")],
    );
    assert_eq!(told.json()["metadata"], json!([["x-tenant", "acme"]]));
    let path = data.path().join("next.wasm");
    rules(&["x-forwarded-user"]).write(&path);
    let (code, said) = fails(&mut asks(
        data.path(),
        &["apply", "chameleon", &path.display().to_string()],
    ));
    assert_eq!(code, 65, "{said}");
    assert!(
        said.contains("asks for the header `x-forwarded-user`"),
        "{said}"
    );
    let document = host.get("chameleon", "/openapi.json").text();
    assert!(document.contains("\"x-tenant\"") && !document.contains("\"x-forwarded-groups\""));
}
