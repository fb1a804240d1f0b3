//! The oldest rows of a table whose rows are numbered in the order in which they were written.
//!
//! Their times rise with their numbers, but for those that were written while the clock was ahead:
//! these are passed over, so that what lies behind them goes in its time, and go themselves when
//! theirs has come.

use rusqlite::{Connection, OptionalExtension as _, ToSql};

/// Rows that one step looks at, or deletes, in each table. A step keeps the writer from committing
/// for some milliseconds.
pub(super) const STEP: i64 = 2_000;

/// Steps after which the rows that were passed over are looked at again: about an hour, if there is
/// nothing else to delete.
const ROUND: u32 = 7_200;

/// A table, or a part of it, by the texts of SQL.
pub(super) struct Numbered<'t> {
    /// The table.
    pub(super) table: &'t str,
    /// The column with the numbers.
    pub(super) number: &'t str,
    /// Which rows, as a condition over the parameters from ?3 on.
    pub(super) part: &'t str,
    /// Those parameters.
    pub(super) of: &'t [&'t dyn ToSql],
}

/// How far a table was swept.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sweep {
    /// The rows below this number were passed over, or deleted.
    from: i64,
    steps: u32,
}

/// The find of one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Oldest {
    /// The row of this number is old, and those that follow it may be.
    From(i64),
    /// None is old so far, but there are rows to be looked at yet.
    Later,
    /// None is old.
    Nothing,
}

impl Sweep {
    /// Finds the first row that is older than `before`. Rows later than `now` are ahead of time.
    pub(super) fn oldest(
        &mut self,
        sql: &Connection,
        rows: &Numbered<'_>,
        before: i64,
        now: i64,
    ) -> rusqlite::Result<Oldest> {
        self.steps += 1;
        if self.steps >= ROUND {
            *self = Self::default();
        }
        let Numbered {
            table,
            number,
            part,
            of,
        } = rows;
        let first = format!(
            "SELECT {number}, time < ?2, time FROM {table} WHERE {number} >= ?1 AND {part} ORDER BY {number} LIMIT 1"
        );
        let first: Option<(i64, bool, i64)> = (sql.prepare_cached(&first)?)
            .query_row(&*with(&[&self.from, &before], of), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((first, is_old, time)) = first else {
            return Ok(Oldest::Nothing);
        };
        if is_old {
            return Ok(Oldest::From(first));
        }
        if time <= now {
            return Ok(Oldest::Nothing);
        }
        let end = first.saturating_add(STEP);
        let next = format!(
            "SELECT {number} FROM {table} WHERE {number} > ?1 AND {number} < {end} AND time <= ?2 AND {part} ORDER BY {number} LIMIT 1"
        );
        let next: Option<i64> = (sql.prepare(&next)?)
            .query_row(&*with(&[&first, &now], of), |row| row.get(0))
            .optional()?;
        self.from = next.unwrap_or(end);
        Ok(Oldest::Later)
    }
}

fn with<'p>(own: &[&'p dyn ToSql], of: &[&'p dyn ToSql]) -> Vec<&'p dyn ToSql> {
    own.iter().chain(of).copied().collect()
}
