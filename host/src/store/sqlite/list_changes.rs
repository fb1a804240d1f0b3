//! The changes of a list, from the journal.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::index::{filter_value, value_in};
use crate::store::list_changes::{
    ChangesWanted, DECISIONS, JournalPosition, ListChanges, SeenChange, SeenDecision,
};

/// The place after the last decision.
pub(super) fn journal_end(sql: &Connection) -> rusqlite::Result<JournalPosition> {
    let last = sql
        .prepare_cached("SELECT seq, time FROM journal ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| position(row, 0))
        .optional()?;
    Ok(last.unwrap_or_default())
}

/// The next aggregates of the list that changed.
pub(super) fn read(
    sql: &Connection,
    wanted: &ChangesWanted,
) -> rusqlite::Result<Option<ListChanges>> {
    if !is_known(sql, wanted.after)? {
        return Ok(None);
    }
    let mut statement = sql.prepare_cached(&text(wanted))?;
    let decisions = statement.query_map(params_from_iter(values(wanted)), |row| {
        let (is_own, has_changed): (bool, bool) = (row.get(3)?, row.get(4)?);
        let change = |row: &rusqlite::Row<'_>| -> rusqlite::Result<SeenChange> {
            Ok(SeenChange {
                key: row.get(2)?,
                is_in: row.get(5)?,
                was_in: row.get(6)?,
            })
        };
        Ok(SeenDecision {
            position: position(row, 0)?,
            change: (is_own && has_changed).then(|| change(row)).transpose()?,
        })
    })?;
    ListChanges::of(wanted.after, decisions).map(Some)
}

fn is_known(sql: &Connection, place: JournalPosition) -> rusqlite::Result<bool> {
    if place == JournalPosition::default() {
        return Ok(true);
    }
    sql.prepare_cached("SELECT 1 FROM journal WHERE seq = ?1 AND time = ?2")?
        .exists((place.seq, place.time as i64))
}

fn position(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<JournalPosition> {
    Ok(JournalPosition {
        seq: row.get(at)?,
        time: row.get::<_, i64>(at + 1)? as u64,
    })
}

/// The statement: of each decision its place, the key, and if it is one of the participant's, if
/// the state has changed since, if the present state is in the list, and if the state before was. One
/// that is not kept may have been.
fn text(wanted: &ChangesWanted) -> String {
    // Parameters: participant, place, number of decisions, then the values of the filters.
    let passes = |column: &str| -> String {
        (wanted.filters.iter().zip(4..))
            .map(|((pointer, _), number)| format!(" AND {} = ?{number}", value_in(column, pointer)))
            .collect()
    };
    format!(
        "SELECT j.seq, j.time, j.key, g.id IS NOT NULL, coalesce(a.revision > j.revision, 0),
             CASE WHEN g.id IS NULL THEN 0 ELSE coalesce(a.state IS NOT NULL{}, 0) END,
             CASE WHEN g.id IS NULL THEN 0 WHEN j.state = '' THEN 1 ELSE coalesce(j.state IS NOT NULL{}, 0) END
         FROM (SELECT seq, time, key, generation, revision, state FROM journal WHERE seq > ?2 ORDER BY seq LIMIT ?3) j
             LEFT JOIN generations g ON g.id = j.generation AND g.participant = ?1
             LEFT JOIN aggregates a ON a.participant = g.participant AND a.key = j.key
         ORDER BY j.seq",
        passes("a.state"),
        passes("j.state"),
    )
}

fn values(wanted: &ChangesWanted) -> impl Iterator<Item = Value> {
    let numbers = [wanted.participant, wanted.after.seq, DECISIONS as i64];
    let filters = wanted.filters.iter().map(|(_, value)| filter_value(value));
    numbers.map(Value::Integer).into_iter().chain(filters)
}
