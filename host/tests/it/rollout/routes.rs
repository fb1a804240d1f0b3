//! Additions of a swap work at once, and what it drops is gone: routes and their schemas, subscriptions,
//! publications, timers. Two participants of one host, each of which is swapped by itself.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, swap};
use crate::expect::{problem, until};
use crate::store_file::{number, published, rows};
use crate::support::{Host, Response, request};

/// Long enough that a timer does not fall due within a test.
const AGES: u64 = 3_600_000;

fn command(name: &str, method: &str, path: &str) -> Value {
    json!({"name": name, "method": method, "path": path})
}

/// The participant that listens: to what is told on these topics, one event type on each.
fn listener(version: &str, topics: &[&str]) -> Chameleon {
    let subscriptions: Vec<_> = (topics.iter())
        .map(|topic| json!({"event_type": format!("on-{topic}"), "topic": topic, "group": "listener"}))
        .collect();
    Chameleon::new().version(version).with(json!({
        "name": "listener",
        "base_path": "/listener",
        "subscriptions": subscriptions,
        "publications": [],
    }))
}

/// The participant that tells, on these topics: `POST /TOPIC/{key}` publishes.
fn teller(version: &str, topics: &[&str]) -> Chameleon {
    let mut commands = vec![
        command("count", "POST", "/counters/{key}"),
        json!({"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"}),
    ];
    let (mut publications, mut handle) = (Vec::new(), serde_json::Map::new());
    for topic in topics {
        let event_type = format!("on-{topic}");
        commands.push(command(topic, "POST", &format!("/{topic}/{{key}}")));
        publications.push(json!({"event_type": event_type, "topic": topic}));
        let publish = json!({"publish": {"event_type": event_type, "body": {"key": topic}}});
        handle.insert((*topic).to_owned(), publish);
    }
    Chameleon::new().version(version).with(json!({
        "commands": commands,
        "publications": publications,
        "handle": handle,
    }))
}

/// Both on one host.
fn start(data: &Path, teller: &Chameleon, listener: &Chameleon) -> Host {
    let file = |name: &str| data.join(name);
    teller.write(&file("chameleon.wasm"));
    listener.write(&file("listener.wasm"));
    let plugin = format!("listener={}", file("listener.wasm").display());
    chameleon::start(&file("chameleon.wasm"), data)
        .arguments(&["--plugin", &plugin, "--listen", "listener=127.0.0.1:0"])
        .setting("reload.watch_ms", 0)
        .start()
}

/// Swaps the listener.
fn swap_listener(host: &Host, build: &Chameleon, query: &str) -> Response {
    let url = format!("{}/participants/listener/component{query}", host.admin());
    let response = request("PUT", &url, &[], &build.bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    response
}

/// Swaps the teller, whatever it lacks.
fn swap_dropping(host: &Host, build: &Chameleon) {
    chameleon::swap_with(host, build, "drop-used=true");
}

fn tell(host: &Host, topic: &str) {
    let told = host.post("chameleon", &format!("/{topic}/k"), &json!({}));
    assert_eq!(told.status, 200, "{}", told.text());
}

fn until_heard(host: &Host, topic: &str, times: u64) {
    host.get_until("listener", &format!("/counters/{topic}"), |response| {
        response.json()["count"] == times
    });
}

#[test]
fn added_routes_work_at_once_and_removed_routes_are_gone() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(
        data,
        &teller("1.0.0", &["old"]),
        &listener("1.0.0", &["old"]),
    );
    tell(&host, "old");
    until_heard(&host, "old", 1);
    assert_eq!(host.post("chameleon", "/new/k", &json!({})).status, 404);

    // A publication with its route, then a subscription to it: what was told before is heard too.
    swap(&host, &teller("2.0.0", &["old", "new"]));
    tell(&host, "new");
    swap_listener(&host, &listener("2.0.0", &["old", "new"]), "");
    until_heard(&host, "new", 1);
    tell(&host, "new");
    until_heard(&host, "new", 2);
    tell(&host, "old");
    until_heard(&host, "old", 2);
    assert_eq!(
        number(
            data,
            "SELECT max(n) FROM (SELECT count(*) AS n FROM activations GROUP BY participant)"
        ),
        2
    );

    // The listener drops it: what comes from then on is not read, though all else is.
    swap_listener(&host, &listener("3.0.0", &["old"]), "?drop-used=true");
    tell(&host, "new");
    tell(&host, "old");
    until_heard(&host, "old", 3);
    let looked = host.get("listener", "/counters/new").json();
    assert_eq!(
        (&looked["count"], &looked["by"]),
        (&json!(2), &json!("2.0.0"))
    );
    let place = "SELECT next_offset FROM offsets o JOIN topics t ON t.id = o.topic
                 WHERE t.name = 'new' AND o.consumer = 'log:listener/listener'";
    assert_eq!((number(data, place), published(data, "new")), (2, 3));
    // It takes it up again, where it stopped.
    swap_listener(&host, &listener("4.0.0", &["old", "new"]), "");
    until_heard(&host, "new", 3);

    // The route goes with what it publishes.
    swap_dropping(&host, &teller("3.0.0", &["old"]));
    let gone = host.post("chameleon", "/new/k", &json!({}));
    problem(&gone, 404, "no-such-route");
    tell(&host, "old");
    until_heard(&host, "old", 4);
    assert!(host.stop().success());
    // Whatever was swapped, each event was decided once.
    let heard = "SELECT json_extract(message, '$.id'), count(*) FROM journal WHERE key IN ('old', 'new') GROUP BY 1";
    let heard = rows(data, heard);
    assert_eq!(heard.len(), 7, "{heard:?}");
    assert!(heard.iter().all(|row| row[1] == "1"), "{heard:?}");
}

#[test]
fn routes_follow_in_what_they_take() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data, &teller("1.0.0", &[]), &listener("1.0.0", &[]));
    let post = |body: &str| host.send("chameleon", "POST", "/counters/k", body);
    assert_eq!(post("{}").status, 200);
    let taking = |version: &str, request: Value| {
        let mut count = command("count", "POST", "/counters/{key}");
        count["request"] = request;
        Chameleon::new().version(version).with(json!({"commands": [
            count,
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
            command("count-too", "PUT", "/counters/{key}"),
        ]}))
    };
    let number =
        json!({"type": "object", "required": ["by"], "properties": {"by": {"type": "integer"}}});
    let text =
        json!({"type": "object", "required": ["by"], "properties": {"by": {"type": "string"}}});
    chameleon::swap_with(&host, &taking("2.0.0", number), "allow-breaking=true");
    assert_eq!(post("{}").status, 422);
    assert_eq!(post(r#"{"by": "1"}"#).status, 422);
    assert_eq!(post(r#"{"by": 1}"#).status, 200);
    // Another method of the same path.
    assert_eq!(host.send("chameleon", "PUT", "/counters/k", "").status, 200);
    chameleon::swap_with(&host, &taking("3.0.0", text), "allow-breaking=true");
    assert_eq!(post(r#"{"by": 1}"#).status, 422);
    assert_eq!(post(r#"{"by": "1"}"#).status, 200);
    let back = || chameleon::rollback_with(&host, "drop-used=true&allow-breaking=true");
    assert_eq!(back().status, 200);
    assert_eq!(post(r#"{"by": 1}"#).status, 200);
    assert_eq!(back().status, 200);
    assert_eq!(post("{}").status, 200);
    assert_eq!(host.send("chameleon", "PUT", "/counters/k", "").status, 405);
    // Only what was decided changed anything.
    assert_eq!(count(&host, "k")["count"], 7);

    // The path prefix is a matter of the next start, where all routes would be elsewhere.
    let moved = Chameleon::new().with(json!({"base_path": "/elsewhere"}));
    let refused = chameleon::apply(&host, &moved);
    assert_eq!(refused.status, 422, "{}", refused.text());
    let reason = refused.json()["reasons"][0].to_string();
    assert!(
        reason.contains("its base path is `/elsewhere`, not `/chameleon`"),
        "{reason}"
    );
    swap_dropping(&host, &moved);
    assert_eq!(count(&host, "k")["count"], 8);
    assert!(host.stop().success());
}

/// A build with these timers, each with a route that sets it, due so much later.
fn setting(version: &str, timers: &[(&str, u64)]) -> Chameleon {
    let mut commands =
        vec![json!({"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"})];
    let mut handle = serde_json::Map::new();
    for (timer, after_ms) in timers {
        let name = format!("set-{timer}");
        commands.push(command(&name, "POST", &format!("/{name}/{{key}}")));
        handle.insert(
            name,
            json!({"set-timer": {"name": timer, "after_ms": after_ms}}),
        );
    }
    let names: Vec<_> = timers.iter().map(|(timer, _)| timer).collect();
    let settings = json!({"commands": commands, "timers": names, "handle": handle});
    Chameleon::new().version(version).with(settings)
}

fn set(host: &Host, timer: &str, key: &str) {
    let set = host.post("chameleon", &format!("/set-{timer}/{key}"), &json!({}));
    assert_eq!(set.status, 200, "{}", set.text());
}

#[test]
fn timers_follow() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(
        data,
        &setting("1.0.0", &[("late", AGES)]),
        &listener("1.0.0", &[]),
    );
    let fired = |key: &str| {
        let path = format!("/counters/{key}");
        host.get_until("chameleon", &path, |response| response.json()["count"] == 1)
            .json()["by"]
            .clone()
    };
    set(&host, "late", "a");
    // A timer that is new fires, and one that is set stays set.
    swap(&host, &setting("2.0.0", &[("late", AGES), ("soon", 0)]));
    set(&host, "soon", "b");
    assert_eq!(fired("b"), "2.0.0");
    assert_eq!(number(data, "SELECT count(*) FROM timers"), 1);
    // One that nobody waits for can go, and comes back.
    swap_dropping(&host, &setting("3.0.0", &[("late", AGES)]));
    let gone = host.post("chameleon", "/set-soon/c", &json!({}));
    assert_eq!(gone.status, 404, "{}", gone.text());
    swap(&host, &setting("4.0.0", &[("late", 0), ("soon", 0)]));
    set(&host, "soon", "c");
    assert_eq!(fired("c"), "4.0.0");
    // What an older build set is decided by the one that is active when it is due.
    set(&host, "late", "a");
    assert_eq!(fired("a"), "4.0.0");
    until("no timer is left", || {
        number(data, "SELECT count(*) FROM timers") == 0
    });
    assert!(host.stop().success());
}

#[test]
fn a_timer_that_the_active_rules_do_not_list_is_parked_until_some_do() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let (without, with) = (setting("1.0.0", &[]), setting("2.0.0", &[("late", AGES)]));
    let host = start(data, &without, &listener("1.0.0", &[]));
    swap(&host, &with);
    set(&host, "late", "a");
    // To go back is no reason to drop what is in use without a word.
    let refused = chameleon::rollback(&host);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(refused.json()["allowed_by"], json!(["drop-used"]));
    assert!(
        refused.text().contains("timer `late` is missing"),
        "{}",
        refused.text()
    );
    assert_eq!(
        chameleon::rollback_with(&host, "drop-used=true").status,
        200
    );
    assert!(host.stop().success());
    let due = rows(data, "UPDATE timers SET due = 1 RETURNING name");
    assert_eq!(due, [["late"]]);
    let host = start(data, &without, &listener("1.0.0", &[]));
    let parked = "SELECT name, key, reason, detail, digest FROM timers WHERE parked IS NOT NULL";
    until("the timer is parked", || !rows(data, parked).is_empty());
    let [timer, key, reason, detail, digest] = rows(data, parked).remove(0).try_into().unwrap();
    assert_eq!((timer.as_str(), key.as_str()), ("late", "a"));
    assert_eq!((reason.as_str(), digest), ("malformed", without.digest()));
    assert!(detail.contains("list no timer `late`"), "{detail}");
    assert_eq!(number(data, "SELECT count(*) FROM dead_letters"), 0);
    assert_eq!(host.get("chameleon", "/counters/a").json(), Value::Null);
    swap(&host, &with);
    until("it fired", || {
        number(data, "SELECT count(*) FROM timers") == 0
    });
    assert_eq!(host.get("chameleon", "/counters/a").json()["count"], 1);
    assert!(host.stop().success());
}

#[test]
fn a_renamed_command_with_the_same_route_counts_as_used() {
    let data = tempfile::tempdir().unwrap();
    let build = |version: &str, commands: &[Value]| {
        Chameleon::new().version(version).with(json!({
            "commands": commands,
            "handle": {"count": {"count": 1}, "tally": {"count": 1}},
        }))
    };
    let look = json!({"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"});
    let first = build(
        "1.0.0",
        &[command("count", "POST", "/counters/{key}"), look.clone()],
    );
    let path = data.path().join("chameleon.wasm");
    first.write(&path);
    let host = chameleon::start(&path, data.path())
        .setting("reload.watch_ms", 0)
        .start();
    chameleon::count(&host, "k");
    let renamed = [command("tally", "POST", "/counters/{key}"), look.clone()];
    chameleon::swap(&host, &build("2.0.0", &renamed));
    let refused = chameleon::apply(&host, &build("3.0.0", &[look]));
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(
        refused.text().contains("it is in use"),
        "{}",
        refused.text()
    );
    chameleon::count(&host, "k");
    assert!(host.stop().success());
}
