//! The recorded decisions of one participant, in the order of their commits: the primary key of the
//! journal. `journal_by_key` has those of a key in this order. There is no index by generation: a
//! statement looks at a bounded number of rows.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::row::{get, limit, small, unsigned};
use crate::store::decisions::{
    DecisionPage, DecisionRange, JournalSpan, LOOKED_AT, OVERTAKEN, PAGE_BYTES, StoredDecision,
    at_time, stretches,
};
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;

/// Numbers of the first and the last decision.
pub(super) fn bounds(sql: &Sql) -> SqlResult<Option<(i64, i64)>> {
    let row = sql.one(
        "SELECT (SELECT seq FROM journal ORDER BY seq LIMIT 1), (SELECT seq FROM journal ORDER BY seq DESC LIMIT 1)",
        &[],
    )?;
    Ok(get::<Option<i64>>(&row, 0)?.zip(get(&row, 1)?))
}

/// Time of the first decision from this number on.
pub(super) fn time_from(sql: &Sql, seq: i64) -> SqlResult<Option<i64>> {
    let found = sql.row(
        "SELECT time FROM journal WHERE seq >= $1 ORDER BY seq LIMIT 1",
        &[&seq],
    )?;
    found.map(|row| get(&row, 0)).transpose()
}

/// The generations of a participant: digest and version of the state shape, by row.
pub(super) fn generations(sql: &Sql, participant: i64) -> SqlResult<HashMap<i64, (String, u32)>> {
    let rows = sql.query(
        "SELECT id, digest, state_version FROM generations WHERE participant = $1",
        &[&participant],
    )?;
    let generation = |row: &Row| Ok((get(row, 0)?, (get(row, 1)?, small(row, 2)?)));
    rows.iter().map(generation).collect()
}

/// The wanted decisions, as a condition on rows of the journal.
struct Selection<'w> {
    wanted: &'w DecisionRange,
    since: Option<i64>,
    generations: HashMap<i64, (String, u32)>,
    rows: Vec<i64>,
}

impl<'w> Selection<'w> {
    fn of(sql: &Sql, wanted: &'w DecisionRange) -> SqlResult<Self> {
        let mut generations = generations(sql, wanted.participant)?;
        if let Some(digest) = &wanted.generation {
            generations.retain(|_, (known, _)| known == digest);
        }
        Ok(Self {
            wanted,
            since: wanted.since.map(time),
            rows: generations.keys().copied().collect(),
            generations,
        })
    }

    /// Numbers that one statement looks at. Those of one key are found by their index.
    fn reach(&self) -> i64 {
        match self.wanted.key {
            Some(_) => i64::MAX,
            None => LOOKED_AT,
        }
    }

    /// Runs a statement on the wanted decisions of these numbers: `select`, `FROM` the journal,
    /// `order`, in which `$4` is the most rows.
    fn query(
        &self,
        sql: &Sql,
        (select, order): (&str, &str),
        (from, to): (i64, i64),
        most: i64,
    ) -> SqlResult<Vec<Row>> {
        let mut text = format!(
            "{select} FROM journal WHERE seq >= $1 AND seq <= $2 AND generation = ANY ($3)"
        );
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&from, &to, &self.rows, &most];
        if let Some(key) = &self.wanted.key {
            values.push(key);
            text.push_str(&format!(" AND key = ${}", values.len()));
        }
        if let Some(since) = &self.since {
            values.push(since);
            text.push_str(&format!(" AND time >= ${}", values.len()));
        }
        sql.query(&format!("{text} {order}"), &values)
    }
}

/// The part of the journal that has all wanted decisions.
pub(super) fn span(sql: &Sql, wanted: &DecisionRange) -> SqlResult<Option<JournalSpan>> {
    let Some((mut first, up_to)) = bounds(sql)? else {
        return Ok(None);
    };
    if let Some(since) = wanted.since {
        let about = at_time(time(since), (first, up_to), |seq| time_from(sql, seq))?;
        first = first.max(about - OVERTAKEN);
    }
    let selection = Selection::of(sql, wanted)?;
    let first = match wanted.last {
        Some(last) => nth_from_the_end(sql, &selection, (first, up_to), last)?,
        None => any(sql, &selection, (first, up_to))?,
    };
    Ok(first.map(|first| JournalSpan {
        after: first - 1,
        up_to,
    }))
}

/// The first wanted decision of these.
fn any(sql: &Sql, selection: &Selection<'_>, (first, last): (i64, i64)) -> SqlResult<Option<i64>> {
    for stretch in stretches(first, last, selection.reach()) {
        let found = selection.query(sql, ("SELECT seq", "ORDER BY seq LIMIT $4"), stretch, 1)?;
        if let Some(row) = found.first() {
            return get(row, 0);
        }
    }
    Ok(None)
}

/// The wanted decision of these that has `most` wanted ones from it to the end; the first one if
/// there are fewer.
fn nth_from_the_end(
    sql: &Sql,
    selection: &Selection<'_>,
    (first, last): (i64, i64),
    most: u64,
) -> SqlResult<Option<i64>> {
    let (mut last, mut left, mut found) = (last, most, None);
    while first <= last && left > 0 {
        let begin = first.max(last.saturating_sub(selection.reach() - 1));
        let step = LOOKED_AT.min(i64::try_from(left).unwrap_or(i64::MAX));
        let which = ("SELECT seq", "ORDER BY seq DESC LIMIT $4");
        let rows = selection.query(sql, which, (begin, last), step)?;
        left -= rows.len() as u64;
        last = begin - 1;
        if let Some(row) = rows.last() {
            let reached = get(row, 0)?;
            found = Some(reached);
            if limit(rows.len()) == step {
                last = reached - 1;
            }
        }
    }
    Ok(found)
}

/// The first wanted decisions of a span. Sizes are known without reading the values.
pub(super) fn page(
    sql: &Sql,
    wanted: &DecisionRange,
    span: JournalSpan,
    most: usize,
) -> SqlResult<DecisionPage> {
    let selection = Selection::of(sql, wanted)?;
    let end = (span.up_to).min(span.after.saturating_add(selection.reach()));
    let select = "SELECT seq, generation, key, revision, fuel, time, state, decision FROM (
         SELECT *, coalesce(sum(coalesce(octet_length(state), 0) + octet_length(decision)) OVER (
             ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
         FROM (SELECT *";
    let order = format!("ORDER BY seq LIMIT $4) r) s WHERE before < {PAGE_BYTES} ORDER BY seq");
    let numbers = (span.after.saturating_add(1), end);
    let rows = selection.query(sql, (select, &order), numbers, limit(most))?;
    let mut page = DecisionPage {
        rows: Vec::new(),
        read: end,
    };
    let mut bytes = 0;
    for row in &rows {
        let stored = StoredDecision {
            seq: get(row, 0)?,
            key: get(row, 2)?,
            revision: unsigned(row, 3)?,
            fuel: unsigned(row, 4)?,
            time: unsigned(row, 5)?,
            state: get(row, 6)?,
            decision: Ok(get(row, 7)?),
        };
        bytes += stored.bytes();
        if rows.len() >= most || bytes >= PAGE_BYTES {
            page.read = stored.seq;
        }
        if let Some(generation) = selection.generations.get(&get(row, 1)?) {
            page.rows.push(stored.by(generation));
        }
    }
    Ok(page)
}

/// Digests of the generations that made the wanted decisions of a span.
pub(super) fn generations_in(
    sql: &Sql,
    wanted: &DecisionRange,
    span: JournalSpan,
) -> SqlResult<BTreeSet<String>> {
    let selection = Selection::of(sql, wanted)?;
    let mut digests = BTreeSet::new();
    for stretch in stretches(span.after.saturating_add(1), span.up_to, selection.reach()) {
        let which = ("SELECT DISTINCT generation", "LIMIT $4");
        for row in &selection.query(sql, which, stretch, i64::MAX)? {
            let generation = selection.generations.get(&get(row, 0)?);
            digests.extend(generation.map(|(digest, _)| digest.clone()));
        }
    }
    Ok(digests)
}

fn time(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
