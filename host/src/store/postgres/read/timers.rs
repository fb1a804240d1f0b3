//! Timers. The primary key is (participant, key, name); `timers_by_due` has those that are not
//! parked, `parked_timers` the others.

use saga_core::commit::FiredTimer;
use tokio_postgres::Row;

use super::row::{count, get, has_none, limit, number, unsigned};
use crate::store::parked::ParkedTimerRow;
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;
use crate::store::read::StoredTimer;
use crate::store::waiting::SetTimer;

/// The columns of [`timer_of`].
macro_rules! select_timers {
    ($rest:literal) => {
        concat!(
            "SELECT key, name, due, body, set_by, correlation, traceparent FROM timers ",
            $rest
        )
    };
}

fn timer_of(row: &Row) -> SqlResult<StoredTimer> {
    Ok(StoredTimer {
        key: get(row, 0)?,
        name: get(row, 1)?,
        due: unsigned(row, 2)?,
        body: get(row, 3)?,
        set_by: get(row, 4)?,
        correlation: get(row, 5)?,
        traceparent: get(row, 6)?,
    })
}

/// True if a timer is set for that time.
pub(super) fn is_set(sql: &Sql, participant: i64, timer: &FiredTimer) -> SqlResult<bool> {
    let found = sql.row(
        "SELECT 1 FROM timers WHERE participant = $1 AND key = $2 AND name = $3 AND due = $4",
        &[&participant, &timer.key, &timer.name, &number(timer.due)],
    )?;
    Ok(found.is_some())
}

/// A timer that is set for that time.
pub(super) fn timer(
    sql: &Sql,
    participant: i64,
    timer: &FiredTimer,
) -> SqlResult<Option<StoredTimer>> {
    let found = sql.row(
        select_timers!("WHERE participant = $1 AND key = $2 AND name = $3 AND due = $4"),
        &[&participant, &timer.key, &timer.name, &number(timer.due)],
    )?;
    found.as_ref().map(timer_of).transpose()
}

/// The timer of this key and name.
pub(super) fn named(
    sql: &Sql,
    participant: i64,
    key: &str,
    name: &str,
) -> SqlResult<Option<StoredTimer>> {
    let found = sql.row(
        select_timers!("WHERE participant = $1 AND key = $2 AND name = $3"),
        &[&participant, &key, &name],
    )?;
    found.as_ref().map(timer_of).transpose()
}

/// The due timers that are not parked, longest due first, at most `most`; and the due time of the
/// next one after `now`. In the order of `timers_by_due`.
pub(super) fn due(
    sql: &Sql,
    participant: i64,
    now: u64,
    most: usize,
) -> SqlResult<(Vec<StoredTimer>, Option<u64>)> {
    let now = number(now);
    let due = sql.query(
        select_timers!(
            "WHERE participant = $1 AND due <= $2 AND parked IS NULL ORDER BY due, key, name LIMIT $3"
        ),
        &[&participant, &now, &limit(most)],
    )?;
    let next = sql.row(
        "SELECT due FROM timers WHERE participant = $1 AND due > $2 AND parked IS NULL ORDER BY due LIMIT 1",
        &[&participant, &now],
    )?;
    let due = due.iter().map(timer_of).collect::<SqlResult<_>>()?;
    Ok((due, next.map(|row| unsigned(&row, 0)).transpose()?))
}

/// The first timer that is not parked, ordered by due time, key and name, as in `timers_by_due`.
pub(super) fn first(sql: &Sql, participant: i64) -> SqlResult<Option<(u64, String, String)>> {
    let first = sql.row(
        "SELECT due, key, name FROM timers WHERE participant = $1 AND parked IS NULL
         ORDER BY due, key, name LIMIT 1",
        &[&participant],
    )?;
    first
        .map(|row| Ok((unsigned(&row, 0)?, get(&row, 1)?, get(&row, 2)?)))
        .transpose()
}

/// The timers after this key and name, in the order of the primary key.
pub(super) fn after(
    sql: &Sql,
    participant: i64,
    (key, name): (&str, &str),
    most: usize,
) -> SqlResult<Vec<SetTimer>> {
    let rows = sql.query(
        "SELECT key, name, due, set_by, correlation, parked, coalesce(detail, '') FROM timers
         WHERE participant = $1 AND (key, name) > ($2, $3) ORDER BY key, name LIMIT $4",
        &[&participant, &key, &name, &limit(most)],
    )?;
    let timer = |row: &Row| {
        let parked: Option<i64> = get(row, 5)?;
        let detail = get(row, 6)?;
        Ok(SetTimer {
            key: get(row, 0)?,
            name: get(row, 1)?,
            due: unsigned(row, 2)?,
            set_by: get(row, 3)?,
            correlation: get(row, 4)?,
            parked: parked.map(|since| (since.cast_unsigned(), detail)),
        })
    };
    rows.iter().map(timer).collect()
}

/// The number of timers of this name.
pub(super) fn set(sql: &Sql, participant: i64, name: &str) -> SqlResult<u64> {
    if has_none(&[name]) {
        return Ok(0);
    }
    let row = sql.one(
        "SELECT count(*) FROM timers WHERE participant = $1 AND name = $2",
        &[&participant, &name],
    )?;
    unsigned(&row, 0)
}

/// The number of parked timers, counted up to `most`, by `parked_timers`.
pub(super) fn parked_up_to(sql: &Sql, participant: i64, most: usize) -> SqlResult<u64> {
    let row = sql.one(
        "SELECT count(*) FROM (
             SELECT 1 FROM timers WHERE participant = $1 AND parked IS NOT NULL LIMIT $2) t",
        &[&participant, &limit(most)],
    )?;
    count(&row, 0).map(|count| count as u64)
}

/// The timers that have been parked longest, in the order of `parked_timers`.
pub(super) fn parked(sql: &Sql, participant: i64, most: usize) -> SqlResult<Vec<ParkedTimerRow>> {
    let rows = sql.query(
        "SELECT key, name, parked, coalesce(reason, ''), coalesce(detail, '') FROM timers
         WHERE participant = $1 AND parked IS NOT NULL ORDER BY parked, key, name LIMIT $2",
        &[&participant, &limit(most)],
    )?;
    let timer = |row: &Row| {
        Ok(ParkedTimerRow {
            key: get(row, 0)?,
            name: get(row, 1)?,
            since: unsigned(row, 2)?,
            reason: get(row, 3)?,
            detail: get(row, 4)?,
        })
    };
    rows.iter().map(timer).collect()
}
