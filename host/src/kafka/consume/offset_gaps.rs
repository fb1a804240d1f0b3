//! What is said where a partition does not go on as it should: at another offset, or in another log.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::assignment::{Assignment, Place, QUESTION};
use super::log_identity::Contradiction;
use super::missed::Why;
use crate::base::clock::rfc3339;

impl Assignment {
    /// Says what happened where a partition does not go on at the stored offset.
    pub(crate) fn starts_elsewhere(
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
                "the stored offset is beyond the end of the partition: the topic was probably deleted and made anew; \
                 it is read from its beginning, and events with ids that were applied before are not applied again; records without an id are told by topic, \
                 partition and offset, and pass for those that were there before"
            );
            return;
        }
        // Offsets may have gaps (compaction, transaction markers), which are no loss.
        match client.fetch_watermarks(topic, partition, QUESTION) {
            Ok((begin, _)) if begin <= expected => self.say_compacted(partition, expected, found),
            Err(error) => tracing::warn!(
                %topic, partition, expected, found, %error,
                "offsets are missing, and the broker does not say whether their records were deleted"
            ),
            Ok(_) => self.say_deleted(partition, expected, found),
        }
    }

    /// Says that the records from `expected` on are gone, and that the next one there is, or will be, is `found`.
    pub(crate) fn say_deleted(&self, partition: i32, expected: i64, found: i64) {
        let (topic, missing) = (&self.source.topic, found - expected);
        self.miss(Why::Deleted, missing);
        // It is over, and not made good: said until somebody who can has started the host again.
        self.troubles.error(
            &format!("{}, partition {partition}", self.part),
            format!(
                "topic {topic}, partition {partition}: {missing} record(s) from offset {expected} on were deleted \
                 (retention, or a deletion by hand) before they were read in group {}; it was read on from \
                 offset {found}. What they said is lost to this host: keep records for longer than the longest \
                 outage, and have them sent again if you can",
                self.source.group
            ),
        );
    }

    /// Counts records that were never given to this host.
    fn miss(&self, why: Why, records: i64) {
        (self.missed).add(&self.source.topic, &self.source.group, why, records);
    }

    /// Says that offsets are missing in a topic that is compacted. In any other they were of no records: of markers, or taken back.
    fn say_compacted(&self, partition: i32, expected: i64, found: i64) {
        let topic = &self.source.topic;
        if !self.topics.is_compacted(topic) {
            return;
        }
        self.miss(Why::Compacted, found - expected);
        self.troubles.error_once(
            &format!("{}, partition {partition}, compacted", self.part),
            format!(
                "topic {topic}, partition {partition}: the records from offset {expected} up to {found} are missing, and the topic is \
                 compacted: unless they were markers of transactions, the broker has deleted them, because later ones have the same key, before \
                 they were read in group {}. What they said is lost to this host: set cleanup.policy=delete, and have them sent again",
                self.source.group
            ),
        );
    }

    /// Looks at the first record of a partition of which nothing is stored.
    pub(crate) fn begins_at(&self, client: &BaseConsumer<Self>, partition: i32, found: i64) {
        let topic = &self.source.topic;
        // Where the topic is known, it was said when that was written down.
        if found > 0 && !self.recognition().is_known() {
            self.say_begins_late(client, partition, found, None);
        }
        if self.topics.is_compacted(topic)
            && let Ok((begin, _)) = client.fetch_watermarks(topic, partition, QUESTION)
            && begin < found
        {
            self.say_compacted(partition, begin, found);
        }
    }

    /// Says that a partition that was never read before does not begin with its first record. `is_group` says whether that is so
    /// because the group was there; none where that is not known.
    pub(crate) fn say_begins_late(
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
            self.miss(Why::BeforeFirst, first - begin);
            tracing::warn!(
                "topic {topic}, partition {partition}, is read by this host for the first time, from offset {first} on, because group {group} \
                 was there: {} record(s) from offset {begin} on are not read. If no other program has decided them, stop this host, and \
                 start it again after `saga seek {topic} {partition} {begin} --group {group} --data DIR`",
                first - begin
            );
        } else {
            self.miss(Why::BeforeFirst, first);
            tracing::warn!(
                "topic {topic}, partition {partition}, begins at offset {first}: what was before was deleted (retention, or a deletion by \
                 hand) before group {group} read there for the first time. If that was meant for this host, have it sent again"
            );
        }
    }

    /// The name under which it is kept that the log of a partition is another one.
    pub(crate) fn log_part(&self, partition: i32) -> String {
        format!("{}, log of partition {partition}", self.part)
    }

    /// Whether what is known of a partition is known of the log that was read: something was read of it, or its topic before.
    pub(crate) fn knows_the_log(&self, place: &Place) -> bool {
        place.log.has_seen() || self.recognition().was_known()
    }

    /// Says of which partitions the log is another one, though the topic is the same; nothing more of them is read.
    pub(crate) fn stop_at_other_logs(&self, client: &BaseConsumer<Self>) {
        if self.recognition().is_doubtful() {
            return;
        }
        let mut stopped = TopicPartitionList::new();
        for (partition, place) in self.places().iter_mut() {
            if let Some(contradiction) = place.log.confirmed() {
                self.say_another_log(client, *partition, contradiction);
                stopped.add_partition(&self.source.topic, *partition);
            }
        }
        // Nobody would take what comes.
        if stopped.count() > 0
            && let Err(error) = client.pause(&stopped)
        {
            tracing::debug!(topic = %self.source.topic, %error, "partitions can't be paused");
        }
    }

    fn say_another_log(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        contradiction: Contradiction,
    ) {
        let (topic, group) = (&self.source.topic, &self.source.group);
        let extent = client.fetch_watermarks(topic, partition, QUESTION);
        let extent = extent.map_or_else(
            |_| String::new(),
            |(begin, end)| format!(" It now goes from offset {begin} to {end}."),
        );
        let why = match contradiction {
            Contradiction::Replaced { seen, time } => format!(
                "at offset {} is a record {}, and the one that was read there was {}",
                seen.offset,
                of(time),
                of(seen.proof.time)
            ),
            Contradiction::Short { expected } => {
                format!("it ends before offset {expected}, up to which it was read")
            }
        };
        let or_else = or_else(self.recognition().is_known());
        self.troubles.halt(
            &self.log_part(partition),
            format!(
                "topic {topic}, partition {partition}: its log is not the one that was read in group {group}: {why}. The \
                 broker has lost records (it was restored from an older snapshot, or its leader was chosen uncleanly), and \
                 what came instead may not have been read{or_else}. Nothing more of this partition is read.{extent} Stop this host, \
                 choose where to read on (the first offset at which the records are other ones; an earlier one does no \
                 harm), and start it again after `saga seek {topic} {partition} OFFSET --group {group} --data DIR`"
            ),
        );
    }
}

/// What else it may be where it is not known which topic it is.
fn or_else(is_topic_known: bool) -> &'static str {
    if is_topic_known {
        ""
    } else {
        "; or the topic was deleted and created again: then read on from offset 0"
    }
}

fn of(time: i64) -> String {
    match u64::try_from(time) {
        Ok(time) => format!("of {}", rfc3339(time)),
        Err(_) => "without a time".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_without_an_id_may_have_been_created_again() {
        assert_eq!(or_else(true), "");
        assert!(or_else(false).contains("created again: then read on from offset 0"));
    }
}
