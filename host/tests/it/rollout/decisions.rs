//! Differences between recorded decisions and those of a candidate are listed, and can fail a build.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count, swap};
use crate::commands::{asks, call, fails, json_of};
use crate::support::{Host, saga};

/// Rules whose `count` sets a member of the state to this and publishes the state.
fn setting(version: u32, name: &str, value: &str) -> Chameleon {
    Chameleon::new().version(&format!("{version}.0.0")).with(json!({
        "state": {"version": version, "oldest_readable": 1},
        "migrate": {"rename": {"amount": "total"}},
        "handle": {"count": [{"set": [name, value]}, {"publish": {"event_type": "changed", "body": {"n": value}}}]},
    }))
}

/// A host whose rules have set `amount` of so many aggregates, each twice.
fn start(data: &Path, aggregates: u32) -> Host {
    let path = data.join("first.wasm");
    setting(1, "amount", "1").write(&path);
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .start();
    for key in 0..aggregates {
        count(&host, &key.to_string());
        count(&host, &key.to_string());
    }
    host
}

fn verify<'a>(path: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["verify", path], more].concat()
}

fn written(data: &Path, name: &str, build: &Chameleon) -> String {
    let path = data.join(name);
    build.write(&path);
    path.to_str().unwrap().to_owned()
}

#[test]
fn after_a_migration_only_what_was_decided_otherwise_differs() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data, 3);
    let same = written(data, "same.wasm", &setting(2, "total", "1"));
    // The reply is the state as the rules have it, with the member's new name.
    let verified = json_of(&mut asks(data, &verify(&same, &[])));
    let probe = &verified["probe"];
    assert_eq!(
        (&probe["inputs"], &probe["states"]),
        (&json!(6), &json!(3)),
        "{probe}"
    );
    let places: Vec<_> = (probe["differences"].as_array().unwrap().iter())
        .flat_map(|difference| difference["parts"].as_array().unwrap())
        .map(|part| {
            (
                part["what"].as_str().unwrap(),
                part["pointer"].as_str().unwrap(),
            )
        })
        .collect();
    assert!(!places.is_empty(), "{probe}");
    assert!(
        places.iter().all(|(what, _)| *what == "reply"),
        "the states and events are the same: {probe}"
    );

    let silent = |build: Chameleon, value: &str| {
        let name = if value == "amount" { "amount" } else { "total" };
        build.with(json!({"handle": {"count": [
            {"set": [name, "1"]}, {"publish": {"event_type": "changed", "body": {"n": "1"}}}, {"reply": true},
        ]}}))
    };
    swap(
        &host,
        &silent(setting(1, "amount", "1").version("1.1.0"), "amount"),
    );
    for key in ["a", "a", "b"] {
        count(&host, key);
    }
    let silently = written(
        data,
        "silently.wasm",
        &silent(setting(2, "total", "1"), "total"),
    );
    let verified = json_of(&mut asks(data, &verify(&silently, &[])));
    let probe = &verified["probe"];
    assert_eq!(probe["inputs"], 9, "{probe}");
    // Those of before the swap were answered otherwise; of the three since then nothing differs.
    assert_eq!(probe["decided_otherwise"], 6, "{probe}");
    assert!(host.stop().success());
}

#[test]
fn a_difference_names_its_place_and_both_values() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data, 1);
    let path = written(data, "other.wasm", &setting(2, "total", "2"));
    let (code, out, err) = call(&mut asks(data, &verify(&path, &[])));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains("; 2 of 2 recorded inputs decided differently; 1 of 1 stored states read\n"),
        "{out}"
    );
    for line in [
        "count for 0 (",
        "\n  state /total: \"1\", would be \"2\"\n",
        "\n  event 1 `changed` /body/n: \"1\", would be \"2\"\n",
        "\n  reply /done/amount: \"1\", would be missing\n",
        "\n  reply /done/total: would be \"2\"\n",
    ] {
        assert!(out.contains(line), "{line:?} is not in\n{out}");
    }
    assert!(out.lines().all(|line| line.len() < 200), "{out}");
    let verified = json_of(&mut asks(data, &verify(&path, &[])));
    let difference = &verified["probe"]["differences"][1];
    assert_eq!(
        difference["parts"][0],
        json!({"what": "state", "pointer": "/total", "decided": "1", "would_decide": "2"}),
        "{difference}"
    );
    let outcome =
        |name: &str| -> Value { serde_json::from_str(difference[name].as_str().unwrap()).unwrap() };
    assert_eq!(outcome("decided")["state"]["put"], r#"{"amount":"1"}"#);
    assert_eq!(outcome("would_decide")["state"]["put"], r#"{"total":"2"}"#);
    assert!(host.stop().success());
}

#[test]
fn verify_fails_if_more_decisions_differ_than_allowed() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data, 1);
    let same = written(
        data,
        "same.wasm",
        &setting(1, "amount", "1").version("1.0.1"),
    );
    let other = written(data, "other.wasm", &setting(1, "amount", "2"));
    for (path, option, code) in [
        (&same, "--fail-on-changed", 0),
        (&other, "--fail-on-changed", 65),
        (&other, "--fail-on-changed=1", 65),
        (&other, "--fail-on-changed=2", 0),
        (&other, "--fail-on-changed=3", 0),
    ] {
        for more in [&[option][..], &[option, "--json"]] {
            let (ended, out, err) = call(&mut asks(data, &verify(path, more)));
            assert_eq!(ended, code, "{option}: {out}{err}");
            let most = option.strip_prefix("--fail-on-changed=").unwrap_or("0");
            let said = format!(
                "saga: 2 of 2 recorded inputs decided differently, and --fail-on-changed allows {most}\n"
            );
            assert_eq!(err, if code == 0 { String::new() } else { said });
            // What differs is printed all the same.
            assert_eq!(out.contains("/amount"), path == &other, "{out}");
        }
    }
    // Without a store there is nothing that could have changed.
    let (code, err) = fails(saga().args(verify(&same, &["--fail-on-changed"])));
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("--data"), "{err}");
    assert!(host.stop().success());
}
