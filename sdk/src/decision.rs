//! The answers of a rule: [`Decision`], [`Refusal`], [`Undecided`].
//!
//! Owns the typed form of state changes, events, timers and replies. Values are encoded when they
//! are given, so that nothing typed has to be kept; the phantom types make a command without a
//! reply, and an event with one, fail to compile.

use crate::bindings::saga::participant::types as wit;
use crate::codec;
use crate::event::{EventType, Timer};
use crate::refusal::RefusalType;
use serde::Serialize;
use std::fmt::Display;
use std::marker::PhantomData;

/// Marks a decision that answers nobody: what handlers of events and timers return.
#[derive(Clone, Copy, Debug)]
pub enum NoReply {}

/// The decision of a rule on one message: all of it takes effect together, or none of it.
///
/// Starts with the change of the state ([`put`](Self::put), [`unchanged`](Self::unchanged),
/// [`remove`](Self::remove)), goes on with events and timers, and ends, in a command, with
/// [`reply`](Self::reply) or [`pending`](Self::pending). Or it is a [`refuse`](Self::refuse), a
/// [`malformed`](Self::malformed) or a [`retry_later`](Self::retry_later) alone.
#[must_use = "a decision takes effect only where a handler returns it"]
pub struct Decision<S, R = NoReply> {
    verdict: Result<wit::Outcome, wit::Disposition>,
    types: PhantomData<fn() -> (S, R)>,
}

impl<S> Decision<S> {
    /// The state becomes this one.
    #[track_caller]
    pub fn put(state: S) -> Self
    where
        S: Serialize,
    {
        let text = codec::encode(&state, "the new state");
        Self::outcome(wit::StateChange::Put(text))
    }

    /// The state stays as it is; where there was none, there is none.
    pub fn unchanged() -> Self {
        Self::outcome(wit::StateChange::Unchanged)
    }

    /// Removes the aggregate: its next message finds no state.
    pub fn remove() -> Self {
        Self::outcome(wit::StateChange::Remove)
    }

    /// Publishes an event. Events with the same key arrive in the order they were published.
    /// Has no effect on `malformed` and `retry_later`.
    #[track_caller]
    pub fn publish<B: Serialize>(
        mut self,
        event: EventType<B>,
        key: impl Display,
        body: &B,
    ) -> Self {
        if let Ok(outcome) = &mut self.verdict {
            outcome.events.push(wit::Event {
                event_type: event.name().to_owned(),
                key: key.to_string(),
                body: codec::encode(body, event.name()),
            });
        }
        self
    }

    /// Sets a timer of this aggregate, or moves it, to `due` milliseconds since
    /// 1970-01-01T00:00:00Z. A time in the past means at once.
    #[track_caller]
    pub fn set_timer<B: Serialize>(mut self, timer: Timer<B>, due: u64, body: &B) -> Self {
        if let Ok(outcome) = &mut self.verdict {
            outcome.timers.push(wit::TimerChange::Set(wit::Timer {
                name: timer.name().to_owned(),
                due,
                body: codec::encode(body, timer.name()),
            }));
        }
        self
    }

    /// Cancels a timer of this aggregate. One that is not set is fine.
    pub fn cancel_timer<B>(mut self, timer: Timer<B>) -> Self {
        if let Ok(outcome) = &mut self.verdict {
            let name = timer.name().to_owned();
            outcome.timers.push(wit::TimerChange::Cancel(name));
        }
        self
    }

    /// Answers the command: done.
    #[track_caller]
    pub fn reply<R: Serialize>(self, body: R) -> Decision<S, R> {
        self.answered(wit::Reply::Done(codec::encode(&body, "the reply")))
    }

    /// Answers the command: taken, and the saga has yet to decide.
    #[track_caller]
    pub fn pending<R: Serialize>(self, body: R) -> Decision<S, R> {
        self.answered(wit::Reply::Pending(codec::encode(&body, "the reply")))
    }

    fn outcome(state: wit::StateChange) -> Self {
        Self::of(Ok(wit::Outcome {
            state,
            events: Vec::new(),
            timers: Vec::new(),
            reply: None,
        }))
    }

    fn answered<R>(self, reply: wit::Reply) -> Decision<S, R> {
        Decision::of(self.verdict.map(|outcome| wit::Outcome {
            reply: Some(reply),
            ..outcome
        }))
    }
}

impl<S, R: Serialize> Decision<S, R> {
    /// Refuses the command: the state stays as it is and nothing is published. Only commands can be
    /// refused; to refuse an event, publish an event.
    pub fn refuse(refusal: Refusal) -> Self {
        Self::of(Ok(wit::Outcome {
            state: wit::StateChange::Unchanged,
            events: Vec::new(),
            timers: Vec::new(),
            reply: Some(wit::Reply::Refused(refusal.into_wit())),
        }))
    }
}

impl<S, R> Decision<S, R> {
    /// This message can never be decided: it becomes a dead letter, or the client gets 400. The
    /// text says why.
    pub fn malformed(why: impl Into<String>) -> Self {
        Undecided::malformed(why).into()
    }

    /// Not now: the host offers the message again later. The text says what it waits for.
    ///
    /// An event or a timer waits, and so do the later events and timers of its aggregate, in order.
    /// Commands are let through, since one of them may end the wait: after each command that
    /// changes the aggregate, the message is offered again at once. Otherwise it is offered again
    /// after 0.1, 0.2, 0.4, … seconds, at most 30 apart, until 100 attempts or 10 minutes are over;
    /// then an event becomes a dead letter, and a timer is parked until other rules are active or
    /// the host is restarted. Operators set these numbers (`[retry]`, `[participants.NAME.retry]`).
    /// For a longer wait, don't answer this: record the event in the state, and set a timer. A
    /// command is answered with 503, and its client may retry.
    pub fn retry_later(why: impl Into<String>) -> Self {
        Undecided::retry_later(why).into()
    }

    pub(crate) fn into_verdict(self) -> Result<wit::Outcome, wit::Disposition> {
        self.verdict
    }

    fn of(verdict: Result<wit::Outcome, wit::Disposition>) -> Self {
        Self {
            verdict,
            types: PhantomData,
        }
    }
}

impl<S, R> From<Undecided> for Decision<S, R> {
    fn from(undecided: Undecided) -> Self {
        Self::of(Err(undecided.0))
    }
}

/// A refusal: the business says no.
#[derive(Clone, Debug)]
pub struct Refusal(wit::Refusal);

impl Refusal {
    /// A refusal of a type that the command declares. `detail` is a sentence for people that says what was wrong and what
    /// to do.
    pub fn new(refusal: RefusalType, detail: impl Into<String>) -> Self {
        Self(wit::Refusal {
            kind: refusal.kind(),
            code: refusal.code().to_owned(),
            detail: detail.into(),
            pointer: None,
        })
    }

    /// The place in the request's body that it is about, as a JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.0.pointer = Some(pointer.into());
        self
    }

    pub(crate) fn into_wit(self) -> wit::Refusal {
        self.0
    }
}

/// The reason why a message was not decided. For a refusal by the business see [`Refusal`].
#[derive(Clone, Debug)]
pub struct Undecided(wit::Disposition);

impl Undecided {
    /// The message can never be decided. The text says why.
    pub fn malformed(why: impl Into<String>) -> Self {
        Self(wit::Disposition::Malformed(why.into()))
    }

    /// Not now. The text says what it waits for. What the host does then: [`Decision::retry_later`].
    pub fn retry_later(why: impl Into<String>) -> Self {
        Self(wit::Disposition::RetryLater(why.into()))
    }

    pub(crate) fn into_wit(self) -> wit::Disposition {
        self.0
    }
}

/// Why a handler came to no decision, where `?` meets refusals and undecided alike.
#[derive(Clone, Debug)]
pub enum Declined {
    /// The business says no.
    Refused(Refusal),
    /// The message was not decided upon.
    Undecided(Undecided),
}

impl From<Refusal> for Declined {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Undecided> for Declined {
    fn from(undecided: Undecided) -> Self {
        Self::Undecided(undecided)
    }
}

/// The result of a handler: a [`Decision`], or a `Result` of one with [`Refusal`] (commands),
/// [`Undecided`] or [`Declined`] (commands) as its error, so that `?` works in rules.
pub trait IntoDecision {
    /// The participant's state.
    type State;
    /// The reply, or [`NoReply`].
    type Reply;

    /// The decision.
    fn into_decision(self) -> Decision<Self::State, Self::Reply>;
}

impl<S, R> IntoDecision for Decision<S, R> {
    type State = S;
    type Reply = R;

    fn into_decision(self) -> Self {
        self
    }
}

impl<S, R: Serialize> IntoDecision for Result<Decision<S, R>, Refusal> {
    type State = S;
    type Reply = R;

    fn into_decision(self) -> Decision<S, R> {
        self.unwrap_or_else(Decision::refuse)
    }
}

impl<S, R> IntoDecision for Result<Decision<S, R>, Undecided> {
    type State = S;
    type Reply = R;

    fn into_decision(self) -> Decision<S, R> {
        self.unwrap_or_else(Decision::from)
    }
}

impl<S, R: Serialize> IntoDecision for Result<Decision<S, R>, Declined> {
    type State = S;
    type Reply = R;

    fn into_decision(self) -> Decision<S, R> {
        self.unwrap_or_else(|declined| match declined {
            Declined::Refused(refusal) => Decision::refuse(refusal),
            Declined::Undecided(undecided) => undecided.into(),
        })
    }
}

/// The result of the handler of a read: a reply, or a `Result` of one with [`Undecided`] as its error. `M` only tells the two
/// apart.
pub trait IntoReply<M> {
    /// The reply.
    type Reply: Serialize;

    /// The reply, or why there is none.
    fn into_reply(self) -> Result<Self::Reply, Undecided>;
}

/// Marks a handler that always replies.
#[derive(Clone, Copy, Debug)]
pub enum Always {}

/// Marks a handler that may not reply.
#[derive(Clone, Copy, Debug)]
pub enum Perhaps {}

impl<R: Serialize> IntoReply<Always> for R {
    type Reply = R;

    fn into_reply(self) -> Result<R, Undecided> {
        Ok(self)
    }
}

impl<R: Serialize> IntoReply<Perhaps> for Result<R, Undecided> {
    type Reply = R;

    fn into_reply(self) -> Self {
        self
    }
}
