//! Rows of aggregates for a sample of stored states.

use std::ops::Bound;

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::sample::Keyed;
use crate::store::sample::states::{self as sample, SizedState, StateRows};
use crate::store::sqlite::read;

/// A sample of the stored states of a participant, at most `most`, except those of quarantined
/// aggregates.
pub(in crate::store::sqlite) fn stored(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<Keyed>> {
    sample::stored(&mut Aggregates { sql, participant }, most)
}

/// Quarantined aggregates, longest quarantined first, at most `most`.
pub(in crate::store::sqlite) fn quarantined(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<Keyed>> {
    let keys = sql
        .prepare_cached(
            "SELECT key FROM quarantine WHERE participant = ?1 ORDER BY time, key LIMIT ?2",
        )?
        .query_map(params![participant, most as i64], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    sample::of_keys(&mut Aggregates { sql, participant }, keys)
}

/// The aggregate of a key; an empty one if it never existed.
pub(super) fn aggregate(
    sql: &Connection,
    participant: i64,
    key: String,
) -> rusqlite::Result<Keyed> {
    let stored = read::aggregate(sql, participant, &key)?;
    Ok(Keyed { key, stored })
}

struct Aggregates<'c> {
    sql: &'c Connection,
    participant: i64,
}

impl Aggregates<'_> {
    fn sized(&self, which: &str, key: &str, most: usize) -> rusqlite::Result<Vec<SizedState>> {
        self.sql
            .prepare_cached(&format!(
                "SELECT key, revision, state_version, octet_length(state) FROM aggregates
                 WHERE participant = ?1 AND key {which} LIMIT ?3"
            ))?
            .query_map(params![self.participant, key, most as i64], |row| {
                Ok(SizedState {
                    key: row.get(0)?,
                    revision: row.get(1)?,
                    version: row.get(2)?,
                    bytes: row.get(3)?,
                })
            })?
            .collect()
    }
}

impl StateRows for Aggregates<'_> {
    type Error = rusqlite::Error;

    fn from(&mut self, key: Bound<&str>, most: usize) -> rusqlite::Result<Vec<SizedState>> {
        match key {
            Bound::Included(key) => self.sized(">= ?2 ORDER BY key", key, most),
            Bound::Excluded(key) => self.sized("> ?2 ORDER BY key", key, most),
            Bound::Unbounded => self.sized(">= ?2 ORDER BY key", "", most),
        }
    }

    fn last(&mut self, most: usize) -> rusqlite::Result<Vec<SizedState>> {
        self.sized(">= ?2 ORDER BY key DESC", "", most)
    }

    fn before(&mut self, key: &str) -> rusqlite::Result<Option<String>> {
        self.sql
            .prepare_cached(
                "SELECT key FROM aggregates WHERE participant = ?1 AND key < ?2 ORDER BY key DESC LIMIT 1",
            )?
            .query_row(params![self.participant, key], |row| row.get(0))
            .optional()
    }

    fn is_quarantined(&mut self, key: &str) -> rusqlite::Result<bool> {
        self.sql
            .prepare_cached("SELECT 1 FROM quarantine WHERE participant = ?1 AND key = ?2")?
            .exists(params![self.participant, key])
    }

    fn aggregate(&mut self, key: String) -> rusqlite::Result<Keyed> {
        aggregate(self.sql, self.participant, key)
    }
}

#[cfg(test)]
#[path = "states_tests.rs"]
mod tests;
