//! The oldest rows of a table whose rows are numbered in the order of their writing.
//!
//! Their times rise with their numbers, except for rows that were written while the clock was
//! ahead: these are skipped, so that later rows are deleted in time, and are deleted themselves
//! once they are old.

use rusqlite::{Connection, OptionalExtension as _, ToSql};

/// Rows that one step reads or deletes in each table. A step keeps the writer from committing for
/// some milliseconds.
pub(super) const STEP: i64 = 2_000;

/// Steps after which skipped rows are read again: about an hour, if there is nothing else to
/// delete.
const ROUND: u32 = 7_200;

/// A table or a part of it, in SQL.
pub(super) struct Numbered<'t> {
    /// The table.
    pub(super) table: &'t str,
    /// The number column.
    pub(super) number: &'t str,
    /// A condition that selects the rows, over the parameters from ?3 on.
    pub(super) part: &'t str,
    /// Those parameters.
    pub(super) of: &'t [&'t dyn ToSql],
}

/// The progress of the sweep of a table.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sweep {
    /// The rows below this number were skipped or deleted.
    from: i64,
    steps: u32,
}

/// The result of one step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Oldest {
    /// The row of this number is old, and later ones may be.
    From(i64),
    /// None is old so far, but there are more rows to read.
    Later,
    /// None is old.
    Nothing,
}

impl Sweep {
    /// Finds the first row that is older than `before`. Rows later than `now` were written while
    /// the clock was ahead.
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
