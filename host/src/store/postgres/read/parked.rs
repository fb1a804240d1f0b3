//! Parked messages. The primary key gives the order in which they were parked; `parked_by_key` those of
//! a key, `parked_in_order` those of a participant.

use saga_core::commit::Blocks;
use saga_core::identity::Identity;
use saga_core::record::{Attributes, Position, Record};
use tokio_postgres::Row;

use super::letters;
use super::row::{count, get, has_none, limit, unsigned};
use crate::store::parked::{Parked, ParkedEvent, ParkedKey, ParkedRow};
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;
use crate::store::waiting::ParkedRecord;

/// The number of parked messages of a participant, and their bytes. The host bounds their number.
pub(super) fn totals(sql: &Sql, participant: i64) -> SqlResult<(usize, usize)> {
    let row = sql.one(
        "SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM parked WHERE participant = $1",
        &[&participant],
    )?;
    Ok((count(&row, 0)?, count(&row, 1)?))
}

/// The keys of a participant with parked messages.
pub(super) fn keys(sql: &Sql, participant: i64) -> SqlResult<Vec<ParkedKey>> {
    let rows = sql.query(
        "SELECT key, messages, (
             SELECT d.reason = 'retries-exhausted' FROM dead_letters d
             WHERE d.participant = $1 AND d.aggregate = p.key AND d.parked IS NOT NULL AND NOT d.is_aside
             ORDER BY d.id LIMIT 1),
             (SELECT true FROM dead_letters d
             WHERE d.participant = $1 AND d.aggregate = p.key AND d.parked IS NOT NULL AND d.request IS NOT NULL
             LIMIT 1) IS NOT NULL
         FROM (SELECT key, count(*) AS messages FROM parked WHERE participant = $1 GROUP BY key) p ORDER BY key",
        &[&participant],
    )?;
    let key = |row: &Row| {
        Ok(ParkedKey {
            key: get(row, 0)?,
            messages: count(row, 1)?,
            letter: blocks(get(row, 2)?),
            is_requested: get(row, 3)?,
        })
    };
    rows.iter().map(key).collect()
}

/// What a dead letter blocks, by whether its attempts were used up.
pub(super) fn blocks(is_exhausted: Option<bool>) -> Option<Blocks> {
    is_exhausted.map(|is_exhausted| match is_exhausted {
        true => Blocks::Messages,
        false => Blocks::All,
    })
}

/// The message that has been parked longest for another attempt: its key, and the time when it was
/// parked. It excludes messages of quarantined aggregates, messages behind a dead letter, and
/// records that the rules don't take: `taken` lists those that they do, by topic (the participant's
/// name for it) and event type. In the order of `parked_in_order`, up to the first that counts.
pub(super) fn oldest_retried(
    sql: &Sql,
    participant: i64,
    taken: &[(&str, &str)],
) -> SqlResult<Option<(String, u64)>> {
    let (topics, names): (Vec<&str>, Vec<&str>) = taken.iter().copied().unzip();
    // A timer has no topic.
    let found = sql.row(
        "SELECT key, time FROM parked p WHERE participant = $1
             AND (declared_topic IS NULL OR EXISTS (
                 SELECT 1 FROM unnest($2::text[], $3::text[]) AS taken (topic, name)
                 WHERE taken.topic = p.declared_topic AND taken.name = p.name))
             AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.participant = $1 AND q.key = p.key)
             AND NOT EXISTS (SELECT 1 FROM dead_letters d
                 WHERE d.participant = $1 AND d.aggregate = p.key AND d.parked IS NOT NULL)
         ORDER BY id LIMIT 1",
        &[&participant, &topics, &names],
    )?;
    found
        .map(|row| Ok((get(&row, 0)?, unsigned(&row, 1)?)))
        .transpose()
}

/// The first message parked for a key after this number.
pub(super) fn next(
    sql: &Sql,
    participant: i64,
    key: &str,
    after: i64,
) -> SqlResult<Option<ParkedRow>> {
    let found = sql.row(
        "SELECT p.id, p.bytes, p.name, p.due, p.event_id, p.source, p.consumer_group, p.topic, p.declared_topic,
             p.incarnation, p.partition, p.position, p.record_key, p.value, p.attributes, p.made,
             d.id, d.request, d.requests, d.reason = 'retries-exhausted', d.is_aside
         FROM parked p LEFT JOIN dead_letters d ON d.parked = p.id
         WHERE p.participant = $1 AND p.key = $2 AND p.id > $3 ORDER BY p.id LIMIT 1",
        &[&participant, &key, &after],
    )?;
    let parked = |row: Row| {
        let due: Option<i64> = get(&row, 3)?;
        let message = match due {
            Some(due) => Parked::Timer(get(&row, 2)?, due.cast_unsigned()),
            None => Parked::Event(Box::new(event(&row)?)),
        };
        Ok(ParkedRow {
            id: get(&row, 0)?,
            bytes: count(&row, 1)?,
            message,
            letter: letters::of_parked(&row, 16)?,
        })
    };
    found.map(parked).transpose()
}

fn event(row: &Row) -> SqlResult<ParkedEvent> {
    let id: Option<String> = get(row, 4)?;
    let incarnation: Option<&str> = get(row, 9)?;
    let attributes: &str = get(row, 14)?;
    Ok(ParkedEvent {
        identity: Identity {
            id: id.unwrap_or_default(),
            source: get(row, 5)?,
        },
        name: get(row, 2)?,
        group: get(row, 6)?,
        declared_topic: get(row, 8)?,
        record: Record {
            position: Position {
                topic: get::<&str>(row, 7)?.into(),
                incarnation: incarnation.map(Into::into),
                partition: get(row, 10)?,
                offset: get(row, 11)?,
            },
            timestamp: unsigned(row, 15)?,
            key: get(row, 12)?,
            value: get(row, 13)?,
            attributes: serde_json::from_str(attributes).unwrap_or_default(),
        },
    })
}

/// The number of parked events of this type of a participant.
pub(super) fn of_name(sql: &Sql, participant: i64, event_type: &str) -> SqlResult<u64> {
    if has_none(&[event_type]) {
        return Ok(0);
    }
    let row = sql.one(
        "SELECT count(*) FROM parked WHERE participant = $1 AND name = $2 AND due IS NULL",
        &[&participant, &event_type],
    )?;
    unsigned(&row, 0)
}

/// The parked records of a participant after this number, except dead letters, in the order of
/// `parked_in_order`.
pub(super) fn after(
    sql: &Sql,
    participant: i64,
    after: i64,
    most: usize,
) -> SqlResult<Vec<ParkedRecord>> {
    let rows = sql.query(
        "SELECT p.id, p.key, p.name, p.time, p.event_id, p.source, p.attributes,
             (SELECT d.id FROM dead_letters d WHERE d.participant = $1 AND d.aggregate = p.key
                 AND d.parked < p.id ORDER BY d.parked DESC LIMIT 1),
             (SELECT true FROM quarantine q WHERE q.participant = $1 AND q.key = p.key LIMIT 1) IS NOT NULL
         FROM parked p WHERE p.participant = $1 AND p.id > $2 AND p.source IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.parked = p.id)
         ORDER BY p.id LIMIT $3",
        &[&participant, &after, &limit(most)],
    )?;
    let parked = |row: &Row| {
        let id: Option<String> = get(row, 4)?;
        let id = id.unwrap_or_default();
        let attributes: Option<&str> = get(row, 6)?;
        let attributes: Attributes =
            serde_json::from_str(attributes.unwrap_or_default()).unwrap_or_default();
        Ok(ParkedRecord {
            id: get(row, 0)?,
            key: get(row, 1)?,
            name: get(row, 2)?,
            since: unsigned(row, 3)?,
            correlation: attributes.correlation.unwrap_or_else(|| id.clone()),
            identity: Identity {
                id,
                source: get(row, 5)?,
            },
            letter: get(row, 7)?,
            is_quarantined: get(row, 8)?,
        })
    };
    rows.iter().map(parked).collect()
}
