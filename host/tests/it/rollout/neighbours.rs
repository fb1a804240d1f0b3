//! A build beside other participants that are known: those of a store on which it never ran, and those that publish what it
//! takes.

use serde_json::json;

use crate::commands::{asks, json_of};
use crate::rollout::shapes::{Files, listener, object, teller, verify};

#[test]
fn a_participant_that_never_ran_on_a_store_is_compared_with_those_that_do() {
    let files = Files::new();
    let host = files.understanding();
    let third = listener("1.0.0", "told", "sum").with(json!({"name": "third"}));
    let (path, data) = (
        files.write("third.wasm", &third),
        files.data().to_str().unwrap(),
    );
    let (code, _, err) = verify(&[&path, "--data", data]);
    assert_eq!(code, 65, "{err}");
    let says =
        "event `told`: /sum is required by this build but not published by participant chameleon";
    assert!(err.contains(says), "{err}");
    let (code, out, err) = verify(&[&path, "--data", data, "--allow-breaking"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains(&format!("note: {says}")), "{out}");
    assert!(out.contains("note: third never ran on "), "{out}");
    // So it is with one that is given instead.
    let other = files.write("other.wasm", &teller("2.0.0", "told", "sum"));
    let (code, out, err) = verify(&[&path, "--data", data, "--with", &other]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(host.stop().success());
}

#[test]
fn a_subscriber_may_accept_less_if_it_accepts_all_published_events() {
    let files = Files::new();
    let listening = |version: &str, kind: &str| {
        let members = json!({"key": {"type": "string"}, "amount": {"type": kind}});
        let schema = object(members, &["amount"]);
        listener(version, "told", "amount").with(json!({"subscriptions": [
            {"event_type": "told", "topic": "tales", "group": "listener", "schema": schema},
        ]}))
    };
    files.write("chameleon.wasm", &teller("1.0.0", "told", "amount"));
    files.write("listener.wasm", &listening("1.0.0", "number"));
    let host = files.start().start();
    let path = files.write("listener.wasm", &listening("2.0.0", "integer"));
    let note = "the participants that are known to publish it publish none such";
    let applied = json_of(&mut asks(
        files.data(),
        &["apply", "listener", &path, "--dry-run"],
    ));
    assert!(applied["notes"].to_string().contains(note), "{applied}");
    assert!(host.stop().success());
    // A start takes it too.
    let host = files.start().arguments(&["--apply"]).start();
    assert!(host.log().contains(note), "{}", host.log());
    assert!(host.stop().success());
    // Nobody is known to publish it: anybody may.
    let before = files.write("before.wasm", &listening("1.0.0", "number"));
    let (code, _, err) = verify(&[&path, "--against", &before]);
    assert_eq!(code, 65, "{err}");
}
