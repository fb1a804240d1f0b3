//! One attempt at a message: loads the aggregate as the last turn left it, calls the rules, and
//! settles.
//!
//! Asks one question after the other. The result takes effect only when the worker hands it over.
//! Must not know: clients, records, retries.

use std::sync::Arc;

use super::Worker;
use super::action::Input;
use super::cache::Aggregate;
use super::host::{ActiveRules, Defect, HostTypes};
use crate::commit::StoredAggregate;
use crate::message::Envelope;
use crate::outcome::{Disposition, Outcome, Reply, StateChange, TimerChange};
use crate::rules::{Decision, Fault, FaultKind};
use crate::settle::{self, Before, OutputTerms, Settlement};
use saga_contract::reason::shorten;

/// An attempt, with the data gathered so far.
pub(super) struct Attempt<H: HostTypes> {
    pub(super) known: Aggregate,
    /// The migrated state, if it was stored in an older shape.
    pub(super) migrated: Option<Arc<str>>,
    /// The attempt is repeated on a fresh instance, since the leftovers of earlier turns in the
    /// last one may have made it fail (invariant 5).
    is_second: bool,
    /// The state is only read and migrated; nothing is decided.
    pub(super) only_reads_state: bool,
    pub(super) asks: Asks<H>,
}

/// The question that an attempt waits for.
pub(super) enum Asks<H: HostTypes> {
    /// The stored aggregate.
    Aggregate,
    /// Room in the cache, since all cached aggregates are in flight.
    Room,
    /// The migrated state; the second time on a fresh instance.
    Migrate { is_second: bool },
    /// The rules.
    Call,
    /// Can the rules read the state? Asked if they broke or called the message malformed.
    Blame {
        undecided: Undecided<H>,
        is_second: bool,
    },
    /// A fresh instance, after this failure.
    Renew(Failed<H>),
}

/// A failure on an instance that had been called before.
pub(super) enum Failed<H: HostTypes> {
    Migrate(Fault),
    Blame(Undecided<H>, Fault),
    Attempt(Fault),
}

/// The result of an attempt.
pub(super) enum Attempted<H: HostTypes> {
    Decided(Box<Decided>),
    /// The rules can read the state, if there is one; with the migrated state if it is stored in an
    /// older shape.
    StateRead(Option<Arc<str>>),
    /// The reply to a read.
    Read(ReadReply),
    Undecided(Undecided<H>),
}

/// The reply to a read.
pub(super) struct ReadReply {
    pub(super) reply: Reply,
    /// The state that it saw.
    pub(super) seen: Option<Arc<str>>,
    /// The ticket of the entry that last changed that state.
    pub(super) ticket: u64,
}

/// The decision on a message.
pub(super) struct Decided {
    pub(super) settlement: Settlement,
    /// The migrated state, if it was stored in an older shape.
    pub(super) migrated: Option<Arc<str>>,
}

/// The reason why a message was not decided.
pub(super) enum Undecided<H: HostTypes> {
    Malformed(String),
    RetryLater(String),
    Broke(Fault),
    /// The state of its aggregate can't be read or migrated to the current shape.
    NotMigrated(Fault),
    Store(H::StoreFault),
    /// The machine is out of a resource.
    Machine(Fault),
}

/// The attempt goes on, or has ended.
type AttemptNext<H> = Result<Attempt<H>, Attempted<H>>;

impl<H: HostTypes> Worker<H> {
    /// Begins an attempt. The aggregate may be loaded already.
    pub(super) fn attempt(
        &mut self,
        subject: (&Envelope, bool),
        loaded: Option<StoredAggregate>,
        only_reads_state: bool,
    ) -> AttemptNext<H> {
        self.is_from_cache = false;
        let known = self.cached(&subject.0.message.key, subject.1, only_reads_state);
        let is_known = known.is_some();
        let attempt = Attempt {
            known: known.unwrap_or_default(),
            migrated: None,
            is_second: false,
            only_reads_state,
            asks: Asks::Aggregate,
        };
        match loaded {
            _ if is_known => self.migrate(attempt),
            Some(stored) => self.keep(subject, attempt, stored),
            None => Ok(attempt),
        }
    }

    /// The aggregate of this key, if it is cached. Nothing verifies a read, so if another host may
    /// have changed the aggregate, a read loads it: what is in flight may never be written, or was
    /// written so long ago that another host has changed it since.
    fn cached(&mut self, key: &str, is_read: bool, only_reads_state: bool) -> Option<Aggregate> {
        let known = self.cache.get(key)?;
        if !self.settings.is_shared {
            return Some(known);
        }
        let is_in_flight = known.last > self.settled;
        if is_in_flight && H::is_broken(Defect::FlightTrusted) {
            return Some(known);
        }
        if !is_in_flight && (is_read || only_reads_state) {
            self.cache.forget(key);
            return None;
        }
        self.is_from_cache = !is_read;
        (!is_read).then_some(known)
    }

    /// Goes on with an answer.
    pub(super) fn go_on(
        &mut self,
        subject: (&Envelope, bool),
        mut attempt: Attempt<H>,
        answer: Input<H>,
    ) -> AttemptNext<H> {
        let asked = std::mem::replace(&mut attempt.asks, Asks::Call);
        match (asked, answer) {
            (Asks::Aggregate, Input::Loaded(Ok(loaded))) => {
                if loaded.is_quarantined {
                    self.quarantined.put(&subject.0.message.key);
                }
                self.keep(subject, attempt, loaded.aggregate.unwrap_or_default())
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
            // The host answers the open question.
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
    ) -> AttemptNext<H> {
        attempt.known = Aggregate {
            correlation: (stored.correlation.filter(|_| stored.state.is_some())).map(Into::into),
            state: stored.state.map(Into::into),
            revision: stored.revision,
            state_version: stored.state_version,
            ticket: 0,
            last: 0,
        };
        self.remember_loaded(subject, attempt)
    }

    /// Caches a loaded aggregate. If all cached aggregates are in flight, waits for the writer.
    fn remember_loaded(
        &mut self,
        subject: (&Envelope, bool),
        mut attempt: Attempt<H>,
    ) -> AttemptNext<H> {
        let (key, known) = (&subject.0.message.key, attempt.known.clone());
        // Later decisions go on from what is in flight.
        let is_apart = self.settings.is_shared && subject.1 && self.is_in_flight(key);
        if is_apart || self.cache.put(key, known, self.settled) {
            return self.migrate(attempt);
        }
        attempt.asks = Asks::Room;
        Ok(attempt)
    }

    fn migrate(&mut self, mut attempt: Attempt<H>) -> AttemptNext<H> {
        let current = self.active.description().state.version;
        let version = attempt.known.state_version;
        if attempt.known.state.is_none() && attempt.only_reads_state {
            return Err(Attempted::StateRead(None));
        }
        if attempt.known.state.is_none() || (version == current && !attempt.only_reads_state) {
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
    ) -> AttemptNext<H> {
        let checked = state.and_then(|state| {
            settle::check_state(&self.settings.limits, &state)?;
            Ok(state)
        });
        match checked {
            Ok(state) if attempt.only_reads_state => {
                let is_older =
                    attempt.known.state_version != self.active.description().state.version;
                Err(Attempted::StateRead(is_older.then(|| state.into())))
            }
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
    ) -> AttemptNext<H> {
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
        let schemas = self.active.schemas();
        let terms = OutputTerms {
            description: self.active.description(),
            limits,
            schemas: schemas.filter(|_| limits.check_outputs),
            kept: self.settings.kept,
        };
        if is_read {
            let reply = settle::read_reply(terms, &envelope.message.name, outcome)?;
            return Ok(Attempted::Read(ReadReply {
                reply,
                seen: (attempt.migrated.as_ref())
                    .or(attempt.known.state.as_ref())
                    .cloned(),
                ticket: attempt.known.ticket,
            }));
        }
        let before = Before {
            state: attempt.state(),
            revision: attempt.known.revision,
            correlation: attempt.known.correlation.as_deref(),
        };
        let settlement = settle::settle(terms, envelope, before, outcome, fuel)?;
        Ok(Attempted::Decided(Box::new(Decided {
            settlement,
            migrated: attempt.migrated.clone(),
        })))
    }

    /// After the rules broke or called the message malformed, checks for an unreadable state: it is
    /// to blame if the rules can't read it in a call that asks nothing else.
    #[cold]
    fn blame(&mut self, mut attempt: Attempt<H>, undecided: Undecided<H>) -> AttemptNext<H> {
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
    ) -> AttemptNext<H> {
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

    fn renewed(
        &mut self,
        mut attempt: Attempt<H>,
        failed: Failed<H>,
        is_fresh: bool,
    ) -> AttemptNext<H> {
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

    /// Ends a failed attempt, or repeats it on a fresh instance, since the leftovers of earlier
    /// turns may have made it fail.
    fn over(&mut self, mut attempt: Attempt<H>, undecided: Undecided<H>) -> AttemptNext<H> {
        match undecided {
            Undecided::Broke(fault) if !fault.may_pass() && !attempt.is_second => {
                attempt.asks = Asks::Renew(Failed::Attempt(fault));
                Ok(attempt)
            }
            undecided => Err(Attempted::Undecided(undecided)),
        }
    }

    /// Caches the aggregate as the entry with this ticket leaves it.
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
            // Timers change with the ticket too, so that a cancelled one is not mistaken for a set
            // one.
            (StateChange::Unchanged, None) if settlement.timers.is_empty() => return,
            (StateChange::Unchanged, None) => (known.state, known.state_version),
        };
        let correlation = match known.correlation {
            _ if state.is_none() => None,
            None => Some(settlement.correlation.as_str().into()),
            known => known,
        };
        let aggregate = Aggregate {
            correlation,
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
    /// True if it sets a timer of this name.
    pub(super) fn sets_timer(&self, name: &str) -> bool {
        let is_set =
            |change: &TimerChange| matches!(change, TimerChange::Set(timer) if timer.name == name);
        self.settlement.timers.iter().any(is_set)
    }
}

impl<H: HostTypes> Undecided<H> {
    /// The kind of fault, if the rules broke. Every fault of a migration counts as
    /// [`FaultKind::Migration`].
    pub(super) fn fault_kind(&self) -> Option<FaultKind> {
        match self {
            Self::Broke(fault) => Some(fault.kind),
            Self::NotMigrated(_) => Some(FaultKind::Migration),
            _ => None,
        }
    }
}

impl<H: HostTypes> Attempt<H> {
    /// The state in the current shape.
    pub(super) fn state(&self) -> Option<&str> {
        self.migrated.as_deref().or(self.known.state.as_deref())
    }
}

/// Classifies a fault: a shortage of the machine, or else as given.
fn lacked_or<H: HostTypes>(otherwise: fn(Fault) -> Undecided<H>, fault: Fault) -> Undecided<H> {
    match fault.kind {
        FaultKind::Machine => Undecided::Machine(fault),
        _ => otherwise(fault),
    }
}
