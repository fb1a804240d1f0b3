//! Pages of a topic's records, for readers that are no consumers.
//!
//! A page is read by its positions and leaves nothing behind: a reader that is slow or goes away
//! costs nothing, and holds back no record. Bounded (invariant 9): the records of a page, their
//! bytes, and the records that a filter passes over.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use saga_core::record::Record;

use crate::store::{ReadStore, StoreResult};

/// Most records read for one page.
const READ: usize = 1_000;

/// Bytes of keys and values after which no further partition is read for a page.
const BYTES: usize = 4 << 20;

/// The next position of each partition. Those that were read last come last.
pub type Positions = Vec<(i32, i64)>;

/// A page to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageWanted {
    /// Where to begin.
    pub from: Positions,
    /// Most records of the page.
    pub most: usize,
    /// Only records with this key.
    pub key: Option<Vec<u8>>,
}

/// A page of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPage {
    /// The records; those of one partition in the order of their offsets, all by their times.
    pub records: Vec<Record>,
    /// Where the next page begins.
    pub next: Positions,
    /// True if these were the last records.
    pub is_last: bool,
}

/// The begin of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest records.
    Beginning,
    /// Behind the newest records.
    End,
    /// At this offset, in each partition.
    Offset(i64),
}

/// The positions at which a reading of a topic begins, by the topic's row. `partitions` is the
/// number of partitions that a topic has.
///
/// # Errors
/// The store's error.
pub fn positions(
    reading: &dyn ReadStore,
    topic: i64,
    partitions: i32,
    start: Start,
) -> StoreResult<Positions> {
    let partitions = partitions.max(reading.partitions(topic)?);
    let ends = match start {
        Start::End => reading.extents(topic, "")?,
        Start::Beginning | Start::Offset(_) => Vec::new(),
    };
    let position = |partition: i32| match start {
        Start::Beginning => 0,
        Start::Offset(offset) => offset,
        // A partition that is not known has no record.
        Start::End => {
            (ends.iter().find(|known| known.partition == partition)).map_or(0, |known| known.end)
        }
    };
    Ok((0..partitions)
        .map(|partition| (partition, position(partition)))
        .collect())
}

/// A partition of a page.
struct PagePart {
    partition: i32,
    next: i64,
    records: VecDeque<Record>,
    /// True if it may have further records.
    is_cut: bool,
}

/// Reads a page of a topic, by its row and name.
///
/// # Errors
/// The store's error.
pub fn read(
    reading: &dyn ReadStore,
    topic: &(i64, Arc<str>),
    wanted: &PageWanted,
) -> StoreResult<RecordPage> {
    let each = (READ / wanted.from.len().max(1)).max(1);
    // Without a filter, one more than fits tells whether there are further ones.
    let each = match wanted.key {
        Some(_) => each,
        None => each.min(wanted.most.saturating_add(1)),
    };
    let (mut parts, mut unread) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for (partition, next) in &wanted.from {
        if bytes >= BYTES {
            unread.push((*partition, *next));
            continue;
        }
        let room = BYTES - bytes;
        let records = reading.records_within(topic, *partition, *next, each, room)?;
        let read: usize = records.iter().map(weight).sum();
        bytes += read;
        parts.push(PagePart {
            partition: *partition,
            next: *next,
            is_cut: records.len() == each || read >= room,
            records: records.into(),
        });
    }
    let is_whole = unread.is_empty();
    let (records, is_all) = merge(&mut parts, wanted);
    let read = parts.iter().map(|part| (part.partition, part.next));
    Ok(RecordPage {
        records,
        next: unread.into_iter().chain(read).collect(),
        is_last: is_whole && is_all,
    })
}

/// Takes the records of all partitions by their times, and moves the positions on. True if none is
/// left. Ends where the next record by time may not have been read.
fn merge(parts: &mut [PagePart], wanted: &PageWanted) -> (Vec<Record>, bool) {
    let first = |part: &PagePart| part.records.front().map(|record| record.timestamp);
    let mut heads: BinaryHeap<_> = (parts.iter().enumerate())
        .filter_map(|(at, part)| Some(Reverse((first(part)?, at))))
        .collect();
    let mut taken = Vec::new();
    while taken.len() < wanted.most
        && let Some(Reverse((_, at))) = heads.pop()
        && let Some(part) = parts.get_mut(at)
        && let Some(record) = part.records.pop_front()
    {
        part.next = record.position.offset + 1;
        if (wanted.key.as_ref()).is_none_or(|key| record.key.as_ref() == Some(key)) {
            taken.push(record);
        }
        match first(part) {
            Some(time) => heads.push(Reverse((time, at))),
            None if part.is_cut => break,
            None => {}
        }
    }
    let is_over = |part: &PagePart| part.records.is_empty() && !part.is_cut;
    (taken, parts.iter().all(is_over))
}

fn weight(record: &Record) -> usize {
    let bytes = [&record.key, &record.value];
    bytes.into_iter().flatten().map(Vec::len).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use saga_core::record::{Attributes, Position};

    use super::*;

    fn record(partition: i32, offset: i64, time: u64, key: &str) -> Record {
        Record {
            position: Position {
                topic: "t".into(),
                incarnation: None,
                partition,
                offset,
            },
            timestamp: time,
            key: Some(key.into()),
            value: None,
            attributes: Attributes::default(),
        }
    }

    /// A partition with records of these times, from offset 10 on.
    fn part(partition: i32, times: &[u64], is_cut: bool) -> PagePart {
        let records = (10..).zip(times);
        PagePart {
            partition,
            next: 10,
            records: records
                .map(|(offset, time)| record(partition, offset, *time, &time.to_string()))
                .collect(),
            is_cut,
        }
    }

    fn merged(parts: &mut [PagePart], most: usize, key: Option<&str>) -> (Vec<u64>, bool) {
        let wanted = PageWanted {
            from: Vec::new(),
            most,
            key: key.map(Into::into),
        };
        let (records, is_all) = merge(parts, &wanted);
        let times = records.iter().map(|record| record.timestamp);
        (times.collect(), is_all)
    }

    #[test]
    fn partitions_are_merged_by_time_and_each_goes_on_where_it_was_left() {
        let mut parts = [part(0, &[1, 4, 9], false), part(1, &[2, 3, 5], false)];
        assert_eq!(merged(&mut parts, 4, None), (vec![1, 2, 3, 4], false));
        assert_eq!((parts[0].next, parts[1].next), (12, 12));
        assert_eq!(merged(&mut parts, 9, None), (vec![5, 9], true));
        assert_eq!((parts[0].next, parts[1].next), (13, 13));
    }

    #[test]
    fn nothing_is_taken_past_what_a_partition_may_still_have() {
        let mut parts = [part(0, &[1, 4], true), part(1, &[2, 5], false)];
        assert_eq!(merged(&mut parts, 9, None), (vec![1, 2, 4], false));
        assert_eq!((parts[0].next, parts[1].next), (12, 11));
    }

    #[test]
    fn records_of_one_partition_keep_their_order_whatever_their_times_are() {
        let mut parts = [part(0, &[7, 3], false), part(1, &[5], false)];
        assert_eq!(merged(&mut parts, 9, None), (vec![5, 7, 3], true));
    }

    #[test]
    fn records_with_other_keys_are_passed_over() {
        let mut parts = [part(0, &[1, 4, 9], false), part(1, &[4], false)];
        assert_eq!(merged(&mut parts, 9, Some("4")), (vec![4, 4], true));
        assert_eq!(parts[0].next, 13);
    }
}
