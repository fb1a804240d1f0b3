//! Dead letters, as rows of `dead_letters`, and the actions on them.

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::commit::{
    DeadLetter, Entry, FailedRedrive, LetterEnd, LetterRequest, Parking, ReturnedRecord,
};
use saga_core::identity;

use super::ids::Id;
use super::{apply, parked};
use crate::store::dead_letters::{LetterAnswer, NewLetterRequest, end_of};

/// The actor if no operator acted.
const HOST: &str = "host";

/// The parameters of a failed redrive.
macro_rules! failed_row {
    ($failed:ident) => {
        params![
            $failed.letter,
            $failed.reason,
            $failed.detail,
            $failed.attempts,
            $failed.digest,
            $failed.request
        ]
    };
}

/// Writes a dead letter. A letter that stays parked is the parked message of its identity.
pub(super) fn write(sql: &Connection, entry: &Entry, letter: &DeadLetter) -> rusqlite::Result<()> {
    let (record, identity) = (&letter.record, letter.identity.as_ref());
    let position = &record.position;
    // Strings always have a JSON form.
    let attributes = serde_json::to_string(&record.attributes).unwrap_or_default();
    sql.prepare_cached(
        "INSERT INTO dead_letters (participant, aggregate, consumer, topic, declared_topic, incarnation, partition,
             offset, made, attributes, key, value, event_id, source, reason, detail, attempts, digest, time, parked)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
             CASE WHEN ?20 THEN (SELECT id FROM parked WHERE participant = ?1 AND event_id = ?13 AND source = ?14) END)",
    )?
    .execute(params![
        entry.participant,
        entry.key,
        letter.group,
        &*position.topic,
        letter.declared_topic,
        position.incarnation.as_deref(),
        position.partition,
        position.offset,
        record.timestamp as i64,
        attributes,
        record.key,
        record.value,
        identity.map(|identity| Id::of(&identity.id)),
        identity.map(|identity| &identity.source),
        letter.reason,
        letter.detail,
        letter.attempts,
        letter.digest,
        letter.time as i64,
        letter.is_parked,
    ])?;
    Ok(())
}

/// Ends a letter.
pub(super) fn end(
    sql: &Connection,
    letter: i64,
    end: LetterEnd,
    time: u64,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE dead_letters SET ended = ?2, ended_as = ?3, parked = NULL, request = NULL WHERE id = ?1",
    )?
    .execute(params![letter, time as i64, end_word(end)])?;
    note(sql, letter, time, (HOST, end_word(end), ""), None)
}

/// Records a failed redrive of a letter that stays parked. A later request is still to be done.
pub(super) fn failed(sql: &Connection, failed: &FailedRedrive) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE dead_letters SET failed_redrives = failed_redrives + 1, reason = ?2, detail = ?3, attempts = ?4, digest = ?5,
             request = CASE WHEN requests > ?6 THEN request END
         WHERE id = ?1",
    )?
    .execute(failed_row!(failed))?;
    note_failed(sql, failed)
}

/// Records a failed redrive of a letter that was parked only for that. Returns false if it is not
/// parked, or if something was requested for it since: then it must stay parked.
pub(super) fn failed_aside(sql: &Connection, failed: &FailedRedrive) -> rusqlite::Result<bool> {
    let rows = sql
        .prepare_cached(
            "UPDATE dead_letters SET failed_redrives = failed_redrives + 1, reason = ?2, detail = ?3, attempts = ?4,
                 digest = ?5, request = NULL, parked = NULL, is_aside = 0
             WHERE id = ?1 AND is_aside AND requests = ?6",
        )?
        .execute(failed_row!(failed))?;
    if rows == 1 {
        note_failed(sql, failed)?;
    }
    Ok(rows == 1)
}

fn note_failed(sql: &Connection, failed: &FailedRedrive) -> rusqlite::Result<()> {
    let detail = format!("{}: {}", failed.reason, failed.detail);
    let what = (HOST, "failed", &*detail);
    note(sql, failed.letter, failed.time, what, None)
}

/// A record replaces a parked letter.
pub(super) fn returned(sql: &Connection, returned: &ReturnedRecord) -> rusqlite::Result<()> {
    let record = &returned.record;
    let attributes = serde_json::to_string(&record.attributes).unwrap_or_default();
    sql.prepare_cached(
        "UPDATE parked SET record_key = ?2, value = ?3, attributes = ?4, made = ?5
         WHERE id = (SELECT parked FROM dead_letters WHERE id = ?1)",
    )?
    .execute(params![
        returned.letter,
        record.key,
        record.value,
        attributes,
        record.timestamp as i64
    ])?;
    sql.prepare_cached(
        // A discard that is still to be done stays one.
        "UPDATE dead_letters SET request = coalesce(request, 'redrive'), requests = requests + 1,
             corrected = ?2 WHERE id = ?1",
    )?
    .execute(params![returned.letter, record.value])?;
    let by = record.position.to_string();
    note(
        sql,
        returned.letter,
        returned.time,
        (&by, "returned", ""),
        None,
    )
}

/// Stores an operator's request for a letter.
pub(super) fn request(
    sql: &Connection,
    asked: &NewLetterRequest,
    trusted: u64,
) -> rusqlite::Result<LetterAnswer> {
    let found = sql
        .prepare_cached(
            "SELECT coalesce(d.aggregate, (SELECT p.key FROM parked p WHERE p.id = d.parked)), d.parked, d.ended_as
             FROM dead_letters d WHERE d.id = ?1 AND d.participant = ?2",
        )?
        .query_row(params![asked.letter, asked.participant], |row| {
            let ended: Option<String> = row.get(2)?;
            let parked: Option<i64> = row.get(1)?;
            Ok((row.get::<_, Option<String>>(0)?, parked, ended))
        })
        .optional()?;
    let Some((aggregate, parked, ended)) = found else {
        return Ok(LetterAnswer::Unknown);
    };
    if let Some(end) = ended {
        return Ok(LetterAnswer::Ended(end_of(&end)));
    }
    let is_discard = asked.request == LetterRequest::Discard;
    let answer = match (parked, &asked.parking) {
        (Some(parked), _) => {
            set_request(sql, asked, parked)?;
            LetterAnswer::Requested {
                key: aggregate.unwrap_or_default(),
                is_new: false,
            }
        }
        (None, _) if is_discard => {
            note_request(sql, asked)?;
            end(sql, asked.letter, LetterEnd::Discarded, asked.now)?;
            return Ok(LetterAnswer::Discarded);
        }
        (None, Some((key, parking))) => match park(sql, asked, (key, parking), trusted)? {
            true => LetterAnswer::Requested {
                key: key.clone(),
                is_new: true,
            },
            false => {
                note_request(sql, asked)?;
                end(sql, asked.letter, LetterEnd::Decided, asked.now)?;
                return Ok(LetterAnswer::DecidedMeanwhile);
            }
        },
        (None, None) => return Ok(LetterAnswer::NotParked),
    };
    note_request(sql, asked)?;
    Ok(answer)
}

/// Parks an unparked letter to be redriven; returns false if its identity is known.
fn park(
    sql: &Connection,
    asked: &NewLetterRequest,
    (key, parking): (&str, &Parking),
    trusted: u64,
) -> rusqlite::Result<bool> {
    let saga_core::commit::Parked::Event(event) = &parking.message else {
        return Ok(false);
    };
    let time = asked.now.max(trusted);
    let is_news = apply::remember(sql, asked.participant, &event.identity, time)?;
    // A record without an id is identified by its position, which was noted when it was given up.
    if !is_news && event.identity != identity::of_position(&event.record.position) {
        return Ok(false);
    }
    let mut entry = Entry::empty(asked.participant, 0, 0);
    entry.key = Some(key.to_owned());
    if !parked::write(sql, &entry, parking)? {
        return Ok(false);
    }
    let id = sql.last_insert_rowid();
    sql.prepare_cached("UPDATE dead_letters SET is_aside = 1 WHERE id = ?1")?
        .execute([asked.letter])?;
    set_request(sql, asked, id)?;
    Ok(true)
}

fn set_request(sql: &Connection, asked: &NewLetterRequest, parked: i64) -> rusqlite::Result<()> {
    sql.prepare_cached(
        // A discard that is still to be done stays one.
        "UPDATE dead_letters SET request = coalesce(nullif(request, 'redrive'), ?2), requests = requests + 1,
             parked = ?3, corrected = coalesce(?4, corrected) WHERE id = ?1",
    )?
    .execute(params![
        asked.letter,
        request_word(asked.request),
        parked,
        asked.corrected
    ])?;
    if let Some(value) = &asked.corrected {
        sql.prepare_cached("UPDATE parked SET value = ?2 WHERE id = ?1")?
            .execute(params![parked, value])?;
    }
    Ok(())
}

fn note_request(sql: &Connection, asked: &NewLetterRequest) -> rusqlite::Result<()> {
    let detail = match &asked.corrected {
        Some(value) => format!("with another value of {} bytes", value.len()),
        None => String::new(),
    };
    let what = (&*asked.by, request_word(asked.request), &*detail);
    note(
        sql,
        asked.letter,
        asked.now,
        what,
        asked.corrected.as_deref(),
    )
}

fn note(
    sql: &Connection,
    letter: i64,
    time: u64,
    (by, act, detail): (&str, &str, &str),
    value: Option<&[u8]>,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO dead_letter_acts (letter, time, by, act, detail, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![letter, time as i64, by, act, detail, value])?;
    Ok(())
}

fn request_word(request: LetterRequest) -> &'static str {
    match request {
        LetterRequest::Redrive => "redrive",
        LetterRequest::Discard => "discard",
    }
}

fn end_word(end: LetterEnd) -> &'static str {
    match end {
        LetterEnd::Decided => "decided",
        LetterEnd::Discarded => "discarded",
    }
}
