//! The position of a client in its partitions, by what librdkafka says of itself once a second (`statistics.interval.ms` in `settings`).
//!
//! A client also passes what it gives to nobody: markers of transactions, records that were taken back, offsets that
//! compaction has removed. Only librdkafka knows that, so without it a partition that ends with a marker would have a lag
//! for ever. It shows too that a partition stands before an open transaction.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::assignment::Assignment;
use super::partition::{Partition, PartitionState};
use super::reading::Reading;
use crate::base::session::Extent;
use crate::kafka::health::condition::{Aspect, Condition};

/// Time before an open transaction that stands still is reported. Writers end theirs within 60 s, if they leave the time-out as
/// it is.
const OPEN: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Statistics {
    topics: HashMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: HashMap<String, PartitionStatistics>,
}

/// What librdkafka says of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct PartitionStatistics {
    partition: i32,
    /// Records that were fetched and not taken yet.
    fetchq_cnt: i64,
    /// Offset that is fetched next.
    next_offset: i64,
    hi_offset: i64,
    /// The same, but for what belongs to open transactions.
    ls_offset: i64,
}

/// How far the client has come in one partition.
#[derive(Debug, Default)]
pub(super) struct ClientPosition {
    /// The next offset of the client when it had nothing left to be taken, and the one after the last record that was taken.
    last: Option<(i64, Option<i64>)>,
    /// The same, if it was so twice in a row: what is told may be of before the partition was assigned or sought.
    confirmed: Option<(i64, Option<i64>)>,
    /// The open transaction before which it stands, and since when.
    transaction: Option<(i64, Instant)>,
}

impl ClientPosition {
    fn note(&mut self, told: PartitionStatistics, expected: Option<i64>) {
        let seen =
            (told.fetchq_cnt == 0 && told.next_offset >= 0).then_some((told.next_offset, expected));
        self.confirmed = seen.filter(|_| self.last == seen);
        self.last = seen;
        let is_known = told.ls_offset >= 0 && told.hi_offset >= 0;
        let is_open = is_known && told.ls_offset < told.hi_offset;
        // While it is open, a client that reads some records again, as after a broker was away, stands before it all the same.
        let known =
            (self.transaction).filter(|(at, _)| !is_known || is_open && *at == told.ls_offset);
        let stands = is_open && self.confirmed.is_some_and(|(at, _)| at == told.ls_offset);
        self.transaction = known.or_else(|| stands.then(|| (told.ls_offset, Instant::now())));
    }

    /// The offset below which all is settled, where the reading is where it was, and this is stored.
    fn beyond(&self, expected: Option<i64>, stored: Option<i64>) -> Option<i64> {
        let (at, then) = self.confirmed?;
        // What is in flight is not stored yet.
        let is_settled = then == expected && stored.is_none_or(|stored| Some(stored) >= expected);
        is_settled.then_some(at)
    }
}

impl PartitionState {
    /// The offset below which all is settled, where this is stored.
    pub(super) fn settled(&self, stored: i64) -> i64 {
        let is_read = matches!(self.reading, Reading::Awaits { .. } | Reading::Runs { .. });
        let beyond = (self.position).beyond(self.reading.expected(), Some(stored));
        beyond.filter(|_| is_read).unwrap_or(stored).max(stored)
    }
}

impl Assignment {
    /// Takes in what librdkafka tells of itself.
    pub(super) fn told(&self, statistics: &[u8]) {
        let Ok(mut told) = serde_json::from_slice::<Statistics>(statistics) else {
            return;
        };
        let Some(topic) = told.topics.remove(&*self.source.topic) else {
            return;
        };
        let mut partitions = self.partitions();
        for told in topic.partitions.into_values() {
            if let Some(Partition { state, .. }) = partitions.get_mut(&told.partition) {
                let expected = state.reading.expected();
                state.position.note(told, expected);
                self.tell_transaction(told.partition, state);
            }
        }
    }

    /// Adds to what is known of the partitions how far the client has come.
    pub(super) fn add_positions(&self, extents: &mut [Extent]) {
        let partitions = self.partitions();
        for extent in extents {
            let Some(Partition { state, .. }) = partitions.get(&extent.partition) else {
                continue;
            };
            extent.transaction = state.position.transaction.map(|(at, _)| at);
            let Some((at, expected)) = state.position.confirmed else {
                continue;
            };
            // Only where it says more than what is stored is that looked up.
            if expected.is_some_and(|expected| at <= expected) {
                continue;
            }
            if let Ok(stored) = self.stored(extent.partition) {
                let stored = stored.map_or(extent.begin, |stored| stored.next);
                extent.reached = Some(state.settled(stored));
            }
        }
    }

    fn tell_transaction(&self, partition: i32, state: &mut PartitionState) {
        match state.position.transaction {
            Some((offset, since)) if since.elapsed() >= OPEN => {
                state.is_before_transaction = true;
                let condition = Condition::TransactionOpen { offset };
                self.report(Aspect::Transaction(partition), condition);
            }
            None if std::mem::take(&mut state.is_before_transaction) => {
                self.conditions
                    .clear(&self.subject(Aspect::Transaction(partition)));
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        fetchq_cnt: i64,
        next_offset: i64,
        ls_offset: i64,
        hi_offset: i64,
    ) -> PartitionStatistics {
        PartitionStatistics {
            partition: 0,
            fetchq_cnt,
            next_offset,
            hi_offset,
            ls_offset,
        }
    }

    #[test]
    fn what_is_passed_without_a_record_counts_when_it_is_told_twice_and_all_before_is_stored() {
        let mut position = ClientPosition::default();
        position.note(told(0, 6, 6, 6), Some(5));
        assert_eq!(position.beyond(Some(5), Some(5)), None, "told once");
        position.note(told(0, 6, 6, 6), Some(5));
        assert_eq!(position.beyond(Some(5), Some(5)), Some(6));
        assert_eq!(position.beyond(Some(5), Some(4)), None, "one is in flight");
        assert_eq!(
            position.beyond(Some(6), Some(6)),
            None,
            "one has come since"
        );
        position.note(told(1, 7, 7, 7), Some(5));
        assert_eq!(position.beyond(Some(5), Some(5)), None, "one is fetched");
        // Of a partition of which no record has ever come.
        position.note(told(0, 11, 11, 11), None);
        position.note(told(0, 11, 11, 11), None);
        assert_eq!(position.beyond(None, None), Some(11));
    }

    #[test]
    fn a_partition_stands_before_a_transaction_while_there_is_more_than_is_given_out() {
        let mut position = ClientPosition::default();
        for (next, end, high, stands) in [
            (5, 5, 9, false),
            (5, 5, 9, true),
            (5, 5, 12, true),
            (9, 12, 12, false),
            (12, 12, 12, false),
        ] {
            position.note(told(0, next, end, high), Some(5));
            assert_eq!(
                position.transaction.is_some(),
                stands,
                "{next} {end} {high}"
            );
        }
    }

    #[test]
    fn a_transaction_is_remembered_while_the_client_reads_again_what_is_before_it() {
        let mut position = ClientPosition::default();
        position.note(told(0, 5, 5, 9), Some(5));
        position.note(told(0, 5, 5, 9), Some(5));
        let stands = position.transaction;
        assert!(stands.is_some());
        for again in [
            told(1, 4, 5, 9),
            told(0, -1001, 5, 9),
            told(0, -1001, -1001, -1001),
            told(0, 5, 5, 9),
            told(0, 5, 5, 10),
        ] {
            position.note(again, Some(5));
            assert_eq!(position.transaction, stands, "{again:?}");
        }
        position.note(told(1, 7, 7, 10), Some(5));
        assert_eq!(position.transaction, None, "another one is open");
        position.note(told(0, 7, 7, 10), Some(7));
        position.note(told(0, 7, 7, 10), Some(7));
        position.note(told(1, 8, 10, 10), Some(7));
        assert_eq!(position.transaction, None, "none is open");
    }

    #[test]
    fn what_librdkafka_says_is_read_whatever_else_it_says() {
        let text =
            br#"{"name":"x","topics":{"t":{"age":1,"partitions":{"0":{"partition":0,"fetchq_cnt":2,
            "next_offset":7,"app_offset":-1001,"hi_offset":9,"ls_offset":8}}}},"cgrp":{}}"#;
        let read = serde_json::from_slice::<Statistics>(text).ok();
        let topic = read.as_ref().and_then(|read| read.topics.get("t"));
        let partition = topic.and_then(|topic| topic.partitions.get("0"));
        assert_eq!(partition, Some(&told(2, 7, 8, 9)));
    }
}
