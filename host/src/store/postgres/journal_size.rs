//! The sizes of the journal's rows.

use super::error::SqlResult;
use super::session::Sql;
use crate::store::writing::journal_size::JournalSizes;

/// The bytes of a row of the journal, in SQL: 24 stand for its numbers.
pub(super) const BYTES: &str =
    "(octet_length(key) + coalesce(octet_length(state), 0) + octet_length(decision) + 24)::bigint";

impl JournalSizes for Sql {
    type Error = super::error::SqlError;

    fn sizes(&self, behind: i64, most: i64) -> SqlResult<(i64, i64, Option<i64>)> {
        let row = self.one(
            &format!(
                "SELECT count(*), coalesce(sum(bytes), 0)::bigint, max(seq) FROM
                 (SELECT seq, {BYTES} AS bytes FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2) rows"
            ),
            &[&behind, &most],
        )?;
        Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    }

    fn oldest(&self, to: i64, most: i64) -> SqlResult<Vec<(i64, i64)>> {
        let rows = self.query(
            &format!("SELECT seq, {BYTES} FROM journal WHERE seq <= $1 ORDER BY seq LIMIT $2"),
            &[&to, &most],
        )?;
        (rows.iter())
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    fn delete(&self, to: i64) -> SqlResult<()> {
        self.execute("DELETE FROM journal WHERE seq <= $1", &[&to])
            .map(drop)
    }
}
