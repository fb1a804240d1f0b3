//! Dead letters, by their numbers; `open_dead_letters_in_order` has the open ones of a participant
//! in the order of these.

use saga_core::commit::{DeadLetter, LetterPlace, LetterRequest, ParkedLetter};
use saga_core::identity::Identity;
use saga_core::record::{Position, Record};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::row::{count, get, has_none, limit, number, small, unsigned};
use crate::store::dead_letters::{self, LetterAct, LetterFilter, StoredLetter, end_of};
use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::session::Sql;

/// The columns of [`letter_of`], with these for the bytes of key, value and corrected value.
macro_rules! columns {
    ($key:literal, $value:literal, $corrected:literal) => {
        concat!(
            "d.id, coalesce(d.aggregate, (SELECT p.key FROM parked p WHERE p.id = d.parked)), d.consumer, d.topic, \
             d.declared_topic, d.incarnation, d.partition, d.position, d.made, d.attributes, ",
            $key,
            ", ",
            $value,
            ", d.event_id, d.source, d.reason, d.detail, d.attempts, d.digest, d.time, d.parked, ",
            $corrected,
            ", d.failed_redrives, d.request, d.ended, d.ended_as, \
             (SELECT count(*) FROM parked p WHERE p.participant = d.participant AND p.key = d.aggregate \
                 AND p.id > d.parked), d.is_aside"
        )
    };
}

const COLUMNS: &str = columns!("d.key", "d.value", "d.corrected");

/// A page of letters must not hold as many bytes as their records.
const WITHOUT_BYTES: &str = columns!("NULL::bytea", "NULL::bytea", "NULL::bytea");

fn letter_of(row: &Row) -> SqlResult<StoredLetter> {
    let attributes: &str = get(row, 9)?;
    let (id, source): (Option<String>, Option<String>) = (get(row, 12)?, get(row, 13)?);
    let parked: Option<i64> = get(row, 19)?;
    let ended: Option<(i64, &str)> = get::<Option<i64>>(row, 23)?.zip(get(row, 24)?);
    Ok(StoredLetter {
        id: get(row, 0)?,
        aggregate: get(row, 1)?,
        letter: DeadLetter {
            group: get(row, 2)?,
            declared_topic: get(row, 4)?,
            record: Record {
                position: position(row, [3, 5, 6, 7])?,
                timestamp: unsigned(row, 8)?,
                key: get(row, 10)?,
                value: get(row, 11)?,
                attributes: serde_json::from_str(attributes).unwrap_or_default(),
            },
            identity: id.zip(source).map(|(id, source)| Identity { source, id }),
            is_parked: parked.is_some() && !get::<bool>(row, 26)?,
            reason: get(row, 14)?,
            detail: get(row, 15)?,
            attempts: small(row, 16)?,
            digest: get(row, 17)?,
            time: unsigned(row, 18)?,
        },
        corrected: get(row, 20)?,
        failed_redrives: unsigned(row, 21)?,
        waiting: unsigned(row, 25)?,
        request: request_of(row, 22)?,
        ended: ended.map(|(time, end)| (end_of(end), time.cast_unsigned())),
    })
}

/// The position of a record from its columns: topic, incarnation, partition, offset.
fn position(row: &Row, [topic, incarnation, partition, offset]: [usize; 4]) -> SqlResult<Position> {
    let incarnation: Option<&str> = get(row, incarnation)?;
    Ok(Position {
        topic: get::<&str>(row, topic)?.into(),
        incarnation: incarnation.map(Into::into),
        partition: get(row, partition)?,
        offset: get(row, offset)?,
    })
}

/// The dead letters of a participant after this number.
pub(super) fn list(
    sql: &Sql,
    participant: i64,
    filter: &LetterFilter,
    (after, most): (i64, usize),
) -> SqlResult<Vec<StoredLetter>> {
    let texts = [&filter.aggregate, &filter.reason].into_iter().flatten();
    if texts.into_iter().any(|text| has_none(&[text])) {
        return Ok(Vec::new());
    }
    let (before, most) = (filter.before.map(number), limit(most));
    let mut wanted = "d.participant = $1 AND d.id > $2".to_owned();
    let mut given: Vec<&(dyn ToSql + Sync)> = vec![&participant, &after, &most];
    if !filter.with_ended {
        wanted.push_str(" AND d.ended IS NULL");
    }
    let conditions: [(&str, Option<&(dyn ToSql + Sync)>); 3] = [
        (
            "d.aggregate =",
            filter.aggregate.as_ref().map(|key| key as _),
        ),
        (
            "d.reason =",
            filter.reason.as_ref().map(|reason| reason as _),
        ),
        ("d.time <", before.as_ref().map(|before| before as _)),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            given.push(value);
            wanted.push_str(&format!(" AND {condition} ${}", given.len()));
        }
    }
    let text =
        format!("SELECT {WITHOUT_BYTES} FROM dead_letters d WHERE {wanted} ORDER BY d.id LIMIT $3");
    sql.query(&text, &given)?.iter().map(letter_of).collect()
}

/// Open dead letters of a participant, and aggregates that they block; counted up to `most` letters.
/// A letter that is parked only to be redriven blocks none. By `open_dead_letters`.
pub(super) fn open_up_to(sql: &Sql, participant: i64, most: usize) -> SqlResult<(u64, u64)> {
    let row = sql.one(
        "SELECT count(*), count(*) FILTER (WHERE parked IS NOT NULL AND NOT is_aside) FROM (
             SELECT parked, is_aside FROM dead_letters WHERE participant = $1 AND ended IS NULL LIMIT $2) d",
        &[&participant, &limit(most)],
    )?;
    Ok((count(&row, 0)? as u64, count(&row, 1)? as u64))
}

/// The number of open dead letters of a participant, by reason, in the order of
/// `open_dead_letters`.
pub(super) fn reasons(sql: &Sql, participant: i64) -> SqlResult<Vec<(String, u64)>> {
    let rows = sql.query(
        "SELECT reason, count(*) FROM dead_letters WHERE participant = $1 AND ended IS NULL
         GROUP BY reason ORDER BY count(*) DESC, reason COLLATE \"C\"",
        &[&participant],
    )?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, unsigned(row, 1)?)))
        .collect()
}

/// True if a request for a dead letter is pending; `None` if there is no letter of this number.
pub(super) fn is_requested(sql: &Sql, participant: i64, letter: i64) -> SqlResult<Option<bool>> {
    let found = sql.row(
        "SELECT request IS NOT NULL FROM dead_letters WHERE participant = $1 AND id = $2",
        &[&participant, &letter],
    )?;
    found.map(|row| get(&row, 0)).transpose()
}

/// The dead letter of this number, and the actions on it, in the order of `acts_by_letter`.
pub(super) fn one(
    sql: &Sql,
    participant: i64,
    letter: i64,
) -> SqlResult<Option<(StoredLetter, Vec<LetterAct>)>> {
    let stored = sql.row(
        &format!("SELECT {COLUMNS} FROM dead_letters d WHERE d.participant = $1 AND d.id = $2"),
        &[&participant, &letter],
    )?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let rows = sql.query(
        "SELECT time, by, act, detail FROM dead_letter_acts WHERE letter = $1 ORDER BY id",
        &[&letter],
    )?;
    let act = |row: &Row| {
        Ok(LetterAct {
            time: unsigned(row, 0)?,
            by: get(row, 1)?,
            act: get(row, 2)?,
            detail: get(row, 3)?,
        })
    };
    let acts = rows.iter().map(act).collect::<SqlResult<_>>()?;
    Ok(Some((letter_of(&stored)?, acts)))
}

/// The parked dead letter of this identity, by `parked_by_identity`.
pub(super) fn parked_as(
    sql: &Sql,
    participant: i64,
    identity: &Identity,
) -> SqlResult<Option<LetterPlace>> {
    if has_none(&[&identity.id, &identity.source]) {
        return Ok(None);
    }
    let found = sql.row(
        "SELECT d.id, p.key, d.topic, d.incarnation, d.partition, d.position
         FROM parked p JOIN dead_letters d ON d.parked = p.id
         WHERE p.participant = $1 AND p.event_id = $2 AND p.source = $3",
        &[&participant, &identity.id, &identity.source],
    )?;
    let place = |row: Row| {
        Ok(LetterPlace {
            letter: get(&row, 0)?,
            key: get(&row, 1)?,
            position: position(&row, [2, 3, 4, 5])?,
        })
    };
    found.map(place).transpose()
}

/// The letter of a parked message, from the columns that begin at `at`: its number and the pending
/// request.
pub(super) fn of_parked(row: &Row, at: usize) -> SqlResult<Option<ParkedLetter>> {
    let Some(id) = get(row, at)? else {
        return Ok(None);
    };
    let request = request_of(row, at + 1)?;
    let number: i64 = get(row, at + 2)?;
    Ok(Some(ParkedLetter {
        id,
        request: request.map(|request| (number, request)),
        is_exhausted: get(row, at + 3)?,
        is_aside: get(row, at + 4)?,
    }))
}

fn request_of(row: &Row, at: usize) -> SqlResult<Option<LetterRequest>> {
    dead_letters::request_of(get(row, at)?).map_err(SqlError::Data)
}
