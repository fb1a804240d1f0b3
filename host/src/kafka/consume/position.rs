//! How far a client has come in its partitions, by what librdkafka says of itself once a second (`statistics.interval.ms`).
//!
//! A client also passes what it gives to nobody: markers of transactions, records that were taken back, offsets that
//! compaction has removed. Only librdkafka knows that, so without it a partition that ends with a marker would have a lag
//! for ever. It shows too that a partition stands before an open transaction.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::assignment::{Assignment, Place};
use super::reading::Reading;
use crate::base::session::Extent;

/// How often librdkafka tells, in milliseconds.
pub(crate) const TELLS: &str = "1000";

/// Time before an open transaction that stands still is reported. Writers end theirs within 60 s, if they leave the time-out as
/// it is.
const OPEN: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Statistics {
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    partitions: HashMap<String, Partition>,
}

/// What librdkafka says of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Partition {
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
pub(crate) struct Reached {
    /// The next offset of the client when it had nothing left to be taken, and the one after the last record that was taken.
    last: Option<(i64, Option<i64>)>,
    /// The same, if it was so twice in a row: what is told may be of before the partition was assigned or sought.
    confirmed: Option<(i64, Option<i64>)>,
    /// The open transaction before which it stands, and since when.
    transaction: Option<(i64, Instant)>,
}

impl Reached {
    fn note(&mut self, told: Partition, expected: Option<i64>) {
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

impl Place {
    /// The offset below which all is settled, where this is stored.
    pub(crate) fn settled(&self, stored: i64) -> i64 {
        let is_read = matches!(self.reading, Reading::Awaits { .. } | Reading::Runs { .. });
        let beyond = (self.reached).beyond(self.reading.expected(), Some(stored));
        beyond.filter(|_| is_read).unwrap_or(stored).max(stored)
    }
}

impl Assignment {
    /// Takes in what librdkafka tells of itself.
    pub(crate) fn told(&self, statistics: &[u8]) {
        let Ok(mut told) = serde_json::from_slice::<Statistics>(statistics) else {
            return;
        };
        let Some(topic) = told.topics.remove(&*self.source.topic) else {
            return;
        };
        let mut places = self.places();
        for told in topic.partitions.into_values() {
            if let Some(place) = places.get_mut(&told.partition) {
                let expected = place.reading.expected();
                place.reached.note(told, expected);
                self.tell_transaction(told.partition, place);
            }
        }
    }

    /// Adds to what is known of the partitions how far the client has come.
    pub(crate) fn add_reached(&self, extents: &mut [Extent]) {
        let places = self.places();
        for extent in extents {
            let Some(place) = places.get(&extent.partition) else {
                continue;
            };
            extent.transaction = place.reached.transaction.map(|(at, _)| at);
            let Some((at, expected)) = place.reached.confirmed else {
                continue;
            };
            // Only where it says more than what is stored is that looked up.
            if expected.is_some_and(|expected| at <= expected) {
                continue;
            }
            if let Ok(stored) = self.stored(extent.partition) {
                let stored = stored.map_or(extent.begin, |stored| stored.next);
                extent.reached = Some(place.settled(stored));
            }
        }
    }

    fn tell_transaction(&self, partition: i32, place: &mut Place) {
        let part = self.transaction_part(partition);
        match place.reached.transaction {
            Some((at, since)) if since.elapsed() >= OPEN => {
                place.is_before_transaction = true;
                let (topic, group) = (&self.source.topic, &self.source.group);
                self.troubles.error(
                    &part,
                    format!(
                        "topic {topic}, partition {partition}, is not read on in group {group}: {}",
                        transaction(topic, partition, at, &self.settings.bootstrap)
                    ),
                );
            }
            Some(_) => {}
            None if std::mem::take(&mut place.is_before_transaction) => self.troubles.clear(&part),
            None => {}
        }
    }

    /// The name under which it is kept that a partition stands before an open transaction.
    pub(crate) fn transaction_part(&self, partition: i32) -> String {
        format!("{}, transaction in partition {partition}", self.part)
    }
}

/// What an open transaction at this offset does, and what to do.
pub(crate) fn transaction(topic: &str, partition: i32, offset: i64, bootstrap: &str) -> String {
    format!(
        "a transaction of a writer is open from offset {offset} on, and nothing from there on is given to readers until it is \
         committed or aborted. The broker aborts it after the writer's transaction.timeout.ms. If that writer is gone: \
         `kafka-transactions.sh --bootstrap-server {bootstrap} describe-producers --topic {topic} --partition {partition}` names it, \
         `kafka-transactions.sh --bootstrap-server {bootstrap} abort --topic {topic} --partition {partition} --start-offset {offset}` \
         aborts it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fetchq_cnt: i64, next_offset: i64, ls_offset: i64, hi_offset: i64) -> Partition {
        Partition {
            partition: 0,
            fetchq_cnt,
            next_offset,
            hi_offset,
            ls_offset,
        }
    }

    #[test]
    fn what_is_passed_without_a_record_counts_when_it_is_told_twice_and_all_before_is_stored() {
        let mut reached = Reached::default();
        reached.note(told(0, 6, 6, 6), Some(5));
        assert_eq!(reached.beyond(Some(5), Some(5)), None, "told once");
        reached.note(told(0, 6, 6, 6), Some(5));
        assert_eq!(reached.beyond(Some(5), Some(5)), Some(6));
        assert_eq!(reached.beyond(Some(5), Some(4)), None, "one is in flight");
        assert_eq!(reached.beyond(Some(6), Some(6)), None, "one has come since");
        reached.note(told(1, 7, 7, 7), Some(5));
        assert_eq!(reached.beyond(Some(5), Some(5)), None, "one is fetched");
        // Of a partition of which no record has ever come.
        reached.note(told(0, 11, 11, 11), None);
        reached.note(told(0, 11, 11, 11), None);
        assert_eq!(reached.beyond(None, None), Some(11));
    }

    #[test]
    fn a_partition_stands_before_a_transaction_while_there_is_more_than_is_given_out() {
        let mut reached = Reached::default();
        for (next, end, high, stands) in [
            (5, 5, 9, false),
            (5, 5, 9, true),
            (5, 5, 12, true),
            (9, 12, 12, false),
            (12, 12, 12, false),
        ] {
            reached.note(told(0, next, end, high), Some(5));
            assert_eq!(reached.transaction.is_some(), stands, "{next} {end} {high}");
        }
    }

    #[test]
    fn a_transaction_is_remembered_while_the_client_reads_again_what_is_before_it() {
        let mut reached = Reached::default();
        reached.note(told(0, 5, 5, 9), Some(5));
        reached.note(told(0, 5, 5, 9), Some(5));
        let stands = reached.transaction;
        assert!(stands.is_some());
        for again in [
            told(1, 4, 5, 9),
            told(0, -1001, 5, 9),
            told(0, -1001, -1001, -1001),
            told(0, 5, 5, 9),
            told(0, 5, 5, 10),
        ] {
            reached.note(again, Some(5));
            assert_eq!(reached.transaction, stands, "{again:?}");
        }
        reached.note(told(1, 7, 7, 10), Some(5));
        assert_eq!(reached.transaction, None, "another one is open");
        reached.note(told(0, 7, 7, 10), Some(7));
        reached.note(told(0, 7, 7, 10), Some(7));
        reached.note(told(1, 8, 10, 10), Some(7));
        assert_eq!(reached.transaction, None, "none is open");
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
