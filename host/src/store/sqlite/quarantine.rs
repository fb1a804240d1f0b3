//! Quarantined aggregates: the rules can't read their states.

use rusqlite::{Connection, params};
use saga_core::commit::Entry;

use super::history::keep_latest;
use crate::store::history::{RELEASES, ReleaseOutcome, ReleaseRequest};

/// Quarantines the aggregate of an entry, with reason and time.
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

/// Adds a request to release an aggregate; returns its row.
pub(super) fn add_release(
    sql: &Connection,
    participant: i64,
    key: &str,
    by: &str,
    now: u64,
) -> rusqlite::Result<i64> {
    sql.prepare_cached(
        "INSERT INTO quarantine_releases (participant, key, by, time) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![participant, key, by, now as i64])?;
    let row = sql.last_insert_rowid();
    keep_latest(sql, "quarantine_releases", participant, RELEASES)?;
    Ok(row)
}

/// Adds its outcome to a request.
pub(super) fn end_release(
    sql: &Connection,
    row: i64,
    outcome: &ReleaseOutcome,
) -> rusqlite::Result<()> {
    let reason = match outcome {
        ReleaseOutcome::Unknown => None,
        ReleaseOutcome::Released => Some(""),
        ReleaseOutcome::Failed(reason) => Some(&**reason),
    };
    sql.prepare_cached("UPDATE quarantine_releases SET reason = ?2 WHERE id = ?1")?
        .execute(params![row, reason])?;
    Ok(())
}

/// The requests to release an aggregate, latest first.
pub(super) fn releases(
    sql: &Connection,
    participant: i64,
) -> rusqlite::Result<Vec<ReleaseRequest>> {
    sql.prepare_cached(
        "SELECT key, by, time, reason FROM quarantine_releases WHERE participant = ?1 ORDER BY id DESC",
    )?
    .query_map([participant], |row| {
        Ok(ReleaseRequest {
            key: row.get(0)?,
            by: row.get(1)?,
            time: row.get::<_, i64>(2)? as u64,
            outcome: ReleaseOutcome::of(row.get(3)?),
        })
    })?
    .collect()
}
