//! Components that are not taken while the host runs: the generation that was active goes on, the reason is told
//! wherever somebody would look, and `saga verify` finds it beforehand.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, told};
use crate::commands::{asks, call};
use crate::component_bytes::{COMPONENT, importing};
use crate::expect::until;
use crate::store_file::number;
use crate::support::{Host, component, request};

/// Long enough that nothing falls due within a test.
const AGES: u64 = 3_600_000;

/// The build that is to be replaced: it has something of everything that could be dropped. Its states are of version 2.
pub fn first() -> Chameleon {
    Chameleon::new().with(json!({
        "state": {"version": 2},
        "commands": commands(),
        "subscriptions": [{"event_type": "counted"}, {"event_type": "awaited", "topic": "awaitedTopic"}],
        "publications": [
            {"event_type": "counted", "topic": "chameleonTopic"},
            {"event_type": "awaited", "topic": "awaitedTopic"},
        ],
        "handle": {
            "tell": {"publish": {"event_type": "counted", "body": {"key": "told"}}},
            "ask": {"publish": {"event_type": "awaited", "body": {"key": "asked"}}},
            "awaited": {"retry-later": "not yet"},
            "set": {"set-timer": {"name": "later", "after_ms": AGES}},
        },
    }))
}

pub fn commands() -> Vec<Value> {
    let command = |name: &str, method: &str, path: &str| json!({"name": name, "method": method, "path": path});
    vec![
        command("count", "POST", "/counters/{key}"),
        json!({"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"}),
        command("tell", "POST", "/told/{key}"),
        command("ask", "POST", "/asked/{key}"),
        command("set", "POST", "/timers/{key}"),
        command("play", "POST", "/played/{key}"),
    ]
}

/// A build that differs from the first one so.
pub fn other(settings: Value) -> Chameleon {
    first().version("2.0.0").with(settings)
}

/// A build whose `count` does this.
fn counting(act: Value) -> Chameleon {
    other(json!({"handle": {"count": act}}))
}

fn post(host: &Host, path: &str) {
    let response = host.post("chameleon", path, &json!({}));
    assert_eq!(response.status, 200, "{}", response.text());
}

/// A host with the first build, which has decided on a command twice.
pub fn start(data: &Path) -> Host {
    let path = data.join("chameleon.wasm");
    first().write(&path);
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("retry.first_delay_ms", AGES)
        .setting("retry.max_delay_ms", AGES)
        .start();
    count(&host, "k");
    count(&host, "k");
    host
}

/// A reason without what may differ between two that ask: where the bytes are from, and how long ago something was.
fn essence(reason: &Value) -> String {
    let reason = reason.as_str().unwrap();
    let reason = match reason.strip_prefix("component ") {
        Some(rest) => rest.split_once(": ").unwrap().1,
        None => reason,
    };
    let came = " came ";
    let end = reason.find(came).map(|at| at + came.len());
    reason[..end.unwrap_or(reason.len())].to_owned()
}

fn reasons(told: &Value) -> Vec<String> {
    let reasons: Vec<_> = (told["reasons"].as_array().unwrap().iter())
        .map(essence)
        .collect();
    assert!(!reasons.is_empty(), "{told}");
    reasons
}

/// Applies these bytes, which must be refused by this check for a reason that says so; looks everywhere where
/// that has to be told.
pub fn refuses(host: &Host, data: &Path, bytes: &[u8], check: &str, says: &str) {
    let path = data.join("candidate.wasm");
    std::fs::write(&path, bytes).unwrap();
    let path = path.to_str().unwrap();
    let before = told(host);

    let (code, out, err) = call(&mut asks(data, &["apply", "chameleon", path, "--json"]));
    assert_eq!(code, 65, "{says}: {out}{err}");
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["check"], check, "{said}");
    assert!(
        reasons(&said).iter().any(|reason| reason.contains(says)),
        "`{says}` is not in {said}"
    );
    assert!(
        err.lines()
            .all(|line| line.starts_with(&format!("saga: refused ({check}): "))),
        "{err}"
    );
    assert!(err.contains(says), "`{says}` is not in {err}");

    let (code, out, err) = call(&mut asks(data, &["generations", "chameleon", "--json"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let listed: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (
            &listed["active"],
            &listed["generations"].as_array().unwrap().len()
        ),
        (
            &before["active"],
            &before["generations"].as_array().unwrap().len()
        ),
        "{listed}"
    );
    let refused = &listed["refused"][0];
    assert_eq!(
        (&refused["reasons"], &refused["check"], &refused["way"]),
        (&said["reasons"], &json!(check), &json!("apply"))
    );
    let ready = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &json!("ready"))
    );
    assert_eq!(&ready.json()["participants"][0]["refused"], refused);
    let log = host.log();
    assert!(
        log.lines()
            .any(|line| line.contains("the component was refused") && line.contains(says)),
        "`{says}` is not in {log}"
    );
    let verify = ["verify", path, "--participant", "chameleon", "--json"];
    let (code, out, err) = call(&mut asks(data, &verify));
    assert_eq!(code, 65, "{says}: {out}{err}");
    let verified: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&verified["check"], reasons(&verified)),
        (&json!(check), reasons(&said))
    );
    assert!(err.contains(says), "`{says}` is not in {err}");
    assert_eq!(count(host, "k")["by"], "1.0.0", "{says}");
}

#[test]
fn a_component_that_can_not_be_loaded_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let whole = other(json!({})).bytes();
    let describe = |act: &str| other(json!({"describe": act})).bytes();
    for (bytes, check, says) in [
        (b"no component".to_vec(), "component", "is not WebAssembly"),
        (
            b"\0asm\x01\0\0\0".to_vec(),
            "component",
            "is a core module, not a component",
        ),
        (
            whole[..whole.len() / 2].to_vec(),
            "component",
            "does not compile",
        ),
        (COMPONENT.to_vec(), "world", "does not export"),
        (
            importing("vendor:shell/exec@1.0.0"),
            "world",
            "imports `vendor:shell/exec@1.0.0`, which rules are not granted",
        ),
        (describe("trap"), "description", "broke in `describe`: trap"),
        (
            describe("spin"),
            "description",
            "broke in `describe`: out-of-fuel",
        ),
        (
            describe("garbage"),
            "description",
            "its description is wrong",
        ),
        (
            describe("changing"),
            "description",
            "described itself differently",
        ),
    ] {
        refuses(&host, data.path(), &bytes, check, says);
    }
    assert!(host.stop().success());
}

/// Uses all that can be dropped.
pub fn use_everything(host: &Host, data: &Path) {
    post(host, "/told/k");
    post(host, "/asked/k");
    post(host, "/timers/k");
    until("the event was decided", || {
        number(data, "SELECT count(*) FROM journal WHERE key = 'told'") == 1
    });
}

/// The settings of the first build without one of its parts.
fn without(list: &str, name: &str) -> Value {
    let mut kept = match list {
        "commands" => commands(),
        "subscriptions" => vec![
            json!({"event_type": "counted"}),
            json!({"event_type": "awaited", "topic": "awaitedTopic"}),
        ],
        _ => Vec::new(),
    };
    kept.retain(|part| part["name"] != name && part["event_type"] != name);
    json!({list: kept})
}

#[test]
fn a_component_without_a_used_command_is_refused_unless_a_flag_allows_it() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data);
    use_everything(&host, data);
    let mut keyed_otherwise = commands();
    keyed_otherwise[0] = json!({"name": "count", "method": "POST", "path": "/counters/{key}", "key": "/key", "request": {}});
    let mut reading = commands();
    reading[0]["kind"] = json!("read");
    let another = std::fs::read(component("booking")).unwrap();
    for (bytes, says) in [
        (another, "`name` is `booking`, not `chameleon`"),
        (
            other(without("subscriptions", "counted")).bytes(),
            "subscription `counted` of topic `chameleonTopic` is missing: group `chameleon` would pass these events over; \
             it is in use: the last such event came ",
        ),
        (
            other(without("subscriptions", "awaited")).bytes(),
            "subscription `awaited` of topic `awaitedTopic` is missing: group `chameleon` would pass these events over; \
             it is in use: 1 such events are parked",
        ),
        (
            other(json!({"subscriptions": [
                {"event_type": "counted", "key": "/other"},
                {"event_type": "awaited", "topic": "awaitedTopic"},
            ]}))
            .bytes(),
            "subscription `counted` of topic `chameleonTopic`: `key` is `/other`, not `/key`",
        ),
        (
            other(without("commands", "count")).bytes(),
            "command `count`, or another one at POST /counters/{key}, is missing; it is in use: the last request for it came ",
        ),
        (
            other(json!({"commands": keyed_otherwise})).bytes(),
            "`key` is body `/key`, not path-parameter `key` as that of `count`",
        ),
        (
            other(json!({"commands": reading})).bytes(),
            "`kind` is read, not change as that of `count`",
        ),
        (
            other(json!({"timers": []})).bytes(),
            "timer `later` is missing: those that are set could not fall due; it is in use: 1 such timers are set",
        ),
        (
            other(json!({"state": {"version": 4, "oldest_readable": 3}})).bytes(),
            "reads states of versions 3 to 4; the store holds states of chameleon of version 2;",
        ),
        (
            other(json!({"state": {"version": 1}})).bytes(),
            "reads states of version 1 only; the store holds states of chameleon of version 2;",
        ),
    ] {
        refuses(&host, data, &bytes, "compatibility", says);
    }

    let before = count(&host, "k")["count"].as_i64().unwrap();
    // All that is wrong is said at once.
    let nothing = other(json!({"commands": [], "subscriptions": [], "timers": []}));
    let refused = chameleon::apply(&host, &nothing);
    assert_eq!(refused.status, 422, "{}", refused.text());
    let reasons = refused.json()["reasons"].clone();
    // Two subscriptions, four routes, one timer. Neither `look` nor `play` was asked.
    assert_eq!(reasons.as_array().unwrap().len(), 7, "{reasons}");

    nothing.write(&data.join("nothing.wasm"));
    let path = data.join("nothing.wasm");
    let apply = ["apply", "chameleon", path.to_str().unwrap()];
    let arguments = [&apply[..], &["--drop-used", "--json"]].concat();
    let (code, out, err) = call(&mut asks(data, &arguments));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let applied: Value = serde_json::from_str(&out).unwrap();
    let notes = applied["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 9, "{applied}");
    for reason in reasons.as_array().unwrap() {
        assert!(
            notes.iter().any(|note| essence(note) == essence(reason)),
            "{reason} is not in {applied}"
        );
    }
    assert_eq!(host.get("chameleon", "/counters/k").status, 404);
    // What waits is not lost: the build before goes on with it.
    assert_eq!(chameleon::rollback(&host).status, 200);
    assert_eq!(count(&host, "k")["count"], before + 1);
    assert_eq!(number(data, "SELECT count(*) FROM timers"), 1);
    assert_eq!(number(data, "SELECT count(*) FROM dead_letters"), 0);
    assert_eq!(number(data, "SELECT count(*) FROM parked"), 1);
    assert!(host.stop().success());
}

#[test]
fn a_component_without_an_unused_command_is_accepted_with_a_note() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let smaller = other(json!({
        "commands": &commands()[..2],
        "subscriptions": [],
        "timers": [],
    }));
    let applied = chameleon::swap(&host, &smaller);
    let notes: Vec<_> = (applied["notes"].as_array().unwrap().iter())
        .map(|note| note.as_str().unwrap())
        .collect();
    assert_eq!(notes.len(), 7, "{notes:?}");
    for what in [
        "subscription `counted`",
        "subscription `awaited`",
        "command `tell`",
        "command `ask`",
        "command `set`",
        "command `play`",
        "timer `later`",
    ] {
        assert!(
            notes
                .iter()
                .any(|note| note.starts_with(what) && note.ends_with("; it is not in use")),
            "{what}: {notes:?}"
        );
    }
    assert_eq!(count(&host, "k")["by"], "2.0.0");
    let told = host.post("chameleon", "/told/k", &json!({}));
    assert_eq!(told.status, 404, "{}", told.text());
    assert!(host.stop().success());
}

#[test]
fn a_component_that_fails_on_recorded_inputs_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let migrating =
        |act: Value| other(json!({"state": {"version": 3, "oldest_readable": 2}, "migrate": act}));
    for (build, says) in [
        (counting(json!("trap")), "`count` of aggregate k: trap"),
        (
            counting(json!("spin")),
            "`count` of aggregate k: out-of-fuel",
        ),
        (
            counting(json!("garbage-state")),
            "`count` of aggregate k: bad-output",
        ),
        (
            counting(json!("garbage-event")),
            "`count` of aggregate k: bad-output",
        ),
        (
            counting(json!("no-reply")),
            "`count` of aggregate k: bad-output",
        ),
        (
            migrating(json!("trap")),
            "can't read the state of k (version 2): trap",
        ),
        (
            migrating(json!("garbage")),
            "can't read the state of k (version 2): bad-output",
        ),
        (
            migrating(json!("fail")),
            "can't read the state of k (version 2): the settings refuse to migrate from version 2",
        ),
    ] {
        refuses(&host, data.path(), &build.bytes(), "probe", says);
    }
    // What decides otherwise does not break: it is what a new rule is for, and is told.
    let applied = chameleon::swap(&host, &counting(json!({"count": 10})));
    let probe = &applied["probe"];
    assert!(probe["inputs"].as_u64().unwrap() >= 2, "{applied}");
    assert_eq!(probe["inputs"], probe["decided_otherwise"], "{applied}");
    assert!(host.stop().success());
}
