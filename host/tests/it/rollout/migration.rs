//! States whose shape changes with a swap: each is migrated when it is next read, in the transaction of the turn that
//! reads it; one that can't be migrated is put aside and costs no other aggregate anything.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, look, rollback, swap, told};
use crate::commands::{asks, call, json_of};
use crate::expect::{problem, until};
use crate::store_file::{execute, number, rows};
use crate::support::{Host, request};

/// A build whose states are of this version, and which migrates from version 1 on.
fn build(state_version: u32, migrate: Value) -> Chameleon {
    let command = |name: &str, method: &str, path: &str| json!({"name": name, "method": method, "path": path});
    Chameleon::new()
        .version(&format!("{state_version}.0.0"))
        .with(json!({
            "state": {"version": state_version, "oldest_readable": 1},
            "migrate": migrate,
            "commands": [
                command("count", "POST", "/counters/{key}"),
                json!({"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"}),
                command("refuse", "PUT", "/counters/{key}"),
                command("remove", "DELETE", "/counters/{key}"),
                command("tell", "POST", "/told/{key}"),
            ],
            "publications": [{"event_type": "counted", "topic": "chameleonTopic"}],
            "handle": {
                "refuse": {"refuse": "no"},
                "remove": "remove",
                "tell": {"publish": {"event_type": "counted", "body": {"key": "bad"}}},
            },
        }))
}

fn start(data: &Path) -> Host {
    let path = data.join("chameleon.wasm");
    if !path.exists() {
        build(1, json!("ok")).write(&path);
    }
    chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .start()
}

/// Revision, version of the shape and state of an aggregate, as they are stored.
fn stored(data: &Path, key: &str) -> (u64, u64, Value) {
    let query =
        format!("SELECT revision, state_version, state FROM aggregates WHERE key = '{key}'");
    let row = rows(data, &query).remove(0);
    let state = serde_json::from_str(&row[2]).unwrap();
    (row[0].parse().unwrap(), row[1].parse().unwrap(), state)
}

/// Checks what a swap says of the states that its build was tried on.
fn probed(applied: &Value, expected: &[(&str, u64)]) {
    for (what, number) in expected {
        assert_eq!(applied["probe"][what], *number, "{what}: {applied}");
    }
}

#[test]
fn a_state_is_migrated_in_the_turn_that_next_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data);
    for key in [
        "looked-at",
        "counted",
        "refused",
        "removed",
        "bad",
        "untouched",
    ] {
        count(&host, key);
    }
    let old = json!({"count": 1, "by": "1.0.0"});
    let new = json!({"count": 1, "by": "1.0.0", "migrated_from": 1});
    let applied = swap(&host, &build(2, json!("ok")));
    probed(&applied, &[("states", 6), ("states_not_read", 0)]);
    // A swap migrates nothing, and a read shows the new shape but writes nothing.
    assert_eq!(look(&host, "looked-at"), new);
    assert_eq!(look(&host, "looked-at"), new);
    assert_eq!(
        number(
            data,
            "SELECT count(*) FROM aggregates WHERE state_version <> 1"
        ),
        0
    );
    assert_eq!(stored(data, "looked-at"), (1, 1, old.clone()));

    // A turn that leaves the state as it is stores it in the new shape, which is no new revision.
    let refused = host.send("chameleon", "PUT", "/counters/refused", "");
    assert_eq!(problem(&refused, 409, "no"), "The settings say so.");
    assert_eq!(stored(data, "refused"), (1, 2, new.clone()));
    // So does an event, here on the key `bad`: it counts.
    assert_eq!(host.post("chameleon", "/told/any", &json!({})).status, 200);
    until("the event was decided", || stored(data, "bad").0 == 2);
    let counted = json!({"count": 2, "by": "2.0.0", "migrated_from": 1});
    assert_eq!(stored(data, "bad"), (2, 2, counted.clone()));
    assert_eq!(count(&host, "counted"), counted);
    assert_eq!(stored(data, "counted"), (2, 2, counted));
    let removed = host.send("chameleon", "DELETE", "/counters/removed", "");
    assert_eq!(removed.json(), new);
    assert_eq!(look(&host, "removed"), Value::Null);
    assert_eq!(stored(data, "untouched"), (1, 1, old.clone()));
    // What was recorded of the decisions is what the rules saw: the new shape.
    let saw = "SELECT state FROM journal WHERE key = 'counted' ORDER BY seq DESC LIMIT 1";
    assert_eq!(
        serde_json::from_str::<Value>(&rows(data, saw)[0][0]).unwrap(),
        new
    );

    // It is migrated once: a restart, and a third shape, go on from there.
    assert!(host.stop().success());
    let host = start(data);
    assert_eq!(look(&host, "refused"), new);
    swap(&host, &build(3, json!("ok")));
    let twice = json!({"count": 1, "by": "1.0.0", "migrated_from": 2});
    assert_eq!(look(&host, "refused"), twice);
    assert_eq!(look(&host, "untouched"), new);
    count(&host, "untouched");
    assert_eq!(stored(data, "untouched").1, 3);
    assert!(host.stop().success());
}

#[test]
fn a_build_can_be_rolled_back_unless_it_wrote_states() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data);
    count(&host, "k");
    let first = build(1, json!("ok"));
    let second = build(2, json!("ok"));
    swap(&host, &second);
    look(&host, "k");
    let back = json_of(&mut asks(data, &["rollback", "chameleon"]));
    assert_eq!(back["digest"], first.digest());
    assert_eq!(count(&host, "k"), json!({"count": 2, "by": "1.0.0"}));

    swap(&host, &second);
    let migrated = count(&host, "k");
    for arguments in [
        &["rollback", "chameleon"][..],
        &["rollback", "chameleon", &first.digest()[..12]],
    ] {
        let (code, out, err) = call(&mut asks(data, arguments));
        assert_eq!((code, out.as_str()), (65, ""), "{err}");
        assert!(
            err.contains(
                "reads states of version 1 only; the store holds states of chameleon of version 2;"
            ),
            "{err}"
        );
    }
    let told = told(&host);
    assert_eq!(told["active"], second.digest());
    assert_eq!(
        (&told["refused"][0]["way"], &told["refused"][0]["digest"]),
        (&json!("rollback"), &json!(first.digest()))
    );
    assert_eq!(look(&host, "k"), migrated);
    // Nor does the way through a start lead there.
    assert!(host.stop().success());
    first.write(&data.join("chameleon.wasm"));
    let (status, said) = chameleon::start(&data.join("chameleon.wasm"), data)
        .arguments(&["--apply"])
        .fail();
    assert_eq!(status.code(), Some(65), "{said}");
    assert!(said.contains("reads states of version 1 only"), "{said}");
    let host = start(data);
    assert_eq!(look(&host, "k"), migrated);
    // Once nothing of the new shape is left, it can be gone back.
    assert_eq!(
        host.send("chameleon", "DELETE", "/counters/k", "").status,
        200
    );
    assert_eq!(rollback(&host).status, 200);
    assert_eq!(count(&host, "k"), json!({"count": 1, "by": "1.0.0"}));
    assert!(host.stop().success());
}

/// A host of which the aggregate `bad` (count 3) can't be migrated by the active build, and others can. It was not tried
/// beforehand.
fn with_a_bad_one(data: &Path) -> Host {
    let path = data.join("chameleon.wasm");
    build(1, json!("ok")).write(&path);
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("reload.probe_inputs", 0)
        .start();
    for key in ["bad", "bad", "bad", "good", "other"] {
        count(&host, key);
    }
    let applied = swap(&host, &build(2, json!({"fail-if": {"count": 3}})));
    assert_eq!(applied["probe"]["states"], 0, "{applied}");
    assert_eq!(
        told(&host)["quarantine"]["count"],
        0,
        "nothing has asked for it yet"
    );
    host
}

#[test]
fn all_older_states_are_migrated_on_request_while_commands_go_on() {
    const STATES: i64 = 600;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data);
    for key in 0..STATES {
        count(&host, &key.to_string());
    }
    swap(&host, &build(2, json!("ok")));
    let older = "SELECT count(*) FROM aggregates WHERE state_version < 2";
    assert_eq!(number(data, older), STATES);
    let migrated = std::thread::scope(|scope| {
        let migrates = scope.spawn(|| json_of(&mut asks(data, &["migrate", "chameleon"])));
        for key in 0..STATES / 10 {
            let counted = count(&host, &(key * 10).to_string());
            assert_eq!(
                (&counted["count"], &counted["migrated_from"]),
                (&json!(2), &json!(1))
            );
        }
        migrates.join().unwrap()
    });
    assert_eq!(
        (&migrated["state_version"], &migrated["left"]),
        (&json!(2), &json!(0))
    );
    let by_request = migrated["migrated"].as_i64().unwrap();
    assert!(
        (STATES * 9 / 10..=STATES).contains(&by_request),
        "{migrated}"
    );
    // A migrated state is the same state: its revision stays.
    assert_eq!(number(data, older), 0);
    assert_eq!(
        number(data, "SELECT sum(revision) FROM aggregates"),
        STATES + STATES / 10
    );
    assert_eq!(
        look(&host, "1"),
        json!({"count": 1, "by": "1.0.0", "migrated_from": 1})
    );
    let (code, out, _) = call(&mut asks(data, &["migrate", "chameleon"]));
    let expected = "chameleon: 0 states migrated to version 2, 0 of older versions are left\n";
    assert_eq!((code, out.as_str()), (0, expected));
    assert!(host.stop().success());
}

#[test]
fn a_state_that_can_not_be_migrated_on_request_is_named_and_quarantined() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = with_a_bad_one(data);
    let (code, out, err) = call(&mut asks(data, &["migrate", "chameleon"]));
    assert_eq!((code, err.as_str()), (65, ""), "{out}");
    let says =
        "2 states migrated to version 2, 1 of older versions are left\n  bad can't be read: ";
    assert!(out.contains(says), "{out}");
    let (_, out, _) = call(&mut asks(data, &["quarantine", "list", "chameleon"]));
    assert!(
        out.starts_with("chameleon: 1 quarantined\n  bad since "),
        "{out}"
    );
    // Nothing has changed, so it stays quarantined.
    let release = ["quarantine", "release", "chameleon", "bad"];
    let as_ops = || {
        let mut command = asks(data, &release);
        command.env("USER", "ops");
        command
    };
    let (code, out, _) = call(&mut as_ops());
    assert_eq!(code, 65, "{out}");
    assert!(out.starts_with("bad: stays quarantined: "), "{out}");
    // Nobody is named: the user's number is.
    let mut nameless = asks(data, &release);
    call(nameless.env_remove("USER").env_remove("LOGNAME"));
    let (_, out, _) = call(&mut asks(data, &["quarantine", "list", "chameleon"]));
    let asked = "Z: uid ";
    assert!(
        out.lines()
            .any(|line| line.contains(asked) && line.contains("the release of bad: not released")),
        "{out}"
    );
    assert!(host.stop().success());

    // By hand, the state is made one that the rules can read.
    let repaired = "UPDATE aggregates SET state = '{\"count\":4}' WHERE key = 'bad'";
    assert_eq!(execute(data, repaired), 1);
    let host = start(data);
    let (_, out, _) = call(&mut asks(data, &["quarantine", "list", "chameleon"]));
    assert!(out.starts_with("chameleon: 1 quarantined\n"), "{out}");
    let (code, out, _) = call(&mut as_ops());
    assert_eq!(
        (code, out.as_str()),
        (0, "bad: released; its messages go on\n")
    );
    let (code, out, err) = call(&mut as_ops());
    assert_eq!((code, out.as_str()), (64, ""), "{err}");
    assert!(err.contains("bad of chameleon is not quarantined"), "{err}");
    let listed = json_of(&mut asks(data, &["quarantine", "list", "chameleon"]));
    assert_eq!(listed["count"], 0, "{listed}");
    let requests = listed["requests"].as_array().unwrap();
    let told: Vec<_> = (requests.iter())
        .map(|one| (&one["key"], &one["by"], &one["released"]))
        .collect();
    let (bad, by) = (json!("bad"), json!("ops"));
    assert_eq!(
        [told[0], told[2]],
        [(&bad, &by, &json!(true)), (&bad, &by, &json!(false))]
    );
    let (_, out, _) = call(&mut asks(data, &["quarantine", "list", "chameleon"]));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(
        lines[1].ends_with("Z: ops asked for the release of bad: released"),
        "{out}"
    );
    assert!(
        lines[3].contains("ops asked for the release of bad: not released: "),
        "{out}"
    );
    assert_eq!(count(&host, "bad")["count"], 5);
    assert!(host.stop().success());
}

#[test]
fn a_build_that_cannot_migrate_one_of_the_stored_states_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data);
    for key in ["bad", "bad", "bad", "good", "other"] {
        count(&host, key);
    }
    let refused = chameleon::apply(&host, &build(2, json!({"fail-if": {"count": 3}})));
    assert_eq!(refused.status, 422, "{}", refused.text());
    let reasons = refused.json()["reasons"].clone();
    assert_eq!(
        reasons[0],
        "can't read the state of bad (version 1): the settings refuse to migrate from version 1"
    );
    assert_eq!(count(&host, "bad"), json!({"count": 4, "by": "1.0.0"}));
    assert!(host.stop().success());
}

fn post(host: &Host, key: &str) -> crate::support::Response {
    host.post("chameleon", &format!("/counters/{key}"), &json!({}))
}

/// Keys in quarantine, as the list, the readiness and the reasons have them.
fn quarantined(host: &Host, data: &Path) -> Vec<String> {
    let listed = json_of(&mut asks(data, &["generations", "chameleon"]))["quarantine"].clone();
    let ready = request("GET", &format!("{}/readyz", host.admin()), &[], b"");
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.json()["participants"][0]["quarantined"],
        listed["count"]
    );
    let first = listed["first"].as_array().unwrap().iter();
    first
        .map(|aggregate| {
            let reason = aggregate["reason"].as_str().unwrap();
            assert!(
                reason.contains("the settings refuse to migrate from version 1"),
                "{reason}"
            );
            aggregate["key"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn a_state_that_cannot_be_migrated_costs_its_aggregate_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = with_a_bad_one(data);
    let detail = problem(&post(&host, "bad"), 503, "quarantined");
    assert!(detail.contains("the settings refuse"), "{detail}");
    assert_eq!(quarantined(&host, data), ["bad"]);
    let since = told(&host)["quarantine"]["first"][0]["since"].clone();
    problem(&host.get("chameleon", "/counters/bad"), 503, "quarantined");
    // Others go on, and the event for the bad one is parked.
    assert_eq!(count(&host, "good")["count"], 2);
    assert_eq!(host.post("chameleon", "/told/good", &json!({})).status, 200);
    let parked = "SELECT count(*) FROM parked WHERE key = 'bad'";
    until("the event is parked", || number(data, parked) == 1);
    let (first, second) = (
        build(1, json!("ok")),
        build(2, json!({"fail-if": {"count": 3}})),
    );
    assert_eq!(
        stored(data, "bad"),
        (3, 1, json!({"count": 3, "by": "1.0.0"})),
        "it is as it was"
    );
    assert_eq!(quarantined(&host, data), ["bad"]);
    assert_eq!(told(&host)["quarantine"]["first"][0]["since"], since);
    // One command, one read, one event.
    assert_eq!(chameleon::told_of(&host, &second)["faults"], 3);
    assert_eq!(chameleon::told_of(&host, &first)["faults"], 0);

    // It survives a restart, and a later build that can migrate it brings it back.
    assert!(host.stop().success());
    let host = start(data);
    problem(&post(&host, "bad"), 503, "quarantined");
    assert_eq!(count(&host, "other")["count"], 2);
    let applied = swap(&host, &build(3, json!("ok")));
    probed(&applied, &[("quarantined", 1), ("quarantined_read", 1)]);
    until("what was parked is decided", || number(data, parked) == 0);
    let counted = json!({"count": 5, "by": "3.0.0", "migrated_from": 1});
    assert_eq!(count(&host, "bad"), counted);
    assert_eq!(quarantined(&host, data), [""; 0]);
    assert!(host.stop().success());
}

#[test]
fn a_rollback_releases_aggregates_that_only_the_newer_build_could_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = with_a_bad_one(data);
    problem(&post(&host, "bad"), 503, "quarantined");
    assert_eq!(quarantined(&host, data), ["bad"]);
    assert_eq!(rollback(&host).status, 200);
    assert_eq!(count(&host, "bad"), json!({"count": 4, "by": "1.0.0"}));
    assert_eq!(quarantined(&host, data), [""; 0]);
    assert!(host.stop().success());
}

#[test]
fn a_migration_that_breaks_quarantines_its_aggregate() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let path = data.join("chameleon.wasm");
    build(1, json!("ok")).write(&path);
    // Without a probe, which would have found it.
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("reload.probe_inputs", 0)
        .start();
    let count_of = |host: &Host| count(host, "bad")["count"].as_u64().unwrap();
    let mut counted = count_of(&host);
    for (act, kind) in [
        ("trap", "trap"),
        ("garbage", "bad-output"),
        ("spin", "out-of-fuel"),
    ] {
        let breaking = build(2, json!(act));
        swap(&host, &breaking);
        let detail = problem(&post(&host, "bad"), 503, "quarantined");
        assert!(
            detail.contains(&format!("nothing was changed: {kind}: ")),
            "{detail}"
        );
        assert_eq!(stored(data, "bad").1, 1, "{act}");
        // A key without a state needs no migration.
        assert_eq!(
            host.send("chameleon", "DELETE", "/counters/none", "")
                .status,
            200
        );
        let told = told(&host);
        assert_eq!(told["quarantine"]["first"][0]["key"], "bad", "{told}");
        assert_eq!(chameleon::told_of(&host, &breaking)["faults"], 1);
        assert_eq!(rollback(&host).status, 200);
        counted += 1;
        assert_eq!(count_of(&host), counted, "{act}");
    }
    assert!(host.stop().success());
}
