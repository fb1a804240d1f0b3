//! A record that the rules want to be given later: what waits with it, what is let through, and for how long.

use std::path::Path;

use serde_json::json;

use crate::chameleon::{self, Chameleon, look};
use crate::commands::call;
use crate::expect::until;
use crate::exposition::scrape;
use crate::store_file::{self, Foreign, number, publish, rows, until_consumed};
use crate::support::{Host, Start};

/// Longer than any test.
const AGES: u64 = 3_600_000;

/// Counts events, but not those of an aggregate that is paused.
fn build() -> Chameleon {
    let command = |name: &str, method: &str| json!({"name": name, "method": method, "path": "/counters/{key}"});
    Chameleon::new().with(json!({
        "commands": [
            command("pause", "POST"),
            command("resume", "DELETE"),
            command("touch", "PATCH"),
            json!({"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"}),
            command("set", "PUT"),
        ],
        "handle": {
            "pause": {"set": ["paused", true]},
            "resume": {"set": ["paused", false]},
            "touch": {"set": ["touched", true]},
            "set": {"set-timer": {"name": "later", "after_ms": 1}},
            "counted": [{"if-state": [{"paused": true}, {"retry-later": "paused"}]}, {"count": 1}],
        },
    }))
}

fn start(data: &Path) -> Start {
    let path = data.join("chameleon.wasm");
    if !path.exists() {
        build().write(&path);
    }
    chameleon::start(&path, data).setting("reload.watch_ms", 0)
}

fn event(key: &str, number: u64) -> Foreign {
    let body = json!({"key": key, "number": number});
    store_file::record(body.to_string()).of_type("counted")
}

fn ask(host: &Host, method: &str, key: &str) {
    let asked = host.send("chameleon", method, &format!("/counters/{key}"), "");
    assert_eq!(asked.status, 200, "{}", asked.text());
}

/// A store in which the aggregate `k` is paused, and these events wait.
fn prepare(data: &Path, events: &[Foreign]) {
    let host = start(data).start();
    ask(&host, "POST", "k");
    assert!(host.stop().success());
    publish(data, "chameleonTopic", events);
}

/// Names and numbers of the messages that were decided for the aggregate.
fn decided(data: &Path) -> Vec<String> {
    rows(
        data,
        "SELECT json_extract(message, '$.name') || coalesce(' ' || json_extract(json_extract(message, '$.body'), '$.number'), '')
         FROM journal WHERE key = 'k' ORDER BY seq",
    )
    .concat()
}

fn retries(host: &Host) -> f64 {
    let labels = [("origin", "event"), ("outcome", "retry")];
    scrape(host).sum("saga_turns_total", &labels)
}

/// A host to be started on one event that waits, and is offered again by itself only after ages.
fn waiting_for_ages(data: &Path) -> Start {
    prepare(data, &[event("k", 1)]);
    start(data)
        .setting("retry.first_delay_ms", AGES)
        .setting("retry.max_delay_ms", AGES)
}

#[test]
fn a_command_passes_waiting_messages_which_are_then_retried_at_once() {
    // In the store; and in memory, where there is no room in the store. None of them is tried again by itself.
    for (room, stored) in [(1 << 20, 3), (1, 0)] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        let events = [1, 2, 3].map(|number| event("k", number));
        prepare(data, &[&events[..], &[event("other", 1)]].concat());
        let host = start(data)
            .setting("retry.first_delay_ms", AGES)
            .setting("retry.max_delay_ms", AGES)
            .setting("parked.bytes", room)
            .start();
        until("the first was tried", || retries(&host) > 0.0);
        until("all three came", || look(&host, "other")["count"] == 1);
        let parked = || number(data, "SELECT count(*) FROM parked");
        until("all three are parked that may be", || parked() == stored);
        // A timer of the aggregate keeps its place, behind the records that came before it.
        ask(&host, "PUT", "k");
        if stored > 0 {
            until("the timer is parked, too", || parked() == stored + 1);
        }
        ask(&host, "PATCH", "k");
        ask(&host, "DELETE", "k");
        until("all are decided", || look(&host, "k")["count"] == 4);
        until_consumed(data, "chameleonTopic");
        assert!(host.stop().success());
        let expected = [
            "pause",
            "set",
            "touch",
            "resume",
            "counted 1",
            "counted 2",
            "counted 3",
            "later",
        ];
        assert_eq!(decided(data), expected, "{room}");
        assert_eq!(number(data, "SELECT count(*) FROM dead_letters"), 0);
    }
}

#[test]
fn a_timer_without_room_behind_waiting_messages_still_comes_after_them() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = waiting_for_ages(data)
        .setting("parked.aggregate_messages", 1)
        .start();
    until("the record is parked", || {
        number(data, "SELECT count(*) FROM parked") == 1
    });
    ask(&host, "PUT", "k");
    host.log_until("no further message of this aggregate can be parked");
    ask(&host, "DELETE", "k");
    until("both are decided", || look(&host, "k")["count"] == 2);
    assert_eq!(
        decided(data),
        ["pause", "set", "resume", "counted 1", "later"]
    );
    assert!(host.stop().success());
}

#[test]
fn an_attempt_that_a_command_triggers_is_not_counted() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = waiting_for_ages(data).setting("retry.attempts", 2).start();
    until("it was tried", || retries(&host) == 1.0);
    for tried in 2..8 {
        ask(&host, "PATCH", "k");
        until("it was tried again", || retries(&host) == f64::from(tried));
    }
    ask(&host, "DELETE", "k");
    until("it is decided", || look(&host, "k")["count"] == 1);
    assert_eq!(number(data, "SELECT count(*) FROM dead_letters"), 0);
    assert!(host.stop().success());
}

#[test]
fn a_long_wait_does_not_stop_the_partition() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    // More than may be in flight of one partition.
    let others = (0..3_000).map(|number| event(&format!("other-{number}"), number));
    let events: Vec<_> = [event("k", 1)].into_iter().chain(others).collect();
    prepare(data, &events);
    let host = start(data)
        .setting("retry.first_delay_ms", AGES)
        .setting("retry.max_delay_ms", AGES)
        .start();
    until_consumed(data, "chameleonTopic");
    assert_eq!(number(data, "SELECT count(*) FROM aggregates"), 3_001);
    assert_eq!(scrape(&host).one("saga_parked_messages", &[]), 1.0);
    // It is offered again at the next start, too.
    host.kill();
    let host = start(data).start();
    until("it was tried", || retries(&host) > 0.0);
    ask(&host, "DELETE", "k");
    until("it is decided", || look(&host, "k")["count"] == 1);
    assert_eq!(decided(data), ["pause", "resume", "counted 1"]);
    assert!(host.stop().success());
}

#[test]
fn a_record_is_given_up_when_its_attempts_or_its_time_are_over() {
    for (settings, attempts) in [
        (
            &[("retry.attempts", 3), ("retry.first_delay_ms", 1)][..],
            "3",
        ),
        (
            &[("retry.seconds", 3), ("retry.first_delay_ms", 1_000)][..],
            "3",
        ),
        // Those of the participant go before those of all.
        (
            &[
                ("participants.chameleon.retry.attempts", 1),
                ("retry.attempts", 50),
            ][..],
            "1",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        prepare(data, &[event("k", 1), event("k", 2)]);
        let mut start = start(data).setting("retry.then", "skip");
        for (setting, value) in settings {
            start = start.setting(setting, value);
        }
        let host = start.start();
        until("both are given up", || {
            number(data, "SELECT count(*) FROM dead_letters") == 2
        });
        let letters = rows(
            data,
            "SELECT reason, detail, attempts FROM dead_letters ORDER BY id",
        );
        assert_eq!(
            letters[0],
            ["retries-exhausted", "paused", attempts],
            "{settings:?}"
        );
        assert_eq!(number(data, "SELECT count(*) FROM parked"), 0);
        until_consumed(data, "chameleonTopic");
        assert!(host.stop().success());
    }
}

#[test]
fn the_retry_settings_of_a_participant_are_printed_and_checked() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("saga.toml");
    let write = |retry: &str| {
        let text = format!(
            "[retry]\nattempts = 7\n[participants.order]\ncomponent = \"order.wasm\"\n{retry}"
        );
        std::fs::write(&file, text).unwrap();
    };
    let config = || {
        let mut command = crate::support::saga();
        command.arg("config").arg("--config").arg(&file);
        call(&mut command)
    };
    write("[participants.order.retry]\nseconds = 86400\n");
    let (code, out, err) = config();
    assert_eq!(code, 0, "{err}");
    let section = out.split("[participants.order.retry]").nth(1).unwrap();
    assert!(
        section.contains("attempts = 7\n") && section.contains("seconds = 86400\n"),
        "{out}"
    );
    write("[participants.order.retry]\nseconds = 0\nattempts = 0\nfor_ever = true\n");
    let (code, _, err) = config();
    assert_eq!(code, 64, "{err}");
    for said in [
        "participants.order.retry.seconds",
        "participants.order.retry.attempts",
        "participants.order.retry.for_ever",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }
}
