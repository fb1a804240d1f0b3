//! A sample of recorded decisions: some of each kind of message, on existing and on missing
//! aggregates.
//!
//! The journal is in the order of its commits and has no index by name. Its end and places spread
//! over it are read; messages that were not found there but are known from the tallies are searched
//! around the time of their last decision.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::journal;

use super::{Patience, SampleRoom};
use crate::store::sample::Recorded;
use crate::store::sample::choose::{Ranking, choose};
use crate::store::sqlite::packing::Unpacking;

/// Decisions read at the end of the journal.
const LATEST: i64 = 10_000;

/// Places before that, and decisions read at each.
const PLACES: i64 = 15;
const STRETCH: i64 = 500;

/// Most names searched by the time of their last decision.
const SOUGHT: usize = 32;

/// A decision that was read.
struct SeenDecision {
    seq: i64,
    origin: &'static str,
    name: String,
    is_on_nothing: bool,
    bytes: usize,
}

/// Recorded decisions of a participant, latest first, at most `most`. If there are more: for each
/// kind of message, on existing and on missing aggregates, the latest, oldest and largest, and some
/// between them.
pub(in crate::store::sqlite) fn recorded(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<Recorded>> {
    let bounds: Option<(i64, i64)> = sql.query_row(
        "SELECT (SELECT min(seq) FROM journal), (SELECT max(seq) FROM journal)",
        [],
        |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)),
    )?;
    let Some((first, last)) = bounds.filter(|_| most > 0) else {
        return Ok(Vec::new());
    };
    let mut look = JournalLook {
        sql,
        unpacking: Unpacking::new(sql),
        generations: generations(sql, participant)?,
        seen: Vec::new(),
        looked_at: BTreeSet::new(),
        patience: Patience::begin(),
    };
    let latest = (last - LATEST + 1).max(first);
    look.at(latest, last)?;
    for place in (0..PLACES).rev() {
        let from = first + (latest - first) / PLACES * place;
        look.at(from, (from + STRETCH).min(latest) - 1)?;
    }
    look.for_what_is_missing(participant, first, last)?;
    let mut seen = look.seen;
    seen.sort_by_key(|seen| std::cmp::Reverse(seen.seq));
    let rankings: [Ranking<SeenDecision>; 3] = [
        |one, other| other.seq.cmp(&one.seq),
        |one, other| one.seq.cmp(&other.seq),
        |one, other| other.bytes.cmp(&one.bytes),
    ];
    let kind = |seen: &SeenDecision| (seen.origin, seen.name.clone(), seen.is_on_nothing);
    let chosen = choose(seen, most, kind, &rankings);
    read(sql, look.unpacking, &chosen)
}

/// Rows of the generations of a participant.
fn generations(sql: &Connection, participant: i64) -> rusqlite::Result<BTreeSet<i64>> {
    sql.prepare_cached("SELECT id FROM generations WHERE participant = ?1")?
        .query_map([participant], |row| row.get(0))?
        .collect()
}

struct JournalLook<'c> {
    sql: &'c Connection,
    unpacking: Unpacking<'c>,
    generations: BTreeSet<i64>,
    seen: Vec<SeenDecision>,
    looked_at: BTreeSet<i64>,
    patience: Patience,
}

impl JournalLook<'_> {
    /// Reads a range of the journal, latest first.
    fn at(&mut self, from: i64, to: i64) -> rusqlite::Result<()> {
        let mut statement = self.sql.prepare_cached(
            "SELECT seq, generation, octet_length(state), decision FROM journal
             WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq DESC",
        )?;
        let mut rows = statement.query([from, to])?;
        while let Some(row) = rows.next()? {
            if self.patience.is_over() {
                break;
            }
            let seq = row.get(0)?;
            if !self.generations.contains(&row.get(1)?) || !self.looked_at.insert(seq) {
                continue;
            }
            let state: Option<i64> = row.get(2)?;
            // Unreadable decisions are skipped.
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
            self.seen.push(SeenDecision {
                seq,
                origin: origin.word(),
                name: name.to_owned(),
                is_on_nothing: state.is_none(),
                bytes: state.unwrap_or(0) as usize + plain.len(),
            });
        }
        Ok(())
    }

    /// Searches the messages that were decided at some time and not found yet.
    fn for_what_is_missing(
        &mut self,
        participant: i64,
        first: i64,
        last: i64,
    ) -> rusqlite::Result<()> {
        let met: BTreeSet<_> = (self.seen.iter())
            .map(|seen| (seen.origin.to_owned(), seen.name.clone()))
            .collect();
        let sql = self.sql;
        let missing: Vec<(String, String, i64)> = sql
            .prepare_cached(
                "SELECT t.origin, t.name, max(t.last) FROM tallies t JOIN generations g ON g.id = t.generation
                 WHERE g.participant = ?1 AND t.decisions > 0 GROUP BY t.origin, t.name",
            )?
            .query_map([participant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let missing = (missing.into_iter())
            .filter(|(origin, name, _)| !met.contains(&(origin.clone(), name.clone())));
        for (_, _, time) in missing.take(SOUGHT) {
            let about = at_time(sql, time, first, last)?;
            self.at(about - STRETCH, about + STRETCH)?;
        }
        Ok(())
    }
}

/// The approximate position in the journal at this time. Its times rise, except for entries that
/// overtook others and clocks that were set.
pub(in crate::store::sqlite) fn at_time(
    sql: &Connection,
    time: i64,
    mut first: i64,
    mut last: i64,
) -> rusqlite::Result<i64> {
    let mut statement =
        sql.prepare_cached("SELECT time FROM journal WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
    while first < last {
        let middle = first + (last - first) / 2;
        let found: Option<i64> = statement.query_row([middle], |row| row.get(0)).optional()?;
        if found.is_some_and(|found| found < time) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    Ok(first)
}

fn read(
    sql: &Connection,
    mut unpacking: Unpacking<'_>,
    chosen: &[SeenDecision],
) -> rusqlite::Result<Vec<Recorded>> {
    let mut room = SampleRoom::new();
    let mut statement = sql.prepare_cached(
        "SELECT g.digest, g.state_version, j.state, j.key, j.time, j.decision
         FROM journal j JOIN generations g ON g.id = j.generation WHERE j.seq = ?1",
    )?;
    let mut recorded = Vec::with_capacity(chosen.len());
    for seen in chosen {
        let mut rows = statement.query(params![seen.seq])?;
        // It may have been deleted meanwhile.
        let Some(row) = rows.next()? else {
            continue;
        };
        let state: Option<String> = row.get(2)?;
        let (key, time): (String, i64) = (row.get(3)?, row.get(4)?);
        let Some(plain) = unpacking.unpack(row.get_ref(5)?.as_blob().unwrap_or_default())? else {
            continue;
        };
        let decided = journal::decode(&plain, (&key, time as u64), state.as_deref());
        let Ok((message, outcome)) = decided else {
            continue;
        };
        if room.takes(state.as_ref().map_or(0, String::len) + plain.len()) {
            recorded.push(Recorded {
                digest: row.get(0)?,
                state_version: row.get(1)?,
                state,
                message,
                outcome,
            });
        }
    }
    Ok(recorded)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
