//! Builds whose messages or states are not understood any more: by the other participants of the host, by clients, by
//! what is stored. They are refused, whichever way they come, unless the operator says otherwise.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, is_active, look};
use crate::commands::{asks, call, json_of};
use crate::store_file::number;
use crate::support::{Host, saga, signal};

/// Long enough that a timer does not fall due within a test.
const AGES: u64 = 3_600_000;

pub fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

/// A record on the topic: a key, and an amount under this name.
fn told(amount: &str) -> Value {
    object(
        json!({"key": {"type": "string"}, amount: {"type": "integer"}}),
        &["key", amount],
    )
}

/// The participant that tells.
pub fn teller(version: &str, event_type: &str, amount: &str) -> Chameleon {
    Chameleon::new().version(version).with(json!({
        "subscriptions": [],
        "publications": [{"event_type": event_type, "topic": "tales", "schema": told(amount)}],
        "handle": {"count": [{"count": 1}, {"publish": {"event_type": event_type, "body": {"key": "k", amount: 1}}}]},
    }))
}

/// The participant that listens.
pub fn listener(version: &str, event_type: &str, amount: &str) -> Chameleon {
    Chameleon::new().version(version).with(json!({
        "name": "listener",
        "base_path": "/listener",
        "subscriptions": [
            {"event_type": event_type, "topic": "tales", "group": "listener", "schema": told(amount)},
        ],
        "publications": [],
    }))
}

pub struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub fn data(&self) -> &Path {
        self.directory.path()
    }

    pub fn write(&self, name: &str, build: &Chameleon) -> String {
        let path: PathBuf = self.data().join(name);
        build.write(&path);
        path.to_str().unwrap().to_owned()
    }

    /// A host on the files `chameleon.wasm` and `listener.wasm`, which are looked at only when it is asked to.
    pub fn start(&self) -> crate::support::Start {
        let plugin = format!("listener={}", self.data().join("listener.wasm").display());
        chameleon::start(&self.data().join("chameleon.wasm"), self.data())
            .arguments(&["--plugin", &plugin, "--listen", "listener=127.0.0.1:0"])
            .setting("reload.watch_ms", 0)
    }

    /// A host on a teller and a listener that understand each other.
    pub fn understanding(&self) -> Host {
        self.write("chameleon.wasm", &teller("1.0.0", "told", "amount"));
        self.write("listener.wasm", &listener("1.0.0", "told", "amount"));
        self.start().start()
    }
}

const NO_AMOUNT: &str =
    "event `told`: /amount is required by participant listener but no longer published";

pub fn verify(arguments: &[&str]) -> (i32, String, String) {
    call(saga().arg("verify").args(arguments))
}

#[test]
fn a_renamed_field_of_a_published_event_is_refused_unless_that_is_allowed() {
    let files = Files::new();
    let host = files.understanding();
    let first = teller("1.0.0", "told", "amount");
    let renamed = teller("2.0.0", "told", "sum");
    let path = files.write("renamed.wasm", &renamed);

    let (code, out, err) = call(&mut asks(
        files.data(),
        &["apply", "chameleon", &path, "--json"],
    ));
    assert_eq!(code, 65, "{out}{err}");
    let refused: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(refused["check"], "compatibility");
    assert_eq!(refused["reasons"], json!([NO_AMOUNT]));
    assert_eq!(refused["allowed_by"], json!(["allow-breaking"]));
    assert_eq!(
        err.lines().collect::<Vec<_>>(),
        [
            format!("saga: refused (compatibility): {NO_AMOUNT}"),
            "saga: refused (compatibility): --allow-breaking takes it all the same".to_owned(),
        ]
    );
    assert!(is_active(&host, &first));
    // So it is without a host, beside a listener, beside the build before, and on the store.
    let listening = files.write("candidate.wasm", &listener("1.0.0", "told", "amount"));
    let data = files.data().to_str().unwrap();
    for (against, says) in [
        (
            ["--with", &listening],
            "/amount is required by participant listener but not published",
        ),
        (["--data", data], NO_AMOUNT),
        (
            ["--against", &files.write("first.wasm", &first)],
            "/amount is required by readers of the active build's events but no longer published",
        ),
    ] {
        let (code, _, err) = verify(&[&path, against[0], against[1]]);
        assert_eq!(code, 65, "{against:?}: {err}");
        assert!(err.contains(says), "{against:?}: {err}");
        assert!(
            err.contains("--allow-breaking takes it"),
            "{against:?}: {err}"
        );
        let (code, out, err) = verify(&[&path, against[0], against[1], "--allow-breaking"]);
        assert_eq!((code, err.as_str()), (0, ""), "{against:?}");
        let place = "event `told`: ";
        let reason = says.strip_prefix(place).unwrap_or(says);
        assert!(out.contains(&format!("note: {place}{reason}")), "{out}");
    }

    let (code, _, err) = verify(&[&path, "--with", &path]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("with --against"), "{err}");

    let applied = json_of(&mut asks(
        files.data(),
        &["apply", "chameleon", &path, "--allow-breaking"],
    ));
    assert_eq!(applied["notes"], json!([NO_AMOUNT]));
    assert!(is_active(&host, &renamed));
    // The way back is to be understood again.
    assert_eq!(chameleon::rollback(&host).status, 422);
    let back = chameleon::rollback_with(&host, "allow-breaking=true");
    assert_eq!(back.status, 200, "{}", back.text());
    assert!(host.stop().success());
}

#[test]
fn a_file_that_breaks_an_event_is_refused_and_the_log_names_the_command_that_takes_it() {
    let files = Files::new();
    let host = files.understanding();
    let path = files.write("chameleon.wasm", &teller("2.0.0", "told", "sum"));
    signal(host.id(), "HUP");
    host.log_until("the component was refused; the active generation stays");
    let log = host.log();
    assert!(log.contains(NO_AMOUNT), "{log}");
    let command = format!("saga apply --allow-breaking chameleon {path}");
    assert!(log.contains(&command), "{log}");
    assert!(is_active(&host, &teller("1.0.0", "told", "amount")));
    assert!(host.stop().success());

    // Nor does a start take it, which is asked to take the files.
    let (status, said) = files.start().arguments(&["--apply"]).fail();
    assert_eq!(status.code(), Some(65), "{said}");
    assert!(
        said.contains("/amount is required by readers of the active build's events"),
        "{said}"
    );
}

#[test]
fn a_start_that_replaces_rules_is_held_to_what_the_other_participants_understand() {
    let files = Files::new();
    let anything = Chameleon::new().with(json!({
        "subscriptions": [],
        "publications": [{"event_type": "told", "topic": "tales"}],
    }));
    files.write("chameleon.wasm", &anything);
    files.write("listener.wasm", &listener("1.0.0", "other", "amount"));
    assert!(files.start().start().stop().success());
    // Only beside the others it is seen that this is not understood.
    files.write("listener.wasm", &listener("2.0.0", "told", "amount"));
    let (status, said) = files.start().arguments(&["--apply"]).fail();
    assert_eq!(status.code(), Some(65), "{said}");
    assert!(
        said.contains("participant listener: event `told`: the body may be anything in what participant chameleon publishes"),
        "{said}"
    );
}

#[test]
fn a_subscriber_that_requires_another_field_is_refused() {
    let files = Files::new();
    let host = files.understanding();
    let path = files.write("renamed.wasm", &listener("2.0.0", "told", "sum"));
    let (code, _, err) = call(&mut asks(files.data(), &["apply", "listener", &path]));
    assert_eq!(code, 65, "{err}");
    for says in [
        "event `told`: /sum is required by this build but not published by participant chameleon",
        "subscription `told`: /sum is required by this build but not in events that the active build takes",
    ] {
        assert!(err.contains(says), "{err}");
    }
    assert!(host.stop().success());
}

#[test]
fn an_event_that_a_participant_waits_for_is_dropped_only_where_that_is_allowed() {
    let files = Files::new();
    let host = files.understanding();
    let path = files.write("other.wasm", &teller("2.0.0", "tolled", "amount"));
    let (code, _, err) = call(&mut asks(files.data(), &["apply", "chameleon", &path]));
    assert_eq!(code, 65, "{err}");
    assert!(
        err.contains(
            "event `told` is no longer published on topic `tales`: participant listener would wait for it"
        ),
        "{err}"
    );
    assert!(err.contains("--drop-used takes it all the same"), "{err}");
    let flags = ["apply", "chameleon", &path, "--drop-used"];
    json_of(&mut asks(files.data(), &flags));
    assert!(host.stop().success());
}

#[test]
fn a_misspelt_subscription_is_reported_at_the_start_and_by_every_check() {
    let files = Files::new();
    let says = "subscription `told.once` of topic `tales`: no participant that is known here publishes it; did you mean \
                `told-once`, which chameleon publishes on tales?";
    let telling = files.write("chameleon.wasm", &teller("1.0.0", "told-once", "amount"));
    let listening = files.write("listener.wasm", &listener("1.0.0", "told.once", "amount"));
    let host = files.start().start();
    host.log_until("participants may not understand each other");
    assert!(host.log().contains(says), "{}", host.log());
    let other = files.write("other.wasm", &listener("1.0.1", "told.once", "amount"));
    let applied = json_of(&mut asks(files.data(), &["apply", "listener", &other]));
    assert_eq!(applied["notes"], json!([says]));
    let (code, out, err) = verify(&[&listening, "--with", &telling]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(&format!("note: {says}")), "{out}");
    assert!(host.stop().success());
    // Alone it may hear from another host.
    let (code, out, err) = verify(&[&listening]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(!out.contains("note:"), "{out}");
}

/// A build with something of everything that is read: a request, a reply, a timer, a state, a filter.
fn whole(version: &str, changes: Value) -> Chameleon {
    let with = |name: &str| object(json!({name: {"type": "integer"}}), &[]);
    let of = |part: &str, otherwise: Value| changes.get(part).cloned().unwrap_or(otherwise);
    let state = object(
        json!({"count": {"type": "integer"}, "by": {"type": "string"}}),
        &["count", "by"],
    );
    Chameleon::new().version(version).with(json!({
        "state": {"version": 1, "schema": of("state", state)},
        "commands": [
            {"name": "count", "method": "POST", "path": "/counters/{key}", "request": of("request", with("by"))},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read", "reply": of("reply", json!(true))},
            {"name": "set", "method": "PUT", "path": "/counters/{key}"},
        ],
        "timer_schemas": {"later": of("timer", with("why"))},
        "listings": [{"name": "list", "path": "/counters", "filters": [
            {"parameter": "by", "pointer": "/by", "schema": of("filter", json!({"type": "string"}))},
        ]}],
        "handle": {"set": {"set-timer": {"name": "later", "after_ms": AGES, "body": {}}}},
    }))
}

fn renamed() -> Value {
    object(
        json!({"counted": {"type": "integer"}, "by": {"type": "string"}}),
        &["counted", "by"],
    )
}

#[test]
fn requests_timers_states_and_filters_must_fit_the_new_schemas() {
    let files = Files::new();
    let path = files.data().join("chameleon.wasm");
    let first = whole("1.0.0", json!({}));
    first.write(&path);
    let host = chameleon::start(&path, files.data())
        .setting("reload.watch_ms", 0)
        .start();
    count(&host, "k");
    assert_eq!(host.send("chameleon", "PUT", "/counters/k", "").status, 200);
    let required = |name: &str| object(json!({name: {"type": "integer"}}), &[name]);
    for (change, says) in [
        (
            json!({"request": required("by")}),
            "request of command `count`: /by is required by this build but need not be in requests that the active build takes",
        ),
        (
            json!({"timer": required("why")}),
            "timer `later`: /why is required by this build but need not be in timers that the active build sets; 1 such timers \
             are set",
        ),
        (
            json!({"filter": {"enum": ["1.0.0"]}}),
            "filter `by` of the listing at /counters: the value may be any string in queries that the active build takes",
        ),
        (
            json!({"state": renamed()}),
            "state: /counted is required by this build but not in states that the active build stores; raise state_version and \
             migrate, or give it #[serde(default)]",
        ),
    ] {
        let refused = chameleon::apply(&host, &whole("2.0.0", change.clone()));
        assert_eq!(refused.status, 422, "{change}: {}", refused.text());
        let refused = refused.json();
        assert_eq!(refused["reasons"].as_array().unwrap().len(), 1, "{refused}");
        let reason = refused["reasons"][0].as_str().unwrap();
        assert!(reason.starts_with(says), "{reason}");
    }
    // A reply that is told more exactly is fine, and what was told so may not be told less exactly.
    let exact = whole("2.0.0", json!({"reply": required("count")}));
    chameleon::swap(&host, &exact);
    let vague = chameleon::apply(
        &host,
        &whole("3.0.0", json!({"reply": object(json!({}), &[])})),
    );
    assert_eq!(vague.status, 422);
    let reason = vague.json()["reasons"][0].to_string();
    assert!(
        reason.contains("reply of command `look`: /count is required by clients of the active build but no longer in the reply"),
        "{reason}"
    );
    assert!(host.stop().success());
}

#[test]
fn a_shape_without_stored_data_may_change() {
    let files = Files::new();
    let path = files.data().join("chameleon.wasm");
    whole("1.0.0", json!({})).write(&path);
    let host = chameleon::start(&path, files.data())
        .setting("reload.watch_ms", 0)
        // What it writes is not what it declares.
        .setting("turn.check_outputs", false)
        .start();
    assert_eq!(look(&host, "k"), Value::Null);
    let timer = object(json!({"why": {"type": "integer"}}), &["why"]);
    let other = whole("2.0.0", json!({"state": renamed(), "timer": timer}));
    let applied = chameleon::swap(&host, &other);
    let notes = applied["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 2, "{applied}");
    for note in notes {
        let note = note.as_str().unwrap();
        assert!(note.ends_with("; there are none at present"), "{note}");
    }
    // Now there is one.
    count(&host, "k");
    let back = chameleon::rollback(&host);
    assert_eq!(back.status, 422, "{}", back.text());
    assert!(
        back.text().contains("state: /count is required"),
        "{}",
        back.text()
    );
    assert_eq!(number(files.data(), "SELECT count(*) FROM aggregates"), 1);
    assert!(host.stop().success());
}
