//! Offset gaps: reports where a partition does not go on at the stored offset, and where its log is another one.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::assignment::{Assignment, QUESTION};
use super::missed::{BEFORE_FIRST, COMPACTED, DELETED};
use super::partition::PartitionState;
use crate::kafka::health::condition::{Aspect, Condition};

impl Assignment {
    /// Reports what happened where a partition goes on at `found` and not at the stored offset.
    pub(super) fn goes_on_elsewhere(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        expected: i64,
        found: i64,
    ) {
        let topic = &self.source.topic;
        if found < expected {
            tracing::warn!(
                %topic, partition, stored = expected, found,
                "the stored offset is beyond the end of the partition: the topic was probably deleted and created again; \
                 it is read from its beginning, and events with ids that were applied before are not applied again; records without an id are told by topic, \
                 partition and offset, and pass for those that were there before"
            );
            return;
        }
        // Offsets may have gaps (compaction, transaction markers), which are no loss.
        match client.fetch_watermarks(topic, partition, QUESTION) {
            Ok((begin, _)) if begin <= expected => self.are_compacted(partition, expected, found),
            Err(error) => tracing::warn!(
                %topic, partition, expected, found, %error,
                "offsets are missing, and the broker does not say whether their records were deleted"
            ),
            Ok(_) => self.are_deleted(partition, expected, found),
        }
    }

    /// The records from `from` up to `to` were deleted unread.
    pub(super) fn are_deleted(&self, partition: i32, from: i64, to: i64) {
        self.miss(DELETED, to - from);
        // It is over, and not made good: reported until somebody who can has started the host again.
        self.report(
            Aspect::Deleted(partition),
            Condition::RecordsDeleted { from, to },
        );
    }

    /// Offsets are missing: where the topic is compacted, of records. In any other they were markers, or taken back.
    fn are_compacted(&self, partition: i32, from: i64, to: i64) {
        if self.topics.is_compacted(&self.source.topic) {
            self.miss(COMPACTED, to - from);
            let subject = self.subject(Aspect::Compacted(partition));
            (self.conditions).report_first(subject, Condition::RecordsCompacted { from, to });
        }
    }

    /// Counts records that were never given to this host.
    fn miss(&self, why: &'static str, records: i64) {
        self.missed
            .add(&self.source.topic, &self.source.group, why, records);
    }

    /// Looks at the first record of a partition of which nothing is stored.
    pub(super) fn begins_at(&self, client: &BaseConsumer<Self>, partition: i32, found: i64) {
        let topic = &self.source.topic;
        // Where the topic is known, it was logged when that was written down.
        if found > 0 && !self.identity().is_known() {
            self.begins_late(client, partition, found, None);
        }
        if self.topics.is_compacted(topic)
            && let Ok((begin, _)) = client.fetch_watermarks(topic, partition, QUESTION)
            && begin < found
        {
            self.are_compacted(partition, begin, found);
        }
    }

    /// Logs that a partition that was never read before does not begin with its first record. `is_group` says whether that is so
    /// because the group was there; none where that is not known.
    pub(super) fn begins_late(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        first: i64,
        is_group: Option<bool>,
    ) {
        let (topic, group) = (&self.source.topic, &self.source.group);
        // Those before may be gone by now.
        let begin = client.fetch_watermarks(topic, partition, QUESTION);
        let begin = begin.map_or(0, |(begin, _)| begin);
        if is_group != Some(false) && begin < first {
            self.miss(BEFORE_FIRST, first - begin);
            tracing::warn!(
                "topic {topic}, partition {partition}, is read by this host for the first time, from offset {first} on, because group {group} \
                 was there: {} record(s) from offset {begin} on are not read. If no other program has decided them, stop this host, and \
                 start it again after `saga seek {topic} {partition} {begin} --group {group} --data DIR`",
                first - begin
            );
        } else {
            self.miss(BEFORE_FIRST, first);
            tracing::warn!(
                "topic {topic}, partition {partition}, begins at offset {first}: what was before was deleted (retention, or a deletion by \
                 hand) before group {group} read there for the first time. If that was meant for this host, have it sent again"
            );
        }
    }

    /// Whether what is known of a partition is known of the log that was read: something was read of it, or its topic before.
    pub(super) fn knows_the_log(&self, state: &PartitionState) -> bool {
        state.log.has_seen() || self.identity().was_known()
    }

    /// Reports each log that is another one though the topic is the same; nothing more of its partition is read.
    pub(super) fn stop_at_other_logs(&self, client: &BaseConsumer<Self>) {
        if self.identity().is_doubtful() {
            return;
        }
        let topic = &self.source.topic;
        let mut stopped = TopicPartitionList::new();
        for (number, partition) in self.partitions().iter_mut() {
            if let Some(change) = partition.state.log.confirmed() {
                let extent = client.fetch_watermarks(topic, *number, QUESTION).ok();
                let is_topic_known = self.identity().is_known();
                let replaced = Condition::LogReplaced {
                    change,
                    extent,
                    is_topic_known,
                };
                self.report(Aspect::Log(*number), replaced);
                stopped.add_partition(topic, *number);
            }
        }
        // Nobody would take what comes.
        if stopped.count() > 0
            && let Err(error) = client.pause(&stopped)
        {
            tracing::debug!(%topic, %error, "partitions can't be paused");
        }
    }
}
