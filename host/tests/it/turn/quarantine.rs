//! An aggregate whose state can't be read costs itself and no other: its events and timers are parked in their order, and
//! decided, each once, as soon as there are rules that can read the state.

use std::path::Path;

use serde_json::json;

use crate::chameleon::{self, Chameleon, count, look, swap, told};
use crate::expect::{broke, problem, until};
use crate::exposition::scrape;
use crate::preload::CRASH_POINT;
use crate::store_file::damage;
use crate::store_file::{self, Foreign, execute, number, publish, rows, until_consumed};
use crate::support::{Host, Start, request};

/// A build that can't read a state without this member.
fn needs(member: &str) -> Chameleon {
    Chameleon::new().with(json!({
        "state": {"version": 1, "needs": [member]},
        "commands": [
            {"name": "count", "method": "POST", "path": "/counters/{key}"},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
            {"name": "set", "method": "PUT", "path": "/counters/{key}"},
        ],
        "handle": {
            "counted": [{"if-body": [{"poison": true}, "trap"]}, {"count": 1}],
            "set": [{"set-timer": {"name": "later", "after_ms": 1}}, {"count": 1}],
        },
    }))
}

/// A build that reads every state.
fn reads_all() -> Chameleon {
    needs("by").version("2.0.0")
}

fn start(data: &Path) -> Start {
    let path = data.join("chameleon.wasm");
    if !path.exists() {
        needs("count").write(&path);
    }
    chameleon::start(&path, data).setting("reload.watch_ms", 0)
}

/// The event of this number, for this aggregate.
fn event(key: &str, number: u64) -> Foreign {
    let body = json!({"key": key, "number": number});
    store_file::record(body.to_string())
        .of_type("counted")
        .id(&format!("{key}-{number}"))
}

/// A store in which the state of `bad` can't be read by the active build, and events of `bad` (1, 2) and `good` wait.
fn prepare(data: &Path) {
    let host = start(data).start();
    for key in ["bad", "good"] {
        count(&host, key);
    }
    assert!(host.stop().success());
    spoil(data);
    let events = [
        event("bad", 1),
        event("good", 1),
        event("bad", 2),
        event("good", 2),
    ];
    publish(data, "chameleonTopic", &events);
}

fn spoil(data: &Path) {
    let spoilt = "UPDATE aggregates SET state = '{\"by\":\"?\"}' WHERE key = 'bad'";
    assert_eq!(execute(data, spoilt), 1);
}

/// The messages that were decided for an aggregate, by what tells them apart.
fn decided(data: &Path, key: &str) -> Vec<String> {
    let query = format!(
        "SELECT json_extract(message, '$.name') || coalesce(' ' || json_extract(json_extract(message, '$.body'), '$.number'), '')
         FROM journal WHERE key = '{key}' ORDER BY seq"
    );
    rows(data, &query).concat()
}

fn parked(data: &Path) -> i64 {
    number(data, "SELECT count(*) FROM parked")
}

fn until_drained(data: &Path) {
    until("nothing is parked", || parked(data) == 0);
}

/// A host that has quarantined `bad`, with both of its events parked.
fn quarantined(data: &Path) -> Host {
    prepare(data);
    let host = start(data).start();
    until_consumed(data, "chameleonTopic");
    host
}

#[test]
fn messages_of_an_aggregate_whose_state_cannot_be_read_are_parked_and_decided_in_order_by_rules_that_can()
 {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = quarantined(data);
    assert_eq!(parked(data), 2);
    assert_eq!(look(&host, "good")["count"], 3, "others go on");
    assert_eq!(number(data, "SELECT count(*) FROM dead_letters"), 0);
    // Clients are told what it is.
    let asked = host.post("chameleon", "/counters/bad", &json!({}));
    let detail = problem(&asked, 503, "quarantined");
    assert!(detail.contains("missing field `count`"), "{detail}");
    assert_eq!(asked.header("retry-after"), Some("60"));
    problem(&host.get("chameleon", "/counters/bad"), 503, "quarantined");
    // So are operators.
    let overview = told(&host);
    assert_eq!(
        overview["quarantine"]["first"][0]["key"], "bad",
        "{overview}"
    );
    assert_eq!(overview["parked"]["messages"], 2, "{overview}");
    let ready = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    let participant = ready.json()["participants"][0].clone();
    assert_eq!(
        (&participant["quarantined"], &participant["parked"]),
        (&json!(1), &json!(2))
    );
    let figures = scrape(&host);
    assert_eq!(figures.one("saga_parked_messages", &[]), 2.0);
    assert!(figures.one("saga_parked_bytes", &[]) > 50.0);
    let turns = [("origin", "event"), ("outcome", "parked")];
    assert_eq!(figures.sum("saga_turns_total", &turns), 2.0);
    let log = host.log();
    assert_eq!(
        log.matches("an aggregate is quarantined").count(),
        1,
        "{log}"
    );

    swap(&host, &reads_all());
    until_drained(data);
    assert_eq!(count(&host, "bad"), json!({"by": "2.0.0", "count": 3}));
    assert_eq!(
        decided(data, "bad"),
        ["count", "counted 1", "counted 2", "count"]
    );
    assert_eq!(told(&host)["quarantine"]["count"], 0);
    assert_eq!(scrape(&host).one("saga_parked_messages", &[]), 0.0);
    assert!(host.stop().success());
}

#[test]
fn parked_messages_survive_a_restart_and_precede_newer_ones() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = quarantined(data);
    host.kill();
    publish(data, "chameleonTopic", &[event("bad", 3)]);
    let host = start(data).start();
    until_consumed(data, "chameleonTopic");
    assert_eq!(parked(data), 3);
    assert!(host.stop().success());
    // The state is put right by hand.
    execute(
        data,
        "UPDATE aggregates SET state = '{\"count\":1}' WHERE key = 'bad'",
    );
    publish(data, "chameleonTopic", &[event("bad", 4)]);
    let host = start(data).start();
    until_consumed(data, "chameleonTopic");
    until_drained(data);
    assert_eq!(look(&host, "bad")["count"], 5);
    assert!(host.stop().success());
    let expected = ["count", "counted 1", "counted 2", "counted 3", "counted 4"];
    assert_eq!(decided(data, "bad"), expected);
    assert_eq!(number(data, "SELECT count(*) FROM quarantine"), 0);
}

#[test]
fn invariant_3_a_parked_event_that_comes_again_is_a_duplicate() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = quarantined(data);
    assert!(host.stop().success());
    // Published once more, and the same partition read from its beginning, as by a store that lost its offsets.
    publish(data, "chameleonTopic", &[event("bad", 1)]);
    execute(data, "UPDATE offsets SET next_offset = 0");
    let host = start(data).start();
    until_consumed(data, "chameleonTopic");
    assert_eq!(parked(data), 2);
    swap(&host, &reads_all());
    until_drained(data);
    assert!(host.stop().success());
    publish(data, "chameleonTopic", &[event("bad", 2)]);
    execute(data, "UPDATE offsets SET next_offset = 0");
    let host = start(data).start();
    until_consumed(data, "chameleonTopic");
    assert_eq!(decided(data, "bad"), ["count", "counted 1", "counted 2"]);
    assert!(host.stop().success());
}

#[test]
fn a_timer_of_a_quarantined_aggregate_keeps_its_place_among_its_events() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data).start();
    for key in ["bad", "anew"] {
        let set = host.send("chameleon", "PUT", &format!("/counters/{key}"), "");
        assert_eq!(set.status, 200, "{}", set.text());
    }
    until("the timers fired", || {
        number(data, "SELECT count(*) FROM timers") == 0
    });
    assert!(host.stop().success());
    let timer = |key: &str, due: i64| {
        format!(
            "INSERT OR REPLACE INTO timers (participant, key, name, due, body, set_by, correlation)
             VALUES (1, '{key}', 'later', {due}, 'null', 'x', 'y')"
        )
    };
    execute(data, "UPDATE aggregates SET state = '{\"by\":\"?\"}'");
    publish(data, "chameleonTopic", &[event("bad", 1), event("anew", 1)]);
    let host = start(data).start();
    until_consumed(data, "chameleonTopic");
    assert!(host.stop().success());
    // Due now, that is after the first event of each and before the second.
    execute(data, &timer("bad", 1));
    execute(data, &timer("anew", 1));
    let host = start(data).start();
    until("both timers are parked", || parked(data) == 4);
    assert!(host.stop().success());
    // This one is set anew meanwhile, to a time that does not come.
    execute(data, &timer("anew", 9_000_000_000_000));
    publish(data, "chameleonTopic", &[event("bad", 2), event("anew", 2)]);
    let host = start(data).start();
    until_consumed(data, "chameleonTopic");
    assert_eq!(scrape(&host).one("saga_parked_timers", &[]), 1.0);
    swap(&host, &reads_all());
    until_drained(data);
    assert!(host.stop().success());
    assert_eq!(
        decided(data, "bad"),
        ["set", "later", "counted 1", "later", "counted 2"]
    );
    assert_eq!(
        decided(data, "anew"),
        ["set", "later", "counted 1", "counted 2"]
    );
    let left = rows(data, "SELECT key, parked FROM timers");
    assert_eq!(left, [["anew", "NULL"]]);
}

#[test]
fn a_message_that_breaks_the_rules_on_a_readable_state_is_a_dead_letter() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data).setting("retry.then", "skip").start();
    count(&host, "k");
    assert!(host.stop().success());
    let poison = store_file::record(r#"{"key":"k","poison":true}"#).of_type("counted");
    publish(data, "chameleonTopic", &[poison.clone(), event("k", 1)]);
    let host = start(data).setting("retry.then", "skip").start();
    until_consumed(data, "chameleonTopic");
    assert_eq!(look(&host, "k")["count"], 2);
    assert_eq!(rows(data, "SELECT reason FROM dead_letters"), [["trap"]]);
    assert_eq!(number(data, "SELECT count(*) FROM quarantine"), 0);
    assert!(host.stop().success());
    // So is one that was parked, once the state can be read; what comes after it is decided.
    execute(data, "UPDATE aggregates SET state = '{\"by\":\"?\"}'");
    publish(
        data,
        "chameleonTopic",
        &[event("k", 2), poison.id("p"), event("k", 3)],
    );
    let host = start(data).setting("retry.then", "skip").start();
    until_consumed(data, "chameleonTopic");
    assert_eq!(parked(data), 3);
    swap(&host, &reads_all());
    until_drained(data);
    let letters = rows(
        data,
        "SELECT reason, offset, digest FROM dead_letters ORDER BY id",
    );
    assert_eq!(
        letters[1],
        ["trap".to_owned(), "3".to_owned(), reads_all().digest()]
    );
    assert_eq!(
        decided(data, "k"),
        ["count", "counted 1", "counted 2", "counted 3"]
    );
    // It can be published anew, as any dead letter can.
    assert_eq!(number(data, "SELECT count(*) FROM inbox WHERE id = 'p'"), 0);
    assert!(host.stop().success());
}

#[test]
fn invariant_9_beyond_what_may_be_parked_messages_become_dead_letters_and_it_is_said_once() {
    let (all, one) = (
        "no further message can be parked",
        "no further message of this aggregate can be parked",
    );
    for (setting, value, said) in [
        ("parked.aggregate_messages", 2, one),
        ("parked.messages", 2, all),
        ("parked.bytes", 60, all),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        prepare(data);
        publish(data, "chameleonTopic", &[event("bad", 3), event("bad", 4)]);
        let host = start(data).setting(setting, value).start();
        until_consumed(data, "chameleonTopic");
        assert_eq!(parked(data), 2, "{setting}");
        let letters = rows(
            data,
            "SELECT reason, offset, detail FROM dead_letters ORDER BY id",
        );
        assert_eq!(letters.len(), 2, "{letters:?}");
        assert_eq!(letters[0][..2], ["parking-full", "4"]);
        assert!(
            letters[0][2].contains("raise parked.messages"),
            "{letters:?}"
        );
        let reason = [("reason", "parking-full")];
        assert_eq!(scrape(&host).one("saga_dead_letters_total", &reason), 2.0);
        let log = host.log();
        let warned: Vec<_> = (log.lines())
            .filter(|line| line.contains("no further message"))
            .collect();
        assert_eq!(warned.len(), 1, "{log}");
        assert!(
            warned[0].contains(said)
                && warned[0].contains(setting)
                && warned[0].contains("key=\"bad\""),
            "{warned:?}"
        );
        assert_eq!(look(&host, "good")["count"], 3);
        swap(&host, &reads_all());
        until_drained(data);
        assert_eq!(decided(data, "bad"), ["count", "counted 1", "counted 2"]);
        assert!(host.stop().success());
    }
}

#[test]
fn rules_that_take_no_such_event_any_more_leave_it_parked() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = quarantined(data);
    let other = reads_all().with(json!({"subscriptions": []}));
    let refused = chameleon::apply(&host, &other);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(
        refused.text().contains("2 such events are parked"),
        "{}",
        refused.text()
    );
    let url = format!(
        "{}/participants/chameleon/component?drop-used=true",
        host.admin()
    );
    let dropped = request("PUT", &url, &[], &other.bytes());
    assert_eq!(dropped.status, 200, "{}", dropped.text());
    assert_eq!(count(&host, "bad")["count"], 1);
    assert_eq!(parked(data), 2);
    swap(&host, &reads_all());
    until_drained(data);
    assert_eq!(
        decided(data, "bad"),
        ["count", "count", "counted 1", "counted 2"]
    );
    assert!(host.stop().success());
}

#[test]
fn a_fault_on_a_command_is_told_from_a_state_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    needs("count")
        .with(
            json!({"handle": {"count": {"count": 1}, "set": "trap", "look": {"malformed": "no"}}}),
        )
        .write(&path);
    let host = start(data).start();
    count(&host, "k");
    broke(&host.send("chameleon", "PUT", "/counters/k", ""), "trap");
    problem(&host.get("chameleon", "/counters/k"), 400, "malformed");
    assert_eq!(told(&host)["quarantine"]["count"], 0);
    assert!(host.stop().success());
    execute(data, "UPDATE aggregates SET state = '{}'");
    let host = start(data).start();
    problem(
        &host.send("chameleon", "PUT", "/counters/k", ""),
        503,
        "quarantined",
    );
    problem(&host.get("chameleon", "/counters/k"), 503, "quarantined");
    assert_eq!(told(&host)["quarantine"]["count"], 1);
    assert!(host.stop().success());
}

/// Every how many steps there is a crash.
const STRIDE: u64 = 5;

/// A life of a host on this store: it parks what it finds, swaps to rules that read everything, decides, ends; it is killed
/// before this step of writing, if it comes to it. Says whether it came to its end.
fn life(data: &Path, step: Option<u64>, power: bool) -> bool {
    let mut command = start(data).setting("instances", 2).program();
    if let Some(step) = step {
        command
            .env("LD_PRELOAD", &*CRASH_POINT)
            .env("CRASH_AT", step.to_string());
        if power {
            command.env("CRASH_POWER", "1");
        }
    }
    let Ok(host) = Host::try_from_command(command, data) else {
        return false;
    };
    let url = format!("{}/participants/chameleon/component", host.admin());
    let is_alive = |host: &Host| {
        let ready = format!("{}/readyz", host.admin());
        crate::support::try_request("GET", &ready, &[], b"").is_ok()
    };
    let consumed = "SELECT sum(next_offset) FROM offsets WHERE consumer GLOB 'log:*'";
    let mut has_died = false;
    until("all is consumed, or it was killed", || {
        has_died = !is_alive(&host);
        has_died || rows(data, consumed)[0][0] == "5"
    });
    if has_died {
        return false;
    }
    let bytes = reads_all().bytes();
    if crate::support::try_request("PUT", &url, &[], &bytes).is_err() {
        return false;
    }
    until("nothing is parked, or it was killed", || {
        has_died = !is_alive(&host);
        has_died || parked(data) == 0
    });
    if has_died {
        return false;
    }
    host.stop().success()
}

/// Copies a data directory, but for the cache of compiled code.
fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let kind = file.file_type().unwrap();
        let to = to.join(file.file_name());
        if kind.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&file.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(file.path(), to).unwrap();
        }
    }
}

fn every_step(power: bool) {
    let prepared = tempfile::tempdir().unwrap();
    prepare(prepared.path());
    publish(prepared.path(), "chameleonTopic", &[event("bad", 3)]);
    let mut step = 1 + u64::from(std::process::id()) % STRIDE;
    loop {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        copy(prepared.path(), data);
        let finished = life(data, Some(step), power);
        assert!(finished || life(data, None, false), "step {step}");
        let expected = ["count", "counted 1", "counted 2", "counted 3"];
        assert_eq!(decided(data, "bad"), expected, "step {step}, power {power}");
        assert_eq!(
            decided(data, "good"),
            ["count", "counted 1", "counted 2"],
            "step {step}"
        );
        let left = "SELECT (SELECT count(*) FROM quarantine), (SELECT count(*) FROM dead_letters)";
        assert_eq!(rows(data, left), [["0", "0"]], "step {step}");
        if finished {
            assert!(step > 20, "the library saw {step} steps only");
            return;
        }
        step += STRIDE;
        assert!(step < 2_000, "the life never came to its end");
    }
}

#[test]
fn invariants_1_to_4_what_is_parked_survives_kill_9_before_any_write() {
    every_step(false);
}

#[test]
fn invariants_1_to_4_what_is_parked_survives_a_power_loss_before_any_write() {
    every_step(true);
}

#[test]
fn a_damaged_table_of_parked_messages_is_named_once() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    prepare(data);
    let events: Vec<_> = (3..200).map(|number| event("bad", number)).collect();
    publish(data, "chameleonTopic", &events);
    let host = start(data).start();
    until_consumed(data, "chameleonTopic");
    assert!(host.stop().success());
    damage(data, "parked");
    let damaged = "the store is damaged (parked messages can't be read)";
    let log = match Host::try_from_command(start(data).program(), data) {
        Ok(host) => {
            host.log_until(damaged);
            let ready = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
            assert_eq!(ready.status, 503, "{}", ready.text());
            let log = host.log();
            assert!(host.stop().success());
            log
        }
        // They are offered at once: the start itself may meet the damage.
        Err(log) => log,
    };
    assert!(log.contains(damaged), "{log}");
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
}

#[test]
fn a_timer_of_a_quarantined_aggregate_without_room_is_parked_by_itself_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = quarantined(data);
    assert!(host.stop().success());
    execute(
        data,
        "INSERT INTO timers (participant, key, name, due, body, set_by, correlation)
         VALUES (1, 'bad', 'later', 1, 'null', 'x', 'y')",
    );
    let host = start(data).setting("parked.aggregate_messages", 2).start();
    host.log_until("a timer can't be decided; it is parked");
    until("the timer is parked", || {
        number(data, "SELECT count(*) FROM timers WHERE parked IS NOT NULL") == 1
    });
    assert_eq!(parked(data), 2);
    swap(&host, &reads_all());
    until_drained(data);
    until("the timer is decided", || {
        number(data, "SELECT count(*) FROM timers") == 0
    });
    assert!(host.stop().success());
}
