//! One decision: the aggregate as the last turn left it, the rules, the settlement.
//!
//! Owns the instance of the rules and what is remembered of aggregates. Knows nothing of queues,
//! clients and retries; what it decides takes effect only when the worker hands it to the store.

use std::sync::Arc;

use saga_contract::reason::shorten;
use saga_core::identity::Identity;
use saga_core::message::{Envelope, Message};
use saga_core::outcome::{Disposition, Outcome, Reply, StateChange};
use saga_core::rules::{Decision, Fault, FaultKind, Rules, Upkeep};
use saga_core::settle::{self, Before, Settlement};

use super::active::Active;
use super::cache::{Aggregate, Cache};
use super::participant::Shared;
use super::turnover::Turnover;
use crate::store::parked::{self, ParkedRow};
use crate::store::read::StoredTimer;
use crate::store::{FiredTimer, Progress, Reader, StoreFault};

/// Decides for one worker.
pub(super) struct Decider {
    shared: Arc<Shared>,
    active: Arc<Active>,
    rules: Box<dyn Rules + Send>,
    reader: Reader,
    cache: Cache,
    progress: Arc<Progress>,
    /// Bytes of memory that were told of the rules last.
    told_bytes: usize,
}

/// What was decided on a message.
pub(super) struct Decided {
    pub(super) settlement: Settlement,
    /// The state in the current shape, where it was stored in an older one.
    pub(super) migrated: Option<Arc<str>>,
}

/// Why a message was not decided.
pub(super) enum Undecided {
    Malformed(String),
    RetryLater(String),
    Broke(Fault),
    /// The state of its aggregate can't be read, or not be brought to the current shape.
    NotMigrated(Fault),
    Store(StoreFault),
    /// The machine lacked something.
    Machine(Fault),
}

impl From<rusqlite::Error> for Undecided {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Decider {
    pub(super) fn new(
        shared: Arc<Shared>,
        active: Arc<Active>,
        rules: Box<dyn Rules + Send>,
        reader: Reader,
        progress: Arc<Progress>,
    ) -> Self {
        let mut decider = Self {
            shared,
            rules,
            active,
            reader,
            cache: Cache::default(),
            progress,
            told_bytes: 0,
        };
        decider.tell_upkeep();
        decider
    }

    /// What decides.
    pub(super) fn active(&self) -> &Arc<Active> {
        &self.active
    }

    /// Passes to the next generation, or is told to stay. Called between two turns.
    pub(super) fn turn_over(&mut self, turnover: Turnover) {
        if let Some(active) = turnover.take(&mut self.rules) {
            self.active = active;
            self.tell_upkeep();
        }
    }

    /// Sees to an instance where none could be had.
    pub(super) fn prepare(&mut self) {
        // What is wrong is reported by the instance itself.
        let _ = self.rules.prepare();
        self.tell_upkeep();
    }

    fn tell_upkeep(&mut self) {
        let Upkeep {
            memory_bytes,
            renewed,
        } = self.rules.upkeep();
        let before = std::mem::replace(&mut self.told_bytes, memory_bytes);
        (self.shared.instances).upkeep((before, memory_bytes), &renewed);
    }

    /// Forgets all aggregates: what is remembered did not come to be.
    pub(super) fn forget(&mut self) {
        self.cache.clear();
    }

    /// Reads the aggregate, calls the rules, settles.
    pub(super) fn decide(&mut self, envelope: &Envelope) -> Result<Decided, Undecided> {
        let decided = self.settled(envelope);
        self.count_fault(decided.as_ref().err());
        decided
    }

    fn settled(&mut self, envelope: &Envelope) -> Result<Decided, Undecided> {
        self.again_if_reused(|decider| decider.settled_once(envelope))
    }

    /// Tries again where what was decided on an instance that had been called before breaks the contract: what earlier
    /// turns left may be why (invariant 5). A call that breaks is tried again by the instance itself.
    fn again_if_reused<T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Undecided>,
    ) -> Result<T, Undecided> {
        match attempt(self) {
            Err(Undecided::Broke(fault)) if !fault.may_pass() && self.rules.renew() => {
                attempt(self)
            }
            result => result,
        }
    }

    fn settled_once(&mut self, envelope: &Envelope) -> Result<Decided, Undecided> {
        let (aggregate, was_migrated) = self.aggregate(&envelope.message.key)?;
        let state = aggregate.state.as_deref();
        let (outcome, fuel) = self.outcome(state, &envelope.message)?;
        let before = Before {
            state,
            revision: aggregate.revision,
        };
        let settlement = settle::settle(
            self.active.description(),
            &self.shared.limits,
            envelope,
            before,
            outcome,
            fuel,
        )
        .map_err(Undecided::Broke)?;
        Ok(Decided {
            settlement,
            migrated: aggregate.state.filter(|_| was_migrated),
        })
    }

    /// Answers a read, with the ticket of the entry that last changed what it saw.
    pub(super) fn read(&mut self, message: &Message) -> Result<(Reply, u64), Undecided> {
        let answered = self.answered(message);
        self.count_fault(answered.as_ref().err());
        answered
    }

    fn answered(&mut self, message: &Message) -> Result<(Reply, u64), Undecided> {
        self.again_if_reused(|decider| decider.answered_once(message))
    }

    fn answered_once(&mut self, message: &Message) -> Result<(Reply, u64), Undecided> {
        let (aggregate, _) = self.aggregate(&message.key)?;
        let (outcome, _) = self.outcome(aggregate.state.as_deref(), message)?;
        let reply = settle::read_reply(&self.shared.limits, outcome).map_err(Undecided::Broke)?;
        Ok((reply, aggregate.ticket))
    }

    /// What the rules answer, and the fuel that they used.
    fn outcome(
        &mut self,
        state: Option<&str>,
        message: &Message,
    ) -> Result<(Outcome, u64), Undecided> {
        let decision = self.call(state, message);
        let answered = decision.and_then(|decision| {
            let outcome = decision.answer.map_err(undecided)?;
            Ok((outcome, decision.fuel))
        });
        answered.map_err(|undecided| self.blamed(state, undecided))
    }

    /// What is to blame where the rules broke or call the message malformed: the state, if they can't read it when they are asked
    /// for nothing else.
    #[cold]
    fn blamed(&mut self, state: Option<&str>, undecided: Undecided) -> Undecided {
        let may_be_the_state = match &undecided {
            Undecided::Malformed(_) => true,
            Undecided::Broke(fault) => !fault.may_pass(),
            _ => false,
        };
        let Some(state) = state.filter(|_| may_be_the_state) else {
            return undecided;
        };
        let current = self.active.description().state.version;
        let read = match self.rules.migrate(current, state) {
            // What earlier turns left in the instance may be why.
            Err(fault) if !fault.may_pass() && self.rules.renew() => {
                self.rules.migrate(current, state)
            }
            read => read,
        };
        match read {
            Ok(_) => undecided,
            Err(fault) if fault.may_pass() => lacked_or(Undecided::Broke, fault),
            Err(fault) => lacked_or(Undecided::NotMigrated, fault),
        }
    }

    fn call(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Undecided> {
        let turns = &self.shared.turns;
        let began = turns.now();
        let decision = self.rules.handle(state, message);
        turns.called(began, decision.as_ref().ok().map(|decision| decision.fuel));
        self.tell_upkeep();
        decision.map_err(|fault| lacked_or(Undecided::Broke, fault))
    }

    fn count_fault(&self, undecided: Option<&Undecided>) {
        match undecided {
            Some(Undecided::Broke(fault)) => self.shared.turns.broke(fault.kind),
            // As its dead letter says: what broke is the migration, however it broke.
            Some(Undecided::NotMigrated(_)) => self.shared.turns.broke(FaultKind::Migration),
            Some(Undecided::Store(fault)) => {
                let condition = self.shared.store.condition();
                condition.report("an aggregate can't be read from the store", fault);
            }
            _ => {}
        }
    }

    /// Whether an event was applied in a turn that is committed.
    pub(super) fn was_applied(&self, identity: &Identity) -> rusqlite::Result<bool> {
        self.reader.was_applied(self.shared.row, identity)
    }

    /// Whether an aggregate is quarantined, as far as the store knows.
    pub(super) fn is_quarantined(&self, key: &str) -> rusqlite::Result<bool> {
        self.reader.is_quarantined(self.shared.row, key)
    }

    /// Whether a change of the aggregate is on its way to disk.
    pub(super) fn is_unsettled(&mut self, key: &str) -> bool {
        let committed = self.progress.committed();
        self.cache
            .get(key)
            .is_some_and(|known| known.ticket > committed)
    }

    /// Whether a timer is set, as far as the store knows.
    pub(super) fn timer_is_set(&self, timer: &FiredTimer) -> rusqlite::Result<bool> {
        self.reader.timer_is_set(self.shared.row, timer)
    }

    /// The timer that is set for that time, as far as the store knows.
    pub(super) fn timer(&self, timer: &FiredTimer) -> rusqlite::Result<Option<StoredTimer>> {
        parked::timer(self.reader.connection(), self.shared.row, timer)
    }

    /// The first message parked for a key after the one with this number, as far as the store knows.
    pub(super) fn parked(&self, key: &str, after: i64) -> rusqlite::Result<Option<ParkedRow>> {
        parked::next(self.reader.connection(), self.shared.row, key, after)
    }

    /// Remembers what the entry with this ticket leaves of the aggregate.
    pub(super) fn remember(&mut self, decided: &Decided, ticket: u64, run: u64) {
        let settlement = &decided.settlement;
        let current = self.active.description().state.version;
        let (state, state_version) = match (&settlement.state, &decided.migrated) {
            (StateChange::Put(state), _) => (Some(Arc::from(state.as_str())), current),
            (StateChange::Remove, _) => (None, current),
            (StateChange::Unchanged, Some(migrated)) => (Some(migrated.clone()), current),
            // Timers change with the ticket too, so that a cancelled one is not taken for set.
            (StateChange::Unchanged, None) if settlement.timers.is_empty() => return,
            (StateChange::Unchanged, None) => match self.cache.get(&settlement.key) {
                Some(known) => (known.state, known.state_version),
                None => return,
            },
        };
        let aggregate = Aggregate {
            state,
            revision: settlement.revision,
            state_version,
            ticket,
        };
        self.keep(&settlement.key, aggregate, run);
    }

    /// Remembers an aggregate. Where everything that is remembered is still on its way to disk, waits for
    /// the writer.
    fn keep(&mut self, key: &str, aggregate: Aggregate, run: u64) {
        while !self
            .cache
            .put(key, aggregate.clone(), self.progress.committed())
            && self.progress.run() == run
        {
            self.shared.store.settle_up();
        }
    }

    /// The aggregate as the last turn left it, in the current shape; and whether it was brought to it now.
    fn aggregate(&mut self, key: &str) -> Result<(Aggregate, bool), Undecided> {
        let known = match self.cache.get(key) {
            Some(known) => known,
            None => {
                let stored = self.reader.aggregate(self.shared.row, key)?;
                let read = Aggregate {
                    state: stored.state.map(Into::into),
                    revision: stored.revision,
                    state_version: stored.state_version,
                    ticket: 0,
                };
                self.keep(key, read.clone(), self.progress.run());
                read
            }
        };
        self.migrated(known)
    }

    fn migrated(&mut self, known: Aggregate) -> Result<(Aggregate, bool), Undecided> {
        let current = self.active.description().state.version;
        let Some(state) = known
            .state
            .as_deref()
            .filter(|_| known.state_version != current)
        else {
            return Ok((known, false));
        };
        let migrated = if known.state_version > current {
            let detail = format!(
                "state has version {}, the rules know up to {current}",
                known.state_version
            );
            Err(Fault::new(FaultKind::Migration, detail))
        } else {
            let (rules, limits) = (&mut self.rules, &self.shared.limits);
            let migrate = |rules: &mut Box<dyn Rules + Send>| {
                let state = rules.migrate(known.state_version, state)?;
                settle::check_state(limits, &state)?;
                Ok::<_, Fault>(state)
            };
            match migrate(rules) {
                Err(fault) if !fault.may_pass() && rules.renew() => migrate(rules),
                migrated => migrated,
            }
        };
        let state = migrated.map_err(|fault| lacked_or(Undecided::NotMigrated, fault))?;
        let aggregate = Aggregate {
            state: Some(state.into()),
            state_version: current,
            ..known
        };
        Ok((aggregate, true))
    }
}

/// What a fault is, unless it is one of the machine.
fn lacked_or(otherwise: fn(Fault) -> Undecided, fault: Fault) -> Undecided {
    match fault.kind {
        FaultKind::Machine => Undecided::Machine(fault),
        _ => otherwise(fault),
    }
}

fn undecided(disposition: Disposition) -> Undecided {
    match disposition {
        Disposition::Malformed(reason) => Undecided::Malformed(shorten(reason)),
        Disposition::RetryLater(reason) => Undecided::RetryLater(shorten(reason)),
    }
}
