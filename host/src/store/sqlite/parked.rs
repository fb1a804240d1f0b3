//! Parked messages, as rows of `parked` and `timers`.

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::commit::{Blocks, Entry, FiredTimer};
use saga_core::identity::Identity;
use saga_core::record::{Position, Record};

use super::ids::Id;
use super::{letter_queries, read};
use crate::store::parked::{
    Parked, ParkedEvent, ParkedKey, ParkedRow, ParkedTimer, ParkedTimerRow, Parking,
};
use crate::store::read::StoredTimer;

/// Parks a message; returns false if its identity is known: it was applied, or is parked.
pub(super) fn write(sql: &Connection, entry: &Entry, parking: &Parking) -> rusqlite::Result<bool> {
    let bytes = parking.bytes as i64;
    let time = parking.time as i64;
    let rows = match &parking.message {
        Parked::Timer(name, due) => sql
            .prepare_cached(
                "INSERT INTO parked (participant, key, name, due, bytes, time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![entry.participant, entry.key, name, *due as i64, bytes, time])?,
        Parked::Event(event) => {
            let (identity, record) = (&event.identity, &event.record);
            let position = &record.position;
            // Strings always have a JSON form.
            let attributes = serde_json::to_string(&record.attributes).unwrap_or_default();
            sql.prepare_cached(
                "INSERT OR IGNORE INTO parked (participant, key, name, event_id, source, consumer_group, topic,
                     declared_topic, incarnation, partition, offset, record_key, value, attributes, made, bytes, time)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            )?
            .execute(params![
                entry.participant,
                entry.key,
                event.name,
                Id::of(&identity.id),
                identity.source,
                event.group,
                &*position.topic,
                event.declared_topic,
                position.incarnation.as_deref(),
                position.partition,
                position.offset,
                record.key,
                record.value,
                attributes,
                record.timestamp as i64,
                bytes,
                time
            ])?
        }
    };
    Ok(rows == 1)
}

/// Removes a parked message, for a turn that settles it; returns false if it is no longer parked.
pub(super) fn take(sql: &Connection, participant: i64, id: i64) -> rusqlite::Result<bool> {
    let rows = sql
        .prepare_cached("DELETE FROM parked WHERE id = ?1 AND participant = ?2")?
        .execute(params![id, participant])?;
    Ok(rows == 1)
}

/// Marks a timer as parked, unless it was cancelled or reset.
pub(super) fn mark_timer(
    sql: &Connection,
    participant: i64,
    timer: &ParkedTimer,
) -> rusqlite::Result<()> {
    let fired = &timer.fired;
    sql.prepare_cached(
        "UPDATE timers SET parked = ?5, reason = ?6, detail = ?7, attempts = ?8, digest = ?9
         WHERE participant = ?1 AND key = ?2 AND name = ?3 AND due = ?4",
    )?
    .execute(params![
        participant,
        fired.key,
        fired.name,
        fired.due as i64,
        timer.time as i64,
        timer.reason,
        timer.detail,
        timer.attempts,
        timer.digest
    ])?;
    Ok(())
}

/// Releases the parked timers of a participant to be offered again, except those with a place among
/// the messages of their key. Returns their number.
pub(super) fn release_timers(sql: &Connection, participant: i64) -> rusqlite::Result<usize> {
    sql.prepare_cached(
        "UPDATE timers SET parked = NULL WHERE participant = ?1 AND parked IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM parked p WHERE p.participant = ?1 AND p.key = timers.key AND p.name = timers.name
                 AND p.due = timers.due)",
    )?
    .execute([participant])
}

/// The number of parked messages of a participant, and their bytes.
pub(super) fn totals(sql: &Connection, participant: i64) -> rusqlite::Result<(usize, usize)> {
    sql.prepare_cached(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM parked WHERE participant = ?1",
    )?
    .query_row([participant], |row| {
        let number = |at| row.get::<_, i64>(at).map(|number| number.max(0) as usize);
        Ok((number(0)?, number(1)?))
    })
}

/// The keys of a participant with parked messages.
pub(super) fn keys(sql: &Connection, participant: i64) -> rusqlite::Result<Vec<ParkedKey>> {
    sql.prepare_cached(
        "SELECT key, count(*), (
             SELECT d.reason = 'retries-exhausted' FROM dead_letters d
             WHERE d.participant = ?1 AND d.aggregate = p.key AND d.parked IS NOT NULL AND NOT d.is_aside),
             EXISTS (SELECT 1 FROM dead_letters d
             WHERE d.participant = ?1 AND d.aggregate = p.key AND d.parked IS NOT NULL AND d.request IS NOT NULL)
         FROM parked p WHERE participant = ?1 GROUP BY key ORDER BY key",
    )?
    .query_map([participant], |row| {
        Ok(ParkedKey {
            key: row.get(0)?,
            messages: row.get::<_, i64>(1)?.max(0) as usize,
            letter: row.get::<_, Option<bool>>(2)?.map(|is_exhausted| match is_exhausted {
                true => Blocks::Messages,
                false => Blocks::All,
            }),
            is_requested: row.get(3)?,
        })
    })?
    .collect()
}

/// The message that has been parked longest for another attempt: its key, and the time when it was
/// parked. It excludes messages of quarantined aggregates, messages behind a dead letter, and
/// records that the rules don't take: `taken` lists those that they do, by topic (the participant's
/// name for it) and event type.
pub(super) fn oldest_retried(
    sql: &Connection,
    participant: i64,
    taken: &[(&str, &str)],
) -> rusqlite::Result<Option<(String, u64)>> {
    // Strings always have a JSON form.
    let taken = serde_json::to_string(taken).unwrap_or_default();
    // A timer has no topic. The `+` makes SQLite read the rows in the order of their numbers, up to
    // the first that counts; by the index, it would read and sort all.
    sql.prepare_cached(
        "SELECT key, time FROM parked p WHERE +participant = ?1
             AND (declared_topic IS NULL
                 OR (declared_topic, name) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2)))
             AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.participant = ?1 AND q.key = p.key)
             AND NOT EXISTS (SELECT 1 FROM dead_letters d
                 WHERE d.participant = ?1 AND d.aggregate = p.key AND d.parked IS NOT NULL)
         ORDER BY id LIMIT 1",
    )?
    .query_row(params![participant, taken], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.max(0) as u64))
    })
    .optional()
}

/// The first message parked for a key after this number.
pub(super) fn next(
    sql: &Connection,
    participant: i64,
    key: &str,
    after: i64,
) -> rusqlite::Result<Option<ParkedRow>> {
    sql.prepare_cached(
        "SELECT p.id, p.bytes, p.name, p.due, p.event_id, p.source, p.consumer_group, p.topic, p.declared_topic,
             p.incarnation, p.partition, p.offset, p.record_key, p.value, p.attributes, p.made, d.id, d.request, d.requests,
             d.reason = 'retries-exhausted', d.is_aside
         FROM parked p LEFT JOIN dead_letters d ON d.parked = p.id
         WHERE p.participant = ?1 AND p.key = ?2 AND p.id > ?3 ORDER BY p.id LIMIT 1",
    )?
    .query_row(params![participant, key, after], |row| {
        let due: Option<i64> = row.get(3)?;
        let message = match due {
            Some(due) => Parked::Timer(row.get(2)?, due as u64),
            None => Parked::Event(Box::new(event(row)?)),
        };
        Ok(ParkedRow {
            id: row.get(0)?,
            bytes: row.get::<_, i64>(1)?.max(0) as usize,
            message,
            letter: letter_queries::of_parked(row, 16)?,
        })
    })
    .optional()
}

fn event(row: &rusqlite::Row<'_>) -> rusqlite::Result<ParkedEvent> {
    let attributes: String = row.get(14)?;
    let incarnation: Option<String> = row.get(9)?;
    Ok(ParkedEvent {
        identity: Identity {
            id: read::id(row, 4)?.unwrap_or_default(),
            source: row.get(5)?,
        },
        name: row.get(2)?,
        group: row.get(6)?,
        declared_topic: row.get(8)?,
        record: Record {
            position: Position {
                topic: row.get::<_, String>(7)?.into(),
                incarnation: incarnation.map(Into::into),
                partition: row.get(10)?,
                offset: row.get(11)?,
            },
            timestamp: row.get::<_, i64>(15)? as u64,
            key: row.get(12)?,
            value: row.get(13)?,
            attributes: serde_json::from_str(&attributes).unwrap_or_default(),
        },
    })
}

/// A timer that is set for that time.
pub(super) fn timer(
    sql: &Connection,
    participant: i64,
    timer: &FiredTimer,
) -> rusqlite::Result<Option<StoredTimer>> {
    sql.prepare_cached(
        "SELECT key, name, due, body, set_by, correlation, traceparent FROM timers
         WHERE participant = ?1 AND key = ?2 AND name = ?3 AND due = ?4",
    )?
    .query_row(
        params![participant, timer.key, timer.name, timer.due as i64],
        read::timer_of,
    )
    .optional()
}

/// The number of parked events of this type of a participant.
pub(super) fn of_name(
    sql: &Connection,
    participant: i64,
    event_type: &str,
) -> rusqlite::Result<u64> {
    sql.prepare_cached(
        "SELECT count(*) FROM parked WHERE participant = ?1 AND name = ?2 AND due IS NULL",
    )?
    .query_row(params![participant, event_type], |row| {
        row.get::<_, i64>(0).map(|count| count.max(0) as u64)
    })
}

/// The number of parked timers of a participant, counted up to `most`.
pub(super) fn timers_up_to(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<u64> {
    sql.prepare_cached(
        "SELECT count(*) FROM (
             SELECT 1 FROM timers WHERE participant = ?1 AND parked IS NOT NULL LIMIT ?2)",
    )?
    .query_row(params![participant, most as i64], |row| {
        row.get::<_, i64>(0).map(|count| count.max(0) as u64)
    })
}

/// The timers of a participant that have been parked longest, at most `most`.
pub(super) fn timers(
    sql: &Connection,
    participant: i64,
    most: usize,
) -> rusqlite::Result<Vec<ParkedTimerRow>> {
    sql.prepare_cached(
        "SELECT key, name, parked, coalesce(reason, ''), coalesce(detail, '') FROM timers
         WHERE participant = ?1 AND parked IS NOT NULL ORDER BY parked, key, name LIMIT ?2",
    )?
    .query_map(params![participant, most as i64], |row| {
        Ok(ParkedTimerRow {
            key: row.get(0)?,
            name: row.get(1)?,
            since: row.get::<_, i64>(2)? as u64,
            reason: row.get(3)?,
            detail: row.get(4)?,
        })
    })?
    .collect()
}

#[cfg(test)]
#[path = "parked_tests.rs"]
mod tests;
