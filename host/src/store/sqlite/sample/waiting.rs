//! Messages that wait to be decided: pending timers, and records that a participant has not yet
//! taken.

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::identity;
use saga_core::record::{Attributes, Position, Record};

use super::states::aggregate;
use crate::store::parked::ParkedEvent;
use crate::store::sample::bounds::Patience;
use crate::store::sample::waiting::{self as sample, RECORDS, SeenRecord, SeenTimer, TIMERS};
use crate::store::sample::{PendingTimer, SampledTopic};
use crate::store::sqlite::parked;
use crate::store::sqlite::read::{id, timer_of, trace};

/// A sample of the timers of a participant, ordered by due time, at most `most`.
pub(in crate::store::sqlite) fn timers(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<PendingTimer>> {
    let patience = Patience::begin();
    let mut seen = Vec::new();
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
            seen.push(SeenTimer {
                key: row.get(0)?,
                name: row.get(1)?,
                due: row.get(2)?,
            });
        }
    }
    let mut statement = sql.prepare_cached(
        "SELECT key, name, due, body, set_by, correlation, traceparent FROM timers
         WHERE participant = ?1 AND key = ?2 AND name = ?3",
    )?;
    sample::timers(seen, most, |SeenTimer { key, name, .. }| {
        let timer = (statement.query_row(params![participant, key, name], timer_of)).optional()?;
        let Some(timer) = timer else {
            return Ok(None);
        };
        let aggregate = aggregate(sql, participant, key)?;
        Ok(Some(PendingTimer { timer, aggregate }))
    })
}

/// Parked records of a participant: the first of each key, of at most `most` keys.
pub(in crate::store::sqlite) fn parked(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<ParkedEvent>> {
    let keys = parked::keys(sql, participant)?;
    sample::parked(keys, most, |key, after| {
        parked::next(sql, participant, key, after)
    })
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
    sample::records(seen, most, |seen| record(sql, topic, seen))
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

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
