//! Stall detection for assigned partitions: what brokers say of a silent one is compared with what was read and with what the
//! client has heard.
//!
//! Records that were all deleted before they were read show in nothing that comes, until the next record. And a client may take a
//! recreated topic for an older state of the one that it knows, and never fetch from it: it is silent then, which
//! does not mean that there is nothing to read. A client that stalls while brokers answer is rebuilt.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::assignment::{Assignment, QUESTION};
use super::extents::heard;
use super::partition::{Partition, PartitionState};
use super::reading::Reading;
use crate::transport::WINDOW;

/// Silence of a partition after which brokers are asked about it, and time between two such questions.
const SILENT: Duration = Duration::from_secs(30);

/// Time after which a log is looked at again that ends too early, or of which brokers did not tell where it ends.
const SHORTLY: Duration = Duration::from_secs(1);

/// Time that a client has, once brokers say that there is more than it has heard of, to hear of it too. A fetch is answered within half a
/// second, even where there is nothing.
const BEHIND: Duration = Duration::from_secs(15);

/// Longest time that partitions are asked about before events are served, but for one question.
const ROUND: Duration = Duration::from_millis(200);

/// What is known of a silent partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// It is not known whether there is anything to read.
    Unexplained,
    /// All that there is was read, or comes.
    Fine,
    /// The client knows no such partition.
    NoSuchPartition,
    /// It goes on beyond where it ended when the client last heard of it; none where it never has.
    Behind { heard: Option<i64> },
}

/// Stall detection for one partition.
#[derive(Debug)]
pub(super) struct Stall {
    silence: Silence,
    look_from: Instant,
}

impl Stall {
    /// Of a partition that was just assigned: it is looked at soon.
    pub(super) fn new() -> Self {
        Self {
            silence: Silence::Unexplained,
            look_from: Instant::now(),
        }
    }

    /// Records have come.
    pub(super) fn is_over(&mut self) {
        self.note(Silence::Fine, SILENT);
    }

    /// Brokers could not be reached: the log may end earlier now.
    pub(super) fn is_doubtful(&mut self) {
        self.note(Silence::Unexplained, SHORTLY);
    }

    /// The client knows no such partition. Gives whether it did not at the last look either: brokers that were restored from an older
    /// snapshot tell of older leaders, and a client that knows later ones does not take that in.
    fn is_unknown(&mut self) -> bool {
        let was_unknown = self.silence == Silence::NoSuchPartition;
        self.note(Silence::NoSuchPartition, SHORTLY);
        was_unknown
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.look_from
    }

    /// Whether, by what brokers say, nothing is missing.
    pub(super) fn is_fine(&self) -> bool {
        self.silence == Silence::Fine
    }

    /// Brokers say that the partition ends at `end`, of which the client has `heard`. `has_more` says whether that is beyond what was
    /// read. Gives whether the client has not heard of it for too long.
    fn compare(&mut self, end: i64, heard: Option<i64>, has_more: bool) -> bool {
        if !has_more || heard.is_some_and(|heard| heard >= end) {
            self.note(Silence::Fine, SILENT);
            return false;
        }
        let behind = Silence::Behind { heard };
        let is_stalled = self.silence == behind;
        self.note(behind, BEHIND);
        is_stalled
    }

    fn note(&mut self, silence: Silence, pause: Duration) {
        self.silence = silence;
        self.look_from = Instant::now() + pause;
    }
}

impl Assignment {
    /// Asks about silent partitions. Reports what was deleted of them unread, and reads on behind it. Gives whether the client does
    /// not hear of what there is.
    pub(super) fn detect_stall(&self, client: &BaseConsumer<Self>) -> bool {
        let until = Instant::now() + ROUND;
        let mut is_stalled = false;
        for (number, Partition { state, .. }) in self.partitions().iter_mut() {
            if Instant::now() >= until {
                break;
            }
            if state.stall.is_due() && self.has_nothing_in_flight(state) {
                is_stalled |= self.look_at(client, *number, state);
            }
        }
        // Whom brokers do not let read hears nothing either.
        is_stalled && !self.lacks_rights.load(Ordering::Relaxed)
    }

    /// Whether a partition would be read on if anything came.
    fn has_nothing_in_flight(&self, state: &PartitionState) -> bool {
        let is_settled = match &state.reading {
            Reading::Begins { .. } => false,
            Reading::Awaits { .. } => true,
            Reading::Runs { session, .. } => !session.is_cancelled() && session.room() == WINDOW,
        };
        is_settled && !state.log.is_held() && self.source.readings.room() > 0
    }

    fn look_at(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        state: &mut PartitionState,
    ) -> bool {
        let topic = &self.source.topic;
        let (begin, end) = match client.fetch_watermarks(topic, partition, QUESTION) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%topic, partition, %error, "where the partition ends is not known");
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) {
                    let is_there = self.topics.exists(topic);
                    // Whether it is gone is looked up by another client, before the next look.
                    self.topics.doubt_topic(topic);
                    return state.stall.is_unknown() && is_there;
                }
                state.stall.note(Silence::Unexplained, SHORTLY);
                return false;
            }
        };
        let expected = state.reading.expected();
        if let Some(expected) = expected.filter(|expected| end < *expected)
            && self.knows_the_log(state)
        {
            let pause = if state.log.is_short(expected) {
                self.identity().doubt();
                SILENT
            } else {
                SHORTLY
            };
            state.stall.note(Silence::Unexplained, pause);
            return false;
        }
        if let Some(expected) = expected.filter(|expected| *expected < begin) {
            self.are_deleted(partition, expected, begin);
            // What is written down is not found missing again.
            if self.go_back(&mut state.reading, partition, begin) {
                state.reading = Reading::begins_now(Some(begin));
            }
        }
        let heard = heard(client.client(), topic, &[(partition, Some(begin))]);
        let heard = heard.first().map(|extent| extent.end);
        let has_more = end > expected.unwrap_or(begin).max(begin);
        state.stall.compare(end, heard, has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_knows_no_such_partition_is_asked_twice() {
        let mut stall = Stall::new();
        assert!(!stall.is_unknown() && !stall.is_fine());
        assert!(stall.is_unknown());
        stall.is_over();
        assert!(!stall.is_unknown(), "records have come in between");
    }

    #[test]
    fn a_client_is_stalled_that_hears_no_more_between_two_looks_though_there_is_more() {
        let mut stall = Stall::new();
        assert!(stall.is_due() && !stall.is_fine());
        assert!(
            !stall.compare(9, Some(5), true),
            "it has time to hear of it"
        );
        assert!(!stall.is_due() && !stall.is_fine());
        assert!(!stall.compare(9, Some(7), true), "it has heard more by now");
        assert!(stall.compare(9, Some(7), true));
        // One that has heard of all there is gets it, or says why not.
        assert!(!stall.compare(9, Some(9), true));
        assert!(stall.is_fine());
        assert!(!stall.compare(9, None, true));
        assert!(stall.compare(9, None, true));
        stall.is_over();
        assert!(stall.is_fine() && !stall.is_due());
        stall.is_doubtful();
        assert!(!stall.is_fine() && stall.look_from <= Instant::now() + SHORTLY);
        stall.is_over();
        for _ in 0..3 {
            assert!(!stall.compare(9, None, false), "all of it was read");
        }
    }
}
