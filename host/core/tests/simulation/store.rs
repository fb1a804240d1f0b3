//! The durable store of one participant's process, and one entry as a change of it.
//!
//! A transaction is a copy that replaces the original when it commits. Data that the checker needs
//! and a real store does not keep (the position of a message's record, the timer that fired) is
//! kept beside the rows.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use saga_core::commit::{
    Blocks, FiredTimer, LetterRequest, Parked, ParkedKey, ParkedLetter, ParkedRow, StoredTimer,
};
use saga_core::identity::Identity;
use saga_core::message::Message;
use saga_core::outcome::{Outcome, Reply};
use saga_core::record::Position;
use saga_core::settle::JournalEntry;

use crate::hosts::Shared;
use crate::rules::SagaRules;

/// All data that survives a crash.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) aggregates: BTreeMap<Rc<str>, StoredAggregate>,
    pub(crate) inbox: BTreeSet<Rc<Identity>>,
    pub(crate) outbox: Vec<Rc<OutboxRow>>,
    /// Number of outbox rows that the relay has noted as published.
    pub(crate) relayed: usize,
    pub(crate) offsets: BTreeMap<(&'static str, i32), i64>,
    /// Number of claims of each partition, in a shared store.
    pub(crate) epochs: BTreeMap<i32, i64>,
    /// The rows of the hosts on a shared store, and what else only such a store has.
    pub(crate) shared: Shared,
    /// The first replies under idempotency keys.
    pub(crate) replies: BTreeMap<Rc<str>, Reply>,
    pub(crate) timers: BTreeMap<(Rc<str>, Rc<str>), Rc<StoredTimer>>,
    pub(crate) journal: Vec<Rc<JournalRow>>,
    pub(crate) dead: Vec<Rc<DeadLetter>>,
    /// Parked dead letters that are open, by their numbers.
    pub(crate) letters: BTreeMap<i64, OpenLetter>,
    /// Ended dead letters that were parked, by their numbers, with the sequence of their end.
    pub(crate) ended: BTreeMap<i64, u64>,
    /// Failed redrives by letter: the sequence, and the reason from then on.
    pub(crate) failed_redrives: BTreeMap<i64, Vec<(u64, String)>>,
    /// Identities of discarded ones.
    pub(crate) discarded: Vec<Identity>,
    /// Positions of records that replaced the record of a dead letter.
    pub(crate) returned: Vec<Position>,
    pub(crate) last_key: i64,
    /// Parked messages, by their numbers. No number is used twice.
    pub(crate) parked: BTreeMap<i64, Rc<ParkedMessage>>,
    pub(crate) last_parked: i64,
    pub(crate) quarantined: BTreeSet<String>,
    /// Parked timers.
    pub(crate) parked_timers: BTreeSet<FiredTimer>,
    /// The activations; the last one is of the active build.
    pub(crate) activations: Vec<Rc<ActivationRow>>,
    pub(crate) sequence: u64,
}

/// A parked message: its key, the message, and the additional subscriptions of the build that read
/// it.
pub(crate) type ParkedMessage = (String, Parked, Option<&'static str>);

pub(crate) struct ActivationRow {
    pub(crate) sequence: u64,
    pub(crate) build: Rc<SagaRules>,
}

impl Store {
    /// The active build, as committed.
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

    /// Parked timers are offered again, except those with a place among the messages of their key.
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
        let letter = (self.letters.iter()).find(|(_, letter)| letter.parked == *id);
        Some(ParkedRow {
            id: *id,
            bytes: 1,
            message: row.1.clone(),
            letter: letter.map(|(id, letter)| ParkedLetter {
                id: *id,
                request: letter.request.map(|request| (letter.requests, request)),
                is_exhausted: letter.blocks() == Blocks::Messages,
                is_aside: false,
            }),
        })
    }

    /// The keys for which messages are parked.
    pub(crate) fn parked_keys(&self) -> Vec<ParkedKey> {
        let mut keys: BTreeMap<&String, ParkedKey> = BTreeMap::new();
        for (id, row) in &self.parked {
            let of_key = keys.entry(&row.0).or_insert_with(|| ParkedKey {
                key: row.0.clone(),
                messages: 0,
                letter: None,
                is_requested: false,
            });
            of_key.messages += 1;
            let letter = self.letters.values().find(|letter| letter.parked == *id);
            of_key.letter = of_key.letter.or(letter.map(OpenLetter::blocks));
            of_key.is_requested |= letter.is_some_and(|letter| letter.request.is_some());
        }
        keys.into_values().collect()
    }

    /// The timer, if it is set for that time.
    pub(crate) fn timer(&self, fired: &FiredTimer) -> Option<&StoredTimer> {
        let mut timers = self.timers.values();
        timers
            .find(|timer| fired_of(timer) == *fired)
            .map(|timer| &**timer)
    }

    /// True if this timer of an aggregate is set, parked or not.
    pub(crate) fn has_timer(&self, key: &str, name: &str) -> bool {
        let mut timers = self.timers.keys();
        timers.any(|(of, timer)| (&**of, &**timer) == (key, name))
    }

    /// True if a build can read all stored states.
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
    /// The saga that it belongs to.
    pub(crate) correlation: Option<String>,
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

/// Identifies one setting of a timer.
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
    /// The same, parsed for the checker, which reads it often.
    pub(crate) read: OnceCell<(Message, Outcome)>,
    pub(crate) at: Option<Position>,
    pub(crate) fired: Option<FiredTimer>,
    /// Number of the process that decided.
    pub(crate) process: usize,
    /// The additional subscriptions of the build that read it.
    pub(crate) more: Option<&'static str>,
    /// True if it was parked before.
    pub(crate) was_parked: bool,
}

/// A parked dead letter.
#[derive(Clone)]
pub(crate) struct OpenLetter {
    /// Number of the parked message.
    pub(crate) parked: i64,
    pub(crate) key: String,
    pub(crate) request: Option<LetterRequest>,
    /// True if a discard was requested: it must not be lost.
    pub(crate) is_discarded: bool,
    /// Number of requests so far.
    pub(crate) requests: i64,
    pub(crate) reason: String,
    /// Number of failed redrives.
    pub(crate) failed: u32,
}

impl OpenLetter {
    pub(crate) fn blocks(&self) -> Blocks {
        match self.reason == "retries-exhausted" {
            true => Blocks::Messages,
            false => Blocks::All,
        }
    }
}

pub(crate) struct DeadLetter {
    pub(crate) sequence: u64,
    pub(crate) build: Rc<SagaRules>,
    pub(crate) at: Option<Position>,
    pub(crate) key: String,
    /// True if it stayed parked.
    pub(crate) is_parked: bool,
    /// Identity of a record that was parked: copies that came meanwhile were deduplicated.
    pub(crate) identity: Option<Identity>,
    pub(crate) fired: Option<FiredTimer>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) reason: String,
}
