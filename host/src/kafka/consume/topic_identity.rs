//! The identity of the topic that a consumer reads, and the start offsets of its first reading.
//!
//! A topic that was deleted and created again is another one, with another id: the offsets stored
//! for the first are dropped, and the new one is read from its beginning. librdkafka moves to it
//! silently, at the offset that it had reached. So the id is looked up at the assignment, whenever
//! an offset or an error is doubtful, and every second. Until brokers answer, the topic is doubtful
//! and nothing is delivered. Records of the new topic that were delivered before that come again,
//! and are known by their ids or their content (`record_proof`).
//!
//! On the first reading the start offset of every partition is stored: the group's offset, or the
//! beginning. So a store restored from a backup never takes an offset from the broker that is ahead
//! of it, and a partition without a stored offset was added later.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::{ConsumeEnd, Consumer, QUESTION};
use crate::kafka::health::advice::is_unknown_topic;
use crate::kafka::health::condition::topic_recreated;
use crate::kafka::health::probe::code_of;
use crate::kafka::native::{is_unanswered, topic_id};

/// Longest wait for brokers to tell the group's offsets.
const OFFSETS: Duration = Duration::from_secs(2);

/// Interval between look-ups, and between those of a doubtful topic.
const OFTEN: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_millis(250);

/// Consecutive look-ups that may fail while the supervisor is answered, before records are read
/// anyway, and the wait before the next one then.
const TRIES: u32 = 4;
const LATER: Duration = Duration::from_secs(60);

/// Longest wait for an answer to a client that got none to its look-ups.
const LAST: Duration = Duration::from_millis(700);

pub(super) struct TopicIdentity {
    id: Option<String>,
    /// True if the topic may be another one by now: nothing may be delivered.
    is_doubtful: bool,
    /// Earliest time of the next look-up.
    next: Instant,
    /// Earliest time of the next question to brokers.
    ask_from: Instant,
    /// Consecutive failed look-ups.
    failed: u32,
    /// Answers that the supervisor had got by the last of them.
    answers: u64,
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
            failed: 0,
            answers: 0,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.id.is_some()
    }

    /// True if the topic may be another one by now.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    pub(super) fn doubt(&mut self) {
        if !self.is_doubtful {
            self.is_doubtful = true;
            self.next = Instant::now();
        }
    }

    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    fn looked(&mut self, is_doubtful: bool) {
        self.is_doubtful = is_doubtful;
        self.next = Instant::now() + if is_doubtful { SOON } else { OFTEN };
    }

    fn found(&mut self, id: String) {
        self.id = Some(id);
        self.failed = 0;
        self.looked(false);
    }

    /// Notes a failed look-up; `answers` is the number of answers to the supervisor. True if the
    /// client may hear no broker any more.
    fn failed(&mut self, code: Code, answers: u64) -> bool {
        self.looked(true);
        // A deleted topic may be back, as another one, at the next look-up. Other errors last if
        // brokers answer other questions, and each attempt costs time.
        if is_unknown_topic(code) {
            return false;
        }
        if self.failed == 0 || answers > self.answers {
            self.failed += 1;
        }
        self.answers = answers;
        if code != Code::UnsupportedFeature && self.failed < TRIES {
            return false;
        }
        self.failed = 0;
        self.ask_from = Instant::now() + LATER;
        self.looked(false);
        is_unanswered(code)
    }
}

impl Consumer {
    /// Checks that the topic is the one that was read before. If that is unknown, nothing is
    /// delivered.
    pub(super) fn check_topic(&mut self) -> Result<(), ConsumeEnd> {
        if Instant::now() < self.identity.ask_from {
            self.identity.looked(false);
        } else {
            self.look_up()?;
        }
        if !self.identity.is_doubtful() {
            self.report_replaced_logs();
        }
        Ok(())
    }

    /// Ends the client if it hears no broker though brokers answer the supervisor. librdkafka
    /// forgets a broker that is not in the cluster's list, and that of a cluster whose only broker
    /// was just stopped for a while is empty for a moment. A client that asks in that moment has no
    /// broker left to ask.
    fn check_client(&self) -> Result<(), ConsumeEnd> {
        match self.client.fetch_metadata(Some(&self.source.topic), LAST) {
            Err(error) if is_unanswered(code_of(&error)) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn look_up(&mut self) -> Result<(), ConsumeEnd> {
        let (topic, known) = (self.source.topic.clone(), self.identity.id.clone());
        let answer = topic_id(self.client.client(), &topic, QUESTION);
        let answers = self.parts.topics.answers();
        let id = match answer {
            Ok(id) => id,
            Err(code) => {
                tracing::debug!(%topic, %code, "the topic's id is not known");
                self.parts.topics.ask_now();
                return match self.identity.failed(code, answers) {
                    true => self.check_client(),
                    false => Ok(()),
                };
            }
        };
        let noted = match &known {
            None => self.note_first(&id),
            Some(known) if *known == id => Ok(()),
            Some(_) => self.note_next(&id),
        };
        if let Err(reason) = noted {
            tracing::warn!(%topic, reason, "which topic is read can't be written down; it is tried again");
            // A recreated topic can't be read before that is stored. Without the first id, the
            // offsets of the store, or of the group, are valid.
            match known {
                Some(_) => self.identity.looked(true),
                None => drop(self.identity.failed(Code::Fail, answers)),
            }
            return Ok(());
        }
        let is_recreated = known.is_some_and(|known| known != id);
        self.identity.found(id);
        match is_recreated {
            // librdkafka keeps the leaders and epochs of the first topic, and so rejects those of
            // the new one.
            true => Err(ConsumeEnd::Outdated),
            false => Ok(()),
        }
    }

    /// Stores the first topic of this name, and the start offsets of its partitions.
    fn note_first(&self, id: &str) -> Result<(), String> {
        let starts = self.starts().map_err(|error| error.to_string())?;
        let (name, row) = (&self.source.consumer, self.source.topic_row);
        let noted = self.parts.store.first_topic(name, row, id, &starts);
        noted.map_err(|error| error.to_string())?;
        for (partition, first) in starts {
            if first > 0 {
                self.begins_late(partition, first);
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
        self.parts.conditions.report(topic_recreated(&self.source));
        Ok(())
    }

    /// The group's offset in each partition, as told by brokers; without one, the beginning.
    fn starts(&self) -> KafkaResult<Vec<(i32, i64)>> {
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

/// The start offset of a partition that is read for the first time. A failed question about the
/// group's offset must not pass for a group without an offset.
fn start(
    error: KafkaResult<()>,
    committed: Offset,
    begin: impl FnOnce() -> KafkaResult<i64>,
) -> KafkaResult<i64> {
    error?;
    match committed {
        Offset::Offset(offset) => Ok(offset),
        _ => begin(),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::KafkaError;

    use super::*;

    #[test]
    fn nothing_is_delivered_before_it_is_known_which_topic_it_is() {
        let mut identity = TopicIdentity::new(Some("a".into()));
        assert!(identity.is_doubtful() && identity.is_due());
        identity.looked(true);
        assert!(identity.is_doubtful());
        identity.doubt();
        identity.looked(false);
        // The look-up a moment ago does not delay this one.
        identity.doubt();
        assert!(identity.is_due());
        identity.found("a".into());
        assert!(!identity.is_doubtful());
        assert!(!identity.is_due(), "a moment ago");
    }

    #[test]
    fn a_topic_that_is_gone_and_brokers_that_are_silent_are_waited_for() {
        let mut identity = TopicIdentity::new(Some("a".into()));
        for _ in 0..10 * TRIES {
            for code in [Code::UnknownTopicOrPartition, Code::OperationTimedOut] {
                assert!(!identity.failed(code, 7), "{code}");
                assert!(identity.is_doubtful(), "{code}");
            }
        }
    }

    #[test]
    fn a_question_that_is_never_answered_holds_records_back_for_a_few_tries_only() {
        for (code, is_silent) in [
            (Code::OperationTimedOut, true),
            (Code::TopicAuthorizationFailed, false),
        ] {
            let mut identity = TopicIdentity::new(Some("a".into()));
            for answers in 1..u64::from(TRIES) {
                assert!(!identity.failed(code, answers), "{code}");
                assert!(identity.is_doubtful(), "{code}");
            }
            assert_eq!(identity.failed(code, 9), is_silent, "{code}");
            assert!(!identity.is_doubtful(), "{code}");
            assert!(identity.ask_from > Instant::now());
        }
        let mut identity = TopicIdentity::new(None);
        assert!(!identity.failed(Code::UnsupportedFeature, 1));
        assert!(!identity.is_doubtful());
    }

    #[test]
    fn where_the_group_was_is_not_guessed() {
        let begin = || Ok(3);
        assert_eq!(start(Ok(()), Offset::Offset(7), begin), Ok(7));
        assert_eq!(start(Ok(()), Offset::Invalid, begin), Ok(3));
        let error = KafkaError::OffsetFetch(Code::UnstableOffsetCommit);
        assert_eq!(
            start(Err(error.clone()), Offset::Invalid, begin),
            Err(error)
        );
    }
}
