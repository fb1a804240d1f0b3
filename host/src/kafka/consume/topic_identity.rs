//! The identity of the topic that a consumer reads, and the start offsets of its first reading.
//!
//! A topic that was deleted and created again is another one, with another id: the offsets stored
//! for the first are dropped, and the new one is read from its beginning. librdkafka moves to it
//! silently, at the offset that it had reached. So the id is looked up at the assignment, whenever
//! an offset or an error is doubtful, before the first record after a pause, and every second while
//! records flow. Until brokers answer, the topic is doubtful and nothing is delivered. Records of
//! the new topic that were delivered before that come again, and are known by their ids or their
//! content (`record_proof`).
//!
//! On the first reading the start offset of every partition is stored: the group's offset, or the
//! beginning. So a store restored from a backup never takes an offset from the broker that is ahead
//! of it, and a partition without a stored offset was added later.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::{ConsumeEnd, Consumer, QUESTION};
use crate::kafka::health::advice::is_unknown_topic;
use crate::kafka::health::condition::topic_recreated;
use crate::kafka::health::conditions::Aspect;
use crate::kafka::health::liveness::Unanswered;
use crate::kafka::native::topic_id;

/// Longest wait for brokers to tell the group's offsets.
const OFFSETS: Duration = Duration::from_secs(2);

/// Interval between look-ups while records flow, and while the topic is doubtful.
const OFTEN: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(250);

/// Consecutive look-ups that may fail while brokers answer others, before records are read anyway.
const TRIES: u32 = 4;

/// Wait before brokers are asked again after that.
const LATER: Duration = Duration::from_secs(60);

/// The result of a look-up of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdentityLook {
    /// The same topic as before.
    Same,
    /// Another topic. Its partitions start at their beginning.
    Recreated,
    /// Brokers don't tell the id, and won't soon.
    NotTold,
    /// Unknown for now.
    Unknown,
}

/// The state of the topic's identity.
pub(super) struct TopicIdentity {
    id: Option<String>,
    /// True if the topic may be another one by now: nothing may be delivered.
    is_doubtful: bool,
    /// Earliest time of the next look-up.
    next: Instant,
    /// Earliest time of the next question to brokers.
    ask_from: Instant,
    failed: Unanswered,
}

impl TopicIdentity {
    /// The identity of a topic, with the id in the store.
    pub(super) fn new(id: Option<String>) -> Self {
        let now = Instant::now();
        Self {
            id,
            is_doubtful: true,
            next: now,
            ask_from: now,
            failed: Unanswered::default(),
        }
    }

    /// True if the topic's id is known.
    pub(super) fn is_known(&self) -> bool {
        self.id.is_some()
    }

    /// True if the topic may be another one by now.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Marks the topic as doubtful.
    pub(super) fn doubt(&mut self) {
        if !self.is_doubtful {
            self.is_doubtful = true;
            self.next = Instant::now();
        }
    }

    /// True if it is time for a look-up. `has_come` is true if anything has arrived since the last
    /// one.
    pub(super) fn is_due(&self, has_come: bool) -> bool {
        (has_come || self.is_doubtful) && Instant::now() >= self.next
    }

    /// Takes the result of a look-up.
    fn looked(&mut self, look: IdentityLook) {
        self.is_doubtful = look == IdentityLook::Unknown;
        self.next = Instant::now() + if self.is_doubtful { SOON } else { OFTEN };
    }

    /// Judges a look-up that failed; `answers` is the number of answers to the supervisor.
    fn failed(&mut self, code: Code, answers: u64) -> IdentityLook {
        // A deleted topic may be back, as another one, at the next look-up. Other errors last if
        // brokers answer other questions, and each attempt costs time.
        if is_unknown_topic(code) {
            return IdentityLook::Unknown;
        }
        if code != Code::UnsupportedFeature && self.failed.note(answers) < TRIES {
            return IdentityLook::Unknown;
        }
        self.failed = Unanswered::default();
        self.ask_from = Instant::now() + LATER;
        IdentityLook::NotTold
    }
}

impl Consumer {
    /// Checks that the topic is the one that was read before. If that is unknown, nothing is
    /// delivered.
    pub(super) fn check_topic(&mut self) -> Result<(), ConsumeEnd> {
        let look = self.look_up();
        self.identity.looked(look);
        match look {
            // librdkafka keeps the leaders and epochs of the first topic, and so rejects those of
            // the new one.
            IdentityLook::Recreated => return Err(ConsumeEnd::RecreatedTopic),
            IdentityLook::Same | IdentityLook::NotTold => self.report_replaced_logs(),
            IdentityLook::Unknown => {}
        }
        Ok(())
    }

    fn look_up(&mut self) -> IdentityLook {
        if Instant::now() < self.identity.ask_from {
            return IdentityLook::NotTold;
        }
        let topic = self.source.topic.clone();
        let answer = self
            .parts
            .probe
            .ask(|client| topic_id(client, &topic, QUESTION));
        let (noted, look) = match (&answer, &self.identity.id) {
            (Ok(id), Some(known)) if id == known => (Ok(()), IdentityLook::Same),
            (Ok(id), Some(_)) => (self.note_next(id), IdentityLook::Recreated),
            (Ok(id), None) => (self.note_first(id), IdentityLook::Same),
            (Err(code), _) => (Err(code.to_string()), IdentityLook::Unknown),
        };
        let reason = match (noted, answer) {
            (Ok(()), Ok(id)) => {
                self.identity.id = Some(id);
                self.identity.failed = Unanswered::default();
                return look;
            }
            (Err(reason), Ok(_)) => {
                tracing::warn!(%topic, reason, "which topic is read can't be written down; it is tried again");
                Code::Fail
            }
            (_, Err(code)) => {
                tracing::debug!(%topic, %code, "the topic's id is not known");
                code
            }
        };
        // A recreated topic can't be read before that is stored. Without the first id, the offsets
        // of the store, or of the group, are valid.
        self.parts.topics.ask_now();
        match look {
            IdentityLook::Recreated => IdentityLook::Unknown,
            _ => self.identity.failed(reason, self.parts.topics.answers()),
        }
    }

    /// Stores the first topic of this name, and the start offsets of its partitions.
    fn note_first(&self, id: &str) -> Result<(), String> {
        let starts = self.starts().map_err(|error| error.to_string())?;
        let offsets: Vec<_> = (starts.iter())
            .map(|(at, first)| (*at, first.offset))
            .collect();
        let (name, row) = (&self.source.consumer, self.source.topic_row);
        let noted = self.parts.store.first_topic(name, row, id, &offsets);
        noted.map_err(|error| error.to_string())?;
        for (partition, first) in starts {
            if first.offset > 0 {
                self.begins_late(partition, first.offset, first.is_group);
            }
        }
        Ok(())
    }

    /// Stores that the topic is another one now.
    fn note_next(&self, id: &str) -> Result<(), String> {
        // Offsets of the first topic must not be stored for this one.
        self.source.readings.cancel();
        let (name, row) = (&self.source.consumer, self.source.topic_row);
        let noted = self.parts.store.next_topic(name, row, id);
        noted.map_err(|error| error.to_string())?;
        self.report(None, Aspect::Recreated, topic_recreated(&self.source));
        Ok(())
    }

    /// The group's offset in each partition, as told by brokers; without one, the beginning.
    fn starts(&self) -> KafkaResult<Vec<(i32, First)>> {
        let topic = &self.source.topic;
        let metadata = self.client.fetch_metadata(Some(topic), OFFSETS)?;
        let mut partitions = TopicPartitionList::new();
        for partition in metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
        {
            partitions.add_partition(topic, partition.id());
        }
        let committed = self.client.committed_offsets(partitions, OFFSETS)?;
        let elements = committed.elements();
        let starts = elements.iter().map(|element| {
            let partition = element.partition();
            let begin = || Ok(self.client.fetch_watermarks(topic, partition, OFFSETS)?.0);
            Ok((partition, start(element.error(), element.offset(), begin)?))
        });
        starts.collect()
    }
}

/// The start offset of a partition that is read for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct First {
    offset: i64,
    /// True if it is the group's offset, not the beginning of the partition.
    is_group: bool,
}

/// The start offset of a partition. A failed question about the group's offset must not pass for a
/// group without an offset.
fn start(
    error: KafkaResult<()>,
    committed: Offset,
    begin: impl FnOnce() -> Result<i64, KafkaError>,
) -> KafkaResult<First> {
    error?;
    let (offset, is_group) = match committed {
        Offset::Offset(offset) => (offset, true),
        _ => (begin()?, false),
    };
    Ok(First { offset, is_group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_delivered_before_it_is_known_which_topic_it_is() {
        let mut identity = TopicIdentity::new(Some("a".into()));
        assert!(identity.is_doubtful() && identity.is_due(false));
        identity.looked(IdentityLook::Unknown);
        assert!(identity.is_doubtful());
        for look in [
            IdentityLook::Same,
            IdentityLook::Recreated,
            IdentityLook::NotTold,
        ] {
            identity.doubt();
            identity.looked(look);
            // The look-up a moment ago does not delay this one.
            identity.doubt();
            assert!(identity.is_due(false), "{look:?}");
            identity.looked(look);
            assert!(!identity.is_doubtful(), "{look:?}");
            assert!(!identity.is_due(true), "a moment ago");
        }
    }

    #[test]
    fn a_topic_that_is_gone_and_brokers_that_are_silent_are_waited_for() {
        let mut identity = TopicIdentity::new(Some("a".into()));
        for _ in 0..10 * TRIES {
            let gone = identity.failed(Code::UnknownTopicOrPartition, 7);
            let silent = identity.failed(Code::OperationTimedOut, 7);
            assert_eq!(
                (gone, silent),
                (IdentityLook::Unknown, IdentityLook::Unknown)
            );
        }
    }

    #[test]
    fn a_question_that_is_never_answered_holds_records_back_for_a_few_tries_only() {
        for code in [Code::OperationTimedOut, Code::TopicAuthorizationFailed] {
            let mut identity = TopicIdentity::new(Some("a".into()));
            for answers in 1..u64::from(TRIES) {
                assert_eq!(
                    identity.failed(code, answers),
                    IdentityLook::Unknown,
                    "{code}"
                );
            }
            assert_eq!(identity.failed(code, 9), IdentityLook::NotTold, "{code}");
            assert!(identity.ask_from > Instant::now());
        }
        let mut identity = TopicIdentity::new(None);
        assert_eq!(
            identity.failed(Code::UnsupportedFeature, 1),
            IdentityLook::NotTold
        );
    }

    #[test]
    fn where_the_group_was_is_not_guessed() {
        let begin = || Ok(3);
        let first = |offset, is_group| Ok(First { offset, is_group });
        assert_eq!(start(Ok(()), Offset::Offset(7), begin), first(7, true));
        assert_eq!(start(Ok(()), Offset::Invalid, begin), first(3, false));
        let error = KafkaError::OffsetFetch(Code::UnstableOffsetCommit);
        assert_eq!(
            start(Err(error.clone()), Offset::Invalid, begin),
            Err(error)
        );
    }
}
