//! The recorded decisions of one participant, in the order of their commits.
//!
//! The journal has no index by generation or key. A statement looks at a bounded number of rows, of
//! which only the first columns are read where they are not wanted.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::packing::Unpacking;
use super::sample::journal::{bounds, time_from};
use crate::store::decisions::{
    DecisionPage, DecisionRange, JournalSpan, LOOKED_AT, OVERTAKEN, PAGE_BYTES, StoredDecision,
    at_time, stretches,
};

/// Passes the rows of participant ?3 that are wanted: of key ?4, since ?5, of generation ?6.
const IS_WANTED: &str = "generation IN
    (SELECT id FROM generations WHERE participant = ?3 AND (?6 IS NULL OR digest = ?6))
    AND (?4 IS NULL OR key = ?4) AND (?5 IS NULL OR time >= ?5)";

/// The part of the journal that has all wanted decisions.
pub(super) fn span(
    sql: &Connection,
    wanted: &DecisionRange,
) -> rusqlite::Result<Option<JournalSpan>> {
    let Some((mut first, up_to)) = bounds(sql)? else {
        return Ok(None);
    };
    if let Some(since) = wanted.since {
        let about = at_time(time(since), (first, up_to), |seq| time_from(sql, seq))?;
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
    (first, last): (i64, i64),
) -> rusqlite::Result<Option<i64>> {
    let mut statement = sql.prepare_cached(&format!(
        "SELECT seq FROM journal WHERE seq >= ?1 AND seq <= ?2 AND {IS_WANTED} ORDER BY seq LIMIT 1"
    ))?;
    for (first, end) in stretches(first, last, LOOKED_AT) {
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
    }
    Ok(None)
}

/// The wanted decision of these that has `most` wanted ones from it to the end; the first one if
/// there are fewer.
fn nth_from_the_end(
    sql: &Connection,
    wanted: &DecisionRange,
    (first, last): (i64, i64),
    most: u64,
) -> rusqlite::Result<Option<i64>> {
    let mut statement = sql.prepare_cached(&format!(
        "SELECT seq FROM journal WHERE seq >= ?1 AND seq <= ?2 AND {IS_WANTED} ORDER BY seq DESC"
    ))?;
    let (mut left, mut found) = (most, None);
    for (begin, last) in stretches(first, last, LOOKED_AT).rev() {
        if left == 0 {
            break;
        }
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
        let Some(generation) = generations.get(&row.get(1)?) else {
            continue;
        };
        let stored = StoredDecision {
            seq: row.get(0)?,
            key: row.get(2)?,
            revision: row.get::<_, i64>(3)? as u64,
            fuel: row.get::<_, i64>(4)? as u64,
            time: row.get::<_, i64>(5)? as u64,
            state: row.get(6)?,
            decision: unpacking
                .unpack(row.get_ref(7)?.as_blob().unwrap_or_default())?
                .ok_or_else(|| "a recorded decision can't be unpacked".to_owned()),
        };
        bytes += stored.bytes();
        let seq = stored.seq;
        page.rows.push(stored.by(generation));
        if page.rows.len() >= most || bytes >= PAGE_BYTES {
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
         (SELECT generation FROM journal WHERE seq >= ?1 AND seq <= ?2 AND {IS_WANTED})"
    ))?;
    let mut digests = BTreeSet::new();
    for (first, end) in stretches(span.after.saturating_add(1), span.up_to, LOOKED_AT) {
        let terms = params![
            first,
            end,
            wanted.participant,
            wanted.key,
            since(wanted),
            wanted.generation
        ];
        for digest in statement.query_map(terms, |row| row.get(0))? {
            digests.insert(digest?);
        }
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
