//! Parked messages, as rows of `parked` and `timers`.

use saga_core::commit::{Entry, Parked, ParkedTimer, Parking};

use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;

/// Parks a message; returns its number. None if its identity is known: it was applied, or is parked.
pub(in crate::store::postgres) fn write(
    sql: &Sql,
    entry: &Entry,
    parking: &Parking,
) -> SqlResult<Option<i64>> {
    let (bytes, time) = (parking.bytes as i64, parking.time as i64);
    let row = match &parking.message {
        Parked::Timer(name, due) => sql.row(
            "INSERT INTO parked (participant, key, name, due, bytes, time) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
            &[&entry.participant, &entry.key, name, &(*due as i64), &bytes, &time],
        )?,
        Parked::Event(event) => {
            let (identity, record) = (&event.identity, &event.record);
            let position = &record.position;
            // Strings always have a JSON form.
            let attributes = serde_json::to_string(&record.attributes).unwrap_or_default();
            sql.row(
                "INSERT INTO parked (participant, key, name, event_id, source, consumer_group, topic, declared_topic,
                     incarnation, partition, position, record_key, value, attributes, made, bytes, time)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
                 ON CONFLICT DO NOTHING RETURNING id",
                &[
                    &entry.participant,
                    &entry.key,
                    &event.name,
                    &identity.id,
                    &identity.source,
                    &event.group,
                    &&*position.topic,
                    &event.declared_topic,
                    &position.incarnation.as_deref(),
                    &position.partition,
                    &position.offset,
                    &record.key,
                    &record.value,
                    &attributes,
                    &(record.timestamp as i64),
                    &bytes,
                    &time,
                ],
            )?
        }
    };
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Removes a parked message, for a turn that settles it; returns false if it is no longer parked.
pub(in crate::store::postgres) fn take(sql: &Sql, participant: i64, id: i64) -> SqlResult<bool> {
    let text = "DELETE FROM parked WHERE id = $1 AND participant = $2";
    Ok(sql.execute(text, &[&id, &participant])? == 1)
}

/// Marks a timer as parked, unless it was cancelled or reset.
pub(in crate::store::postgres) fn mark_timer(
    sql: &Sql,
    participant: i64,
    timer: &ParkedTimer,
) -> SqlResult<()> {
    let fired = &timer.fired;
    sql.execute(
        "UPDATE timers SET parked = $5, reason = $6, detail = $7, attempts = $8, digest = $9
         WHERE participant = $1 AND key = $2 AND name = $3 AND due = $4",
        &[
            &participant,
            &fired.key,
            &fired.name,
            &(fired.due as i64),
            &(timer.time as i64),
            &timer.reason,
            &timer.detail,
            &i64::from(timer.attempts),
            &timer.digest,
        ],
    )
    .map(drop)
}

/// Releases the parked timers of a participant to be offered again, except those with a place among
/// the messages of their key. Returns their number.
pub(in crate::store::postgres) fn release_timers(sql: &Sql, participant: i64) -> SqlResult<usize> {
    let rows = sql.execute(
        "UPDATE timers t SET parked = NULL WHERE participant = $1 AND parked IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM parked p WHERE p.participant = $1 AND p.key = t.key AND p.name = t.name AND p.due = t.due)",
        &[&participant],
    )?;
    Ok(usize::try_from(rows).unwrap_or(usize::MAX))
}
