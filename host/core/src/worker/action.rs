//! What a worker is told, what it asks, and what it wants done.

use std::time::Duration;

use super::host::{Bound, Host};
use super::turn::Turn;
use crate::commit::{Broken, Entry, FiredTimer, Link, ParkedRow, ParkedTimer, StoredAggregate};
use crate::commit::{DeadLetter, StoredTimer, Tally, Verdict};
use crate::identity::Identity;
use crate::message::{Message, Origin};
use crate::outcome::Reply;
use crate::rules::{Decision, Fault, FaultKind};

/// The time of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Since some start: never goes back.
    pub uptime: Duration,
}

/// What a worker is told. While a [`Question`] is open only its answer may come; before that to
/// [`Question::Sync`], the fates of entries.
pub enum Input<H: Host> {
    /// A turn is offered.
    Turn(Turn<H>),
    /// Time has passed, or a parked message may be offered: then with this as the time at which it
    /// was.
    Time(H::Since),
    /// An entry was not written. Told before [`Input::Settled`] of its ticket.
    Broke(Broken),
    /// All entries up to this ticket have their fate: those that were not told as broken are
    /// written.
    Settled(u64),
    /// The next generation decides. Only between two turns (invariant 6).
    Generation(H::Active),
    /// What [`Question::Load`] asked for, or why it can't be read.
    Loaded(Result<Loaded, H::StoreFault>),
    /// All that was handed over has its fate, which was told before.
    Synced,
    /// What the rules decided.
    Decided(Result<Decision, Fault>),
    /// The state in the rules' shape.
    Migrated(Result<String, Fault>),
    /// Whether the next call runs on a fresh instance where the last one did not.
    Renewed(bool),
}

/// What a worker must be told before it goes on.
#[derive(Debug)]
pub enum Question<'w> {
    /// What is stored: [`Input::Loaded`].
    Load(Ask<'w>),
    /// Wait until all that was handed over has its fate, and tell it: [`Input::Synced`].
    Sync,
    /// Call the rules: [`Input::Decided`].
    Call {
        /// State of the aggregate.
        state: Option<&'w str>,
        /// The message.
        message: &'w Message,
    },
    /// Have the rules bring a state to their shape: [`Input::Migrated`].
    Migrate {
        /// Version that it has.
        version: u32,
        /// The state.
        state: &'w str,
    },
    /// Let the next call run on a fresh instance: [`Input::Renewed`].
    Renew,
}

/// What is to be looked up. What is none is not asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask<'w> {
    /// Was an event of this identity applied, or parked?
    pub identity: Option<&'w Identity>,
    /// Was the record at this place given up?
    pub place: Option<&'w Identity>,
    /// The aggregate of this key.
    pub aggregate: Option<&'w str>,
    /// The timer, where it is still set for that time.
    pub timer: Option<&'w FiredTimer>,
    /// The first message that is parked for this key after this number.
    pub parked: Option<(&'w str, i64)>,
    /// Is the aggregate of this key quarantined?
    pub quarantined: Option<&'w str>,
}

/// What is stored. What was not asked for is left as it is by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The identity or the place is known.
    pub is_known: bool,
    /// The aggregate.
    pub aggregate: Option<StoredAggregate>,
    /// The timer.
    pub timer: Option<StoredTimer>,
    /// The parked message.
    pub parked: Option<ParkedRow>,
    /// The aggregate is quarantined.
    pub is_quarantined: bool,
}

/// What a worker wants done, in order.
pub enum Action<H: Host> {
    /// Hand this over to the writer.
    Commit(Commit<H>),
    /// Answer a client.
    Answer(H::Client, Answer<H::StoreFault>, Option<TurnEnd<H::Since>>),
    /// Answer a client that reads when what it saw is written. It is not where [`Link::base`] is
    /// broken.
    AnswerAfter(Box<ReadAnswer<H>>, Link),
    /// A turn is over, and leaves nothing to commit.
    Ended(TurnEnd<H::Since>),
    /// An attempt at a message of this origin and name is over, the turn is not.
    Tried(Origin, String),
    /// The store can't be read for a record: do nothing for this time.
    Pause(Duration),
    /// Tell the operator.
    Report(Report),
}

/// A read that is answered later.
pub struct ReadAnswer<H: Host> {
    /// Who is answered.
    pub client: H::Client,
    /// What.
    pub answer: Answer<H::StoreFault>,
    /// How the turn is counted then.
    pub end: TurnEnd<H::Since>,
}

/// What one turn hands over to be written, and what follows then.
pub struct Commit<H: Host> {
    /// What is written.
    pub entry: Entry,
    /// What it was decided on.
    pub link: Link,
    /// The record that the turn consumed: its offset is stored with the entry.
    pub taken: Option<H::Taken>,
    /// Who is answered what, once it is written.
    pub client: Option<(H::Client, Answer<H::StoreFault>)>,
    /// Dropped once its fate is known.
    pub over: Option<H::Over>,
    /// The place of a message that is parked, kept once it is written.
    pub place: Option<H::Place>,
    /// Bytes of a parked message that leaves its place, once it is written.
    pub leaves: Option<usize>,
    /// How the turn is counted, once its fate is known.
    pub end: Option<TurnEnd<H::Since>>,
}

/// What a client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<F> {
    /// The rules replied. With the key of the aggregate.
    Replied(Reply, String),
    /// The rules say that the request makes no sense.
    Malformed(String),
    /// The rules were swapped, and it has to be checked against the new ones. With the body.
    CheckAgain(String),
    /// Not now; the client may try again.
    TryLater(String),
    /// The rules broke.
    Broke(Fault),
    /// The rules can't read the state of the aggregate.
    Quarantined(Fault),
    /// The store can't be read.
    StoreFailed(F),
}

/// How a turn is counted: the tally in the store and the metric both follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnEnd<S> {
    /// How the message came to be.
    pub origin: Origin,
    /// Command name, event type or timer name; empty for a record that can't be read.
    pub name: String,
    /// Time of the message, in milliseconds since the Unix epoch.
    pub time: u64,
    /// What became of it.
    pub end: End,
    /// As what it is counted in the store.
    pub verdict: Option<Verdict>,
    /// The reason, where it becomes a dead letter.
    pub dead_letter: Option<&'static str>,
    /// When it was offered.
    pub since: S,
}

impl<S> TurnEnd<S> {
    /// What is counted in the store, under this generation.
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

/// What became of a turn. One that is tried again has an end for each attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was decided, and what was decided is committed; or a read was answered.
    Decided,
    /// The same, with a refusal.
    Refused,
    /// It makes no sense, to the host or to the rules.
    Malformed,
    /// The rules asked for a later attempt, or broke in a way that may pass; a client was asked to
    /// try again.
    Retry,
    /// The attempts are used up.
    DeadLetter,
    /// The rules broke.
    Fault,
    /// It was settled before, and came again.
    Duplicate,
    /// It waits in the store: for another attempt, or for rules that can decide it.
    Parked,
    /// The store could not keep it: what was decided did not come to be. A record comes again.
    Void,
}

/// What an operator is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The rules broke, in this way.
    Fault(FaultKind),
    /// The rules broke on a command of this name and id; nothing was changed.
    Broke(String, String, Fault),
    /// The state of this aggregate can't be read.
    Quarantined(String, Fault),
    /// A record became a dead letter. Key and value are left out.
    DeadLetter(Box<DeadLetter>),
    /// A timer can't be decided.
    TimerParked(Box<ParkedTimer>),
    /// No further message can be parked: of this key, with so many messages and bytes by the bound.
    NoRoom {
        /// Key of the aggregate.
        key: String,
        /// The bound.
        bound: Bound,
        /// Messages that are parked, of the aggregate or of the participant.
        messages: usize,
        /// Bytes of the participant's parked messages.
        bytes: usize,
    },
}
