//! The recorded decisions of one participant, in the order of their commits.
//!
//! The journal has no index by generation or key. A statement looks at a bounded number of rows, of
//! which only the first columns are read where they are not wanted.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::journal::{self, NotWhole};

use super::packing::Unpacking;
use super::sample::journal::at_time;
use crate::store::decisions::{DecisionPage, DecisionRange, JournalRow, JournalSpan};
use crate::store::sample::Recorded;

/// Rows of the journal that one statement looks at (invariant 9).
const LOOKED_AT: i64 = 20_000;

/// Bytes at which a page ends.
const PAGE: usize = 4 << 20;

/// Rows before the place of a time that are looked at too: entries may have overtaken others.
const OVERTAKEN: i64 = 1_000;

/// Passes the rows of participant ?3 that are wanted: of key ?4, since ?5, of generation ?6.
const IS_WANTED: &str = "generation IN
    (SELECT id FROM generations WHERE participant = ?3 AND (?6 IS NULL OR digest = ?6))
    AND (?4 IS NULL OR key = ?4) AND (?5 IS NULL OR time >= ?5)";

/// The part of the journal that has all wanted decisions.
pub(super) fn span(
    sql: &Connection,
    wanted: &DecisionRange,
) -> rusqlite::Result<Option<JournalSpan>> {
    let bounds: Option<(i64, i64)> = sql.query_row(
        "SELECT (SELECT min(seq) FROM journal), (SELECT max(seq) FROM journal)",
        [],
        |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)),
    )?;
    let Some((mut first, up_to)) = bounds else {
        return Ok(None);
    };
    if let Some(since) = wanted.since {
        let about = at_time(sql, time(since), first, up_to)?;
        first = first.max(about - OVERTAKEN);
    }
    let first = match wanted.last {
        Some(last) => nth_from_the_end(sql, wanted, (first, up_to), last)?,
        None => any(sql, wanted, (first, up_to))?,
    };
    Ok(first.map(|first| JournalSpan {
        after: first - 1,
        up_to,
    }))
}

/// The first wanted decision of these.
fn any(
    sql: &Connection,
    wanted: &DecisionRange,
    (mut first, last): (i64, i64),
) -> rusqlite::Result<Option<i64>> {
    let mut statement = sql.prepare_cached(&format!(
        "SELECT seq FROM journal WHERE seq >= ?1 AND seq <= ?2 AND {IS_WANTED} ORDER BY seq LIMIT 1"
    ))?;
    while first <= last {
        let end = last.min(first.saturating_add(LOOKED_AT - 1));
        let found = statement
            .query_row(
                params![
                    first,
                    end,
                    wanted.participant,
                    wanted.key,
                    since(wanted),
                    wanted.generation
                ],
                |row| row.get(0),
            )
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
        first = end + 1;
    }
    Ok(None)
}

/// The wanted decision of these that has `most` wanted ones from it to the end; the first one if
/// there are fewer.
fn nth_from_the_end(
    sql: &Connection,
    wanted: &DecisionRange,
    (first, mut last): (i64, i64),
    most: u64,
) -> rusqlite::Result<Option<i64>> {
    let mut statement = sql.prepare_cached(&format!(
        "SELECT seq FROM journal WHERE seq >= ?1 AND seq <= ?2 AND {IS_WANTED} ORDER BY seq DESC"
    ))?;
    let (mut left, mut found) = (most, None);
    while first <= last && left > 0 {
        let begin = first.max(last.saturating_sub(LOOKED_AT - 1));
        let mut rows = statement.query(params![
            begin,
            last,
            wanted.participant,
            wanted.key,
            since(wanted),
            wanted.generation
        ])?;
        while left > 0
            && let Some(row) = rows.next()?
        {
            found = Some(row.get(0)?);
            left -= 1;
        }
        last = begin - 1;
    }
    Ok(found)
}

/// The first wanted decisions of a span.
pub(super) fn page(
    sql: &Connection,
    wanted: &DecisionRange,
    span: JournalSpan,
    most: usize,
) -> rusqlite::Result<DecisionPage> {
    let generations = generations(sql, wanted.participant)?;
    let end = (span.up_to).min(span.after.saturating_add(LOOKED_AT));
    let mut page = DecisionPage {
        rows: Vec::new(),
        read: end,
    };
    let mut unpacking = Unpacking::new(sql);
    let mut statement = sql.prepare_cached(&format!(
        "SELECT seq, generation, key, revision, fuel, time, state, decision FROM journal
         WHERE seq > ?1 AND seq <= ?2 AND {IS_WANTED} ORDER BY seq"
    ))?;
    let mut rows = statement.query(params![
        span.after,
        end,
        wanted.participant,
        wanted.key,
        since(wanted),
        wanted.generation
    ])?;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let Some((digest, state_version)) = generations.get(&row.get(1)?) else {
            continue;
        };
        let state: Option<String> = row.get(6)?;
        let packed = row.get_ref(7)?.as_blob().unwrap_or_default();
        let plain = unpacking.unpack(packed)?;
        bytes += state.as_ref().map_or(0, String::len) + plain.as_ref().map_or(0, Vec::len);
        let (key, time) = (row.get::<_, String>(2)?, row.get::<_, i64>(5)? as u64);
        let decoded = match plain {
            Some(plain) => journal::decode(&plain, (&key, time), state.as_deref()),
            None => Err(NotWhole::Unreadable(
                "a recorded decision can't be unpacked".to_owned(),
            )),
        };
        let seq = row.get(0)?;
        page.rows.push(JournalRow {
            seq,
            digest: digest.clone(),
            key,
            revision: row.get::<_, i64>(3)? as u64,
            fuel: row.get::<_, i64>(4)? as u64,
            time,
            recorded: decoded.map(|(message, outcome)| Recorded {
                digest: digest.clone(),
                state_version: *state_version,
                state,
                message,
                outcome,
            }),
        });
        if page.rows.len() >= most || bytes >= PAGE {
            page.read = seq;
            break;
        }
    }
    Ok(page)
}

/// Digests of the generations that made the wanted decisions of a span.
pub(super) fn generations_in(
    sql: &Connection,
    wanted: &DecisionRange,
    span: JournalSpan,
) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement = sql.prepare_cached(&format!(
        "SELECT DISTINCT digest FROM generations WHERE id IN
         (SELECT generation FROM journal WHERE seq > ?1 AND seq <= ?2 AND {IS_WANTED})"
    ))?;
    let mut digests = BTreeSet::new();
    let mut after = span.after;
    while after < span.up_to {
        let end = (span.up_to).min(after.saturating_add(LOOKED_AT));
        let terms = params![
            after,
            end,
            wanted.participant,
            wanted.key,
            since(wanted),
            wanted.generation
        ];
        for digest in statement.query_map(terms, |row| row.get(0))? {
            digests.insert(digest?);
        }
        after = end;
    }
    Ok(digests)
}

/// The generations of a participant: digest and version of the state shape, by row.
fn generations(
    sql: &Connection,
    participant: i64,
) -> rusqlite::Result<HashMap<i64, (String, u32)>> {
    sql.prepare_cached("SELECT id, digest, state_version FROM generations WHERE participant = ?1")?
        .query_map([participant], |row| {
            Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
        })?
        .collect()
}

fn since(wanted: &DecisionRange) -> Option<i64> {
    wanted.since.map(time)
}

fn time(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
