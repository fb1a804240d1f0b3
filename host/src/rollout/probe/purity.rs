//! Are rules a function of their input? A call is made twice on one instance and once on a fresh
//! one, and all three must give the same result (invariant 7).

use saga_core::message::Message;
use saga_core::outcome::{Disposition, Outcome};
use saga_core::rules::Fault;
use serde_json::Value;

use super::super::report::DifferingPart;
use super::{compare, json};

/// Characters of a value in a reason.
const VALUE: usize = 80;

/// A result of rules, compared by its meaning: JSON by value.
pub(super) trait Comparable {
    /// The first difference, as its place and both values.
    fn difference(&self, other: &Self) -> Option<ResultDifference>;
}

/// A difference between two results.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResultDifference {
    place: String,
    one: String,
    other: String,
}

impl ResultDifference {
    /// In words: the values, and where each comes from.
    pub(super) fn told(&self, of_one: &str, of_other: &str) -> String {
        let Self { place, one, other } = self;
        format!("{place}: {one} {of_one}, {other} {of_other}")
    }

    /// The first of the parts that differ.
    pub(super) fn of_parts(parts: &[DifferingPart]) -> Option<Self> {
        let part = parts.first()?;
        let place = match part.pointer.as_str() {
            "" => part.what.clone(),
            pointer => format!("{} {pointer}", part.what),
        };
        Some(Self {
            place,
            one: text(part.decided.as_ref()),
            other: text(part.would_decide.as_ref()),
        })
    }
}

impl Comparable for Result<Outcome, Disposition> {
    fn difference(&self, other: &Self) -> Option<ResultDifference> {
        if let (Ok(one), Ok(other)) = (self, other) {
            return ResultDifference::of_parts(&compare::outcomes(one, other));
        }
        let (one, other) = (word(self), word(other));
        (one != other).then(|| ResultDifference {
            place: "answer".into(),
            one: one.into(),
            other: other.into(),
        })
    }
}

impl Comparable for String {
    fn difference(&self, other: &Self) -> Option<ResultDifference> {
        let (one, other) = (compare::parsed(self), compare::parsed(other));
        let found = json::differences(Some(&one), Some(&other), 1);
        let (pointer, one, other) = found.into_iter().next()?;
        let place = format!("state {pointer}").trim_end().to_owned();
        Some(ResultDifference {
            place,
            one: text(one),
            other: text(other),
        })
    }
}

/// The difference between two results of one call. A call that failed for lack of time or memory
/// says nothing.
pub(super) fn difference<T: Comparable>(
    one: &Result<T, Fault>,
    other: &Result<T, Fault>,
) -> Option<ResultDifference> {
    let failed = |fault: &Fault| format!("`{}`", fault.kind);
    let (one, other) = match (one, other) {
        (Ok(one), Ok(other)) => return one.difference(other),
        (Err(_), Err(_)) => return None,
        (Err(fault), _) | (_, Err(fault)) if fault.may_pass() => return None,
        (Err(fault), Ok(_)) => (failed(fault), "a result".to_owned()),
        (Ok(_), Err(fault)) => ("a result".to_owned(), failed(fault)),
    };
    Some(ResultDifference {
        place: "answer".into(),
        one,
        other,
    })
}

/// The name of a message in a reason.
pub(super) fn name_of(message: &Message) -> String {
    let Message { id, name, key, .. } = message;
    let origin = message.origin.word();
    format!("{origin} {id}, `{name}` of aggregate {key}")
}

/// The reason against rules that are no function of their input.
pub(super) fn reason(on: &str, difference: &str) -> String {
    format!(
        "it is not a function of its input: on {on}, {difference}; rules may keep nothing from one call to the next, and may \
         not depend on the order of a hash map"
    )
}

fn word(answer: &Result<Outcome, Disposition>) -> &'static str {
    match answer {
        Ok(_) => "decided",
        Err(Disposition::Malformed(_)) => "malformed",
        Err(Disposition::RetryLater(_)) => "retry later",
    }
}

fn text(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".into();
    };
    let text = value.to_string();
    match text.char_indices().nth(VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
