//! Deletion of old rows, so that no table grows without bound (invariant 9), in small steps between
//! commits. The same rows go as in the engine on SQLite; see there.

use super::error::SqlResult;
use super::journal_size::BYTES;
use super::session::Sql;
use crate::store::settings::StoreSettings;
use crate::store::streams::OutboxReaders;
use crate::store::writing::journal_size::JournalSize;

/// Rows that one step deletes from each table.
const STEP: i64 = 2_000;

/// A condition on `offsets` for those that hold records of the outbox back; $1 is the end of the
/// retention.
fn holds_back(readers: OutboxReaders) -> &'static str {
    match readers {
        OutboxReaders::Consumers => {
            "starts_with(f.consumer, 'log:') AND f.consumer <> 'log:relay' AND (f.dropped IS NULL OR f.dropped >= $1)"
        }
        OutboxReaders::Relay => "f.consumer = 'log:relay'",
    }
}

/// Deletes old rows a step at a time.
pub(super) struct Pruner {
    retention_ms: u64,
    dead_letters_ms: u64,
    readers: OutboxReaders,
    /// How long replies to repeatable commands are kept.
    replies_ms: u64,
    journal_size: JournalSize,
}

impl Pruner {
    pub(super) fn new(settings: &StoreSettings, readers: OutboxReaders, reply_hours: u64) -> Self {
        Self {
            retention_ms: settings.retention_hours.saturating_mul(3_600_000),
            dead_letters_ms: settings.dead_letter_hours.saturating_mul(3_600_000),
            readers,
            replies_ms: reply_hours.saturating_mul(3_600_000),
            journal_size: JournalSize::new(settings.journal_bytes),
        }
    }

    /// Runs one step at this time (milliseconds since the Unix epoch). Returns true if there is
    /// more to delete.
    pub(super) fn step(&mut self, sql: &Sql, now: u64) -> SqlResult<bool> {
        let before = now.saturating_sub(self.retention_ms) as i64;
        let journal = self.prune_journal(sql, before)?;
        // A parked record is recognised by its own.
        let is_free = "NOT EXISTS (SELECT 1 FROM parked p WHERE p.participant = o.participant
            AND p.event_id = o.id AND p.source = o.source)";
        let inbox = delete(sql, "inbox", is_free, before)?;
        let letters_before = now.saturating_sub(self.dead_letters_ms) as i64;
        let letters = delete(sql, "dead_letters", "parked IS NULL", letters_before)?;
        let outbox = self.prune_outbox(sql, before)?;
        let keys = self.prune_keys(sql, now)?;
        Ok(journal || inbox || letters || outbox || keys)
    }

    /// Deletes recorded decisions that are old, and the oldest ones beyond the bound.
    fn prune_journal(&mut self, sql: &Sql, before: i64) -> SqlResult<bool> {
        // Its numbers follow the time.
        let rows = sql.query(
            &format!(
                "DELETE FROM journal WHERE seq = ANY (ARRAY(
                     SELECT seq FROM (SELECT seq, time FROM journal ORDER BY seq LIMIT $2) o WHERE time < $1))
                 RETURNING seq, {BYTES}"
            ),
            &[&before, &STEP],
        )?;
        for row in &rows {
            self.journal_size
                .is_deleted(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(self.journal_size.step(sql)? || rows.len() as i64 == STEP)
    }

    /// Deletes old events that all readers of the outbox have read.
    fn prune_outbox(&self, sql: &Sql, before: i64) -> SqlResult<bool> {
        // In each partition, positions follow the time.
        let deleted = sql.execute(
            &format!(
                "DELETE FROM outbox WHERE ctid = ANY (ARRAY(
                     SELECT o.ctid FROM partitions p
                     CROSS JOIN LATERAL (SELECT min(f.next_offset) AS read FROM offsets f
                         WHERE f.topic = p.topic AND f.partition = p.partition AND {}) r
                     CROSS JOIN LATERAL (SELECT ctid, time FROM outbox
                         WHERE topic = p.topic AND partition = p.partition AND position < least(p.next_offset, r.read)
                         ORDER BY position LIMIT $2) o
                     WHERE o.time < $1 LIMIT $2))",
                holds_back(self.readers)
            ),
            &[&before, &STEP],
        )?;
        Ok(deleted as i64 == STEP)
    }

    fn prune_keys(&self, sql: &Sql, now: u64) -> SqlResult<bool> {
        let before = now.saturating_sub(self.replies_ms) as i64;
        let deleted = sql.execute(
            "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM idempotency_keys WHERE time < $1 ORDER BY time LIMIT $2))",
            &[&before, &STEP],
        )?;
        Ok(deleted as i64 == STEP)
    }
}

/// Deletes rows of a table that are older and meet a condition on them (`o`); returns true if there
/// may be more.
fn delete(sql: &Sql, table: &str, condition: &str, before: i64) -> SqlResult<bool> {
    let deleted = sql.execute(
        &format!(
            "DELETE FROM {table} WHERE ctid = ANY (ARRAY(
                 SELECT o.ctid FROM {table} o WHERE o.time < $1 AND {condition} ORDER BY o.time LIMIT $2))"
        ),
        &[&before, &STEP],
    )?;
    Ok(deleted as i64 == STEP)
}
