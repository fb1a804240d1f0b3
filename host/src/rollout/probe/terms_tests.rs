#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_core::message::Origin;
use saga_core::outcome::StateChange;
use serde_json::json;

use super::fake::*;
use super::*;

#[test]
fn allowed_failures_are_counted_and_reported() {
    let mut inputs = states(vec![
        json!({}),
        json!({"credit": 1}),
        json!({}),
        json!({}),
        json!({}),
    ]);
    let event = message(Origin::Event, "sold");
    inputs.recorded = vec![recorded(&event, Some(json!({})), &done(StateChange::Unchanged)); 5];
    let report = try_with(&needing(), Some(&rules()), Tolerance::Everything, &inputs).unwrap();
    assert_eq!(
        report.notes,
        [
            "of what it was tried on, 4 aggregates would be quarantined: can't read the state of k (version 1): missing field \
             `credit`",
            "of what it was tried on, 5 recorded events would become dead letters: can't decide on the recorded event m-1, \
             `sold` of aggregate k: trap: missing field `credit`",
        ]
    );
    // Without active rules to compare with, stored states must still be readable.
    let reasons = try_with(&needing(), None, Tolerance::AllButStates, &inputs).unwrap_err();
    assert!(
        reasons
            .iter()
            .all(|reason| reason.starts_with("can't read the state of k")),
        "{reasons:?}"
    );
    inputs.states.clear();
    try_with(&needing(), None, Tolerance::AllButStates, &inputs).unwrap();
}

#[test]
fn an_active_build_that_cannot_be_tried_does_not_stand_in_the_way() {
    let broken = Fake {
        is_broken: true,
        ..rules()
    };
    let report = try_on(&rules(), &broken, &states(vec![json!({})])).unwrap();
    assert_eq!(report.states, 1);
    let [note] = report.notes.as_slice() else {
        panic!("{:?}", report.notes);
    };
    assert!(
        note.starts_with(
            "the active build could not be tried beside it: an instance can't be created: "
        ),
        "{note}"
    );
    assert!(try_on(&broken, &rules(), &Inputs::default()).is_err());
}

#[test]
fn a_probe_ends_when_its_caller_has_gone() {
    let limits = TurnLimits::default();
    let looked = std::cell::Cell::new(0);
    let terms = Terms {
        limits: &limits,
        allowed: Tolerance::Nothing,
        is_over: &|| {
            looked.set(looked.get() + 1);
            looked.get() > 2
        },
    };
    let report = probe(
        &rules(),
        Some(&rules()),
        terms,
        &states(vec![json!({}); 10]),
    )
    .unwrap();
    assert_eq!(report.states, 2);
}

#[test]
fn a_large_state_that_loses_much_costs_the_active_build_one_call() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let forgetful = Fake {
        migrate: |_, _| Ok(json!({"items": vec![json!({}); 1_000]})),
        ..rules()
    };
    let active = Fake {
        migrate: |_, state| {
            CALLS.fetch_add(1, Ordering::Relaxed);
            Ok(state)
        },
        ..rules()
    };
    let inputs = states(vec![json!({"items": vec![json!({"price": 1}); 1_000]})]);
    let report = try_on(&forgetful, &active, &inputs).unwrap();
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    let [note] = report.notes.as_slice() else {
        panic!("{:?}", report.notes);
    };
    assert!(
        note.starts_with(
            "1 of 1 stored states that it was tried on lose /items/*/price, such as that of k"
        ),
        "{note}"
    );
}
