//! Differences between two decisions on one message: in the state, an event, a timer, the reply.

use std::fmt;

use saga_core::outcome::{Event, Outcome, Refusal, Reply, StateChange, TimerChange};
use serde_json::{Value, json};

use super::super::report::DifferingPart;
use super::json::differences;
use super::trial::TrialAnswer;

/// Most differing parts of one decision in a report.
const PARTS: usize = 256;

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rollout) enum ProbeSubject {
    /// The answer as a whole: one of them is no decision.
    Answer,
    /// The state.
    State,
    /// An event, with its place among those of its decision.
    Event(usize, String),
    /// The order of the events.
    Events,
    /// The timer of this name.
    Timer(String),
    /// The reply.
    Reply,
}

impl fmt::Display for ProbeSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => f.write_str("answer"),
            Self::State => f.write_str("state"),
            Self::Event(number, event_type) => write!(f, "event {number} `{event_type}`"),
            Self::Events => f.write_str("events"),
            Self::Timer(name) => write!(f, "timer `{name}`"),
            Self::Reply => f.write_str("reply"),
        }
    }
}

/// A place at which two decisions differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rollout) struct Part {
    /// What differs.
    pub(in crate::rollout) subject: ProbeSubject,
    /// JSON pointer into it.
    pub(in crate::rollout) pointer: String,
    /// The value of the first decision.
    pub(in crate::rollout) decided: Option<Value>,
    /// The value of the other one.
    pub(in crate::rollout) would_decide: Option<Value>,
}

impl From<Part> for DifferingPart {
    fn from(part: Part) -> Self {
        Self {
            what: part.subject.to_string(),
            pointer: part.pointer,
            decided: part.decided,
            would_decide: part.would_decide,
        }
    }
}

/// The differences between an answer and a recorded decision. JSON is compared by value, not by its
/// text.
pub(super) fn parts(decided: &Outcome, answer: &TrialAnswer) -> Vec<DifferingPart> {
    let found = differing(decided, answer);
    found.into_iter().map(DifferingPart::from).collect()
}

/// The differences between two decisions.
pub(super) fn outcomes(one: &Outcome, other: &Outcome) -> Vec<DifferingPart> {
    let mut found = DifferingParts(Vec::new());
    found.outcomes(one, other);
    found.0.into_iter().map(DifferingPart::from).collect()
}

/// [`parts`], with what differs as a value.
pub(in crate::rollout) fn differing(decided: &Outcome, answer: &TrialAnswer) -> Vec<Part> {
    let mut found = DifferingParts(Vec::new());
    match answer {
        TrialAnswer::Decided(outcome) => found.outcomes(decided, outcome),
        answer => found.differ(ProbeSubject::Answer, "decided", &answer.in_words()),
    }
    found.0
}

struct DifferingParts(Vec<Part>);

impl DifferingParts {
    fn outcomes(&mut self, one: &Outcome, other: &Outcome) {
        let (one_state, other_state) = (state(&one.state), state(&other.state));
        match (&one.state, &other.state) {
            (StateChange::Put(_), StateChange::Put(_)) => {
                self.values(&ProbeSubject::State, Some(&one_state), Some(&other_state));
            }
            (one, other) if one == other => {}
            _ => self.differ_as(ProbeSubject::State, Some(one_state), Some(other_state)),
        }
        self.events(&one.events, &other.events);
        for name in names(&one.timers, &other.timers) {
            let (one, other) = (timer(&one.timers, name), timer(&other.timers, name));
            let subject = ProbeSubject::Timer(name.to_owned());
            self.values(&subject, one.as_ref(), other.as_ref());
        }
        let (one, other) = (
            one.reply.as_ref().map(reply),
            other.reply.as_ref().map(reply),
        );
        self.values(&ProbeSubject::Reply, one.as_ref(), other.as_ref());
    }

    /// Compares each event with the one of its type that has the same place among those of the type.
    fn events(&mut self, ones: &[Event], others: &[Event]) {
        let value = |event: &Event| json!({"key": event.key, "body": parsed(&event.body)});
        let known = self.0.len();
        let mut left: Vec<_> = others.iter().zip(1..).collect();
        for (one, number) in ones.iter().zip(1..) {
            let pair = (left.iter()).position(|(other, _)| other.event_type == one.event_type);
            let other = pair.map(|at| value(left.remove(at).0));
            let subject = ProbeSubject::Event(number, one.event_type.clone());
            self.values(&subject, Some(&value(one)), other.as_ref());
        }
        for (other, number) in left {
            let subject = ProbeSubject::Event(number, other.event_type.clone());
            self.values(&subject, None, Some(&value(other)));
        }
        let types = |events: &[Event]| -> Vec<String> {
            events
                .iter()
                .map(|event| event.event_type.clone())
                .collect()
        };
        let (ones, others) = (types(ones), types(others));
        if self.0.len() == known && ones != others {
            self.differ_as(ProbeSubject::Events, Some(json!(ones)), Some(json!(others)));
        }
    }

    fn values(&mut self, subject: &ProbeSubject, one: Option<&Value>, other: Option<&Value>) {
        let room = PARTS.saturating_sub(self.0.len());
        let part = |(pointer, one, other): (String, Option<&Value>, Option<&Value>)| Part {
            subject: subject.clone(),
            pointer,
            decided: one.cloned(),
            would_decide: other.cloned(),
        };
        let differences = differences(one, other, room);
        self.0.extend(differences.into_iter().map(part));
    }

    fn differ(&mut self, subject: ProbeSubject, one: &str, other: &str) {
        self.differ_as(subject, Some(one.into()), Some(other.into()));
    }

    fn differ_as(&mut self, subject: ProbeSubject, one: Option<Value>, other: Option<Value>) {
        self.0.push(Part {
            subject,
            pointer: String::new(),
            decided: one,
            would_decide: other,
        });
    }
}

fn state(change: &StateChange) -> Value {
    match change {
        StateChange::Unchanged => "unchanged".into(),
        StateChange::Put(state) => parsed(state),
        StateChange::Remove => "removed".into(),
    }
}

/// The names of the timers that are set or cancelled, without duplicates.
fn names<'t>(one: &'t [TimerChange], other: &'t [TimerChange]) -> Vec<&'t str> {
    let mut names: Vec<_> = one.iter().chain(other).map(timer_name).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(*name));
    names
}

/// The result for a timer: its last change counts.
fn timer(changes: &[TimerChange], name: &str) -> Option<Value> {
    let mut changes = changes.iter().rev();
    let change = changes.find(|change| timer_name(change) == name)?;
    Some(match change {
        TimerChange::Set(timer) => json!({"due": timer.due, "body": parsed(&timer.body)}),
        TimerChange::Cancel(_) => "cancelled".into(),
    })
}

fn timer_name(change: &TimerChange) -> &str {
    match change {
        TimerChange::Set(timer) => &timer.name,
        TimerChange::Cancel(name) => name,
    }
}

fn reply(reply: &Reply) -> Value {
    match reply {
        Reply::Done(body) => json!({"done": parsed(body)}),
        Reply::Pending(body) => json!({"pending": parsed(body)}),
        Reply::Refused(Refusal {
            kind,
            code,
            detail,
            pointer,
        }) => {
            json!({"refused": {"kind": kind, "code": code, "detail": detail, "pointer": pointer}})
        }
    }
}

/// JSON text as a value; other text as a string.
pub(in crate::rollout) fn parsed(text: &str) -> Value {
    saga_contract::json::parse(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
