//! The position of a client in its partitions, from librdkafka's statistics, which come once a
//! second (`statistics.interval.ms` in `settings`).
//!
//! A client also passes offsets that it delivers to nobody: transaction markers, aborted records,
//! offsets removed by compaction. Only librdkafka knows of them. Without its statistics, a
//! partition that ends with a marker would have a lag for ever. They also show where partitions
//! begin and end, and that one has stopped at an open transaction.

use rdkafka::Statistics;
use rdkafka::statistics::Partition as Told;

use super::Consumer;
use super::partition::{Partition, PartitionState};
use super::reading::Reading;
use crate::base::session::Extent;

/// The position of the client in one partition.
#[derive(Debug, Default)]
pub(super) struct ClientPosition {
    /// The end of the partition that the client knows; `None` until the first statistics.
    pub(super) end: Option<i64>,
    /// The client's next offset while its queue was empty, and the offset after the last record
    /// taken.
    last: Option<(i64, Option<i64>)>,
    /// The same, if it was reported twice in a row: statistics may be older than an assignment or a
    /// seek.
    confirmed: Option<(i64, Option<i64>)>,
    /// The open transaction at which the client has stopped.
    transaction: Option<i64>,
}

impl ClientPosition {
    fn note(&mut self, told: &Told, expected: Option<i64>) {
        self.end = Some(told.hi_offset);
        let is_at_end = told.fetchq_cnt == 0 && told.next_offset >= 0;
        let seen = is_at_end.then_some((told.next_offset, expected));
        self.confirmed = seen.filter(|_| self.last == seen);
        self.last = seen;
        let is_known = told.ls_offset >= 0 && told.hi_offset >= 0;
        let is_open = is_known && told.ls_offset < told.hi_offset;
        // A client that reads some records again (after a broker was away, for example) still
        // counts as stopped at a transaction that is still open.
        let known = (self.transaction).filter(|at| !is_known || is_open && *at == told.ls_offset);
        let stands = is_open && self.confirmed.is_some_and(|(at, _)| at == told.ls_offset);
        self.transaction = known.or_else(|| stands.then_some(told.ls_offset));
    }

    /// The offset below which everything is settled. `None` unless the reading is still at
    /// `expected` and everything before it is stored.
    fn beyond(&self, expected: Option<i64>, stored: i64) -> Option<i64> {
        let (at, then) = self.confirmed?;
        // Records in flight are not stored yet.
        let is_settled = then == expected && Some(stored) >= expected;
        is_settled.then_some(at)
    }
}

impl PartitionState {
    /// The offset below which everything is settled, given the stored offset.
    pub(super) fn settled(&self, stored: i64) -> i64 {
        let is_read = !matches!(
            self.reading,
            Reading::Begins { .. } | Reading::Halted { .. }
        );
        let beyond = (self.position).beyond(self.reading.expected(), stored);
        beyond.filter(|_| is_read).unwrap_or(stored).max(stored)
    }
}

impl Consumer {
    pub(super) fn take_statistics(&mut self, statistics: &Statistics) {
        let topic = statistics.topics.get(&*self.source.topic);
        let told = topic
            .into_iter()
            .flat_map(|topic| topic.partitions.values());
        let mut extents = Vec::new();
        for told in told {
            if let Some(Partition { state, .. }) = self.partitions.get_mut(&told.partition) {
                state.position.note(told, state.reading.expected());
            }
            if let Some(Partition { state, .. }) = self.partitions.get(&told.partition) {
                extents.extend(self.extent(told, state));
            }
        }
        self.parts.extents.note(&self.source, extents);
    }

    /// The extent of a partition; `None` if the client has not heard of it yet.
    fn extent(&self, told: &Told, state: &PartitionState) -> Option<Extent> {
        if told.hi_offset < 0 {
            return None;
        }
        // Brokers may never tell where a partition begins.
        let begin = (told.lo_offset >= 0).then_some(told.lo_offset);
        let begin = (state.reading.first().or(begin)).or((told.hi_offset == 0).then_some(0))?;
        let mut extent = Extent::new(told.partition, begin, told.hi_offset);
        extent.transaction = state.position.transaction;
        // The store is read only if the position is beyond the next expected offset.
        if let Some((at, expected)) = state.position.confirmed
            && expected.is_none_or(|expected| at > expected)
            && let Ok(stored) = self.stored(told.partition)
        {
            extent.reached = Some(state.settled(stored.map_or(begin, |stored| stored.next)));
        }
        Some(extent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fetchq_cnt: i64, next_offset: i64, ls_offset: i64, hi_offset: i64) -> Told {
        Told {
            fetchq_cnt,
            next_offset,
            hi_offset,
            ls_offset,
            ..Told::default()
        }
    }

    #[test]
    fn what_is_passed_without_a_record_counts_when_it_is_told_twice_and_all_before_is_stored() {
        let mut position = ClientPosition::default();
        assert_eq!(position.end, None, "nothing is told yet");
        position.note(&told(0, 6, 6, 6), Some(5));
        assert_eq!(position.end, Some(6));
        assert_eq!(position.beyond(Some(5), 5), None, "told once");
        position.note(&told(0, 6, 6, 6), Some(5));
        assert_eq!(position.beyond(Some(5), 5), Some(6));
        assert_eq!(position.beyond(Some(5), 4), None, "one is in flight");
        assert_eq!(position.beyond(Some(6), 6), None, "one has come since");
        position.note(&told(1, 7, 7, 7), Some(5));
        assert_eq!(position.beyond(Some(5), 5), None, "one is fetched");
        // A partition that has never delivered a record.
        position.note(&told(0, 11, 11, 11), None);
        position.note(&told(0, 11, 11, 11), None);
        assert_eq!(position.beyond(None, 0), Some(11));
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
            position.note(&told(0, next, end, high), Some(5));
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
        position.note(&told(0, 5, 5, 9), Some(5));
        position.note(&told(0, 5, 5, 9), Some(5));
        let stands = position.transaction;
        assert!(stands.is_some());
        for again in [
            told(1, 4, 5, 9),
            told(0, -1001, 5, 9),
            told(0, -1001, -1001, -1001),
            told(0, 5, 5, 9),
            told(0, 5, 5, 10),
        ] {
            position.note(&again, Some(5));
            assert_eq!(position.transaction, stands, "{again:?}");
        }
        position.note(&told(1, 7, 7, 10), Some(5));
        assert_eq!(position.transaction, None, "another one is open");
        position.note(&told(0, 7, 7, 10), Some(7));
        position.note(&told(0, 7, 7, 10), Some(7));
        position.note(&told(1, 8, 10, 10), Some(7));
        assert_eq!(position.transaction, None, "none is open");
    }
}
