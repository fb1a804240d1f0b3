//! Aggregates, the inbox, the quarantine of one aggregate, first replies: each by its primary key.

use saga_core::identity::Identity;

use super::row::{get, has_none, small, unsigned};
use crate::store::idempotency::FirstReply;
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;
use crate::store::read::StoredAggregate;

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
