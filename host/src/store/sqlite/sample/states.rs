//! A sample of stored states: for each version the largest and the smallest, those that changed
//! most and least, and those with the oldest and the newest keys.
//!
//! Aggregates are in the order of their keys and have no index by size or age. The sample reads the
//! first ones, which are all if there are few, and ranges at places spread over the other keys.

use std::collections::{BTreeSet, VecDeque};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params};

use super::{Patience, SampleRoom};
use crate::store::sample::Keyed;
use crate::store::sample::choose::{Ranking, choose};
use crate::store::sqlite::read;

/// Aggregates read from the first key on.
const FIRST: usize = 10_000;

/// Places after that, and aggregates read at each.
const PLACES: usize = 15;
const STRETCH: usize = 500;

struct SeenState {
    key: String,
    revision: i64,
    version: u32,
    bytes: i64,
}

/// Stored states of a participant, at most `most`, except those of quarantined aggregates.
pub(in crate::store::sqlite) fn stored(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<Keyed>> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut look = StateLook {
        sql,
        participant,
        seen: Vec::new(),
        keys: BTreeSet::new(),
        patience: Patience::begin(),
    };
    let (looked_at, reached) = look.from(&[], FIRST)?;
    if looked_at == FIRST {
        for place in places(sql, participant, reached)? {
            look.from(place.as_bytes(), STRETCH)?;
        }
        look.last(STRETCH)?;
    }
    let rankings: [Ranking<SeenState>; 6] = [
        |one, other| other.bytes.cmp(&one.bytes),
        |one, other| age(&one.key).cmp(&age(&other.key)),
        |one, other| age(&other.key).cmp(&age(&one.key)),
        |one, other| one.bytes.cmp(&other.bytes),
        |one, other| other.revision.cmp(&one.revision),
        |one, other| one.revision.cmp(&other.revision),
    ];
    let chosen = choose(look.seen, most, |seen| seen.version, &rankings);
    let quarantined = "SELECT 1 FROM quarantine WHERE participant = ?1 AND key = ?2";
    let mut states = Vec::with_capacity(chosen.len());
    let mut room = SampleRoom::new();
    for seen in chosen {
        let is_quarantined =
            (sql.prepare_cached(quarantined)?).exists(params![participant, seen.key])?;
        if !is_quarantined && room.takes(seen.bytes as usize) {
            states.extend(with_state(aggregate(sql, participant, seen.key)?));
        }
    }
    Ok(states)
}

/// Quarantined aggregates, longest quarantined first, at most `most`.
pub(in crate::store::sqlite) fn quarantined(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<Keyed>> {
    let keys: Vec<String> = sql
        .prepare_cached(
            "SELECT key FROM quarantine WHERE participant = ?1 ORDER BY time, key LIMIT ?2",
        )?
        .query_map(params![participant, most as i64], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut room = SampleRoom::new();
    let mut states = Vec::with_capacity(keys.len());
    for key in keys {
        let found = with_state(aggregate(sql, participant, key)?);
        let bytes = |found: &Keyed| found.stored.state.as_ref().map_or(0, String::len);
        states.extend(found.filter(|found| room.takes(bytes(found))));
    }
    Ok(states)
}

/// The aggregate of a key; an empty one if it never existed.
pub(in crate::store::sqlite) fn aggregate(
    sql: &Connection,
    participant: i64,
    key: String,
) -> rusqlite::Result<Keyed> {
    let stored = read::aggregate(sql, participant, &key)?;
    Ok(Keyed { key, stored })
}

fn with_state(found: Keyed) -> Option<Keyed> {
    Some(found).filter(|found| found.stored.state.is_some())
}

/// Generated keys are numbers: this is the order of their generation.
fn age(key: &str) -> (usize, &str) {
    (key.len(), key)
}

struct StateLook<'c> {
    sql: &'c Connection,
    participant: i64,
    seen: Vec<SeenState>,
    keys: BTreeSet<String>,
    patience: Patience,
}

impl StateLook<'_> {
    /// Reads at most this many aggregates from a key on; returns their number, and the key of the
    /// last.
    fn from(&mut self, key: &[u8], most: usize) -> rusqlite::Result<(usize, String)> {
        self.at(">= ?2 ORDER BY key", key, most)
    }

    /// Reads the last ones.
    fn last(&mut self, most: usize) -> rusqlite::Result<(usize, String)> {
        self.at(">= ?2 ORDER BY key DESC", &[], most)
    }

    fn at(&mut self, which: &str, key: &[u8], most: usize) -> rusqlite::Result<(usize, String)> {
        let mut statement = self.sql.prepare_cached(&format!(
            "SELECT key, revision, state_version, octet_length(state) FROM aggregates
             WHERE participant = ?1 AND key {which} LIMIT ?3"
        ))?;
        let mut rows = statement.query(params![self.participant, Text(key), most as i64])?;
        let (mut looked_at, mut reached) = (0, String::new());
        while let Some(row) = rows.next()? {
            if self.patience.is_over() {
                break;
            }
            looked_at += 1;
            reached = row.get(0)?;
            // A removed aggregate has no state.
            if let Some(bytes) = row.get(3)?
                && self.keys.insert(reached.clone())
            {
                self.seen.push(SeenState {
                    key: reached.clone(),
                    revision: row.get(1)?,
                    version: row.get(2)?,
                    bytes,
                });
            }
        }
        Ok((looked_at, reached))
    }
}

/// Text that may end in the middle of a character.
struct Text<'t>(&'t [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// Keys spread between this one and the last: each range between two keys is halved repeatedly.
fn places(sql: &Connection, participant: i64, first: String) -> rusqlite::Result<Vec<String>> {
    let one = |query: &str, key: &[u8]| -> rusqlite::Result<Option<String>> {
        sql.prepare_cached(query)?
            .query_row(params![participant, Text(key)], |row| row.get(0))
    };
    let last = one(
        "SELECT max(key) FROM aggregates WHERE participant = ?1 AND key >= ?2",
        first.as_bytes(),
    )?;
    let mut gaps = VecDeque::from([(first, last.unwrap_or_default())]);
    let mut places = Vec::new();
    while let Some((from, to)) = gaps.pop_front()
        && places.len() < PLACES
    {
        let middle = between(&from, &to);
        let before = "SELECT max(key) FROM aggregates WHERE participant = ?1 AND key < ?2";
        let after = "SELECT min(key) FROM aggregates WHERE participant = ?1 AND key >= ?2";
        if let Some(before) = one(before, &middle)?
            && from < before
        {
            gaps.push_back((from, before));
        }
        if let Some(after) = one(after, &middle)?
            && after < to
        {
            places.push(after.clone());
            gaps.push_back((after, to));
        }
    }
    Ok(places)
}

/// A text halfway between two in their sort order; after the first one, unless they are equal.
fn between(one: &str, other: &str) -> Vec<u8> {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same = (one.iter().zip(other)).take_while(|(a, b)| a == b).count();
    // The next few bytes, as a number.
    let number = |text: &[u8]| {
        let mut following = text.iter().skip(same).copied();
        (0..6).fold(0_u64, |number, _| {
            number << 8 | u64::from(following.next().unwrap_or(0))
        })
    };
    let middle = (number(one) + number(other)).div_ceil(2);
    let mut text: Vec<u8> = one.iter().take(same).copied().collect();
    text.extend(middle.to_be_bytes().iter().skip(2));
    text
}

#[cfg(test)]
#[path = "states_tests.rs"]
mod tests;
