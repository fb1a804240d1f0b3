//! Messages of a store that still wait: records that no reader has taken, timers, parked
//! records, open dead letters.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use saga_core::identity::{Identity, of_position, uuid_bytes};
use saga_core::message::Origin;
use saga_core::record::Record;
use serde::Serialize;

use super::timeline::{RecordPlace, place};
use crate::store::dead_letters::{self, LetterFilter};
use crate::store::streams::OutboxReaders;
use crate::store::waiting::TopicReader;
use crate::store::{RELAY, ReadStore, StoreResult};

/// Rows read at once (invariant 9).
const PAGE: usize = 1_000;

/// Bytes of records read at once.
const BYTES: usize = 4 << 20;

/// Something that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// Correlation of the saga.
    pub correlation: String,
    /// The participant that has to go on.
    pub participant: String,
    /// Key of its aggregate, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Since when, in milliseconds since the Unix epoch; None if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// For what.
    #[serde(flatten)]
    pub what: Expected,
}

/// An expected message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Expected {
    /// A record that a participant of this store has not decided.
    Event {
        /// Event type.
        event_type: Option<String>,
        /// Its maker.
        source: Option<String>,
        /// Its id.
        id: Option<String>,
        /// Its place in the log of this store.
        place: RecordPlace,
        /// Records that the reader takes before it; None if that is not known here.
        #[serde(skip_serializing_if = "Option::is_none")]
        behind: Option<i64>,
    },
    /// A record that the relay has not yet published to Kafka.
    Unpublished {
        /// Event type.
        event_type: Option<String>,
        /// Its id.
        id: Option<String>,
        /// Its place in the log of this store.
        place: RecordPlace,
    },
    /// A timer.
    Timer {
        /// Its name.
        name: String,
        /// When it is due, in milliseconds since the Unix epoch.
        due: u64,
        /// Why it is parked, if it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        parked: Option<String>,
    },
    /// A parked record.
    Parked {
        /// Event type.
        event_type: String,
        /// Its id.
        id: String,
        /// Number of the dead letter behind which it waits.
        #[serde(skip_serializing_if = "Option::is_none")]
        letter: Option<i64>,
        /// True if its aggregate is quarantined.
        is_quarantined: bool,
    },
    /// A dead letter that is open.
    DeadLetter {
        /// Its number.
        letter: i64,
        /// Event type.
        event_type: Option<String>,
        /// The reason: a stable word.
        reason: String,
        /// The problem.
        detail: String,
        /// Messages that wait behind it.
        waiting: u64,
    },
}

/// Passes all that is expected in a store to `on`.
///
/// # Errors
/// The store can't be read.
pub fn each(reading: &dyn ReadStore, on: &mut dyn FnMut(Wait)) -> StoreResult<()> {
    for name in reading.participants()? {
        let Some(row) = reading.participant(&name)? else {
            continue;
        };
        of_participant(reading, (&name, row), on)?;
    }
    for topic in reading.backlogs(OutboxReaders::Consumers)?.into_keys() {
        if let Some(row) = reading.topic(&topic)? {
            records(reading, &(row, topic.into()), on)?;
        }
    }
    Ok(())
}

/// Passes what a participant expects itself: timers, parked records, open dead letters.
///
/// # Errors
/// The store can't be read.
pub(super) fn of_participant(
    reading: &dyn ReadStore,
    participant: (&str, i64),
    on: &mut dyn FnMut(Wait),
) -> StoreResult<()> {
    timers(reading, participant, on)?;
    parked(reading, participant, on)?;
    letters(reading, participant, on)
}

fn timers(
    reading: &dyn ReadStore,
    (participant, row): (&str, i64),
    on: &mut dyn FnMut(Wait),
) -> StoreResult<()> {
    let mut after = (String::new(), String::new());
    loop {
        let page = reading.timers_after(row, (&after.0, &after.1), PAGE)?;
        let is_last = page.len() < PAGE;
        for timer in page {
            after = (timer.key.clone(), timer.name.clone());
            let since = timer.parked.as_ref().map(|(since, _)| *since);
            on(Wait {
                correlation: timer.correlation,
                participant: participant.to_owned(),
                key: Some(timer.key),
                since: since.or_else(|| made(&timer.set_by)),
                what: Expected::Timer {
                    name: timer.name,
                    due: timer.due,
                    parked: timer.parked.map(|(_, detail)| detail),
                },
            });
        }
        if is_last {
            return Ok(());
        }
    }
}

/// When a message was made, if its id says it, as those of this host do.
fn made(id: &str) -> Option<u64> {
    // The id of a timer's message has that of the message that set it at its end.
    let id = id.rsplit('/').next().unwrap_or(id);
    let [t0, t1, t2, t3, t4, t5, version, ..] = uuid_bytes(id)?;
    (version >> 4 == 8).then(|| u64::from_be_bytes([0, 0, t0, t1, t2, t3, t4, t5]))
}

fn parked(
    reading: &dyn ReadStore,
    (participant, row): (&str, i64),
    on: &mut dyn FnMut(Wait),
) -> StoreResult<()> {
    let mut after = 0;
    loop {
        let page = reading.parked_after(row, after, PAGE)?;
        let is_last = page.len() < PAGE;
        for record in page {
            after = record.id;
            on(Wait {
                correlation: record.correlation,
                participant: participant.to_owned(),
                key: Some(record.key),
                since: Some(record.since),
                what: Expected::Parked {
                    event_type: record.name,
                    id: record.identity.id,
                    letter: record.letter,
                    is_quarantined: record.is_quarantined,
                },
            });
        }
        if is_last {
            return Ok(());
        }
    }
}

fn letters(
    reading: &dyn ReadStore,
    (participant, row): (&str, i64),
    on: &mut dyn FnMut(Wait),
) -> StoreResult<()> {
    dead_letters::each(reading, row, &LetterFilter::default(), |stored| {
        on(Wait {
            correlation: correlation(&stored.letter.record),
            participant: participant.to_owned(),
            key: stored.aggregate,
            since: Some(stored.letter.time),
            what: Expected::DeadLetter {
                letter: stored.id,
                event_type: stored.letter.record.attributes.event_type,
                reason: stored.letter.reason,
                detail: stored.letter.detail,
                waiting: stored.waiting,
            },
        });
        ControlFlow::Continue(())
    })
}

/// The saga of a record, as admission knows it.
#[must_use]
pub fn correlation(record: &Record) -> String {
    let of = &record.attributes;
    let given = of.correlation.clone().or_else(|| of.id.clone());
    given.unwrap_or_else(|| of_position(&record.position).id)
}

fn records(
    reading: &dyn ReadStore,
    topic: &(i64, Arc<str>),
    on: &mut dyn FnMut(Wait),
) -> StoreResult<()> {
    let readers = reading.topic_readers(topic.0)?;
    for partition in 0..reading.partitions(topic.0)? {
        let of_partition = || readers.iter().filter(|one| one.partition == partition);
        for reader in of_partition().filter(|one| one.consumer != RELAY) {
            if let Some(name) = participant_of(&reader.consumer, "log:") {
                each_record(reading, topic, (partition, reader.next), &mut |record| {
                    on(wait_of(name, &record, Some(reader.next)));
                    Ok(())
                })?;
            }
        }
        let Some(relay) = of_partition().find(|one| one.consumer == RELAY) else {
            continue;
        };
        each_record(reading, topic, (partition, relay.next), &mut |record| {
            on(unpublished(record));
            Ok(())
        })?;
    }
    over_kafka(reading, topic, &readers, on)
}

/// Records that were published to Kafka and that a participant of this store, which takes their
/// type, has neither decided nor given up.
fn over_kafka(
    reading: &dyn ReadStore,
    topic: &(i64, Arc<str>),
    readers: &[TopicReader],
    on: &mut dyn FnMut(Wait),
) -> StoreResult<()> {
    let mut names: Vec<&str> = (readers.iter())
        .filter_map(|one| participant_of(&one.consumer, "kafka:"))
        .collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let Some(row) = reading.participant(name)? else {
            continue;
        };
        let mut undecided = Undecided::default();
        // Whether it takes events of a type.
        let mut takes: BTreeMap<String, bool> = BTreeMap::new();
        for relay in readers.iter().filter(|one| one.consumer == RELAY) {
            let place = (relay.partition, 0);
            each_record(reading, topic, place, &mut |record| {
                if record.position.offset >= relay.next {
                    return Ok(());
                }
                let (Some(identity), Some(event_type)) =
                    (identity(&record), &record.attributes.event_type)
                else {
                    return Ok(());
                };
                let takes = match takes.get(event_type) {
                    Some(takes) => *takes,
                    None => {
                        let asked = reading.last_asked(row, Origin::Event, event_type)?;
                        *takes.entry(event_type.clone()).or_insert(asked.is_some())
                    }
                };
                if takes && !reading.was_applied(row, &identity)? {
                    undecided.insert(identity, wait_of(name, &record, None));
                }
                if undecided.len() >= PAGE {
                    told(reading, row, std::mem::take(&mut undecided), on)?;
                }
                Ok(())
            })?;
        }
        told(reading, row, undecided, on)?;
    }
    Ok(())
}

/// Records that a participant has not decided.
type Undecided = BTreeMap<Identity, Wait>;

/// Passes those that were not given up: a dead letter is told as such while it is open, and one that
/// is not parked is not among the applied ones.
fn told(
    reading: &dyn ReadStore,
    participant: i64,
    mut undecided: Undecided,
    on: &mut dyn FnMut(Wait),
) -> StoreResult<()> {
    let all = LetterFilter {
        with_ended: true,
        ..LetterFilter::default()
    };
    if !undecided.is_empty() {
        dead_letters::each(reading, participant, &all, |stored| {
            if let Some(identity) = identity(&stored.letter.record) {
                undecided.remove(&identity);
            }
            match undecided.is_empty() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
    }
    undecided.into_values().for_each(on);
    Ok(())
}

/// The identity that a record's attributes give.
fn identity(record: &Record) -> Option<Identity> {
    let of = &record.attributes;
    let (id, source) = of.id.clone().zip(of.source.clone())?;
    Some(Identity { source, id })
}

/// The participant of a consumer's name.
fn participant_of<'c>(consumer: &'c str, namespace: &str) -> Option<&'c str> {
    let (participant, _) = consumer.strip_prefix(namespace)?.split_once('/')?;
    Some(participant)
}

/// Passes the records of a partition from an offset on.
///
/// # Errors
/// The store can't be read.
pub(super) fn each_record(
    reading: &dyn ReadStore,
    topic: &(i64, Arc<str>),
    (partition, mut from): (i32, i64),
    on: &mut dyn FnMut(Record) -> StoreResult<()>,
) -> StoreResult<()> {
    loop {
        let page = reading.records_within(topic, partition, from, PAGE, BYTES)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        from = last.position.offset + 1;
        for record in page {
            on(record)?;
        }
    }
}

fn wait_of(participant: &str, record: &Record, next: Option<i64>) -> Wait {
    let of = &record.attributes;
    Wait {
        correlation: correlation(record),
        participant: participant.to_owned(),
        key: None,
        since: Some(record.timestamp),
        what: Expected::Event {
            event_type: of.event_type.clone(),
            source: of.source.clone(),
            id: of.id.clone(),
            place: place(record),
            behind: next.map(|next| record.position.offset - next),
        },
    }
}

fn unpublished(record: Record) -> Wait {
    let source = record.attributes.source.clone().unwrap_or_default();
    let name = source.strip_prefix("/saga/").unwrap_or(&source);
    Wait {
        correlation: correlation(&record),
        participant: name.to_owned(),
        key: None,
        since: Some(record.timestamp),
        what: Expected::Unpublished {
            place: place(&record),
            event_type: record.attributes.event_type,
            id: record.attributes.id,
        },
    }
}
