//! Faults that the host would find in an outcome.
//!
//! Owns the comparison of an outcome with the contract it was made under. The typed API rules out
//! the rest (a command without a reply, a read with effects).

use saga_contract::outputs::Output;

use crate::bindings::saga::participant::types::{
    CommandKind, Description, Origin, Outcome, Reply, StateChange, TimerChange,
};
use crate::check::Declared;

/// Everything in `outcome` that the contract does not allow, one sentence each.
pub(super) fn problems(
    (description, declared): (&Description, &Declared),
    origin: Origin,
    name: &str,
    outcome: &Outcome,
) -> Vec<String> {
    let mut problems = Vec::new();
    if let StateChange::Put(state) = &outcome.state {
        problems.extend(declared.output(Output::State, state));
    }
    for event in &outcome.events {
        let published = &description.publications;
        if !published
            .iter()
            .any(|one| one.event_type == event.event_type)
        {
            problems.push(format!(
                "it publishes {:?}, which the contract does not declare: add .publishes(…)",
                event.event_type
            ));
        }
        if event.key.is_empty() {
            problems.push(format!("the event {:?} has an empty key", event.event_type));
        }
        problems.extend(declared.output(Output::Event(&event.event_type), &event.body));
    }
    for timer in &outcome.timers {
        let name = match timer {
            TimerChange::Set(timer) => &timer.name,
            TimerChange::Cancel(name) => name,
        };
        if !description.timers.iter().any(|one| one.name == *name) {
            problems.push(format!(
                "it sets or cancels the timer {name:?}, which the contract does not declare: add .timer(…)"
            ));
        }
        if let TimerChange::Set(timer) = timer {
            problems.extend(declared.output(Output::Timer(name), &timer.body));
            // A host keeps times as signed 64-bit numbers.
            if i64::try_from(timer.due).is_err() {
                problems.push(format!("the timer {name:?} is due at {}", timer.due));
            }
        }
    }
    if let (Origin::Command, Some(Reply::Done(body) | Reply::Pending(body))) =
        (origin, &outcome.reply)
    {
        problems.extend(declared.output(Output::Reply(name), body));
    }
    match (origin, &outcome.reply) {
        (Origin::Command, Some(Reply::Refused(refusal))) => {
            let undeclared = declared.refusal(name, refusal);
            problems.extend(undeclared.map(|undeclared| format!("{undeclared}: add .refuses(…)")));
        }
        (Origin::Command, _) if !matches!(outcome.state, StateChange::Put(_)) => {
            let mut commands = description.commands.iter();
            let creates =
                commands.any(|one| one.name == name && matches!(one.kind, CommandKind::Create(_)));
            if creates {
                problems.push(format!(
                    "command {name:?} creates, but was answered without a state: use Decision::put or refuse it"
                ));
            }
        }
        _ => {}
    }
    problems
}
