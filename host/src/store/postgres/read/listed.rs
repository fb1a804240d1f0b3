//! Pages of lists, from the table `listed` in the order of its index `listed_in_order`.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::row::{get, has_none, limit};
use crate::store::fault::{StoreFault, StoreFaultKind};
use crate::store::index::{Index, Page, Wanted};
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::lists;
use crate::store::postgres::session::Sql;
use crate::store::read::StoreResult;

/// Most aggregates read for one page: beyond it a page holds those found so far (invariant 9).
const LOOKED_AT: usize = 10_000;

/// Most aggregates that one statement reads.
const AT_ONCE: usize = 1_000;

/// The list of all aggregates.
const ALL: &str = "";

/// The keys of a page. A fault if a list that it needs is missing.
pub(super) fn page(sql: &Sql, wanted: &Wanted) -> StoreResult<Page> {
    let look = Look::new(wanted);
    let mut page = Page::default();
    let mut last = wanted.after.clone().filter(|after| !has_none(&[after]));
    let mut looked_at = 0;
    loop {
        // One more tells if something follows.
        let most = if look.is_filtered {
            AT_ONCE
        } else {
            wanted.most - page.keys.len() + 1
        };
        let most = most.min(LOOKED_AT + 1 - looked_at).min(AT_ONCE);
        let Some(rows) = look.read(sql, last.as_deref(), most)? else {
            let text = format!(
                "a list of participant {} is not there yet",
                wanted.participant
            );
            return Err(StoreFault::new(StoreFaultKind::Passing, text));
        };
        let is_all = rows.len() < most;
        for (key, passes) in rows {
            if looked_at == LOOKED_AT {
                page.next = last;
                return Ok(page);
            }
            looked_at += 1;
            if passes {
                if page.keys.len() == wanted.most {
                    page.next = page.keys.last().cloned();
                    return Ok(page);
                }
                page.keys.push(key.clone());
            }
            last = Some(key);
        }
        if is_all {
            return Ok(page);
        }
    }
}

/// The statements for a page and their values.
struct Look {
    /// The condition on the other filters.
    passes: String,
    participant: i64,
    pointers: Vec<String>,
    values: Vec<String>,
    /// Number of different lists.
    lists: i64,
    is_filtered: bool,
}

impl Look {
    fn new(wanted: &Wanted) -> Self {
        let filters = wanted.filters.iter();
        let (mut pointers, mut values): (Vec<_>, Vec<_>) = filters
            .map(|(pointer, value)| (pointer.clone(), lists::wanted(value)))
            .unzip();
        if pointers.is_empty() {
            pointers.push(ALL.to_owned());
            values.push(String::new());
        }
        let others: Vec<_> = (2..=pointers.len())
            .map(|place| {
                format!(
                    "(SELECT true FROM listed o WHERE o.participant = $1 AND o.pointer = ($4::text[])[{place}]
                         AND o.key = l.key AND o.value = ($5::text[])[{place}] LIMIT 1) IS NOT NULL"
                )
            })
            .collect();
        let passes = if others.is_empty() {
            "true".to_owned()
        } else {
            others.join(" AND ")
        };
        let different: BTreeSet<_> = pointers.iter().collect();
        Self {
            passes,
            participant: wanted.participant,
            lists: limit(different.len()),
            is_filtered: pointers.len() > 1,
            pointers,
            values,
        }
    }

    /// Parameters: participant, key before, limit, pointers, values, number of lists. The first
    /// filter is looked up in `listed_in_order`, the others by the primary key of `listed`.
    fn text(&self, after: Option<&str>) -> String {
        let after = match after {
            Some(_) => "AND (length(l.key), l.key) > (length($2::text), $2::text)",
            None => "AND $2::text IS NULL",
        };
        format!(
            "SELECT c.has_all, k.key, k.passes FROM
                 (SELECT count(*) = $6 AS has_all FROM lists WHERE participant = $1 AND pointer = ANY ($4)) c
                 LEFT JOIN LATERAL (
                     SELECT l.key, {} AS passes FROM listed l
                     WHERE l.participant = $1 AND l.pointer = ($4::text[])[1] AND l.value = ($5::text[])[1] {after}
                     ORDER BY length(l.key), l.key LIMIT $3) k ON true
             ORDER BY length(k.key), k.key",
            self.passes
        )
    }

    /// The keys after this one, and if each passes the other filters. None if a list is missing.
    fn read(
        &self,
        sql: &Sql,
        after: Option<&str>,
        most: usize,
    ) -> SqlResult<Option<Vec<(String, bool)>>> {
        let most = limit(most);
        let values: [&(dyn ToSql + Sync); 6] = [
            &self.participant,
            &after,
            &most,
            &self.pointers,
            &self.values,
            &self.lists,
        ];
        let rows = sql.query(&self.text(after), &values)?;
        let has_all = |row: &Row| get::<bool>(row, 0);
        if !rows.first().map(has_all).transpose()?.unwrap_or(false) {
            return Ok(None);
        }
        let mut keys = Vec::with_capacity(rows.len());
        for row in &rows {
            // Without keys there is one row.
            if let Some(key) = get(row, 1)? {
                keys.push((key, get(row, 2)?));
            }
        }
        Ok(Some(keys))
    }
}

/// Compares the participant's lists with these indexes: true if all of them exist; true if others
/// exist.
pub(super) fn compare(sql: &Sql, participant: i64, wanted: &[Index]) -> SqlResult<(bool, bool)> {
    let rows = sql.query(
        "SELECT pointer FROM lists WHERE participant = $1",
        &[&participant],
    )?;
    let there: BTreeSet<String> = rows
        .iter()
        .map(|row| get(row, 0))
        .collect::<SqlResult<_>>()?;
    let pointer = |index: &Index| index.pointer.clone().unwrap_or_else(|| ALL.to_owned());
    let wanted: BTreeSet<String> = wanted.iter().map(pointer).collect();
    Ok((wanted.is_subset(&there), !there.is_subset(&wanted)))
}
