//! The inputs, questions and actions of a worker.

use std::sync::Arc;
use std::time::Duration;

use super::host::{Bound, HostTypes};
use super::turn::Turn;
use crate::commit::{
    Broken, Entry, FiredTimer, Link, ParkedKey, ParkedRow, ParkedTimer, StoredAggregate,
};
use crate::commit::{DeadLetter, FailedRedrive, LetterPlace, StoredTimer, Tally, Verdict};
use crate::identity::Identity;
use crate::message::{Message, Origin};
use crate::outcome::Reply;
use crate::record::Position;
use crate::rules::{Decision, Fault, FaultKind};

/// The time of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Monotonic time since the start.
    pub uptime: Duration,
}

/// An input of a worker. While a [`Question`] is open, only its answer may come; the answer to
/// [`Question::Sync`] is preceded by the outcomes of entries.
pub enum Input<H: HostTypes> {
    /// A turn is offered.
    Turn(Turn<H>),
    /// Time has passed, or a parked message may be offered, with this as the time of the offer.
    Time(H::Since),
    /// An entry was not written. Comes before [`Input::Settled`] of its ticket.
    Broke(Broken),
    /// All entries up to this ticket are settled: those that were not reported as broken are
    /// written.
    Settled(u64),
    /// An operator has requested something for a dead letter of this key.
    Requested {
        /// Key of the aggregate.
        key: String,
        /// True if the dead letter was parked for that.
        is_new: bool,
    },
    /// The keys of this worker for which messages are parked in the store, by any host.
    Parked(Vec<ParkedKey>),
    /// The next generation becomes active. Only between two turns (invariant 6).
    Generation(H::Active),
    /// The answer to [`Question::Load`], or the reason why it can't be read.
    Loaded(Result<Loaded, H::StoreFault>),
    /// All entries that were handed over are settled, and their outcomes were reported before.
    Synced,
    /// The rules' decision.
    Decided(Result<Decision, Fault>),
    /// The state, migrated to the rules' shape.
    Migrated(Result<String, Fault>),
    /// True if the next call runs on a fresh instance and the last one did not.
    Renewed(bool),
}

/// A question that must be answered before the worker goes on.
#[derive(Debug)]
pub enum Question<'w> {
    /// Load from the store: [`Input::Loaded`].
    Load(Ask<'w>),
    /// Wait until all entries that were handed over are settled, and report their outcomes:
    /// [`Input::Synced`].
    Sync,
    /// Call the rules: [`Input::Decided`].
    Call {
        /// State of the aggregate.
        state: Option<&'w str>,
        /// The message.
        message: &'w Message,
    },
    /// Have the rules migrate a state to their shape: [`Input::Migrated`].
    Migrate {
        /// Its version.
        version: u32,
        /// The state.
        state: &'w str,
    },
    /// Make the next call run on a fresh instance: [`Input::Renewed`].
    Renew,
}

/// The rows to load. None is not loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask<'w> {
    /// Was an event of this identity applied or parked?
    pub identity: Option<&'w Identity>,
    /// Was the record at this position given up?
    pub place: Option<&'w Identity>,
    /// The aggregate of this key.
    pub aggregate: Option<&'w str>,
    /// The timer, if it is still set for that time.
    pub timer: Option<&'w FiredTimer>,
    /// The first message parked for this key after this number.
    pub parked: Option<(&'w str, i64)>,
    /// Is the aggregate of this key quarantined?
    pub quarantined: Option<&'w str>,
    /// The parked dead letter of this identity. Loaded only if the identity or the position is
    /// known.
    pub letter: Option<&'w Identity>,
}

/// The loaded rows. Those that were not asked for have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// True if the identity or the position is known.
    pub is_known: bool,
    /// The aggregate.
    pub aggregate: Option<StoredAggregate>,
    /// What is parked for the aggregate, if other hosts may have parked something.
    pub held: Option<ParkedKey>,
    /// The timer.
    pub timer: Option<StoredTimer>,
    /// The parked message.
    pub parked: Option<ParkedRow>,
    /// True if the aggregate is quarantined, as far as that was asked for or other hosts may have
    /// done that.
    pub is_quarantined: bool,
    /// The dead letter.
    pub letter: Option<Box<LetterPlace>>,
}

/// An action to perform, in order.
pub enum Action<H: HostTypes> {
    /// Hand this over to the writer.
    Commit(Commit<H>),
    /// Answer a client.
    Answer(
        H::Client,
        WorkerAnswer<H::StoreFault>,
        Option<TurnEnd<H::Since>>,
    ),
    /// Answer a client's read once the entry that it depends on is written. It is not answered if
    /// [`Link::base`] is broken.
    AnswerAfter(Box<ReadAnswer<H>>, Link),
    /// A turn is over that leaves nothing to commit.
    Ended(TurnEnd<H::Since>),
    /// An attempt at a message of this origin and name is over, but its turn is not.
    Tried(Origin, String),
    /// The store can't be read for a record: pause for this time.
    Pause(Duration),
    /// Report this to the operator.
    Report(WorkerReport),
}

/// The delayed answer to a read.
pub struct ReadAnswer<H: HostTypes> {
    /// The client.
    pub client: H::Client,
    /// The answer.
    pub answer: WorkerAnswer<H::StoreFault>,
    /// Counts the turn then.
    pub end: TurnEnd<H::Since>,
}

/// The entry that one turn hands over, and the steps that follow its commit.
pub struct Commit<H: HostTypes> {
    /// The entry.
    pub entry: Entry,
    /// Its link in the chain.
    pub link: Link,
    /// The record that the turn consumed; its offset is stored with the entry.
    pub taken: Option<H::Taken>,
    /// The client and its answer, once the entry is written.
    pub client: Option<(H::Client, WorkerAnswer<H::StoreFault>)>,
    /// Dropped once the entry is settled.
    pub over: Option<H::Over>,
    /// Room for a parked message, kept once the entry is written.
    pub place: Option<H::Place>,
    /// Bytes of a parked message that gives up its room once the entry is written.
    pub leaves: Option<usize>,
    /// Counts the turn once the entry is settled.
    pub end: Option<TurnEnd<H::Since>>,
}

/// The reply of the rules to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replied {
    /// The reply.
    pub reply: Reply,
    /// Key of the aggregate.
    pub key: String,
    /// Id shared by all messages of the saga.
    pub correlation: String,
    /// The state that a read saw, in the current shape; none for a command.
    pub seen: Option<Arc<str>>,
}

/// An answer for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerAnswer<F> {
    /// The rules replied.
    Replied(Replied),
    /// The rules can read the state of the aggregate; true if it was stored in an older shape.
    StateRead(bool),
    /// The rules say that the request is malformed.
    Malformed(String),
    /// The rules were swapped, and the command must be checked against the new ones. With the body.
    CheckAgain(String),
    /// Not now; the client may retry.
    TryLater(String),
    /// The rules broke on the message of this id.
    Broke(Fault, String),
    /// The rules can't read the state of the aggregate.
    Quarantined(Fault),
    /// An earlier message of the aggregate is a dead letter, and later ones wait behind it.
    Blocked,
    /// The store can't be read.
    StoreFailed(F),
}

/// The end of a turn, from which both the tally in the store and the metric follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnEnd<S> {
    /// Origin of the message.
    pub origin: Origin,
    /// Command name, event type or timer name; empty for a record that can't be read.
    pub name: String,
    /// Time of the message, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The outcome.
    pub end: End,
    /// The verdict counted in the store.
    pub verdict: Option<Verdict>,
    /// The reason, if the message becomes a dead letter.
    pub dead_letter: Option<&'static str>,
    /// When the turn was offered.
    pub since: S,
}

impl<S> TurnEnd<S> {
    /// The tally for the store, under this generation.
    #[must_use]
    pub fn into_tally(self, generation: i64) -> Option<Tally> {
        let verdict = self.verdict?;
        Some(Tally {
            generation,
            origin: self.origin,
            name: self.name,
            verdict,
            time: self.time,
        })
    }
}

/// The outcome of a turn. A turn that is retried has one outcome per attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Decided and committed, or a read that was answered.
    Decided,
    /// Decided and committed as a refusal.
    Refused,
    /// Malformed, according to the host or to the rules.
    Malformed,
    /// The rules asked for a later attempt, or broke in a way that may pass; or a client was asked
    /// to retry.
    Retry,
    /// The attempts are used up.
    DeadLetter,
    /// The rules broke.
    Fault,
    /// A command was refused because an earlier message of its aggregate is a dead letter.
    Blocked,
    /// Settled before, and delivered again.
    Duplicate,
    /// Parked in the store, for another attempt or for rules that can decide it.
    Parked,
    /// The commit failed, so the decision is void. A record is delivered again.
    Void,
}

/// A report for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerReport {
    /// The rules broke; the kind of fault.
    Fault(FaultKind),
    /// The rules broke on a command; its name and id. Nothing was changed.
    Broke(String, String, Fault),
    /// The state of this aggregate can't be read.
    Quarantined(String, Fault),
    /// A record became a dead letter.
    DeadLetter(Box<DeadLetter>),
    /// A dead letter of this aggregate was redriven without success.
    FailedRedrive(String, Box<FailedRedrive>),
    /// A record of this key, at this position, has the identity of a dead letter but can't take its
    /// place; it was dropped as a repetition.
    DroppedForLetter(String, Position, Box<LetterPlace>),
    /// A timer can't be decided.
    TimerParked(Box<ParkedTimer>),
    /// No further message can be parked.
    NoRoom {
        /// Key of the aggregate.
        key: String,
        /// The bound that is reached.
        bound: Bound,
        /// Parked messages of the aggregate or of the participant, by the bound.
        messages: usize,
        /// Bytes of the participant's parked messages.
        bytes: usize,
    },
}
