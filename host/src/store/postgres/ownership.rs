//! The host that owns a store, as its row in `hosts`: every commit names its incarnation, so a host
//! that was paused while another one took the store over can commit nothing any more.

use std::time::{Duration, Instant};

use super::address::ServerAddress;
use super::error::SqlResult;
use super::session::Sql;
use super::tables;
use crate::store::open_error::OpenError;

/// Time without a sign of life after which a store may be taken over. By the server's clock.
const SILENCE: Duration = Duration::from_secs(5);

/// Interval at which a host shows that it is there.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Delay between two looks at a host that may be gone.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// The row of the host that runs on a store, one at a time.
pub(super) const ONLY: i64 = 1;

/// A host's row, as long as no other process has taken it over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membership {
    /// Its row.
    pub(super) host: i64,
    /// Tells this process from others that had the row before.
    pub(super) incarnation: i64,
}

/// Takes a host's row for this process. Waits for a host that has ended without giving it up.
///
/// # Errors
/// Another host is there, or the server's error.
pub(super) fn take(sql: &Sql, address: &ServerAddress, host: i64) -> Result<Membership, OpenError> {
    let refused = |reason: String| OpenError::Server {
        store: address.to_string(),
        reason,
    };
    let failed = |error| tables::failed(address, &error);
    let began = Instant::now();
    let mut first_seen = None;
    loop {
        match try_take(sql, host).map_err(failed)? {
            Taking::Taken(incarnation) => return Ok(Membership { host, incarnation }),
            Taking::Seen(seen) => {
                if *first_seen.get_or_insert(seen) != seen && began.elapsed() > SIGN_OF_LIFE * 2 {
                    return Err(refused(
                        "another saga process is using it; stop that one first, or give this one another schema (store.schema)".into(),
                    ));
                }
            }
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

enum Taking {
    Taken(i64),
    /// Another host was there at this time, in microseconds.
    Seen(i64),
}

fn try_take(sql: &Sql, host: i64) -> SqlResult<Taking> {
    sql.execute(
        "INSERT INTO hosts (id, incarnation, seen) VALUES ($1, 0, 'epoch') ON CONFLICT DO NOTHING",
        &[&host],
    )?;
    let taken = sql.row(
        "UPDATE hosts SET incarnation = incarnation + 1, seen = clock_timestamp(), batch = 0
         WHERE id = $1 AND seen < clock_timestamp() - $2 * interval '1 second' RETURNING incarnation",
        &[&host, &SILENCE.as_secs_f64()],
    )?;
    if let Some(row) = taken {
        return Ok(Taking::Taken(row.try_get(0)?));
    }
    let row = sql.one(
        "SELECT (extract(epoch FROM seen) * 1000000)::bigint FROM hosts WHERE id = $1",
        &[&host],
    )?;
    Ok(Taking::Seen(row.try_get(0)?))
}

/// Shows that the owner is there; returns the server's time, in milliseconds since the Unix epoch.
/// None if another host has taken the store over.
pub(super) fn show(sql: &Sql, me: Membership) -> SqlResult<Option<u64>> {
    let row = sql.row(
        "UPDATE hosts SET seen = clock_timestamp() WHERE id = $1 AND incarnation = $2
         RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        &[&me.host, &me.incarnation],
    )?;
    row.map(|row| Ok(row.try_get::<_, i64>(0)?.max(0) as u64))
        .transpose()
}

/// The number of the last commit. None if another host has taken the store over. Waits for a commit
/// that is still going on.
pub(super) fn last_commit(sql: &Sql, me: Membership) -> SqlResult<Option<i64>> {
    let row = sql.row(
        "SELECT batch FROM hosts WHERE id = $1 AND incarnation = $2 FOR UPDATE",
        &[&me.host, &me.incarnation],
    )?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Gives the store up, so that the next host need not wait.
pub(super) fn give_up(sql: &Sql, me: Membership) -> SqlResult<()> {
    sql.execute(
        "UPDATE hosts SET seen = 'epoch' WHERE id = $1 AND incarnation = $2",
        &[&me.host, &me.incarnation],
    )
    .map(drop)
}
