#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_core::message::Origin;
use saga_core::outcome::{Disposition, Event, Outcome, StateChange};
use saga_core::record::{Attributes, Position};
use serde_json::json;

use super::fake::*;
use super::*;
use crate::store::read::StoredTimer;

#[test]
fn a_state_that_only_the_candidate_cannot_read_is_a_reason_that_names_it() {
    let inputs = states(vec![json!({"limit": 5})]);
    assert_eq!(
        reason(&needing(), &rules(), &inputs),
        "can't read the state of k (version 1): missing field `credit`"
    );
    // The same without active rules to compare with.
    let alone = try_with(&needing(), None, Tolerance::Nothing, &inputs);
    assert!(alone.is_err());
    let report = try_on(&needing(), &rules(), &states(vec![json!({"credit": 5})])).unwrap();
    assert_eq!(
        (report.states, report.states_not_read, report.notes.len()),
        (1, 0, 0)
    );
}

#[test]
fn failures_that_the_active_build_has_too_are_notes_and_not_reasons() {
    let inputs = states(vec![json!({"limit": 5}), json!({"credit": 5}), json!({})]);
    let report = try_on(&needing(), &needing(), &inputs).unwrap();
    assert_eq!((report.states, report.states_not_read), (3, 2));
    assert_eq!(
        report.notes,
        [
            "of what it was tried on, it fails 2 that the active build fails too: can't read the state of k (version 1): \
          missing field `credit`"
        ]
    );
}

#[test]
fn a_state_that_is_given_back_unread_must_fit_the_schema_and_the_reads() {
    let mut candidate = rules();
    candidate.description.state.schema = r#"{"required":["credit"]}"#.into();
    let inputs = states(vec![json!({"limit": 5})]);
    let said = reason(&candidate, &rules(), &inputs);
    assert!(said.contains("the state of k (version 1): "), "{said}");
    assert!(said.contains("\"credit\" is a required property"), "{said}");
    // The active rules describe their states the same way, and work with them.
    try_on(&candidate, &candidate, &inputs).unwrap();

    let trapping = Fake {
        migrate: |_, state| Ok(state),
        handle: |state, message| match state {
            Some(_) if message.name == "get" => {
                Err(Disposition::Malformed("no such member".into()))
            }
            _ => done(StateChange::Unchanged),
        },
        ..rules()
    };
    assert_eq!(
        reason(&trapping, &rules(), &inputs),
        "can't show the state of k (version 1): read `get`: malformed: no such member"
    );
}

#[test]
fn a_timer_that_would_be_given_up_is_a_reason_and_one_that_waits_is_none() {
    let inputs = Inputs {
        timers: vec![PendingTimer {
            timer: StoredTimer {
                key: "k".into(),
                name: "later".into(),
                due: u64::MAX,
                body: "{}".into(),
                set_by: "s".into(),
                correlation: "c".into(),
                traceparent: None,
            },
            aggregate: keyed("k", None),
        }],
        ..Inputs::default()
    };
    let malformed = Fake {
        handle: |_, message| {
            assert_eq!(
                (message.origin, message.time, &*message.body),
                (Origin::Timer, u64::MAX, "{}")
            );
            Err(Disposition::Malformed("missing field `id`".into()))
        },
        ..rules()
    };
    assert_eq!(
        reason(&malformed, &rules(), &inputs),
        "can't decide on the timer `later` that k has set: malformed: missing field `id`"
    );
    let waiting = Fake {
        handle: |_, _| Err(Disposition::RetryLater("not yet".into())),
        ..rules()
    };
    assert_eq!(try_on(&waiting, &rules(), &inputs).unwrap().timers, 1);
}

#[test]
fn an_event_in_flight_is_offered_with_the_state_of_its_aggregate() {
    let inputs = Inputs {
        in_flight: vec![PendingRecord {
            declared_topic: "sales".into(),
            record: Record {
                position: Position {
                    topic: "sales-1".into(),
                    incarnation: None,
                    partition: 2,
                    offset: 3,
                },
                timestamp: 0,
                key: None,
                value: Some(br#"{"key":"k"}"#.to_vec()),
                attributes: Attributes {
                    event_type: Some("sold".into()),
                    ..Attributes::default()
                },
            },
            aggregate: Some(keyed("k", Some(json!({"stock": 0})))),
        }],
        ..Inputs::default()
    };
    let malformed = Fake {
        handle: |state, _| {
            assert_eq!(state, Some(&json!({"stock": 0})));
            Err(Disposition::Malformed("missing field `shop`".into()))
        },
        ..rules()
    };
    assert_eq!(
        reason(&malformed, &rules(), &inputs),
        "can't decide on the event `sold` that waits at sales-1/2/3 for k: malformed: missing field `shop`"
    );
    let mut keyed_otherwise = rules();
    for subscription in &mut keyed_otherwise.description.subscriptions {
        subscription.key = "/shop".into();
    }
    let said = reason(&keyed_otherwise, &rules(), &inputs);
    assert!(said.ends_with("malformed: has no key at /shop"), "{said}");
    assert_eq!(try_on(&rules(), &rules(), &inputs).unwrap().events, 1);
}

#[test]
fn a_recorded_event_that_would_be_given_up_is_a_reason_and_a_command_a_difference() {
    let malformed = Fake {
        handle: |_, _| Err(Disposition::Malformed("missing field `shop`".into())),
        ..rules()
    };
    let on = |origin, name| {
        let decided = Ok(Outcome {
            reply: None,
            ..done(StateChange::Unchanged).unwrap()
        });
        Inputs {
            recorded: vec![recorded(&message(origin, name), None, &decided)],
            ..Inputs::default()
        }
    };
    assert_eq!(
        reason(&malformed, &rules(), &on(Origin::Event, "sold")),
        "can't decide on the recorded event m-1, `sold` of aggregate k: malformed: missing field `shop`"
    );
    let said = reason(&malformed, &rules(), &on(Origin::Timer, "later"));
    assert!(said.contains("the recorded timer m-1"), "{said}");
    let report = try_on(&malformed, &rules(), &on(Origin::Command, "set")).unwrap();
    assert_eq!((report.inputs, report.decided_otherwise), (1, 1));
    assert_eq!(
        report.differences.first().unwrap().would_decide,
        "malformed: missing field `shop`"
    );
    // Messages that it does not take were refused before.
    assert_eq!(
        try_on(&malformed, &rules(), &on(Origin::Event, "other"))
            .unwrap()
            .inputs,
        0
    );
}

/// Rules whose states have the member `credit` since version 2, formerly `limit`; each turn adds 1.
fn renamed() -> Fake {
    Fake {
        description: description(2),
        handle: |state, _| {
            let credit = state.map_or(0, |state| state["credit"].as_i64().unwrap());
            done(StateChange::Put(
                json!({"credit": credit + 1, "note": null}).to_string(),
            ))
        },
        migrate: |version, state| {
            let name = if version == 1 { "limit" } else { "credit" };
            let credit = state
                .get(name)
                .cloned()
                .ok_or_else(|| format!("missing field `{name}`"))?;
            Ok(json!({"credit": credit, "note": null}))
        },
        ..rules()
    }
}

#[test]
fn decisions_are_compared_in_the_shape_of_the_candidate() {
    let decided = |limit: &str| {
        let state = format!(r#"{{"limit":{limit}}}"#);
        recorded(
            &message(Origin::Command, "set"),
            Some(json!({"limit": 1})),
            &done(StateChange::Put(state)),
        )
    };
    let inputs = Inputs {
        recorded: vec![decided("2.0"), decided("3")],
        ..Inputs::default()
    };
    let report = try_on(&renamed(), &rules(), &inputs).unwrap();
    assert_eq!(
        (report.inputs, report.decided_otherwise),
        (2, 1),
        "{report:?}"
    );
    let parts = &report.differences.first().unwrap().parts;
    let part = parts.first().unwrap();
    assert_eq!(
        (parts.len(), &*part.what, &*part.pointer),
        (1, "state", "/credit")
    );
    assert_eq!(
        (&part.decided, &part.would_decide),
        (&Some(json!(3)), &Some(json!(2)))
    );
}

#[test]
fn a_state_that_was_left_by_a_recorded_decision_must_be_read_too() {
    let left = done(StateChange::Put(r#"{"other":1}"#.into()));
    let inputs = Inputs {
        recorded: vec![recorded(&message(Origin::Command, "set"), None, &left)],
        ..Inputs::default()
    };
    assert_eq!(
        reason(&renamed(), &rules(), &inputs),
        "can't read the state (version 1) that aggregate k had after m-1: missing field `limit`"
    );
    let unreadable = Fake {
        handle: |_, _| done(StateChange::Put("{}".into())),
        ..needing()
    };
    let said = reason(&unreadable, &rules(), &inputs);
    assert!(
        said.ends_with("it would leave a state that it can't read: missing field `credit`"),
        "{said}"
    );
}

#[test]
fn differences_are_told_as_far_as_there_is_room_and_all_are_counted() {
    let publishing = Fake {
        handle: |_, _| {
            let event = Event {
                event_type: "changed".into(),
                key: "k".into(),
                body: format!("{:?}", "x".repeat(100_000)),
            };
            Ok(Outcome {
                events: vec![event],
                ..done(StateChange::Unchanged).unwrap()
            })
        },
        ..rules()
    };
    let one = recorded(
        &message(Origin::Command, "set"),
        None,
        &done(StateChange::Unchanged),
    );
    let inputs = Inputs {
        recorded: vec![one; 20],
        ..Inputs::default()
    };
    let report = try_on(&publishing, &rules(), &inputs).unwrap();
    assert_eq!(report.decided_otherwise, 20);
    assert!(
        (2..10).contains(&report.differences.len()),
        "{}",
        report.differences.len()
    );
    // Reported differences are complete.
    assert!(report.differences.first().unwrap().would_decide.len() > 100_000);
}

#[test]
fn members_that_a_candidate_drops_from_a_state_are_reported() {
    let forgetful = Fake {
        migrate: |_, state| Ok(json!({"name": state["name"]})),
        ..rules()
    };
    let inputs = states(vec![
        json!({"name": "a", "credit": 5}),
        json!({"name": "b", "old": null}),
    ]);
    let report = try_on(&forgetful, &rules(), &inputs).unwrap();
    assert_eq!(
        report.notes,
        [
            "1 of 2 stored states that it was tried on lose /credit, such as that of k: it does not keep what stands there"
        ]
    );
    // The active rules do not keep it either.
    assert!(
        try_on(&forgetful, &forgetful, &inputs)
            .unwrap()
            .notes
            .is_empty()
    );
}

#[test]
fn a_list_that_would_find_nothing_any_more_is_a_reason() {
    let renaming = Fake {
        description: description(2),
        migrate: |version, state| match version {
            1 => Ok(json!({"holder": state["owner"]})),
            _ => Ok(state),
        },
        ..rules()
    };
    let inputs = states(vec![
        json!({"owner": "ann"}),
        json!({"owner": "bob"}),
        json!({}),
    ]);
    assert_eq!(
        reason(&renaming, &rules(), &inputs),
        "the listing at /shops would find nothing by `owner`: none of 3 stored states has a value at /owner, and 2 can be \
         found by it now, such as k"
    );
    // If nothing could be found before, nothing is lost.
    try_on(
        &renaming,
        &rules(),
        &states(vec![json!({}), json!({"owner": null})]),
    )
    .unwrap();
}

#[test]
fn a_quarantined_state_that_cannot_be_read_is_no_reason() {
    let inputs = Inputs {
        quarantined: vec![
            keyed("k", Some(json!({}))),
            keyed("l", Some(json!({"credit": 1}))),
        ],
        ..Inputs::default()
    };
    let report = try_on(&needing(), &rules(), &inputs).unwrap();
    assert_eq!((report.quarantined, report.quarantined_read), (2, 1));
}

#[test]
fn the_probe_stops_after_a_few_reasons() {
    let inputs = states(vec![json!({}); 10]);
    let reasons = try_on(&needing(), &rules(), &inputs).unwrap_err();
    assert_eq!(reasons.len(), failures::REASONS);
}
