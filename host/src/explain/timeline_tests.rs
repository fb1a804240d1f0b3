#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_core::message::Message;
use saga_core::outcome::Timer;
use saga_core::record::{Attributes, Position};

use super::*;
use crate::store::sample::Recorded;

/// A decision of `participant` at this time on a message, given as id, source and cause.
fn decided(
    seq: i64,
    participant: &str,
    origin: Origin,
    (id, source, cause): (&str, &str, Option<&str>),
) -> DecidedMessage {
    let message = Message {
        id: id.into(),
        source: source.into(),
        origin,
        name: format!("{id}-name"),
        key: "1".into(),
        time: 100 + seq as u64,
        correlation: "c".into(),
        causation: cause.map(str::to_owned),
        caller: None,
        metadata: Vec::new(),
        version: 1,
        parameters: Vec::new(),
        body: "null".into(),
    };
    let outcome = Outcome {
        state: StateChange::Unchanged,
        events: Vec::new(),
        timers: Vec::new(),
        reply: None,
    };
    DecidedMessage {
        participant: participant.into(),
        version: "1.0.0".into(),
        seq,
        time: 100 + seq as u64,
        recorded: Recorded {
            digest: "d".into(),
            state_version: 1,
            state: None,
            message,
            outcome,
        },
        not_kept: None,
    }
}

impl DecidedMessage {
    fn outcome(mut self, change: impl FnOnce(&mut Outcome)) -> Self {
        change(&mut self.recorded.outcome);
        self
    }

    fn publishes(self, event_type: &str) -> Self {
        self.outcome(|outcome| {
            outcome.events.push(Event {
                event_type: event_type.into(),
                key: "1".into(),
                body: "{}".into(),
            });
        })
    }
}

fn record(offset: i64, source: &str, cause: &str, (id, event_type): (&str, &str)) -> Record {
    Record {
        position: Position {
            topic: "t".into(),
            incarnation: None,
            partition: 0,
            offset,
        },
        timestamp: 100,
        key: Some(b"1".to_vec()),
        value: None,
        attributes: Attributes {
            id: Some(id.into()),
            source: Some(source.into()),
            event_type: Some(event_type.into()),
            correlation: Some("c".into()),
            causation: Some(cause.into()),
            ..Attributes::default()
        },
    }
}

fn of(decisions: Vec<DecidedMessage>, records: Vec<Record>) -> Timeline {
    timeline(Material {
        decisions,
        records,
        participants: vec!["order".into(), "customer".into()],
    })
}

/// Each decision with its cause: `message < cause`.
fn shape(steps: &[TimelineStep]) -> Vec<String> {
    let name = |step: &TimelineStep| format!("{}:{}", step.participant, step.id);
    let one = |step: &TimelineStep| match step.cause {
        Some(cause) => {
            let cause = steps.iter().find(|one| one.seq == cause).unwrap();
            format!("{} < {}", name(step), name(cause))
        }
        None => name(step),
    };
    steps.iter().map(one).collect()
}

#[test]
fn each_decision_knows_the_one_that_caused_it_in_the_order_of_commits() {
    let found = of(
        vec![
            decided(
                5,
                "order",
                Origin::Timer,
                ("late", "/saga/order", Some("cmd")),
            ),
            decided(
                1,
                "order",
                Origin::Command,
                ("cmd", "/saga/order/commands", None),
            ),
            decided(
                3,
                "customer",
                Origin::Event,
                ("e", "/saga/order", Some("cmd")),
            ),
            decided(
                4,
                "order",
                Origin::Event,
                ("f", "/saga/customer", Some("e")),
            ),
            decided(2, "shop", Origin::Event, ("e", "/saga/order", Some("cmd"))),
            decided(
                6,
                "order",
                Origin::Command,
                ("cancel", "/saga/order/commands", None),
            ),
        ],
        Vec::new(),
    );
    assert_eq!(
        shape(&found.steps),
        [
            "order:cmd",
            "shop:e < order:cmd",
            "customer:e < order:cmd",
            "order:f < customer:e",
            "order:late < order:cmd",
            "order:cancel",
        ]
    );
    assert_eq!((found.began, found.ended, found.decisions), (101, 106, 6));
    assert!(!found.is_cut_off);
}

#[test]
fn a_decision_knows_the_records_that_it_published_and_who_decided_on_them() {
    let found = of(
        vec![
            decided(1, "order", Origin::Command, ("cmd", "/x", None))
                .publishes("made")
                .publishes("made")
                .publishes("gone"),
            decided(
                2,
                "customer",
                Origin::Event,
                ("e2", "/saga/order", Some("cmd")),
            ),
        ],
        vec![
            record(7, "/saga/order", "cmd", ("e1", "made")),
            record(8, "/saga/order", "cmd", ("e2", "made")),
            record(9, "/elsewhere", "cmd", ("x", "made")),
        ],
    );
    let step = found.steps.first().unwrap();
    let events: Vec<_> = (step.events.iter())
        .map(|event| {
            let offset = event.place.as_ref().map(|place| place.offset);
            (event.id.as_deref(), offset, event.decided_by.join(" "))
        })
        .collect();
    let expected = [
        (Some("e1"), Some(7), String::new()),
        (Some("e2"), Some(8), "customer".to_owned()),
        (None, None, String::new()),
    ];
    assert_eq!(events, expected);
    assert_eq!(found.steps.get(1).unwrap().made, Some(100));
    let others: Vec<_> = found.records.iter().map(|one| one.id.as_deref()).collect();
    assert_eq!(others, [Some("x")], "a record of somebody else");
}

#[test]
fn a_cause_of_this_store_that_is_missing_is_told_and_one_of_another_host_is_not() {
    let event = |source| decided(1, "customer", Origin::Event, ("e", source, Some("gone")));
    let found = of(vec![event("/saga/order")], Vec::new());
    assert!(found.is_cut_off);
    assert!(found.steps.first().unwrap().is_cause_missing);
    let found = of(vec![event("/saga/elsewhere")], Vec::new());
    assert!(!found.is_cut_off);
}

#[test]
fn nothing_is_its_own_cause() {
    let circle = vec![
        decided(1, "order", Origin::Event, ("a", "/saga/order", Some("b"))),
        decided(2, "order", Origin::Event, ("b", "/saga/order", Some("a"))),
        decided(3, "order", Origin::Event, ("c", "/saga/order", Some("c"))),
    ];
    let found = of(circle, Vec::new());
    assert_eq!(
        shape(&found.steps),
        ["order:a", "order:b < order:a", "order:c"]
    );
}

#[test]
fn the_difference_of_a_state_is_told_place_by_place() {
    let put = |before: Option<&str>, after: &str| {
        let mut one = decided(1, "order", Origin::Command, ("cmd", "/x", None));
        one.recorded.state = before.map(str::to_owned);
        let one = one.outcome(|outcome| outcome.state = StateChange::Put(after.into()));
        let found = of(vec![one], Vec::new());
        let step = found.steps.first().unwrap().clone();
        let places: Vec<_> = step.changes.into_iter().map(|one| one.pointer).collect();
        (step.state, places.join(" "))
    };
    assert_eq!(put(None, "{}"), (StateStep::Created, String::new()));
    let changed = put(
        Some(r#"{"a":1,"b":{"c":2}}"#),
        r#"{"a":1.0,"b":{"c":3},"d":4}"#,
    );
    assert_eq!(changed, (StateStep::Changed, "/b/c /d".to_owned()));
    assert_eq!(put(Some("1"), "1.0"), (StateStep::Unchanged, String::new()));
}

#[test]
fn a_timer_is_late_by_the_time_since_it_was_due() {
    // Set twice: the last time counts.
    let set = decided(1, "order", Origin::Command, ("cmd", "/x", None)).outcome(|outcome| {
        outcome.timers.extend([101, 102].map(|due| {
            TimerChange::Set(Timer {
                name: "1/cmd-name".into(),
                due,
                body: "null".into(),
            })
        }));
    });
    let fired = decided(
        5,
        "order",
        Origin::Timer,
        ("1/cmd", "/saga/order/timers", Some("cmd")),
    );
    let found = of(vec![set, fired], Vec::new());
    let step = found.steps.get(1).unwrap();
    assert_eq!((step.made, step.time), (Some(102), 105));
}

#[test]
fn a_chain_of_causes_of_any_length_is_a_list() {
    const LENGTH: i64 = 10_000;
    let timer = |number: i64| {
        let id = |number: i64| format!("t{number}");
        let cause = (number > 1).then(|| id(number - 1));
        let of = (&*id(number), "/saga/order/timers", cause.as_deref());
        decided(number, "order", Origin::Timer, of)
    };
    let found = of((1..=LENGTH).map(timer).collect(), Vec::new());
    let causes = found.steps.iter().map(|step| step.cause);
    assert!(causes.eq((0..LENGTH).map(|number| (number > 0).then_some(number))));
    let json = serde_json::to_string(&found).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
}
