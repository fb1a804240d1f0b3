//! A decision in the form of a file of recorded decisions.

use saga_contract::cases::{Case, CaseMessage};
use saga_contract::json::parse;
use saga_core::outcome::{Outcome, Reply, StateChange, TimerChange};
use serde_json::{Value, json};

use crate::store::JournalRow;

/// A row of the journal as a case, or the reason why it can't be one.
pub(super) fn case(row: &JournalRow) -> Result<Case, String> {
    let recorded = row.recorded.as_ref().map_err(ToString::to_string)?;
    let message = &recorded.message;
    let caller = |caller: &saga_core::message::Caller| -> Result<_, String> {
        Ok((caller.subject.clone(), value("the claims", &caller.claims)?))
    };
    let state = recorded.state.as_deref();
    Ok(Case {
        seq: row.seq,
        revision: row.revision,
        generation: recorded.digest.clone(),
        state: state.map(|state| value("the state", state)).transpose()?,
        message: CaseMessage {
            id: message.id.clone(),
            source: message.source.clone(),
            origin: message.origin.word().to_owned(),
            name: message.name.clone(),
            key: message.key.clone(),
            time: message.time,
            correlation: message.correlation.clone(),
            causation: message.causation.clone(),
            caller: message.caller.as_ref().map(caller).transpose()?,
            metadata: message.metadata.clone(),
            version: message.version,
            parameters: message.parameters.clone(),
            body: value("the body", &message.body)?,
        },
        outcome: outcome(&recorded.outcome)?,
    })
}

/// A decision, with its JSON as values.
///
/// # Errors
/// What is no JSON.
pub fn outcome(outcome: &Outcome) -> Result<Value, String> {
    let mut events = Vec::new();
    for event in &outcome.events {
        let body = value("the body of an event", &event.body)?;
        events.push(json!({"type": event.event_type, "key": event.key, "body": body}));
    }
    let mut timers = Vec::new();
    for timer in &outcome.timers {
        timers.push(match timer {
            TimerChange::Cancel(name) => json!({ "cancel": name }),
            TimerChange::Set(timer) => {
                let body = value("the body of a timer", &timer.body)?;
                json!({"set": {"name": timer.name, "due": timer.due, "body": body}})
            }
        });
    }
    let state = match &outcome.state {
        StateChange::Unchanged => json!("unchanged"),
        StateChange::Remove => json!("removed"),
        StateChange::Put(state) => json!({"put": value("the new state", state)?}),
    };
    let mut told = json!({"state": state, "events": events, "timers": timers});
    if let (Some(reply), Value::Object(members)) = (&outcome.reply, &mut told) {
        let reply = match reply {
            Reply::Done(body) => json!({"done": value("the reply", body)?}),
            Reply::Pending(body) => json!({"pending": value("the reply", body)?}),
            Reply::Refused(refusal) => json!({ "refused": refusal }),
        };
        members.insert("reply".to_owned(), reply);
    }
    Ok(told)
}

fn value(what: &str, text: &str) -> Result<Value, String> {
    parse(text).map_err(|reason| format!("{what} {reason}"))
}
