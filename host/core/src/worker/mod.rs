//! One worker: it decides the turns of its keys, one after the other, and hands over what is to be
//! written.
//!
//! A worker does not wait for commits: it goes on with the next message on the state that it has
//! just decided. If an entry is not written, those of the same aggregate that were decided on it
//! are not written either ([`crate::commit::chain`]), and the worker reads that aggregate anew.
//! Clients are answered and offsets move only after the commit.
//!
//! A worker does nothing by itself: [`Worker::step`] takes an [`Input`] and says what is to be
//! done, as [`Action`]s, and what it must know before it goes on, as one [`Question`]. Around it
//! are threads in the host, and a seeded simulation.
//!
//! # Layout
//!
//! - this file: the loop; [`action`]: what goes in and comes out; [`host`]: what belongs to the
//!   host; [`settings`]
//! - [`turn`]: what is offered; `commands`, `turns`: one turn of each kind
//! - `attempt`: one attempt at a message: the aggregate, the rules, the settlement; `trial`: how
//!   many there were
//! - `entries`: what is handed over; `outgoing`: what it publishes; [`flight`]: what is on its way
//!   to disk
//! - `questions`: what a worker must know before it goes on
//! - `given_up`: what follows a message that was not decided
//! - `waiting`: the keys that wait a moment in memory; `held`: those whose messages are parked in
//!   the store
//! - `parking`: how messages come to wait; `parked`: the parked ones, offered again
//! - `cache`: the aggregates that are remembered; [`quarantined`]: the keys that are quarantined
//!
//! Must not know: I/O, threads, clocks, randomness; who is answered how. Invariants that live here:
//! 4 (turns of one key run in order), 5, 6 and 8.

pub mod action;
mod attempt;
mod cache;
mod commands;
mod entries;
pub mod flight;
mod given_up;
mod held;
pub mod host;
mod outgoing;
mod parked;
mod parking;
pub mod quarantined;
mod questions;
pub mod settings;
#[cfg(test)]
mod tests;
mod trial;
pub mod turn;
mod turns;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

pub use action::{
    Action, Answer, Ask, Commit, End, Input, Loaded, Now, Question, ReadAnswer, Report, TurnEnd,
};
pub use host::{Active, Bound, Defect, Host, Lane, Room, Taken};
pub use quarantined::QuarantinedKeys;
pub use settings::{Settings, Waits};
pub use trial::Trial;
pub use turn::{CommandTurn, EventTurn, TimerTurn, Turn, UnreadableTurn};

use attempt::Attempt;
use cache::Cache;
use flight::Flight;
use held::HeldKeys;
use parked::ParkedTurn;
use waiting::WaitingKeys;

use crate::commit::{Broken, FiredTimer, StoredAggregate};
use crate::identity::Identity;
use crate::message::Envelope;
use crate::rules::Fault;

/// The turn loop of some keys of a participant.
pub struct Worker<H: Host> {
    settings: Settings<H>,
    active: H::Active,
    cache: Cache,
    waiting: WaitingKeys<H>,
    held: HeldKeys,
    quarantined: QuarantinedKeys,
    flight: Flight,
    /// When a read was last counted in the store, by its name.
    reads: HashMap<String, Duration>,
    /// Turns that are to be taken before any other: those that have waited.
    agenda: VecDeque<Turn<H>>,
    /// Whether a parked message may be offered next.
    may_offer: Option<H::Since>,
    open: Option<(Subject<H>, Stage<H>)>,
    now: Now,
    /// Of the last entry.
    ticket: u64,
    /// Up to here all entries have their fate.
    settled: u64,
}

/// What a turn is about.
enum Subject<H: Host> {
    Command(Box<CommandTurn<H>>),
    Read(Box<CommandTurn<H>>),
    Event(Box<EventTurn<H>>, Identity),
    Timer(Box<TimerTurn<H>>),
    Unreadable(Box<UnreadableTurn<H>>),
    /// The next parked message of a key.
    Key(String, H::Since),
    Parked(Box<ParkedTurn<H>>),
}

/// What a turn waits for.
enum Stage<H: Host> {
    /// Is a record known already? It is to be decided, or parked behind others.
    Known {
        place: Option<Identity>,
        is_behind: bool,
    },
    /// Until what may have cancelled the timer has its fate.
    SyncTimer {
        is_behind: bool,
    },
    /// Is the timer still set?
    Set {
        is_behind: bool,
    },
    /// The next parked message; after a wait for what was on its way to disk.
    Next {
        is_again: bool,
    },
    SyncNext,
    /// The parked timer, once what may have cancelled it has its fate.
    ParkedTimer {
        row: (i64, usize),
        fired: FiredTimer,
        is_synced: bool,
    },
    /// Is the aggregate quarantined, which can't be read?
    Quarantined(Fault),
    Attempt(Attempt<H>),
}

impl<H: Host> Worker<H> {
    /// A worker that begins with this generation. `parked` are those of its keys for which messages
    /// are parked, each with how many.
    #[must_use]
    pub fn new(
        settings: Settings<H>,
        active: H::Active,
        parked: impl Iterator<Item = (String, usize)>,
        quarantined: QuarantinedKeys,
    ) -> Self {
        Self {
            settings,
            active,
            cache: Cache::default(),
            waiting: WaitingKeys::default(),
            held: HeldKeys::new(parked),
            quarantined,
            flight: Flight::default(),
            reads: HashMap::new(),
            agenda: VecDeque::new(),
            may_offer: None,
            open: None,
            now: Now::default(),
            ticket: 0,
            settled: 0,
        }
    }

    /// Takes an input; what is to be done then is put into `actions`, in order, and is to be done
    /// before the question is answered.
    ///
    /// # Panics
    /// When a generation comes in the middle of a turn.
    pub fn step(&mut self, now: Now, input: Input<H>, actions: &mut Vec<Action<H>>) {
        self.now = now;
        match input {
            Input::Turn(turn) => self.agenda.push_back(turn),
            Input::Time(since) => {
                while let Some(turns) = self.waiting.take_due(now.uptime) {
                    self.agenda.extend(turns);
                }
                self.may_offer = Some(since);
            }
            Input::Broke(broken) => self.broke(&broken),
            Input::Settled(through) => {
                self.settled = through;
                self.flight.settled(through);
            }
            Input::Generation(active) => {
                assert!(self.open.is_none(), "a turn runs on one generation");
                self.active = active;
                self.reads.clear();
                self.held.wake_all();
            }
            answer => {
                if let Some((subject, stage)) = self.open.take() {
                    self.answered(subject, stage, answer, actions);
                }
            }
        }
        // One message, then one turn: neither waits for all of the other.
        while self.open.is_none() {
            if let Some(turn) = self.agenda.pop_front() {
                self.offer(turn, actions);
            } else if let Some(since) = self.may_offer.take() {
                self.offer_parked(since);
            } else {
                return;
            }
        }
    }

    /// When the worker is to be told of the time, since the start; it may be over already.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let due = [self.waiting.next_due(), self.held.next_due()];
        due.into_iter().flatten().min()
    }

    /// What decides.
    #[must_use]
    pub fn active(&self) -> &H::Active {
        &self.active
    }

    /// The message of the turn whose question is open, the record that it came with, and which
    /// attempt at it this is.
    #[must_use]
    pub fn current(&self) -> Option<(&Envelope, Option<&crate::record::Record>, u32)> {
        let (subject, _) = self.open.as_ref()?;
        let envelope = subject.envelope()?;
        Some(match subject {
            Subject::Event(turn, _) => (envelope, Some(&turn.record), turn.trial.attempts),
            Subject::Timer(turn) => (envelope, None, turn.trial.attempts),
            Subject::Parked(turn) => (envelope, turn.record(), 0),
            _ => (envelope, None, 0),
        })
    }

    /// Whether nothing waits in it: no turn, and no message that is parked and that its rules take.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_none()
            && self.agenda.is_empty()
            && self.waiting.is_empty()
            && self.held.is_empty()
    }

    /// Whether messages of this key are parked that are offered again some time.
    #[must_use]
    pub fn is_parked(&self, key: &str) -> bool {
        self.held.holds(key)
    }

    /// Whether messages of this key are parked only because the rules don't take them.
    #[must_use]
    pub fn passes_over(&self, key: &str) -> bool {
        self.held.passes_over(key)
    }

    fn offer(&mut self, turn: Turn<H>, actions: &mut Vec<Action<H>>) {
        let Some(turn) = self.in_its_place(turn, actions) else {
            return;
        };
        match turn {
            Turn::Command(turn) => self.asked(turn, false, actions),
            Turn::Read(turn) => self.asked(turn, true, actions),
            Turn::Event(turn) => self.event(turn, false, actions),
            Turn::Timer(turn) => self.timer(turn, false),
            Turn::Unreadable(turn) => self.unreadable(turn, actions),
            Turn::Passed(taken) if taken.is_cancelled() => {}
            Turn::Passed(taken) => self.pass(taken, 0, None, actions),
        }
    }

    fn ask(&mut self, subject: Subject<H>, stage: Stage<H>) {
        self.open = Some((subject, stage));
    }

    fn answered(
        &mut self,
        subject: Subject<H>,
        stage: Stage<H>,
        answer: Input<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        match (subject, stage, answer) {
            (subject, Stage::Attempt(attempt), answer) => {
                let Some(envelope) = subject.envelope() else {
                    return;
                };
                let next = self.go_on((envelope, subject.is_read()), attempt, answer);
                self.attempt_went(subject, next, actions);
            }
            (
                Subject::Event(turn, identity),
                Stage::Known { is_behind, .. },
                Input::Loaded(loaded),
            ) => {
                self.event_known(turn, identity, is_behind, loaded, actions);
            }
            (Subject::Unreadable(turn), Stage::Known { .. }, Input::Loaded(loaded)) => {
                self.unreadable_known(*turn, loaded, actions);
            }
            (subject, Stage::SyncTimer { is_behind }, Input::Synced) => {
                self.ask(subject, Stage::Set { is_behind });
            }
            (Subject::Timer(turn), Stage::Set { is_behind }, Input::Loaded(loaded)) => {
                self.timer_known(turn, is_behind, loaded, actions);
            }
            (Subject::Key(key, since), stage, answer) => {
                self.go_on_parked((key, since), stage, answer, actions);
            }
            (subject, Stage::Quarantined(fault), Input::Loaded(loaded)) => {
                self.quarantine_known(subject, fault, loaded, actions);
            }
            // The host answers what it was asked.
            (subject, stage, _) => self.ask(subject, stage),
        }
    }

    fn begin_attempt(
        &mut self,
        subject: Subject<H>,
        loaded: Option<StoredAggregate>,
        actions: &mut Vec<Action<H>>,
    ) {
        let Some(envelope) = subject.envelope() else {
            return;
        };
        let next = self.attempt((envelope, subject.is_read()), loaded);
        self.attempt_went(subject, next, actions);
    }

    fn attempt_went(
        &mut self,
        subject: Subject<H>,
        next: Result<Attempt<H>, attempt::Attempted<H>>,
        actions: &mut Vec<Action<H>>,
    ) {
        match next {
            Ok(attempt) => self.ask(subject, Stage::Attempt(attempt)),
            Err(attempted) => self.attempted(subject, attempted, actions),
        }
    }

    /// An entry was not written: what was decided on it is void, and its aggregate is read anew.
    fn broke(&mut self, broken: &Broken) {
        if H::is_broken(Defect::BrokenIdentityKept) || !self.flight.breaks(broken.ticket) {
            return;
        }
        let Some(key) = &broken.key else { return };
        if !H::is_broken(Defect::BrokenStateKept) {
            self.cache.forget(key);
        }
        self.quarantined.broke(key, broken.ticket);
        let not_before = self.now.uptime + self.settings.waits.store;
        self.held.broke(key, broken.ticket, not_before);
    }
}

impl<H: Host> Subject<H> {
    fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Command(turn) | Self::Read(turn) => Some(&turn.envelope),
            Self::Event(turn, _) => Some(&turn.envelope),
            Self::Timer(turn) => Some(&turn.envelope),
            Self::Parked(turn) => Some(&turn.envelope),
            Self::Unreadable(_) | Self::Key(..) => None,
        }
    }

    fn is_read(&self) -> bool {
        matches!(self, Self::Read(_))
    }
}
