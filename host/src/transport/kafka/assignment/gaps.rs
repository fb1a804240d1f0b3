//! What is said where a partition does not go on at the offset where it should.

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::{Assignment, QUESTION};

impl Assignment {
    /// Says what happened where a partition does not go on at the stored offset.
    pub(super) fn starts_elsewhere(
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
            Ok((begin, _)) if begin <= expected => {}
            Err(error) => tracing::warn!(
                %topic, partition, expected, found, %error,
                "offsets are missing, and the broker does not say whether their records were deleted"
            ),
            Ok(_) => self.say_deleted(partition, expected, found),
        }
    }

    /// Says that the records from `expected` on are gone, and that the next one there is, or will be, is `found`.
    pub(super) fn say_deleted(&self, partition: i32, expected: i64, found: i64) {
        let (topic, missing) = (&self.source.topic, found - expected);
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
}
