//! Indexes over the contents of states, by which listings find aggregates.
//!
//! SQLite maintains them in the transaction of each turn, so turns need not know them. Each is an
//! index of one participant on an expression (the value at a pointer of the state) and, within one
//! value, in list order: the length of the key, then the key, so that generated numbers come in the
//! order of their generation. A state of an older shape is indexed by its present content until it
//! is migrated.
//!
//! The name of an index is derived from its definition: an existing one need not be compared, and a
//! host with another definition creates another index. Building one on a large table blocks the
//! writer.

use std::borrow::Borrow;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use saga_contract::listing::FilterValue;
use saga_core::hex;
use sha2::{Digest as _, Sha256};

use super::read::SqliteReader;
use crate::store::index::{Index, Page, Wanted};

/// Most aggregates read for one page, removed ones included: beyond it a page holds those found so
/// far (invariant 9).
const LOOKED_AT: usize = 10_000;

/// The name and the SQL of an index.
struct Definition {
    name: String,
    text: String,
}

impl Definition {
    fn of(index: &Index) -> Self {
        let value = index.pointer.as_deref().map(value_at);
        let columns: Vec<_> = (value.into_iter())
            .chain(["length(key)".into(), "key".into()])
            .collect();
        let text = format!(
            "ON aggregates ({}) WHERE {}",
            columns.join(", "),
            belongs_to(index.participant)
        );
        let digest = hex(Sha256::digest(text.as_bytes()).iter().take(8));
        let name = format!("{}{digest}", prefix(index.participant));
        Self { name, text }
    }
}

/// Creates those of these indexes that are missing.
pub(super) fn create(sql: &Connection, indexes: &[Index]) -> rusqlite::Result<()> {
    for Definition { name, text } in indexes.iter().map(Definition::of) {
        let create = format!("CREATE INDEX IF NOT EXISTS {name} {text}");
        sql.execute(&create, [])?;
    }
    Ok(())
}

/// Drops all other indexes of the participant.
pub(super) fn drop_others(
    sql: &Connection,
    participant: i64,
    keep: &[Index],
) -> rusqlite::Result<()> {
    let there = names(sql, participant)?;
    let keep = names_of(keep);
    let others = there.iter().filter(|name| !keep.contains(name));
    for name in others {
        sql.execute(&format!("DROP INDEX {name}"), [])?;
    }
    Ok(())
}

/// Compares the participant's indexes: true if all of these exist; true if others exist.
pub(super) fn compare(
    sql: &Connection,
    participant: i64,
    wanted: &[Index],
) -> rusqlite::Result<(bool, bool)> {
    let there = names(sql, participant)?;
    let wanted = names_of(wanted);
    let has_all = wanted.iter().all(|name| there.contains(name));
    let has_others = there.iter().any(|name| !wanted.contains(name));
    Ok((has_all, has_others))
}

fn names_of(indexes: &[Index]) -> Vec<String> {
    (indexes.iter())
        .map(|index| Definition::of(index).name)
        .collect()
}

fn names(sql: &Connection, participant: i64) -> rusqlite::Result<Vec<String>> {
    sql.prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'index' AND name GLOB ?1")?
        .query_map([format!("{}*", prefix(participant))], |row| row.get(0))?
        .collect()
}

impl<C: Borrow<Connection>> SqliteReader<C> {
    /// The keys of a page.
    pub(super) fn page(&self, wanted: &Wanted) -> rusqlite::Result<Page> {
        let mut looked_at = 0;
        let mut page = Page::default();
        let mut last = None;
        for part in Part::of(wanted) {
            let mut statement = self.connection().prepare_cached(&part.text(wanted))?;
            let mut rows = statement.query(params_from_iter(part.values(wanted)))?;
            while let Some(row) = rows.next()? {
                if looked_at == LOOKED_AT {
                    page.next = last;
                    return Ok(page);
                }
                looked_at += 1;
                let key: String = row.get(0)?;
                if row.get(1)? {
                    if page.keys.len() == wanted.most {
                        page.next = page.keys.last().cloned();
                        return Ok(page);
                    }
                    page.keys.push(key.clone());
                }
                last = Some(key);
            }
        }
        Ok(page)
    }
}

/// A range of an index. The keys after a key take two ranges: SQLite can't seek in an index by a
/// pair that contains an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All keys.
    All,
    /// Later keys of the same length.
    SameLength,
    /// Longer keys.
    Longer,
}

impl Part {
    fn of(wanted: &Wanted) -> &'static [Self] {
        match wanted.after {
            None => &[Self::All],
            Some(_) => &[Self::SameLength, Self::Longer],
        }
    }

    /// The statement. It selects the keys, and for each if there is a state that passes all filters
    /// but the first.
    fn text(self, wanted: &Wanted) -> String {
        let mut filters = wanted.filters.iter();
        let first = filters.next().map(|(pointer, _)| pointer.as_str());
        let index = Definition::of(&Index::of(wanted.participant, first));
        // Parameters are numbered in the order of `values`: the filters', then the key.
        let others: String = (filters.zip(2..))
            .map(|((pointer, _), number)| format!(" AND {} = ?{number}", value_at(pointer)))
            .collect();
        let narrowed = first.map(|pointer| format!(" AND {} = ?1", value_at(pointer)));
        let after = wanted.filters.len() + 1;
        let (from, order) = match self {
            Self::All => (String::new(), "length(key), key"),
            // With the length in the order, SQLite would sort: it does not see that all lengths are
            // equal.
            Self::SameLength => (
                format!(" AND length(key) = length(?{after}) AND key > ?{after}"),
                "key",
            ),
            Self::Longer => (
                format!(" AND length(key) > length(?{after})"),
                "length(key), key",
            ),
        };
        format!(
            "SELECT key, coalesce(state IS NOT NULL{others}, 0) FROM aggregates INDEXED BY {} WHERE {}{}{from} ORDER BY {order}",
            index.name,
            belongs_to(wanted.participant),
            narrowed.unwrap_or_default(),
        )
    }

    fn values(self, wanted: &Wanted) -> impl Iterator<Item = Value> {
        let filters = (wanted.filters.iter()).map(|(_, value)| filter_value(value));
        let after = wanted.after.clone().map(Value::Text);
        filters.chain(after.filter(|_| self != Self::All))
    }
}

/// The value of a filter, in the form that `json_extract` returns.
pub(super) fn filter_value(value: &FilterValue) -> Value {
    match value {
        FilterValue::Text(text) => Value::Text(text.clone()),
        FilterValue::Integer(number) => Value::Integer(*number),
        FilterValue::Boolean(is_so) => Value::Integer((*is_so).into()),
    }
}

/// The condition of an index, with the same text as its definition: SQLite uses an index only for a
/// statement that repeats its condition. Removed aggregates are included, since with a condition on
/// the state every change of a state would touch every index.
fn belongs_to(participant: i64) -> String {
    format!("participant = {participant}")
}

fn prefix(participant: i64) -> String {
    format!("listing_{participant}_")
}

/// The expression for the value at a JSON pointer of the state.
fn value_at(pointer: &str) -> String {
    value_in("state", pointer)
}

/// The expression for the value at a JSON pointer of the JSON in this column.
pub(super) fn value_in(column: &str, pointer: &str) -> String {
    let mut path = String::from("$");
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if is_place(&token) {
            path.push_str(&format!("[{token}]"));
        } else {
            // SQLite reads a quoted name as JSON text.
            let name = serde_json::Value::String(token);
            path.push_str(&format!(".{name}"));
        }
    }
    format!("json_extract({column}, '{}')", path.replace('\'', "''"))
}

/// True if a token is an array index.
fn is_place(token: &str) -> bool {
    let is_number = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    is_number && token.len() <= 9 && (token == "0" || !token.starts_with('0'))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
