//! Messages that wait to be decided: pending timers, and records that a participant has not yet
//! taken.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use saga_core::identity;
use saga_core::record::{Attributes, Position, Record};

use super::states::aggregate;
use super::{Patience, SampleRoom};
use crate::store::parked::{Parked, ParkedEvent, ParkedKey};
use crate::store::sample::choose::{Ranking, choose};
use crate::store::sample::{Keyed, PendingTimer, SampledTopic};
use crate::store::sqlite::parked;
use crate::store::sqlite::read::{id, trace};

/// Timers read of those due first, and of those due last.
const TIMERS: i64 = 5_000;

/// Records read of one partition.
const RECORDS: i64 = 1_000;

struct SeenTimer {
    key: String,
    name: String,
    due: i64,
}

/// Timers of a participant, ordered by due time, at most `most`. If there are more: for each name
/// those that are due first and last, and some between them.
pub(in crate::store::sqlite) fn timers(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<PendingTimer>> {
    let patience = Patience::begin();
    let mut seen = Vec::new();
    let mut met = BTreeSet::new();
    // In the order of the indexes.
    for which in [
        "parked IS NULL ORDER BY due ASC",
        "parked IS NULL ORDER BY due DESC",
        "parked IS NOT NULL ORDER BY parked ASC",
    ] {
        let mut statement = sql.prepare_cached(&format!(
            "SELECT key, name, due FROM timers WHERE participant = ?1 AND {which} LIMIT ?2"
        ))?;
        let mut rows = statement.query([participant, TIMERS])?;
        while let Some(row) = rows.next()?
            && !patience.is_over()
        {
            let (key, name): (String, String) = (row.get(0)?, row.get(1)?);
            if met.insert((key.clone(), name.clone())) {
                let due = row.get(2)?;
                seen.push(SeenTimer { key, name, due });
            }
        }
    }
    seen.sort_by_key(|timer| timer.due);
    let rankings: [Ranking<SeenTimer>; 2] = [
        |one, other| one.due.cmp(&other.due),
        |one, other| other.due.cmp(&one.due),
    ];
    let chosen = choose(seen, most, |timer| timer.name.clone(), &rankings);
    let mut room = SampleRoom::new();
    let mut timers = Vec::with_capacity(chosen.len());
    let mut statement = sql.prepare_cached(
        "SELECT key, name, due, body, set_by, correlation, traceparent FROM timers
         WHERE participant = ?1 AND key = ?2 AND name = ?3",
    )?;
    for SeenTimer { key, name, .. } in chosen {
        let found = statement.query_map(
            params![participant, key, name],
            crate::store::sqlite::read::timer_of,
        )?;
        // It may have fired meanwhile.
        for timer in found {
            let timer = timer?;
            let aggregate = aggregate(sql, participant, key.clone())?;
            if room.takes(timer.body.len() + size(&aggregate)) {
                timers.push(PendingTimer { timer, aggregate });
            }
        }
    }
    Ok(timers)
}

/// Parked records of a participant: the first of each key, of at most `most` keys.
pub(in crate::store::sqlite) fn parked(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<ParkedEvent>> {
    let patience = Patience::begin();
    let mut room = SampleRoom::new();
    let mut events = Vec::new();
    for ParkedKey { key, .. } in parked::keys(sql, participant)? {
        if events.len() == most || patience.is_over() {
            break;
        }
        // A timer may come before it.
        let mut after = 0;
        while let Some(row) = parked::next(sql, participant, &key, after)?
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

struct SeenRecord {
    partition: i32,
    offset: i64,
    event_type: Option<String>,
}

/// Records of a topic that a participant has not yet taken, at most `most`, of each event type. In
/// the embedded log these are the next ones of each partition. The records on a broker are not
/// known here: then these are the latest of the outbox, except those that were applied.
pub(in crate::store::sqlite) fn unread(
    sql: &Connection,
    participant: i64,
    topic: SampledTopic<'_>,
    most: usize,
) -> rusqlite::Result<Vec<Record>> {
    let patience = Patience::begin();
    let mut seen = Vec::new();
    for (partition, from) in partitions(sql, topic)? {
        let mut statement = sql.prepare_cached(
            "SELECT o.offset, o.event_type FROM outbox o
                 LEFT JOIN generations g ON g.id = o.generation LEFT JOIN participants p ON p.id = g.participant
             WHERE o.topic = ?1 AND o.partition = ?2 AND o.offset >= ?3 AND NOT EXISTS (
                 SELECT 1 FROM inbox i WHERE i.participant = ?4 AND i.id = o.event_id AND i.source = ?5 || p.name)
             ORDER BY o.offset LIMIT ?6",
        )?;
        let author = identity::source_of("");
        let which = params![topic.row, partition, from, participant, author, RECORDS];
        let mut rows = statement.query(which)?;
        while let Some(row) = rows.next()?
            && !patience.is_over()
        {
            seen.push(SeenRecord {
                partition,
                offset: row.get(0)?,
                event_type: row.get(1)?,
            });
        }
    }
    let rankings: [Ranking<SeenRecord>; 1] = [|one, other| one.offset.cmp(&other.offset)];
    let kind = |record: &SeenRecord| record.event_type.clone();
    let chosen = choose(seen, most, kind, &rankings);
    let mut room = SampleRoom::new();
    let mut records = Vec::with_capacity(chosen.len());
    for seen in chosen {
        // It may have been deleted meanwhile.
        let record = record(sql, topic, &seen)?;
        let bytes = |record: &Record| record.value.as_ref().map_or(0, Vec::len);
        records.extend(record.filter(|record| room.takes(bytes(record))));
    }
    Ok(records)
}

/// The partitions of a topic, and the offset where waiting records begin.
fn partitions(sql: &Connection, topic: SampledTopic<'_>) -> rusqlite::Result<Vec<(i32, i64)>> {
    sql.prepare_cached(
        "SELECT p.partition, CASE WHEN ?2 IS NULL THEN max(p.next_offset - ?3, 0) ELSE coalesce(f.next_offset, 0) END
         FROM partitions p LEFT JOIN offsets f
             ON f.consumer = ?2 AND f.topic = p.topic AND f.partition = p.partition
         WHERE p.topic = ?1 ORDER BY p.partition",
    )?
    .query_map(params![topic.row, topic.consumer, RECORDS], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?
    .collect()
}

fn record(
    sql: &Connection,
    topic: SampledTopic<'_>,
    seen: &SeenRecord,
) -> rusqlite::Result<Option<Record>> {
    let mut statement = sql.prepare_cached(
        "SELECT o.key, o.value, o.time, o.event_id, o.correlation, o.causation, o.traceparent, p.name, g.digest
         FROM outbox o LEFT JOIN generations g ON g.id = o.generation LEFT JOIN participants p ON p.id = g.participant
         WHERE o.topic = ?1 AND o.partition = ?2 AND o.offset = ?3",
    )?;
    let mut rows = statement.query(params![topic.row, seen.partition, seen.offset])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let author: Option<String> = row.get(7)?;
    Ok(Some(Record {
        position: Position {
            topic: topic.name.clone(),
            incarnation: None,
            partition: seen.partition,
            offset: seen.offset,
        },
        key: row.get(0)?,
        value: row.get(1)?,
        timestamp: row.get::<_, i64>(2)? as u64,
        attributes: Attributes {
            event_type: seen.event_type.clone(),
            id: id(row, 3)?,
            source: author.as_deref().map(identity::source_of),
            correlation: id(row, 4)?,
            causation: id(row, 5)?,
            digest: row.get(8)?,
            traceparent: trace(row, 6)?,
            extra: Vec::new(),
        },
    }))
}

/// Bytes of a stored state.
fn size(aggregate: &Keyed) -> usize {
    aggregate.stored.state.as_ref().map_or(0, String::len)
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
