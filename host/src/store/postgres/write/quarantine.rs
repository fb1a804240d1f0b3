//! Quarantined aggregates: the rules can't read their states.

use saga_core::commit::Entry;

use super::history::keep_latest;
use crate::store::history::{RELEASES, ReleaseOutcome};
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;

/// Quarantines the aggregate of an entry, with reason and time.
pub(super) fn put(sql: &Sql, entry: &Entry, reason: &str, time: u64) -> SqlResult<()> {
    sql.execute(
        "INSERT INTO quarantine (participant, key, generation, reason, time) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (participant, key) DO UPDATE SET generation = excluded.generation, reason = excluded.reason",
        &[&entry.participant, &entry.key, &entry.generation, &reason, &(time as i64)],
    )
    .map(drop)
}

/// Ends the quarantine of the aggregate of an entry.
pub(super) fn lift(sql: &Sql, entry: &Entry) -> SqlResult<()> {
    let text = "DELETE FROM quarantine WHERE participant = $1 AND key = $2";
    sql.execute(text, &[&entry.participant, &entry.key])
        .map(drop)
}

/// Adds a request to release an aggregate; returns its row.
pub(in crate::store::postgres) fn add_release(
    sql: &Sql,
    participant: i64,
    key: &str,
    by: &str,
    now: u64,
) -> SqlResult<i64> {
    let row = sql.one(
        "INSERT INTO quarantine_releases (participant, key, by, time) VALUES ($1, $2, $3, $4) RETURNING id",
        &[&participant, &key, &by, &(now as i64)],
    )?;
    keep_latest(sql, "quarantine_releases", participant, RELEASES)?;
    Ok(row.try_get(0)?)
}

/// Adds its outcome to a request.
pub(in crate::store::postgres) fn end_release(
    sql: &Sql,
    row: i64,
    outcome: &ReleaseOutcome,
) -> SqlResult<()> {
    let reason = match outcome {
        ReleaseOutcome::Unknown => None,
        ReleaseOutcome::Released => Some(""),
        ReleaseOutcome::Failed(reason) => Some(&**reason),
    };
    let text = "UPDATE quarantine_releases SET reason = $2 WHERE id = $1";
    sql.execute(text, &[&row, &reason]).map(drop)
}
