#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_contract::description::RefusalKind;
use saga_core::outcome::Timer;

use super::*;

fn nothing() -> Outcome {
    Outcome {
        state: StateChange::Unchanged,
        events: Vec::new(),
        timers: Vec::new(),
        reply: None,
    }
}

fn event(event_type: &str, body: &str) -> Event {
    Event {
        event_type: event_type.into(),
        key: "k".into(),
        body: body.into(),
    }
}

fn set(name: &str, due: u64) -> TimerChange {
    TimerChange::Set(Timer {
        name: name.into(),
        due,
        body: "null".into(),
    })
}

/// The differences: part, pointer, and both values as JSON.
fn told(one: &Outcome, other: Outcome) -> Vec<String> {
    let text = |value: &Option<Value>| value.as_ref().map_or("-".into(), Value::to_string);
    parts(one, &TrialAnswer::Decided(Box::new(other)))
        .iter()
        .map(|part| {
            let (decided, would) = (text(&part.decided), text(&part.would_decide));
            format!("{} {} {decided} {would}", part.what, part.pointer)
        })
        .collect()
}

#[test]
fn decisions_that_come_to_the_same_do_not_differ_however_they_are_written() {
    let one = Outcome {
        state: StateChange::Put(r#"{"a":1.50,"b":[1,2]}"#.into()),
        events: vec![event("e", r#"{"n":100}"#)],
        timers: vec![set("t", 7), set("u", 8)],
        reply: Some(Reply::Done(r#"{"x": null, "y": "ä"}"#.into())),
    };
    let other = Outcome {
        state: StateChange::Put(r#"{ "b": [1, 2.0], "a": 1.5 }"#.into()),
        events: vec![event("e", r#"{"n":1e2}"#)],
        timers: vec![set("u", 8), TimerChange::Cancel("t".into()), set("t", 7)],
        reply: Some(Reply::Done("{\"y\":\"\\u00e4\",\"x\":null}".into())),
    };
    assert_eq!(told(&one, other), Vec::<String>::new());
    assert_eq!(told(&nothing(), nothing()), Vec::<String>::new());
}

#[test]
fn each_difference_says_what_and_where() {
    let one = Outcome {
        state: StateChange::Put(r#"{"status":"PENDING","total":3}"#.into()),
        events: vec![event("first", r#"{"n":1}"#), event("second", "2")],
        timers: vec![set("later", 7), set("soon", 1)],
        reply: Some(Reply::Done("1".into())),
    };
    let refused = Refusal {
        kind: RefusalKind::Conflict,
        code: "no".into(),
        detail: "No.".into(),
        pointer: None,
    };
    let other = Outcome {
        state: StateChange::Put(r#"{"status":"APPROVED","total":3}"#.into()),
        events: vec![
            event("first", r#"{"n":2}"#),
            event("other", "2"),
            event("third", "3"),
        ],
        timers: vec![
            set("later", 8),
            TimerChange::Cancel("soon".into()),
            set("new", 9),
        ],
        reply: Some(Reply::Refused(refused)),
    };
    assert_eq!(
        told(&one, other),
        [
            r#"state /status "PENDING" "APPROVED""#,
            "event 1 `first` /body/n 1 2",
            r#"event 2 `second`  {"body":2,"key":"k"} -"#,
            r#"event 2 `other`  - {"body":2,"key":"k"}"#,
            r#"event 3 `third`  - {"body":3,"key":"k"}"#,
            "timer `later` /due 7 8",
            r#"timer `soon`  {"body":null,"due":1} "cancelled""#,
            r#"timer `new`  - {"body":null,"due":9}"#,
            "reply /done 1 -",
            r#"reply /refused - {"code":"no","detail":"No.","kind":"conflict","pointer":null}"#,
        ]
    );
}

#[test]
fn a_state_that_stays_goes_or_comes_differs_as_a_whole() {
    let put = |state: &str| Outcome {
        state: StateChange::Put(state.into()),
        ..nothing()
    };
    let removed = Outcome {
        state: StateChange::Remove,
        ..nothing()
    };
    assert_eq!(told(&nothing(), put("1")), [r#"state  "unchanged" 1"#]);
    assert_eq!(told(&put("1"), removed.clone()), [r#"state  1 "removed""#]);
    assert_eq!(
        told(&removed, nothing()),
        [r#"state  "removed" "unchanged""#]
    );
}

#[test]
fn a_decision_that_becomes_a_failure_differs() {
    for (answer, says) in [
        (TrialAnswer::Malformed("why".into()), "malformed: why"),
        (
            TrialAnswer::RetryLater("not yet".into()),
            "retry later: not yet",
        ),
    ] {
        let parts = parts(&nothing(), &answer);
        assert_eq!(parts.len(), 1);
        assert_eq!(parts.first().unwrap().would_decide, Some(says.into()));
    }
}

#[test]
fn no_more_places_are_told_than_fit() {
    let list = |number: i32| serde_json::to_string(&vec![number; 1_000]).unwrap();
    let put = |number| Outcome {
        state: StateChange::Put(list(number)),
        ..nothing()
    };
    assert_eq!(told(&put(1), put(2)).len(), PARTS);
}
