//! The durable store of one participant's process, and one entry as a change of it.
//!
//! A transaction is a copy that takes the original's place when it commits: all of it or nothing.
//! What the checker needs to know and a real store does not keep (where a message was read, which
//! timer fired) is kept beside the rows.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use saga_core::commit::{FiredTimer, Parked, ParkedRow, StoredTimer};
use saga_core::identity::Identity;
use saga_core::message::Message;
use saga_core::outcome::Outcome;
use saga_core::record::Position;
use saga_core::settle::JournalEntry;

use crate::rules::SagaRules;

/// Everything that survives a crash.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) aggregates: BTreeMap<Rc<str>, StoredAggregate>,
    pub(crate) inbox: BTreeSet<Rc<Identity>>,
    pub(crate) outbox: Vec<Rc<OutboxRow>>,
    /// How many outbox rows the relay has noted as published.
    pub(crate) relayed: usize,
    pub(crate) offsets: BTreeMap<(&'static str, i32), i64>,
    /// How often a partition was taken over.
    pub(crate) epochs: BTreeMap<i32, u64>,
    pub(crate) timers: BTreeMap<(Rc<str>, Rc<str>), Rc<StoredTimer>>,
    pub(crate) journal: Vec<Rc<JournalRow>>,
    pub(crate) dead: Vec<Rc<DeadLetter>>,
    pub(crate) last_key: i64,
    /// Messages that are parked, by their numbers, of which none is given twice.
    pub(crate) parked: BTreeMap<i64, Rc<ParkedMessage>>,
    pub(crate) last_parked: i64,
    pub(crate) quarantined: BTreeSet<String>,
    /// Timers that are not offered when they are due.
    pub(crate) parked_timers: BTreeSet<FiredTimer>,
    /// Which build became the active one when; the last one is it.
    pub(crate) activations: Vec<Rc<ActivationRow>>,
    pub(crate) sequence: u64,
}

/// A parked message: its key, what it is, and what the build that read it listened to more than
/// others.
pub(crate) type ParkedMessage = (String, Parked, Option<&'static str>);

pub(crate) struct ActivationRow {
    pub(crate) sequence: u64,
    pub(crate) build: Rc<SagaRules>,
}

impl Store {
    /// The build that is active, as far as this is committed.
    pub(crate) fn active(&self) -> &Rc<SagaRules> {
        let last = self.activations.last();
        &last.expect("a store begins with an activation").build
    }

    /// Makes this build the active one.
    pub(crate) fn activate(&mut self, build: &Rc<SagaRules>) {
        self.sequence += 1;
        self.activations.push(Rc::new(ActivationRow {
            sequence: self.sequence,
            build: build.clone(),
        }));
    }

    /// Parked timers are offered again, but for those that have a place among the messages of their
    /// key.
    pub(crate) fn release_timers(&mut self) {
        let placed: BTreeSet<FiredTimer> = (self.parked.values())
            .filter_map(|row| match &row.1 {
                Parked::Timer(name, due) => Some(FiredTimer {
                    key: row.0.clone(),
                    name: name.clone(),
                    due: *due,
                }),
                Parked::Event(_) => None,
            })
            .collect();
        self.parked_timers.retain(|fired| placed.contains(fired));
    }

    /// The first message parked for a key after the one of this number.
    pub(crate) fn next_parked(&self, key: &str, after: i64) -> Option<ParkedRow> {
        let mut rows = self.parked.range(after + 1..);
        let (id, row) = rows.find(|(_, row)| row.0 == key)?;
        Some(ParkedRow {
            id: *id,
            bytes: 1,
            message: row.1.clone(),
        })
    }

    /// The timer that is set for that time.
    pub(crate) fn timer(&self, fired: &FiredTimer) -> Option<&StoredTimer> {
        let mut timers = self.timers.values();
        timers
            .find(|timer| fired_of(timer) == *fired)
            .map(|timer| &**timer)
    }

    /// Whether a build can read all states that there are.
    pub(crate) fn is_readable_by(&self, build: &SagaRules) -> bool {
        self.aggregates
            .values()
            .filter(|aggregate| aggregate.state.is_some())
            .all(|aggregate| build.shape.reads(aggregate.version))
    }
}

#[derive(Clone, Default)]
pub(crate) struct StoredAggregate {
    pub(crate) state: Option<Rc<str>>,
    pub(crate) revision: u64,
    pub(crate) version: u32,
}

pub(crate) struct OutboxRow {
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) body: String,
    pub(crate) id: String,
    pub(crate) event_type: String,
    pub(crate) correlation: String,
    pub(crate) causation: String,
    /// The build that decided.
    pub(crate) build: Rc<SagaRules>,
    pub(crate) time: u64,
}

/// What tells one setting of a timer from another.
pub(crate) fn fired_of(timer: &StoredTimer) -> FiredTimer {
    FiredTimer {
        key: timer.key.clone(),
        name: timer.name.clone(),
        due: timer.due,
    }
}

pub(crate) struct JournalRow {
    pub(crate) sequence: u64,
    pub(crate) build: Rc<SagaRules>,
    pub(crate) key: Rc<str>,
    pub(crate) decision: JournalEntry,
    /// The same as the checker reads it, which it does often.
    pub(crate) read: OnceCell<(Message, Outcome)>,
    pub(crate) at: Option<Position>,
    pub(crate) fired: Option<FiredTimer>,
    /// Number of the process that decided.
    pub(crate) process: usize,
    /// What the build that read it listened to more than others.
    pub(crate) more: Option<&'static str>,
}

pub(crate) struct DeadLetter {
    pub(crate) sequence: u64,
    pub(crate) build: Rc<SagaRules>,
    pub(crate) at: Option<Position>,
    /// Of a record that was parked: copies that came meanwhile were passed over.
    pub(crate) identity: Option<Identity>,
    pub(crate) fired: Option<FiredTimer>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) reason: String,
}
