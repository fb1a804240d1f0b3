//! What is old goes, so that no table grows without end (invariant 9).
//!
//! Deleting is spread over many small steps between commits. An event may go when it is older than
//! the retention and every consumer of this store has read it; an identity when it is older than
//! the retention, for that is how long a repeated event is recognised. Dead letters stay: they are an
//! operator's to deal with. What bounds them, and everything, is the size that the file may grow to.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, params};

/// Rows that one step looks at in each table.
const STEP: i64 = 500;

/// Deletes old rows a step at a time.
pub(super) struct Pruner {
    retention_ms: u64,
    /// Where the sweep through the inbox goes on; the inbox has no order by time.
    inbox: (i64, String, String),
}

impl Pruner {
    pub(super) fn new(retention_hours: u64) -> Self {
        Self {
            retention_ms: retention_hours.saturating_mul(3_600_000),
            inbox: Default::default(),
        }
    }

    /// One step.
    pub(super) fn step(&mut self, sql: &Connection) -> rusqlite::Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis() as u64;
        let before = now.saturating_sub(self.retention_ms) as i64;
        // A look costs a read; only what is there to delete costs a commit.
        let oldest: Option<i64> = sql
            .prepare_cached("SELECT time FROM journal ORDER BY seq LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        if oldest.is_some_and(|time| time < before) {
            sql.prepare_cached(
                "DELETE FROM journal WHERE time < ?1 AND seq IN (SELECT seq FROM journal ORDER BY seq LIMIT ?2)",
            )?
            .execute(params![before, STEP])?;
        }
        prune_outbox(sql, before)?;
        self.sweep_inbox(sql, before)
    }

    fn sweep_inbox(&mut self, sql: &Connection, before: i64) -> rusqlite::Result<()> {
        let (participant, id, source) = &self.inbox;
        let rows: Vec<(i64, String, String, i64)> = sql
            .prepare_cached(
                "SELECT participant, id, source, time FROM inbox
                 WHERE (participant, id, source) > (?1, ?2, ?3) ORDER BY participant, id, source LIMIT ?4",
            )?
            .query_map(params![participant, id, source, STEP], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        self.inbox = rows
            .last()
            .map(|(p, i, s, _)| (*p, i.clone(), s.clone()))
            .unwrap_or_default();
        let old: Vec<_> = rows
            .into_iter()
            .filter(|(.., time)| *time < before)
            .collect();
        if old.is_empty() {
            return Ok(());
        }
        let transaction = sql.unchecked_transaction()?;
        for (participant, id, source, _) in old {
            sql.prepare_cached(
                "DELETE FROM inbox WHERE participant = ?1 AND id = ?2 AND source = ?3",
            )?
            .execute(params![participant, id, source])?;
        }
        transaction.commit()
    }
}

/// Deletes old events that every consumer of the outbox has read: they, and not those that read from
/// Kafka, have names that start with `log:`. A topic without a consumer here keeps them for
/// the retention only.
fn prune_outbox(sql: &Connection, before: i64) -> rusqlite::Result<()> {
    let partitions: Vec<(i64, i32, i64)> = sql
        .prepare_cached(
            "SELECT p.topic, p.partition, min(p.next_offset, coalesce(min(o.next_offset), p.next_offset))
             FROM partitions p LEFT JOIN offsets o
                 ON o.topic = p.topic AND o.partition = p.partition AND o.consumer GLOB 'log:*'
             GROUP BY p.topic, p.partition",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (topic, partition, read) in partitions {
        let first: Option<i64> = sql
            .prepare_cached("SELECT min(offset) FROM outbox WHERE topic = ?1 AND partition = ?2")?
            .query_row(params![topic, partition], |row| row.get(0))?;
        let Some(first) = first else { continue };
        let time: i64 = sql
            .prepare_cached(
                "SELECT time FROM outbox WHERE topic = ?1 AND partition = ?2 AND offset = ?3",
            )?
            .query_row(params![topic, partition, first], |row| row.get(0))?;
        if time < before && first < read {
            sql.prepare_cached(
                "DELETE FROM outbox WHERE topic = ?1 AND partition = ?2 AND offset < ?3 AND time < ?4",
            )?
            .execute(params![topic, partition, read.min(first + STEP), before])?;
        }
    }
    Ok(())
}
