//! One entry of a commit that has rare writes, or whose event may have been applied before.

use saga_core::commit::{Entry, Fate, Write};
use saga_core::identity::Identity;

use super::columns::{Columns, CommitNumber};
use super::members::Members;
use super::{dead_letters, parked, quarantine};
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;
use crate::store::writing::letters;

/// Writes one entry in the open transaction. If a guard is refused, the writes that it guards are
/// skipped: only the consumption of the message is written.
pub(in crate::store::postgres) fn write(
    sql: &Sql,
    entry: &Entry,
    (commit, trusted): (CommitNumber, u64),
    members: &Members,
) -> SqlResult<Fate> {
    let mut columns = Columns::default();
    for guard in &entry.writes {
        if !holds(sql, entry, guard, trusted)? {
            columns.consumption(entry);
            columns.write(sql, commit, members)?;
            return Ok(Fate::Duplicate);
        }
    }
    let has_others = columns.add(entry, trusted);
    columns.write(sql, commit, members)?;
    if has_others {
        for write in &entry.writes {
            write_one(sql, entry, write, trusted)?;
        }
    }
    Ok(Fate::Written)
}

/// Writes a guard; false if it is refused. True for a write that is no guard.
fn holds(sql: &Sql, entry: &Entry, write: &Write, trusted: u64) -> SqlResult<bool> {
    match write {
        Write::Inbox(identity, time) => {
            remember(sql, entry.participant, identity, (*time).max(trusted))
        }
        Write::Unpark(id) => parked::take(sql, entry.participant, *id),
        Write::Park(parking) => parked::write(sql, entry, parking).map(|id| id.is_some()),
        Write::FailedAside(failed) => dead_letters::failed_aside(sql, failed),
        _ => Ok(true),
    }
}

/// Writes a rare write that is no guard.
fn write_one(sql: &Sql, entry: &Entry, write: &Write, trusted: u64) -> SqlResult<()> {
    let participant = entry.participant;
    match write {
        Write::InboxKept(identity, time) => keep(sql, participant, identity, (*time).max(trusted)),
        Write::InboxForgotten(identity) => forget(sql, participant, identity),
        Write::DeadLetter(letter) => dead_letters::write(sql, entry, letter),
        Write::LetterEnded(letter, end, time) => letters::end(sql, *letter, *end, *time),
        Write::FailedRedrive(failed) => dead_letters::failed(sql, failed),
        Write::ReturnedRecord(returned) => dead_letters::returned(sql, returned),
        Write::ParkTimer(timer) => parked::mark_timer(sql, participant, timer),
        Write::Quarantine(reason, time) => quarantine::put(sql, entry, reason, *time),
        Write::QuarantineLifted => quarantine::lift(sql, entry),
        Write::Inbox(..)
        | Write::Unpark(_)
        | Write::Park(_)
        | Write::FailedAside(_)
        | Write::Offset(_)
        | Write::State(..)
        | Write::Migrated(..)
        | Write::Timers(..)
        | Write::Fired(_)
        | Write::Journal(_)
        | Write::Reply(_)
        | Write::GeneratedKey(_)
        | Write::Tally(_)
        | Write::Publish(_) => Ok(()),
    }
}

/// Notes an identity; returns false if it is there already.
pub(in crate::store::postgres) fn remember(
    sql: &Sql,
    participant: i64,
    identity: &Identity,
    time: u64,
) -> SqlResult<bool> {
    let rows = sql.execute(
        "INSERT INTO inbox (participant, id, source, time) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        &[&participant, &identity.id, &identity.source, &(time as i64)],
    )?;
    Ok(rows == 1)
}

/// Restarts the retention of an identity: a repeat is deduplicated for as long as that of a record
/// that was decided at once.
fn keep(sql: &Sql, participant: i64, identity: &Identity, time: u64) -> SqlResult<()> {
    sql.execute(
        "INSERT INTO inbox (participant, id, source, time) VALUES ($1, $2, $3, $4)
         ON CONFLICT (participant, id, source) DO UPDATE SET time = excluded.time",
        &[&participant, &identity.id, &identity.source, &(time as i64)],
    )
    .map(drop)
}

fn forget(sql: &Sql, participant: i64, identity: &Identity) -> SqlResult<()> {
    sql.execute(
        "DELETE FROM inbox WHERE participant = $1 AND id = $2 AND source = $3",
        &[&participant, &identity.id, &identity.source],
    )
    .map(drop)
}
