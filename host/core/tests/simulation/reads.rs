//! Reads are linearizable for each key: a read shows every change that was acknowledged before it
//! began, and nothing older than what an earlier read has shown.

use std::collections::BTreeMap;

use saga_core::outcome::Reply;
use serde_json::Value;

use crate::checker::{Violation, must, read};
use crate::host::Answer;
use crate::journal;
use crate::process::Process;
use crate::scene::Call;
use crate::world::World;

/// The states of a key, the first of which is that there is none; each with the call that decided it.
pub(crate) type States = Vec<(Option<Value>, Option<String>)>;

/// Invariant 10, for reads.
pub(crate) fn check(process: &Process, world: &World) -> Result<(), Violation> {
    let mut of_keys = journal::states_by_key(process);
    let calls = world.scene.calls.iter();
    let calls: Vec<&Call> = calls.filter(|call| call.role == process.role).collect();
    let answered: BTreeMap<&str, usize> = (calls.iter())
        .filter(|call| matches!(call.answer, Some(Answer::Replied(_))))
        .map(|call| (&*call.id, call.answered))
        .collect();
    let mut reads: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        if call.command == "get"
            && let Some(key) = &call.key
        {
            reads.entry(key).or_default().push(call);
        }
    }
    for (key, mut reads) in reads {
        reads.sort_by_key(|call| call.asked);
        let states = of_keys.remove(key).unwrap_or_else(|| vec![(None, None)]);
        of_key(&states, &answered, &reads)?;
    }
    Ok(())
}

fn of_key(
    states: &States,
    answered: &BTreeMap<&str, usize>,
    reads: &[&Call],
) -> Result<(), Violation> {
    // When a state was known to somebody, and its place.
    let mut known: Vec<(usize, usize)> = Vec::new();
    for (place, (_, call)) in states.iter().enumerate() {
        let at = call.as_deref().and_then(|call| answered.get(call));
        known.extend(at.map(|at| (*at, place)));
    }
    for call in reads {
        let shown = match &call.answer {
            Some(Answer::Replied(Reply::Done(state))) => Some(shapeless(state)),
            Some(Answer::Replied(_)) => None,
            _ => continue,
        };
        let before = known.iter().filter(|(at, _)| *at <= call.asked);
        let oldest = before.map(|(_, place)| *place).max().unwrap_or(0);
        let mut from = states.iter().enumerate().skip(oldest);
        let place = from.find(|(_, (state, _))| *state == shown);
        must(place.is_some(), 10, || {
            let Call { id, key, .. } = call;
            format!(
                "read {id} of {key:?} showed {shown:?}, older than {:?}",
                states[oldest]
            )
        })?;
        known.extend(place.map(|(place, _)| (call.answered, place)));
    }
    Ok(())
}

/// A state without the version of its shape: it may have been migrated without a decision.
pub(crate) fn shapeless(text: &str) -> Value {
    let mut value: Value = read(text.as_bytes());
    value["v"] = 0.into();
    value
}
