//! Aggregates, the inbox, the quarantine of one aggregate, first replies: each by its primary key.

use saga_core::identity::Identity;
use saga_core::worker::Ahead;
use tokio_postgres::Row;

use super::parked::blocks;
use super::row::{count, get, has_none, small, unsigned};
use crate::store::idempotency::FirstReply;
use crate::store::parked::ParkedKey;
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::{Sql, Values};
use crate::store::read::{SharedAggregate, StoredAggregate};

/// The aggregate of this key; an empty one if it never existed.
pub(super) fn aggregate(sql: &Sql, participant: i64, key: &str) -> SqlResult<StoredAggregate> {
    if has_none(&[key]) {
        return Ok(StoredAggregate::default());
    }
    let found = sql.row(
        "SELECT state, revision, state_version, correlation FROM aggregates WHERE participant = $1 AND key = $2",
        &[&participant, &key],
    )?;
    found.map_or(Ok(StoredAggregate::default()), |row| stored(&row))
}

/// The aggregate in the first four columns.
fn stored(row: &Row) -> SqlResult<StoredAggregate> {
    Ok(StoredAggregate {
        state: get(row, 0)?,
        revision: unsigned(row, 1)?,
        state_version: small(row, 2)?,
        correlation: get(row, 3)?,
    })
}

/// Aggregates with what any host has parked for them or has found of their states, by participant and keys.
const SHARED: &str =
    "SELECT a.state, a.revision, a.state_version, a.correlation, p.messages, d.is_exhausted, d.is_requested,
         (SELECT true FROM quarantine q WHERE q.participant = $1 AND q.key = w.key LIMIT 1) IS NOT NULL, w.place
     FROM unnest($2::text[]) WITH ORDINALITY AS w(key, place)
         LEFT JOIN LATERAL (SELECT state, revision, state_version, correlation FROM aggregates
             WHERE participant = $1 AND key = w.key) a ON true
         LEFT JOIN LATERAL (SELECT count(*) AS messages FROM parked
             WHERE participant = $1 AND key = w.key) p ON true
         LEFT JOIN LATERAL (SELECT reason = 'retries-exhausted' AS is_exhausted, request IS NOT NULL AS is_requested
             FROM dead_letters WHERE participant = $1 AND aggregate = w.key AND parked IS NOT NULL AND NOT is_aside
             ORDER BY id LIMIT 1) d ON true";

// The lateral joins have a limit or an aggregate: a plan made on empty tables would go through all
// rows of the participant otherwise.

/// Those of these identities that the inbox has, by participant, ids and sources.
const APPLIED: &str =
    "SELECT w.place FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS w(id, source, place)
     CROSS JOIN LATERAL (SELECT FROM inbox WHERE participant = $1 AND id = w.id AND source = w.source LIMIT 1) i";

/// Loads what is not loaded yet, with one round trip.
pub(super) fn load_ahead(sql: &Sql, participant: i64, ahead: &mut Ahead) -> SqlResult<()> {
    let mut identities = Vec::new();
    for (identity, was_applied) in &mut ahead.identities {
        *was_applied = Some(false);
        if !has_none(&[&identity.id, &identity.source]) {
            identities.push((identity, was_applied));
        }
    }
    let mut aggregates = Vec::new();
    for (key, aggregate) in &mut ahead.aggregates {
        if aggregate.is_none() {
            *aggregate = Some(SharedAggregate::default());
            if !has_none(&[key]) {
                aggregates.push((key.as_str(), aggregate));
            }
        }
    }
    let ids: Vec<_> = identities
        .iter()
        .map(|(identity, _)| &*identity.id)
        .collect();
    let sources: Vec<_> = identities
        .iter()
        .map(|(identity, _)| &*identity.source)
        .collect();
    let keys: Vec<_> = aggregates.iter().map(|(key, _)| *key).collect();
    let inbox: Values<'_> = &[&participant, &ids, &sources];
    let (applied, shared) = match (ids.is_empty(), keys.is_empty()) {
        (true, true) => return Ok(()),
        (true, false) => (Vec::new(), sql.query(SHARED, &[&participant, &keys])?),
        (false, true) => (sql.query(APPLIED, inbox)?, Vec::new()),
        (false, false) => sql.query_both((APPLIED, inbox), (SHARED, &[&participant, &keys]))?,
    };
    for row in applied {
        if let Some((_, was_applied)) = identities.get_mut(place(&row, 0)?) {
            **was_applied = Some(true);
        }
    }
    for row in shared {
        if let Some((key, aggregate)) = aggregates.get_mut(place(&row, 8)?) {
            **aggregate = Some(shared_row(&row, key)?);
        }
    }
    Ok(())
}

/// The place of a row's parameters, from 0.
fn place(row: &Row, column: usize) -> SqlResult<usize> {
    Ok(count(row, column)?.saturating_sub(1))
}

/// The aggregate of this key, with what any host has parked for it or has found of its state.
pub(super) fn shared(sql: &Sql, participant: i64, key: &str) -> SqlResult<SharedAggregate> {
    if has_none(&[key]) {
        return Ok(SharedAggregate::default());
    }
    shared_row(&sql.one(SHARED, &[&participant, &vec![key]])?, key)
}

fn shared_row(row: &Row, key: &str) -> SqlResult<SharedAggregate> {
    let is_there: Option<i64> = get(row, 1)?;
    let aggregate = match is_there {
        None => StoredAggregate::default(),
        Some(_) => stored(row)?,
    };
    let messages = count(row, 4)?;
    let parked = ParkedKey {
        key: key.to_owned(),
        messages,
        letter: blocks(get(row, 5)?),
        is_requested: get::<Option<bool>>(row, 6)?.unwrap_or_default(),
    };
    Ok(SharedAggregate {
        aggregate,
        parked: (messages > 0).then_some(parked),
        is_quarantined: get(row, 7)?,
    })
}

/// True if the participant applied an event before.
pub(super) fn was_applied(sql: &Sql, participant: i64, identity: &Identity) -> SqlResult<bool> {
    if has_none(&[&identity.id, &identity.source]) {
        return Ok(false);
    }
    let found = sql.row(
        "SELECT 1 FROM inbox WHERE participant = $1 AND id = $2 AND source = $3",
        &[&participant, &identity.id, &identity.source],
    )?;
    Ok(found.is_some())
}

/// True if an aggregate is quarantined.
pub(super) fn is_quarantined(sql: &Sql, participant: i64, key: &str) -> SqlResult<bool> {
    if has_none(&[key]) {
        return Ok(false);
    }
    let found = sql.row(
        "SELECT 1 FROM quarantine WHERE participant = $1 AND key = $2",
        &[&participant, &key],
    )?;
    Ok(found.is_some())
}

/// The reply to the command with this idempotency key. None if it was deleted.
pub(super) fn first_reply(sql: &Sql, participant: i64, key: &str) -> SqlResult<Option<FirstReply>> {
    let replies = first_replies(sql, participant, &[key])?;
    Ok(replies.into_iter().next().flatten())
}

/// The replies to the commands with these idempotency keys.
pub(super) fn first_replies(
    sql: &Sql,
    participant: i64,
    keys: &[&str],
) -> SqlResult<Vec<Option<FirstReply>>> {
    let mut replies = vec![None; keys.len()];
    let wanted: Vec<_> = keys
        .iter()
        .copied()
        .filter(|key| !has_none(&[key]))
        .collect();
    let found = sql.query(
        "SELECT fingerprint, aggregate, reply, correlation, key FROM idempotency_keys
         WHERE participant = $1 AND key = ANY($2)",
        &[&participant, &wanted],
    )?;
    for row in found {
        let of: &str = get(&row, 4)?;
        for (reply, _) in replies.iter_mut().zip(keys).filter(|(_, key)| **key == of) {
            *reply = Some(FirstReply {
                fingerprint: get(&row, 0)?,
                aggregate: get(&row, 1)?,
                reply: get(&row, 2)?,
                correlation: get(&row, 3)?,
            });
        }
    }
    Ok(replies)
}
