//! Rules that are no function of their input are refused, whatever the active rules do.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_core::message::Origin;
use saga_core::outcome::{Outcome, StateChange};
use serde_json::json;

use super::fake::*;
use super::*;

const PREFIX: &str = "it is not a function of its input: on ";

/// A recorded command of these rules.
fn command(digest: &str) -> Inputs {
    let outcome = done(StateChange::Unchanged);
    Inputs {
        recorded: vec![Recorded {
            digest: digest.into(),
            ..recorded(&message(Origin::Command, "set"), None, &outcome)
        }],
        ..Inputs::default()
    }
}

fn keeping(keeps: Keeps) -> Fake {
    Fake { keeps, ..rules() }
}

#[test]
fn one_input_shows_a_decision_on_what_an_instance_keeps() {
    let (reply, inputs) = (keeping(Keeps::InReply), command("other"));
    let said = reason(&reply, &rules(), &inputs);
    let expected = "the command m-1, `set` of aggregate k, reply /done: 1 on an instance that had been called before, 0 on a fresh one; ";
    assert!(said.starts_with(&format!("{PREFIX}{expected}")), "{said}");
    // Active rules that are no better are no excuse.
    assert_eq!(reason(&reply, &reply, &inputs), said);
    let allowed = try_with(&reply, None, Tolerance::Everything, &inputs).unwrap();
    let note = "of what it was tried on, 1 inputs have results that differ from call to call: it is not a function";
    assert!(
        allowed.notes.iter().any(|one| one.starts_with(note)),
        "{:?}",
        allowed.notes
    );
}

#[test]
fn a_state_that_is_read_otherwise_each_time_is_a_reason() {
    let inputs = states(vec![json!({"calls": 0})]);
    let said = reason(&keeping(Keeps::InState), &rules(), &inputs);
    assert!(
        said.starts_with(&format!("{PREFIX}a state of version 1, state /calls: ")),
        "{said}"
    );
}

#[test]
fn an_instance_that_breaks_at_first_is_a_reason_and_one_that_breaks_later_is_renewed() {
    // No instance is called again after it broke, so the one call shows it.
    let said = reason(&keeping(Keeps::TrapsFirst), &rules(), &command("other"));
    assert!(
        said.contains("can't decide on the recorded command"),
        "{said}"
    );
    // Leftovers of earlier calls are charged to none.
    try_on(&keeping(Keeps::TrapsLater), &rules(), &command("other")).unwrap();
}

#[test]
fn json_of_the_same_value_is_no_difference() {
    let inputs = states(vec![json!({"a": 1, "b": 2})]);
    try_on(&keeping(Keeps::InOrder), &rules(), &inputs).unwrap();
}

#[test]
fn the_same_rules_must_decide_as_they_did_before() {
    let changed = |digest: &str, version| {
        let mut inputs = command(digest);
        let outcome = Outcome {
            reply: Some(saga_core::outcome::Reply::Done("7".into())),
            ..done(StateChange::Unchanged).unwrap()
        };
        inputs.recorded[0].outcome = outcome;
        inputs.recorded[0].state_version = version;
        inputs
    };
    let said = reason(&rules(), &rules(), &changed("fake", 1));
    let expected = "the command m-1, `set` of aggregate k, reply /done: 7 was decided by the same rules before, 1 now; ";
    assert!(said.starts_with(&format!("{PREFIX}{expected}")), "{said}");
    // Other rules, or other settings of these, may decide otherwise.
    let report = try_on(&rules(), &rules(), &changed("other", 1)).unwrap();
    assert_eq!(report.decided_otherwise, 1);
    let report = try_on(&rules(), &rules(), &command("fake")).unwrap();
    assert_eq!((report.inputs, report.decided_otherwise), (1, 0));
}
