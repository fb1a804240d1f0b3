//! Faults that the host would find in an outcome.
//!
//! Owns the comparison of an outcome with the contract it was made under. The typed API rules out
//! the rest (a command without a reply, a read with effects).

use crate::bindings::saga::participant::types::{
    CommandKind, Description, Origin, Outcome, Refusal, Reply, StateChange, TimerChange,
};

/// Everything in `outcome` that the contract does not allow, one sentence each.
pub(super) fn problems(
    description: &Description,
    origin: Origin,
    name: &str,
    outcome: &Outcome,
) -> Vec<String> {
    let mut problems = Vec::new();
    for event in &outcome.events {
        let declared = &description.publications;
        if !declared
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
    }
    match (origin, &outcome.reply) {
        (Origin::Command, Some(Reply::Refused(refusal))) => {
            problems.extend(undeclared(description, name, refusal));
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

fn undeclared(description: &Description, command: &str, refusal: &Refusal) -> Option<String> {
    let command = description
        .commands
        .iter()
        .find(|one| one.name == command)?;
    let mut declared = command.refusals.iter();
    let known = declared.any(|one| one.code == refusal.code && one.kind == refusal.kind);
    (!known).then(|| {
        format!(
            "command {:?} refuses with {:?} ({:?}), which it does not declare: add .refuses(…)",
            command.name, refusal.code, refusal.kind
        )
    })
}
