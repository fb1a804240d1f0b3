//! One worker: decides the turns of its keys, one after the other, and hands over entries to be
//! written.
//!
//! A worker does not wait for commits: it decides the next message on the state that it has just
//! decided. If an entry is not written, entries of the same aggregate that were decided on it are
//! not written either ([`crate::commit::chain`]), and the worker loads that aggregate again.
//! Clients are answered and offsets move only after the commit.
//!
//! A worker does nothing by itself: [`Worker::step`] takes an [`Input`] and returns the work to do,
//! as [`Action`]s; the worker may then have one open [`Question`]. It runs in threads of the host,
//! and in a seeded simulation.
//!
//! # Layout
//!
//! - this file: the loop; [`action`]: inputs, questions and actions; [`host`]: the host's types;
//!   [`settings`]
//! - [`turn`]: the turns that are offered; `commands`, `turns`: one turn of each kind
//! - `attempt`: one attempt at a message: the aggregate, the rules, the settlement; `trial`: the
//!   count of attempts
//! - `entries`: the entries that are handed over; `outgoing`: their outbox rows; [`flight`]: the
//!   entries in flight
//! - `migrate`: reads and migrates a state without a message
//! - `questions`: the open question of a worker; [`ahead`]: rows loaded for several turns at once
//! - `given_up`: the step after a message was not decided
//! - `waiting`: the keys that wait briefly in memory; `held`: those whose messages are parked in
//!   the store
//! - `parking`: parks messages; `parked`: offers parked messages again; `dead_letters`: gives messages
//!   up, and carries out what operators ask for them
//! - `shared`: what other hosts on the same store have done
//! - `cache`: the cached aggregates; [`quarantined`]: the quarantined keys
//!
//! Must not know: I/O, threads, clocks, randomness; how clients are answered. Invariants that live
//! here: 4 (turns of one key run in order), 5, 6 and 8.

pub mod action;
pub mod ahead;
mod attempt;
mod cache;
mod commands;
mod dead_letters;
mod entries;
pub mod flight;
mod given_up;
mod held;
pub mod host;
mod migrate;
mod outgoing;
mod parked;
mod parking;
pub mod quarantined;
mod questions;
pub mod settings;
mod shared;
#[cfg(test)]
mod tests;
mod trial;
pub mod turn;
mod turns;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

pub use action::{
    Action, Ask, Commit, End, Input, Loaded, Now, Question, ReadAnswer, Replied, TurnEnd,
    WorkerAnswer, WorkerReport,
};
pub use ahead::Ahead;
pub use host::{ActiveRules, Bound, Defect, HostTypes, Lane, Room, TakenRecord};
pub use outgoing::partition_of;
pub use quarantined::QuarantinedKeys;
pub use settings::{Waits, WorkerSettings};
pub use trial::Trial;
pub use turn::{CommandTurn, EventTurn, TimerTurn, Turn, UnreadableTurn};

use attempt::Attempt;
use cache::Cache;
use flight::Flight;
use held::HeldKeys;
use parked::ParkedTurn;
use waiting::WaitingKeys;

use crate::commit::{Broken, FiredTimer, ParkedKey, StoredAggregate};
use crate::identity::Identity;
use crate::message::Envelope;
use crate::rules::Fault;

/// The turn loop for some keys of a participant.
pub struct Worker<H: HostTypes> {
    settings: WorkerSettings<H>,
    active: H::Active,
    cache: Cache,
    waiting: WaitingKeys<H>,
    held: HeldKeys,
    quarantined: QuarantinedKeys,
    flight: Flight,
    /// When a read was last counted in the store, by its name.
    reads: HashMap<String, Duration>,
    /// Turns that have waited and are taken before any other.
    agenda: VecDeque<Turn<H>>,
    /// Present if a parked message may be offered next.
    may_offer: Option<H::Since>,
    open: Option<(TurnSubject<H>, TurnStage<H>)>,
    /// True if the present attempt began with a cached aggregate that another host may have changed.
    is_from_cache: bool,
    now: Now,
    /// Ticket of the last entry.
    ticket: u64,
    /// All entries up to this ticket are settled.
    settled: u64,
}

/// The subject of a turn.
enum TurnSubject<H: HostTypes> {
    Command(Box<CommandTurn<H>>),
    Read(Box<CommandTurn<H>>),
    Migrate(Box<CommandTurn<H>>),
    Event(Box<EventTurn<H>>, Identity),
    Timer(Box<TimerTurn<H>>),
    Unreadable(Box<UnreadableTurn<H>>),
    /// The next parked message of a key.
    Key(String, H::Since),
    Parked(Box<ParkedTurn<H>>),
}

/// The stage of a turn that waits for an answer.
enum TurnStage<H: HostTypes> {
    /// Is the record known already? If not, it is decided, or parked behind others.
    Known {
        place: Option<Identity>,
        is_behind: bool,
    },
    /// Has the record replaced that of this dead letter before? With the record's position.
    Returned {
        place: Identity,
        letter: i64,
    },
    /// The settlement of entries that may have cancelled the timer.
    SyncTimer {
        is_behind: bool,
    },
    /// Is the timer still set?
    Set {
        is_behind: bool,
    },
    /// The next parked message; `is_again` after a wait for entries in flight.
    Next {
        is_again: bool,
    },
    SyncNext,
    /// The parked timer, once entries that may have cancelled it are settled.
    ParkedTimer {
        row: (i64, usize),
        fired: FiredTimer,
        is_synced: bool,
    },
    /// The settlement of entries of the aggregate, to be loaded and attempted again.
    SyncAttempt,
    /// Is the aggregate with the unreadable state quarantined?
    Quarantined(Fault),
    Attempt(Attempt<H>),
}

impl<H: HostTypes> Worker<H> {
    /// A worker that starts with this generation. `parked` are those of its keys for which messages
    /// are parked.
    #[must_use]
    pub fn new(
        settings: WorkerSettings<H>,
        active: H::Active,
        parked: impl Iterator<Item = ParkedKey>,
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
            is_from_cache: false,
            now: Now::default(),
            ticket: 0,
            settled: 0,
        }
    }

    /// Takes an input and adds the resulting actions to `actions`, in order. They must be performed
    /// before the question is answered.
    ///
    /// # Panics
    /// If a generation comes in the middle of a turn.
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
            Input::Requested { key, is_new } => self.held.requested(&key, is_new),
            Input::Parked(keys) => self.held.refresh(keys, self.settled),
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
        // One parked message, then one turn: neither waits for all of the other kind.
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

    /// Time since the start at which the worker needs [`Input::Time`]; it may have passed already.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let due = [self.waiting.next_due(), self.held.next_due()];
        due.into_iter().flatten().min()
    }

    /// The active generation.
    #[must_use]
    pub fn active(&self) -> &H::Active {
        &self.active
    }

    /// The message of the turn whose question is open, its record, and the number of the attempt.
    #[must_use]
    pub fn current(&self) -> Option<(&Envelope, Option<&crate::record::Record>, u32)> {
        let (subject, _) = self.open.as_ref()?;
        let envelope = subject.envelope()?;
        Some(match subject {
            TurnSubject::Event(turn, _) => (envelope, Some(&turn.record), turn.trial.attempts),
            TurnSubject::Timer(turn) => (envelope, None, turn.trial.attempts),
            TurnSubject::Parked(turn) => (envelope, turn.record(), 0),
            _ => (envelope, None, 0),
        })
    }

    /// True if nothing waits in it: no turn, and no parked message that its rules take.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_none()
            && self.agenda.is_empty()
            && self.waiting.is_empty()
            && self.held.is_empty()
    }

    /// True if messages of this key are parked that will be offered again.
    #[must_use]
    pub fn is_parked(&self, key: &str) -> bool {
        self.held.holds(key)
    }

    /// True if messages of this key are parked only because the rules don't take them.
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
            Turn::Migrate(turn) => self.begin_attempt(TurnSubject::Migrate(turn), None, actions),
            Turn::Event(turn) => self.event(turn, false, actions),
            Turn::Timer(turn) => self.timer(turn, false),
            Turn::Unreadable(turn) => self.unreadable(turn, actions),
            Turn::Passed(taken) if taken.is_cancelled() => {}
            Turn::Passed(taken) => self.pass(taken, 0, None, actions),
        }
    }

    fn ask(&mut self, subject: TurnSubject<H>, stage: TurnStage<H>) {
        self.open = Some((subject, stage));
    }

    fn answered(
        &mut self,
        subject: TurnSubject<H>,
        stage: TurnStage<H>,
        answer: Input<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        match (subject, stage, answer) {
            (subject, TurnStage::Attempt(_), Input::Loaded(Ok(loaded))) if self.adopts(&loaded) => {
                self.offer_again(subject, actions);
            }
            (subject, TurnStage::Attempt(attempt), answer) => {
                let Some(envelope) = subject.envelope() else {
                    return;
                };
                let next = self.go_on((envelope, subject.is_read()), attempt, answer);
                self.attempt_went(subject, next, actions);
            }
            (
                TurnSubject::Event(turn, identity),
                TurnStage::Known { is_behind, .. },
                Input::Loaded(loaded),
            ) => {
                self.event_known(turn, identity, is_behind, loaded, actions);
            }
            (
                TurnSubject::Event(turn, _),
                TurnStage::Returned { place, letter },
                Input::Loaded(loaded),
            ) => self.event_returned(*turn, (place, letter), loaded, actions),
            (TurnSubject::Unreadable(turn), TurnStage::Known { .. }, Input::Loaded(loaded)) => {
                self.unreadable_known(*turn, loaded, actions);
            }
            (subject, TurnStage::SyncTimer { is_behind }, Input::Synced) => {
                self.ask(subject, TurnStage::Set { is_behind });
            }
            (subject, TurnStage::SyncAttempt, Input::Synced) => {
                if let Some(envelope) = subject.envelope() {
                    self.cache.forget(&envelope.message.key);
                }
                match subject {
                    TurnSubject::Parked(_) => self.begin_attempt(subject, None, actions),
                    // Its record may be read again, since an earlier one was not written.
                    subject => self.offer_again(subject, actions),
                }
            }
            (TurnSubject::Timer(turn), TurnStage::Set { is_behind }, Input::Loaded(loaded)) => {
                self.timer_known(turn, is_behind, loaded, actions);
            }
            (TurnSubject::Key(key, since), stage, answer) => {
                self.go_on_parked((key, since), stage, answer, actions);
            }
            (subject, TurnStage::Quarantined(fault), Input::Loaded(loaded)) => {
                self.quarantine_known(subject, fault, loaded, actions);
            }
            // The host answers the open question.
            (subject, stage, _) => self.ask(subject, stage),
        }
    }

    fn begin_attempt(
        &mut self,
        subject: TurnSubject<H>,
        loaded: Option<StoredAggregate>,
        actions: &mut Vec<Action<H>>,
    ) {
        let Some(envelope) = subject.envelope() else {
            return;
        };
        let only_reads_state = matches!(subject, TurnSubject::Migrate(_));
        let next = self.attempt((envelope, subject.is_read()), loaded, only_reads_state);
        self.attempt_went(subject, next, actions);
    }

    fn attempt_went(
        &mut self,
        mut subject: TurnSubject<H>,
        next: Result<Attempt<H>, attempt::Attempted<H>>,
        actions: &mut Vec<Action<H>>,
    ) {
        match next {
            Ok(attempt) => {
                if let Some(saga) = &attempt.known.correlation {
                    subject.join(saga);
                }
                self.ask(subject, TurnStage::Attempt(attempt));
            }
            Err(attempted) => self.attempted(subject, attempted, actions),
        }
    }

    /// Takes in that an entry was not written: entries that were decided on it are void, and its
    /// aggregate is loaded again.
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

impl<H: HostTypes> TurnSubject<H> {
    fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Command(turn) | Self::Read(turn) | Self::Migrate(turn) => Some(&turn.envelope),
            Self::Event(turn, _) => Some(&turn.envelope),
            Self::Timer(turn) => Some(&turn.envelope),
            Self::Parked(turn) => Some(&turn.envelope),
            Self::Unreadable(_) | Self::Key(..) => None,
        }
    }

    fn is_read(&self) -> bool {
        matches!(self, Self::Read(_))
    }

    /// Puts a client's message into the saga of its aggregate, unless the client named a saga.
    fn join(&mut self, saga: &str) {
        if let Self::Command(turn) | Self::Read(turn) = self {
            let message = &mut turn.envelope.message;
            if message.correlation == message.id {
                saga.clone_into(&mut message.correlation);
            }
        }
    }
}
