//! The SQL of one entry. Only the writer calls this, inside its transaction.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use saga_core::commit::{Entry, Fate, FiredTimer, OutboxRow, Write};
use saga_core::identity::Identity;
use saga_core::outcome::TimerChange;
use saga_core::settle::{Cause, JournalEntry};

use super::dead_letters;
use super::idempotency;
use super::ids::{Id, Trace};
use super::offsets::write_place;
use super::parked;
use super::quarantine;
use super::tally;
use crate::base::session::Proof;
use crate::store::writing::letters;
use crate::store::writing::tallies::Tallies;

type Places = HashMap<(std::sync::Arc<str>, i64, i32), (i64, Option<Proof>)>;

/// Rows that every turn would write again; they are written once, at the end of a batch.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Next offset of a partition of the outbox, by topic and partition.
    partitions: HashMap<(i64, i32), i64>,
    /// Last generated key, by participant.
    last_keys: HashMap<i64, i64>,
    /// The offset at which a consumer resumes, and the proof of the last record, by consumer, topic
    /// and partition.
    offsets: Places,
    /// The tallies of the generations.
    tallies: Tallies,
}

impl Counters {
    /// Clears everything at the end of the batch, committed or not.
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
        tally::add(sql, &self.tallies)
    }
}

/// Writes one entry, item by item. If a guard is refused, the writes that it guards are skipped:
/// only the consumption of the message is written. Rows that deduplicate messages get `trusted` as
/// their earliest time: with a clock that is behind, they would become old as soon as it is set
/// right.
pub(super) fn apply(
    sql: &Connection,
    counters: &mut Counters,
    entry: &Entry,
    trusted: u64,
) -> rusqlite::Result<Fate> {
    for write in &entry.writes {
        if !apply_one(sql, counters, entry, write, trusted)? {
            return Ok(Fate::Duplicate);
        }
    }
    Ok(Fate::Written)
}

/// Writes one item; returns false if it is a refused guard.
fn apply_one(
    sql: &Connection,
    counters: &mut Counters,
    entry: &Entry,
    write: &Write,
    trusted: u64,
) -> rusqlite::Result<bool> {
    let participant = entry.participant;
    match write {
        Write::Offset(offset) => {
            let place = (offset.consumer.clone(), offset.topic, offset.partition);
            counters.offsets.insert(place, (offset.next, offset.last));
        }
        Write::Unpark(id) => return parked::take(sql, participant, *id),
        Write::Inbox(identity, time) => {
            return remember(sql, participant, identity, (*time).max(trusted));
        }
        Write::InboxKept(identity, time) => {
            keep(sql, participant, identity, (*time).max(trusted))?;
        }
        Write::InboxForgotten(identity) => forget(sql, participant, identity)?,
        Write::State(state, revision, saga) => {
            write_state(sql, entry, state.as_deref(), (*revision, saga))?;
        }
        Write::Migrated(state, _) => write_migrated(sql, entry, state)?,
        Write::Timers(changes, by) => write_timers(sql, entry, changes, by)?,
        Write::Fired(timer) => delete_timer(sql, participant, timer)?,
        Write::Journal(journal) => write_journal(sql, entry, journal)?,
        Write::Reply(kept) => {
            let key = entry.key.as_deref().unwrap_or_default();
            idempotency::write(sql, participant, kept, key, kept.time.max(trusted))?;
        }
        Write::GeneratedKey(key) => {
            let last = counters.last_keys.entry(participant).or_default();
            *last = (*key).max(*last);
        }
        Write::DeadLetter(letter) => dead_letters::write(sql, entry, letter)?,
        Write::LetterEnded(letter, end, time) => letters::end(sql, *letter, *end, *time)?,
        Write::FailedRedrive(failed) => dead_letters::failed(sql, failed)?,
        Write::FailedAside(failed) => return dead_letters::failed_aside(sql, failed),
        Write::ReturnedRecord(returned) => dead_letters::returned(sql, returned)?,
        Write::Park(parking) => return parked::write(sql, entry, parking),
        Write::ParkTimer(timer) => parked::mark_timer(sql, participant, timer)?,
        Write::Quarantine(reason, time) => quarantine::put(sql, entry, reason, *time)?,
        Write::QuarantineLifted => quarantine::lift(sql, entry)?,
        Write::Tally(tally) => counters.tallies.add(tally),
        Write::Publish(row) => {
            let offset = counters.next_offset(sql, row.topic, row.partition)?;
            let generation = row.from_generation.then_some(entry.generation);
            write_outbox(sql, generation, offset, row)?;
        }
    }
    Ok(true)
}

/// Notes an identity; returns false if it is there already.
pub(super) fn remember(
    sql: &Connection,
    participant: i64,
    identity: &Identity,
    time: u64,
) -> rusqlite::Result<bool> {
    let Identity { id, source } = identity;
    let rows = sql
        .prepare_cached(
            "INSERT OR IGNORE INTO inbox (participant, id, source, time) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![participant, Id::of(id), source, time as i64])?;
    Ok(rows == 1)
}

/// Restarts the retention of an identity: a repeat is deduplicated for as long as that of a record
/// that was decided at once.
fn keep(
    sql: &Connection,
    participant: i64,
    identity: &Identity,
    time: u64,
) -> rusqlite::Result<()> {
    let Identity { id, source } = identity;
    sql.prepare_cached(
        "INSERT OR REPLACE INTO inbox (participant, id, source, time) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![participant, Id::of(id), source, time as i64])?;
    Ok(())
}

fn forget(sql: &Connection, participant: i64, identity: &Identity) -> rusqlite::Result<()> {
    sql.prepare_cached("DELETE FROM inbox WHERE participant = ?1 AND id = ?2 AND source = ?3")?
        .execute(params![participant, Id::of(&identity.id), identity.source])?;
    Ok(())
}

fn write_state(
    sql: &Connection,
    entry: &Entry,
    state: Option<&str>,
    (revision, saga): (u64, &str),
) -> rusqlite::Result<()> {
    if state.is_none() {
        // Timers belong to the aggregate and are deleted with it; the turn may set new ones.
        sql.prepare_cached("DELETE FROM timers WHERE participant = ?1 AND key = ?2")?
            .execute(params![entry.participant, entry.key])?;
    }
    sql.prepare_cached(
        "INSERT INTO aggregates (participant, key, revision, state_version, state, correlation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET revision = excluded.revision, state_version = excluded.state_version,
             state = excluded.state, correlation = excluded.correlation",
    )?
    .execute(params![
        entry.participant,
        entry.key,
        revision as i64,
        entry.state_version,
        state,
        Id::of(saga)
    ])?;
    Ok(())
}

/// A migrated state is the same state: its revision stays.
fn write_migrated(sql: &Connection, entry: &Entry, state: &str) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "UPDATE aggregates SET state = ?3, state_version = ?4 WHERE participant = ?1 AND key = ?2",
    )?
    .execute(params![
        entry.participant,
        entry.key,
        state,
        entry.state_version
    ])?;
    Ok(())
}

fn write_timers(
    sql: &Connection,
    entry: &Entry,
    changes: &[TimerChange],
    by: &Cause,
) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            TimerChange::Set(timer) => {
                sql.prepare_cached(
                    "INSERT OR REPLACE INTO timers
                         (participant, key, name, due, body, set_by, correlation, traceparent)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )?
                .execute(params![
                    entry.participant,
                    entry.key,
                    timer.name,
                    timer.due as i64,
                    timer.body,
                    Id::of(&by.id),
                    Id::of(&by.correlation),
                    by.traceparent.as_deref().map(Trace::of)
                ])?;
            }
            TimerChange::Cancel(name) => {
                sql.prepare_cached(
                    "DELETE FROM timers WHERE participant = ?1 AND key = ?2 AND name = ?3",
                )?
                .execute(params![entry.participant, entry.key, name])?;
            }
        }
    }
    Ok(())
}

fn write_journal(sql: &Connection, entry: &Entry, journal: &JournalEntry) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO journal (generation, key, revision, state, decision, fuel, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        entry.generation,
        entry.key,
        journal.revision_before as i64,
        journal.state_before,
        journal.decision,
        journal.fuel as i64,
        journal.time as i64
    ])?;
    Ok(())
}

/// Writes a record that no turn has decided; returns its offset. To be called after the counters of
/// the batch were flushed.
pub(super) fn append(sql: &Connection, row: &OutboxRow) -> rusqlite::Result<i64> {
    let mut counters = Counters::default();
    let offset = counters.next_offset(sql, row.topic, row.partition)?;
    write_outbox(sql, None, offset, row)?;
    counters.flush(sql)?;
    Ok(offset)
}

fn write_outbox(
    sql: &Connection,
    generation: Option<i64>,
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
        generation,
        attributes.event_type,
        row.key,
        row.value,
        attributes.id.as_deref().map(Id::of),
        attributes.correlation.as_deref().map(Id::of),
        attributes.causation.as_deref().map(Id::of),
        attributes.traceparent.as_deref().map(Trace::of),
        extra,
        row.time as i64
    ])?;
    Ok(())
}

/// Deletes the fired timer, unless it was reset for another time.
fn delete_timer(sql: &Connection, participant: i64, timer: &FiredTimer) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "DELETE FROM timers WHERE participant = ?1 AND key = ?2 AND name = ?3 AND due = ?4",
    )?
    .execute(params![
        participant,
        timer.key,
        timer.name,
        timer.due as i64
    ])?;
    Ok(())
}
