//! Rules that break (invariants 5 and 8): a turn that traps, overruns or answers nonsense costs itself
//! and nothing else, whether a client asked, a record came or a timer was due.

use serde_json::{Value, json};

use crate::expect::{broke, problem};
use crate::store_file::{self, publish, record, rows, until_consumed};
use crate::support::{Host, Response, Start};

/// Acts of mischief in a command, each with the fault that it must be.
const COMMANDS: [(&str, usize, &str); 32] = [
    ("trap", 0, "trap"),
    ("panic", 0, "trap"),
    ("recurse", 0, "trap"),
    ("sleep", 0, "trap"),
    ("spin", 0, "out-of-fuel"),
    ("allocate", 0, "out-of-memory"),
    ("big-reply", 1_048_575, "output-too-large"),
    ("big-reply", 5_000_000, "output-too-large"),
    ("big-state", 262_143, "output-too-large"),
    ("big-state", 5_000_000, "output-too-large"),
    ("big-event", 524_287, "output-too-large"),
    ("many-events", 65, "output-too-large"),
    ("many-events", 100_000, "output-too-large"),
    ("many-timers", 17, "output-too-large"),
    ("long-refusal", 1_048_577, "output-too-large"),
    ("long-key", 513, "bad-output"),
    ("long-key", 2_000_000, "bad-output"),
    ("empty-event-key", 0, "bad-output"),
    ("undeclared-event", 0, "bad-output"),
    ("undeclared-timer", 0, "bad-output"),
    ("cancel-undeclared-timer", 0, "bad-output"),
    ("reply-no-json", 0, "bad-output"),
    ("state-no-json", 0, "bad-output"),
    ("event-no-json", 0, "bad-output"),
    ("timer-no-json", 0, "bad-output"),
    ("no-reply", 0, "bad-output"),
    ("reply-misfit", 0, "bad-output"),
    ("state-misfit", 0, "bad-output"),
    ("event-misfit", 0, "bad-output"),
    ("timer-misfit", 0, "bad-output"),
    ("undeclared-refusal", 0, "bad-output"),
    ("many-events", 10_000_000, "out-of-memory"),
];

fn act(host: &Host, key: &str, body: &Value) -> Response {
    host.post("mischief", &format!("/acts/{key}"), body)
}

fn count(host: &Host, key: &str) -> u64 {
    let response = act(host, key, &json!({"do": "count"}));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["count"].as_u64().unwrap()
}

fn look(host: &Host, key: &str) -> u64 {
    host.get("mischief", &format!("/acts/{key}/look")).json()["count"]
        .as_u64()
        .unwrap()
}

#[test]
fn invariant_8_a_command_that_breaks_the_rules_costs_one_turn() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief", "booking"], data.path()).start();
    let put = host.send("booking", "PUT", "/rooms", r#"{"code":"A","seats":4}"#);
    assert_eq!(put.status, 201, "{}", put.text());
    let mut counted = 0;
    for (word, size, kind) in COMMANDS {
        let answer = act(&host, "k", &json!({"do": word, "size": size}));
        broke(&answer, kind);
        assert_eq!(look(&host, "k"), counted, "{word} changed the state");
        counted += 1;
        assert_eq!(count(&host, "k"), counted, "after {word}");
        assert_eq!(count(&host, "another"), counted, "after {word}");
        assert_eq!(host.get("booking", "/rooms/A").status, 200, "after {word}");
    }
    assert!(host.stop().success());
    // Two counts for each fault, and nothing of the faults: each count is a decision and an event.
    let whole = 2 * COMMANDS.len() as i64;
    let decided = "SELECT count(*) FROM journal JOIN generations g ON g.id = generation
                   JOIN participants p ON p.id = g.participant WHERE p.name = 'mischief'";
    assert_eq!(store_file::number(data.path(), decided), whole);
    assert_eq!(store_file::published(data.path(), "noiseTopic"), whole);
    assert!(rows(data.path(), "SELECT name FROM timers").is_empty());
}

#[test]
fn a_read_that_breaks_the_rules_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    assert_eq!(count(&host, "k"), 1);
    for (word, kind) in [
        ("count", "bad-output"),
        ("remove", "bad-output"),
        ("timer", "bad-output"),
        ("trap", "trap"),
    ] {
        let detail = broke(&host.get("mischief", &format!("/acts/k/{word}")), kind);
        assert!(
            kind != "bad-output" || detail.contains("a read answered with effects"),
            "{detail}"
        );
        assert_eq!(look(&host, "k"), 1, "after {word}");
    }
}

#[test]
fn the_text_of_a_trap_is_in_the_log_under_the_id_that_the_client_is_told() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    assert_eq!(count(&host, "k"), 1);
    for answer in [
        act(&host, "k", &json!({"do": "trap"})),
        host.get("mischief", "/acts/k/trap"),
    ] {
        let detail = broke(&answer, "trap");
        let told =
            "the rules broke and nothing was changed: trap: the host's log has the reason with id=";
        let id = detail.strip_prefix(told).unwrap();
        host.log_until(&format!("id={id}"));
        let log = host.log();
        let line = log.lines().find(|line| line.contains(id)).unwrap();
        assert!(line.contains("wasm"), "{line}");
    }
}

#[test]
fn refusals_and_undecided_messages_are_no_faults() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    assert_eq!(
        problem(&act(&host, "k", &json!({"do": "refuse"})), 409, "no"),
        "It was asked to refuse."
    );
    let later = act(&host, "k", &json!({"do": "retry-later"}));
    assert_eq!(problem(&later, 503, "try-later"), "it was asked to");
    assert_eq!(later.header("retry-after"), Some("1"));
    let malformed = act(&host, "k", &json!({"do": "malformed"}));
    assert_eq!(
        (malformed.status, malformed.json()["detail"].as_str()),
        (400, Some("it was asked to"))
    );
    let long = act(
        &host,
        "k",
        &json!({"do": "long-malformed", "size": 1_000_000}),
    );
    assert!(
        long.status == 400 && long.body.len() < 2_000,
        "{} {} bytes",
        long.status,
        long.body.len()
    );
    assert_eq!(count(&host, "k"), 1);
}

#[test]
fn the_wall_clock_ends_what_fuel_does_not_while_others_go_on() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief", "booking"], data.path())
        .setting("guest.fuel", i64::MAX)
        .setting("guest.deadline_ms", 3_000)
        .setting("instances", 1)
        .start();
    std::thread::scope(|scope| {
        let spinning = scope.spawn(|| act(&host, "k", &json!({"do": "spin"})));
        let put = host.send("booking", "PUT", "/rooms", r#"{"code":"A","seats":4}"#);
        assert_eq!(put.status, 201, "{}", put.text());
        assert!(!spinning.is_finished(), "booking was held up");
        let detail = broke(&spinning.join().unwrap(), "deadline");
        assert!(detail.contains("3000 ms"), "{detail}");
    });
    assert_eq!(count(&host, "k"), 1);
}

#[test]
fn resources_of_a_broken_turn_are_released() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path())
        .setting("guest.memory_bytes", 32 << 20)
        .start();
    let bombs = || {
        for word in ["allocate", "allocate", "big-reply", "trap"] {
            assert_eq!(
                act(&host, "k", &json!({"do": word, "size": 3_000_000})).status,
                500
            );
        }
    };
    (0..3).for_each(|_| bombs());
    let before = host.resident_memory();
    (0..15).for_each(|_| bombs());
    let after = host.resident_memory();
    assert!(
        after < before + (64 << 20),
        "grew from {before} to {after} bytes"
    );
    assert_eq!(count(&host, "k"), 1);
}

#[test]
fn a_record_that_breaks_the_rules_becomes_a_dead_letter() {
    let acts = [
        ("trap", 0, "trap"),
        ("panic", 0, "trap"),
        ("recurse", 0, "trap"),
        ("sleep", 0, "trap"),
        ("spin", 0, "out-of-fuel"),
        ("allocate", 0, "out-of-memory"),
        ("big-state", 300_000, "output-too-large"),
        ("big-event", 600_000, "output-too-large"),
        ("many-events", 65, "output-too-large"),
        ("many-timers", 17, "output-too-large"),
        ("long-key", 600, "bad-output"),
        ("undeclared-event", 0, "bad-output"),
        ("event-no-json", 0, "bad-output"),
        ("state-no-json", 0, "bad-output"),
        ("state-misfit", 0, "bad-output"),
        ("event-misfit", 0, "bad-output"),
        ("timer-misfit", 0, "bad-output"),
        ("malformed", 0, "malformed"),
        ("long-malformed", 1_000_000, "malformed"),
        ("no-such-act", 0, "malformed"),
    ];
    let data = tempfile::tempdir().unwrap();
    Start::new(&["mischief"], data.path()).run_once();
    let body = |word: &str, size: usize| json!({"key": "k", "do": word, "size": size}).to_string();
    let pairs = acts
        .iter()
        .flat_map(|(word, size, _)| [body(word, *size), body("count", 0)]);
    publish(
        data.path(),
        "mischiefTopic",
        &pairs.map(record).collect::<Vec<_>>(),
    );

    let host = Start::new(&["mischief", "booking"], data.path())
        .setting("retry.then", "skip")
        .start();
    until_consumed(data.path(), "mischiefTopic");
    assert_eq!(
        look(&host, "k"),
        acts.len() as u64,
        "every record after a broken one was decided"
    );
    assert_eq!(
        host.send("booking", "PUT", "/rooms", r#"{"code":"A","seats":4}"#)
            .status,
        201
    );
    assert!(host.stop().success());

    let letters = rows(
        data.path(),
        "SELECT offset, reason, detail, attempts FROM dead_letters ORDER BY offset",
    );
    let expected: Vec<_> = (0..)
        .step_by(2)
        .zip(acts)
        .map(|(offset, (_, _, kind))| (offset.to_string(), kind))
        .collect();
    let found: Vec<_> = letters
        .iter()
        .map(|letter| (letter[0].clone(), letter[1].as_str()))
        .collect();
    assert_eq!(found, expected);
    for letter in &letters {
        assert!(
            !letter[2].is_empty() && letter[2].len() < 2_000,
            "{} bytes of detail",
            letter[2].len()
        );
        assert_eq!(
            letter[3], "1",
            "the same input would break the rules again: {letter:?}"
        );
    }
    assert_eq!(
        store_file::published(data.path(), "mischiefTopic.mischief.dlq"),
        acts.len() as i64
    );
    assert_eq!(
        store_file::published(data.path(), "noiseTopic"),
        acts.len() as i64,
        "only the counts were heard"
    );
}

#[test]
fn a_record_that_overruns_the_wall_clock_is_tried_again_before_it_is_given_up() {
    let data = tempfile::tempdir().unwrap();
    Start::new(&["mischief"], data.path()).run_once();
    let spin = record(r#"{"key":"k","do":"spin"}"#);
    publish(
        data.path(),
        "mischiefTopic",
        &[spin, record(r#"{"key":"k","do":"count"}"#)],
    );
    let host = Start::new(&["mischief"], data.path())
        .setting("guest.fuel", i64::MAX)
        .setting("guest.deadline_ms", 500)
        .setting("retry.attempts", 3)
        .setting("retry.then", "skip")
        .setting("retry.first_delay_ms", 1)
        .start();
    until_consumed(data.path(), "mischiefTopic");
    assert_eq!(look(&host, "k"), 1);
    let letters = rows(data.path(), "SELECT reason, attempts FROM dead_letters");
    assert_eq!(letters, [["deadline", "3"]]);
}

#[test]
fn a_timer_that_breaks_the_rules_is_parked() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    let set = act(&host, "k", &json!({"do": "timer", "then": "trap"}));
    assert_eq!(set.status, 200, "{}", set.text());
    let parked = || {
        let parked =
            "SELECT name, key, body, reason, attempts FROM timers WHERE parked IS NOT NULL";
        rows(data.path(), parked)
    };
    crate::expect::until("the timer is parked", || !parked().is_empty());
    assert_eq!(
        parked(),
        [["mischief", "k", r#"{"do":"trap"}"#, "trap", "1"]]
    );
    assert!(rows(data.path(), "SELECT * FROM dead_letters").is_empty());
    assert!(
        host.log().contains("a timer can't be decided"),
        "{}",
        host.log()
    );
    // The next timer of the same key is none the worse for it.
    assert_eq!(act(&host, "k", &json!({"do": "timer"})).status, 200);
    host.get_until("mischief", "/acts/k/look", |response| {
        response.json()["count"] == 3
    });
}
