//! Differences between two decisions on one message: in the state, an event, a timer, the reply.

use saga_core::outcome::{Event, Outcome, Refusal, Reply, StateChange, TimerChange};
use serde_json::{Value, json};

use super::super::report::DifferingPart;
use super::json::differences;
use super::trial::TrialAnswer;

/// Most differing parts of one decision in a report.
const PARTS: usize = 256;

/// The differences between an answer and a recorded decision. JSON is compared by value, not by its
/// text.
pub(super) fn parts(decided: &Outcome, answer: &TrialAnswer) -> Vec<DifferingPart> {
    let mut found = DifferingParts(Vec::new());
    match answer {
        TrialAnswer::Decided(outcome) => return outcomes(decided, outcome),
        TrialAnswer::Malformed(why) => {
            found.differ("answer", "decided", &format!("malformed: {why}"))
        }
        TrialAnswer::RetryLater(why) => {
            found.differ("answer", "decided", &format!("retry later: {why}"))
        }
    }
    found.0
}

/// The differences between two decisions.
pub(super) fn outcomes(one: &Outcome, other: &Outcome) -> Vec<DifferingPart> {
    let mut found = DifferingParts(Vec::new());
    found.outcomes(one, other);
    found.0
}

struct DifferingParts(Vec<DifferingPart>);

impl DifferingParts {
    fn outcomes(&mut self, one: &Outcome, other: &Outcome) {
        let (one_state, other_state) = (state(&one.state), state(&other.state));
        match (&one.state, &other.state) {
            (StateChange::Put(_), StateChange::Put(_)) => {
                self.values("state", Some(&one_state), Some(&other_state));
            }
            (one, other) if one == other => {}
            _ => self.differ_as("state", Some(one_state), Some(other_state)),
        }
        for number in 0..one.events.len().max(other.events.len()) {
            self.events(number + 1, one.events.get(number), other.events.get(number));
        }
        for name in names(&one.timers, &other.timers) {
            let (one, other) = (timer(&one.timers, name), timer(&other.timers, name));
            self.values(&format!("timer `{name}`"), one.as_ref(), other.as_ref());
        }
        let (one, other) = (
            one.reply.as_ref().map(reply),
            other.reply.as_ref().map(reply),
        );
        self.values("reply", one.as_ref(), other.as_ref());
    }

    fn events(&mut self, number: usize, one: Option<&Event>, other: Option<&Event>) {
        let value = |event: &Event| json!({"key": event.key, "body": parsed(&event.body)});
        let name = |event: &Event| format!("event {number} `{}`", event.event_type);
        match (one, other) {
            (Some(one), Some(other)) if one.event_type == other.event_type => {
                self.values(&name(one), Some(&value(one)), Some(&value(other)));
            }
            _ => {
                if let Some(one) = one {
                    self.values(&name(one), Some(&value(one)), None);
                }
                if let Some(other) = other {
                    self.values(&name(other), None, Some(&value(other)));
                }
            }
        }
    }

    fn values(&mut self, what: &str, one: Option<&Value>, other: Option<&Value>) {
        let room = PARTS.saturating_sub(self.0.len());
        let part =
            |(pointer, one, other): (String, Option<&Value>, Option<&Value>)| DifferingPart {
                what: what.to_owned(),
                pointer,
                decided: one.cloned(),
                would_decide: other.cloned(),
            };
        let differences = differences(one, other, room);
        self.0.extend(differences.into_iter().map(part));
    }

    fn differ(&mut self, what: &str, one: &str, other: &str) {
        self.differ_as(what, Some(one.into()), Some(other.into()));
    }

    fn differ_as(&mut self, what: &str, one: Option<Value>, other: Option<Value>) {
        self.0.push(DifferingPart {
            what: what.to_owned(),
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
pub(super) fn parsed(text: &str) -> Value {
    saga_contract::json::parse(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
