//! Offsets of consumers, with the proofs of the last records that they read.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::base::session::Proof;
use crate::store::streams::{ReadPartition, StoredPlace, group_of};

/// The position at which a consumer resumes a partition. None if it has never read.
pub(super) fn place(
    sql: &Connection,
    consumer: &str,
    topic: i64,
    partition: i32,
) -> rusqlite::Result<Option<StoredPlace>> {
    sql.prepare_cached(
        "SELECT next_offset, last_time, last_print, log FROM offsets
         WHERE consumer = ?1 AND topic = ?2 AND partition = ?3",
    )?
    .query_row(params![consumer, topic, partition], |row| {
        let (time, print): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
        let last = time.zip(print).map(|(time, print)| Proof {
            time,
            print: print.cast_unsigned(),
        });
        Ok(StoredPlace {
            next: row.get(0)?,
            last,
            log: row.get(3)?,
            epoch: 0,
        })
    })
    .optional()
}

/// Writes the offset at which a consumer resumes, and the proof of the record before it.
pub(super) fn write_place(
    sql: &Connection,
    consumer: &str,
    topic: i64,
    partition: i32,
    (next, last): (i64, Option<Proof>),
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO offsets (consumer, topic, partition, next_offset, last_time, last_print) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, last_time = excluded.last_time,
             last_print = excluded.last_print",
    )?
    .execute(params![
        consumer,
        topic,
        partition,
        next,
        last.map(|last| last.time),
        last.map(|last| last.print.cast_signed())
    ])?;
    Ok(())
}

/// The partitions that consumers of Kafka read, by topic, partition and group.
pub(super) fn read_partitions(sql: &Connection) -> rusqlite::Result<Vec<ReadPartition>> {
    sql.prepare(
        "SELECT o.consumer, t.name, o.topic, o.partition, o.next_offset FROM offsets o JOIN topics t ON t.id = o.topic
         WHERE o.consumer GLOB 'kafka:*/*' ORDER BY t.name, o.partition, o.consumer",
    )?
    .query_map([], |row| {
        let consumer: String = row.get(0)?;
        Ok(ReadPartition {
            group: group_of(&consumer).to_owned(),
            topic: row.get(1)?,
            topic_row: row.get(2)?,
            partition: row.get(3)?,
            next: row.get(4)?,
            consumer,
        })
    })?
    .collect()
}

/// Makes a partition resume at this offset, whatever was read before. With `log`, the records from
/// there on are other ones than those that had the same offsets before.
pub(super) fn seek(
    sql: &Connection,
    read: &ReadPartition,
    next: i64,
    log: Option<&str>,
) -> rusqlite::Result<()> {
    sql.execute(
        "UPDATE offsets SET next_offset = ?4, last_time = NULL, last_print = NULL, log = coalesce(?5, log)
         WHERE consumer = ?1 AND topic = ?2 AND partition = ?3",
        params![read.consumer, read.topic_row, read.partition, next, log],
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    const READER: &str = "kafka:customer/order";

    fn store() -> Connection {
        let sql = Connection::open_in_memory().unwrap();
        schema::create(&sql).unwrap();
        sql.execute("INSERT INTO topics (id, name) VALUES (7, 'orderTopic')", [])
            .unwrap();
        sql
    }

    #[test]
    fn an_offset_without_a_proof_takes_the_one_of_another_offset_away() {
        let sql = store();
        let last = Some(Proof {
            time: 5,
            print: u64::MAX - 3,
        });
        write_place(&sql, READER, 7, 0, (100, last)).unwrap();
        let stored = |next, last| StoredPlace {
            epoch: 0,
            next,
            last,
            log: None,
        };
        let found = || place(&sql, READER, 7, 0).unwrap();
        assert_eq!(found(), Some(stored(100, last)));
        write_place(&sql, READER, 7, 0, (60, None)).unwrap();
        assert_eq!(found(), Some(stored(60, None)));
        assert_eq!(place(&sql, READER, 7, 1).unwrap(), None);
    }

    #[test]
    fn a_seek_sets_the_offset_and_keeps_the_identity_of_the_log() {
        let sql = store();
        write_place(&sql, READER, 7, 0, (100, Some(Proof { time: 5, print: 6 }))).unwrap();
        write_place(&sql, "log:relay", 7, 0, (9, None)).unwrap();
        let read = read_partitions(&sql).unwrap();
        assert_eq!(read.len(), 1, "the relay reads no topic: {read:?}");
        let found = || place(&sql, READER, 7, 0).unwrap().unwrap();
        let at = (
            &*read[0].topic,
            read[0].partition,
            &*read[0].group,
            read[0].next,
        );
        assert_eq!(at, ("orderTopic", 0, "order", 100));
        for (next, log, expected) in [
            (60, None, None),
            (50, Some("a"), Some("a")),
            (40, None, Some("a")),
            (30, Some("b"), Some("b")),
        ] {
            seek(&sql, &read[0], next, log).unwrap();
            let place = found();
            assert_eq!((place.next, place.last), (next, None));
            assert_eq!(place.log.as_deref(), expected);
        }
    }
}
