//! Messages that wait to be decided: pending timers, and records that a participant has not yet
//! taken.

use saga_core::identity;
use saga_core::record::{Attributes, Position, Record};
use tokio_postgres::Row;

use super::states::aggregate;
use crate::store::parked::ParkedEvent;
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::read::row::{get, unsigned};
use crate::store::postgres::read::{parked, timers};
use crate::store::postgres::session::Sql;
use crate::store::sample::bounds::Patience;
use crate::store::sample::waiting::{self as sample, RECORDS, SeenRecord, SeenTimer, TIMERS};
use crate::store::sample::{PendingTimer, SampledTopic};

/// A sample of the timers of a participant, ordered by due time, at most `most`.
pub(in crate::store::postgres::read) fn pending(
    sql: &Sql,
    participant: i64,
    most: usize,
) -> SqlResult<Vec<PendingTimer>> {
    let patience = Patience::begin();
    let mut seen = Vec::new();
    // In the order of `timers_by_due`, from both ends, and of `parked_timers`.
    for which in [
        "parked IS NULL ORDER BY due, key, name",
        "parked IS NULL ORDER BY due DESC, key DESC, name DESC",
        "parked IS NOT NULL ORDER BY parked",
    ] {
        if patience.is_over() {
            break;
        }
        let text = format!(
            "SELECT key, name, due FROM timers WHERE participant = $1 AND {which} LIMIT $2"
        );
        for row in &sql.query(&text, &[&participant, &TIMERS])? {
            seen.push(SeenTimer {
                key: get(row, 0)?,
                name: get(row, 1)?,
                due: get(row, 2)?,
            });
        }
    }
    sample::timers(seen, most, |SeenTimer { key, name, .. }| {
        let Some(timer) = timers::named(sql, participant, &key, &name)? else {
            return Ok(None);
        };
        let aggregate = aggregate(sql, participant, key)?;
        Ok(Some(PendingTimer { timer, aggregate }))
    })
}

/// Parked records of a participant: the first of each key, of at most `most` keys.
pub(in crate::store::postgres::read) fn parked_events(
    sql: &Sql,
    participant: i64,
    most: usize,
) -> SqlResult<Vec<ParkedEvent>> {
    let keys = parked::keys(sql, participant)?;
    sample::parked(keys, most, |key, after| {
        parked::next(sql, participant, key, after)
    })
}

/// Records of a topic that a participant has not yet taken, at most `most`, of each event type. In
/// the embedded log these are the next ones of each partition. The records on a broker are not
/// known here: then these are the latest of the outbox, except those that were applied.
pub(in crate::store::postgres::read) fn unread(
    sql: &Sql,
    participant: i64,
    topic: SampledTopic<'_>,
    most: usize,
) -> SqlResult<Vec<Record>> {
    let patience = Patience::begin();
    let mut seen = Vec::new();
    let author = identity::source_of("");
    for (partition, from) in partitions(sql, topic)? {
        if patience.is_over() {
            break;
        }
        let rows = sql.query(
            "SELECT o.position, o.event_type FROM outbox o
                 LEFT JOIN generations g ON g.id = o.generation LEFT JOIN participants p ON p.id = g.participant
             WHERE o.topic = $1 AND o.partition = $2 AND o.position >= $3 AND NOT EXISTS (
                 SELECT 1 FROM inbox i WHERE i.participant = $4 AND i.id = o.event_id AND i.source = $5::text || p.name)
             ORDER BY o.position LIMIT $6",
            &[&topic.row, &partition, &from, &participant, &author, &RECORDS],
        )?;
        for row in &rows {
            seen.push(SeenRecord {
                partition,
                offset: get(row, 0)?,
                event_type: get(row, 1)?,
            });
        }
    }
    sample::records(seen, most, |seen| record(sql, topic, seen))
}

/// The partitions of a topic, and the offset where waiting records begin.
fn partitions(sql: &Sql, topic: SampledTopic<'_>) -> SqlResult<Vec<(i32, i64)>> {
    let rows = sql.query(
        "SELECT p.partition,
             CASE WHEN $2::text IS NULL THEN greatest(p.next_offset - $3, 0) ELSE coalesce(f.next_offset, 0) END
         FROM partitions p LEFT JOIN offsets f
             ON f.consumer = $2 AND f.topic = p.topic AND f.partition = p.partition
         WHERE p.topic = $1 ORDER BY p.partition",
        &[&topic.row, &topic.consumer, &RECORDS],
    )?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, get(row, 1)?)))
        .collect()
}

fn record(sql: &Sql, topic: SampledTopic<'_>, seen: &SeenRecord) -> SqlResult<Option<Record>> {
    let found = sql.row(
        "SELECT o.key, o.value, o.time, o.event_id, o.correlation, o.causation, o.traceparent, p.name, g.digest
         FROM outbox o LEFT JOIN generations g ON g.id = o.generation LEFT JOIN participants p ON p.id = g.participant
         WHERE o.topic = $1 AND o.partition = $2 AND o.position = $3",
        &[&topic.row, &seen.partition, &seen.offset],
    )?;
    let record = |row: Row| {
        let author: Option<&str> = get(&row, 7)?;
        Ok(Record {
            position: Position {
                topic: topic.name.clone(),
                incarnation: None,
                partition: seen.partition,
                offset: seen.offset,
            },
            key: get(&row, 0)?,
            value: get(&row, 1)?,
            timestamp: unsigned(&row, 2)?,
            attributes: Attributes {
                event_type: seen.event_type.clone(),
                id: get(&row, 3)?,
                source: author.map(identity::source_of),
                correlation: get(&row, 4)?,
                causation: get(&row, 5)?,
                digest: get(&row, 8)?,
                traceparent: get(&row, 6)?,
                extra: Vec::new(),
            },
        })
    };
    found.map(record).transpose()
}
