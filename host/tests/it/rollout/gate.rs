//! The gate: rules that change recorded decisions are refused until an operator acknowledges exactly these changes.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, is_active, told, told_of};
use crate::commands::{asks, call, fails, json_of};
use crate::expect::until;
use crate::support::{Host, Start, request};

/// Rules whose `count` refuses an aggregate that has this count. The version is written into states.
fn limited(limit: i64) -> Chameleon {
    Chameleon::new().with(json!({"handle": {"count": [
        {"count": 1}, {"publish": {"event_type": "changed"}},
        {"if-state": [{"count": limit}, {"set": ["full", true]}]},
    ]}}))
}

fn start(data: &Path, build: &Chameleon) -> Start {
    let path = data.join("chameleon.wasm");
    build.write(&path);
    chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("rollout.gate", "replay")
}

/// A host with a gate that has counted each of these keys as often.
fn counted(data: &Path, keys: &[(&str, usize)]) -> Host {
    let host = start(data, &limited(5)).start();
    count_all(&host, keys);
    host
}

fn count_all(host: &Host, keys: &[(&str, usize)]) {
    for (key, times) in keys {
        for _ in 0..*times {
            count(host, key);
        }
    }
}

fn written(data: &Path, name: &str, build: &Chameleon) -> String {
    let path = data.join(name);
    build.write(&path);
    path.to_str().unwrap().to_owned()
}

/// The refusal of a candidate, as the admin interface says it.
fn refused(host: &Host, build: &Chameleon) -> Value {
    let response = chameleon::apply(host, build);
    assert_eq!(response.status, 422, "{}", response.text());
    let refused = response.json();
    assert_eq!(refused["check"], "replay", "{refused}");
    refused
}

fn change_set(refused: &Value) -> String {
    refused["gate"]["change_set"].as_str().unwrap().to_owned()
}

#[test]
fn a_candidate_that_changes_decisions_is_refused_until_exactly_its_changes_are_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &[("a", 5), ("b", 2), ("c", 3), ("d", 7)]);
    let (three, two) = (limited(3), limited(2));
    let path = written(data, "three.wasm", &three);
    let (code, err) = fails(&mut asks(data, &["apply", "chameleon", &path]));
    assert_eq!(code, 65, "{err}");
    let gate = &told(&host)["refused"][0]["gate"];
    let hash = gate["change_set"].as_str().unwrap();
    for line in [
        "refused (replay): 17 recorded decisions were replayed: 5 change, 0 fail; 0 have no baseline\n",
        &format!("refused (replay): the change set is {hash}\n"),
        "refused (replay): state /full: nothing -> true: 3\n",
        "refused (replay): state /full: true -> nothing: 2\n",
        &format!("refused (replay): --acknowledge={hash} takes it all the same\n"),
    ] {
        assert!(err.contains(line), "{line:?} is not in\n{err}");
    }
    assert!(is_active(&host, &limited(5)));
    // What another candidate changes is another set.
    let other = change_set(&refused(&host, &two));
    assert_ne!(other, hash);
    let acknowledging = |hash: &str| {
        let flag = format!("--acknowledge={hash}");
        call(asks(data, &["apply", "chameleon", &path, &flag]).env("USER", "ann"))
    };
    let (code, _, err) = acknowledging(&other);
    let says = format!("the change set is {hash}, not the acknowledged one, {other}");
    assert_eq!(code, 65);
    assert!(err.contains(&says), "{err}");
    // The host goes on deciding. What changes in the same ways is known.
    count_all(&host, &[("e", 3)]);
    let (code, out, err) = acknowledging(hash);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let line = format!(
        "17 recorded decisions were replayed: 5 change, 0 fail; 0 have no baseline; acknowledged by ann: change set \
         {hash}; of 3 later ones 1 change in the same ways, 0 fail\n"
    );
    assert!(out.contains(&line), "{line:?} is not in\n{out}");
    assert!(
        out.contains("\nchange: other decisions, same contract\n"),
        "{out}"
    );
    assert!(is_active(&host, &three));
    let change = told_of(&host, &three)["change"].clone();
    assert_eq!(
        (
            &change["class"],
            &change["gate"]["acknowledged_by"],
            &change["gate"]["changed"]
        ),
        (
            &json!({"decisions": "other", "contract": "same"}),
            &json!("ann"),
            &json!(5)
        ),
        "{change}"
    );
    assert!(host.stop().success());
    let (_, out, _) = call(&mut asks(data, &["generations", "chameleon"]));
    assert!(
        out.contains(&line) && out.contains(": other decisions, same contract\n"),
        "{out}"
    );
}

#[test]
fn the_name_of_the_token_is_recorded_with_what_it_acknowledges() {
    let directory = tempfile::tempdir().unwrap();
    let (data, token) = (directory.path(), directory.path().join("token"));
    std::fs::write(&token, "the-token-of-alice").unwrap();
    let token = token.to_str().unwrap();
    let start = start(data, &limited(5));
    let host = start.setting("admin.tokens.alice", token).start();
    count_all(&host, &[("a", 5)]);
    let three = limited(3);
    let path = written(data, "three.wasm", &three);
    let command = |more: &[&str]| {
        let mut arguments = vec!["apply", "chameleon", &path, "--token-file", token];
        arguments.extend(more);
        call(asks(data, &arguments).env("USER", "ann"))
    };
    let (code, _, err) = command(&[]);
    assert_eq!(code, 65, "{err}");
    let (_, hash) = err.split_once("--acknowledge=").unwrap();
    let flag = format!("--acknowledge={}", hash.split_whitespace().next().unwrap());
    let (code, out, err) = command(&[&flag]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("; acknowledged by alice: change set "),
        "{out}"
    );
    assert!(host.stop().success());
    let (_, out, _) = call(&mut asks(data, &["generations", "chameleon"]));
    assert!(
        out.contains("; acknowledged by alice: change set "),
        "{out}"
    );
}

#[test]
fn later_decisions_that_change_in_another_way_are_not_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &[("a", 4)]);
    let three = limited(3);
    let hash = change_set(&refused(&host, &three));
    // The fifth count is the first that is full no more.
    count(&host, "a");
    let url = format!(
        "{}/participants/chameleon/component?acknowledge={hash}",
        host.admin()
    );
    let response = request("PUT", &url, &[], &three.bytes());
    assert_eq!(response.status, 422, "{}", response.text());
    let next = change_set(&response.json());
    assert_ne!(next, hash);
    let url = url.replace(&hash, &next);
    let response = request("PUT", &url, &[], &three.bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    // Whoever asks without a name is the admin interface's user.
    assert_eq!(response.json()["gate"]["acknowledged_by"], "admin");
    assert!(host.stop().success());
}

#[test]
fn a_candidate_that_decides_the_same_passes_and_its_class_is_told() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &[("a", 3)]);
    let more = limited(5).with(json!({
        "publications": [{"event_type": "changed", "topic": "changedTopic"}, {"event_type": "more", "topic": "chameleonTopic"}],
    }));
    let path = written(data, "more.wasm", &more);
    let tried = ["apply", "chameleon", &path, "--dry-run"];
    let applied = ["apply", "chameleon", &path];
    for arguments in [&tried[..], &applied] {
        let told = json_of(&mut asks(data, arguments));
        assert_eq!(
            told["class"],
            json!({"decisions": "same", "contract": "compatible"}),
            "{told}"
        );
        let gate = &told["gate"];
        assert_eq!(
            (&gate["replayed"], &gate["changed"]),
            (&json!(3), &json!(0))
        );
    }
    // A rollback passes, and says why.
    let (code, out, err) = call(&mut asks(data, &["rollback", "chameleon"]));
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("a rollback passes the gate without a replay"),
        "{out}"
    );
    assert!(
        out.contains("\nchange: decisions not replayed, contract compatible\n"),
        "{out}"
    );
    assert!(host.stop().success());
}

#[test]
fn without_a_gate_nothing_is_replayed() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = chameleon::serve(data, &limited(5));
    count_all(&host, &[("a", 3)]);
    let swapped = chameleon::swap(&host, &limited(3));
    assert_eq!(swapped["gate"], Value::Null);
    assert_eq!(
        swapped["class"],
        json!({"decisions": "not-replayed", "contract": "same"})
    );
    assert!(host.stop().success());
}

#[test]
fn a_file_and_a_start_pass_through_the_gate_too() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let file = data.join("chameleon.wasm");
    let host = start(data, &limited(5))
        .setting("reload.watch_ms", 50)
        .start();
    count_all(&host, &[("a", 3)]);
    limited(3).write(&file);
    until("the file was refused", || {
        told(&host)["refused"][0]["check"] == "replay"
    });
    let hash = told(&host)["refused"][0]["gate"]["change_set"].clone();
    let hash = hash.as_str().unwrap();
    host.log_until(&format!(
        "saga apply --acknowledge={hash} chameleon {}",
        file.display()
    ));
    assert!(is_active(&host, &limited(5)));
    assert!(host.stop().success());
    let (status, err) = start(data, &limited(3)).arguments(&["--apply"]).fail();
    assert_eq!(status.code(), Some(65), "{err}");
    let advice =
        format!("start without --apply, and take it with `saga apply --acknowledge={hash}`");
    assert!(err.contains(&advice), "{err}");
}

#[test]
fn only_the_latest_decisions_are_replayed() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data, &limited(5))
        .setting("rollout.gate_decisions", 2)
        .start();
    count_all(&host, &[("a", 3), ("b", 2)]);
    let swapped = chameleon::swap(&host, &limited(3));
    assert_eq!(swapped["gate"]["replayed"], 2, "{swapped}");
    assert!(host.stop().success());
}

#[test]
fn faults_are_changes_and_a_hash_is_a_hash() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = counted(data, &[("a", 4)]);
    let breaks = Chameleon::new().with(json!({"handle": {"count": [
        {"if-state": [{"count": 2}, "trap"]}, {"count": 1}, {"publish": {"event_type": "changed"}},
    ]}}));
    let url = format!(
        "{}/participants/chameleon/component?allow-breaking=true",
        host.admin()
    );
    let response = request("PUT", &url, &[], &breaks.bytes());
    assert_eq!(response.status, 422, "{}", response.text());
    let refused = response.json();
    let gate = &refused["gate"];
    assert_eq!((&gate["changed"], &gate["faults"]), (&json!(0), &json!(1)));
    assert_eq!(gate["changes"][0]["what"], "fault trap", "{refused}");
    let path = written(data, "breaks.wasm", &breaks);
    let (code, err) = fails(&mut asks(
        data,
        &["apply", "chameleon", &path, "--acknowledge", "abc"],
    ));
    assert_eq!(code, 64);
    assert!(err.contains("64 hexadecimal digits"), "{err}");
    assert!(host.stop().success());
}
