//! The rows of participants, generations and topics. Read and written at start and when rules are
//! loaded, never in a turn.

use rusqlite::{Connection, OptionalExtension, params};

use super::history::{self, GENERATION};
use crate::store::engine::NewGeneration;
use crate::store::history::{GenerationRow, with_fuel_terms};

/// The row of a participant, and the last key that was generated for it.
pub(super) fn participant(sql: &Connection, name: &str) -> rusqlite::Result<(i64, i64)> {
    sql.execute(
        "INSERT OR IGNORE INTO participants (name) VALUES (?1)",
        [name],
    )?;
    sql.query_row(
        "SELECT id, last_key FROM participants WHERE name = ?1",
        [name],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// The row of a generation of a participant.
pub(super) fn generation(
    sql: &Connection,
    participant: i64,
    generation: &NewGeneration,
) -> rusqlite::Result<i64> {
    let settings = generation.settings.as_ref().map(json).transpose()?;
    sql.execute(
        "INSERT OR IGNORE INTO generations (participant, digest, version, state_version, since, component, settings)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            participant,
            generation.digest,
            generation.version,
            generation.state_version,
            generation.now as i64,
            generation.component,
            settings
        ],
    )?;
    let row = known_generation(sql, participant, &generation.digest)?;
    let row = row.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    if let Some(terms) = with_fuel_terms(row.fuel_terms, generation) {
        sql.execute(
            "UPDATE generations SET fuel_terms = ?2 WHERE id = ?1",
            params![row.id, json(&terms)?],
        )?;
    }
    Ok(row.id)
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A generation of a participant, if it has a row.
pub(super) fn known_generation(
    sql: &Connection,
    participant: i64,
    digest: &str,
) -> rusqlite::Result<Option<GenerationRow>> {
    let known =
        format!("SELECT {GENERATION} FROM generations g WHERE participant = ?1 AND digest = ?2");
    sql.query_row(&known, params![participant, digest], history::generation)
        .optional()
}

/// The row of a topic, if it has one.
pub(super) fn known_topic(sql: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    sql.query_row("SELECT id FROM topics WHERE name = ?1", [name], |row| {
        row.get(0)
    })
    .optional()
}

/// The row of a topic.
pub(super) fn topic(sql: &Connection, name: &str) -> rusqlite::Result<i64> {
    sql.execute("INSERT OR IGNORE INTO topics (name) VALUES (?1)", [name])?;
    sql.query_row("SELECT id FROM topics WHERE name = ?1", [name], |row| {
        row.get(0)
    })
}

/// The topics with records in the outbox that the relay has not published: names and rows.
pub(super) fn waiting_topics(
    sql: &Connection,
) -> rusqlite::Result<Vec<(std::sync::Arc<str>, i64)>> {
    sql.prepare(
        "SELECT DISTINCT t.name, t.id FROM partitions p JOIN topics t ON t.id = p.topic
         LEFT JOIN offsets o ON o.consumer = 'log:relay' AND o.topic = p.topic AND o.partition = p.partition
         WHERE EXISTS (SELECT 1 FROM outbox b WHERE b.topic = p.topic AND b.partition = p.partition
             AND b.offset >= coalesce(o.next_offset, 0))",
    )?
    .query_map([], |row| Ok((row.get::<_, String>(0)?.into(), row.get(1)?)))?
    .collect()
}

/// Notes the existing consumers of the embedded log, by name and topic. Others no longer hold back
/// rows of the outbox beyond the retention.
pub(super) fn note_consumers(
    sql: &Connection,
    participant: &str,
    consumers: &[(std::sync::Arc<str>, i64)],
    now: u64,
) -> rusqlite::Result<()> {
    let own = format!("log:{participant}/*");
    sql.execute(
        "UPDATE offsets SET dropped = ?2 WHERE consumer GLOB ?1 AND dropped IS NULL",
        params![own, now as i64],
    )?;
    for (consumer, topic) in consumers {
        sql.execute(
            "UPDATE offsets SET dropped = NULL WHERE consumer = ?1 AND topic = ?2",
            params![consumer, topic],
        )?;
    }
    Ok(())
}

/// True if any state of a participant is stored.
pub(super) fn holds_states(sql: &Connection, participant: i64) -> rusqlite::Result<bool> {
    sql.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM aggregates WHERE participant = ?1 AND state IS NOT NULL)",
    )?
    .query_row(params![participant], |row| row.get(0))
}

/// The oldest and the newest version among the stored states of a participant that lie outside
/// these bounds. None if all states lie within.
pub(super) fn state_versions_outside(
    sql: &Connection,
    participant: i64,
    oldest: u32,
    newest: u32,
) -> rusqlite::Result<Option<(u32, u32)>> {
    // Only generations that ran can have left such states: most starts need not read the
    // aggregates.
    let may_be: bool = sql.query_row(
        "SELECT EXISTS (SELECT 1 FROM generations
             WHERE participant = ?1 AND (state_version < ?2 OR state_version > ?3))",
        params![participant, oldest, newest],
        |row| row.get(0),
    )?;
    if !may_be {
        return Ok(None);
    }
    sql.query_row(
        "SELECT min(state_version), max(state_version) FROM aggregates
         WHERE participant = ?1 AND state IS NOT NULL AND (state_version < ?2 OR state_version > ?3)",
        params![participant, oldest, newest],
        |row| Ok(row.get::<_, Option<u32>>(0)?.zip(row.get(1)?)),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;

    #[test]
    fn stored_states_and_not_builds_that_were_only_tried_say_what_a_build_must_read() {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        let (row, _) = participant(&sql, "p").unwrap();
        for (digest, version) in [("a", 1), ("b", 2), ("c", 3)] {
            sql.execute(
                "INSERT INTO generations (participant, digest, component, version, state_version, since)
                 VALUES (?1, ?2, ?2, '', ?3, 0)",
                params![row, digest, version],
            )
            .unwrap();
        }
        assert_eq!(
            state_versions_outside(&sql, row, 2, 2).unwrap(),
            None,
            "nothing is stored"
        );
        for (key, version, state) in [
            ("x", 2, Some("{}")),
            ("y", 1, Some("{}")),
            ("gone", 3, None),
        ] {
            sql.execute(
                "INSERT INTO aggregates VALUES (?1, ?2, 1, ?3, ?4, NULL)",
                params![row, key, version, state],
            )
            .unwrap();
        }
        assert_eq!(state_versions_outside(&sql, row, 1, 2).unwrap(), None);
        assert_eq!(
            state_versions_outside(&sql, row, 2, 3).unwrap(),
            Some((1, 1)),
            "can't be migrated"
        );
        assert_eq!(
            state_versions_outside(&sql, row, 1, 1).unwrap(),
            Some((2, 2)),
            "is too new"
        );
    }
}
