//! The rows of participants, generations and topics. Written at start and when rules are loaded,
//! never in a turn.

use std::sync::Arc;

use saga_core::commit::OutboxRow;

use super::columns::extra_of;
use crate::store::engine::NewGeneration;
use crate::store::history::with_fuel_terms;
use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::read::generation_row;
use crate::store::postgres::session::Sql;

/// The row of a participant, and the last key that was generated for it.
pub(in crate::store::postgres) fn participant(sql: &Sql, name: &str) -> SqlResult<(i64, i64)> {
    sql.execute(
        "INSERT INTO participants (name) VALUES ($1) ON CONFLICT DO NOTHING",
        &[&name],
    )?;
    let row = sql.one(
        "SELECT id, last_key FROM participants WHERE name = $1",
        &[&name],
    )?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Numbers that one host takes at once.
const KEYS: i64 = 64;

/// Takes the next numbers of generated keys of a participant, first and last.
pub(in crate::store::postgres) fn reserve_keys(
    sql: &Sql,
    participant: i64,
) -> SqlResult<(i64, i64)> {
    let row = sql.one(
        "UPDATE participants SET last_key = last_key + $2 WHERE id = $1 RETURNING last_key",
        &[&participant, &KEYS],
    )?;
    let last: i64 = row.try_get(0)?;
    Ok((last - KEYS + 1, last))
}

/// Gives unused numbers back, unless others were taken since.
pub(in crate::store::postgres) fn return_keys(
    sql: &Sql,
    participant: i64,
    (first, last): (i64, i64),
) -> SqlResult<()> {
    sql.execute(
        "UPDATE participants SET last_key = $2 WHERE id = $1 AND last_key = $3",
        &[&participant, &(first - 1), &last],
    )
    .map(drop)
}

/// The row of a generation of a participant.
pub(in crate::store::postgres) fn generation(
    sql: &Sql,
    participant: i64,
    generation: &NewGeneration,
) -> SqlResult<i64> {
    let settings = generation.settings.as_ref().map(json).transpose()?;
    sql.execute(
        "INSERT INTO generations (participant, digest, version, state_version, since, component, settings)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        &[
            &participant,
            &generation.digest,
            &generation.version,
            &i64::from(generation.state_version),
            &(generation.now as i64),
            &generation.component,
            &settings,
        ],
    )?;
    let row = generation_row(sql, participant, &generation.digest)?;
    let row = row.ok_or_else(|| SqlError::Data("a new generation has no row".into()))?;
    if let Some(terms) = with_fuel_terms(row.fuel_terms, generation) {
        sql.execute(
            "UPDATE generations SET fuel_terms = $2 WHERE id = $1",
            &[&row.id, &json(&terms)?],
        )?;
    }
    Ok(row.id)
}

fn json(value: &impl serde::Serialize) -> SqlResult<String> {
    serde_json::to_string(value).map_err(|error| SqlError::Data(error.to_string()))
}

/// The row of a topic.
pub(in crate::store::postgres) fn topic(sql: &Sql, name: &str) -> SqlResult<i64> {
    sql.execute(
        "INSERT INTO topics (name) VALUES ($1) ON CONFLICT DO NOTHING",
        &[&name],
    )?;
    let row = sql.one("SELECT id FROM topics WHERE name = $1", &[&name])?;
    Ok(row.try_get(0)?)
}

/// Notes the existing consumers of the embedded log, by name and topic. Others no longer hold back
/// rows of the outbox beyond the retention.
pub(in crate::store::postgres) fn note_consumers(
    sql: &Sql,
    participant: &str,
    consumers: &[(Arc<str>, i64)],
    now: u64,
) -> SqlResult<()> {
    let own = format!("log:{participant}/");
    sql.execute(
        "UPDATE offsets SET dropped = $2 WHERE starts_with(consumer, $1) AND dropped IS NULL",
        &[&own, &(now as i64)],
    )?;
    for (consumer, topic) in consumers {
        sql.execute(
            "UPDATE offsets SET dropped = NULL WHERE consumer = $1 AND topic = $2",
            &[&&**consumer, topic],
        )?;
    }
    Ok(())
}

/// Publishes a record that no turn has decided; returns its offset.
pub(in crate::store::postgres) fn append(sql: &Sql, record: &OutboxRow) -> SqlResult<i64> {
    let row = sql.one(
        "INSERT INTO partitions AS old (topic, partition, next_offset) VALUES ($1, $2, 1)
         ON CONFLICT (topic, partition) DO UPDATE SET next_offset = old.next_offset + 1 RETURNING next_offset - 1",
        &[&record.topic, &record.partition],
    )?;
    let offset: i64 = row.try_get(0)?;
    let attributes = &record.attributes;
    sql.execute(
        "INSERT INTO outbox (topic, partition, position, event_type, key, value, event_id, correlation, causation,
             traceparent, extra, time)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        &[
            &record.topic,
            &record.partition,
            &offset,
            &attributes.event_type,
            &record.key,
            &record.value,
            &attributes.id,
            &attributes.correlation,
            &attributes.causation,
            &attributes.traceparent,
            &extra_of(record),
            &(record.time as i64),
        ],
    )?;
    Ok(offset)
}
