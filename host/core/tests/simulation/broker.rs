//! The topics: partitioned, append-only, and never lost.
//!
//! As on a real broker, offsets ascend with gaps, and records that a relay sends again after a
//! crash are duplicates.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_core::record::{Attributes, Position, Record};

use crate::rules::{ANSWERS, ORDERS};

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 2;

/// All topics.
pub(crate) struct Broker {
    partitions: BTreeMap<(&'static str, i32), Vec<Record>>,
}

/// A record to append.
#[derive(Clone)]
pub(crate) struct Fresh {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) attributes: Attributes,
    pub(crate) timestamp: u64,
}

impl Broker {
    pub(crate) fn new() -> Self {
        let places = [ORDERS, ANSWERS]
            .into_iter()
            .flat_map(|topic| (0..PARTITIONS).map(move |p| (topic, p)));
        Self {
            partitions: places.map(|place| (place, Vec::new())).collect(),
        }
    }

    /// Appends a record, `gap` offsets after the last one.
    pub(crate) fn append(
        &mut self,
        topic: &'static str,
        partition: i32,
        gap: i64,
        fresh: Fresh,
    ) -> i64 {
        let records = self
            .partitions
            .get_mut(&(topic, partition))
            .expect("the partition exists");
        let offset = records.last().map_or(0, |last| last.position.offset + 1) + gap;
        let Fresh {
            key,
            value,
            attributes,
            timestamp,
        } = fresh;
        let position = Position {
            topic: Arc::from(topic),
            incarnation: None,
            partition,
            offset,
        };
        records.push(Record {
            position,
            timestamp,
            key,
            value,
            attributes,
        });
        offset
    }

    pub(crate) fn records(&self, topic: &'static str, partition: i32) -> &[Record] {
        &self.partitions[&(topic, partition)]
    }

    /// The first record at or after an offset.
    pub(crate) fn at_or_after(
        &self,
        topic: &'static str,
        partition: i32,
        offset: i64,
    ) -> Option<&Record> {
        let records = self.records(topic, partition);
        records.get(records.partition_point(|record| record.position.offset < offset))
    }

    /// All records of a topic, partition after partition.
    pub(crate) fn topic(&self, topic: &'static str) -> impl Iterator<Item = &Record> {
        (0..PARTITIONS).flat_map(move |partition| self.records(topic, partition))
    }

    /// The partition of a record key.
    pub(crate) fn partition_of(key: &str) -> i32 {
        (crate::random::of_text(0, key) % PARTITIONS.unsigned_abs() as u64) as i32
    }
}
