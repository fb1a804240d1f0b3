//! Quarantined aggregates: the rules can't read their states.

use rusqlite::{Connection, params};

use super::entry::{Entry, Quarantine};

/// Writes what an entry means for the quarantine of its aggregate.
pub(super) fn write(
    sql: &Connection,
    entry: &Entry,
    quarantine: &Quarantine,
) -> rusqlite::Result<()> {
    match quarantine {
        Quarantine::Put { key, reason, time } => sql
            .prepare_cached(
                "INSERT INTO quarantine (participant, key, generation, reason, time) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET generation = excluded.generation, reason = excluded.reason",
            )?
            .execute(params![entry.participant, key, entry.generation, reason, *time as i64])?,
        Quarantine::Lift(key) => sql
            .prepare_cached("DELETE FROM quarantine WHERE participant = ?1 AND key = ?2")?
            .execute(params![entry.participant, key])?,
    };
    Ok(())
}
