//! Activations, uses and refusals of generations.

use saga_core::message::Origin;

use crate::store::engine::Activation;
use crate::store::history::{ACTIVATIONS, REFUSED};
use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::session::Sql;

/// Activates a generation. Aggregates whose states it can read unmigrated leave the quarantine,
/// since none of its turns will migrate them. Those with parked messages leave it when the first of
/// these is decided.
pub(in crate::store::postgres) fn activate(sql: &Sql, activation: &Activation) -> SqlResult<()> {
    let Activation {
        participant,
        generation,
        replaces,
        way,
        now,
        change,
        renamed,
    } = activation;
    let activated = sql.execute(
        "INSERT INTO activations (participant, generation, time, way, change) SELECT $1, $2, $3, $4, $5
         WHERE $6::bigint IS NULL OR $6 = (
             SELECT generation FROM activations WHERE participant = $1 ORDER BY id DESC LIMIT 1)",
        &[participant, generation, &(*now as i64), way, change, replaces],
    )?;
    if activated == 0 {
        return Err(SqlError::Superseded(
            "another host has swapped the rules meanwhile",
        ));
    }
    keep_latest(sql, "activations", *participant, ACTIVATIONS)?;
    sql.execute(
        "DELETE FROM quarantine q USING aggregates a
         WHERE q.participant = $1 AND a.participant = $1 AND a.key = q.key
             AND a.state_version = (SELECT state_version FROM generations WHERE id = $2)
             AND NOT EXISTS (SELECT 1 FROM parked p WHERE p.participant = $1 AND p.key = q.key)",
        &[participant, generation],
    )?;
    // A route in use stays in use under another name.
    for (old, new) in renamed {
        carry_use(
            sql,
            (*participant, *generation),
            Origin::Command,
            (old, new),
        )?;
    }
    Ok(())
}

/// Makes the last use of one name count for another one too, for a generation that renames it.
fn carry_use(
    sql: &Sql,
    (participant, generation): (i64, i64),
    origin: Origin,
    (old, new): (&str, &str),
) -> SqlResult<()> {
    sql.execute(
        "INSERT INTO tallies AS known (generation, origin, name, host, decisions, refusals, faults, last)
         SELECT $2, $3, $5, 0, 0, 0, 0, last FROM (
             SELECT max(t.last) AS last FROM tallies t JOIN generations g ON g.id = t.generation
             WHERE g.participant = $1 AND t.origin = $3 AND t.name = $4) used
         WHERE last IS NOT NULL
         ON CONFLICT (generation, origin, name, host) DO UPDATE SET last = greatest(known.last, excluded.last)",
        &[&participant, &generation, &origin.word(), &old, &new],
    )
    .map(drop)
}

/// Notes a refused component.
pub(in crate::store::postgres) fn add_refused(
    sql: &Sql,
    participant: i64,
    way: &str,
    refused: &str,
    now: u64,
) -> SqlResult<()> {
    sql.execute(
        "INSERT INTO refused_components (participant, time, way, refused) VALUES ($1, $2, $3, $4)",
        &[&participant, &(now as i64), &way, &refused],
    )?;
    keep_latest(sql, "refused_components", participant, REFUSED)
}

/// Deletes the rows of a participant in a table but for the latest `most`.
pub(super) fn keep_latest(sql: &Sql, table: &str, participant: i64, most: i64) -> SqlResult<()> {
    sql.execute(
        &format!(
            "DELETE FROM {table} WHERE participant = $1 AND id <= (
                 SELECT id FROM {table} WHERE participant = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)"
        ),
        &[&participant, &most],
    )
    .map(drop)
}
