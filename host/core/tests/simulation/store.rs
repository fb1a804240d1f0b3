//! The durable store of one participant's process, and one entry as a change of it.
//!
//! A transaction is a copy that takes the original's place when it commits: all of it or nothing. What
//! the checker needs to know and a real store does not keep (where a message was read, which timer
//! fired) is kept beside the rows.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use saga_core::identity::{self, Identity};
use saga_core::message::{Envelope, Message, Origin};
use saga_core::outcome::{Outcome, StateChange, TimerChange};
use saga_core::record::{Position, Record};
use saga_core::settle::{JournalEntry, OutgoingEvent, Settlement};

use crate::entry::Entry;
use crate::rules::SagaRules;
use crate::scene::Broken;

/// Everything that survives a crash.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) aggregates: BTreeMap<Rc<str>, StoredAggregate>,
    pub(crate) inbox: BTreeSet<Rc<Identity>>,
    pub(crate) outbox: Vec<Rc<OutboxRow>>,
    /// How many outbox rows the relay has noted as published.
    pub(crate) relayed: usize,
    pub(crate) offsets: BTreeMap<(&'static str, i32), i64>,
    pub(crate) timers: BTreeMap<(Rc<str>, Rc<str>), Rc<StoredTimer>>,
    pub(crate) journal: Vec<Rc<JournalRow>>,
    pub(crate) dead: Vec<Rc<DeadLetter>>,
    pub(crate) last_key: i64,
    /// Messages that wait, by their numbers, of which none is given twice.
    pub(crate) parked: BTreeMap<u64, Rc<ParkedRow>>,
    last_parked: u64,
    /// Timers that are not offered when they are due.
    pub(crate) parked_timers: BTreeSet<Fired>,
    /// Which build became the active one when; the last one is it.
    pub(crate) activations: Vec<Rc<ActivationRow>>,
    sequence: u64,
}

/// A message that waits.
pub(crate) struct ParkedRow {
    pub(crate) id: u64,
    pub(crate) key: String,
    pub(crate) what: Parked,
}

#[derive(Clone)]
pub(crate) enum Parked {
    Event {
        identity: Identity,
        record: Box<Record>,
    },
    Timer(Fired),
}

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

    /// Parked timers are offered again, but for those that have a place among the messages of their key.
    pub(crate) fn release_timers(&mut self) {
        let placed: BTreeSet<&Fired> = (self.parked.values())
            .filter_map(|row| match &row.what {
                Parked::Timer(fired) => Some(fired),
                Parked::Event { .. } => None,
            })
            .collect();
        self.parked_timers.retain(|fired| placed.contains(fired));
    }

    /// The first message parked for a key after the one of this number.
    pub(crate) fn next_parked(&self, key: &str, after: u64) -> Option<&Rc<ParkedRow>> {
        let mut rows = self.parked.range(after + 1..).map(|(_, row)| row);
        rows.find(|row| row.key == key)
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
    pub(crate) event: OutgoingEvent,
    pub(crate) correlation: String,
    pub(crate) causation: String,
    /// The build that decided.
    pub(crate) build: Rc<SagaRules>,
    pub(crate) time: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredTimer {
    pub(crate) fired: Fired,
    pub(crate) body: String,
    pub(crate) set_by: String,
    pub(crate) correlation: String,
}

impl StoredTimer {
    /// The message that it is when it is due.
    pub(crate) fn envelope(&self, participant: &str, now: u64) -> Envelope {
        let source = format!(
            "{}/timers/{}",
            identity::source_of(participant),
            self.fired.name
        );
        let cause = Identity {
            source: source.clone(),
            id: self.set_by.clone(),
        };
        Envelope {
            message: Message {
                id: identity::event_id(participant, &cause, self.fired.due, 0),
                source,
                origin: Origin::Timer,
                name: self.fired.name.clone(),
                key: self.fired.key.clone(),
                time: now,
                correlation: self.correlation.clone(),
                parameters: Vec::new(),
                body: self.body.clone(),
            },
            made_at: self.fired.due,
            traceparent: None,
        }
    }
}

/// What tells one setting of a timer from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fired {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) due: u64,
}

pub(crate) struct JournalRow {
    pub(crate) sequence: u64,
    pub(crate) build: Rc<SagaRules>,
    pub(crate) key: Rc<str>,
    pub(crate) decision: JournalEntry,
    /// The same as the checker reads it, which it does often.
    pub(crate) read: OnceCell<(Message, Outcome)>,
    pub(crate) at: Option<Position>,
    pub(crate) fired: Option<Fired>,
}

pub(crate) struct DeadLetter {
    pub(crate) sequence: u64,
    pub(crate) build: Rc<SagaRules>,
    pub(crate) at: Option<Position>,
    /// Of a record that was parked: copies that came meanwhile were passed over.
    pub(crate) identity: Option<Identity>,
    pub(crate) fired: Option<Fired>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) reason: &'static str,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Written,
    /// Its event was applied before: only that it was consumed is written.
    Duplicate,
}

/// Writes one entry into an open transaction.
pub(crate) fn apply(store: &mut Store, entry: &Entry, broken: Option<Broken>) -> Applied {
    if let Some((session, offset)) = &entry.taken {
        let safe = session.window.borrow_mut().settle(*offset);
        let next = if broken == Some(Broken::OffsetBeyondWindow) {
            offset + 1
        } else {
            safe
        };
        store
            .offsets
            .insert((session.topic, session.partition), next);
    }
    store.sequence += 1;
    if let Some(row) = &entry.unparked {
        if store.parked.remove(&row.id).is_none() {
            return Applied::Duplicate;
        }
        if let Parked::Event { identity, .. } = &row.what
            && entry.dead.is_some()
        {
            store.inbox.remove(identity);
        }
    }
    if let Some((key, what)) = &entry.parking {
        if let Parked::Event { identity, .. } = what
            && broken != Some(Broken::ParkedNotRemembered)
            && !store.inbox.insert(Rc::new(identity.clone()))
        {
            return Applied::Duplicate;
        }
        if broken == Some(Broken::ParkedNumberReused) {
            store.last_parked = store.parked.keys().next_back().copied().unwrap_or(0);
        }
        store.last_parked += 1;
        let row = ParkedRow {
            id: store.last_parked,
            key: key.clone(),
            what: what.clone(),
        };
        store.parked.insert(row.id, Rc::new(row));
    }
    if let Some(fired) = &entry.parked_timer
        && store.timers.values().any(|timer| timer.fired == *fired)
    {
        store.parked_timers.insert(fired.clone());
    }
    if let Some(settlement) = &entry.settlement {
        if let Some(identity) = &settlement.inbox
            && !store.inbox.insert(Rc::new(identity.clone()))
            && broken != Some(Broken::InboxNotConsulted)
        {
            return Applied::Duplicate;
        }
        write_state(store, entry, settlement, broken);
        write_timers(store, settlement);
        store.journal.push(Rc::new(JournalRow {
            sequence: store.sequence,
            build: entry.build.clone(),
            key: settlement.key.as_str().into(),
            decision: settlement.journal.clone(),
            read: OnceCell::new(),
            at: entry.at(),
            fired: entry.fired.clone(),
        }));
        if broken != Some(Broken::OutboxApart) {
            write_outbox(store, entry, settlement);
        }
    }
    if let Some(key) = entry.generated_key
        && broken != Some(Broken::KeysForgotten)
    {
        store.last_key = store.last_key.max(key);
    }
    if let Some(fired) = &entry.fired {
        delete_timer(store, fired, entry.settlement.as_ref());
    }
    if let Some((reason, value)) = &entry.dead {
        if let Some(at) = entry.at() {
            store.inbox.insert(Rc::new(identity::of_position(&at)));
        }
        store.dead.push(Rc::new(DeadLetter {
            sequence: store.sequence,
            build: entry.build.clone(),
            at: entry.at(),
            identity: entry.unparked.as_ref().and_then(|row| match &row.what {
                Parked::Event { identity, .. } => Some(identity.clone()),
                Parked::Timer(_) => None,
            }),
            fired: entry.fired.clone(),
            value: value.clone(),
            reason,
        }));
    }
    Applied::Written
}

pub(crate) fn write_outbox(store: &mut Store, entry: &Entry, settlement: &Settlement) {
    for event in &settlement.events {
        store.outbox.push(Rc::new(OutboxRow {
            event: event.clone(),
            correlation: settlement.cause.correlation.clone(),
            causation: settlement.cause.id.clone(),
            build: entry.build.clone(),
            time: settlement.journal.time,
        }));
    }
}

fn write_state(store: &mut Store, entry: &Entry, settlement: &Settlement, broken: Option<Broken>) {
    let state = match &settlement.state {
        // A state in another shape is the same state: its revision stays.
        StateChange::Unchanged if broken != Some(Broken::MigrationNotWritten) => {
            match &entry.migrated {
                Some(state) => Some(state.clone()),
                None => return,
            }
        }
        StateChange::Unchanged => return,
        StateChange::Put(state) => Some(state.as_str().into()),
        StateChange::Remove => {
            store.timers.retain(|(key, _), _| **key != *settlement.key);
            None
        }
    };
    let written = StoredAggregate {
        state,
        revision: settlement.revision,
        version: entry.build.shape.version,
    };
    store
        .aggregates
        .insert(settlement.key.as_str().into(), written);
}

fn write_timers(store: &mut Store, settlement: &Settlement) {
    let place = |name: &str| (settlement.key.as_str().into(), name.into());
    for change in &settlement.timers {
        match change {
            TimerChange::Set(timer) => {
                let fired = Fired {
                    key: settlement.key.clone(),
                    name: timer.name.clone(),
                    due: timer.due,
                };
                let set = StoredTimer {
                    fired,
                    body: timer.body.clone(),
                    set_by: settlement.cause.id.clone(),
                    correlation: settlement.cause.correlation.clone(),
                };
                store.parked_timers.remove(&set.fired);
                store.timers.insert(place(&timer.name), Rc::new(set));
            }
            TimerChange::Cancel(name) => {
                store.timers.remove(&place(name));
            }
        }
    }
}

/// Deletes the timer that fired, unless the turn set it anew.
fn delete_timer(store: &mut Store, fired: &Fired, settlement: Option<&Settlement>) {
    let set_anew = settlement.is_some_and(|settlement| {
        settlement
            .timers
            .iter()
            .any(|change| matches!(change, TimerChange::Set(set) if set.name == fired.name))
    });
    let place = (fired.key.as_str().into(), fired.name.as_str().into());
    if !set_anew
        && store
            .timers
            .get(&place)
            .is_some_and(|timer| timer.fired == *fired)
    {
        store.timers.remove(&place);
    }
}
