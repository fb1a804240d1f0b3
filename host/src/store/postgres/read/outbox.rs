//! Records of the outbox, by its primary key.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use saga_core::identity;
use saga_core::record::{Attributes, Position, Record};
use tokio_postgres::Row;

use super::row::{get, limit, unsigned};
use crate::base::session::Extent;
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;
use crate::store::streams::{RELAY, given_source};

/// Cached generations of records. There are few, and each is queried repeatedly.
const AUTHORS: usize = 64;

/// The generations of the records read so far, by row.
#[derive(Debug, Default)]
pub(super) struct Authors(RefCell<HashMap<i64, Author>>);

/// The generation that made a record, as the record names it.
#[derive(Debug, Clone)]
struct Author {
    source: String,
    digest: String,
}

impl Authors {
    fn of(&self, sql: &Sql, generation: i64) -> SqlResult<Option<Author>> {
        let mut authors = self.0.borrow_mut();
        if let Some(author) = authors.get(&generation) {
            return Ok(Some(author.clone()));
        }
        let found = sql.row(
            "SELECT p.name, g.digest FROM generations g JOIN participants p ON p.id = g.participant WHERE g.id = $1",
            &[&generation],
        )?;
        let Some(row) = found else {
            return Ok(None);
        };
        let author = Author {
            source: identity::source_of(get(&row, 0)?),
            digest: get(&row, 1)?,
        };
        if authors.len() >= AUTHORS {
            authors.clear();
        }
        authors.insert(generation, author.clone());
        Ok(Some(author))
    }
}

/// The number of partitions of a topic that hold or held records.
pub(super) fn partitions(sql: &Sql, topic: i64) -> SqlResult<i32> {
    let row = sql.one(
        "SELECT coalesce(max(partition) + 1, 0) FROM partitions WHERE topic = $1",
        &[&topic],
    )?;
    get(&row, 0)
}

/// The partitions of a topic that hold or held records: the offset where each begins (as if nothing
/// were deleted), where it ends, and the first existing record that a consumer has not settled.
/// Unsettled records before that were deleted and never come.
pub(super) fn extents(sql: &Sql, topic: i64, consumer: &str) -> SqlResult<Vec<Extent>> {
    let rows = sql.query(
        "SELECT p.partition, p.next_offset,
             (SELECT o.position FROM outbox o WHERE o.topic = p.topic AND o.partition = p.partition
                  AND o.position >= coalesce(f.next_offset, 0) ORDER BY o.position LIMIT 1)
         FROM partitions p LEFT JOIN offsets f
             ON f.consumer = $2 AND f.topic = p.topic AND f.partition = p.partition
         WHERE p.topic = $1 ORDER BY p.partition",
        &[&topic, &consumer],
    )?;
    let extent = |row: &Row| {
        let (end, first): (i64, Option<i64>) = (get(row, 1)?, get(row, 2)?);
        Ok(Extent {
            reached: Some(first.unwrap_or(end)),
            ..Extent::new(get(row, 0)?, 0, end)
        })
    };
    rows.iter().map(extent).collect()
}

/// Records of a partition from `from` on, at most `most`, ending with the one at which their keys
/// and values reach `bytes` bytes together. Sizes are known without reading the values.
pub(super) fn records_within(
    sql: &Sql,
    authors: &Authors,
    (topic, partition, from): (&(i64, Arc<str>), i32, i64),
    (most, bytes): (usize, usize),
) -> SqlResult<Vec<Record>> {
    let rows = sql.query(
        "SELECT position, key, value, time, event_type, event_id, correlation, causation, traceparent, extra,
             generation
         FROM (SELECT *, coalesce(sum(coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0)) OVER (
                   ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
               FROM (SELECT * FROM outbox WHERE topic = $1 AND partition = $2 AND position >= $3
                     ORDER BY position LIMIT $4) r) s
         WHERE before < $5 ORDER BY position",
        &[&topic.0, &partition, &from, &limit(most), &limit(bytes)],
    )?;
    let record = |row| record(sql, authors, row, (&topic.1, partition));
    rows.iter().map(record).collect()
}

fn record(
    sql: &Sql,
    authors: &Authors,
    row: &Row,
    (topic, partition): (&Arc<str>, i32),
) -> SqlResult<Record> {
    let author = match get(row, 10)? {
        Some(generation) => authors.of(sql, generation)?,
        None => None,
    };
    let (source, digest) = author.map(|author| (author.source, author.digest)).unzip();
    let extra: Option<&str> = get(row, 9)?;
    let mut extra = extra
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let source = source.or_else(|| given_source(&mut extra));
    Ok(Record {
        position: Position {
            topic: topic.clone(),
            incarnation: None,
            partition,
            offset: get(row, 0)?,
        },
        key: get(row, 1)?,
        value: get(row, 2)?,
        timestamp: unsigned(row, 3)?,
        attributes: Attributes {
            event_type: get(row, 4)?,
            id: get(row, 5)?,
            source,
            correlation: get(row, 6)?,
            causation: get(row, 7)?,
            digest,
            traceparent: get(row, 8)?,
            extra,
        },
    })
}

/// The topics with records in the outbox that the relay has not published: names and rows.
pub(super) fn waiting_topics(sql: &Sql) -> SqlResult<Vec<(Arc<str>, i64)>> {
    let rows = sql.query(
        "SELECT DISTINCT t.name, t.id FROM partitions p JOIN topics t ON t.id = p.topic
         LEFT JOIN offsets o ON o.consumer = $1 AND o.topic = p.topic AND o.partition = p.partition
         WHERE EXISTS (SELECT 1 FROM outbox b WHERE b.topic = p.topic AND b.partition = p.partition
             AND b.position >= coalesce(o.next_offset, 0))
         ORDER BY t.name",
        &[&RELAY],
    )?;
    let topic = |row: &Row| Ok((get::<&str>(row, 0)?.into(), get(row, 1)?));
    rows.iter().map(topic).collect()
}

/// The number of records of this type that a consumer of the embedded log has not yet read.
pub(super) fn unread(sql: &Sql, consumer: &str, topic: i64, event_type: &str) -> SqlResult<u64> {
    let row = sql.one(
        "SELECT count(*) FROM offsets f JOIN outbox o
             ON o.topic = f.topic AND o.partition = f.partition AND o.position >= f.next_offset
         WHERE f.consumer = $1 AND f.topic = $2 AND o.event_type = $3",
        &[&consumer, &topic, &event_type],
    )?;
    unsigned(&row, 0)
}
