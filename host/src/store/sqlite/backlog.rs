//! The backlog of the outbox by topic: waiting records, the age of the oldest, and all records ever
//! published.
//!
//! Offsets of the outbox have no gaps except for deleted rows, so the number of waiting records is
//! a difference of two offsets, and their age is that of one row: no table is scanned except those
//! with one row for each partition.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::store::streams::{Backlog, OutboxReaders};

/// The backlogs by topic name. Records that nobody reads do not wait.
pub(super) fn backlogs(
    sql: &Connection,
    readers: OutboxReaders,
) -> rusqlite::Result<BTreeMap<String, Backlog>> {
    let read = read_up_to(sql, readers)?;
    let mut partitions = sql.prepare_cached(
        "SELECT t.name, p.topic, p.partition, p.next_offset FROM partitions p JOIN topics t ON t.id = p.topic",
    )?;
    let mut rows = partitions.query([])?;
    let mut backlogs: BTreeMap<String, Backlog> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (topic, partition, next): (i64, i32, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let read = read.get(&(topic, partition)).copied();
        Backlog::add(&mut backlogs, readers, (row.get(0)?, next, read), |read| {
            oldest(sql, topic, partition, read)
        })?;
    }
    Ok(backlogs)
}

/// The progress of the slowest reader of the outbox, by topic and partition.
fn read_up_to(
    sql: &Connection,
    readers: OutboxReaders,
) -> rusqlite::Result<HashMap<(i64, i32), i64>> {
    let consumers = match readers {
        OutboxReaders::Consumers => {
            "consumer GLOB 'log:*' AND consumer <> 'log:relay' AND dropped IS NULL"
        }
        OutboxReaders::Relay => "consumer = 'log:relay'",
    };
    sql.prepare_cached(&format!(
        "SELECT topic, partition, min(next_offset) FROM offsets WHERE {consumers} GROUP BY topic, partition"
    ))?
    .query_map([], |row| {
        Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
    })?
    .collect()
}

/// The first existing record from an offset on: its offset and its creation time.
fn oldest(
    sql: &Connection,
    topic: i64,
    partition: i32,
    from: i64,
) -> rusqlite::Result<Option<(i64, u64)>> {
    sql.prepare_cached(
        "SELECT offset, time FROM outbox WHERE topic = ?1 AND partition = ?2 AND offset >= ?3 ORDER BY offset LIMIT 1",
    )?
    .query_row(params![topic, partition, from], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)? as u64))
    })
    .optional()
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;

    /// A topic `t` with ten records on partition 0 and four on 1, created at the times 100, 101, …,
    /// and a topic without readers.
    fn store(offsets: &[(&str, i32, i64)]) -> Connection {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        sql.execute_batch(
            "INSERT INTO topics VALUES (1, 't'), (2, 'nobody');
             INSERT INTO partitions VALUES (1, 0, 10), (1, 1, 4), (2, 0, 3);
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
             INSERT INTO outbox (topic, partition, offset, time) SELECT 1, 0, i, 100 + i FROM n;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 3)
             INSERT INTO outbox (topic, partition, offset, time) SELECT 1, 1, i, 100 + i FROM n;",
        )
        .unwrap();
        for (consumer, partition, next) in offsets {
            sql.execute(
                "INSERT INTO offsets (consumer, topic, partition, next_offset) VALUES (?1, 1, ?2, ?3)",
                params![consumer, partition, next],
            )
            .unwrap();
        }
        sql
    }

    fn backlog(published: u64, waiting: u64, oldest: Option<u64>) -> Backlog {
        Backlog {
            published,
            waiting,
            oldest,
        }
    }

    #[test]
    fn records_wait_for_the_slowest_consumer() {
        let sql = store(&[
            ("log:a/g", 0, 9),
            ("log:b/g", 0, 7),
            ("log:b/g", 1, 4),
            ("log:relay", 0, 0),
        ]);
        let found = backlogs(&sql, OutboxReaders::Consumers).unwrap();
        assert_eq!(found["t"], backlog(14, 3, Some(107)));
        assert_eq!(found["nobody"], backlog(3, 0, None));
        sql.execute(
            "UPDATE offsets SET dropped = 1 WHERE consumer = 'log:b/g'",
            [],
        )
        .unwrap();
        let found = backlogs(&sql, OutboxReaders::Consumers).unwrap();
        assert_eq!(found["t"], backlog(14, 1, Some(109)));
    }

    #[test]
    fn deleted_records_do_not_wait_for_a_new_consumer() {
        let sql = store(&[("log:new/g", 0, 0), ("log:new/g", 1, 0)]);
        sql.execute("DELETE FROM outbox WHERE offset < 6", [])
            .unwrap();
        let found = backlogs(&sql, OutboxReaders::Consumers).unwrap();
        assert_eq!(found["t"], backlog(14, 4, Some(106)));
    }

    #[test]
    fn unpublished_records_wait_for_the_relay() {
        let sql = store(&[("log:a/g", 0, 10), ("log:relay", 0, 8), ("log:relay", 1, 1)]);
        let found = backlogs(&sql, OutboxReaders::Relay).unwrap();
        assert_eq!(found["t"], backlog(9, 5, Some(101)));
        assert_eq!(found.len(), 1, "nobody publishes the other topic");
    }
}
