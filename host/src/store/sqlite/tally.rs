//! The table of tallies.

use rusqlite::{Connection, params};

use crate::store::writing::tallies::Tallies;

/// Adds the sums to those in the table.
pub(super) fn add(sql: &Connection, tallies: &Tallies) -> rusqlite::Result<()> {
    for sum in tallies.sums() {
        sql.prepare_cached(
            "INSERT INTO tallies (generation, origin, name, decisions, refusals, faults, last)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET decisions = decisions + excluded.decisions,
                 refusals = refusals + excluded.refusals, faults = faults + excluded.faults,
                 last = max(last, excluded.last)",
        )?
        .execute(params![
            sum.generation,
            sum.origin.word(),
            sum.name,
            sum.decisions,
            sum.refusals,
            sum.faults,
            sum.last as i64
        ])?;
    }
    Ok(())
}
