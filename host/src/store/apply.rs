//! One entry as SQL. Only the writer calls this, inside its transaction.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use saga_core::identity::Identity;
use saga_core::outcome::{StateChange, TimerChange};
use saga_core::settle::Settlement;

use super::entry::{DeadLetter, Entry, FiredTimer, OutboxRow};
use super::idempotency;
use super::offsets::write_place;
use super::parked;
use super::quarantine;
use super::tally::Tallies;
use crate::base::session::Proof;

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    /// It is written.
    Written,
    /// Its event was applied before (invariant 3): only that it was consumed is written.
    Duplicate,
}

type Places = HashMap<(std::sync::Arc<str>, i64, i32), (i64, Option<Proof>)>;

/// Rows that every turn would write again; they are written once, at the end of a batch.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Next offset of a partition of the outbox, by topic and partition.
    partitions: HashMap<(i64, i32), i64>,
    /// Last generated key, by participant.
    last_keys: HashMap<i64, i64>,
    /// Where a consumer reads on, and what it has read last, by consumer, topic and partition.
    offsets: Places,
    /// What the builds were asked.
    tallies: Tallies,
}

impl Counters {
    /// Forgets everything: the batch is over, one way or the other.
    pub(super) fn clear(&mut self) {
        self.partitions.clear();
        self.last_keys.clear();
        self.offsets.clear();
        self.tallies.clear();
    }

    fn next_offset(
        &mut self,
        sql: &Connection,
        topic: i64,
        partition: i32,
    ) -> rusqlite::Result<i64> {
        use std::collections::hash_map::Entry as Slot;
        let next = match self.partitions.entry((topic, partition)) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                let stored = sql
                    .prepare_cached(
                        "SELECT next_offset FROM partitions WHERE topic = ?1 AND partition = ?2",
                    )?
                    .query_row(params![topic, partition], |row| row.get(0));
                slot.insert(match stored {
                    Err(rusqlite::Error::QueryReturnedNoRows) => 0,
                    other => other?,
                })
            }
        };
        let offset = *next;
        *next += 1;
        Ok(offset)
    }

    /// Writes them.
    pub(super) fn flush(&mut self, sql: &Connection) -> rusqlite::Result<()> {
        for ((topic, partition), next) in &self.partitions {
            sql.prepare_cached(
                "INSERT INTO partitions (topic, partition, next_offset) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
            )?
            .execute(params![topic, partition, next])?;
        }
        for (participant, key) in &self.last_keys {
            sql.prepare_cached(
                "UPDATE participants SET last_key = max(last_key, ?2) WHERE id = ?1",
            )?
            .execute(params![participant, key])?;
        }
        for ((consumer, topic, partition), next) in &self.offsets {
            write_place(sql, consumer, *topic, *partition, *next)?;
        }
        self.tallies.flush(sql)
    }
}

/// Writes one entry. What is remembered so that nothing takes effect twice is kept as if it were of the time `trusted` at
/// least: a clock that is behind would make it old as soon as it is set right.
pub(super) fn apply(
    sql: &Connection,
    counters: &mut Counters,
    entry: &Entry,
    trusted: u64,
) -> rusqlite::Result<Applied> {
    if let Some(taken) = &entry.taken {
        let session = &taken.session;
        let next = session.settle(taken.offset);
        counters.offsets.insert(
            (
                session.source.consumer.clone(),
                session.source.topic_row,
                session.partition,
            ),
            next,
        );
    }
    if let Some(unparked) = &entry.unparked
        && !parked::take(sql, entry, unparked, trusted)?
    {
        return Ok(Applied::Duplicate);
    }
    if let Some(settlement) = &entry.settlement {
        let time = settlement.journal.time.max(trusted);
        if !remember(sql, entry.participant, settlement.inbox.as_ref(), time)? {
            return Ok(Applied::Duplicate);
        }
        write_state(sql, entry, settlement)?;
        write_timers(sql, entry.participant, settlement)?;
        write_journal(sql, entry, settlement)?;
        if let Some(kept) = &entry.kept_reply {
            idempotency::write(sql, entry.participant, kept, &settlement.key, time)?;
        }
    }
    if let Some(letter) = &entry.dead_letter {
        if !remember(
            sql,
            entry.participant,
            entry.put_aside.as_ref(),
            letter.time.max(trusted),
        )? {
            return Ok(Applied::Duplicate);
        }
        write_dead_letter(sql, entry.participant, letter)?;
    }
    if let Some(parking) = &entry.parking
        && !(remember(
            sql,
            entry.participant,
            parking.identity(),
            parking.time.max(trusted),
        )? && parked::write(sql, entry, parking)?)
    {
        return Ok(Applied::Duplicate);
    }
    if let Some(timer) = &entry.parked_timer {
        parked::mark_timer(sql, entry.participant, timer)?;
    }
    if let Some(quarantine) = &entry.quarantine {
        quarantine::write(sql, entry, quarantine)?;
    }
    if let Some(tally) = &entry.tally {
        counters.tallies.add(tally);
    }
    if let Some(key) = entry.generated_key {
        let last = counters.last_keys.entry(entry.participant).or_default();
        *last = key.max(*last);
    }
    for row in &entry.outbox {
        let offset = counters.next_offset(sql, row.topic, row.partition)?;
        write_outbox(sql, entry.generation, offset, row)?;
    }
    if let Some(timer) = &entry.fired {
        delete_timer(sql, entry.participant, timer, entry.settlement.as_ref())?;
    }
    Ok(Applied::Written)
}

/// Notes an identity; false where it is there already.
fn remember(
    sql: &Connection,
    participant: i64,
    identity: Option<&Identity>,
    time: u64,
) -> rusqlite::Result<bool> {
    let Some(identity) = identity else {
        return Ok(true);
    };
    let rows = sql
        .prepare_cached(
            "INSERT OR IGNORE INTO inbox (participant, id, source, time) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            participant,
            identity.id,
            identity.source,
            time as i64
        ])?;
    Ok(rows == 1)
}

fn write_state(sql: &Connection, entry: &Entry, settlement: &Settlement) -> rusqlite::Result<()> {
    let state = match &settlement.state {
        StateChange::Unchanged => return write_migrated(sql, entry, settlement),
        StateChange::Put(state) => Some(state),
        StateChange::Remove => {
            // Timers belong to the aggregate and go with it; the turn may set new ones.
            sql.prepare_cached("DELETE FROM timers WHERE participant = ?1 AND key = ?2")?
                .execute(params![entry.participant, settlement.key])?;
            None
        }
    };
    sql.prepare_cached(
        "INSERT INTO aggregates (participant, key, revision, state_version, state) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET revision = excluded.revision, state_version = excluded.state_version,
             state = excluded.state",
    )?
    .execute(params![entry.participant, settlement.key, settlement.revision as i64, entry.state_version, state])?;
    Ok(())
}

/// A state in a new shape is the same state: its revision stays.
fn write_migrated(
    sql: &Connection,
    entry: &Entry,
    settlement: &Settlement,
) -> rusqlite::Result<()> {
    let Some(state) = &entry.migrated else {
        return Ok(());
    };
    sql.prepare_cached(
        "UPDATE aggregates SET state = ?3, state_version = ?4 WHERE participant = ?1 AND key = ?2",
    )?
    .execute(params![
        entry.participant,
        settlement.key,
        &**state,
        entry.state_version
    ])?;
    Ok(())
}

fn write_timers(
    sql: &Connection,
    participant: i64,
    settlement: &Settlement,
) -> rusqlite::Result<()> {
    for change in &settlement.timers {
        match change {
            TimerChange::Set(timer) => {
                let by = &settlement.cause;
                sql.prepare_cached(
                    "INSERT OR REPLACE INTO timers
                         (participant, key, name, due, body, set_by, correlation, traceparent)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    participant,
                    settlement.key,
                    timer.name,
                    timer.due as i64,
                    timer.body,
                    by.id,
                    by.correlation,
                    by.traceparent
                ])?;
            }
            TimerChange::Cancel(name) => {
                sql.prepare_cached(
                    "DELETE FROM timers WHERE participant = ?1 AND key = ?2 AND name = ?3",
                )?
                .execute(params![participant, settlement.key, name])?;
            }
        }
    }
    Ok(())
}

fn write_journal(sql: &Connection, entry: &Entry, settlement: &Settlement) -> rusqlite::Result<()> {
    let journal = &settlement.journal;
    sql.prepare_cached(
        "INSERT INTO journal (generation, key, revision, state, message, outcome, fuel, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        entry.generation,
        settlement.key,
        journal.revision_before as i64,
        journal.state_before,
        journal.message,
        journal.outcome,
        journal.fuel as i64,
        journal.time as i64
    ])?;
    Ok(())
}

fn write_outbox(
    sql: &Connection,
    generation: i64,
    offset: i64,
    row: &OutboxRow,
) -> rusqlite::Result<()> {
    let attributes = &row.attributes;
    let extra = (!attributes.extra.is_empty())
        .then(|| serde_json::to_string(&attributes.extra).unwrap_or_default());
    sql.prepare_cached(
        "INSERT INTO outbox (topic, partition, offset, generation, event_type, key, value, event_id,
             correlation, causation, traceparent, extra, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    )?
    .execute(params![
        row.topic,
        row.partition,
        offset,
        row.from_generation.then_some(generation),
        attributes.event_type,
        row.key,
        row.value,
        attributes.id,
        attributes.correlation,
        attributes.causation,
        attributes.traceparent,
        extra,
        row.time as i64
    ])?;
    Ok(())
}

/// Deletes the timer that fired, unless the turn set it anew.
fn delete_timer(
    sql: &Connection,
    participant: i64,
    timer: &FiredTimer,
    settlement: Option<&Settlement>,
) -> rusqlite::Result<()> {
    let set_anew = settlement.is_some_and(|settlement| {
        settlement
            .timers
            .iter()
            .any(|change| matches!(change, TimerChange::Set(set) if set.name == timer.name))
    });
    if !set_anew {
        sql.prepare_cached(
            "DELETE FROM timers WHERE participant = ?1 AND key = ?2 AND name = ?3 AND due = ?4",
        )?
        .execute(params![
            participant,
            timer.key,
            timer.name,
            timer.due as i64
        ])?;
    }
    Ok(())
}

fn write_dead_letter(
    sql: &Connection,
    participant: i64,
    letter: &DeadLetter,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO dead_letters (participant, consumer, topic, partition, offset, key, value, reason, detail,
             attempts, digest, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        participant,
        letter.consumer,
        letter.topic,
        letter.partition,
        letter.offset,
        letter.key,
        letter.value,
        letter.reason,
        letter.detail,
        letter.attempts,
        letter.digest,
        letter.time as i64
    ])?;
    Ok(())
}
