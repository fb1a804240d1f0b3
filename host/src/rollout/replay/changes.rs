//! Changes of decisions, grouped by what changed, in words of a reviewer.
//!
//! A place whose decisions went from few values to few others has a group for each of these
//! transitions; any other place has one group. All of it is bounded (invariant 9): the first places
//! in their order are kept. The groups are the same however the decisions were shared out among
//! threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saga_core::message::Message;
use saga_core::outcome::{Outcome, Reply, StateChange};
use serde_json::Value;

use super::decide::Changed;
use super::report::{ChangeGroup, Example};
use crate::base::printable::cut;
use crate::rollout::probe::compare::{Part, ProbeSubject};
use crate::rollout::probe::trial::TrialAnswer;

/// Most examples of a group.
const EXAMPLES: usize = 3;

/// Most transitions of a place that have groups of their own.
const TRANSITIONS: usize = 12;

/// Most places; decisions that changed at others too are counted together.
const PLACES: usize = 200;

/// Most bytes of a text of an example.
const TEXT: usize = 4_096;

/// Most characters of a value in a transition.
const VALUE: usize = 60;

/// The place at which decisions changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Order of the kinds of places in a report.
    order: u8,
    what: String,
    pointer: String,
}

/// From one value to another.
type Transition = (String, String);

/// Changes by place.
#[derive(Default)]
pub(super) struct ChangeGroups {
    /// The first places of all.
    first: BTreeMap<Place, Changing>,
    /// The decisions that changed at a place behind these.
    others: Counted,
}

/// The changes at one place.
#[derive(Default)]
struct Changing {
    all: Counted,
    /// Those of the decisions that changed at no place behind this one. If the place is not kept,
    /// they belong to the others; the rest of its decisions belongs to them already.
    last: Counted,
    /// More than [`TRANSITIONS`] are too many.
    transitions: BTreeMap<Transition, Counted>,
}

/// Decisions and the first of them.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) count: u64,
    pub(super) examples: Examples,
}

/// The first decisions of a group.
#[derive(Default)]
pub(super) struct Examples(BTreeMap<i64, Arc<Example>>);

impl Examples {
    /// The examples, in the order of the journal.
    pub(super) fn told(self) -> Vec<Example> {
        let examples = self.0.into_values();
        examples.map(Arc::unwrap_or_clone).collect()
    }

    fn takes(&self, seq: i64) -> bool {
        let last = self.0.last_key_value();
        self.0.len() < EXAMPLES || last.is_some_and(|(last, _)| seq < *last)
    }

    fn insert(&mut self, seq: i64, example: Arc<Example>) {
        self.0.insert(seq, example);
        if self.0.len() > EXAMPLES {
            self.0.pop_last();
        }
    }
}

impl Counted {
    /// Counts a decision; `made` keeps its example for other groups.
    pub(super) fn add(
        &mut self,
        seq: i64,
        made: &mut Option<Arc<Example>>,
        example: impl Fn() -> Arc<Example>,
    ) {
        self.count += 1;
        if self.examples.takes(seq) {
            let example = made.get_or_insert_with(example);
            self.examples.insert(seq, example.clone());
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        for (seq, example) in other.examples.0 {
            self.examples.insert(seq, example);
        }
    }
}

impl Changing {
    /// True if decisions of this transition are counted.
    fn has_room(&self, transition: &Transition) -> bool {
        self.transitions.len() <= TRANSITIONS || self.transitions.contains_key(transition)
    }

    fn merge(&mut self, other: Self) {
        self.all.merge(other.all);
        self.last.merge(other.last);
        for (transition, counted) in other.transitions {
            if self.has_room(&transition) {
                self.transitions
                    .entry(transition)
                    .or_default()
                    .merge(counted);
            }
        }
    }
}

impl ChangeGroups {
    /// Adds a decision that changed.
    pub(super) fn add(
        &mut self,
        seq: i64,
        message: &Message,
        changed: &Changed,
        example: impl Fn() -> Arc<Example>,
    ) {
        let mut made = None;
        let changes = places(message, changed);
        let mut places = changes.iter().peekable();
        while let Some((place, transition)) = places.next() {
            let next = places.peek().map(|(next, _)| next);
            let Some(changing) = self.changing(place) else {
                if next.is_none() {
                    self.others.add(seq, &mut made, &example);
                }
                continue;
            };
            if next.is_none() {
                changing.last.add(seq, &mut made, &example);
            }
            if next != Some(place) {
                changing.all.add(seq, &mut made, &example);
            }
            if changing.has_room(transition) {
                let counted = changing.transitions.entry(transition.clone()).or_default();
                counted.add(seq, &mut made, &example);
            }
        }
    }

    /// What changed at a place; None if it lies behind those that are kept.
    fn changing(&mut self, place: &Place) -> Option<&mut Changing> {
        if !self.first.contains_key(place) {
            self.first.insert(place.clone(), Changing::default());
            if self.first.len() > PLACES
                && let Some((_, changing)) = self.first.pop_last()
            {
                self.others.merge(changing.last);
            }
        }
        self.first.get_mut(place)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.others.merge(other.others);
        for (place, theirs) in other.first {
            match self.changing(&place) {
                Some(ours) => ours.merge(theirs),
                None => self.others.merge(theirs.last),
            }
        }
    }

    /// The groups: states, events, timers, replies; within each the most frequent first.
    pub(super) fn groups(self) -> Vec<ChangeGroup> {
        let mut groups = Vec::new();
        for (place, changing) in self.first {
            let group = |counted: Counted, transition: Option<Transition>| {
                let (from, to) = transition.unzip();
                let group = ChangeGroup {
                    what: place.what.clone(),
                    pointer: place.pointer.clone(),
                    from,
                    to,
                    count: counted.count,
                    examples: counted.examples.told(),
                };
                (place.order, group)
            };
            if changing.transitions.len() > TRANSITIONS {
                groups.push(group(changing.all, None));
            } else {
                let transitions = changing.transitions.into_iter();
                groups.extend(transitions.map(|(one, counted)| group(counted, Some(one))));
            }
        }
        if self.others.count > 0 {
            let group = ChangeGroup {
                what: "other places".into(),
                pointer: String::new(),
                from: None,
                to: None,
                count: self.others.count,
                examples: self.others.examples.told(),
            };
            groups.push((u8::MAX, group));
        }
        groups.sort_by_key(|(order, group)| (*order, std::cmp::Reverse(group.count)));
        groups.into_iter().map(|(_, group)| group).collect()
    }
}

/// The places at which a decision changed, and how, without repetitions.
fn places(message: &Message, changed: &Changed) -> BTreeSet<(Place, Transition)> {
    let mut places = BTreeSet::new();
    let would = match &changed.answer {
        TrialAnswer::Decided(outcome) => Some(&**outcome),
        TrialAnswer::Malformed(_) | TrialAnswer::RetryLater(_) => None,
    };
    let replies = would.map(|would| (reply(&changed.recorded), reply(would)));
    for part in &changed.parts {
        let (order, what) = match &part.subject {
            ProbeSubject::Answer => (0, "answer".to_owned()),
            ProbeSubject::State => (1, "state".to_owned()),
            ProbeSubject::Event(_, event_type) => (2, format!("event `{event_type}`")),
            ProbeSubject::Events => (2, "events".to_owned()),
            ProbeSubject::Timer(name) => (3, format!("timer `{name}`")),
            ProbeSubject::Reply => (4, "reply".to_owned()),
        };
        let mut place = Place {
            order,
            what,
            pointer: pointer(part),
        };
        let transition = match (&part.subject, &replies) {
            (ProbeSubject::Answer, _) => ("decided".to_owned(), answer_word(&changed.answer)),
            (ProbeSubject::Reply, Some((one, other))) if one != other => {
                place.pointer.clear();
                (one.clone(), other.clone())
            }
            (ProbeSubject::State, _) => of_state(part, &changed.recorded, would),
            (ProbeSubject::Event(..), _) if part.pointer.is_empty() => {
                let word = |value: &Option<Value>| match value {
                    Some(_) => "published".to_owned(),
                    None => "not published".to_owned(),
                };
                (word(&part.decided), word(&part.would_decide))
            }
            (ProbeSubject::Timer(_), _) => of_timer(part, message.time),
            _ => of_values(part),
        };
        places.insert((place, transition));
    }
    places
}

fn answer_word(answer: &TrialAnswer) -> String {
    match answer {
        TrialAnswer::Decided(_) => "decided".into(),
        TrialAnswer::Malformed(_) => "malformed".into(),
        TrialAnswer::RetryLater(_) => "retry later".into(),
    }
}

/// The pointer with `*` for the items of a list. Members of an object that are numbers count as
/// such items too.
fn pointer(part: &Part) -> String {
    let tokens = part.pointer.split('/');
    let tokens: Vec<_> = tokens
        .map(|token| if is_number(token) { "*" } else { token })
        .collect();
    tokens.join("/")
}

fn is_number(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit())
}

fn of_values(part: &Part) -> Transition {
    (
        shown(part.decided.as_ref()),
        shown(part.would_decide.as_ref()),
    )
}

fn of_state(part: &Part, recorded: &Outcome, would: Option<&Outcome>) -> Transition {
    let word = |change: &StateChange| match change {
        StateChange::Unchanged => "unchanged".to_owned(),
        StateChange::Put(_) => "written".to_owned(),
        StateChange::Remove => "removed".to_owned(),
    };
    match would {
        Some(would) if part.pointer.is_empty() => {
            let (one, other) = (word(&recorded.state), word(&would.state));
            match one == other {
                true => of_values(part),
                false => (one, other),
            }
        }
        _ => of_values(part),
    }
}

/// A due time is told by its distance from the message.
fn of_timer(part: &Part, now: u64) -> Transition {
    let word = |value: &Option<Value>| match value {
        None => "not set".to_owned(),
        Some(Value::String(_)) => "cancelled".to_owned(),
        Some(_) => "set".to_owned(),
    };
    let due = |value: &Option<Value>| {
        let due = value.as_ref().and_then(Value::as_i64);
        due.map(|due| seconds_after(due.saturating_sub(now as i64)))
    };
    match part.pointer.as_str() {
        "" => (word(&part.decided), word(&part.would_decide)),
        "/due" => match (due(&part.decided), due(&part.would_decide)) {
            (Some(one), Some(other)) => (one, other),
            _ => of_values(part),
        },
        _ => of_values(part),
    }
}

/// `after 90 s`, `after 0.25 s`.
fn seconds_after(milliseconds: i64) -> String {
    format!("after {} s", milliseconds as f64 / 1_000.0)
}

/// The kind of a reply, and the code of a refusal.
fn reply(outcome: &Outcome) -> String {
    match &outcome.reply {
        None => "none".into(),
        Some(Reply::Done(_)) => "done".into(),
        Some(Reply::Pending(_)) => "pending".into(),
        Some(Reply::Refused(refusal)) => {
            format!("refused ({}) `{}`", refusal.kind.word(), refusal.code)
        }
    }
}

/// A value in a few characters.
fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::Object(_)) => "{…}".into(),
        Some(Value::Array(_)) => "[…]".into(),
        Some(scalar) => cut(&scalar.to_string(), VALUE).into_owned(),
    }
}

/// A text of an example, cut if it is long.
pub(super) fn cut_text(mut text: String) -> String {
    if text.len() > TEXT {
        let end = (0..=TEXT).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
