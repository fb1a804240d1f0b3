//! The rows of `listed`: which aggregates are in which lists, with which values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::RwLock;
use saga_contract::json;
use serde_json::Value;
use tokio_postgres::types::ToSql;

use crate::store::index::Index;
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::in_force;
use crate::store::postgres::lists::value_at;
use crate::store::postgres::session::Sql;

/// States that are read at once to fill a new list (invariant 9).
const PAGE: i64 = 1_000;

/// The lists of each participant, by their pointers; empty for the list of all aggregates.
#[derive(Debug, Default)]
pub(in crate::store::postgres) struct Members(RwLock<BTreeMap<i64, BTreeSet<Arc<str>>>>);

/// A member of a list; without a value it leaves the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store::postgres) struct Member<'a> {
    pub(in crate::store::postgres) participant: i64,
    pub(in crate::store::postgres) pointer: Arc<str>,
    pub(in crate::store::postgres) key: &'a str,
    pub(in crate::store::postgres) value: Option<String>,
}

impl Members {
    /// Reads the lists of the store.
    pub(in crate::store::postgres) fn load(&self, sql: &Sql) -> SqlResult<()> {
        let rows = sql.query("SELECT participant, pointer FROM lists", &[])?;
        let mut lists = BTreeMap::<i64, BTreeSet<Arc<str>>>::new();
        for row in rows {
            let pointer: String = row.try_get(1)?;
            let of = lists.entry(row.try_get(0)?).or_default();
            of.insert(pointer.into());
        }
        *self.0.write() = lists;
        Ok(())
    }

    /// Adds the rows of an aggregate with this state, in all lists of its participant.
    pub(in crate::store::postgres) fn of<'a>(
        &self,
        (participant, key): (i64, &'a str),
        state: Option<&str>,
        rows: &mut Vec<Member<'a>>,
    ) {
        let lists = self.0.read();
        let Some(pointers) = lists.get(&participant) else {
            return;
        };
        let state = state.map(|text| json::parse(text).unwrap_or_default());
        rows.extend(pointers.iter().map(|pointer| Member {
            participant,
            pointer: pointer.clone(),
            key,
            value: state.as_ref().and_then(|state| value_in(state, pointer)),
        }));
    }
}

fn value_in(state: &Value, pointer: &str) -> Option<String> {
    match pointer {
        "" => Some(String::new()),
        _ => value_at(state, pointer),
    }
}

/// Creates the lists that are missing, with their members.
pub(in crate::store::postgres) fn create(sql: &Sql, indexes: &[Index]) -> SqlResult<()> {
    for index in indexes {
        let pointer = index.pointer.as_deref().unwrap_or_default();
        let list: [&(dyn ToSql + Sync); 2] = [&index.participant, &pointer];
        let created = sql.execute(
            "INSERT INTO lists (participant, pointer) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &list,
        )?;
        if created == 1 {
            in_force::begin_change(sql)?;
            fill(sql, index.participant, pointer)?;
        }
    }
    Ok(())
}

fn fill(sql: &Sql, participant: i64, pointer: &str) -> SqlResult<()> {
    let mut after = String::new();
    loop {
        let rows = sql.query(
            "SELECT key, state FROM aggregates WHERE participant = $1 AND key > $2 AND state IS NOT NULL
             ORDER BY key LIMIT $3",
            &[&participant, &after, &PAGE],
        )?;
        let is_last = (rows.len() as i64) < PAGE;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for row in rows {
            let (key, text): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let state = json::parse(&text).unwrap_or_default();
            if let Some(value) = value_in(&state, pointer) {
                keys.push(key.clone());
                values.push(value);
            }
            after = key;
        }
        sql.execute(
            "INSERT INTO listed (participant, pointer, value, key)
             SELECT $1, $2, value, key FROM unnest($3::text[], $4::text[]) AS m(value, key)",
            &[&participant, &pointer, &values, &keys],
        )?;
        if is_last {
            return Ok(());
        }
    }
}

/// Drops all other lists of the participant.
pub(in crate::store::postgres) fn drop_others(
    sql: &Sql,
    participant: i64,
    keep: &[Index],
) -> SqlResult<()> {
    let keep = keep.iter().filter(|index| index.participant == participant);
    let keep: Vec<&str> = keep
        .map(|index| index.pointer.as_deref().unwrap_or_default())
        .collect();
    let dropped = sql.execute(
        "DELETE FROM lists WHERE participant = $1 AND pointer <> ALL ($2)",
        &[&participant, &keep],
    )?;
    if dropped > 0 {
        in_force::begin_change(sql)?;
        sql.execute(
            "DELETE FROM listed WHERE participant = $1 AND pointer <> ALL ($2)",
            &[&participant, &keep],
        )?;
    }
    Ok(())
}
