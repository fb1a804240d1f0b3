//! Participants and their generations, the topics, the quarantine.

use saga_core::message::Origin;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::row::{count, get, has_none, limit, small, unsigned};
use crate::store::history::{
    GenerationRow, PastGeneration, Quarantined, ReleaseOutcome, ReleaseRequest,
};
use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::session::Sql;

/// The row of a participant that has run on this store.
pub(super) fn participant(sql: &Sql, name: &str) -> SqlResult<Option<i64>> {
    first(sql.row("SELECT id FROM participants WHERE name = $1", &[&name])?)
}

/// The names of the participants that have run on this store.
pub(super) fn participants(sql: &Sql) -> SqlResult<Vec<String>> {
    all(&sql.query("SELECT name FROM participants ORDER BY name", &[])?)
}

/// The row of a topic, if it has one.
pub(super) fn topic(sql: &Sql, name: &str) -> SqlResult<Option<i64>> {
    first(sql.row("SELECT id FROM topics WHERE name = $1", &[&name])?)
}

/// A generation of a participant, if it has a row.
pub(in crate::store::postgres) fn generation(
    sql: &Sql,
    participant: i64,
    digest: &str,
) -> SqlResult<Option<GenerationRow>> {
    if has_none(&[digest]) {
        return Ok(None);
    }
    let found = sql.row(
        &format!("SELECT {GENERATION} FROM generations g WHERE participant = $1 AND digest = $2"),
        &[&participant, &digest],
    )?;
    found.as_ref().map(generation_of).transpose()
}

/// The active generation of a participant: that of the last row in `activations_by_participant`.
pub(super) fn active(sql: &Sql, participant: i64) -> SqlResult<Option<GenerationRow>> {
    let found = sql.row(
        &format!(
            "SELECT {GENERATION} FROM activations a JOIN generations g ON g.id = a.generation
             WHERE a.participant = $1 ORDER BY a.id DESC LIMIT 1"
        ),
        &[&participant],
    )?;
    found.as_ref().map(generation_of).transpose()
}

/// The activations of a participant, oldest first: row of the generation, and trigger. Their number
/// is bounded.
pub(super) fn activations(sql: &Sql, participant: i64) -> SqlResult<Vec<(i64, String)>> {
    let rows = sql.query(
        "SELECT generation, way FROM activations WHERE participant = $1 ORDER BY id",
        &[&participant],
    )?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, get(row, 1)?)))
        .collect()
}

/// The generations that were active, latest first. Each host has counted on its own.
pub(super) fn generations(sql: &Sql, participant: i64) -> SqlResult<Vec<PastGeneration>> {
    let rows = sql.query(
        &format!("SELECT {GENERATION}, a.time, a.way, a.change, l.activations,
             t.decisions, t.refusals, t.faults
         FROM (SELECT generation, max(id) AS last, count(*) AS activations FROM activations
               WHERE participant = $1 GROUP BY generation) l
         JOIN activations a ON a.id = l.last
         JOIN generations g ON g.id = l.generation
         CROSS JOIN LATERAL (
             SELECT coalesce(sum(decisions), 0)::bigint AS decisions, coalesce(sum(refusals), 0)::bigint AS refusals,
                 coalesce(sum(faults), 0)::bigint AS faults
             FROM tallies WHERE generation = g.id) t
         ORDER BY l.last DESC"),
        &[&participant],
    )?;
    let past = |row: &Row| {
        Ok(PastGeneration {
            generation: generation_of(row)?,
            since: unsigned(row, 7)?,
            way: get(row, 8)?,
            change: get(row, 9)?,
            activations: unsigned(row, 10)?,
            decisions: unsigned(row, 11)?,
            refusals: unsigned(row, 12)?,
            faults: unsigned(row, 13)?,
        })
    };
    rows.iter().map(past).collect()
}

/// The columns of a generation `g`, as [`generation_of`] reads them.
const GENERATION: &str =
    "g.id, g.digest, g.component, g.settings, g.version, g.state_version, g.fuel_terms";

fn generation_of(row: &Row) -> SqlResult<GenerationRow> {
    Ok(GenerationRow {
        id: get(row, 0)?,
        digest: get(row, 1)?,
        component: get(row, 2)?,
        settings: json(row, 3)?,
        version: get(row, 4)?,
        state_version: small(row, 5)?,
        fuel_terms: json(row, 6)?.unwrap_or_default(),
    })
}

/// The value in a column of JSON text.
fn json<T: DeserializeOwned>(row: &Row, at: usize) -> SqlResult<Option<T>> {
    let text: Option<&str> = get(row, at)?;
    let value = text.map(serde_json::from_str).transpose();
    value.map_err(|error| SqlError::Data(error.to_string()))
}

/// The components that were refused lately, latest first: time, trigger, and reason (JSON). Their
/// number is bounded.
pub(super) fn refused(sql: &Sql, participant: i64) -> SqlResult<Vec<(u64, String, String)>> {
    let rows = sql.query(
        "SELECT time, way, refused FROM refused_components WHERE participant = $1 ORDER BY id DESC",
        &[&participant],
    )?;
    let refused = |row: &Row| Ok((unsigned(row, 0)?, get(row, 1)?, get(row, 2)?));
    rows.iter().map(refused).collect()
}

/// The last time that a participant got this message, with any generation and on any host, in
/// milliseconds since the Unix epoch. By the primary key of `tallies`.
pub(super) fn last_asked(
    sql: &Sql,
    participant: i64,
    origin: Origin,
    name: &str,
) -> SqlResult<Option<u64>> {
    if has_none(&[name]) {
        return Ok(None);
    }
    let row = sql.one(
        "SELECT max(t.last) FROM tallies t JOIN generations g ON g.id = t.generation
         WHERE g.participant = $1 AND t.origin = $2 AND t.name = $3",
        &[&participant, &origin.word(), &name],
    )?;
    let last: Option<i64> = get(&row, 0)?;
    Ok(last.map(i64::cast_unsigned))
}

/// True if any state of a participant is stored, by `aggregates_by_version`.
pub(super) fn holds_states(sql: &Sql, participant: i64) -> SqlResult<bool> {
    let found = sql.row(
        "SELECT 1 FROM aggregates WHERE participant = $1 AND state IS NOT NULL LIMIT 1",
        &[&participant],
    )?;
    Ok(found.is_some())
}

/// The oldest and the newest version among the stored states of a participant that lie outside
/// these bounds. None if all states lie within. By both ends of `aggregates_by_version`: below the
/// bounds, and above.
pub(super) fn state_versions_outside(
    sql: &Sql,
    participant: i64,
    oldest: u32,
    newest: u32,
) -> SqlResult<Option<(u32, u32)>> {
    let version = |condition: &str, bound: u32, order: &str| -> SqlResult<Option<u32>> {
        let found = sql.row(
            &format!(
                "SELECT state_version FROM aggregates
                 WHERE participant = $1 AND state IS NOT NULL AND state_version {condition} $2
                 ORDER BY state_version {order} LIMIT 1"
            ),
            &[&participant, &i64::from(bound)],
        )?;
        found.map(|row| small(&row, 0)).transpose()
    };
    let below = [version("<", oldest, "ASC")?, version("<", oldest, "DESC")?];
    let above = [version(">", newest, "ASC")?, version(">", newest, "DESC")?];
    let outside = || below.into_iter().chain(above).flatten();
    Ok(outside().min().zip(outside().max()))
}

/// The number of stored states of a version before this one, by `aggregates_by_version`.
pub(super) fn older_states(sql: &Sql, participant: i64, version: u32) -> SqlResult<u64> {
    let row = sql.one(
        "SELECT count(*) FROM aggregates WHERE participant = $1 AND state IS NOT NULL AND state_version < $2",
        &[&participant, &i64::from(version)],
    )?;
    unsigned(&row, 0)
}

/// The keys of stored states of a version before this one, after this key, at most `most`. In
/// `aggregates_by_version` keys are in order within a version: of each older version, of which there
/// are few, the first keys are read.
pub(super) fn older_state_keys(
    sql: &Sql,
    participant: i64,
    version: u32,
    after: &str,
    most: usize,
) -> SqlResult<Vec<String>> {
    let rows = sql.query(
        "WITH RECURSIVE versions (version) AS (
             (SELECT state_version FROM aggregates WHERE participant = $1 AND state IS NOT NULL AND state_version < $2
              ORDER BY state_version LIMIT 1)
             UNION ALL
             SELECT (SELECT a.state_version FROM aggregates a WHERE a.participant = $1 AND a.state IS NOT NULL
                     AND a.state_version > v.version AND a.state_version < $2 ORDER BY a.state_version LIMIT 1)
             FROM versions v WHERE v.version IS NOT NULL)
         SELECT k.key FROM versions v CROSS JOIN LATERAL (
             SELECT a.key FROM aggregates a WHERE a.participant = $1 AND a.state IS NOT NULL
                 AND a.state_version = v.version AND a.key > $3 ORDER BY a.key LIMIT $4) k
         WHERE v.version IS NOT NULL ORDER BY k.key LIMIT $4",
        &[&participant, &i64::from(version), &after, &limit(most)],
    )?;
    all(&rows)
}

/// The number of quarantined aggregates, and those that have been quarantined longest, at most
/// `most`, in the order of `quarantine_by_time`.
pub(super) fn quarantined(
    sql: &Sql,
    participant: i64,
    most: usize,
) -> SqlResult<(u64, Vec<Quarantined>)> {
    let total = sql.one(
        "SELECT count(*) FROM quarantine WHERE participant = $1",
        &[&participant],
    )?;
    let rows = sql.query(
        "SELECT key, reason, time FROM quarantine WHERE participant = $1 ORDER BY time, key LIMIT $2",
        &[&participant, &limit(most)],
    )?;
    let quarantined = |row: &Row| {
        Ok(Quarantined {
            key: get(row, 0)?,
            reason: get(row, 1)?,
            since: unsigned(row, 2)?,
        })
    };
    Ok((
        unsigned(&total, 0)?,
        rows.iter().map(quarantined).collect::<SqlResult<_>>()?,
    ))
}

/// The keys of those that have been quarantined longest, in the order of `quarantine_by_time`.
pub(super) fn longest_quarantined(
    sql: &Sql,
    participant: i64,
    most: usize,
) -> SqlResult<Vec<String>> {
    all(&sql.query(
        "SELECT key FROM quarantine WHERE participant = $1 ORDER BY time, key LIMIT $2",
        &[&participant, &limit(most)],
    )?)
}

/// The number of quarantined aggregates, counted up to `most`, by the primary key.
pub(super) fn quarantined_up_to(sql: &Sql, participant: i64, most: usize) -> SqlResult<u64> {
    let row = sql.one(
        "SELECT count(*) FROM (SELECT 1 FROM quarantine WHERE participant = $1 ORDER BY key LIMIT $2) q",
        &[&participant, &limit(most)],
    )?;
    count(&row, 0).map(|count| count as u64)
}

/// The keys of quarantined aggregates, at most `most`, in the order of the primary key.
pub(super) fn quarantined_keys(sql: &Sql, participant: i64, most: usize) -> SqlResult<Vec<String>> {
    all(&sql.query(
        "SELECT key FROM quarantine WHERE participant = $1 ORDER BY key LIMIT $2",
        &[&participant, &limit(most)],
    )?)
}

/// The requests to release an aggregate, latest first. Their number is bounded.
pub(super) fn releases(sql: &Sql, participant: i64) -> SqlResult<Vec<ReleaseRequest>> {
    let rows = sql.query(
        "SELECT key, by, time, reason FROM quarantine_releases WHERE participant = $1 ORDER BY id DESC",
        &[&participant],
    )?;
    let release = |row: &Row| {
        Ok(ReleaseRequest {
            key: get(row, 0)?,
            by: get(row, 1)?,
            time: unsigned(row, 2)?,
            outcome: ReleaseOutcome::of(get(row, 3)?),
        })
    };
    rows.iter().map(release).collect()
}

fn first(row: Option<Row>) -> SqlResult<Option<i64>> {
    row.map(|row| get(&row, 0)).transpose()
}

fn all(rows: &[Row]) -> SqlResult<Vec<String>> {
    rows.iter().map(|row| get(row, 0)).collect()
}
