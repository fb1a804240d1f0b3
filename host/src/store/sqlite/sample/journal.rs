//! Rows of the journal for a sample of recorded decisions.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::journal;

use crate::store::sample::Recorded;
use crate::store::sample::journal::{self as sample, JournalRows, SeenDecision};
use crate::store::sqlite::packing::Unpacking;

/// A sample of the recorded decisions of a participant, latest first, at most `most`.
pub(in crate::store::sqlite) fn recorded(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<Recorded>> {
    let mut rows = Journal {
        sql,
        participant,
        unpacking: Unpacking::new(sql),
        generations: generations(sql, participant)?,
    };
    sample::recorded(&mut rows, most)
}

/// Numbers of the first and the last decision.
pub(in crate::store::sqlite) fn bounds(sql: &Connection) -> rusqlite::Result<Option<(i64, i64)>> {
    sql.query_row(
        "SELECT (SELECT min(seq) FROM journal), (SELECT max(seq) FROM journal)",
        [],
        |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)),
    )
}

/// Time of the first decision from this number on.
pub(in crate::store::sqlite) fn time_from(
    sql: &Connection,
    seq: i64,
) -> rusqlite::Result<Option<i64>> {
    sql.prepare_cached("SELECT time FROM journal WHERE seq >= ?1 ORDER BY seq LIMIT 1")?
        .query_row([seq], |row| row.get(0))
        .optional()
}

/// Rows of the generations of a participant.
fn generations(sql: &Connection, participant: i64) -> rusqlite::Result<BTreeSet<i64>> {
    sql.prepare_cached("SELECT id FROM generations WHERE participant = ?1")?
        .query_map([participant], |row| row.get(0))?
        .collect()
}

struct Journal<'c> {
    sql: &'c Connection,
    participant: i64,
    unpacking: Unpacking<'c>,
    generations: BTreeSet<i64>,
}

impl JournalRows for Journal<'_> {
    type Error = rusqlite::Error;

    fn bounds(&mut self) -> rusqlite::Result<Option<(i64, i64)>> {
        bounds(self.sql)
    }

    fn seen(&mut self, from: i64, to: i64) -> rusqlite::Result<Vec<SeenDecision>> {
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, generation, octet_length(state), decision FROM journal
             WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq DESC",
        )?;
        let mut rows = statement.query([from, to])?;
        let mut decisions = Vec::new();
        while let Some(row) = rows.next()? {
            if !self.generations.contains(&row.get(1)?) {
                continue;
            }
            let state: Option<i64> = row.get(2)?;
            let packed = row.get_ref(3)?.as_blob().unwrap_or_default();
            let Some(plain) = self.unpacking.unpack(packed)? else {
                continue;
            };
            let Ok((origin, name)) = journal::subject(&plain) else {
                continue;
            };
            // Nor can those without a payload be tried.
            if journal::has_payload(&plain) != Ok(true) {
                continue;
            }
            decisions.push(SeenDecision {
                seq: row.get(0)?,
                origin: origin.word(),
                name: name.to_owned(),
                is_on_nothing: state.is_none(),
                bytes: state.unwrap_or(0) as usize + plain.len(),
            });
        }
        Ok(decisions)
    }

    fn decided(&mut self) -> rusqlite::Result<Vec<(String, String, i64)>> {
        self.sql
            .prepare_cached(
                "SELECT t.origin, t.name, max(t.last) FROM tallies t JOIN generations g ON g.id = t.generation
                 WHERE g.participant = ?1 AND t.decisions > 0 GROUP BY t.origin, t.name",
            )?
            .query_map([self.participant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    }

    fn time_from(&mut self, seq: i64) -> rusqlite::Result<Option<i64>> {
        time_from(self.sql, seq)
    }

    fn read(&mut self, seq: i64) -> rusqlite::Result<Option<(Recorded, usize)>> {
        let mut statement = self.sql.prepare_cached(
            "SELECT g.digest, g.state_version, j.state, j.key, j.time, j.decision
             FROM journal j JOIN generations g ON g.id = j.generation WHERE j.seq = ?1",
        )?;
        let mut rows = statement.query(params![seq])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let state: Option<String> = row.get(2)?;
        let (key, time): (String, i64) = (row.get(3)?, row.get(4)?);
        let packed = row.get_ref(5)?.as_blob().unwrap_or_default();
        let Some(plain) = self.unpacking.unpack(packed)? else {
            return Ok(None);
        };
        let decided = journal::decode(&plain, (&key, time as u64), state.as_deref());
        let Ok((message, outcome)) = decided else {
            return Ok(None);
        };
        let bytes = state.as_ref().map_or(0, String::len) + plain.len();
        let recorded = Recorded {
            digest: row.get(0)?,
            state_version: row.get(1)?,
            state,
            message,
            outcome,
        };
        Ok(Some((recorded, bytes)))
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
