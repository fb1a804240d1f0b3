//! Rows of aggregates for a sample of stored states, by their primary key.

use std::ops::Bound;

use tokio_postgres::Row;

use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::read::row::{get, limit, small};
use crate::store::postgres::read::{aggregates, history};
use crate::store::postgres::session::Sql;
use crate::store::sample::Keyed;
use crate::store::sample::states::{self as sample, SizedState, StateRows};

/// A sample of the stored states of a participant, at most `most`, except those of quarantined
/// aggregates.
pub(in crate::store::postgres::read) fn stored(
    sql: &Sql,
    participant: i64,
    most: usize,
) -> SqlResult<Vec<Keyed>> {
    sample::stored(&mut Aggregates { sql, participant }, most)
}

/// Quarantined aggregates, longest quarantined first, at most `most`.
pub(in crate::store::postgres::read) fn quarantined(
    sql: &Sql,
    participant: i64,
    most: usize,
) -> SqlResult<Vec<Keyed>> {
    let keys = history::longest_quarantined(sql, participant, most)?;
    sample::of_keys(&mut Aggregates { sql, participant }, keys)
}

/// The aggregate of a key; an empty one if it never existed.
pub(super) fn aggregate(sql: &Sql, participant: i64, key: String) -> SqlResult<Keyed> {
    let stored = aggregates::aggregate(sql, participant, &key)?;
    Ok(Keyed { key, stored })
}

struct Aggregates<'s> {
    sql: &'s Sql,
    participant: i64,
}

impl Aggregates<'_> {
    fn sized(&self, which: &str, key: &str, most: usize) -> SqlResult<Vec<SizedState>> {
        let rows = self.sql.query(
            &format!(
                "SELECT key, revision, state_version, octet_length(state)::bigint FROM aggregates
                 WHERE participant = $1 AND key {which} LIMIT $3"
            ),
            &[&self.participant, &key, &limit(most)],
        )?;
        let sized = |row: &Row| {
            Ok(SizedState {
                key: get(row, 0)?,
                revision: get(row, 1)?,
                version: small(row, 2)?,
                bytes: get(row, 3)?,
            })
        };
        rows.iter().map(sized).collect()
    }
}

impl StateRows for Aggregates<'_> {
    type Error = SqlError;

    fn from(&mut self, key: Bound<&str>, most: usize) -> SqlResult<Vec<SizedState>> {
        match key {
            Bound::Included(key) => self.sized(">= $2 ORDER BY key", key, most),
            Bound::Excluded(key) => self.sized("> $2 ORDER BY key", key, most),
            Bound::Unbounded => self.sized(">= $2 ORDER BY key", "", most),
        }
    }

    fn last(&mut self, most: usize) -> SqlResult<Vec<SizedState>> {
        self.sized(">= $2 ORDER BY key DESC", "", most)
    }

    fn before(&mut self, key: &str) -> SqlResult<Option<String>> {
        let found = self.sql.row(
            "SELECT key FROM aggregates WHERE participant = $1 AND key < $2 ORDER BY key DESC LIMIT 1",
            &[&self.participant, &key],
        )?;
        found.map(|row| get(&row, 0)).transpose()
    }

    fn is_quarantined(&mut self, key: &str) -> SqlResult<bool> {
        aggregates::is_quarantined(self.sql, self.participant, key)
    }

    fn aggregate(&mut self, key: String) -> SqlResult<Keyed> {
        aggregate(self.sql, self.participant, key)
    }
}
