//! One reading connection, and the frequent queries of turns, the log and the relay.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use saga_core::commit::FiredTimer;
use saga_core::identity::{self, Identity};
use saga_core::record::{Attributes, Position, Record};

use super::idempotency;
use super::ids::{Id, IdText, TraceText};
use crate::base::session::Extent;
use crate::store::condition::Condition;
use crate::store::idempotency::FirstReply;
use crate::store::read::{StoredAggregate, StoredTimer};
use crate::store::streams::given_source;

/// Cached generations of records. There are few, and each is queried repeatedly.
const AUTHORS: usize = 64;

/// A connection that only reads, for one thread.
pub(super) struct SqliteReader<C = Connection> {
    sql: C,
    /// The generations of the records read so far, by row.
    authors: RefCell<HashMap<i64, Author>>,
    pub(super) condition: Arc<Condition>,
    /// True if it has had no error.
    pub(super) is_sound: Cell<bool>,
}

/// The generation that made a record, as the record names it.
#[derive(Debug, Clone)]
struct Author {
    source: String,
    digest: String,
}

/// A timer from a row of key, name, due, body, set_by, correlation, traceparent.
pub(super) fn timer_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredTimer> {
    Ok(StoredTimer {
        key: row.get(0)?,
        name: row.get(1)?,
        due: row.get::<_, i64>(2)? as u64,
        body: row.get(3)?,
        set_by: id(row, 4)?.unwrap_or_default(),
        correlation: id(row, 5)?.unwrap_or_default(),
        traceparent: trace(row, 6)?,
    })
}

/// The aggregate of this key; an empty one if it never existed.
pub(super) fn aggregate(
    sql: &Connection,
    participant: i64,
    key: &str,
) -> rusqlite::Result<StoredAggregate> {
    let found = sql
        .prepare_cached(
            "SELECT state, revision, state_version, correlation FROM aggregates WHERE participant = ?1 AND key = ?2",
        )?
        .query_row(params![participant, key], |row| {
            Ok(StoredAggregate {
                state: row.get(0)?,
                revision: row.get::<_, i64>(1)? as u64,
                state_version: row.get(2)?,
                correlation: id(row, 3)?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// The id in this column.
pub(super) fn id(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    let read: Option<IdText> = row.get(column)?;
    Ok(read.map(|id| id.0))
}

/// The trace context in this column.
pub(super) fn trace(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    let read: Option<TraceText> = row.get(column)?;
    Ok(read.map(|trace| trace.0))
}

impl<C: Borrow<Connection>> SqliteReader<C> {
    pub(super) fn new(connection: C, condition: Arc<Condition>) -> Self {
        Self {
            sql: connection,
            condition,
            authors: RefCell::default(),
            is_sound: Cell::new(true),
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.sql.borrow()
    }

    /// The aggregate of this key.
    pub(super) fn aggregate(
        &self,
        participant: i64,
        key: &str,
    ) -> rusqlite::Result<StoredAggregate> {
        aggregate(self.connection(), participant, key)
    }

    /// True if the participant applied an event before.
    pub(super) fn was_applied(
        &self,
        participant: i64,
        identity: &Identity,
    ) -> rusqlite::Result<bool> {
        self.connection()
            .prepare_cached(
                "SELECT 1 FROM inbox WHERE participant = ?1 AND id = ?2 AND source = ?3",
            )?
            .exists(params![participant, Id::of(&identity.id), identity.source])
    }

    /// True if an aggregate is quarantined.
    pub(super) fn is_quarantined(&self, participant: i64, key: &str) -> rusqlite::Result<bool> {
        self.connection()
            .prepare_cached("SELECT 1 FROM quarantine WHERE participant = ?1 AND key = ?2")?
            .exists(params![participant, key])
    }

    /// The reply to the command with this idempotency key. None if it was deleted.
    pub(super) fn first_reply(
        &self,
        participant: i64,
        key: &str,
    ) -> rusqlite::Result<Option<FirstReply>> {
        idempotency::read(self.connection(), participant, key)
    }

    /// The offset at which a consumer resumes. None if it has never read.
    pub(super) fn offset(
        &self,
        consumer: &str,
        topic: i64,
        partition: i32,
    ) -> rusqlite::Result<Option<i64>> {
        self.connection()
            .prepare_cached("SELECT next_offset FROM offsets WHERE consumer = ?1 AND topic = ?2 AND partition = ?3")?
            .query_row(params![consumer, topic, partition], |row| row.get(0))
            .optional()
    }

    /// The number of partitions of a topic that hold or held records.
    pub(super) fn partitions(&self, topic: i64) -> rusqlite::Result<i32> {
        self.connection()
            .prepare_cached(
                "SELECT coalesce(max(partition) + 1, 0) FROM partitions WHERE topic = ?1",
            )?
            .query_row([topic], |row| row.get(0))
    }

    /// The partitions of a topic that hold or held records: the offset where each begins (as if
    /// nothing were deleted), where it ends, and the first existing record that a consumer has not
    /// settled. Unsettled records before that were deleted and never come.
    pub(super) fn extents(&self, topic: i64, consumer: &str) -> rusqlite::Result<Vec<Extent>> {
        self.connection()
            .prepare_cached(
                "SELECT p.partition, p.next_offset,
                     (SELECT min(o.offset) FROM outbox o WHERE o.topic = p.topic AND o.partition = p.partition
                          AND o.offset >= coalesce(f.next_offset, 0))
                 FROM partitions p LEFT JOIN offsets f
                     ON f.consumer = ?2 AND f.topic = p.topic AND f.partition = p.partition
                 WHERE p.topic = ?1",
            )?
            .query_map(params![topic, consumer], |row| {
                let (end, first): (i64, Option<i64>) = (row.get(1)?, row.get(2)?);
                Ok(Extent {
                    reached: Some(first.unwrap_or(end)),
                    ..Extent::new(row.get(0)?, 0, end)
                })
            })?
            .collect()
    }

    /// Published records of a partition from `from` on, at most `most`, ending with the one at
    /// which their keys and values reach `bytes` bytes together.
    pub(super) fn records_within(
        &self,
        topic: &(i64, Arc<str>),
        partition: i32,
        from: i64,
        most: usize,
        bytes: usize,
    ) -> rusqlite::Result<Vec<Record>> {
        let mut statement = self.connection().prepare_cached(
            "SELECT offset, key, value, time, event_type, event_id, correlation, causation, traceparent, extra, generation
             FROM outbox WHERE topic = ?1 AND partition = ?2 AND offset >= ?3
             ORDER BY offset LIMIT ?4",
        )?;
        let mut rows = statement.query(params![topic.0, partition, from, most as i64])?;
        let (mut records, mut read) = (Vec::new(), 0);
        while read < bytes
            && let Some(row) = rows.next()?
        {
            let record = self.record(row, &topic.1, partition)?;
            let parts = [&record.key, &record.value];
            read += parts.into_iter().flatten().map(Vec::len).sum::<usize>();
            records.push(record);
        }
        Ok(records)
    }

    fn record(
        &self,
        row: &rusqlite::Row<'_>,
        topic: &Arc<str>,
        partition: i32,
    ) -> rusqlite::Result<Record> {
        let author = match row.get(10)? {
            Some(generation) => self.author(generation)?,
            None => None,
        };
        let (source, digest) = author.map(|author| (author.source, author.digest)).unzip();
        let extra: Option<String> = row.get(9)?;
        let mut extra: Vec<(String, String)> = extra
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let source = source.or_else(|| given_source(&mut extra));
        Ok(Record {
            position: Position {
                topic: topic.clone(),
                incarnation: None,
                partition,
                offset: row.get(0)?,
            },
            key: row.get(1)?,
            value: row.get(2)?,
            timestamp: row.get::<_, i64>(3)? as u64,
            attributes: Attributes {
                event_type: row.get(4)?,
                id: id(row, 5)?,
                source,
                correlation: id(row, 6)?,
                causation: id(row, 7)?,
                digest,
                traceparent: trace(row, 8)?,
                extra,
            },
        })
    }

    fn author(&self, generation: i64) -> rusqlite::Result<Option<Author>> {
        let mut authors = self.authors.borrow_mut();
        if let Some(author) = authors.get(&generation) {
            return Ok(Some(author.clone()));
        }
        let found = self
            .connection()
            .prepare_cached(
                "SELECT p.name, g.digest FROM generations g JOIN participants p ON p.id = g.participant WHERE g.id = ?1",
            )?
            .query_row([generation], |row| {
                let participant: String = row.get(0)?;
                Ok(Author {
                    source: identity::source_of(&participant),
                    digest: row.get(1)?,
                })
            })
            .optional()?;
        if let Some(author) = &found {
            if authors.len() >= AUTHORS {
                authors.clear();
            }
            authors.insert(generation, author.clone());
        }
        Ok(found)
    }

    /// True if a timer is set for that time.
    pub(super) fn timer_is_set(
        &self,
        participant: i64,
        timer: &FiredTimer,
    ) -> rusqlite::Result<bool> {
        self.connection()
            .prepare_cached("SELECT 1 FROM timers WHERE participant = ?1 AND key = ?2 AND name = ?3 AND due = ?4")?
            .exists(params![participant, timer.key, timer.name, timer.due as i64])
    }

    /// The due timers that are not parked, longest due first, at most `most`; and the due time of
    /// the next one after `now`.
    pub(super) fn due_timers(
        &self,
        participant: i64,
        now: u64,
        most: usize,
    ) -> rusqlite::Result<(Vec<StoredTimer>, Option<u64>)> {
        let due = self
            .connection()
            .prepare_cached(
                "SELECT key, name, due, body, set_by, correlation, traceparent FROM timers
                 WHERE participant = ?1 AND due <= ?2 AND parked IS NULL ORDER BY due LIMIT ?3",
            )?
            .query_map(params![participant, now as i64, most as i64], timer_of)?
            .collect::<rusqlite::Result<_>>()?;
        let next: Option<i64> = self
            .connection()
            .prepare_cached(
                "SELECT min(due) FROM timers WHERE participant = ?1 AND due > ?2 AND parked IS NULL",
            )?
            .query_row(params![participant, now as i64], |row| row.get(0))?;
        Ok((due, next.map(|next| next as u64)))
    }

    /// The first timer of a participant that is not parked, ordered by due time: due time, key and
    /// name.
    pub(super) fn first_timer(
        &self,
        participant: i64,
    ) -> rusqlite::Result<Option<(u64, String, String)>> {
        (self.connection())
            .prepare_cached(
                "SELECT due, key, name FROM timers WHERE participant = ?1 AND parked IS NULL
                 ORDER BY due, key, name LIMIT 1",
            )?
            .query_row([participant], |row| {
                Ok((row.get::<_, i64>(0)? as u64, row.get(1)?, row.get(2)?))
            })
            .optional()
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
