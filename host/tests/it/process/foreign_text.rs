//! Foreign texts are shown, wherever they are shown, without beginning a line of its own or steering a terminal.

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon};
use crate::commands::{asks, call};
use crate::expect::until;
use crate::support::{Host, request};

/// A line that nobody logged, a cleared terminal, a bell, C1, and text from right to left.
const STEERS: &str =
    "no\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{7}\u{9b}2J\u{202e}\u{2028}end";
const SHOWN: &str =
    "no\\n2026-01-01T00:00:00Z ERROR forged\\r\\u{1b}[2J\\u{7}\\u{9b}2J\\u{202e}\\u{2028}end";

/// A build that finds this wrong with every timer and every command `refuse`.
fn build() -> Chameleon {
    Chameleon::new().with(json!({
        "commands": [
            {"name": "set", "method": "PUT", "path": "/counters/{key}"},
            {"name": "refuse", "method": "POST", "path": "/counters/{key}"},
        ],
        "handle": {
            "later": {"malformed": STEERS},
            "refuse": {"malformed": STEERS},
            "set": {"set-timer": {"name": "later", "after_ms": 1}},
        },
    }))
}

/// Has the timer of a key parked whose name steers too.
fn park(host: &Host) {
    let key = "k%0A%1B%5B2J%C2%9B%E2%80%AE";
    let set = host.send("chameleon", "PUT", &format!("/counters/{key}"), "");
    assert_eq!(set.status, 200, "{}", set.text());
    until("its timer is parked", || {
        chameleon::told(host)["parked"]["timers"] == 1
    });
    host.log_until("a timer can't be decided");
}

/// Checks that no character of a text steers: newlines apart, which end lines.
fn steers_nothing(text: &str) {
    let steers = |c: &char| saga_host::base::printable::is_escaped(*c) && *c != '\n';
    let found: Vec<char> = text.chars().filter(steers).collect();
    assert!(found.is_empty(), "{found:?} in {text:?}");
    let forged = |line: &str| line.starts_with("2026-01-01T00:00:00Z");
    assert!(!text.lines().any(forged), "{text}");
}

#[test]
fn no_foreign_text_begins_a_line_of_the_log_or_steers_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    build().write(&path);
    let host = chameleon::start(&path, data)
        .setting("log.level", "info,saga_host=debug")
        .start();
    park(&host);
    let log = host.log();
    steers_nothing(&log);
    assert!(log.contains(SHOWN), "{log}");

    let (code, out, err) = call(&mut asks(data, &["generations"]));
    assert_eq!((code, err.as_str()), (0, ""));
    steers_nothing(&out);
    assert!(out.contains(SHOWN), "{out}");
    let parked = out.lines().filter(|line| line.contains("parked 20"));
    assert_eq!(parked.count(), 1, "{out}");

    // As JSON it is the same value, written otherwise.
    let (_, out, _) = call(&mut asks(data, &["generations", "--json"]));
    steers_nothing(&out);
    let told: Value = serde_json::from_str(&out).unwrap();
    let detail = &told["participants"][0]["parked"]["first_timers"][0]["detail"];
    assert!(detail.as_str().unwrap().contains(STEERS), "{detail}");

    let refused = request(
        "POST",
        &format!("{}/counters/k", host.url("chameleon")),
        &[("content-type", "application/json")],
        b"{}",
    );
    assert_eq!(refused.status, 400, "{}", refused.text());
    steers_nothing(&refused.text());
    let detail = refused.json()["detail"].clone();
    assert!(detail.as_str().unwrap().contains(SHOWN), "{detail}");
    assert!(host.stop().success());
}

#[test]
fn json_lines_have_it_escaped_too() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    build().write(&path);
    let host = chameleon::start(&path, data)
        .setting("log.format", "json")
        .setting("log.level", "info,saga_host=debug")
        .start();
    park(&host);
    let log = host.log();
    steers_nothing(&log);
    let says = |line: &str| {
        let told: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        told["fields"].to_string().contains("forged")
    };
    assert!(log.lines().filter(|line| says(line)).count() >= 1, "{log}");
    assert!(host.stop().success());
}
