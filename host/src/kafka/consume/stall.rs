//! Stall detection for assigned partitions: compares the offsets that brokers report for a silent
//! partition with those that were read, and those that the client knows.
//!
//! If records are deleted before they are read, nothing shows it until the next record. And a
//! client may take a recreated topic for an outdated state of the one that it knows, and never
//! fetch from it: such a client is silent although there are records. A client that stalls while
//! brokers answer is rebuilt.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::partition::{Partition, PartitionState};
use super::reading::Reading;
use super::{Consumer, QUESTION, ROUND};
use crate::kafka::health::condition::LogChange;
use crate::kafka::health::probe::code_of;
use crate::transport::WINDOW;

/// Silence of a partition after which brokers are asked about it, and interval between two such
/// questions.
const SILENT: Duration = Duration::from_secs(30);

/// Wait before the next question after brokers were unreachable, or did not answer this one.
const SHORTLY: Duration = Duration::from_secs(1);

/// Time for a client to learn of records that brokers report. A fetch is answered within half a
/// second, even without records.
const BEHIND: Duration = Duration::from_secs(15);

/// Stall detection for one partition.
#[derive(Debug)]
pub(super) struct Stall {
    look_from: Instant,
    found: StallFinding,
}

/// The finding of the last look at a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StallFinding {
    /// None so far, or brokers did not answer.
    Unknown,
    /// Nothing is missing.
    Fine,
    /// The partition goes beyond this end, which is the one that the client knew.
    Behind(i64),
    /// The log ends before the expected offset.
    Short,
}

impl Stall {
    /// A partition that was just assigned; the first look is soon.
    pub(super) fn new() -> Self {
        Self {
            look_from: Instant::now(),
            found: StallFinding::Unknown,
        }
    }

    /// True if nothing is missing according to the brokers.
    pub(super) fn is_fine(&self) -> bool {
        self.found == StallFinding::Fine
    }

    /// Records have arrived, or there are none beyond those that were read.
    pub(super) fn note_fine(&mut self) {
        self.note(StallFinding::Fine, SILENT);
    }

    /// Brokers were unreachable: the log may be another one. The client has time anew to hear of
    /// records, but a log that ended too early is confirmed by the next look.
    pub(super) fn doubt(&mut self) {
        if self.found != StallFinding::Short {
            self.found = StallFinding::Unknown;
        }
        self.look_from = self.look_from.min(Instant::now() + SHORTLY);
    }

    /// Takes a look: the client knows the partition up to `known`, and there are records beyond
    /// that if `has_more`. True if that was so at the last look too.
    fn is_stalled(&mut self, known: i64, has_more: bool) -> bool {
        if !has_more {
            self.note_fine();
            return false;
        }
        let before = self.note(StallFinding::Behind(known), BEHIND);
        before == StallFinding::Behind(known)
    }

    /// Takes a look at a log that ends before the expected offset; true if it did at the last look
    /// too. A new leader may not know its high watermark yet.
    fn is_still_short(&mut self) -> bool {
        self.note(StallFinding::Short, SHORTLY) == StallFinding::Short
    }

    /// Notes a finding, and the time until the next look; returns the finding before.
    fn note(&mut self, found: StallFinding, pause: Duration) -> StallFinding {
        self.look_from = Instant::now() + pause;
        std::mem::replace(&mut self.found, found)
    }
}

impl Consumer {
    /// Asks brokers about silent partitions. Reports records that were deleted unread, and
    /// continues after them. True if the client has stalled.
    pub(super) fn detect_stall(&mut self) -> bool {
        let until = Instant::now() + ROUND;
        let mut is_stalled = false;
        // The longest due comes first: one whose leader is away may take the whole round.
        let due =
            |(number, partition): (&i32, &Partition)| (partition.state.stall.look_from, *number);
        let mut due: Vec<_> = self.partitions.iter().map(due).collect();
        due.sort_unstable();
        for (look_from, number) in due {
            let now = Instant::now();
            if now >= until || now < look_from {
                break;
            }
            if let Some(mut partition) = self.partitions.remove(&number) {
                if self.is_silent(&partition.state) {
                    is_stalled |= self.look_at(number, &mut partition.state);
                }
                self.partitions.insert(number, partition);
            }
        }
        // A client without the right to read also receives nothing.
        is_stalled && !self.lacks_rights
    }

    /// True if nothing is in flight, and the partition would be read as soon as a record came.
    fn is_silent(&self, state: &PartitionState) -> bool {
        let is_settled = match &state.reading {
            Reading::Runs { session, .. } => session.room() == WINDOW,
            _ => true,
        };
        is_settled && state.reading.has_room() && self.source.readings.room() > 0
    }

    fn look_at(&mut self, partition: i32, state: &mut PartitionState) -> bool {
        let topic = &self.source.topic;
        let (begin, end) = match self.client.fetch_watermarks(topic, partition, QUESTION) {
            Ok(found) => found,
            // Brokers restored from an older snapshot report older leader epochs, which a client
            // that knows later ones ignores.
            Err(error) if code_of(&error) == Code::UnknownPartition => {
                let is_there = self.parts.topics.exists(topic);
                // Another client finds out before the next look if the topic is gone.
                self.parts.topics.doubt_topic(topic);
                return state.stall.is_stalled(-1, true) && is_there;
            }
            Err(error) => {
                tracing::debug!(%topic, partition, %error, "where the partition ends is not known");
                state.stall.note(StallFinding::Unknown, SHORTLY);
                return false;
            }
        };
        let expected = state.reading.expected().unwrap_or(begin);
        let (name, row) = (&self.source.consumer, self.source.topic_row);
        if expected < begin {
            self.records_deleted(partition, expected, begin);
            // Once the offset is stored, the loss is not found again.
            match (self.parts.store).write_offset(name, row, partition, begin) {
                Ok(()) => state.reading.restart(Duration::ZERO),
                Err(error) => {
                    tracing::error!(%topic, partition, %error, "where to read on can't be stored; it is tried again");
                }
            }
        } else if end < expected && state.reading.has_read() {
            if state.stall.is_still_short() {
                self.identity.doubt();
                state.reading.halt(LogChange::Short { expected });
            }
            return false;
        }
        // Without statistics, nothing is known of the client.
        let Some(known) = state.position.end else {
            state.stall.note(StallFinding::Unknown, SHORTLY);
            return false;
        };
        let has_more = end > expected.max(begin).max(known);
        state.stall.is_stalled(known, has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_stalled_that_hears_no_more_between_two_looks_though_there_is_more() {
        let mut stall = Stall::new();
        assert!(stall.look_from <= Instant::now());
        assert!(!stall.is_stalled(5, true), "it has time to hear of it");
        assert!(stall.look_from > Instant::now());
        assert!(!stall.is_stalled(7, true), "it has heard more by now");
        assert!(stall.is_stalled(7, true));
        stall.note_fine();
        assert!(!stall.is_stalled(7, true), "records have come in between");
        stall.doubt();
        assert!(stall.look_from <= Instant::now() + SHORTLY);
        for _ in 0..3 {
            assert!(!stall.is_stalled(9, false), "all of it was read");
        }
    }

    #[test]
    fn a_log_that_ends_too_early_counts_at_the_second_look() {
        let mut stall = Stall::new();
        assert!(!stall.is_still_short() && !stall.is_fine());
        stall.doubt();
        assert!(
            stall.is_still_short(),
            "an outage of other brokers changes nothing"
        );
        stall.note_fine();
        assert!(stall.is_fine() && !stall.is_still_short());
    }
}
