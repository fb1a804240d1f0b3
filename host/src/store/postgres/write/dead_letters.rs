//! Dead letters, as rows of `dead_letters`, and the actions on them.

use saga_core::commit::{DeadLetter, Entry, FailedRedrive, LetterEnd, Parking, ReturnedRecord};
use saga_core::identity::Identity;

use super::{entry, parked};
use crate::store::dead_letters::{NewLetterRequest, end_word, request_word};
use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::session::Sql;
use crate::store::writing::letters::{self, FoundLetter, LetterRows};

/// Another host was first.
const SETTLED: SqlError = SqlError::Superseded("another host has settled the message");

/// Writes a dead letter. A letter that stays parked is the parked message of its identity.
pub(super) fn write(sql: &Sql, entry: &Entry, letter: &DeadLetter) -> SqlResult<()> {
    let (record, identity) = (&letter.record, letter.identity.as_ref());
    let position = &record.position;
    // Strings always have a JSON form.
    let attributes = serde_json::to_string(&record.attributes).unwrap_or_default();
    let parked: Option<i64> = match (letter.is_parked, identity) {
        (true, Some(Identity { id, source })) => {
            let text = "SELECT id FROM parked WHERE participant = $1 AND event_id = $2 AND source = $3 FOR UPDATE";
            let row = sql.row(text, &[&entry.participant, id, source])?;
            Some(row.ok_or(SETTLED)?.try_get(0)?)
        }
        _ => None,
    };
    let rows = sql.execute(
        "INSERT INTO dead_letters (participant, aggregate, consumer, topic, declared_topic, incarnation, partition,
             position, made, attributes, key, value, event_id, source, reason, detail, attempts, digest, time, parked)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
         ON CONFLICT (parked) WHERE parked IS NOT NULL DO NOTHING",
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
            &parked,
        ],
    )?;
    match rows {
        0 => Err(SETTLED),
        _ => Ok(()),
    }
}

/// Records a failed redrive of a letter that stays parked. A later request is still to be done.
pub(super) fn failed(sql: &Sql, failed: &FailedRedrive) -> SqlResult<()> {
    let rows = sql.execute(
        "UPDATE dead_letters SET failed_redrives = failed_redrives + 1, reason = $2, detail = $3, attempts = $4, digest = $5,
             request = CASE WHEN requests > $6 THEN request END
         WHERE id = $1 AND request IS NOT NULL",
        &[
            &failed.letter,
            &failed.reason,
            &failed.detail,
            &i64::from(failed.attempts),
            &failed.digest,
            &failed.request,
        ],
    )?;
    if rows == 0 {
        return Err(SETTLED);
    }
    letters::note_failed(sql, failed)
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
        letters::note_failed(sql, failed)?;
    }
    Ok(rows == 1)
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
    sql.note(returned.letter, returned.time, (&by, "returned", ""), None)
}

impl LetterRows for Sql {
    type Error = SqlError;

    fn found(&self, participant: i64, letter: i64) -> SqlResult<Option<FoundLetter>> {
        let found = self.row(
            "SELECT coalesce(d.aggregate, (SELECT p.key FROM parked p WHERE p.id = d.parked)), d.parked, d.ended_as
             FROM dead_letters d WHERE d.id = $1 AND d.participant = $2 FOR UPDATE OF d",
            &[&letter, &participant],
        )?;
        let found = found.map(|row| {
            Ok(FoundLetter {
                aggregate: row.try_get(0)?,
                parked: row.try_get(1)?,
                ended: row.try_get(2)?,
            })
        });
        found.transpose()
    }

    fn remember(&self, participant: i64, identity: &Identity, time: u64) -> SqlResult<bool> {
        entry::remember(self, participant, identity, time)
    }

    fn park(&self, entry: &Entry, parking: &Parking) -> SqlResult<Option<i64>> {
        parked::write(self, entry, parking)
    }

    fn set_aside(&self, letter: i64) -> SqlResult<()> {
        let text = "UPDATE dead_letters SET is_aside = true WHERE id = $1";
        self.execute(text, &[&letter]).map(drop)
    }

    fn set_request(&self, asked: &NewLetterRequest, parked: i64) -> SqlResult<()> {
        self.execute(
            // A discard that is still to be done stays one.
            "UPDATE dead_letters SET request = coalesce(nullif(request, 'redrive'), $2), requests = requests + 1,
                 parked = $3, corrected = coalesce($4, corrected) WHERE id = $1",
            &[&asked.letter, &request_word(asked.request), &parked, &asked.corrected],
        )?;
        if let Some(value) = &asked.corrected {
            let text = "UPDATE parked SET value = $2 WHERE id = $1";
            self.execute(text, &[&parked, value])?;
        }
        Ok(())
    }

    fn set_end(&self, letter: i64, end: LetterEnd, time: u64) -> SqlResult<()> {
        self.execute(
            "UPDATE dead_letters SET ended = $2, ended_as = $3, parked = NULL, request = NULL WHERE id = $1",
            &[&letter, &(time as i64), &end_word(end)],
        )
        .map(drop)
    }

    fn note(
        &self,
        letter: i64,
        time: u64,
        (by, act, detail): (&str, &str, &str),
        value: Option<&[u8]>,
    ) -> SqlResult<()> {
        self.execute(
            "INSERT INTO dead_letter_acts (letter, time, by, act, detail, value) VALUES ($1, $2, $3, $4, $5, $6)",
            &[&letter, &(time as i64), &by, &act, &detail, &value],
        )
        .map(drop)
    }
}
