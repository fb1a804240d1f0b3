//! Dead letters, as rows of `dead_letters`, and the actions on them.

use saga_core::commit::{
    DeadLetter, Entry, FailedRedrive, LetterEnd, LetterRequest, Parked, Parking, ReturnedRecord,
};
use saga_core::identity;

use super::{entry, parked};
use crate::store::dead_letters::{
    HOST, LetterAnswer, NewLetterRequest, end_of, end_word, request_word,
};
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;

/// Writes a dead letter. A letter that stays parked is the parked message of its identity.
pub(super) fn write(sql: &Sql, entry: &Entry, letter: &DeadLetter) -> SqlResult<()> {
    let (record, identity) = (&letter.record, letter.identity.as_ref());
    let position = &record.position;
    // Strings always have a JSON form.
    let attributes = serde_json::to_string(&record.attributes).unwrap_or_default();
    sql.execute(
        "INSERT INTO dead_letters (participant, aggregate, consumer, topic, declared_topic, incarnation, partition,
             position, made, attributes, key, value, event_id, source, reason, detail, attempts, digest, time, parked)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
             CASE WHEN $20 THEN (SELECT id FROM parked WHERE participant = $1 AND event_id = $13 AND source = $14) END)",
        &[
            &entry.participant,
            &entry.key,
            &letter.group,
            &&*position.topic,
            &letter.declared_topic,
            &position.incarnation.as_deref(),
            &position.partition,
            &position.offset,
            &(record.timestamp as i64),
            &attributes,
            &record.key,
            &record.value,
            &identity.map(|identity| &identity.id),
            &identity.map(|identity| &identity.source),
            &letter.reason,
            &letter.detail,
            &i64::from(letter.attempts),
            &letter.digest,
            &(letter.time as i64),
            &letter.is_parked,
        ],
    )
    .map(drop)
}

/// Ends a letter.
pub(super) fn end(sql: &Sql, letter: i64, end: LetterEnd, time: u64) -> SqlResult<()> {
    sql.execute(
        "UPDATE dead_letters SET ended = $2, ended_as = $3, parked = NULL, request = NULL WHERE id = $1",
        &[&letter, &(time as i64), &end_word(end)],
    )?;
    note(sql, letter, time, (HOST, end_word(end), ""), None)
}

/// Records a failed redrive of a letter that stays parked. A later request is still to be done.
pub(super) fn failed(sql: &Sql, failed: &FailedRedrive) -> SqlResult<()> {
    sql.execute(
        "UPDATE dead_letters SET failed_redrives = failed_redrives + 1, reason = $2, detail = $3, attempts = $4, digest = $5,
             request = CASE WHEN requests > $6 THEN request END
         WHERE id = $1",
        &[
            &failed.letter,
            &failed.reason,
            &failed.detail,
            &i64::from(failed.attempts),
            &failed.digest,
            &failed.request,
        ],
    )?;
    note_failed(sql, failed)
}

/// Records a failed redrive of a letter that was parked only for that. Returns false if it is not
/// parked, or if something was requested for it since: then it must stay parked.
pub(super) fn failed_aside(sql: &Sql, failed: &FailedRedrive) -> SqlResult<bool> {
    let rows = sql.execute(
        "UPDATE dead_letters SET failed_redrives = failed_redrives + 1, reason = $2, detail = $3, attempts = $4,
             digest = $5, request = NULL, parked = NULL, is_aside = false
         WHERE id = $1 AND is_aside AND requests = $6",
        &[
            &failed.letter,
            &failed.reason,
            &failed.detail,
            &i64::from(failed.attempts),
            &failed.digest,
            &failed.request,
        ],
    )?;
    if rows == 1 {
        note_failed(sql, failed)?;
    }
    Ok(rows == 1)
}

fn note_failed(sql: &Sql, failed: &FailedRedrive) -> SqlResult<()> {
    let detail = format!("{}: {}", failed.reason, failed.detail);
    note(
        sql,
        failed.letter,
        failed.time,
        (HOST, "failed", &detail),
        None,
    )
}

/// A record replaces a parked letter.
pub(super) fn returned(sql: &Sql, returned: &ReturnedRecord) -> SqlResult<()> {
    let record = &returned.record;
    let attributes = serde_json::to_string(&record.attributes).unwrap_or_default();
    sql.execute(
        "UPDATE parked SET record_key = $2, value = $3, attributes = $4, made = $5
         WHERE id = (SELECT parked FROM dead_letters WHERE id = $1)",
        &[
            &returned.letter,
            &record.key,
            &record.value,
            &attributes,
            &(record.timestamp as i64),
        ],
    )?;
    sql.execute(
        // A discard that is still to be done stays one.
        "UPDATE dead_letters SET request = coalesce(request, 'redrive'), requests = requests + 1,
             corrected = $2 WHERE id = $1",
        &[&returned.letter, &record.value],
    )?;
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
pub(in crate::store::postgres) fn request(
    sql: &Sql,
    asked: &NewLetterRequest,
    trusted: u64,
) -> SqlResult<LetterAnswer> {
    let found = sql.row(
        "SELECT coalesce(d.aggregate, (SELECT p.key FROM parked p WHERE p.id = d.parked)), d.parked, d.ended_as
         FROM dead_letters d WHERE d.id = $1 AND d.participant = $2 FOR UPDATE OF d",
        &[&asked.letter, &asked.participant],
    )?;
    let Some(found) = found else {
        return Ok(LetterAnswer::Unknown);
    };
    let aggregate: Option<String> = found.try_get(0)?;
    let parked: Option<i64> = found.try_get(1)?;
    if let Some(end) = found.try_get::<_, Option<&str>>(2)? {
        return Ok(LetterAnswer::Ended(end_of(end)));
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
    sql: &Sql,
    asked: &NewLetterRequest,
    (key, parking): (&str, &Parking),
    trusted: u64,
) -> SqlResult<bool> {
    let Parked::Event(event) = &parking.message else {
        return Ok(false);
    };
    let time = asked.now.max(trusted);
    let is_news = entry::remember(sql, asked.participant, &event.identity, time)?;
    // A record without an id is identified by its position, which was noted when it was given up.
    if !is_news && event.identity != identity::of_position(&event.record.position) {
        return Ok(false);
    }
    let mut entry = Entry::empty(asked.participant, 0, 0);
    entry.key = Some(key.to_owned());
    let Some(id) = parked::write(sql, &entry, parking)? else {
        return Ok(false);
    };
    sql.execute(
        "UPDATE dead_letters SET is_aside = true WHERE id = $1",
        &[&asked.letter],
    )?;
    set_request(sql, asked, id)?;
    Ok(true)
}

fn set_request(sql: &Sql, asked: &NewLetterRequest, parked: i64) -> SqlResult<()> {
    sql.execute(
        // A discard that is still to be done stays one.
        "UPDATE dead_letters SET request = coalesce(nullif(request, 'redrive'), $2), requests = requests + 1,
             parked = $3, corrected = coalesce($4, corrected) WHERE id = $1",
        &[&asked.letter, &request_word(asked.request), &parked, &asked.corrected],
    )?;
    if let Some(value) = &asked.corrected {
        let text = "UPDATE parked SET value = $2 WHERE id = $1";
        sql.execute(text, &[&parked, value])?;
    }
    Ok(())
}

fn note_request(sql: &Sql, asked: &NewLetterRequest) -> SqlResult<()> {
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
    sql: &Sql,
    letter: i64,
    time: u64,
    (by, act, detail): (&str, &str, &str),
    value: Option<&[u8]>,
) -> SqlResult<()> {
    sql.execute(
        "INSERT INTO dead_letter_acts (letter, time, by, act, detail, value) VALUES ($1, $2, $3, $4, $5, $6)",
        &[&letter, &(time as i64), &by, &act, &detail, &value],
    )
    .map(drop)
}
