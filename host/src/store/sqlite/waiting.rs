//! Messages that wait: timers, parked records, readers of a topic.

use rusqlite::{Connection, params};
use saga_core::identity::Identity;
use saga_core::record::Attributes;

use super::read;
use crate::store::waiting::{ParkedRecord, SetTimer, TopicReader};

/// The readers of a topic that were not dropped.
pub(super) fn readers(sql: &Connection, topic: i64) -> rusqlite::Result<Vec<TopicReader>> {
    sql.prepare_cached(
        "SELECT consumer, partition, next_offset FROM offsets WHERE topic = ?1 AND dropped IS NULL
         ORDER BY consumer, partition",
    )?
    .query_map([topic], |row| {
        Ok(TopicReader {
            consumer: row.get(0)?,
            partition: row.get(1)?,
            next: row.get(2)?,
        })
    })?
    .collect()
}

/// The timers of a participant after this key and name.
pub(super) fn timers(
    sql: &Connection,
    participant: i64,
    (key, name): (&str, &str),
    most: usize,
) -> rusqlite::Result<Vec<SetTimer>> {
    sql.prepare_cached(
        "SELECT key, name, due, set_by, correlation, parked, coalesce(detail, '') FROM timers
         WHERE participant = ?1 AND (key, name) > (?2, ?3) ORDER BY key, name LIMIT ?4",
    )?
    .query_map(params![participant, key, name, most as i64], |row| {
        let parked: Option<i64> = row.get(5)?;
        let detail = row.get(6)?;
        Ok(SetTimer {
            key: row.get(0)?,
            name: row.get(1)?,
            due: row.get::<_, i64>(2)? as u64,
            set_by: read::id(row, 3)?.unwrap_or_default(),
            correlation: read::id(row, 4)?.unwrap_or_default(),
            parked: parked.map(|since| (since as u64, detail)),
        })
    })?
    .collect()
}

/// The parked records of a participant after this number.
pub(super) fn parked(
    sql: &Connection,
    participant: i64,
    after: i64,
    most: usize,
) -> rusqlite::Result<Vec<ParkedRecord>> {
    sql.prepare_cached(
        "SELECT p.id, p.key, p.name, p.time, p.event_id, p.source, p.attributes,
             (SELECT d.id FROM dead_letters d WHERE d.participant = ?1 AND d.aggregate = p.key
                 AND d.parked < p.id ORDER BY d.parked DESC LIMIT 1),
             EXISTS (SELECT 1 FROM quarantine q WHERE q.participant = ?1 AND q.key = p.key)
         FROM parked p WHERE p.participant = ?1 AND p.id > ?2 AND p.source IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.parked = p.id)
         ORDER BY p.id LIMIT ?3",
    )?
    .query_map(params![participant, after, most as i64], |row| {
        let id = read::id(row, 4)?.unwrap_or_default();
        let attributes: Option<String> = row.get(6)?;
        let attributes: Attributes =
            serde_json::from_str(&attributes.unwrap_or_default()).unwrap_or_default();
        Ok(ParkedRecord {
            id: row.get(0)?,
            key: row.get(1)?,
            name: row.get(2)?,
            since: row.get::<_, i64>(3)? as u64,
            correlation: attributes.correlation.unwrap_or_else(|| id.clone()),
            identity: Identity {
                id,
                source: row.get(5)?,
            },
            letter: row.get(7)?,
            is_quarantined: row.get(8)?,
        })
    })?
    .collect()
}
