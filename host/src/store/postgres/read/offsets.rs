//! Offsets of consumers, the topics that they read, and what they have yet to read. These tables
//! have a row for each consumer and partition.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::row::{get, unsigned};
use crate::base::session::Proof;
use crate::store::postgres::error::{SqlError, SqlResult};
use crate::store::postgres::session::Sql;
use crate::store::streams::{Backlog, OutboxReaders, ReadPartition, StoredPlace, group_of};
use crate::store::waiting::TopicReader;

/// The offset at which a consumer resumes. None if it has never read.
pub(super) fn offset(
    sql: &Sql,
    consumer: &str,
    topic: i64,
    partition: i32,
) -> SqlResult<Option<i64>> {
    let found = sql.row(
        "SELECT next_offset FROM offsets WHERE consumer = $1 AND topic = $2 AND partition = $3",
        &[&consumer, &topic, &partition],
    )?;
    match found {
        Some(row) => get(&row, 0),
        None => Ok(None),
    }
}

/// The position at which a consumer resumes a partition. None if it has never read.
pub(super) fn place(
    sql: &Sql,
    consumer: &str,
    topic: i64,
    partition: i32,
) -> SqlResult<Option<StoredPlace>> {
    let found = sql.row(
        "SELECT next_offset, last_time, last_print, log, epoch FROM offsets
         WHERE consumer = $1 AND topic = $2 AND partition = $3 AND next_offset IS NOT NULL",
        &[&consumer, &topic, &partition],
    )?;
    let place = |row: Row| {
        let (time, print): (Option<i64>, Option<i64>) = (get(&row, 1)?, get(&row, 2)?);
        let last = time.zip(print).map(|(time, print)| Proof {
            time,
            print: print.cast_unsigned(),
        });
        Ok(StoredPlace {
            next: get(&row, 0)?,
            last,
            log: get(&row, 3)?,
            epoch: get(&row, 4)?,
        })
    };
    found.map(place).transpose()
}

/// The partitions that consumers of Kafka read, by topic, partition and group.
pub(super) fn read_partitions(sql: &Sql) -> SqlResult<Vec<ReadPartition>> {
    let rows = sql.query(
        "SELECT o.consumer, t.name, o.topic, o.partition, o.next_offset FROM offsets o JOIN topics t ON t.id = o.topic
         WHERE o.consumer LIKE 'kafka:%/%' AND o.next_offset IS NOT NULL ORDER BY t.name, o.partition, o.consumer",
        &[],
    )?;
    let read = |row: &Row| {
        let consumer: String = get(row, 0)?;
        Ok(ReadPartition {
            group: group_of(&consumer).to_owned(),
            topic: get(row, 1)?,
            topic_row: get(row, 2)?,
            partition: get(row, 3)?,
            next: get(row, 4)?,
            consumer,
        })
    };
    rows.iter().map(read).collect()
}

/// The id of the topic that a consumer is known to read under the name in this row.
pub(super) fn topic_id(sql: &Sql, consumer: &str, topic: i64) -> SqlResult<Option<String>> {
    let found = sql.row(
        "SELECT id FROM topic_ids WHERE consumer = $1 AND topic = $2",
        &[&consumer, &topic],
    )?;
    found.map(|row| get(&row, 0)).transpose()
}

/// The readers of a topic that were not dropped.
pub(super) fn readers(sql: &Sql, topic: i64) -> SqlResult<Vec<TopicReader>> {
    let rows = sql.query(
        "SELECT consumer, partition, next_offset FROM offsets WHERE topic = $1 AND dropped IS NULL AND next_offset IS NOT NULL
         ORDER BY consumer, partition",
        &[&topic],
    )?;
    let reader = |row: &Row| {
        Ok(TopicReader {
            consumer: get(row, 0)?,
            partition: get(row, 1)?,
            next: get(row, 2)?,
        })
    };
    rows.iter().map(reader).collect()
}

/// The backlogs by topic name. Records that nobody reads do not wait. Of the outbox one row for
/// each partition is read: the first that exists from an offset on, by the primary key.
pub(super) fn backlogs(sql: &Sql, readers: OutboxReaders) -> SqlResult<BTreeMap<String, Backlog>> {
    let readers_are = match readers {
        OutboxReaders::Consumers => {
            "consumer LIKE 'log:%' AND consumer <> 'log:relay' AND dropped IS NULL"
        }
        OutboxReaders::Relay => "consumer = 'log:relay'",
    };
    let rows = sql.query(
        &format!(
            "SELECT t.name, p.next_offset, r.read, o.position, o.time
             FROM partitions p JOIN topics t ON t.id = p.topic
                 LEFT JOIN LATERAL (SELECT min(next_offset) AS read FROM offsets
                     WHERE topic = p.topic AND partition = p.partition AND {readers_are}) r ON true
                 LEFT JOIN LATERAL (SELECT position, time FROM outbox
                     WHERE topic = p.topic AND partition = p.partition AND position >= r.read
                     ORDER BY position LIMIT 1) o ON true"
        ),
        &[],
    )?;
    let mut backlogs = BTreeMap::new();
    for row in &rows {
        let partition = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        Backlog::add(&mut backlogs, readers, partition, |_| {
            let first: Option<i64> = get(row, 3)?;
            first
                .map(|first| Ok::<_, SqlError>((first, unsigned(row, 4)?)))
                .transpose()
        })?;
    }
    Ok(backlogs)
}
