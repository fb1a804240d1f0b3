//! Deletion of old rows, so that no table grows without bound (invariant 9).
//!
//! Deletion is spread over many small steps between commits. An event may be deleted when it is
//! older than the retention and every consumer of this store has read it; an identity when it is
//! older than the retention, since repeated events are deduplicated for that long. Replies of
//! repeatable commands have their own retention, and so have dead letters: operators must handle
//! those, and they are kept for long.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::idempotency::{self, KnownKeys};
use super::journal_size::BYTES;
use super::packing;
use super::sweep::{Numbered, Oldest, STEP, Sweep};
use crate::store::settings::StoreSettings;
pub(super) use crate::store::streams::OutboxReaders;
use crate::store::writing::journal_size::JournalSize;

impl OutboxReaders {
    /// A condition on `offsets.consumer`; ?1 is the end of the retention. Consumers of another,
    /// earlier transport no longer read.
    fn condition(self) -> &'static str {
        match self {
            Self::Consumers => {
                "o.consumer GLOB 'log:*' AND o.consumer <> 'log:relay' AND (o.dropped IS NULL OR o.dropped >= ?1)"
            }
            Self::Relay => "o.consumer = 'log:relay' AND ?1 IS NOT NULL",
        }
    }
}

/// Where a sweep through the inbox begins.
const START: (i64, Value, String) = (0, Value::Null, String::new());

/// Deletes old rows a step at a time.
pub(super) struct Pruner {
    retention_ms: u64,
    dead_letters_ms: u64,
    readers: OutboxReaders,
    known_keys: Arc<KnownKeys>,
    /// Identity at which the sweep through the inbox continues; the inbox has no order by time.
    inbox: (i64, Value, String),
    idempotency_keys: Sweep,
    journal: Sweep,
    journal_size: JournalSize,
    dead_letters: Sweep,
    /// By topic and partition.
    outbox: HashMap<(i64, i32), Sweep>,
}

impl Pruner {
    pub(super) fn new(
        settings: &StoreSettings,
        readers: OutboxReaders,
        known_keys: Arc<KnownKeys>,
    ) -> Self {
        Self {
            retention_ms: settings.retention_hours.saturating_mul(3_600_000),
            dead_letters_ms: settings.dead_letter_hours.saturating_mul(3_600_000),
            readers,
            known_keys,
            inbox: START,
            idempotency_keys: Sweep::default(),
            journal: Sweep::default(),
            journal_size: JournalSize::new(settings.journal_bytes),
            dead_letters: Sweep::default(),
            outbox: HashMap::new(),
        }
    }

    /// Runs one step at this time (milliseconds since the Unix epoch). Returns true if there is
    /// more to delete.
    pub(super) fn step(&mut self, sql: &Connection, now: u64) -> rusqlite::Result<bool> {
        let before = now.saturating_sub(self.retention_ms) as i64;
        let read = (before, now as i64);
        let journal = self.prune_journal(sql, read)?;
        let read = (now.saturating_sub(self.dead_letters_ms) as i64, now as i64);
        let letters = prune_by_age(
            sql,
            &mut self.dead_letters,
            ("dead_letters", "id", "parked IS NULL"),
            read,
            None,
        )?;
        let outbox = self.prune_outbox(sql, before, now as i64)?;
        let inbox = self.sweep_inbox(sql, before)?;
        let keys = idempotency::prune(
            sql,
            (&self.known_keys, &mut self.idempotency_keys),
            now,
            STEP,
        )?;
        packing::prune(sql, before)?;
        Ok(journal || letters || outbox || inbox || keys)
    }

    /// Deletes recorded decisions that are old, and the oldest ones beyond the bound.
    fn prune_journal(&mut self, sql: &Connection, read: (i64, i64)) -> rusqlite::Result<bool> {
        let part = ("journal", "seq", "true");
        let size = Some(&mut self.journal_size).filter(|size| size.is_bounded());
        let old = prune_by_age(sql, &mut self.journal, part, read, size)?;
        Ok(self.journal_size.step(sql)? || old)
    }

    fn sweep_inbox(&mut self, sql: &Connection, before: i64) -> rusqlite::Result<bool> {
        let (participant, id, source) = &self.inbox;
        let rows: Vec<(i64, Value, String, i64)> = sql
            .prepare_cached(
                "SELECT participant, id, source, time FROM inbox
                 WHERE (participant, id, source) > (?1, ?2, ?3) ORDER BY participant, id, source LIMIT ?4",
            )?
            .query_map(params![participant, id, source, STEP], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        self.inbox = rows
            .last()
            .map_or(START, |(p, i, s, _)| (*p, i.clone(), s.clone()));
        let old: Vec<_> = rows
            .into_iter()
            .filter(|(.., time)| *time < before)
            .collect();
        if old.is_empty() {
            return Ok(false);
        }
        let transaction = sql.unchecked_transaction()?;
        for (participant, id, source, _) in old {
            sql.prepare_cached(
                // A parked record is recognised by its own.
                "DELETE FROM inbox WHERE participant = ?1 AND id = ?2 AND source = ?3 AND NOT EXISTS (
                     SELECT 1 FROM parked p WHERE p.participant = ?1 AND p.event_id = ?2 AND p.source = ?3)",
            )?
            .execute(params![participant, id, source])?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Deletes old events that all readers of the outbox have read. A topic without a reader here
    /// keeps them for the retention only.
    fn prune_outbox(&mut self, sql: &Connection, before: i64, now: i64) -> rusqlite::Result<bool> {
        let partitions: Vec<(i64, i32, i64)> = sql
            .prepare_cached(&format!(
                "SELECT p.topic, p.partition, min(p.next_offset, coalesce(min(o.next_offset), p.next_offset))
                 FROM partitions p LEFT JOIN offsets o
                     ON o.topic = p.topic AND o.partition = p.partition AND {}
                 GROUP BY p.topic, p.partition",
                self.readers.condition()
            ))?
            .query_map([before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut more = false;
        for (topic, partition, read) in partitions {
            let rows = Numbered {
                table: "outbox",
                number: "offset",
                part: "topic = ?3 AND partition = ?4",
                of: &[&topic, &partition],
            };
            let sweep = self.outbox.entry((topic, partition)).or_default();
            match sweep.oldest(sql, &rows, before, now)? {
                Oldest::From(first) if first < read => {
                    let deleted = sql
                        .prepare_cached(
                            "DELETE FROM outbox WHERE topic = ?1 AND partition = ?2
                                 AND offset >= ?3 AND offset < ?4 AND time < ?5",
                        )?
                        .execute(params![
                            topic,
                            partition,
                            first,
                            read.min(first + STEP),
                            before
                        ])?;
                    more |= deleted as i64 == STEP;
                }
                Oldest::Later => more = true,
                Oldest::From(_) | Oldest::Nothing => {}
            }
        }
        Ok(more)
    }
}

/// Deletes the oldest rows of this part of a table whose numbers are in the order of its times. Those
/// of the journal are told to its size.
fn prune_by_age(
    sql: &Connection,
    sweep: &mut Sweep,
    (table, number, part): (&'static str, &'static str, &'static str),
    (before, now): (i64, i64),
    size: Option<&mut JournalSize>,
) -> rusqlite::Result<bool> {
    let rows = Numbered {
        table,
        number,
        part,
        of: &[],
    };
    // Checking costs a read; only rows to delete cost a commit.
    let first = match sweep.oldest(sql, &rows, before, now)? {
        Oldest::From(first) => first,
        Oldest::Later => return Ok(true),
        Oldest::Nothing => return Ok(false),
    };
    let delete = format!(
        "DELETE FROM {table} WHERE time < ?1
             AND {number} IN (SELECT {number} FROM {table} WHERE {number} >= ?2 AND {part}
                 ORDER BY {number} LIMIT ?3)"
    );
    let terms = params![before, first, STEP];
    let Some(size) = size else {
        return Ok(sql.prepare_cached(&delete)?.execute(terms)? as i64 == STEP);
    };
    let mut statement = sql.prepare_cached(&format!("{delete} RETURNING seq, {BYTES}"))?;
    let mut deleted = statement.query(terms)?;
    let mut count = 0;
    while let Some(row) = deleted.next()? {
        size.is_deleted(row.get(0)?, row.get(1)?);
        count += 1;
    }
    Ok(count == STEP)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::store::IdempotencySettings;
    use crate::store::sqlite::schema;

    const HOUR: u64 = 3_600_000;

    /// A store with rows at the times 0 to 9 hours, read up to offset 5 by the consumer.
    fn store(consumer: &str) -> Connection {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        for hour in 0..10 {
            let time = hour * HOUR as i64;
            sql.execute(
                "INSERT INTO inbox VALUES (1, ?1, 's', ?2)",
                params![format!("{hour}"), time],
            )
            .unwrap();
            sql.execute(
                "INSERT INTO outbox (topic, partition, offset, time) VALUES (1, 0, ?1, ?2)",
                [hour, time],
            )
            .unwrap();
            sql.execute(
                "INSERT INTO journal (generation, key, revision, decision, fuel, time)
                 VALUES (1, 'k', 0, '', 0, ?1)",
                [time],
            )
            .unwrap();
            sql.execute(
                "INSERT INTO dictionaries (participant, origin, name, used_until, bytes)
                 VALUES (1, 'command', 'k', ?1, '')",
                [time],
            )
            .unwrap();
            sql.execute(
                "INSERT INTO dead_letters (participant, consumer, topic, declared_topic, partition, offset, made,
                     attributes, reason, detail, attempts, digest, time)
                 VALUES (1, 'g', 't', 't', 0, 0, 0, '', '', '', 1, '', ?1)",
                [time],
            )
            .unwrap();
        }
        sql.execute("INSERT INTO partitions VALUES (1, 0, 10)", [])
            .unwrap();
        sql.execute(
            "INSERT INTO offsets (consumer, topic, partition, next_offset) VALUES (?1, 1, 0, 5)",
            [consumer],
        )
        .unwrap();
        sql
    }

    fn left(sql: &Connection, table: &str) -> i64 {
        sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get(0)
        })
        .unwrap()
    }

    /// Keeps rows for 2 hours and dead letters for 4.
    fn pruner(sql: &Connection, readers: OutboxReaders) -> Pruner {
        let settings = StoreSettings {
            retention_hours: 2,
            dead_letter_hours: 4,
            ..StoreSettings::default()
        };
        let known_keys = idempotency::load(sql, IdempotencySettings::default()).unwrap();
        Pruner::new(&settings, readers, known_keys)
    }

    fn prune(sql: &Connection, readers: OutboxReaders, now: u64) {
        let mut pruner = pruner(sql, readers);
        while pruner.step(sql, now).unwrap() {}
    }

    #[test]
    fn rows_older_than_the_retention_are_deleted() {
        let sql = store("log:p/g");
        prune(&sql, OutboxReaders::Consumers, 6 * HOUR);
        let counts = ["journal", "inbox", "outbox", "dictionaries"].map(|table| left(&sql, table));
        assert_eq!(counts, [6; 4], "the hours 0 to 3 are gone");
        assert_eq!(left(&sql, "dead_letters"), 8, "the hours 0 and 1 are gone");
    }

    #[test]
    fn what_is_deleted_by_its_age_gives_room_within_the_bound_of_the_journal() {
        let sql = store("log:p/g");
        let known_keys = idempotency::load(&sql, IdempotencySettings::default()).unwrap();
        // Each row takes 25 bytes.
        let settings = StoreSettings {
            retention_hours: 2,
            journal_bytes: 9 * 25,
            ..StoreSettings::default()
        };
        let mut pruner = Pruner::new(&settings, OutboxReaders::Consumers, known_keys);
        let mut prune = |now| while pruner.step(&sql, now).unwrap() {};
        prune(0);
        assert_eq!(left(&sql, "journal"), 9, "one was too many");
        prune(6 * HOUR);
        assert_eq!(left(&sql, "journal"), 6, "the hours 0 to 3 are gone");
        let add = "INSERT INTO journal (generation, key, revision, decision, fuel, time) VALUES (1, 'k', 0, '', 0, ?1)";
        for _ in 0..3 {
            sql.execute(add, [6 * HOUR as i64]).unwrap();
        }
        prune(6 * HOUR);
        assert_eq!(left(&sql, "journal"), 9);
    }

    #[test]
    fn unread_rows_stay_whatever_their_age() {
        let sql = store("log:p/g");
        prune(&sql, OutboxReaders::Consumers, 1_000 * HOUR);
        assert_eq!(left(&sql, "outbox"), 5, "the offsets 5 to 9 are unread");
        assert_eq!((left(&sql, "journal"), left(&sql, "inbox")), (0, 0));
    }

    #[test]
    fn a_removed_consumer_holds_rows_back_for_the_retention() {
        let sql = store("log:p/g");
        sql.execute("UPDATE offsets SET dropped = ?1", [20 * HOUR as i64])
            .unwrap();
        prune(&sql, OutboxReaders::Consumers, 21 * HOUR);
        assert_eq!(left(&sql, "outbox"), 5, "dropped an hour ago");
        prune(&sql, OutboxReaders::Consumers, 23 * HOUR);
        assert_eq!(left(&sql, "outbox"), 0, "dropped three hours ago");
    }

    #[test]
    fn consumers_of_another_transport_hold_no_rows_back() {
        for (consumer, readers) in [
            ("log:relay", OutboxReaders::Consumers),
            ("log:p/g", OutboxReaders::Relay),
            ("kafka:p/g", OutboxReaders::Relay),
        ] {
            let sql = store(consumer);
            prune(&sql, readers, 1_000 * HOUR);
            assert_eq!(left(&sql, "outbox"), 0, "{consumer}, {readers:?}");
        }
    }

    /// Moves the rows of these hours far into the future.
    fn move_ahead(sql: &Connection, hours: std::ops::Range<i64>) {
        let (from, to) = (hours.start * HOUR as i64, hours.end * HOUR as i64);
        for table in ["journal", "outbox", "dead_letters", "inbox"] {
            sql.execute(
                &format!("UPDATE {table} SET time = time + ?3 WHERE time >= ?1 AND time < ?2"),
                params![from, to, 1_000 * HOUR as i64],
            )
            .unwrap();
        }
    }

    #[test]
    fn rows_ahead_of_time_hold_nothing_back_and_go_in_their_time() {
        for hours in [0..1, 0..3, 1..3] {
            let sql = store("log:p/g");
            move_ahead(&sql, hours.clone());
            let ahead = hours.end - hours.start;
            prune(&sql, OutboxReaders::Consumers, 6 * HOUR);
            let counts = ["journal", "inbox", "outbox"].map(|table| left(&sql, table));
            assert_eq!(counts, [6 + ahead; 3], "{hours:?}");
            prune(&sql, OutboxReaders::Consumers, 2_000 * HOUR);
            let counts = ["journal", "inbox", "outbox"].map(|table| left(&sql, table));
            assert_eq!(
                counts,
                [0, 0, 5],
                "{hours:?}; the offsets 5 to 9 are unread"
            );
        }
    }

    #[test]
    fn more_rows_ahead_of_time_than_a_step_takes_are_passed_over_step_by_step() {
        let sql = store("log:p/g");
        sql.execute_batch(
            "DELETE FROM journal;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001)
             INSERT INTO journal (generation, key, revision, decision, fuel, time)
             SELECT 1, 'k', 0, '', 0, iif(i = 5001, 0, 1000000000000) FROM n",
        )
        .unwrap();
        let mut pruner = pruner(&sql, OutboxReaders::Consumers);
        for expected in [5_001, 5_001, 5_001, 5_000] {
            pruner.step(&sql, 6 * HOUR).unwrap();
            assert_eq!(left(&sql, "journal"), expected);
        }
    }

    #[test]
    fn a_step_is_bounded_and_says_that_there_is_more() {
        let sql = store("log:p/g");
        sql.execute_batch(
            "DELETE FROM journal;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
             INSERT INTO journal (generation, key, revision, decision, fuel, time)
             SELECT 1, 'k', 0, '', 0, 0 FROM n",
        )
        .unwrap();
        let mut pruner = pruner(&sql, OutboxReaders::Consumers);
        assert!(pruner.step(&sql, 6 * HOUR).unwrap());
        assert_eq!(left(&sql, "journal"), 5_000 - STEP);
    }
}
