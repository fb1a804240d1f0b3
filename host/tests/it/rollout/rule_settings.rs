//! Settings of rules: an operator gives them, and a change of them is a swap.

use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, look, swap};
use crate::commands::{asks, call, fails, json_of};
use crate::expect::problem;
use crate::support::{Host, Start, request, saga};

const PATIENCE: &str = "participants.chameleon.rules.patience";

/// A build with the setting `patience`, 3 by default, whose `look` tells the settings.
fn patient(version: &str) -> Chameleon {
    let schema = json!({"type": "object", "properties": {
        "patience": {"type": "integer", "minimum": 1},
    }});
    Chameleon::new().version(version).with(json!({
        "settings": {"schema": schema, "default": {"patience": 3}},
        "handle": {"look": "tell"},
    }))
}

fn start(data: &Path) -> Start {
    let path = data.join("chameleon.wasm");
    if !path.exists() {
        patient("1.0.0").write(&path);
    }
    chameleon::start_unwatched(data)
}

/// The settings that the rules see.
fn settings(host: &Host) -> Value {
    look(host, "k")["settings"].clone()
}

fn generations(host: &Host) -> Vec<Value> {
    let told = chameleon::told(host);
    told["generations"].as_array().unwrap().clone()
}

#[test]
fn a_change_of_settings_is_a_recorded_swap_that_can_be_rolled_back() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data).start();
    assert_eq!(settings(&host), json!({"patience": 3}));
    let set = ["apply", "chameleon", "--set", "patience=9"];
    let dry = json_of(asks(data, &set).arg("--dry-run"));
    assert_eq!(
        (&dry["changed"], &dry["settings"]),
        (&json!(false), &json!({"patience": 9}))
    );
    assert_eq!(settings(&host), json!({"patience": 3}));

    let (code, out, err) = call(&mut asks(data, &set));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains(" with patience = 9 is active, was "), "{out}");
    assert_eq!(settings(&host), json!({"patience": 9}));
    let (_, again, _) = call(&mut asks(data, &set));
    assert!(again.contains("was active already"), "{again}");
    // Both generations have one component, and digests of their own.
    let now = generations(&host);
    assert_eq!(
        (now[0]["component"].clone(), now.len()),
        (now[1]["component"].clone(), 2)
    );
    assert_ne!(now[0]["digest"], now[1]["digest"]);
    assert_eq!(now[0]["settings"], json!({"patience": 9}));
    let (_, table, _) = call(&mut asks(data, &["generations"]));
    assert!(table.contains(": patience = 9\n"), "{table}");

    assert_eq!(chameleon::rollback(&host).status, 200);
    assert_eq!(settings(&host), json!({"patience": 3}));
    let digest = now[0]["digest"].as_str().unwrap();
    json_of(&mut asks(data, &["rollback", "chameleon", digest]));
    assert_eq!(settings(&host), json!({"patience": 9}));
    json_of(&mut asks(
        data,
        &["apply", "chameleon", "--unset", "patience"],
    ));
    assert_eq!(settings(&host), json!({"patience": 3}));
    assert!(host.stop().success());
}

#[test]
fn a_number_that_rules_can_not_be_given_is_refused_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let schema = json!({"type": "object", "properties": {
        "rate": {"type": "number", "format": "double"},
        "most": {"type": "integer", "format": "uint64", "minimum": 0},
    }});
    let build = Chameleon::new().with(json!({
        "settings": {"schema": schema, "default": {"rate": 1.5, "most": 3}},
        "handle": {"look": "tell"},
    }));
    build.write(&data.join("chameleon.wasm"));
    let host = start(data).start();
    json_of(&mut asks(
        data,
        &["apply", "chameleon", "--set", "rate=2.5"],
    ));
    for (value, says) in [
        (
            "rate=nan",
            "--set rate: `nan` is not a value that JSON has: true or false, a finite number",
        ),
        ("rate=-inf", "a finite number"),
        ("rate=1e400", "is not of type \"number\""),
        ("most=[1, nan]", "a finite number"),
        ("rate=nano", "is not of type \"number\""),
    ] {
        let (code, err) = fails(&mut asks(data, &["apply", "chameleon", "--set", value]));
        assert_eq!((code, err.contains(says)), (65, true), "{value}: {err}");
    }
    let url = format!("{}/participants/chameleon/settings", host.admin());
    for (patch, word, says) in [
        (
            r#"{"rate":1e400}"#,
            "component-refused",
            "setting `rate`: 1e+400 is out of range: give a number from -1.79",
        ),
        (
            r#"{"most":18446744073709551616}"#,
            "component-refused",
            "setting `most`: 18446744073709551616 is out of range: give a whole number from 0 to 18446744073709551615",
        ),
        (
            r#"{"most":1,"most":2}"#,
            "bad-json",
            "the body has two members named `most`",
        ),
    ] {
        let answer = request("PATCH", &url, &[], patch.as_bytes());
        let status = if word == "bad-json" { 400 } else { 422 };
        let detail = problem(&answer, status, word);
        assert!(detail.contains(says), "{patch}: {detail}");
    }
    assert_eq!(settings(&host), json!({"rate": 2.5, "most": 3}));
    let zero = request("PATCH", &url, &[], br#"{"most":-0}"#);
    assert_eq!(zero.status, 200, "{}", zero.text());
    assert_eq!(settings(&host), json!({"rate": 2.5, "most": 0}));
    assert!(host.stop().success());

    let (status, log) = start(data)
        .setting("participants.chameleon.rules.rate", "inf")
        .fail();
    let says = "`inf` is not a value that JSON has";
    assert!(
        status.code() == Some(64) && log.contains(says),
        "{status} {log}"
    );
    let file = data.join("nan.toml");
    std::fs::write(&file, "[participants.chameleon.rules]\nrate = nan\n").unwrap();
    let (code, err) = fails(saga().args(["config", "--config"]).arg(&file));
    let says = "participants.chameleon.rules.rate: `nan` is not a value that JSON has";
    assert_eq!((code, err.contains(says)), (64, true), "{err}");
}

#[test]
fn settings_stay_when_the_component_is_swapped_and_when_the_host_is_restarted() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    // Those of the configuration are the first ones.
    let configured = start(data).setting(PATIENCE, 5);
    let host = configured.start();
    assert_eq!(settings(&host), json!({"patience": 5}));
    json_of(&mut asks(
        data,
        &["apply", "chameleon", "--set", "patience=9"],
    ));
    swap(&host, &patient("1.1.0"));
    assert_eq!(settings(&host), json!({"patience": 9}));
    assert!(host.stop().success());

    let host = configured.start();
    assert_eq!(settings(&host), json!({"patience": 9}));
    host.log_until("the settings of the rules are not those that were active last");
    assert!(host.stop().success());
    // `--apply` takes the configured component and the configured settings.
    let host = configured.arguments(&["--apply"]).start();
    assert_eq!(settings(&host), json!({"patience": 5}));
    assert!(host.stop().success());
}

#[test]
fn component_and_settings_can_be_swapped_together() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data).setting(PATIENCE, 5).start();
    let path = data.join("other.wasm");
    let other = path.to_str().unwrap();
    // This build has no settings, so it can't have the active ones.
    Chameleon::new().version("2.0.0").write(&path);
    let (code, err) = fails(&mut asks(data, &["apply", "chameleon", other]));
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("takes no settings"), "{err}");
    let unset = ["apply", "chameleon", other, "--unset", "patience"];
    json_of(&mut asks(data, &unset));
    patient("3.0.0").write(&path);
    json_of(&mut asks(
        data,
        &["apply", "chameleon", other, "--set", "patience=7"],
    ));
    assert_eq!(settings(&host), json!({"patience": 7}));
    assert!(host.stop().success());
}

#[test]
fn a_setting_that_the_rules_do_not_have_or_take_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data).start();
    for (set, says) in [
        ("patients=9", "has no setting `patients`, only `patience`"),
        (
            "patience=0",
            "setting `patience`: 0 is less than the minimum of 1",
        ),
        (
            "patience=soon",
            "setting `patience`: \"soon\" is not of type",
        ),
    ] {
        let (code, err) = fails(&mut asks(data, &["apply", "chameleon", "--set", set]));
        assert_eq!(code, 65, "{err}");
        assert!(err.contains(says), "{err}");
        let path = data.join("chameleon.wasm");
        let verify = ["verify", path.to_str().unwrap(), "--set", set];
        let (code, err) = fails(&mut asks(data, &verify));
        assert_eq!(code, 65, "{err}");
        assert!(err.contains(says), "{err}");
    }
    assert_eq!(generations(&host).len(), 1);
    assert!(host.stop().success());

    let fresh = tempfile::tempdir().unwrap();
    let (status, err) = start(fresh.path()).setting(PATIENCE, 0).fail();
    assert_eq!(status.code(), Some(65), "{err}");
    assert!(err.contains("0 is less than the minimum of 1"), "{err}");
}

#[test]
fn another_participants_component_is_refused_for_its_name_and_not_for_the_settings() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = start(data).setting(PATIENCE, 9).start();
    let other = Chameleon::new().with(json!({"name": "lizard"}));
    let refused = chameleon::apply(&host, &other);
    assert_eq!(refused.status, 422, "{}", refused.text());
    let refused = refused.json();
    assert_eq!(refused["check"], "compatibility", "{refused}");
    let reason = refused["reasons"][0].as_str().unwrap();
    assert!(reason.contains("lizard"), "{refused}");
    // Of the participant, the setting is the reason.
    let without = Chameleon::new().version("2.0.0");
    let refused = chameleon::apply(&host, &without).json();
    assert_eq!(refused["check"], "settings", "{refused}");
    assert_eq!(settings(&host), json!({"patience": 9}));
    assert!(host.stop().success());
}
