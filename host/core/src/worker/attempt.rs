//! One attempt at a message: the aggregate as the last turn left it, the rules, the settlement.
//!
//! Asks for one thing after the other; what it comes to takes effect only when the worker hands it
//! over. Knows nothing of clients, records and retries.

use std::sync::Arc;

use super::Worker;
use super::action::{Input, Loaded};
use super::cache::Aggregate;
use super::host::{Active, Host};
use crate::commit::StoredAggregate;
use crate::message::Envelope;
use crate::outcome::{Disposition, Outcome, Reply, StateChange, TimerChange};
use crate::rules::{Decision, Fault, FaultKind};
use crate::settle::{self, Before, Settlement};
use saga_contract::reason::shorten;

/// An attempt, and what it has come to know.
pub(super) struct Attempt<H: Host> {
    pub(super) known: Aggregate,
    /// The state in the current shape, where it was stored in an older one.
    pub(super) migrated: Option<Arc<str>>,
    /// It is made again on a fresh instance, as what earlier turns left in the last one may be why
    /// it failed (invariant 5).
    is_second: bool,
    pub(super) asks: Asks<H>,
}

/// What an attempt waits for.
pub(super) enum Asks<H: Host> {
    /// The stored aggregate.
    Aggregate,
    /// Room among the remembered aggregates: all are still on their way to disk.
    Room,
    /// The state in the current shape; the second time on a fresh instance.
    Migrate { is_second: bool },
    /// The rules.
    Call,
    /// Can the rules read the state, where they broke or call the message malformed?
    Blame {
        undecided: Undecided<H>,
        is_second: bool,
    },
    /// A fresh instance, for what has failed so.
    Renew(Failed<H>),
}

/// What has failed on an instance that had been called before.
pub(super) enum Failed<H: Host> {
    Migrate(Fault),
    Blame(Undecided<H>, Fault),
    Attempt(Fault),
}

/// What an attempt comes to.
pub(super) enum Attempted<H: Host> {
    Decided(Box<Decided>),
    /// The reply to a read, and the ticket of the entry that last changed what it saw.
    Read(Reply, u64),
    Undecided(Undecided<H>),
}

/// What was decided on a message.
pub(super) struct Decided {
    pub(super) settlement: Settlement,
    /// The state in the current shape, where it was stored in an older one.
    pub(super) migrated: Option<Arc<str>>,
}

/// Why a message was not decided.
pub(super) enum Undecided<H: Host> {
    Malformed(String),
    RetryLater(String),
    Broke(Fault),
    /// The state of its aggregate can't be read, or not be brought to the current shape.
    NotMigrated(Fault),
    Store(H::StoreFault),
    /// The machine lacked something.
    Machine(Fault),
}

/// Goes on, or has come to its end.
type Next<H> = Result<Attempt<H>, Attempted<H>>;

impl<H: Host> Worker<H> {
    /// Begins an attempt. The aggregate may have been loaded already.
    pub(super) fn attempt(
        &mut self,
        subject: (&Envelope, bool),
        loaded: Option<StoredAggregate>,
    ) -> Next<H> {
        let known = self.cache.get(&subject.0.message.key);
        let is_known = known.is_some();
        let attempt = Attempt {
            known: known.unwrap_or_default(),
            migrated: None,
            is_second: false,
            asks: Asks::Aggregate,
        };
        match loaded {
            _ if is_known => self.migrate(attempt),
            Some(stored) => self.keep(subject, attempt, stored),
            None => Ok(attempt),
        }
    }

    /// Goes on with what was answered.
    pub(super) fn go_on(
        &mut self,
        subject: (&Envelope, bool),
        mut attempt: Attempt<H>,
        answer: Input<H>,
    ) -> Next<H> {
        let asked = std::mem::replace(&mut attempt.asks, Asks::Call);
        match (asked, answer) {
            (Asks::Aggregate, Input::Loaded(Ok(Loaded { aggregate, .. }))) => {
                self.keep(subject, attempt, aggregate.unwrap_or_default())
            }
            (Asks::Aggregate, Input::Loaded(Err(fault))) => {
                Err(Attempted::Undecided(Undecided::Store(fault)))
            }
            (Asks::Room, Input::Synced) => self.remember_loaded(subject, attempt),
            (Asks::Migrate { is_second }, Input::Migrated(state)) => {
                self.migrated(attempt, state, is_second)
            }
            (Asks::Call, Input::Decided(decision)) => self.decided(subject, attempt, decision),
            (
                Asks::Blame {
                    undecided,
                    is_second,
                },
                Input::Migrated(read),
            ) => self.blamed(attempt, undecided, read.err(), is_second),
            (Asks::Renew(failed), Input::Renewed(is_fresh)) => {
                self.renewed(attempt, failed, is_fresh)
            }
            // The host answers what it was asked.
            (asked, _) => {
                attempt.asks = asked;
                Ok(attempt)
            }
        }
    }

    fn keep(
        &mut self,
        subject: (&Envelope, bool),
        mut attempt: Attempt<H>,
        stored: StoredAggregate,
    ) -> Next<H> {
        attempt.known = Aggregate {
            state: stored.state.map(Into::into),
            revision: stored.revision,
            state_version: stored.state_version,
            ticket: 0,
            last: 0,
        };
        self.remember_loaded(subject, attempt)
    }

    /// Remembers a loaded aggregate. Where everything that is remembered is still on its way to
    /// disk, waits for the writer.
    fn remember_loaded(&mut self, subject: (&Envelope, bool), mut attempt: Attempt<H>) -> Next<H> {
        let (key, known) = (&subject.0.message.key, attempt.known.clone());
        if self.cache.put(key, known, self.settled) {
            return self.migrate(attempt);
        }
        attempt.asks = Asks::Room;
        Ok(attempt)
    }

    fn migrate(&mut self, mut attempt: Attempt<H>) -> Next<H> {
        let current = self.active.description().state.version;
        let version = attempt.known.state_version;
        if attempt.known.state.is_none() || version == current {
            attempt.asks = Asks::Call;
            return Ok(attempt);
        }
        if version > current {
            let detail = format!("state has version {version}, the rules know up to {current}");
            let fault = Fault::new(FaultKind::Migration, detail);
            return self.over(attempt, Undecided::NotMigrated(fault));
        }
        attempt.asks = Asks::Migrate { is_second: false };
        Ok(attempt)
    }

    fn migrated(
        &mut self,
        mut attempt: Attempt<H>,
        state: Result<String, Fault>,
        is_second: bool,
    ) -> Next<H> {
        let checked = state.and_then(|state| {
            settle::check_state(&self.settings.limits, &state)?;
            Ok(state)
        });
        match checked {
            Ok(state) => {
                attempt.migrated = Some(state.into());
                attempt.asks = Asks::Call;
                Ok(attempt)
            }
            Err(fault) if !fault.may_pass() && !is_second => {
                attempt.asks = Asks::Renew(Failed::Migrate(fault));
                Ok(attempt)
            }
            Err(fault) => self.over(attempt, lacked_or(Undecided::NotMigrated, fault)),
        }
    }

    fn decided(
        &mut self,
        subject: (&Envelope, bool),
        attempt: Attempt<H>,
        decision: Result<Decision, Fault>,
    ) -> Next<H> {
        let decision = match decision {
            Ok(decision) => decision,
            Err(fault) => return self.blame(attempt, lacked_or(Undecided::Broke, fault)),
        };
        let outcome = match decision.answer {
            Ok(outcome) => outcome,
            Err(Disposition::Malformed(reason)) => {
                return self.blame(attempt, Undecided::Malformed(shorten(reason)));
            }
            Err(Disposition::RetryLater(reason)) => {
                return self.blame(attempt, Undecided::RetryLater(shorten(reason)));
            }
        };
        match self.settle(subject, &attempt, outcome, decision.fuel) {
            Ok(attempted) => Err(attempted),
            Err(fault) => self.over(attempt, Undecided::Broke(fault)),
        }
    }

    fn settle(
        &self,
        (envelope, is_read): (&Envelope, bool),
        attempt: &Attempt<H>,
        outcome: Outcome,
        fuel: u64,
    ) -> Result<Attempted<H>, Fault> {
        let limits = &self.settings.limits;
        if is_read {
            let reply = settle::read_reply(limits, outcome)?;
            return Ok(Attempted::Read(reply, attempt.known.ticket));
        }
        let before = Before {
            state: attempt.state(),
            revision: attempt.known.revision,
        };
        let description = self.active.description();
        let settlement = settle::settle(description, limits, envelope, before, outcome, fuel)?;
        Ok(Attempted::Decided(Box::new(Decided {
            settlement,
            migrated: attempt.migrated.clone(),
        })))
    }

    /// What is to blame where the rules broke or call the message malformed: the state, if they
    /// can't read it when they are asked for nothing else.
    #[cold]
    fn blame(&mut self, mut attempt: Attempt<H>, undecided: Undecided<H>) -> Next<H> {
        let may_be_the_state = match &undecided {
            Undecided::Malformed(_) => true,
            Undecided::Broke(fault) => !fault.may_pass(),
            _ => false,
        };
        if !may_be_the_state || attempt.state().is_none() {
            return self.over(attempt, undecided);
        }
        attempt.asks = Asks::Blame {
            undecided,
            is_second: false,
        };
        Ok(attempt)
    }

    fn blamed(
        &mut self,
        mut attempt: Attempt<H>,
        undecided: Undecided<H>,
        fault: Option<Fault>,
        is_second: bool,
    ) -> Next<H> {
        match fault {
            None => self.over(attempt, undecided),
            Some(fault) if fault.may_pass() => {
                self.over(attempt, lacked_or(Undecided::Broke, fault))
            }
            Some(fault) if !is_second => {
                attempt.asks = Asks::Renew(Failed::Blame(undecided, fault));
                Ok(attempt)
            }
            Some(fault) => self.over(attempt, lacked_or(Undecided::NotMigrated, fault)),
        }
    }

    fn renewed(&mut self, mut attempt: Attempt<H>, failed: Failed<H>, is_fresh: bool) -> Next<H> {
        match (failed, is_fresh) {
            (Failed::Migrate(_), true) => {
                attempt.asks = Asks::Migrate { is_second: true };
                Ok(attempt)
            }
            (Failed::Migrate(fault), false) => self.over(attempt, Undecided::NotMigrated(fault)),
            (Failed::Blame(undecided, _), true) => {
                attempt.asks = Asks::Blame {
                    undecided,
                    is_second: true,
                };
                Ok(attempt)
            }
            (Failed::Blame(_, fault), false) => self.over(attempt, Undecided::NotMigrated(fault)),
            (Failed::Attempt(_), true) => {
                attempt.is_second = true;
                attempt.migrated = None;
                self.migrate(attempt)
            }
            (Failed::Attempt(fault), false) => Err(Attempted::Undecided(Undecided::Broke(fault))),
        }
    }

    /// The attempt has failed, unless it is made again: what earlier turns left in the instance may
    /// be why.
    fn over(&mut self, mut attempt: Attempt<H>, undecided: Undecided<H>) -> Next<H> {
        match undecided {
            Undecided::Broke(fault) if !fault.may_pass() && !attempt.is_second => {
                attempt.asks = Asks::Renew(Failed::Attempt(fault));
                Ok(attempt)
            }
            undecided => Err(Attempted::Undecided(undecided)),
        }
    }

    /// Remembers what the entry with this ticket leaves of the aggregate.
    pub(super) fn remember(&mut self, decided: &Decided, ticket: u64) {
        let settlement = &decided.settlement;
        let current = self.active.description().state.version;
        let Some(known) = self.cache.get(&settlement.key) else {
            return;
        };
        let (state, state_version) = match (&settlement.state, &decided.migrated) {
            (StateChange::Put(state), _) => (Some(Arc::from(state.as_str())), current),
            (StateChange::Remove, _) => (None, current),
            (StateChange::Unchanged, Some(migrated)) => (Some(migrated.clone()), current),
            // Timers change with the ticket too, so that a cancelled one is not taken for set.
            (StateChange::Unchanged, None) if settlement.timers.is_empty() => return,
            (StateChange::Unchanged, None) => (known.state, known.state_version),
        };
        let aggregate = Aggregate {
            state,
            revision: settlement.revision,
            state_version,
            ticket,
            last: ticket,
        };
        self.cache.put(&settlement.key, aggregate, self.settled);
    }
}

impl Decided {
    /// Whether it sets a timer of this name.
    pub(super) fn sets_timer(&self, name: &str) -> bool {
        let is_set =
            |change: &TimerChange| matches!(change, TimerChange::Set(timer) if timer.name == name);
        self.settlement.timers.iter().any(is_set)
    }
}

impl<H: Host> Undecided<H> {
    /// How the rules broke, where they did. Of a migration: it is what broke, however it broke.
    pub(super) fn fault_kind(&self) -> Option<FaultKind> {
        match self {
            Self::Broke(fault) => Some(fault.kind),
            Self::NotMigrated(_) => Some(FaultKind::Migration),
            _ => None,
        }
    }
}

impl<H: Host> Attempt<H> {
    /// The state in the current shape.
    pub(super) fn state(&self) -> Option<&str> {
        self.migrated.as_deref().or(self.known.state.as_deref())
    }
}

/// What a fault is, unless it is one of the machine.
fn lacked_or<H: Host>(otherwise: fn(Fault) -> Undecided<H>, fault: Fault) -> Undecided<H> {
    match fault.kind {
        FaultKind::Machine => Undecided::Machine(fault),
        _ => otherwise(fault),
    }
}
