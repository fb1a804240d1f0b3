//! The hosts on a store, as rows of `hosts`. Every commit names the incarnation of its host's row,
//! so a host that slept until another one got its row can commit nothing any more.
//!
//! Only the server's clock counts.

use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::address::ServerAddress;
use super::error::SqlResult;
use super::session::Sql;
use super::tables;
use crate::store::open_error::OpenError;

/// Time without a sign of life after which a host counts as gone.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// Time without a sign of life after which another host may get the row of one that is gone. Until
/// then a host that slept goes on.
const ROW_KEPT: Duration = Duration::from_secs(60);

/// Interval at which a host shows that it is there.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Delay between two looks at a host that may be gone.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// The row of a command that has the store alone.
const ALONE: i64 = 0;

/// A host's row, as long as no other process has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membership {
    /// Its row.
    pub(super) host: i64,
    /// Tells this process from others that had the row before.
    pub(super) incarnation: i64,
}

/// Gives this process a row among the hosts.
///
/// # Errors
/// A command has the store alone, or the server's error.
pub(super) fn join(
    sql: &Sql,
    address: &ServerAddress,
    name: &str,
) -> Result<Membership, OpenError> {
    enter(
        sql,
        address,
        "a saga command is using it alone; start again when it has ended",
        |sql| {
            let is_taken = seen(
                sql,
                "id = $2 AND seen >= clock_timestamp() - $1 * interval '1 second'",
            )?;
            if let Some(seen) = is_taken {
                return Ok(Err(seen));
            }
            let row = sql.one(
                "INSERT INTO hosts AS old (id, incarnation, name, since, seen, epoch)
                 VALUES (
                     coalesce((SELECT id FROM hosts WHERE id > 0 AND seen < clock_timestamp() - $2 * interval '1 second'
                         ORDER BY id LIMIT 1), (SELECT coalesce(max(id), 0) + 1 FROM hosts)),
                     1, $1, clock_timestamp(), clock_timestamp(), (SELECT coalesce(max(epoch), 0) FROM hosts))
                 ON CONFLICT (id) DO UPDATE SET incarnation = old.incarnation + 1, name = excluded.name,
                     since = excluded.since, seen = excluded.seen, epoch = excluded.epoch, batch = 0, followed = -1, behind = NULL
                 RETURNING id, incarnation",
                &[&name, &ROW_KEPT.as_secs_f64()],
            )?;
            let me = member(&row)?;
            sql.execute("DELETE FROM candidates WHERE host = $1", &[&me.host])?;
            sql.execute(
                "UPDATE offsets SET owner = NULL WHERE owner = $1",
                &[&me.host],
            )?;
            Ok(Ok(me))
        },
    )
}

/// Gives the store to this process alone. Waits for hosts that have ended without giving up their
/// rows.
///
/// # Errors
/// A host or another command is there, or the server's error.
pub(super) fn hold_alone(sql: &Sql, address: &ServerAddress) -> Result<Membership, OpenError> {
    enter(
        sql,
        address,
        "another saga process is using it; stop that one first",
        |sql| {
            if let Some(seen) = seen(
                sql,
                "$2::bigint = 0 AND seen >= clock_timestamp() - $1 * interval '1 second'",
            )? {
                return Ok(Err(seen));
            }
            // Hosts that are asleep get nothing more.
            sql.execute(
                "UPDATE hosts SET incarnation = incarnation + 1, seen = 'epoch'",
                &[],
            )?;
            let row = sql.one(
                "INSERT INTO hosts AS old (id, incarnation, name, since, seen, epoch)
                 VALUES ($1, 1, 'a command', clock_timestamp(), clock_timestamp(),
                     (SELECT coalesce(max(epoch), 0) FROM hosts))
                 ON CONFLICT (id) DO UPDATE SET since = excluded.since, seen = excluded.seen, batch = 0
                 RETURNING id, incarnation",
                &[&ALONE],
            )?;
            Ok(Ok(member(&row)?))
        },
    )
}

/// Takes a row in a transaction that no other process enters meanwhile; `Err` of `take` is when the
/// one that is in the way was last seen. Waits for it if it gives no further sign of life.
fn enter<T>(
    sql: &Sql,
    address: &ServerAddress,
    in_the_way: &str,
    take: impl Fn(&Sql) -> SqlResult<Result<T, i64>>,
) -> Result<T, OpenError> {
    let began = Instant::now();
    let mut first_seen = None;
    loop {
        let taken = sql.run("BEGIN").and_then(|()| {
            sql.query("SELECT FROM store FOR UPDATE", &[])?;
            let taken = take(sql)?;
            sql.run(if taken.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
            Ok(taken)
        });
        let taken = taken.map_err(|error| {
            // If the connection is lost, the transaction is undone anyway.
            let _ = sql.run("ROLLBACK");
            tables::failed(address, &error)
        })?;
        match taken {
            Ok(taken) => return Ok(taken),
            Err(seen) => {
                if *first_seen.get_or_insert(seen) != seen && began.elapsed() > SIGN_OF_LIFE * 2 {
                    return Err(OpenError::Server {
                        store: address.to_string(),
                        reason: in_the_way.into(),
                    });
                }
            }
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// When the last of these hosts gave a sign of life, in microseconds. $1: the silence after which one is
/// gone, in seconds; $2: the row of a command that has the store alone.
fn seen(sql: &Sql, which: &str) -> SqlResult<Option<i64>> {
    let row = sql.one(
        &format!(
            "SELECT max((extract(epoch FROM seen) * 1000000)::bigint) FROM hosts WHERE {which}"
        ),
        &[&SILENCE.as_secs_f64(), &ALONE],
    )?;
    Ok(row.try_get(0)?)
}

fn member(row: &Row) -> SqlResult<Membership> {
    Ok(Membership {
        host: row.try_get(0)?,
        incarnation: row.try_get(1)?,
    })
}

/// Shows that this host is there; returns the number of its last commit, and the server's time in
/// milliseconds since the Unix epoch. None if its row is another's by now.
pub(super) fn show(sql: &Sql, me: Membership) -> SqlResult<Option<(i64, u64)>> {
    let row = sql.row(
        "UPDATE hosts SET seen = clock_timestamp() WHERE id = $1 AND incarnation = $2
         RETURNING batch, (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        &[&me.host, &me.incarnation],
    )?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.max(0) as u64)))
        .transpose()
}

/// The number of the last commit. None if the row is another's by now. Waits for a commit that is
/// still going on.
pub(super) fn last_commit(sql: &Sql, me: Membership) -> SqlResult<Option<i64>> {
    let row = sql.row(
        "SELECT batch FROM hosts WHERE id = $1 AND incarnation = $2 FOR UPDATE",
        &[&me.host, &me.incarnation],
    )?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Leaves, so that nobody waits for this host.
pub(super) fn leave(sql: &Sql, me: Membership) -> SqlResult<()> {
    sql.execute(
        "WITH gone AS (UPDATE hosts SET seen = 'epoch' WHERE id = $1 AND incarnation = $2 RETURNING id),
             read AS (UPDATE offsets SET owner = NULL WHERE owner IN (SELECT id FROM gone))
         DELETE FROM candidates WHERE host IN (SELECT id FROM gone)",
        &[&me.host, &me.incarnation],
    )
    .map(drop)
}
