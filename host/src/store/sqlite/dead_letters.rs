//! Dead letters, as rows of `dead_letters`, and the actions on them.

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::commit::{DeadLetter, Entry, FailedRedrive, LetterEnd, Parking, ReturnedRecord};
use saga_core::identity::Identity;

use super::ids::Id;
use super::{apply, parked};
use crate::store::dead_letters::{NewLetterRequest, end_word, request_word};
use crate::store::writing::letters::{self, FoundLetter, LetterRows};

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

/// Records a failed redrive of a letter that stays parked. A later request is still to be done.
pub(super) fn failed(sql: &Connection, failed: &FailedRedrive) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE dead_letters SET failed_redrives = failed_redrives + 1, reason = ?2, detail = ?3, attempts = ?4, digest = ?5,
             request = CASE WHEN requests > ?6 THEN request END
         WHERE id = ?1",
    )?
    .execute(failed_row!(failed))?;
    letters::note_failed(sql, failed)
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
        letters::note_failed(sql, failed)?;
    }
    Ok(rows == 1)
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
    sql.note(returned.letter, returned.time, (&by, "returned", ""), None)
}

impl LetterRows for Connection {
    type Error = rusqlite::Error;

    fn found(&self, participant: i64, letter: i64) -> rusqlite::Result<Option<FoundLetter>> {
        self.prepare_cached(
            "SELECT coalesce(d.aggregate, (SELECT p.key FROM parked p WHERE p.id = d.parked)), d.parked, d.ended_as
             FROM dead_letters d WHERE d.id = ?1 AND d.participant = ?2",
        )?
        .query_row(params![letter, participant], |row| {
            Ok(FoundLetter {
                aggregate: row.get(0)?,
                parked: row.get(1)?,
                ended: row.get(2)?,
            })
        })
        .optional()
    }

    fn remember(&self, participant: i64, identity: &Identity, time: u64) -> rusqlite::Result<bool> {
        apply::remember(self, participant, identity, time)
    }

    fn park(&self, entry: &Entry, parking: &Parking) -> rusqlite::Result<Option<i64>> {
        let is_parked = parked::write(self, entry, parking)?;
        Ok(is_parked.then(|| self.last_insert_rowid()))
    }

    fn set_aside(&self, letter: i64) -> rusqlite::Result<()> {
        self.prepare_cached("UPDATE dead_letters SET is_aside = 1 WHERE id = ?1")?
            .execute([letter])
            .map(drop)
    }

    fn set_request(&self, asked: &NewLetterRequest, parked: i64) -> rusqlite::Result<()> {
        self.prepare_cached(
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
            self.prepare_cached("UPDATE parked SET value = ?2 WHERE id = ?1")?
                .execute(params![parked, value])?;
        }
        Ok(())
    }

    fn set_end(&self, letter: i64, end: LetterEnd, time: u64) -> rusqlite::Result<()> {
        self.prepare_cached(
            "UPDATE dead_letters SET ended = ?2, ended_as = ?3, parked = NULL, request = NULL WHERE id = ?1",
        )?
        .execute(params![letter, time as i64, end_word(end)])
        .map(drop)
    }

    fn note(
        &self,
        letter: i64,
        time: u64,
        (by, act, detail): (&str, &str, &str),
        value: Option<&[u8]>,
    ) -> rusqlite::Result<()> {
        self.prepare_cached(
            "INSERT INTO dead_letter_acts (letter, time, by, act, detail, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![letter, time as i64, by, act, detail, value])
        .map(drop)
    }
}
