//! Aggregates, the inbox, the quarantine of one aggregate, first replies: each by its primary key.

use saga_core::identity::Identity;

use super::parked::blocks;
use super::row::{count, get, has_none, small, unsigned};
use crate::store::idempotency::FirstReply;
use crate::store::parked::ParkedKey;
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;
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
    let Some(row) = found else {
        return Ok(StoredAggregate::default());
    };
    Ok(StoredAggregate {
        state: get(&row, 0)?,
        revision: unsigned(&row, 1)?,
        state_version: small(&row, 2)?,
        correlation: get(&row, 3)?,
    })
}

/// The aggregate of this key, with what any host has parked for it or has found of its state.
pub(super) fn shared(sql: &Sql, participant: i64, key: &str) -> SqlResult<SharedAggregate> {
    if has_none(&[key]) {
        return Ok(SharedAggregate::default());
    }
    let row = sql.one(
        "SELECT a.state, a.revision, a.state_version, a.correlation, p.messages, d.is_exhausted, d.is_requested,
             (SELECT true FROM quarantine q WHERE q.participant = $1 AND q.key = $2 LIMIT 1) IS NOT NULL
         FROM (SELECT 1) AS one
             LEFT JOIN LATERAL (SELECT state, revision, state_version, correlation FROM aggregates
                 WHERE participant = $1 AND key = $2) a ON true
             LEFT JOIN LATERAL (SELECT count(*) AS messages FROM parked
                 WHERE participant = $1 AND key = $2) p ON true
             LEFT JOIN LATERAL (SELECT reason = 'retries-exhausted' AS is_exhausted, request IS NOT NULL AS is_requested
                 FROM dead_letters WHERE participant = $1 AND aggregate = $2 AND parked IS NOT NULL AND NOT is_aside
                 ORDER BY id LIMIT 1) d ON true",
        &[&participant, &key],
    )?;
    let is_there: Option<i64> = get(&row, 1)?;
    let aggregate = match is_there {
        None => StoredAggregate::default(),
        Some(_) => StoredAggregate {
            state: get(&row, 0)?,
            revision: unsigned(&row, 1)?,
            state_version: small(&row, 2)?,
            correlation: get(&row, 3)?,
        },
    };
    let messages = count(&row, 4)?;
    let parked = ParkedKey {
        key: key.to_owned(),
        messages,
        letter: blocks(get(&row, 5)?),
        is_requested: get::<Option<bool>>(&row, 6)?.unwrap_or_default(),
    };
    Ok(SharedAggregate {
        aggregate,
        parked: (messages > 0).then_some(parked),
        is_quarantined: get(&row, 7)?,
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
    if has_none(&[key]) {
        return Ok(None);
    }
    let found = sql.row(
        "SELECT fingerprint, aggregate, reply, correlation FROM idempotency_keys WHERE participant = $1 AND key = $2",
        &[&participant, &key],
    )?;
    found
        .map(|row| {
            Ok(FirstReply {
                fingerprint: get(&row, 0)?,
                aggregate: get(&row, 1)?,
                reply: get(&row, 2)?,
                correlation: get(&row, 3)?,
            })
        })
        .transpose()
}
