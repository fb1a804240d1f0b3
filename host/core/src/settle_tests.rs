//! Tables of settlement: the settlements of decisions, and every answer that is a fault instead.
//!
//! Invariant 2 at its source: all changes of a turn are in one value. Invariant 5: an answer that
//! violates the contract is a fault, whatever reply it carries.

use super::*;
use crate::message::Message;
use crate::outcome::{Event, Refusal};
use saga_contract::description::{
    Command, Endpoint, KeySource, Method, Publication, RefusalDescription, RefusalKind,
    StateDescription, TimerDescription,
};

const LIMITS: TurnLimits = TurnLimits {
    record_bytes: 0,
    key_bytes: 4,
    attribute_bytes: 0,
    state_bytes: 10,
    event_bytes: 8,
    reply_bytes: 6,
    events: 2,
    timers: 3,
    check_outputs: false,
};

fn description() -> Description {
    let command = |name: &str, kind| Command {
        name: name.into(),
        summary: String::new(),
        method: Method::Post,
        path: "/".into(),
        kind,
        key: KeySource::Generated,
        request: None,
        reply: "{}".into(),
        refusals: Vec::new(),
        requires: Vec::new(),
    };
    let publication = |event_type: &str, topic: &str| Publication {
        version: 1,
        event_type: event_type.into(),
        topic: topic.into(),
        schema: "{}".into(),
    };
    Description {
        name: "desk".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        state: StateDescription {
            version: 1,
            oldest_readable: 1,
            schema: "{}".into(),
        },
        endpoint: Endpoint {
            base_path: String::new(),
            port: 0,
        },
        commands: vec![
            command("open", CommandKind::Create(None)),
            command("close", CommandKind::Change),
        ],
        subscriptions: Vec::new(),
        publications: vec![
            publication("opened", "tickets"),
            publication("closed", "archive"),
        ],
        timers: ["remind", "expire"]
            .map(|name| TimerDescription {
                name: name.into(),
                schema: "{}".into(),
            })
            .into(),
        listings: Vec::new(),
        settings: None,
        metadata: Vec::new(),
        claims: Vec::new(),
        has_open_refusals: false,
    }
}

fn envelope(origin: Origin, name: &str) -> Envelope {
    Envelope {
        message: Message {
            id: "m-1".into(),
            source: "/saga/other".into(),
            origin,
            name: name.into(),
            key: "7".into(),
            time: 5_000,
            correlation: "saga-9".into(),
            causation: None,
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: vec![("id".into(), "7".into())],
            body: r#"{"a":1.10}"#.into(),
        },
        made_at: 4_000,
        traceparent: Some("00-1-2-01".into()),
    }
}

fn nothing() -> Outcome {
    Outcome {
        state: StateChange::Unchanged,
        events: Vec::new(),
        timers: Vec::new(),
        reply: None,
    }
}

fn event(event_type: &str, key: &str, body: &str) -> Event {
    Event {
        event_type: event_type.into(),
        key: key.into(),
        body: body.into(),
    }
}

fn set(name: &str, due: u64, body: &str) -> TimerChange {
    TimerChange::Set(Timer {
        name: name.into(),
        due,
        body: body.into(),
    })
}

fn refused(code: &str, detail: &str, pointer: Option<&str>) -> Option<Reply> {
    let pointer = pointer.map(Into::into);
    Some(Reply::Refused(Refusal {
        kind: RefusalKind::Conflict,
        code: code.into(),
        detail: detail.into(),
        pointer,
    }))
}

fn terms(description: &Description) -> OutputTerms<'_> {
    OutputTerms {
        description,
        limits: &LIMITS,
        schemas: None,
        kept: Kept::Full,
    }
}

fn done(body: &str) -> Option<Reply> {
    Some(Reply::Done(body.into()))
}

fn settled(envelope: &Envelope, outcome: Outcome) -> Result<Settlement, Fault> {
    let before = Before {
        state: Some("\"was\""),
        revision: 4,
        correlation: None,
    };
    settle(terms(&description()), envelope, before, outcome, 77)
}

fn of_event(outcome: Outcome) -> Result<Settlement, Fault> {
    settled(&envelope(Origin::Event, "asked"), outcome)
}

fn of_command(name: &str, outcome: Outcome) -> Result<Settlement, Fault> {
    settled(&envelope(Origin::Command, name), outcome)
}

#[test]
fn invariant_2_everything_that_a_turn_changes_is_in_its_settlement() {
    let outcome = Outcome {
        state: StateChange::Put("\"is\"".into()),
        events: vec![event("opened", "k1", "{}"), event("closed", "k2", "[1]")],
        timers: vec![
            set("remind", 9, "null"),
            TimerChange::Cancel("expire".into()),
        ],
        reply: None,
    };
    let envelope = envelope(Origin::Event, "asked");
    let cause = Identity {
        source: "/saga/other".into(),
        id: "m-1".into(),
    };
    let outgoing = |index, event_type: &str, topic: &str, key: &str, body: &str| OutgoingEvent {
        version: 1,
        topic: topic.into(),
        event_type: event_type.into(),
        key: key.into(),
        body: body.into(),
        id: identity::event_id("desk", &cause, 4_000, index),
    };
    let expected = Settlement {
        correlation: "saga-9".into(),
        key: "7".into(),
        revision: 5,
        state: outcome.state.clone(),
        cause: Cause {
            id: "m-1".into(),
            correlation: "saga-9".into(),
            traceparent: Some("00-1-2-01".into()),
        },
        inbox: Some(cause.clone()),
        events: vec![
            outgoing(0, "opened", "tickets", "k1", "{}"),
            outgoing(1, "closed", "archive", "k2", "[1]"),
        ],
        timers: outcome.timers.clone(),
        reply: None,
        journal: JournalEntry {
            revision_before: 4,
            state_before: Some("\"was\"".into()),
            decision: journal::encode(&envelope.message, Some("\"was\""), &outcome).unwrap(),
            fuel: 77,
            time: 5_000,
        },
    };
    assert_eq!(settled(&envelope, outcome).unwrap(), expected);
}

#[test]
fn a_recorded_decision_can_be_read_back_to_the_letter() {
    let outcome = Outcome {
        state: StateChange::Put("{\"x\":1.0}".into()),
        events: vec![event("opened", "k", "{}")],
        timers: vec![
            set("remind", 9, "null"),
            TimerChange::Cancel("remind".into()),
        ],
        reply: done("\"ok\""),
    };
    let envelope = envelope(Origin::Command, "open");
    let journal = settled(&envelope, outcome.clone()).unwrap().journal;
    let read = journal.read(&envelope.message.key).unwrap();
    assert_eq!(read, (envelope.message, outcome));
}

#[test]
fn the_revision_grows_with_each_change_of_the_state() {
    let table = [
        (StateChange::Unchanged, 4, 4),
        (StateChange::Put("1".into()), 4, 5),
        (StateChange::Remove, 4, 5),
        (StateChange::Unchanged, 0, 0),
        (StateChange::Put("1".into()), 0, 1),
    ];
    for (state, revision, expected) in table {
        let outcome = Outcome { state, ..nothing() };
        let before = Before {
            correlation: None,
            state: None,
            revision,
        };
        let envelope = envelope(Origin::Event, "asked");
        let settlement = settle(terms(&description()), &envelope, before, outcome, 0).unwrap();
        assert_eq!(
            settlement.revision, expected,
            "{:?} at {revision}",
            settlement.state
        );
        assert_eq!(settlement.journal.revision_before, revision);
        assert_eq!(settlement.journal.state_before, None);
    }
}

/// Invariant 3: the inbox is for messages that may be delivered again. A command's id is generated
/// by the host; a timer is deleted with its row.
#[test]
fn invariant_3_only_events_are_remembered_and_only_commands_are_answered() {
    for (origin, name, remembered, answered) in [
        (Origin::Event, "asked", true, false),
        (Origin::Timer, "remind", false, false),
        (Origin::Command, "close", false, true),
    ] {
        let settlement = settled(
            &envelope(origin, name),
            Outcome {
                reply: done("1"),
                ..nothing()
            },
        )
        .unwrap();
        assert_eq!(settlement.inbox.is_some(), remembered, "{origin:?}");
        assert_eq!(settlement.reply.is_some(), answered, "{origin:?}");
    }
}

/// Invariant 9: without a client the reply is not checked, so it must not be kept either.
#[test]
fn invariant_9_a_reply_to_nobody_is_neither_checked_nor_recorded() {
    for reply in [
        done("not JSON"),
        done(&"9".repeat(1_000)),
        refused("c", &"d".repeat(1_000), None),
    ] {
        for (origin, name) in [(Origin::Event, "asked"), (Origin::Timer, "remind")] {
            let outcome = Outcome {
                reply: reply.clone(),
                ..nothing()
            };
            let settlement = settled(&envelope(origin, name), outcome).unwrap();
            let (_, recorded) = settlement.journal.read(&settlement.key).unwrap();
            assert_eq!(recorded, nothing());
        }
    }
}

/// Invariant 3: a turn that runs again, at another time and after a restart, publishes the same
/// ids.
#[test]
fn invariant_3_the_ids_of_events_do_not_depend_on_the_turn() {
    let ids = |time, fuel, revision| -> Vec<String> {
        let mut envelope = envelope(Origin::Event, "asked");
        envelope.message.time = time;
        let outcome = Outcome {
            events: vec![event("opened", "k", "1"); 2],
            ..nothing()
        };
        let before = Before {
            correlation: None,
            state: None,
            revision,
        };
        let settlement = settle(terms(&description()), &envelope, before, outcome, fuel).unwrap();
        settlement
            .events
            .into_iter()
            .map(|event| event.id)
            .collect()
    };
    let first = ids(5_000, 1, 0);
    assert_eq!(first, ids(6_000, 2, 9));
    assert_ne!(first[0], first[1], "two events of one turn are two events");
}

#[test]
fn invariant_9_what_is_just_within_the_limits_is_settled() {
    let outcome = Outcome {
        state: StateChange::Put("1234567890".into()),
        events: vec![
            event("opened", "1234", "12345678"),
            event("opened", "é12", "\"123456\""),
        ],
        timers: vec![
            set("remind", 0, "12345678"),
            set("expire", i64::MAX as u64, "null"),
            TimerChange::Cancel("remind".into()),
        ],
        reply: done("123456"),
    };
    assert_eq!(
        of_command("open", outcome.clone()).map(|settlement| settlement.events.len()),
        Ok(2)
    );
    let refusal = Outcome {
        reply: refused("no", "sir", Some("/")),
        ..outcome
    };
    assert!(of_command("open", refusal).is_ok());
}

#[test]
fn invariant_5_an_answer_that_breaks_the_contract_or_a_limit_is_a_fault() {
    let put = |text: &str| Outcome {
        state: StateChange::Put(text.into()),
        ..nothing()
    };
    let events = |events: Vec<Event>| Outcome {
        events,
        ..nothing()
    };
    let timers = |timers: Vec<TimerChange>| Outcome {
        timers,
        ..nothing()
    };
    let good = || event("opened", "k", "1");
    let table = [
        (
            put("12345678901"),
            FaultKind::OutputTooLarge,
            "state of 11 bytes is over the limit of 10",
        ),
        (
            put(""),
            FaultKind::BadOutput,
            "state is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            put("{} 1"),
            FaultKind::BadOutput,
            "state is not JSON: trailing characters",
        ),
        (put("NaN"), FaultKind::BadOutput, "state is not JSON"),
        (
            events(vec![good(); 3]),
            FaultKind::OutputTooLarge,
            "3 events are over the limit of 2",
        ),
        (
            events(vec![good(), event("Opened", "k", "1")]),
            FaultKind::BadOutput,
            "event `Opened` is not in the participant's description",
        ),
        (
            events(vec![event("asked", "k", "1")]),
            FaultKind::BadOutput,
            "event `asked` is not in the participant's",
        ),
        (
            events(vec![event("opened", "", "1")]),
            FaultKind::BadOutput,
            "key of event opened is empty",
        ),
        (
            events(vec![event("closed", "12345", "1")]),
            FaultKind::BadOutput,
            "key of event closed is 5 bytes long, over the limit of 4",
        ),
        (
            events(vec![good(), event("closed", "k", "123456789")]),
            FaultKind::OutputTooLarge,
            "event of 9 bytes is over the limit of 8",
        ),
        (
            events(vec![event("opened", "k", "{")]),
            FaultKind::BadOutput,
            "event `opened` is not JSON: EOF",
        ),
        (
            timers(vec![TimerChange::Cancel("remind".into()); 4]),
            FaultKind::OutputTooLarge,
            "4 timers are over the limit of 3",
        ),
        (
            timers(vec![set("snooze", 1, "1")]),
            FaultKind::BadOutput,
            "timer `snooze` is not in the participant's description",
        ),
        (
            timers(vec![TimerChange::Cancel("snooze".into())]),
            FaultKind::BadOutput,
            "timer `snooze` is not in the participant's description",
        ),
        (
            timers(vec![set("remind", 1, "123456789")]),
            FaultKind::OutputTooLarge,
            "timer of 9 bytes is over the limit of 8",
        ),
        (
            timers(vec![set("remind", 1, "soon")]),
            FaultKind::BadOutput,
            "timer `remind` is not JSON",
        ),
        (
            timers(vec![set("remind", i64::MAX as u64 + 1, "1")]),
            FaultKind::BadOutput,
            "timer remind is due at 9223372036854775808",
        ),
    ];
    for (outcome, kind, words) in table {
        broke(&of_event(outcome.clone()), kind, words);
        // A refusal beside it does not make it one.
        broke(
            &of_command(
                "close",
                Outcome {
                    reply: refused("no", "", None),
                    ..outcome
                },
            ),
            kind,
            words,
        );
    }
}

#[test]
fn invariant_5_a_reply_that_breaks_the_contract_or_a_limit_is_a_fault() {
    let table = [
        (
            None,
            FaultKind::BadOutput,
            "a command was left without a reply",
        ),
        (
            done("1234567"),
            FaultKind::OutputTooLarge,
            "reply of 7 bytes is over the limit of 6",
        ),
        (
            done("yes"),
            FaultKind::BadOutput,
            "is not JSON: expected value at line 1 column 1",
        ),
        (
            Some(Reply::Pending("1234567".into())),
            FaultKind::OutputTooLarge,
            "reply of 7 bytes is over the limit of 6",
        ),
        (
            Some(Reply::Pending("{".into())),
            FaultKind::BadOutput,
            "is not JSON",
        ),
        (
            refused("code", "why", None),
            FaultKind::OutputTooLarge,
            "refusal of 7 bytes is over the limit of 6",
        ),
        (
            refused("no", "", Some("/a/b/c")),
            FaultKind::OutputTooLarge,
            "refusal of 8 bytes is over the limit of 6",
        ),
    ];
    for (reply, kind, words) in table {
        let outcome = Outcome {
            state: StateChange::Put("1".into()),
            reply,
            ..nothing()
        };
        broke(&of_command("open", outcome.clone()), kind, words);
        broke(&of_command("close", outcome.clone()), kind, words);
        broke(
            &read_reply(
                terms(&description()),
                "close",
                Outcome {
                    state: StateChange::Unchanged,
                    ..outcome
                },
            ),
            kind,
            words,
        );
    }
}

#[test]
fn a_create_that_says_done_leaves_a_state() {
    for state in [StateChange::Unchanged, StateChange::Remove] {
        for reply in [done("1"), Some(Reply::Pending("1".into()))] {
            let outcome = Outcome {
                state: state.clone(),
                reply,
                ..nothing()
            };
            let words = "command open creates, but was answered without a state";
            broke(
                &of_command("open", outcome.clone()),
                FaultKind::BadOutput,
                words,
            );
            assert!(of_command("close", outcome).is_ok(), "a change need not");
        }
        let refusal = Outcome {
            state,
            reply: refused("no", "", None),
            ..nothing()
        };
        assert!(of_command("open", refusal).is_ok(), "a refusal need not");
    }
}

#[test]
fn a_refusal_is_settled_like_any_other_decision() {
    let reply = refused("no", "sir", None);
    let settlement = of_command(
        "close",
        Outcome {
            reply: reply.clone(),
            ..nothing()
        },
    )
    .unwrap();
    let (_, recorded) = settlement.journal.read(&settlement.key).unwrap();
    assert_eq!(recorded.reply, reply);
    assert_eq!(
        (settlement.reply, settlement.state, settlement.revision),
        (reply, StateChange::Unchanged, 4)
    );
}

#[test]
fn a_read_gives_its_reply_and_nothing_else() {
    let reply = refused("no", "sir", None);
    assert_eq!(
        read_reply(
            terms(&description()),
            "close",
            Outcome {
                reply: done("1"),
                ..nothing()
            }
        ),
        Ok(Reply::Done("1".into()))
    );
    assert_eq!(
        read_reply(
            terms(&description()),
            "close",
            Outcome {
                reply: reply.clone(),
                ..nothing()
            }
        )
        .ok(),
        reply
    );
    let effects = [
        Outcome {
            state: StateChange::Put("1".into()),
            ..nothing()
        },
        Outcome {
            state: StateChange::Remove,
            ..nothing()
        },
        Outcome {
            events: vec![event("opened", "k", "1")],
            ..nothing()
        },
        Outcome {
            timers: vec![TimerChange::Cancel("remind".into())],
            ..nothing()
        },
    ];
    for effect in effects {
        let answer = read_reply(
            terms(&description()),
            "close",
            Outcome {
                reply: done("1"),
                ..effect
            },
        );
        broke(
            &answer,
            FaultKind::BadOutput,
            "a read answered with effects",
        );
    }
}

#[test]
fn an_event_on_an_aggregate_that_never_was_is_settled_too() {
    let envelope = envelope(Origin::Event, "asked");
    let before = Before {
        state: None,
        revision: 0,
        correlation: None,
    };
    let settlement = settle(terms(&description()), &envelope, before, nothing(), 3).unwrap();
    assert_eq!(
        (settlement.revision, &settlement.journal.state_before),
        (0, &None)
    );
    assert!(settlement.inbox.is_some(), "it is not to be asked again");
}

/// Finds fault with every output that says 0.
struct NoZero;

impl OutputSchemas for NoZero {
    fn check(&self, _: Output<'_>, text: &str) -> Result<(), String> {
        match text {
            "0" => Err("does not match its schema: 0 is not 1".into()),
            _ => Ok(()),
        }
    }
}

#[test]
fn outputs_must_match_their_schemas_where_they_are_checked() {
    let description = description();
    let strict = OutputTerms {
        schemas: Some(&NoZero),
        ..terms(&description)
    };
    let before = Before {
        state: None,
        revision: 0,
        correlation: None,
    };
    let close = envelope(Origin::Command, "close");
    let all = |state: &str, event_body: &str, timer_body: &str, reply| Outcome {
        state: StateChange::Put(state.into()),
        events: vec![event("opened", "k", "1"), event("closed", "k", event_body)],
        timers: vec![TimerChange::Set(Timer {
            name: "remind".into(),
            due: 1,
            body: timer_body.into(),
        })],
        reply,
    };
    let declared = "does not match its schema: 0 is not 1";
    let table = [
        (all("0", "1", "1", done("1")), format!("state {declared}")),
        (
            all("1", "0", "1", done("1")),
            format!("event `closed` {declared}"),
        ),
        (
            all("1", "1", "0", done("1")),
            format!("timer `remind` {declared}"),
        ),
        (
            all("1", "1", "1", done("0")),
            format!("reply to command `close` {declared}"),
        ),
        (
            all("1", "1", "1", Some(Reply::Pending("0".into()))),
            format!("reply to command `close` {declared}"),
        ),
        (
            all("1", "1", "1", refused("no", "", None)),
            "command `close` refuses with `no` (conflict), which it does not declare".into(),
        ),
    ];
    for (outcome, words) in table {
        let unchecked = settle(terms(&description), &close, before, outcome.clone(), 0);
        assert!(unchecked.is_ok(), "{unchecked:?}");
        let settled = settle(strict, &close, before, outcome, 0);
        broke(&settled, FaultKind::BadOutput, &words);
    }
    assert!(settle(strict, &close, before, all("1", "1", "1", done("1")), 0).is_ok());
    let read = Outcome {
        reply: done("0"),
        ..nothing()
    };
    let words = format!("reply to command `close` {declared}");
    broke(
        &read_reply(strict, "close", read),
        FaultKind::BadOutput,
        &words,
    );
}

#[test]
fn a_declared_refusal_is_one_of_the_kind_and_code() {
    let mut description = description();
    let declare = |kind, code: &str| RefusalDescription {
        kind,
        code: code.into(),
        summary: String::new(),
    };
    let close = description
        .commands
        .iter_mut()
        .find(|one| one.name == "close");
    let refuse = |description: &Description| {
        let strict = OutputTerms {
            schemas: Some(&NoZero),
            ..terms(description)
        };
        let refusal = Outcome {
            reply: refused("no", "", None),
            ..nothing()
        };
        read_reply(strict, "close", refusal).is_ok()
    };
    close.unwrap().refusals = vec![
        declare(RefusalKind::Invalid, "no"),
        declare(RefusalKind::Conflict, "not"),
    ];
    assert!(!refuse(&description));
    // Contract 0.1 lists refusals for the API document only.
    description.has_open_refusals = true;
    assert!(refuse(&description));
    description.has_open_refusals = false;
    let close = description
        .commands
        .iter_mut()
        .find(|one| one.name == "close");
    close
        .unwrap()
        .refusals
        .push(declare(RefusalKind::Conflict, "no"));
    assert!(refuse(&description));
}

fn broke<T: std::fmt::Debug>(result: &Result<T, Fault>, kind: FaultKind, words: &str) {
    let Err(fault) = result else {
        panic!("expected `{words}`, not {result:?}")
    };
    assert!(
        fault.kind == kind && fault.detail.contains(words),
        "`{words}` is not in `{fault}`"
    );
}

#[test]
fn without_payloads_the_journal_keeps_that_there_was_a_state_and_no_text() {
    let description = description();
    let terms = OutputTerms {
        kept: Kept::NoPayloads,
        ..terms(&description)
    };
    let envelope = envelope(Origin::Event, "asked");
    let decided = |state| {
        let before = Before {
            state,
            revision: 4,
            correlation: None,
        };
        let outcome = Outcome {
            events: vec![event("opened", "12", "[77777]")],
            ..nothing()
        };
        settle(terms, &envelope, before, outcome, 77).unwrap()
    };
    for (state, kept) in [(Some("[88888]"), Some("")), (None, None)] {
        let settlement = decided(state);
        assert_eq!(settlement.events[0].body, "[77777]", "the event has it");
        let JournalEntry {
            revision_before,
            state_before,
            decision,
            fuel,
            ..
        } = &settlement.journal;
        assert_eq!((*revision_before, *fuel), (4, 77));
        assert_eq!(state_before.as_deref(), kept);
        let text = String::from_utf8_lossy(decision);
        assert!(!text.contains("77777") && !text.contains("88888"));
        let read = settlement.journal.read("7").unwrap_err();
        assert_eq!(read.to_string(), "payload not kept");
    }
}
