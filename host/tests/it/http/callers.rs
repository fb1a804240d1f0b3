//! Callers that show tokens: commands, reads, lists and events; keys that change; what the rules are
//! told.

use std::path::Path;

use saga_testkit::tokens::{KeyServer, Signer, key_set, now, unsigned, with_secret};
use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, apply, start};
use crate::expect::{exchange, path_of, problem, until};
use crate::store_file;
use crate::stream::Stream;
use crate::support::{Host, Response, Start, request, signal};

const ISSUER: &str = "https://id.example";
const KEY_ID: &str = "first";

/// A build whose `reset` needs a permission, and which tells who asks.
fn build() -> Chameleon {
    Chameleon::new().with(json!({
        "claims": ["tenant"],
        "commands": [
            {"name": "count", "method": "POST", "path": "/counters/{key}"},
            {"name": "put", "method": "PUT", "path": "/counters/{key}", "request": {"type": "object"}},
            {"name": "tell", "method": "POST", "path": "/counters/{key}/tell"},
            {"name": "reset", "method": "DELETE", "path": "/counters/{key}", "requires": ["reset", "admin"]},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
            {"name": "ask", "method": "GET", "path": "/counters/{key}/asker", "kind": "read"},
            {"name": "audit", "method": "GET", "path": "/audits/{key}", "kind": "read", "requires": ["audit"]},
        ],
        "listings": [
            {"name": "all", "path": "/counters", "item": "look"},
            {"name": "audits", "path": "/audits", "item": "audit"},
        ],
        "handle": {"tell": "tell", "ask": "tell", "reset": "remove", "put": "store", "audit": "look"},
    }))
}

fn configured(data: &Path, keys: &str) -> Start {
    let path = data.join("chameleon.wasm");
    build().write(&path);
    start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("http.auth.mode", "tokens")
        .setting("http.auth.issuer", ISSUER)
        .setting("http.auth.audience", "counters")
        .setting("http.auth.keys_url", keys)
}

fn claims(subject: &str) -> Value {
    json!({
        "iss": ISSUER, "aud": "counters", "sub": subject, "exp": now() + 600,
        "tenant": 7, "email": "a@example.com",
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn ask(host: &Host, method: &str, path: &str, authorization: &str) -> Response {
    ask_with(host, method, path, &[("authorization", authorization)])
}

fn ask_with(host: &Host, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let json = [("content-type", "application/json")];
    let url = format!("{}{path}", host.url("chameleon"));
    request(method, &url, &[headers, &json].concat(), b"")
}

/// The status of a read with a token of this issuer.
fn look_with(host: &Host, signer: &Signer) -> u16 {
    let token = bearer(&signer.token(&claims("ann")));
    ask(host, "GET", "/counters/k", &token).status
}

/// Checks a refusal, its challenge and its word; gives the detail.
fn refused(response: &Response, status: u16, word: &str, error: &str) -> String {
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with("Bearer realm=\"saga\""),
        "{challenge}"
    );
    assert!(challenge.contains(error), "{challenge}");
    problem(response, status, word)
}

#[test]
fn a_request_needs_a_valid_token_and_the_permissions_of_its_command() {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::es256(KEY_ID);
    let server = KeyServer::start(&key_set(&[&signer]));
    let host = configured(data.path(), &server.url()).start();
    host.log_until("callers show tokens of https://id.example for counters");
    let ann = bearer(&signer.token(&claims("ann")));
    for (method, path) in [
        ("POST", "/counters/k"),
        ("GET", "/counters/k"),
        ("HEAD", "/counters/k"),
        ("GET", "/counters"),
        ("DELETE", "/counters/k"),
        ("GET", "/audits"),
    ] {
        let nobody = ask_with(&host, method, path, &[]);
        assert_eq!(nobody.status, 401, "{method} {path}");
        if method != "HEAD" {
            refused(&nobody, 401, "caller-missing", "");
        }
    }
    assert_eq!(ask(&host, "POST", "/counters/k", &ann).status, 200);
    assert_eq!(ask(&host, "GET", "/counters/k", &ann).status, 200);
    let page = ask(&host, "GET", "/counters", &ann);
    assert_eq!(page.json()["items"][0]["count"], 1, "{}", page.text());
    // A list shows what its read shows, so it needs the same.
    for (method, path, error) in [
        ("DELETE", "/counters/k", "scope=\"reset admin\""),
        ("GET", "/audits/k", "scope=\"audit\""),
        ("GET", "/audits", "error=\"insufficient_scope\""),
    ] {
        let forbidden = ask(&host, method, path, &ann);
        refused(&forbidden, 403, "permission-missing", error);
    }
    let half = with(claims("ann"), "scope", json!("reset audit"));
    let half = bearer(&signer.token(&half));
    let detail = refused(
        &ask(&host, "DELETE", "/counters/k", &half),
        403,
        "permission-missing",
        "scope=\"reset admin\"",
    );
    assert_eq!(detail, "the caller lacks: admin");
    assert_eq!(ask(&host, "GET", "/audits", &half).status, 200);
    let whole = with(claims("ann"), "scope", json!("reset"));
    let whole = with(whole, "permissions", json!(["admin"]));
    let whole = bearer(&signer.token(&whole));
    assert_eq!(ask(&host, "DELETE", "/counters/k", &whole).status, 200);
    // What describes the API is open, and so is what a browser asks before it asks.
    for path in [
        "/openapi.json",
        "/asyncapi.json",
        "/swagger-ui/",
        "/problems/",
        "/problems/caller-missing",
    ] {
        assert_eq!(host.get("chameleon", path).status, 200, "{path}");
    }
    assert_eq!(ask_with(&host, "OPTIONS", "/counters/k", &[]).status, 204);
    assert_eq!(
        request("GET", &format!("{}/readyz", host.admin()), &[], b"").status,
        200
    );
}

#[test]
fn no_wrong_token_is_taken() {
    let data = tempfile::tempdir().unwrap();
    let (signer, rsa) = (Signer::es256(KEY_ID), Signer::rs256("rsa"));
    let server = KeyServer::start(&key_set(&[&signer, &rsa]));
    let host = configured(data.path(), &server.url()).start();
    let token = |name: &str, value: Value| signer.token(&with(claims("ann"), name, value));
    let secret = json!({"alg": "HS256", "kid": "rsa"});
    let none = unsigned(&json!({"alg": "none"}), &claims("ann"));
    for (wrong, reason) in [
        (format!("{none}."), "can't be read"),
        (
            with_secret(&secret, &claims("ann"), rsa.pem().as_bytes()),
            "HS256, which is not allowed",
        ),
        (token("exp", json!(now() - 61)), "has expired"),
        (token("nbf", json!(now() + 120)), "is not valid yet"),
        (token("aud", json!("orders")), "for another audience"),
        (
            token("iss", json!("https://evil.example")),
            "is not of the issuer",
        ),
        (Signer::es256(KEY_ID).token(&claims("ann")), "the signature"),
        (
            Signer::es256("unknown").token(&claims("ann")),
            "none of those that were loaded",
        ),
        (token("pad", json!("x".repeat(12 << 10))), "it may have"),
        ("garbage".to_owned(), "can't be read"),
    ] {
        // On any request, also where the body could not be read.
        for (method, path) in [
            ("GET", "/counters/k"),
            ("POST", "/counters/k"),
            ("PUT", "/counters/k"),
        ] {
            let answer = ask(&host, method, path, &bearer(&wrong));
            let detail = refused(&answer, 401, "caller-refused", "error=\"invalid_token\"");
            assert!(detail.contains(reason), "{reason}: {detail}");
        }
    }
    let good = signer.token(&claims("ann"));
    for wrong in [
        "Basic YW5uOng=",
        "Bearer",
        "Bearer ",
        &good,
        &format!("Bearer {good} x"),
    ] {
        let answer = ask(&host, "GET", "/counters/k", wrong);
        let detail = refused(&answer, 401, "caller-refused", "");
        assert!(detail.contains("is not `Bearer TOKEN`"), "{detail}");
    }
    let twice = ask_with(
        &host,
        "GET",
        "/counters/k",
        &[
            ("authorization", &bearer(&good)),
            ("authorization", &bearer(&good)),
        ],
    );
    let detail = refused(&twice, 401, "caller-refused", "");
    assert!(detail.contains("several headers"), "{detail}");
    // RS256 is taken, and the words of the scheme have no case.
    let rsa = format!("bEARER {}", rsa.token(&claims("ann")));
    assert_eq!(ask(&host, "GET", "/counters/k", &rsa).status, 200);
    // No part of a token is in the log or in the store.
    let signature = good.rsplit('.').next().unwrap().to_owned();
    assert_eq!(
        ask(&host, "POST", "/counters/k", &bearer(&good)).status,
        200
    );
    let log = host.log();
    assert!(!log.contains(&signature) && !log.contains("eyJ"), "{log}");
    assert!(host.stop().success());
    let journal = store_file::rows(data.path(), "SELECT message FROM journal");
    assert!(!format!("{journal:?}").contains("eyJ"), "{journal:?}");
}

#[test]
fn a_refusal_comes_before_the_body() {
    let data = tempfile::tempdir().unwrap();
    let server = KeyServer::start(&key_set(&[&Signer::es256(KEY_ID)]));
    let host = configured(data.path(), &server.url()).start();
    let url = host.url("chameleon");
    // The body is announced and never sent.
    let head = format!(
        "PUT {}/counters/k HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n",
        path_of(url)
    );
    let answer = exchange(url, head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[test]
fn the_rules_are_told_who_asks_and_it_is_recorded() {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::eddsa(KEY_ID);
    let server = KeyServer::start(&key_set(&[&signer]));
    let host = configured(data.path(), &server.url()).start();
    let ann = bearer(&signer.token(&claims("ann")));
    let told = json!({"subject": "ann", "claims": "{\"tenant\":7}"});
    let asked = ask(&host, "GET", "/counters/k/asker", &ann);
    assert_eq!(asked.json()["caller"], told, "{}", asked.text());
    let commanded = ask(&host, "POST", "/counters/k/tell", &ann);
    assert_eq!(commanded.json()["caller"], told, "{}", commanded.text());
    // A build that names another claim is told that one, from the next request on.
    let other = build()
        .version("2.0.0")
        .with(json!({"claims": ["email", "absent"]}));
    assert_eq!(apply(&host, &other).status, 200);
    let asked = ask(&host, "GET", "/counters/k/asker", &ann);
    let email = json!({"subject": "ann", "claims": "{\"email\":\"a@example.com\"}"});
    assert_eq!(asked.json()["caller"], email, "{}", asked.text());
    assert!(host.stop().success());
    let recorded = store_file::rows(data.path(), "SELECT message FROM journal");
    let message: Value = serde_json::from_str(&recorded[0][0]).unwrap();
    assert_eq!(message["caller"], told, "{message}");
}

#[test]
fn one_caller_does_not_get_the_answer_to_another() {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::es256(KEY_ID);
    let server = KeyServer::start(&key_set(&[&signer]));
    let host = configured(data.path(), &server.url()).start();
    let send = |subject: &str| {
        let token = bearer(&signer.token(&claims(subject)));
        let headers = [("authorization", &*token), ("idempotency-key", "k1")];
        ask_with(&host, "POST", "/counters/k", &headers)
    };
    assert_eq!(send("ann").json()["count"], 1);
    let again = send("ann");
    assert_eq!(
        (
            again.json()["count"].clone(),
            again.header("idempotency-replayed")
        ),
        (json!(1), Some("true"))
    );
    let other = send("bob");
    assert_eq!(
        (
            other.json()["count"].clone(),
            other.header("idempotency-replayed")
        ),
        (json!(2), None)
    );
    let headers = [("idempotency-key", "k1")];
    problem(
        &ask_with(&host, "POST", "/counters/k", &headers),
        401,
        "caller-missing",
    );
}

#[test]
fn keys_change_and_the_last_ones_stay_while_the_issuer_is_down() {
    let data = tempfile::tempdir().unwrap();
    let (first, second) = (Signer::es256("first"), Signer::es256("second"));
    let server = KeyServer::start(&key_set(&[&first]));
    let host = configured(data.path(), &server.url())
        .setting("http.auth.refresh_seconds", 1)
        .start();
    let look = |signer: &Signer| look_with(&host, signer);
    assert_eq!((look(&first), look(&second)), (200, 401));
    // The new key is known by its first token or by the next load, whichever comes first.
    server.serve(Some(&key_set(&[&second])));
    until("the second key is taken", || look(&second) == 200);
    assert_eq!(look(&first), 401);
    server.serve(None);
    host.log_until("the last ones stay in use");
    assert_eq!((look(&second), look(&first)), (200, 401));
    let ready = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    assert_eq!(ready.status, 200, "{}", ready.text());
}

#[test]
fn the_first_token_of_a_new_key_loads_it() {
    let data = tempfile::tempdir().unwrap();
    let (first, second) = (Signer::es256("first"), Signer::es256("second"));
    let server = KeyServer::start(&key_set(&[&first]));
    let host = configured(data.path(), &server.url()).start();
    let look = |signer: &Signer| look_with(&host, signer);
    assert_eq!(look(&first), 200);
    server.serve(Some(&key_set(&[&second])));
    assert_eq!((look(&second), look(&first)), (200, 401));
    // Unknown keys don't load them again and again.
    for _ in 0..20 {
        assert_eq!(look(&first), 401);
    }
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_host_without_keys_is_unready_and_says_why() {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::es256(KEY_ID);
    let server = KeyServer::start("");
    server.serve(None);
    let host = configured(data.path(), &server.url())
        .setting("http.auth.refresh_seconds", 1)
        .start();
    let ready = || request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    let report = ready();
    assert_eq!(report.status, 503, "{}", report.text());
    let reason = report.json()["reason"].clone();
    let says = |text: &str| reason.as_str().is_some_and(|reason| reason.contains(text));
    assert!(
        says("no keys that check tokens") && says(&server.url()),
        "{reason}"
    );
    let token = bearer(&signer.token(&claims("ann")));
    let answer = ask(&host, "GET", "/counters/k", &token);
    problem(&answer, 503, "keys-missing");
    assert!(answer.header("retry-after").is_some());
    server.serve(Some(&key_set(&[&signer])));
    until("the keys are loaded", || ready().status == 200);
    assert_eq!(ask(&host, "GET", "/counters/k", &token).status, 200);
}

#[test]
fn keys_in_a_file_are_read_again_on_sighup() {
    let data = tempfile::tempdir().unwrap();
    let (first, second) = (Signer::es256("first"), Signer::rs256("second"));
    let keys = data.path().join("keys.pem");
    std::fs::write(&keys, first.pem()).unwrap();
    let host = configured(data.path(), "")
        .setting("http.auth.keys_file", keys.display())
        .start();
    let look = |signer: &Signer| look_with(&host, signer);
    assert_eq!((look(&first), look(&second)), (200, 401));
    std::fs::write(&keys, second.pem()).unwrap();
    signal(host.id(), "HUP");
    until("the second key is taken", || look(&second) == 200);
    assert_eq!(look(&first), 401);
}

#[test]
fn a_stream_ends_when_its_token_expires() {
    let data = tempfile::tempdir().unwrap();
    let signer = Signer::es256(KEY_ID);
    let server = KeyServer::start(&key_set(&[&signer]));
    let host = configured(data.path(), &server.url())
        .setting("http.auth.leeway_seconds", 0)
        .start();
    let url = format!("{}/counters/k", host.url("chameleon"));
    let open = |expires: u64| {
        let token = signer.token(&with(claims("ann"), "exp", json!(expires)));
        Stream::ask_with(&url, &format!("authorization: Bearer {token}\r\n"))
    };
    assert_eq!(Stream::ask_with(&url, "").status(), 401);
    let (mut short, mut long) = (open(now() + 3), open(now() + 600));
    assert_eq!((short.status(), long.status()), (200, 200));
    assert!(short.next().is_some() && long.next().is_some());
    assert_eq!(short.next(), None);
    let ann = bearer(&signer.token(&claims("ann")));
    assert_eq!(ask(&host, "POST", "/counters/k", &ann).status, 200);
    assert_eq!(long.next().unwrap().member("count"), 1);
    assert_eq!(open(now() - 1).status(), 401);
    // New rules that ask for more end it too.
    let stricter = build().version("2.0.0").with(json!({"commands": [
        {"name": "count", "method": "POST", "path": "/counters/{key}"},
        {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read", "requires": ["look"]},
    ], "listings": []}));
    chameleon::swap_with(&host, &stricter, "drop-used=true&allow-breaking=true");
    assert_eq!(long.next(), None);
    problem(
        &ask(&host, "GET", "/counters/k", &ann),
        403,
        "permission-missing",
    );
}

#[test]
fn what_anonymous_callers_may_do_is_a_setting() {
    let signer = Signer::es256(KEY_ID);
    let server = KeyServer::start(&key_set(&[&signer]));
    for (anonymous, read, command) in [("reads", 200, 401), ("unrestricted", 200, 200)] {
        let data = tempfile::tempdir().unwrap();
        let host = configured(data.path(), &server.url())
            .setting("http.auth.anonymous", anonymous)
            .start();
        let status = |method, path| ask_with(&host, method, path, &[]).status;
        assert_eq!(status("GET", "/counters/k"), read, "{anonymous}");
        assert_eq!(status("GET", "/counters"), read, "{anonymous}");
        assert_eq!(status("POST", "/counters/k"), command, "{anonymous}");
        // What needs a permission needs a caller.
        assert_eq!(status("DELETE", "/counters/k"), 401, "{anonymous}");
        assert_eq!(status("GET", "/audits"), 401, "{anonymous}");
        // A wrong token is worse than none.
        let wrong = ask(&host, "GET", "/counters/k", "Bearer garbage");
        problem(&wrong, 401, "caller-refused");
        let nobody = ask_with(&host, "GET", "/counters/k/asker", &[]);
        assert_eq!(nobody.json()["caller"], Value::Null);
        let ann = bearer(&signer.token(&claims("ann")));
        let ann = ask(&host, "GET", "/counters/k/asker", &ann);
        assert_eq!(ann.json()["caller"]["subject"], "ann");
    }
}

#[test]
fn the_api_document_says_who_may_ask() {
    let data = tempfile::tempdir().unwrap();
    let server = KeyServer::start(&key_set(&[&Signer::es256(KEY_ID)]));
    let host = configured(data.path(), &server.url()).start();
    let document = host.get("chameleon", "/openapi.json").json();
    let scheme = &document["components"]["securitySchemes"]["caller"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
    let reset = &document["paths"]["/counters/{key}"]["delete"];
    assert_eq!(reset["security"], json!([{"caller": ["reset", "admin"]}]));
    assert_eq!(
        document["paths"]["/audits"]["get"]["security"],
        json!([{"caller": ["audit"]}])
    );
    let described = |status: &str| {
        reset["responses"][status]["description"]
            .as_str()
            .unwrap_or_default()
    };
    assert!(
        described("401").contains("caller-missing") && described("401").contains("caller-refused")
    );
    assert!(described("403").contains("permission-missing"));
    assert!(described("503").contains("keys-missing"));
    assert!(reset["responses"]["401"]["headers"]["WWW-Authenticate"].is_object());
}

#[test]
fn rules_that_require_permissions_are_remarked_on_where_nobody_is_authenticated() {
    let data = tempfile::tempdir().unwrap();
    let host = chameleon::serve(data.path(), &build());
    host.log_until("everybody may send `reset`, `audit`, which require permissions");
    assert_eq!(ask_with(&host, "DELETE", "/counters/k", &[]).status, 200);
    let document = host.get("chameleon", "/openapi.json").json();
    assert!(document["components"].get("securitySchemes").is_none());
    let path = data.path().join("chameleon.wasm");
    let verified = crate::support::saga()
        .arg("verify")
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        verified.status.success() && said.contains("everybody may send `reset`"),
        "{said}"
    );
}

#[test]
fn settings_that_do_not_fit_together_are_all_named() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    build().write(&path);
    let fail = |settings: &[(&str, &str)]| {
        let start = settings
            .iter()
            .fold(start(&path, data.path()), |start, (name, value)| {
                start.setting(&format!("http.auth.{name}"), value)
            });
        let (status, said) = start.fail();
        assert_eq!(status.code(), Some(64), "{said}");
        said
    };
    let said = fail(&[
        ("mode", "tokens"),
        ("algorithms", "RS256,HS256"),
        ("keys_url", "http://id.example/k"),
    ]);
    for expected in [
        "http.auth.issuer: is missing",
        "http.auth.audience: is missing",
        "HS256 is none of RS256",
        "is not encrypted",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    // Who forgets the mode would believe that callers are checked.
    for given in [("issuer", ISSUER), ("trusted_proxies", "10.0.0.0/8")] {
        let said = fail(&[given]);
        assert!(said.contains("http.auth.mode: is missing"), "{said}");
    }
    let said = fail(&[
        ("mode", "headers"),
        ("trusted_proxies", "10.0.0.0/40"),
        ("subject_header", ""),
    ]);
    assert!(
        said.contains("10.0.0.0/40 is neither") && said.contains("http.auth.subject_header"),
        "{said}"
    );
    let keys = data.path().join("keys.json");
    std::fs::write(&keys, "{}").unwrap();
    let keys = keys.display().to_string();
    let said = fail(&[
        ("mode", "tokens"),
        ("issuer", ISSUER),
        ("audience", "a"),
        ("keys_file", &keys),
    ]);
    assert!(said.contains("neither a JSON Web Key Set"), "{said}");
}
