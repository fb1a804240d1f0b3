//! The admin interface over HTTP: who may ask, what is answered, what its bounds are; and that what is refused
//! leaves everything as it is. The commands that ask it: `cli::operate`.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, look, second, start_unwatched as start};
use crate::expect::{address, connect, converse, path_of, problem, until};
use crate::exposition::scrape;
use crate::support::{Host, Response, component, request, signal};

const TOKEN: &str = "a-token-of-some-length";

fn ask(host: &Host, method: &str, path: &str, body: &[u8]) -> Response {
    request(method, &format!("{}{path}", host.admin()), &[], body)
}

fn put(host: &Host, bytes: &[u8]) -> Response {
    ask(host, "PUT", "/participants/chameleon/component", bytes)
}

/// The generations of the only participant.
fn generations(host: &Host) -> Value {
    let response = ask(host, "GET", "/participants/chameleon/generations", b"");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

#[test]
fn an_applied_component_decides_and_can_be_rolled_back() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let (first, second) = (Chameleon::new(), second());
    assert_eq!(count(&host, "k"), json!({"count": 1, "by": "1.0.0"}));

    let response = put(&host, &second.bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    let applied = response.json();
    assert_eq!(applied["participant"], "chameleon");
    assert_eq!(applied["digest"], second.digest());
    assert_eq!(applied["previous"], first.digest());
    assert_eq!(
        (&applied["version"], &applied["changed"]),
        (&json!("2.0.0"), &json!(true))
    );
    assert_eq!(count(&host, "k"), json!({"count": 2, "by": "2.0.0"}));

    let again = put(&host, &second.bytes());
    assert_eq!(
        (again.status, &again.json()["changed"]),
        (200, &json!(false))
    );

    let told = generations(&host);
    assert_eq!(told["active"], second.digest());
    let listed = &told["generations"];
    assert_eq!(listed[0]["digest"], second.digest());
    assert_eq!(
        (&listed[0]["way"], &listed[0]["is_active"]),
        (&json!("apply"), &json!(true))
    );
    assert_eq!(listed[1]["digest"], first.digest());
    assert_eq!(
        (&listed[1]["way"], &listed[1]["is_active"]),
        (&json!("start"), &json!(false))
    );
    let all = ask(&host, "GET", "/generations", b"").json();
    assert_eq!(all, json!({"participants": [told]}));

    let back = ask(&host, "POST", "/participants/chameleon/rollback", b"");
    assert_eq!(
        (back.status, &back.json()["digest"]),
        (200, &json!(first.digest()))
    );
    assert_eq!(count(&host, "k"), json!({"count": 3, "by": "1.0.0"}));
    let body = json!({"digest": &second.digest()[..10]}).to_string();
    let forth = ask(
        &host,
        "POST",
        "/participants/chameleon/rollback",
        body.as_bytes(),
    );
    assert_eq!(
        (forth.status, &forth.json()["digest"]),
        (200, &json!(second.digest()))
    );
    assert_eq!(count(&host, "k"), json!({"count": 4, "by": "2.0.0"}));
    assert!(host.stop().success());
}

#[test]
fn a_refused_component_changes_nothing_and_is_reported() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    count(&host, "k");
    let no_routes = Chameleon::new()
        .version("3.0.0")
        .with(json!({"commands": []}));
    let another = std::fs::read(component("booking")).unwrap();
    let cases = [
        (b"no component".to_vec(), "component"),
        (b"\0asm\x01\0\0\0".to_vec(), "component"),
        (another, "compatibility"),
        (no_routes.bytes(), "compatibility"),
        (
            Chameleon::new().with(json!({"describe": "trap"})).bytes(),
            "description",
        ),
    ];
    for (number, (bytes, check)) in cases.iter().enumerate() {
        let response = put(&host, bytes);
        let detail = problem(&response, 422, "component-refused");
        let said = response.json();
        assert_eq!(said["check"], *check, "{said}");
        let reasons: Vec<&str> = (said["reasons"].as_array().unwrap().iter())
            .map(|reason| reason.as_str().unwrap())
            .collect();
        assert!(
            !reasons.is_empty() && detail == reasons.join("; "),
            "{said}"
        );

        let told = generations(&host);
        assert_eq!(told["active"], Chameleon::new().digest());
        assert_eq!(told["generations"].as_array().unwrap().len(), 1, "{told}");
        assert_eq!(
            told["refused"].as_array().unwrap().len(),
            number + 1,
            "{told}"
        );
        assert_eq!(told["refused"][0]["reasons"], said["reasons"]);
        let ready = ask(&host, "GET", "/readyz", b"");
        assert_eq!(
            (ready.status, &ready.json()["status"]),
            (200, &json!("ready"))
        );
        let refused = &ready.json()["participants"][0]["refused"];
        assert_eq!(refused["reasons"], said["reasons"], "{refused}");
        assert_eq!(count(&host, "k")["by"], "1.0.0");
    }
    // What lacks something in use is taken by who says so.
    let path = "/participants/chameleon/component?drop-used=true";
    let response = ask(&host, "PUT", path, &no_routes.bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(host.get("chameleon", "/counters/k").status, 404);
    let ready = ask(&host, "GET", "/readyz", b"").json();
    assert_eq!(ready["participants"][0]["refused"], json!(null));
    assert_eq!(ready["participants"][0]["version"], "3.0.0");
    assert!(host.stop().success());
}

#[test]
fn a_configured_token_is_required() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let host = start(data.path())
        .setting("admin.token_file", file.display())
        .start();
    let with = |method: &str, path: &str, authorization: &str| {
        let url = format!("{}{path}", host.admin());
        let headers = [("authorization", authorization)];
        request(
            method,
            &url,
            &headers[usize::from(authorization.is_empty())..],
            b"",
        )
    };
    let (right, wrong) = (format!("Bearer {TOKEN}"), format!("Bearer {TOKEN}-"));
    for (method, path) in [
        ("GET", "/generations"),
        ("GET", "/participants/chameleon/generations"),
        ("PUT", "/participants/chameleon/component"),
        ("POST", "/participants/chameleon/rollback"),
        ("DELETE", "/generations"),
        ("GET", "/no/such/path"),
    ] {
        for shown in ["", wrong.as_str(), "Basic YTpi"] {
            let response = with(method, path, shown);
            let detail = problem(&response, 401, "unauthorized");
            let scheme = response.header("www-authenticate").unwrap();
            assert!(scheme.starts_with("Bearer"), "{scheme}");
            assert!(!detail.contains(TOKEN), "{detail}");
        }
        assert_ne!(with(method, path, &right).status, 401, "{method} {path}");
    }
    assert_eq!(with("GET", "/generations", &right).status, 200);

    assert_eq!(with("GET", "/livez", "").status, 200);
    assert_eq!(
        with("GET", "/readyz", "").json(),
        json!({"status": "ready"})
    );
    assert_eq!(
        with("GET", "/readyz", &wrong).json(),
        json!({"status": "ready"})
    );
    assert_eq!(
        with("GET", "/readyz", &right).json()["participants"][0]["active"],
        Chameleon::new().digest()
    );
    assert!(!host.log().contains(TOKEN), "{}", host.log());
    assert!(host.stop().success());
}

#[test]
fn web_pages_may_not_use_an_admin_interface_without_a_token() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let url = host.admin();
    let send = |headers: &str| {
        let request = format!(
            "PUT /participants/chameleon/component HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: 0\r\n\r\n"
        );
        converse(url, request.as_bytes())
    };
    let here = address(url);
    for (headers, word) in [
        ("host: evil.example\r\n".to_owned(), "foreign-host"),
        (
            format!("host: {here}\r\nsec-fetch-site: same-site\r\n"),
            "foreign-origin",
        ),
        (
            format!("host: {here}\r\norigin: https://evil.example\r\n"),
            "foreign-origin",
        ),
        (
            format!("host: {here}\r\norigin: null\r\n"),
            "foreign-origin",
        ),
    ] {
        let answer = send(&headers);
        assert!(
            answer.starts_with("HTTP/1.1 403 ")
                && answer.contains(&format!("\"/problems/{word}\"")),
            "{headers}{answer}"
        );
    }
    let port = here.rsplit(':').next().unwrap();
    for headers in [
        format!("host: {here}\r\n"),
        format!("host: localhost:{port}\r\n"),
    ] {
        let answer = send(&headers);
        assert!(answer.starts_with("HTTP/1.1 422 "), "{headers}{answer}");
    }
    // Whether the host lives is no secret, and more is not said.
    let answer = converse(
        url,
        b"GET /readyz HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
    );
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n{\"status\":\"ready\"}"),
        "{answer}"
    );
    assert!(host.stop().success());
}

#[test]
fn invalid_requests_are_refused_with_a_reason() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    for path in [
        "/",
        "/participants/chameleon",
        "/participants/chameleon/components",
    ] {
        problem(&ask(&host, "GET", path, b""), 404, "no-such-route");
    }
    for (path, right, wrong) in [
        ("/generations", "GET", "POST"),
        ("/participants/chameleon/generations", "GET", "PUT"),
        ("/participants/chameleon/component", "PUT", "GET"),
        ("/participants/chameleon/rollback", "POST", "GET"),
        ("/livez", "GET", "POST"),
        ("/readyz", "GET", "DELETE"),
    ] {
        let response = ask(&host, wrong, path, b"");
        problem(&response, 405, "method-not-allowed");
        assert_eq!(response.header("allow"), Some(right), "{path}");
    }
    let missing = "/participants/nobody";
    for (method, what) in [
        ("GET", "generations"),
        ("PUT", "component"),
        ("POST", "rollback"),
    ] {
        let response = ask(
            &host,
            method,
            &format!("{missing}/{what}"),
            &second().bytes()[..64],
        );
        // The body of a rollback is read first.
        if method == "POST" {
            problem(&response, 400, "bad-json");
            continue;
        }
        let detail = problem(&response, 404, "unknown-participant");
        assert!(
            detail.contains("nobody") && detail.contains("chameleon"),
            "{detail}"
        );
    }
    let rollback = "/participants/chameleon/rollback";
    let detail = problem(
        &ask(&host, "POST", rollback, b""),
        404,
        "unknown-generation",
    );
    assert!(!detail.is_empty());
    let body = br#"{"digest": "feed"}"#;
    let detail = problem(
        &ask(&host, "POST", rollback, body),
        404,
        "unknown-generation",
    );
    assert!(detail.contains("feed"), "{detail}");
    let body = br#"{"generation": "feed"}"#;
    problem(&ask(&host, "POST", rollback, body), 400, "bad-json");
    let path = "/participants/chameleon/component?force=true";
    problem(&ask(&host, "PUT", path, b""), 400, "bad-query");
    assert_eq!(look(&host, "k"), json!(null));
    assert!(host.stop().success());
}

#[test]
fn bodies_are_bounded() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path())
        .setting("admin.component_bytes", 1_000)
        .start();
    let detail = problem(&put(&host, &[0; 1_001]), 413, "body-too-large");
    assert!(detail.contains("1000 bytes"), "{detail}");
    problem(&put(&host, &[0; 1_000]), 422, "component-refused");
    let rollback = "/participants/chameleon/rollback";
    let body = format!(r#"{{"digest": "{}"}}"#, "a".repeat(5_000));
    problem(
        &ask(&host, "POST", rollback, body.as_bytes()),
        413,
        "body-too-large",
    );
    assert_eq!(count(&host, "k")["by"], "1.0.0");
    assert!(host.stop().success());
}

#[test]
fn connections_are_bounded() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let idle: Vec<_> = (0..200).map(|_| connect(host.admin())).collect();
    let open = || scrape(&host).one("saga_http_connections", &[("participant", "admin")]);
    let most = (0..20).map(|_| open()).fold(0.0, f64::max);
    // 64, and as many that serve health checks only.
    assert!((1.0..=128.0).contains(&most), "{most}");
    drop(idle);
    assert!(host.stop().success());
}

#[test]
fn while_it_drains_the_host_is_alive_but_not_ready() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    chameleon::taking_bodies().write(&path);
    let host = start(data.path()).setting("drain_seconds", 600).start();
    let url = format!("{}/counters/k", host.url("chameleon"));
    let mut stream = connect(&url);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n",
        path_of(&url)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).unwrap();
    signal(host.id(), "TERM");
    until("the host says that it drains", || {
        ask(&host, "GET", "/readyz", b"").status == 503
    });
    assert_eq!(
        ask(&host, "GET", "/readyz", b"").json()["status"],
        "draining"
    );
    assert_eq!(ask(&host, "GET", "/livez", b"").status, 200);
    stream.write_all(b"{}").unwrap();
    let answer = crate::expect::rest(stream);
    assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
    assert!(host.wait().success());
}

#[test]
fn admin_json_names_the_admin_interface_while_the_host_runs() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path()).start();
    let path = data.path().join("admin.json");
    let content: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(content, json!({"url": host.admin(), "pid": host.id()}));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(host.stop().success());
    assert!(!path.exists());

    start(data.path()).start().kill();
    assert!(path.exists(), "a crash leaves it");
    let host = start(data.path()).setting("admin.listen", "off").start();
    assert!(!path.exists(), "nobody can be asked any more");
    assert_eq!(count(&host, "k")["count"], 1);
    assert!(host.stop().success());
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (status, said) = start(data.path()).setting("admin.listen", address).fail();
    assert_eq!(status.code(), Some(69), "{said}");
    assert!(
        said.contains(&format!(
            "admin: port {} on 127.0.0.1 is in use",
            address.port()
        )) && said.contains("SAGA__ADMIN__LISTEN="),
        "{said}"
    );
}

#[test]
fn a_host_whose_store_is_full_is_not_ready() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path())
        .setting("store.max_bytes", 400_000)
        .start();
    assert_eq!(ask(&host, "GET", "/readyz", b"").status, 200);
    let mut posts = (0..).map(|number| {
        let path = format!("/counters/{number}");
        host.post("chameleon", &path, &json!({})).status
    });
    assert!(posts.by_ref().take(100_000).any(|status| status == 503));
    let told = ask(&host, "GET", "/readyz", b"");
    assert_eq!(
        (told.status, &told.json()["status"]),
        (503, &json!("unavailable"))
    );
    let reason = told.json()["reason"].to_string();
    assert!(reason.contains("takes no commits"), "{reason}");
    assert_eq!(ask(&host, "GET", "/livez", b"").status, 200);
}
