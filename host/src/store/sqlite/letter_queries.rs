//! Queries for dead letters, as rows of `dead_letters`.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use saga_core::commit::{DeadLetter, LetterPlace, LetterRequest, ParkedLetter};
use saga_core::identity::Identity;
use saga_core::record::{Position, Record};

use super::ids::Id;
use super::read;
use crate::store::dead_letters::{self, LetterAct, LetterFilter, StoredLetter, end_of};

/// The columns of [`letter_of`], with these for the bytes of key, value and corrected value.
macro_rules! columns {
    ($key:literal, $value:literal, $corrected:literal) => {
        concat!(
            "d.id, coalesce(d.aggregate, (SELECT p.key FROM parked p WHERE p.id = d.parked)), d.consumer, d.topic, \
             d.declared_topic, d.incarnation, d.partition, d.offset, d.made, d.attributes, ",
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
const WITHOUT_BYTES: &str = columns!("NULL", "NULL", "NULL");

fn letter_of(row: &Row<'_>) -> rusqlite::Result<StoredLetter> {
    let attributes: String = row.get(9)?;
    let incarnation: Option<String> = row.get(5)?;
    let (id, source): (_, Option<String>) = (read::id(row, 12)?, row.get(13)?);
    let ended: Option<(i64, String)> = row.get::<_, Option<i64>>(23)?.zip(row.get(24)?);
    Ok(StoredLetter {
        id: row.get(0)?,
        aggregate: row.get(1)?,
        letter: DeadLetter {
            group: row.get(2)?,
            declared_topic: row.get(4)?,
            record: Record {
                position: Position {
                    topic: row.get::<_, String>(3)?.into(),
                    incarnation: incarnation.map(Into::into),
                    partition: row.get(6)?,
                    offset: row.get(7)?,
                },
                timestamp: row.get::<_, i64>(8)? as u64,
                key: row.get(10)?,
                value: row.get(11)?,
                attributes: serde_json::from_str(&attributes).unwrap_or_default(),
            },
            identity: id.zip(source).map(|(id, source)| Identity { source, id }),
            is_parked: row.get::<_, Option<i64>>(19)?.is_some() && !row.get::<_, bool>(26)?,
            reason: row.get(14)?,
            detail: row.get(15)?,
            attempts: row.get(16)?,
            digest: row.get(17)?,
            time: row.get::<_, i64>(18)? as u64,
        },
        corrected: row.get(20)?,
        failed_redrives: row.get::<_, i64>(21)? as u64,
        waiting: row.get::<_, i64>(25)? as u64,
        request: request_of(row, 22)?,
        ended: ended.map(|(time, end)| (end_of(&end), time as u64)),
    })
}

/// The dead letters of a participant after this number.
pub(super) fn list(
    sql: &Connection,
    participant: i64,
    filter: &LetterFilter,
    (after, most): (i64, usize),
) -> rusqlite::Result<Vec<StoredLetter>> {
    let mut wanted = vec!["d.participant = ?1 AND d.id > ?2"];
    let (before, most) = (filter.before.map(|before| before as i64), most as i64);
    let mut given: Vec<&dyn ToSql> = vec![&participant, &after, &most];
    if !filter.with_ended {
        wanted.push("d.ended IS NULL");
    }
    let conditions = [
        (
            "d.aggregate = ",
            filter.aggregate.as_ref().map(|key| key as &dyn ToSql),
        ),
        (
            "d.reason = ",
            filter.reason.as_ref().map(|reason| reason as &dyn ToSql),
        ),
        (
            "d.time < ",
            before.as_ref().map(|before| before as &dyn ToSql),
        ),
    ];
    let mut further = Vec::new();
    for (condition, value) in conditions {
        if let Some(value) = value {
            given.push(value);
            further.push(format!("{condition}?{}", given.len()));
        }
    }
    wanted.extend(further.iter().map(String::as_str));
    let wanted = wanted.join(" AND ");
    sql.prepare_cached(&format!(
        "SELECT {WITHOUT_BYTES} FROM dead_letters d WHERE {wanted} ORDER BY d.id LIMIT ?3"
    ))?
    .query_map(&*given, letter_of)?
    .collect()
}

/// Open dead letters of a participant, and aggregates that they block. A letter that is parked only
/// to be redriven blocks none.
pub(super) fn open_up_to(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<(u64, u64)> {
    let count = |row: &Row<'_>, at| row.get::<_, i64>(at).map(|count| count.max(0) as u64);
    sql.prepare_cached(
        "SELECT count(*), count(*) FILTER (WHERE parked IS NOT NULL AND NOT is_aside) FROM (
             SELECT parked, is_aside FROM dead_letters WHERE participant = ?1 AND ended IS NULL LIMIT ?2)",
    )?
    .query_row(params![participant, most as i64], |row| {
        Ok((count(row, 0)?, count(row, 1)?))
    })
}

/// The number of open dead letters of a participant, by reason.
pub(super) fn reasons(sql: &Connection, participant: i64) -> rusqlite::Result<Vec<(String, u64)>> {
    sql.prepare_cached(
        "SELECT reason, count(*) FROM dead_letters WHERE participant = ?1 AND ended IS NULL
         GROUP BY reason ORDER BY count(*) DESC, reason",
    )?
    .query_map([participant], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))
    })?
    .collect()
}

/// True if a request for a dead letter is pending; `None` if there is no letter of this number.
pub(super) fn is_requested(
    sql: &Connection,
    participant: i64,
    letter: i64,
) -> rusqlite::Result<Option<bool>> {
    sql.prepare_cached(
        "SELECT request IS NOT NULL FROM dead_letters WHERE participant = ?1 AND id = ?2",
    )?
    .query_row(params![participant, letter], |row| row.get(0))
    .optional()
}

/// The dead letter of this number, and the actions on it.
pub(super) fn one(
    sql: &Connection,
    participant: i64,
    letter: i64,
) -> rusqlite::Result<Option<(StoredLetter, Vec<LetterAct>)>> {
    let stored = sql
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM dead_letters d WHERE d.participant = ?1 AND d.id = ?2"
        ))?
        .query_row(params![participant, letter], letter_of)
        .optional()?;
    let Some(stored) = stored else {
        return Ok(None);
    };
    let acts = sql
        .prepare_cached(
            "SELECT time, by, act, detail FROM dead_letter_acts WHERE letter = ?1 ORDER BY id",
        )?
        .query_map([letter], |row| {
            Ok(LetterAct {
                time: row.get::<_, i64>(0)? as u64,
                by: row.get(1)?,
                act: row.get(2)?,
                detail: row.get(3)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some((stored, acts)))
}

/// The parked dead letter of this identity.
pub(super) fn parked_as(
    sql: &Connection,
    participant: i64,
    identity: &Identity,
) -> rusqlite::Result<Option<LetterPlace>> {
    sql.prepare_cached(
        "SELECT d.id, p.key, d.topic, d.incarnation, d.partition, d.offset
         FROM parked p JOIN dead_letters d ON d.parked = p.id
         WHERE p.participant = ?1 AND p.event_id = ?2 AND p.source = ?3",
    )?
    .query_row(
        params![participant, Id::of(&identity.id), identity.source],
        |row| {
            let incarnation: Option<String> = row.get(3)?;
            let position = Position {
                topic: row.get::<_, String>(2)?.into(),
                incarnation: incarnation.map(Into::into),
                partition: row.get(4)?,
                offset: row.get(5)?,
            };
            Ok(LetterPlace {
                letter: row.get(0)?,
                key: row.get(1)?,
                position,
            })
        },
    )
    .optional()
}

/// The letter of a parked message, from the columns that begin at `at`: its number and the pending
/// request.
pub(super) fn of_parked(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<ParkedLetter>> {
    let Some(id) = row.get(at)? else {
        return Ok(None);
    };
    let request = request_of(row, at + 1)?;
    let number: i64 = row.get(at + 2)?;
    Ok(Some(ParkedLetter {
        id,
        request: request.map(|request| (number, request)),
        is_exhausted: row.get(at + 3)?,
        is_aside: row.get(at + 4)?,
    }))
}

fn request_of(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<LetterRequest>> {
    let word: Option<String> = row.get(at)?;
    dead_letters::request_of(word.as_deref()).map_err(|unknown| {
        rusqlite::Error::FromSqlConversionFailure(at, Type::Text, unknown.into())
    })
}
