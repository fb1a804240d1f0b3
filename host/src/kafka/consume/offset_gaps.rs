//! Offset gaps: reports partitions that don't continue at the stored offset, and replaced logs.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use super::extents::{BEFORE_FIRST, COMPACTED, DELETED};
use super::partition::Partition;
use super::reading::Reading;
use super::{Consumer, QUESTION};
use crate::kafka::health::condition::{log_replaced, records_missing};

/// Time for finding out that the topic was recreated, before a log is held to be replaced.
const CONFIRM: Duration = Duration::from_secs(1);

impl Consumer {
    /// Reports a partition that continues at `found` instead of the offset `expected`.
    pub(super) fn records_missing(&self, partition: i32, expected: i64, found: i64) {
        let topic = &self.source.topic;
        match self.client.fetch_watermarks(topic, partition, QUESTION) {
            Ok((begin, _)) if begin > expected => self.records_deleted(partition, expected, found),
            // Compaction and transaction markers leave offset gaps too, markers without a loss.
            Ok(_) if self.is_compacted() => self.records_compacted(partition, expected, found),
            Ok(_) => {}
            Err(error) => tracing::warn!(
                %topic, partition, expected, found, %error,
                "offsets are missing, and the broker does not say whether their records were deleted"
            ),
        }
    }

    /// Reports that the records from `from` up to `to` were deleted unread. The loss is final: it
    /// is reported until the host is restarted.
    pub(super) fn records_deleted(&self, partition: i32, from: i64, to: i64) {
        self.miss(DELETED, to - from);
        let deleted = records_missing(&self.source, partition, (from, to), false);
        self.parts.conditions.report(deleted);
    }

    /// Reports that offsets of a compacted topic are missing.
    fn records_compacted(&self, partition: i32, from: i64, to: i64) {
        self.miss(COMPACTED, to - from);
        let compacted = records_missing(&self.source, partition, (from, to), true);
        self.parts.conditions.report_first(compacted);
    }

    fn is_compacted(&self) -> bool {
        let config = self
            .parts
            .topics
            .with(&self.source.topic, |topic| topic.config);
        config.flatten().is_some_and(|config| config.is_compacted)
    }

    fn miss(&self, why: &'static str, records: i64) {
        self.parts.missed.add(&self.source, why, records);
    }

    /// Checks the first record of a partition without a stored offset.
    pub(super) fn begins_at(&self, partition: i32, first: i64) {
        let topic = &self.source.topic;
        // If the topic is known, this was logged when the start offset was stored.
        if first > 0 && !self.identity.is_known() {
            self.begins_late(partition, first);
        }
        if self.is_compacted()
            && let Ok((begin, _)) = self.client.fetch_watermarks(topic, partition, QUESTION)
            && begin < first
        {
            self.records_compacted(partition, begin, first);
        }
    }

    /// Logs that a partition that is read for the first time does not start with its first record:
    /// the group was further, or earlier records were deleted.
    pub(super) fn begins_late(&self, partition: i32, first: i64) {
        let (topic, group) = (&self.source.topic, &self.source.group);
        let begin = self.client.fetch_watermarks(topic, partition, QUESTION);
        if let Ok((begin, _)) = begin
            && begin < first
        {
            self.miss(BEFORE_FIRST, first - begin);
            tracing::warn!(
                "topic {topic}, partition {partition}, is read by this host for the first time, from offset {first} on, \
                 because group {group} was there: {} record(s) from offset {begin} on are not read. If no other program has \
                 decided them, stop this host, and start it again after `saga seek {topic} {partition} {begin} --group \
                 {group} --data DIR`",
                first - begin
            );
        } else {
            self.miss(BEFORE_FIRST, first);
            tracing::warn!(
                "topic {topic}, partition {partition}, begins at offset {first}: what was before was deleted (retention, or \
                 a deletion by hand) before group {group} read there for the first time. If that was meant for this host, \
                 have it sent again"
            );
        }
    }

    /// Reports replaced logs whose topic is the same. Nothing more of them is read.
    pub(super) fn report_replaced_logs(&mut self) {
        let topic = &self.source.topic;
        let mut replaced = Vec::new();
        for (number, Partition { state, .. }) in &mut self.partitions {
            if let Reading::Halted { change, since } = state.reading
                && since.elapsed() >= CONFIRM
                && !std::mem::replace(&mut state.is_halt_reported, true)
            {
                let extent = self.client.fetch_watermarks(topic, *number, QUESTION).ok();
                replaced.push((*number, change, extent));
            }
        }
        for (number, change, extent) in replaced {
            let is_topic_known = self.identity.is_known();
            let condition = log_replaced(&self.source, number, change, extent, is_topic_known);
            self.parts.conditions.report(condition);
        }
    }
}
