//! Rows of the journal for a sample of recorded decisions, by its primary key.

use std::collections::HashMap;

use saga_core::journal;
use tokio_postgres::Row;

use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::read::journal as queries;
use crate::store::postgres::read::row::{count, get, unsigned};
use crate::store::postgres::session::Sql;
use crate::store::sample::Recorded;
use crate::store::sample::journal::{self as sample, JournalRows, SeenDecision};

/// Bytes of a decision that tell its kind: those of its message's origin and name.
const BEGINNING: i32 = 1_024;

/// A sample of the recorded decisions of a participant, latest first, at most `most`.
pub(in crate::store::postgres::read) fn recorded(
    sql: &Sql,
    participant: i64,
    most: usize,
) -> SqlResult<Vec<Recorded>> {
    let generations = queries::generations(sql, participant)?;
    let mut rows = Journal {
        sql,
        participant,
        generations: generations.keys().copied().collect(),
        digests: generations,
    };
    sample::recorded(&mut rows, most)
}

struct Journal<'s> {
    sql: &'s Sql,
    participant: i64,
    generations: Vec<i64>,
    /// Digests and versions of the state shape, by row.
    digests: HashMap<i64, (String, u32)>,
}

impl JournalRows for Journal<'_> {
    type Error = SqlError;

    fn bounds(&mut self) -> SqlResult<Option<(i64, i64)>> {
        queries::bounds(self.sql)
    }

    fn seen(&mut self, from: i64, to: i64) -> SqlResult<Vec<SeenDecision>> {
        let rows = self.sql.query(
            "SELECT seq, octet_length(state)::bigint, octet_length(decision)::bigint, substr(decision, 1, $4) FROM journal
             WHERE seq >= $1 AND seq <= $2 AND generation = ANY ($3) ORDER BY seq DESC",
            &[&from, &to, &self.generations, &BEGINNING],
        )?;
        let seen = |row: &Row| -> SqlResult<Option<SeenDecision>> {
            let beginning = get(row, 3)?;
            let Ok((origin, name)) = journal::subject(beginning) else {
                return Ok(None);
            };
            // Without a payload it can't be tried.
            if journal::has_payload(beginning) != Ok(true) {
                return Ok(None);
            }
            let state: Option<i64> = get(row, 1)?;
            let state_bytes = state.and_then(|bytes| usize::try_from(bytes).ok());
            Ok(Some(SeenDecision {
                seq: get(row, 0)?,
                origin: origin.word(),
                name: name.to_owned(),
                is_on_nothing: state.is_none(),
                bytes: state_bytes.unwrap_or(0) + count(row, 2)?,
            }))
        };
        rows.iter()
            .filter_map(|row| seen(row).transpose())
            .collect()
    }

    fn decided(&mut self) -> SqlResult<Vec<(String, String, i64)>> {
        let rows = self.sql.query(
            "SELECT t.origin, t.name, max(t.last) FROM tallies t JOIN generations g ON g.id = t.generation
             WHERE g.participant = $1 AND t.decisions > 0 GROUP BY t.origin, t.name ORDER BY t.origin, t.name",
            &[&self.participant],
        )?;
        let decided = |row: &Row| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?));
        rows.iter().map(decided).collect()
    }

    fn time_from(&mut self, seq: i64) -> SqlResult<Option<i64>> {
        queries::time_from(self.sql, seq)
    }

    fn read(&mut self, seq: i64) -> SqlResult<Option<(Recorded, usize)>> {
        let found = self.sql.row(
            "SELECT generation, state, key, time, decision FROM journal WHERE seq = $1",
            &[&seq],
        )?;
        let Some(row) = found else {
            return Ok(None);
        };
        let generation = self.digests.get(&get(&row, 0)?);
        let (state, decision): (Option<String>, &[u8]) = (get(&row, 1)?, get(&row, 4)?);
        let of = (get(&row, 2)?, unsigned(&row, 3)?);
        let decoded = journal::decode(decision, of, state.as_deref());
        let (Some((digest, state_version)), Ok((message, outcome))) = (generation, decoded) else {
            return Ok(None);
        };
        let bytes = state.as_ref().map_or(0, String::len) + decision.len();
        let recorded = Recorded {
            digest: digest.clone(),
            state_version: *state_version,
            state,
            message,
            outcome,
        };
        Ok(Some((recorded, bytes)))
    }
}
