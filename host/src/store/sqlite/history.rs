//! Participants and their generations: activations, activity, uses, refusals.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};
use saga_core::message::Origin;
use serde::de::DeserializeOwned;

use super::tally;
use crate::store::history::{ACTIVATIONS, GenerationRow, PastGeneration, Quarantined, REFUSED};
use crate::store::tally::{Tally, Verdict};
use crate::store::writing::tallies::Tallies;

/// The row of a participant that has run on this store.
pub(super) fn participant(sql: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    sql.prepare_cached("SELECT id FROM participants WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// The names of the participants that have run on this store.
pub(super) fn participants(sql: &Connection) -> rusqlite::Result<Vec<String>> {
    sql.prepare_cached("SELECT name FROM participants ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// The active generation of a participant.
pub(super) fn active(
    sql: &Connection,
    participant: i64,
) -> rusqlite::Result<Option<GenerationRow>> {
    sql.prepare_cached(&format!(
        "SELECT {GENERATION} FROM activations a JOIN generations g ON g.id = a.generation
         WHERE a.participant = ?1 ORDER BY a.id DESC LIMIT 1"
    ))?
    .query_row([participant], generation)
    .optional()
}

/// Activates a generation. Aggregates whose states it can read unmigrated leave the quarantine,
/// since none of its turns will migrate them. Those with parked messages leave it when the first of
/// these is decided.
pub(super) fn activate(
    sql: &Connection,
    participant: i64,
    generation: i64,
    (way, change): (&str, Option<&str>),
    now: u64,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO activations (participant, generation, time, way, change) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![participant, generation, now as i64, way, change])?;
    keep_latest(sql, "activations", participant, ACTIVATIONS)?;
    sql.prepare_cached(
        "DELETE FROM quarantine WHERE participant = ?1 AND key IN (
             SELECT key FROM aggregates WHERE participant = ?1
             AND state_version = (SELECT state_version FROM generations WHERE id = ?2)
             AND key IN (SELECT key FROM quarantine WHERE participant = ?1))
         AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.participant = ?1 AND p.key = quarantine.key)",
    )?
    .execute(params![participant, generation])?;
    Ok(())
}

/// The activations of a participant, oldest first: row of the generation, and trigger.
pub(super) fn activations(
    sql: &Connection,
    participant: i64,
) -> rusqlite::Result<Vec<(i64, String)>> {
    sql.prepare_cached(
        "SELECT generation, way FROM activations WHERE participant = ?1 ORDER BY id",
    )?
    .query_map([participant], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// The generations that were active, latest first.
pub(super) fn generations(
    sql: &Connection,
    participant: i64,
) -> rusqlite::Result<Vec<PastGeneration>> {
    sql.prepare_cached(&format!(
        "SELECT {GENERATION}, a.time, a.way, a.change, l.activations,
                coalesce(sum(t.decisions), 0), coalesce(sum(t.refusals), 0), coalesce(sum(t.faults), 0)
         FROM (SELECT generation, max(id) AS last, count(*) AS activations FROM activations
               WHERE participant = ?1 GROUP BY generation) l
         JOIN activations a ON a.id = l.last
         JOIN generations g ON g.id = l.generation
         LEFT JOIN tallies t ON t.generation = g.id
         GROUP BY g.id ORDER BY l.last DESC"
    ))?
    .query_map([participant], |row| {
        Ok(PastGeneration {
            generation: generation(row)?,
            since: row.get::<_, i64>(7)? as u64,
            way: row.get(8)?,
            change: row.get(9)?,
            activations: row.get::<_, i64>(10)? as u64,
            decisions: row.get::<_, i64>(11)? as u64,
            refusals: row.get::<_, i64>(12)? as u64,
            faults: row.get::<_, i64>(13)? as u64,
        })
    })?
    .collect()
}

/// The columns of a generation `g`, as [`generation`] reads them.
pub(super) const GENERATION: &str =
    "g.id, g.digest, g.component, g.settings, g.version, g.state_version, g.fuel_terms";

/// The generation in the first columns of a row.
pub(super) fn generation(row: &rusqlite::Row<'_>) -> rusqlite::Result<GenerationRow> {
    const SETTINGS: usize = 3;
    const FUEL_TERMS: usize = 6;
    Ok(GenerationRow {
        id: row.get(0)?,
        digest: row.get(1)?,
        component: row.get(2)?,
        settings: json(row, SETTINGS)?,
        version: row.get(4)?,
        state_version: row.get(5)?,
        fuel_terms: json(row, FUEL_TERMS)?.unwrap_or_default(),
    })
}

/// The value in a column of JSON text.
fn json<T: DeserializeOwned>(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(at)?;
    let value = text.map(|text| serde_json::from_str(&text)).transpose();
    value.map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, Type::Text, error.into()))
}

/// The last time that a participant got this message, with any generation, in milliseconds since
/// the Unix epoch.
pub(super) fn last_asked(
    sql: &Connection,
    participant: i64,
    origin: Origin,
    name: &str,
) -> rusqlite::Result<Option<u64>> {
    let last: Option<i64> = sql
        .prepare_cached(
            "SELECT max(t.last) FROM tallies t JOIN generations g ON g.id = t.generation
             WHERE g.participant = ?1 AND t.origin = ?2 AND t.name = ?3",
        )?
        .query_row(params![participant, origin.word(), name], |row| row.get(0))?;
    Ok(last.map(|last| last as u64))
}

/// Makes the last use of one name count for another one too, for a generation that renames it.
pub(super) fn carry_use(
    sql: &Connection,
    participant: i64,
    generation: i64,
    origin: Origin,
    old: &str,
    new: &str,
) -> rusqlite::Result<()> {
    if let Some(last) = last_asked(sql, participant, origin, old)? {
        let mut used = Tallies::default();
        used.add(&Tally {
            generation,
            origin,
            name: new.to_owned(),
            verdict: Verdict::Read,
            time: last,
        });
        tally::add(sql, &used)?;
    }
    Ok(())
}

/// The number of records of this type that a consumer of the embedded log has not yet read. Records
/// on a broker are not known here.
pub(super) fn unread(
    sql: &Connection,
    consumer: &str,
    topic: i64,
    event_type: &str,
) -> rusqlite::Result<u64> {
    sql.prepare_cached(
        "SELECT count(*) FROM offsets f JOIN outbox o
             ON o.topic = f.topic AND o.partition = f.partition AND o.offset >= f.next_offset
         WHERE f.consumer = ?1 AND f.topic = ?2 AND o.event_type = ?3",
    )?
    .query_row(params![consumer, topic, event_type], |row| {
        row.get::<_, i64>(0)
    })
    .map(|count| count as u64)
}

/// The number of pending timers of this name.
pub(super) fn timers_set(sql: &Connection, participant: i64, name: &str) -> rusqlite::Result<u64> {
    sql.prepare_cached("SELECT count(*) FROM timers WHERE participant = ?1 AND name = ?2")?
        .query_row(params![participant, name], |row| row.get::<_, i64>(0))
        .map(|count| count as u64)
}

/// Notes a refused component.
pub(super) fn add_refused(
    sql: &Connection,
    participant: i64,
    way: &str,
    refused: &str,
    now: u64,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO refused_components (participant, time, way, refused) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![participant, now as i64, way, refused])?;
    keep_latest(sql, "refused_components", participant, REFUSED)
}

/// Deletes the rows of a participant in a table but for the latest `most`.
pub(super) fn keep_latest(
    sql: &Connection,
    table: &str,
    participant: i64,
    most: i64,
) -> rusqlite::Result<()> {
    sql.prepare_cached(&format!(
        "DELETE FROM {table} WHERE participant = ?1 AND id <= (
             SELECT id FROM {table} WHERE participant = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"
    ))?
    .execute(params![participant, most])
    .map(drop)
}

/// The components that were refused lately, latest first: time, trigger, and reason (JSON).
pub(super) fn refused(
    sql: &Connection,
    participant: i64,
) -> rusqlite::Result<Vec<(u64, String, String)>> {
    sql.prepare_cached(
        "SELECT time, way, refused FROM refused_components WHERE participant = ?1 ORDER BY id DESC",
    )?
    .query_map([participant], |row| {
        Ok((row.get::<_, i64>(0)? as u64, row.get(1)?, row.get(2)?))
    })?
    .collect()
}

/// The number of stored states of a version before this one.
pub(super) fn older_states(
    sql: &Connection,
    participant: i64,
    version: u32,
) -> rusqlite::Result<u64> {
    sql.prepare_cached(
        "SELECT count(*) FROM aggregates WHERE participant = ?1 AND state IS NOT NULL AND state_version < ?2",
    )?
    .query_row(params![participant, version], |row| {
        row.get::<_, i64>(0).map(|count| count as u64)
    })
}

/// The keys of stored states of a version before this one, after this key, at most `most`.
pub(super) fn older_state_keys(
    sql: &Connection,
    participant: i64,
    version: u32,
    after: &str,
    most: usize,
) -> rusqlite::Result<Vec<String>> {
    sql.prepare_cached(
        "SELECT key FROM aggregates WHERE participant = ?1 AND key > ?3 AND state IS NOT NULL AND state_version < ?2
         ORDER BY key LIMIT ?4",
    )?
    .query_map(params![participant, version, after, most as i64], |row| row.get(0))?
    .collect()
}

/// The number of quarantined aggregates, and those that have been quarantined longest, at most
/// `most`.
pub(super) fn quarantined(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<(u64, Vec<Quarantined>)> {
    let count: i64 = sql
        .prepare_cached("SELECT count(*) FROM quarantine WHERE participant = ?1")?
        .query_row([participant], |row| row.get(0))?;
    let rows = sql
        .prepare_cached(
            "SELECT key, reason, time FROM quarantine WHERE participant = ?1 ORDER BY time, key LIMIT ?2",
        )?
        .query_map(params![participant, most as i64], |row| {
            Ok(Quarantined {
                key: row.get(0)?,
                reason: row.get(1)?,
                since: row.get::<_, i64>(2)? as u64,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok((count as u64, rows))
}

/// The number of quarantined aggregates, counted up to `most`.
pub(super) fn quarantined_up_to(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<u64> {
    sql.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM quarantine WHERE participant = ?1 LIMIT ?2)",
    )?
    .query_row(params![participant, most as i64], |row| {
        row.get::<_, i64>(0).map(|count| count as u64)
    })
}

/// The keys of quarantined aggregates, at most `most`.
pub(super) fn quarantined_keys(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<String>> {
    sql.prepare_cached("SELECT key FROM quarantine WHERE participant = ?1 LIMIT ?2")?
        .query_map(params![participant, most as i64], |row| row.get(0))?
        .collect()
}
