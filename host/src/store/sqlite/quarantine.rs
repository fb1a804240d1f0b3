//! Quarantined aggregates: the rules can't read their states.

use rusqlite::{Connection, params};
use saga_core::commit::Entry;

/// Quarantines the aggregate of an entry: why, and when.
pub(super) fn put(
    sql: &Connection,
    entry: &Entry,
    reason: &str,
    time: u64,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO quarantine (participant, key, generation, reason, time) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET generation = excluded.generation, reason = excluded.reason",
    )?
    .execute(params![entry.participant, entry.key, entry.generation, reason, time as i64])?;
    Ok(())
}

/// Ends the quarantine of the aggregate of an entry.
pub(super) fn lift(sql: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    sql.prepare_cached("DELETE FROM quarantine WHERE participant = ?1 AND key = ?2")?
        .execute(params![entry.participant, entry.key])?;
    Ok(())
}
