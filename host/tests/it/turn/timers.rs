//! Timers: they fire once, with what set them, in order with the other messages of their key; and not at all
//! once they are cancelled.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::booking::add_room;
use crate::chameleon::{self, Chameleon};
use crate::expect::{broke, until};
use crate::exposition::scrape;
use crate::store_file::{number, published, rows};
use crate::support::{Host, Start};

/// Long enough that a timer does not fire within a test.
const AGES: u64 = 3_600_000;

fn start(data: &Path) -> Host {
    Start::new(&["booking"], data).start()
}

/// Holds a room; gives the time at which the hold runs out.
fn hold(host: &Host, code: &str, by: &str, ttl_millis: u64) -> u64 {
    let held = host.post(
        "booking",
        &format!("/rooms/{code}/hold"),
        &json!({"by": by, "ttlMillis": ttl_millis}),
    );
    assert_eq!(held.status, 202, "{}", held.text());
    held.json()["until"].as_u64().unwrap()
}

fn status(host: &Host, code: &str) -> Value {
    host.get("booking", &format!("/rooms/{code}")).json()["status"].clone()
}

fn until_free(host: &Host, code: &str) {
    host.get_until("booking", &format!("/rooms/{code}"), |response| {
        response.json()["status"] == "free"
    });
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

fn timers(data: &Path) -> i64 {
    number(data, "SELECT count(*) FROM timers")
}

/// Names of the messages that were decided for a room.
fn decided(data: &Path, code: &str) -> Vec<String> {
    rows(
        data,
        &format!(
            "SELECT json_extract(message, '$.name') FROM journal WHERE key = '{code}' ORDER BY seq"
        ),
    )
    .concat()
}

#[test]
fn a_timer_fires_once_when_it_is_due() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    add_room(&host, "A");
    let due = hold(&host, "A", "Eve", 50);
    until_free(&host, "A");
    assert!(now() >= due);
    assert!(host.stop().success());
    assert_eq!(
        decided(data.path(), "A"),
        ["add-room", "hold-room", "hold-expires"]
    );
    assert_eq!(timers(data.path()), 0);
    let expired = rows(
        data.path(),
        "SELECT CAST(value AS TEXT), o.correlation = h.correlation, e.origin FROM outbox o
         JOIN (SELECT correlation FROM outbox WHERE event_type = 'hold-placed') h
         JOIN (SELECT json_extract(message, '$.origin') origin, json_extract(message, '$.id') id FROM journal) e
             ON e.id = o.causation
         WHERE event_type = 'hold-expired'",
    );
    assert_eq!(
        expired,
        [[r#"{"code":"A"}"#, "1", "timer"]],
        "of the same saga as the command that set it"
    );
}

#[test]
fn a_cancelled_timer_does_not_fire() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    for code in ["booked", "closed", "later"] {
        add_room(&host, code);
    }
    hold(&host, "booked", "Eve", 1_500);
    hold(&host, "closed", "Eve", 1_500);
    let confirmed = host.send("booking", "POST", "/rooms/booked/confirm", "");
    assert_eq!(
        confirmed.json()["status"],
        json!({"booked": {"by": "Eve"}}),
        "{}",
        confirmed.text()
    );
    assert_eq!(
        host.send("booking", "DELETE", "/rooms/closed", "").status,
        200
    );
    assert_eq!(timers(data.path()), 0);
    // One that is due after both of them has fired: so would they have.
    hold(&host, "later", "Eve", 1_600);
    until_free(&host, "later");
    assert_eq!(status(&host, "booked"), json!({"booked": {"by": "Eve"}}));
    assert_eq!(host.get("booking", "/rooms/closed").status, 404);
    assert!(host.stop().success());
    assert_eq!(
        decided(data.path(), "booked"),
        ["add-room", "hold-room", "confirm-hold"]
    );
    assert_eq!(
        decided(data.path(), "closed"),
        ["add-room", "hold-room", "close-room"]
    );
    assert_eq!(
        number(
            data.path(),
            "SELECT count(*) FROM outbox WHERE event_type = 'hold-expired'"
        ),
        1
    );
}

/// Invariant 2: a timer is committed with the state that set it.
#[test]
fn a_timer_survives_a_crash_between_set_and_due() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    for code in ["A", "B", "C"] {
        add_room(&host, code);
    }
    let due = hold(&host, "A", "Eve", 1);
    hold(&host, "B", "Eve", AGES);
    host.kill();
    // Due while the host is down, or (should it have fired just before) decided already.
    until("the hold of A runs out", || now() > due);
    let host = start(data.path());
    until_free(&host, "A");
    assert_eq!(status(&host, "B"), json!({"held": {"by": "Eve"}}));
    // Due after the start.
    hold(&host, "C", "Eve", 500);
    host.kill();
    let host = start(data.path());
    until_free(&host, "C");
    assert!(host.stop().success());
    for code in ["A", "C"] {
        assert_eq!(
            decided(data.path(), code),
            ["add-room", "hold-room", "hold-expires"],
            "once"
        );
    }
    assert_eq!(rows(data.path(), "SELECT key FROM timers"), [["B"]]);
    assert_eq!(published(data.path(), "bookings"), 5);
}

#[test]
fn a_reset_timer_fires_at_the_new_time_only() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    add_room(&host, "A");
    hold(&host, "A", "Eve", 50);
    until_free(&host, "A");
    // The second hold uses the same timer; the first one's time has passed.
    hold(&host, "A", "Bob", AGES);
    add_room(&host, "B");
    hold(&host, "B", "Eve", 50);
    until_free(&host, "B");
    assert_eq!(status(&host, "A"), json!({"held": {"by": "Bob"}}));
    assert_eq!(timers(data.path()), 1);
    assert!(host.stop().success());
    assert_eq!(
        decided(data.path(), "A"),
        ["add-room", "hold-room", "hold-expires", "hold-room"]
    );
}

#[test]
fn a_timer_due_at_no_possible_time_is_a_fault() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    add_room(&host, "A");
    let answer = host.post(
        "booking",
        "/rooms/A/hold",
        &json!({"by": "Eve", "ttlMillis": u64::MAX}),
    );
    assert!(
        broke(&answer, "bad-output").contains("hold-expires"),
        "{}",
        answer.text()
    );
    assert_eq!(status(&host, "A"), "free");
    hold(&host, "A", "Eve", 1);
    until_free(&host, "A");
}

#[test]
fn many_timers_that_are_due_at_once_all_fire() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let rooms = 600;
    // Set while the host is busy, due when all are set.
    let due = now() + 2_000;
    std::thread::scope(|scope| {
        for part in 0..6 {
            let host = &host;
            scope.spawn(move || {
                for number in (part..rooms).step_by(6) {
                    let code = format!("r{number}");
                    add_room(host, &code);
                    hold(host, &code, "Eve", due.saturating_sub(now()));
                }
            });
        }
    });
    until("every hold has run out", || timers(data.path()) == 0);
    for number in 0..rooms {
        assert_eq!(status(&host, &format!("r{number}")), "free");
    }
    assert!(host.stop().success());
    assert_eq!(
        number(
            data.path(),
            "SELECT count(*) FROM outbox WHERE event_type = 'hold-expired'"
        ),
        rooms
    );
}

/// A build that counts when `later` is due, and does this first.
fn due(version: &str, first: Value) -> Chameleon {
    Chameleon::new().version(version).with(json!({
        "commands": [
            {"name": "count", "method": "POST", "path": "/counters/{key}"},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
            {"name": "set", "method": "PUT", "path": "/counters/{key}"},
            {"name": "cancel", "method": "DELETE", "path": "/counters/{key}"},
        ],
        "handle": {
            "later": [first, {"count": 1}],
            "set": {"set-timer": {"name": "later", "after_ms": 1}},
            "cancel": {"cancel-timer": "later"},
        },
    }))
}

fn start_due(data: &Path, build: &Chameleon) -> Start {
    let path = data.join("chameleon.wasm");
    if !path.exists() {
        build.write(&path);
    }
    chameleon::start(&path, data).setting("reload.watch_ms", 0)
}

fn parked(data: &Path) -> Vec<Vec<String>> {
    rows(
        data,
        "SELECT key, reason, attempts FROM timers WHERE parked IS NOT NULL ORDER BY key",
    )
}

fn set_later(host: &Host, key: &str) {
    let set = host.send("chameleon", "PUT", &format!("/counters/{key}"), "");
    assert_eq!(set.status, 200, "{}", set.text());
}

#[test]
fn a_timer_that_cannot_be_decided_is_parked_and_offered_to_other_rules_and_at_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let broken = due("1.0.0", json!("trap"));
    let host = start_due(data, &broken).start();
    set_later(&host, "k");
    until("it is parked", || parked(data) == [["k", "trap", "1"]]);
    host.log_until("a timer can't be decided; it is parked");
    let overview = chameleon::told(&host)["parked"].clone();
    assert_eq!(overview["timers"], 1, "{overview}");
    assert_eq!(overview["first_timers"][0]["key"], "k", "{overview}");
    assert_eq!(overview["first_timers"][0]["reason"], "trap", "{overview}");
    assert_eq!(scrape(&host).one("saga_parked_timers", &[]), 1.0);
    // It holds nothing back.
    assert_eq!(chameleon::count(&host, "k")["count"], 1);
    // A start offers it again, and so does each swap.
    assert!(host.stop().success());
    let host = start_due(data, &broken).start();
    until("it is tried again", || {
        host.log().matches("a timer can't be decided").count() == 2
    });
    chameleon::swap(&host, &due("2.0.0", json!({"malformed": "no"})));
    until("others can't decide it either", || {
        parked(data) == [["k", "malformed", "1"]]
    });
    chameleon::swap(&host, &due("3.0.0", json!("look")));
    until("it fired", || timers(data) == 0);
    assert_eq!(chameleon::look(&host, "k")["count"], 2);
    assert_eq!(number(data, "SELECT count(*) FROM dead_letters"), 0);
    assert!(host.stop().success());
}

#[test]
fn a_timer_whose_turn_is_beyond_a_limit_is_decided_once_the_limit_is_raised() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let build = due("1.0.0", json!({"publish": {"event_type": "changed"}}));
    let host = start_due(data, &build).setting("turn.events", 0).start();
    set_later(&host, "k");
    until("it is parked", || {
        parked(data) == [["k", "output-too-large", "1"]]
    });
    assert!(host.stop().success());
    let host = start_due(data, &build).start();
    until("it fired", || timers(data) == 0);
    assert_eq!(chameleon::look(&host, "k")["count"], 1);
    assert_eq!(published(data, "changedTopic"), 1);
    assert!(host.stop().success());
}

#[test]
fn a_parked_timer_is_cancelled_and_reset_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start_due(data, &due("1.0.0", json!("trap"))).start();
    for key in ["a", "b", "c"] {
        set_later(&host, key);
    }
    until("they are parked", || parked(data).len() == 3);
    assert_eq!(
        host.send("chameleon", "DELETE", "/counters/a", "").status,
        200
    );
    assert_eq!(timers(data), 2, "cancelled");
    let tried = host.log().matches("a timer can't be decided").count();
    set_later(&host, "b");
    until("it was due once more", || {
        host.log().matches("a timer can't be decided").count() > tried
    });
    chameleon::swap(&host, &due("2.0.0", json!("look")));
    until("they fired", || timers(data) == 0);
    for (key, count) in [("a", Value::Null), ("b", json!(1)), ("c", json!(1))] {
        assert_eq!(chameleon::look(&host, key)["count"], count, "{key}");
    }
    assert!(host.stop().success());
}
