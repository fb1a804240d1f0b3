//! Recorded decisions without their payload: what rules were asked and what they did, by names, ids
//! and sizes. Texts that a client or the rules wrote are not there: bodies, states, claims, headers,
//! parameters, the caller's name, the words of a refusal.

use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::outcome::{Event, Outcome, Refusal, Reply, StateChange, Timer, TimerChange};

/// A recorded decision without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The message, without its payload.
    pub message: Message,
    /// The outcome; its texts are empty.
    pub outcome: Outcome,
    /// Bytes of what is not there.
    pub sizes: Sizes,
}

/// Bytes of the payload of a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Of the body of the message.
    pub body: usize,
    /// Of the state before; None if there was none.
    pub state_before: Option<usize>,
    /// Of the state that was written; None if none was.
    pub state: Option<usize>,
    /// Of the events, in their order.
    pub events: Vec<usize>,
    /// Of the timers that were set, in their order.
    pub timers: Vec<usize>,
    /// Of the reply, or of the words of a refusal; None if there was none.
    pub reply: Option<usize>,
}

impl Outline {
    /// The outline of a decision on this state.
    pub(super) fn of(message: &Message, state: Option<&str>, outcome: &Outcome) -> Self {
        let timers = outcome.timers.iter().filter_map(|change| match change {
            TimerChange::Set(timer) => Some(timer.body.len()),
            TimerChange::Cancel(_) => None,
        });
        let sizes = Sizes {
            body: message.body.len(),
            state_before: state.map(str::len),
            state: match &outcome.state {
                StateChange::Put(state) => Some(state.len()),
                StateChange::Unchanged | StateChange::Remove => None,
            },
            events: outcome
                .events
                .iter()
                .map(|event| event.body.len())
                .collect(),
            timers: timers.collect(),
            reply: outcome.reply.as_ref().map(reply_bytes),
        };
        let message = Message {
            caller: None,
            metadata: Vec::new(),
            parameters: Vec::new(),
            body: String::new(),
            ..message.clone()
        };
        Self {
            message,
            outcome: bare(outcome),
            sizes,
        }
    }
}

fn reply_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Done(body) | Reply::Pending(body) => body.len(),
        Reply::Refused(refusal) => {
            refusal.detail.len() + refusal.pointer.as_ref().map_or(0, String::len)
        }
    }
}

/// An outcome without its texts.
fn bare(outcome: &Outcome) -> Outcome {
    let events = outcome.events.iter().map(|event| Event {
        event_type: event.event_type.clone(),
        key: event.key.clone(),
        body: String::new(),
    });
    let timers = outcome.timers.iter().map(|change| match change {
        TimerChange::Set(timer) => TimerChange::Set(Timer {
            name: timer.name.clone(),
            due: timer.due,
            body: String::new(),
        }),
        TimerChange::Cancel(name) => TimerChange::Cancel(name.clone()),
    });
    let reply = outcome.reply.as_ref().map(|reply| match reply {
        Reply::Done(_) => Reply::Done(String::new()),
        Reply::Pending(_) => Reply::Pending(String::new()),
        Reply::Refused(refusal) => Reply::Refused(Refusal {
            kind: refusal.kind,
            code: refusal.code.clone(),
            detail: String::new(),
            pointer: None,
        }),
    });
    Outcome {
        state: match &outcome.state {
            StateChange::Put(_) => StateChange::Put(String::new()),
            StateChange::Unchanged => StateChange::Unchanged,
            StateChange::Remove => StateChange::Remove,
        },
        events: events.collect(),
        timers: timers.collect(),
        reply,
    }
}
