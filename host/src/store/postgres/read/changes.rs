//! The changes of a list, from the journal in the order of its primary key.

use std::collections::HashMap;

use saga_contract::json;
use tokio_postgres::Row;

use super::row::{count, get, limit, number, unsigned};
use crate::store::list_changes::{
    ChangesWanted, DECISIONS, JournalPosition, ListChanges, SeenChange, SeenDecision,
};
use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::lists;
use crate::store::postgres::session::Sql;

/// Bytes of states after which they are asked for in another statement.
const STATES: usize = 4 << 20;

/// The place after the last decision.
pub(super) fn journal_end(sql: &Sql) -> SqlResult<JournalPosition> {
    let last = sql.row(
        "SELECT seq, time FROM journal ORDER BY seq DESC LIMIT 1",
        &[],
    )?;
    let last = last.map(|row| position(&row)).transpose()?;
    Ok(last.unwrap_or_default())
}

fn is_known(sql: &Sql, place: JournalPosition) -> SqlResult<bool> {
    if place == JournalPosition::default() {
        return Ok(true);
    }
    let found = sql.row(
        "SELECT 1 FROM journal WHERE seq = $1 AND time = $2",
        &[&place.seq, &number(place.time)],
    )?;
    Ok(found.is_some())
}

fn position(row: &Row) -> SqlResult<JournalPosition> {
    Ok(JournalPosition {
        seq: get(row, 0)?,
        time: unsigned(row, 1)?,
    })
}

/// The next aggregates of the list that changed.
pub(super) fn read(sql: &Sql, wanted: &ChangesWanted) -> SqlResult<Option<ListChanges>> {
    if !is_known(sql, wanted.after)? {
        return Ok(None);
    }
    // Of each decision its place, if it is one of the participant's of which the state has changed
    // since, the key, if there is a state now and was one before, and the bytes of both.
    let rows = sql.query(
        "SELECT j.seq, j.time, coalesce(a.revision > j.revision, false), j.key, a.state IS NOT NULL, j.bytes IS NOT NULL,
             (coalesce(octet_length(a.state), 0) + coalesce(j.bytes, 0))::bigint
         FROM (SELECT seq, time, key, generation, revision, octet_length(state) AS bytes FROM journal
               WHERE seq > $2 ORDER BY seq LIMIT $3) j
             LEFT JOIN generations g ON g.id = j.generation AND g.participant = $1
             LEFT JOIN LATERAL (SELECT revision, state FROM aggregates
                 WHERE participant = g.participant AND key = j.key LIMIT 1) a ON true
         ORDER BY j.seq",
        &[&wanted.participant, &wanted.after.seq, &limit(DECISIONS)],
    )?;
    let states = match &*wanted.filters {
        [] => None,
        _ => Some(States::of(sql, wanted, &rows)?),
    };
    let decision = |row: &Row| {
        let position = position(row)?;
        let change = get::<bool>(row, 2)?.then(|| {
            let (is_in, was_in) = match &states {
                None => (get(row, 4)?, get(row, 5)?),
                Some(states) => states.at(position.seq)?,
            };
            let key = get(row, 3)?;
            Ok::<_, Missing>(SeenChange { key, is_in, was_in })
        });
        Ok(SeenDecision {
            position,
            change: change.transpose()?,
        })
    };
    match ListChanges::of(wanted.after, rows.iter().map(decision)) {
        Ok(changes) => Ok(Some(changes)),
        Err(Missing::Deleted) => Ok(None),
        Err(Missing::Sql(error)) => Err(error),
    }
}

/// The changes can't be read.
#[derive(Debug)]
enum Missing {
    /// A decision was deleted meanwhile, and with it the place before it.
    Deleted,
    Sql(SqlError),
}

impl From<SqlError> for Missing {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

/// Of each decision that changed a state: if the present state is in the list, and if the one before
/// was. The host looks into the states, as it does for the table of lists: PostgreSQL reads no JSON
/// with U+0000.
struct States(HashMap<i64, (bool, bool)>);

impl States {
    fn of(sql: &Sql, wanted: &ChangesWanted, rows: &[Row]) -> SqlResult<Self> {
        let mut states = Self(HashMap::new());
        let (mut asked, mut bytes) = (Vec::new(), 0);
        for row in rows {
            if get::<bool>(row, 2)? {
                asked.push(get(row, 0)?);
                bytes += count(row, 6)?;
            }
            if bytes >= STATES {
                states.read(sql, wanted, &asked)?;
                (asked, bytes) = (Vec::new(), 0);
            }
        }
        states.read(sql, wanted, &asked)?;
        Ok(states)
    }

    fn read(&mut self, sql: &Sql, wanted: &ChangesWanted, asked: &[i64]) -> SqlResult<()> {
        if asked.is_empty() {
            return Ok(());
        }
        let rows = sql.query(
            "SELECT j.seq, a.state, j.state FROM unnest($2::bigint[]) AS asked (seq)
             JOIN journal j ON j.seq = asked.seq
             LEFT JOIN LATERAL (SELECT state FROM aggregates WHERE participant = $1 AND key = j.key LIMIT 1) a ON true",
            &[&wanted.participant, &asked],
        )?;
        for row in &rows {
            let state = |at| get::<Option<&str>>(row, at);
            let is_in = state(1)?.is_some_and(|state| passes(wanted, state));
            // One that is not kept may have been in it.
            let was_in = state(2)?.is_some_and(|state| state.is_empty() || passes(wanted, state));
            self.0.insert(get(row, 0)?, (is_in, was_in));
        }
        Ok(())
    }

    fn at(&self, seq: i64) -> Result<(bool, bool), Missing> {
        self.0.get(&seq).copied().ok_or(Missing::Deleted)
    }
}

/// True if a state is in the list.
fn passes(wanted: &ChangesWanted, state: &str) -> bool {
    json::parse(state).is_ok_and(|state| {
        let mut filters = wanted.filters.iter();
        filters
            .all(|(pointer, value)| lists::value_at(&state, pointer) == Some(lists::wanted(value)))
    })
}
