//! Settlement: turns the rules' answer into one value that holds everything that must be committed
//! together (invariant 2), or into a fault.
//!
//! Pure. The store applies a [`Settlement`] without further decisions, and a turn writes nothing
//! that is not in it.

use crate::admit::check_key;
use crate::identity::{self, Identity};
use crate::journal::{self, Kept};
use crate::limits::TurnLimits;
use crate::message::{Envelope, Message, Origin};
use crate::outcome::{Outcome, Reply, StateChange, Timer, TimerChange};
use crate::outputs;
use crate::rules::{Fault, FaultKind};
use saga_contract::description::{CommandKind, Description};
use saga_contract::outputs::{Output, OutputSchemas};

/// The terms that an answer of the rules must keep.
#[derive(Clone, Copy)]
pub struct OutputTerms<'t> {
    /// The participant's description.
    pub description: &'t Description,
    /// Bounds of a turn.
    pub limits: &'t TurnLimits,
    /// Schemas of the outputs; `None` to check only that outputs are JSON, and any refusal is
    /// allowed.
    pub schemas: Option<&'t dyn OutputSchemas>,
    /// What is recorded of the decision.
    pub kept: Kept,
}

/// All changes of one decided turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Key of the aggregate.
    pub key: String,
    /// Revision of the aggregate afterwards; each change of its state adds one.
    pub revision: u64,
    /// The change of the state.
    pub state: StateChange,
    /// Correlation of the saga that the aggregate belongs to.
    pub correlation: String,
    /// The message that was decided on.
    pub cause: Cause,
    /// Identity to remember for deduplication; None for a command, whose id the host has just
    /// generated.
    pub inbox: Option<Identity>,
    /// Events to publish, in order.
    pub events: Vec<OutgoingEvent>,
    /// Timers to set or cancel, in order.
    pub timers: Vec<TimerChange>,
    /// The answer for the client; None unless the message is a command.
    pub reply: Option<Reply>,
    /// The recorded decision.
    pub journal: JournalEntry,
}

/// An event with the data of its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// Topic, by the participant's name for it.
    pub topic: String,
    /// Event type.
    pub event_type: String,
    /// Record key.
    pub key: String,
    /// JSON text.
    pub body: String,
    /// Version of the body.
    pub version: u32,
    /// Its id, the same however often the turn is run.
    pub id: String,
}

/// Data of the causing message, which everything that results from the turn carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Id of the message.
    pub id: String,
    /// Id shared by all messages of the saga.
    pub correlation: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// One recorded decision: enough to run it again and to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Revision of the state as the rules saw it; 0 if there was none yet.
    pub revision_before: u64,
    /// The state as the rules saw it; an empty text if there was one and it is not kept.
    pub state_before: Option<String>,
    /// The message and the answer, as [`journal::encode`] or [`journal::encode_outline`] writes them;
    /// without the reply if the message is not a command.
    pub decision: Vec<u8>,
    /// Fuel that the call used.
    pub fuel: u64,
    /// Time of the turn, in milliseconds since the Unix epoch.
    pub time: u64,
}

impl JournalEntry {
    /// The message and the answer; `key` is that of the aggregate.
    ///
    /// # Errors
    /// The bytes were not written by this build, were damaged, or have no payload.
    pub fn read(&self, key: &str) -> Result<(Message, Outcome), journal::NotWhole> {
        let state = self.state_before.as_deref();
        journal::decode(&self.decision, (key, self.time), state)
    }
}

/// The aggregate before the turn.
#[derive(Debug, Clone, Copy)]
pub struct Before<'a> {
    /// Its state; None if the aggregate does not exist.
    pub state: Option<&'a str>,
    /// Its revision; 0 if it never existed.
    pub revision: u64,
    /// Correlation of the saga that it belongs to; `None` if the aggregate does not exist.
    pub correlation: Option<&'a str>,
}

/// Settles a decided turn.
///
/// # Errors
/// A [`Fault`] if the answer violates the contract or a limit; nothing of it takes effect then.
pub fn settle(
    terms: OutputTerms<'_>,
    envelope: &Envelope,
    before: Before<'_>,
    outcome: Outcome,
    fuel: u64,
) -> Result<Settlement, Fault> {
    let description = terms.description;
    let message = &envelope.message;
    // Without a client, a reply has no meaning; it is unchecked, so it must not be recorded.
    let outcome = Outcome {
        reply: outcome.reply.filter(|_| message.origin == Origin::Command),
        ..outcome
    };
    terms.check_outcome(envelope, &outcome)?;
    let identity = Identity {
        source: message.source.clone(),
        id: message.id.clone(),
    };
    let (state_before, decision) = match terms.kept {
        Kept::Full => (
            before.state,
            journal::encode(message, before.state, &outcome),
        ),
        Kept::NoPayloads => (
            before.state.map(|_| ""),
            journal::encode_outline(message, before.state, &outcome),
        ),
    };
    let journal = JournalEntry {
        revision_before: before.revision,
        state_before: state_before.map(str::to_owned),
        decision: decision.map_err(|error| Fault::new(FaultKind::BadOutput, error.to_string()))?,
        fuel,
        time: message.time,
    };
    let mut events = Vec::with_capacity(outcome.events.len());
    for (index, event) in outcome.events.into_iter().enumerate() {
        let publication = description
            .publication(&event.event_type)
            .ok_or_else(|| undeclared("event", &event.event_type))?;
        events.push(OutgoingEvent {
            topic: publication.topic.clone(),
            version: publication.version,
            id: identity::event_id(&description.name, &identity, envelope.made_at, index),
            event_type: event.event_type,
            key: event.key,
            body: event.body,
        });
    }
    let changed = !matches!(outcome.state, StateChange::Unchanged);
    Ok(Settlement {
        key: message.key.clone(),
        revision: before.revision + u64::from(changed),
        state: outcome.state,
        correlation: (before.correlation)
            .unwrap_or(&message.correlation)
            .to_owned(),
        cause: Cause {
            id: message.id.clone(),
            correlation: message.correlation.clone(),
            traceparent: envelope.traceparent.clone(),
        },
        inbox: (message.origin == Origin::Event).then_some(identity),
        events,
        timers: outcome.timers,
        reply: outcome.reply,
        journal,
    })
}

/// Takes the reply out of the outcome of the read of this name.
///
/// # Errors
/// A [`Fault`] if the read has effects, has no reply, or its reply is too large or violates the
/// contract.
pub fn read_reply(terms: OutputTerms<'_>, read: &str, outcome: Outcome) -> Result<Reply, Fault> {
    if !matches!(outcome.state, StateChange::Unchanged)
        || !outcome.events.is_empty()
        || !outcome.timers.is_empty()
    {
        return Err(Fault::new(
            FaultKind::BadOutput,
            "a read answered with effects",
        ));
    }
    let reply = outcome.reply.ok_or_else(no_reply)?;
    terms.check_reply(read, &reply)?;
    Ok(reply)
}

/// Checks a state that the rules have migrated to their current shape, since it is stored like any
/// other.
///
/// # Errors
/// A [`Fault`] if it is too large or not JSON.
pub fn check_state(limits: &TurnLimits, state: &str) -> Result<(), Fault> {
    bounded("state", state.len(), limits.state_bytes)?;
    outputs::check(None, Output::State, state)
}

impl OutputTerms<'_> {
    fn check_outcome(&self, envelope: &Envelope, outcome: &Outcome) -> Result<(), Fault> {
        let limits = self.limits;
        if let StateChange::Put(state) = &outcome.state {
            bounded("state", state.len(), limits.state_bytes)?;
            outputs::check(self.schemas, Output::State, state)?;
        }
        count("events", outcome.events.len(), limits.events)?;
        for event in &outcome.events {
            let event_type = &event.event_type;
            if self.description.publication(event_type).is_none() {
                return Err(undeclared("event", event_type));
            }
            check_key(&event.key, limits).map_err(|reason| {
                let detail = format!("key of event {event_type} {reason}");
                Fault::new(FaultKind::BadOutput, detail)
            })?;
            bounded("event", event.body.len(), limits.event_bytes)?;
            outputs::check(self.schemas, Output::Event(event_type), &event.body)?;
        }
        count("timers", outcome.timers.len(), limits.timers)?;
        for change in &outcome.timers {
            self.check_timer(change)?;
        }
        if envelope.message.origin == Origin::Command {
            let reply = outcome.reply.as_ref().ok_or_else(no_reply)?;
            self.check_reply(&envelope.message.name, reply)?;
            check_creation(self.description, envelope, outcome, reply)?;
        }
        Ok(())
    }

    fn check_timer(&self, change: &TimerChange) -> Result<(), Fault> {
        let (TimerChange::Set(Timer { name, .. }) | TimerChange::Cancel(name)) = change;
        let mut declared = self.description.timers.iter();
        if !declared.any(|timer| timer.name == *name) {
            return Err(undeclared("timer", name));
        }
        let TimerChange::Set(timer) = change else {
            return Ok(());
        };
        bounded("timer", timer.body.len(), self.limits.event_bytes)?;
        outputs::check(self.schemas, Output::Timer(name), &timer.body)?;
        // The store keeps times as signed 64-bit numbers.
        if i64::try_from(timer.due).is_err() {
            let detail = format!("timer {name} is due at {}", timer.due);
            return Err(Fault::new(FaultKind::BadOutput, detail));
        }
        Ok(())
    }

    fn check_reply(&self, command: &str, reply: &Reply) -> Result<(), Fault> {
        match reply {
            Reply::Done(body) | Reply::Pending(body) => {
                bounded("reply", body.len(), self.limits.reply_bytes)?;
                outputs::check(self.schemas, Output::Reply(command), body)
            }
            Reply::Refused(refusal) => {
                let pointer = refusal.pointer.as_ref().map_or(0, String::len);
                let bytes = refusal.detail.len() + refusal.code.len() + pointer;
                bounded("refusal", bytes, self.limits.reply_bytes)?;
                match self.schemas {
                    Some(_) => outputs::check_refusal(self.description, command, refusal),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A create that replies `done` must leave a state that its location can show.
fn check_creation(
    description: &Description,
    envelope: &Envelope,
    outcome: &Outcome,
    reply: &Reply,
) -> Result<(), Fault> {
    let creates = description
        .command(&envelope.message.name)
        .is_some_and(|command| matches!(command.kind, CommandKind::Create(_)));
    if creates
        && !matches!(reply, Reply::Refused(_))
        && !matches!(outcome.state, StateChange::Put(_))
    {
        return Err(Fault::new(
            FaultKind::BadOutput,
            format!(
                "command {} creates, but was answered without a state",
                envelope.message.name
            ),
        ));
    }
    Ok(())
}

fn bounded(what: &str, bytes: usize, limit: usize) -> Result<(), Fault> {
    if bytes <= limit {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::OutputTooLarge,
        format!("{what} of {bytes} bytes is over the limit of {limit}"),
    ))
}

fn count(what: &str, number: usize, limit: usize) -> Result<(), Fault> {
    if number <= limit {
        return Ok(());
    }
    Err(Fault::new(
        FaultKind::OutputTooLarge,
        format!("{number} {what} are over the limit of {limit}"),
    ))
}

fn undeclared(what: &str, name: &str) -> Fault {
    Fault::new(
        FaultKind::BadOutput,
        format!("{what} `{name}` is not in the participant's description"),
    )
}

fn no_reply() -> Fault {
    Fault::new(FaultKind::BadOutput, "a command was left without a reply")
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
