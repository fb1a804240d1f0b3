//! Messages that wait to be decided: pending timers, and records that a participant has not yet
//! taken.

use std::collections::BTreeSet;

use saga_core::record::Record;

use super::PendingTimer;
use super::bounds::{Patience, SampleRoom};
use super::choose::{Ranking, choose};
use crate::store::parked::{Parked, ParkedEvent, ParkedKey, ParkedRow};

/// Timers read of those due first, and of those due last.
pub(in crate::store) const TIMERS: i64 = 5_000;

/// Records read of one partition.
pub(in crate::store) const RECORDS: i64 = 1_000;

/// A timer that was read.
pub(in crate::store) struct SeenTimer {
    pub(in crate::store) key: String,
    pub(in crate::store) name: String,
    pub(in crate::store) due: i64,
}

/// A record that was read.
pub(in crate::store) struct SeenRecord {
    pub(in crate::store) partition: i32,
    pub(in crate::store) offset: i64,
    pub(in crate::store) event_type: Option<String>,
}

/// Timers, ordered by due time, at most `most`. If more were seen: for each name those that are due
/// first and last, and some between them. `read` returns none for one that fired meanwhile.
pub(in crate::store) fn timers<E>(
    mut seen: Vec<SeenTimer>,
    most: usize,
    mut read: impl FnMut(SeenTimer) -> Result<Option<PendingTimer>, E>,
) -> Result<Vec<PendingTimer>, E> {
    let mut met = BTreeSet::new();
    seen.retain(|timer| met.insert((timer.key.clone(), timer.name.clone())));
    seen.sort_by_key(|timer| timer.due);
    let rankings: [Ranking<SeenTimer>; 2] = [
        |one, other| one.due.cmp(&other.due),
        |one, other| other.due.cmp(&one.due),
    ];
    let chosen = choose(seen, most, |timer| timer.name.clone(), &rankings);
    let mut room = SampleRoom::new();
    let mut timers = Vec::with_capacity(chosen.len());
    for seen in chosen {
        let found = read(seen)?;
        let bytes = |one: &PendingTimer| one.timer.body.len() + one.aggregate.bytes();
        timers.extend(found.filter(|one| room.takes(bytes(one))));
    }
    Ok(timers)
}

/// Parked records: the first of each key, of at most `most` keys. `next` reads the first message
/// parked for a key after a number.
pub(in crate::store) fn parked<E>(
    keys: Vec<ParkedKey>,
    most: usize,
    mut next: impl FnMut(&str, i64) -> Result<Option<ParkedRow>, E>,
) -> Result<Vec<ParkedEvent>, E> {
    let patience = Patience::begin();
    let mut room = SampleRoom::new();
    let mut events = Vec::new();
    for ParkedKey { key, .. } in keys {
        if events.len() == most || patience.is_over() {
            break;
        }
        // A timer may come before it.
        let mut after = 0;
        while let Some(row) = next(&key, after)?
            && !patience.is_over()
        {
            after = row.id;
            // A dead letter waits for an operator, whatever the rules are.
            if row.letter.is_some() {
                continue;
            }
            if let Parked::Event(event) = row.message {
                if room.takes(row.bytes) {
                    events.push(*event);
                }
                break;
            }
        }
    }
    Ok(events)
}

/// Records, at most `most`, of each event type. `read` returns none for one that was deleted
/// meanwhile.
pub(in crate::store) fn records<E>(
    seen: Vec<SeenRecord>,
    most: usize,
    mut read: impl FnMut(&SeenRecord) -> Result<Option<Record>, E>,
) -> Result<Vec<Record>, E> {
    let rankings: [Ranking<SeenRecord>; 1] = [|one, other| one.offset.cmp(&other.offset)];
    let kind = |record: &SeenRecord| record.event_type.clone();
    let chosen = choose(seen, most, kind, &rankings);
    let mut room = SampleRoom::new();
    let mut records = Vec::with_capacity(chosen.len());
    for seen in chosen {
        let record = read(&seen)?;
        let bytes = |record: &Record| record.value.as_ref().map_or(0, Vec::len);
        records.extend(record.filter(|record| room.takes(bytes(record))));
    }
    Ok(records)
}
