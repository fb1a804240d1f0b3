//! The identity of the topic that a consumer reads, and where it is read from for the first time.
//!
//! A topic that was deleted and created again is another one, with another id: what is stored of the first is put aside, and the new
//! one is read from its beginning. librdkafka goes over to it without a sign, at the offset where it was. So the id is looked up at
//! the assignment, whenever an offset or an error is doubtful, and every second while records flow; what brokers don't answer leaves
//! a doubt, in which nothing is delivered. What came between two look-ups may be of either topic, which `doubtful_records` sorts out.
//!
//! Where the group was when this host first read, or where the partitions began, is written down then, for each of them. So
//! a store that is restored from a backup never takes an offset from the broker that is ahead of it, and a
//! partition of which it knows nothing was added later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::assignment::Assignment;
use crate::kafka::Parts;
use crate::kafka::health::condition::{Aspect, Condition};
use crate::kafka::native::NoAnswer;
use crate::kafka::topics::id::topic_id;
use crate::store::KnownTopic;
use crate::transport::Source;

/// Longest time that the brokers have to say which topic it is.
const QUESTION: Duration = Duration::from_millis(300);

/// Longest time that the brokers have to say where the group was.
const OFFSETS: Duration = Duration::from_secs(2);

/// Time between two looks while records flow.
const OFTEN: Duration = Duration::from_secs(1);

/// Time between two looks while there is a doubt.
const SOON: Duration = Duration::from_millis(250);

/// Looks in a row that may fail for no reason that will pass, before records are read all the same.
const TRIES: u32 = 4;

/// Wait before brokers are asked again for what they did not answer.
const LATER: Duration = Duration::from_secs(60);

/// What came of a look at which topic it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is the one that was read before.
    Same,
    /// It is another one. Its partitions begin at its beginning.
    Recreated,
    /// The brokers don't say that, and won't soon.
    NotTold,
    /// Nobody knows for now.
    Unknown,
}

/// What is known of the topic that is read.
pub(super) struct TopicIdentity {
    known: Option<KnownTopic>,
    /// Whether it was known before this client looked.
    was_known: bool,
    incarnation: Option<Arc<str>>,
    /// Whether it may be another one by now: nothing is to be delivered.
    is_doubtful: bool,
    /// Before then, there is no look.
    next: Instant,
    /// Before then, brokers are not asked.
    ask_from: Instant,
    /// Looks in a row that have failed.
    failed: u32,
}

/// What an answer, or none, says of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Same,
    First,
    Another,
    NotTold,
    Unknown,
}

impl TopicIdentity {
    /// Of a topic of which the store knows this much.
    pub(super) fn new(known: Option<KnownTopic>) -> Self {
        let now = Instant::now();
        let mut new = Self {
            known: None,
            was_known: known.is_some(),
            incarnation: None,
            is_doubtful: true,
            next: now,
            ask_from: now,
            failed: 0,
        };
        if let Some(known) = known {
            new.know(known);
        }
        new
    }

    /// Whether it is known which topic it was.
    pub(super) fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Whether that was known before this client looked: what is stored is of this topic.
    pub(super) fn was_known(&self) -> bool {
        self.was_known
    }

    /// What sets apart positions in it from those in the first topic of its name; none in that one.
    pub(super) fn incarnation(&self) -> Option<Arc<str>> {
        self.incarnation.clone()
    }

    /// Whether it may be another one by now.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// It may be another one by now.
    pub(super) fn doubt(&mut self) {
        if !self.is_doubtful {
            self.is_doubtful = true;
            self.next = Instant::now();
        }
    }

    /// Whether it is time for a look. `flows` says whether anything has come since the last one.
    pub(super) fn is_due(&self, flows: bool) -> bool {
        (flows || self.is_doubtful) && Instant::now() >= self.next
    }

    /// A look came to this.
    pub(super) fn looked(&mut self, look: Look) {
        self.is_doubtful = look == Look::Unknown;
        self.next = Instant::now() + if self.is_doubtful { SOON } else { OFTEN };
    }

    fn know(&mut self, topic: KnownTopic) {
        self.incarnation = (!topic.is_first).then(|| topic.id.as_str().into());
        self.known = Some(topic);
    }

    fn may_ask(&self) -> bool {
        Instant::now() >= self.ask_from
    }

    /// Sorts out an answer. `is_heard` says whether brokers answer other questions.
    fn judge(&mut self, answer: Result<&str, &NoAnswer>, is_heard: bool) -> Judgement {
        match answer {
            Ok(id) => {
                self.failed = 0;
                match &self.known {
                    Some(known) if known.id == id => Judgement::Same,
                    Some(_) => Judgement::Another,
                    None => Judgement::First,
                }
            }
            Err(NoAnswer::NoneGiven | NoAnswer::Said(RDKafkaErrorCode::UnsupportedFeature)) => {
                self.ask_later();
                Judgement::NotTold
            }
            // A topic that is gone may be back, as another one, at the next question.
            Err(NoAnswer::Said(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicId,
            )) => Judgement::Unknown,
            // Where brokers answer others, it is this question that they don't answer, and each costs time.
            Err(_) if is_heard && self.has_failed_too_often() => Judgement::NotTold,
            Err(_) => Judgement::Unknown,
        }
    }

    /// Notes that a look has failed; says whether records are not to be held back for it any longer.
    fn has_failed_too_often(&mut self) -> bool {
        self.failed += 1;
        if self.failed < TRIES {
            return false;
        }
        self.ask_later();
        true
    }

    fn ask_later(&mut self) {
        self.failed = 0;
        self.ask_from = Instant::now() + LATER;
    }
}

/// Makes sure that the topic is the one that was read before. Where that is not known, nothing is delivered.
pub(super) fn check_topic(client: &BaseConsumer<Assignment>, parts: &Parts, source: &Source) {
    let look = look(client, parts, source);
    client.context().looked(look);
}

fn look(client: &BaseConsumer<Assignment>, parts: &Parts, source: &Source) -> Look {
    let assignment = client.context();
    if !assignment.identity().may_ask() {
        return Look::NotTold;
    }
    let answer = match (parts.probe).ask(|client| topic_id(client, &source.topic, QUESTION)) {
        Err(NoAnswer::Unanswered) => topic_id(client.client(), &source.topic, QUESTION),
        answer => answer,
    };
    let is_heard = match &answer {
        Ok(_) => true,
        Err(reason) => {
            tracing::debug!(topic = %source.topic, %reason, "the topic's id is not known");
            !parts.topics.is_unreachable()
                && client.fetch_metadata(Some(&source.topic), QUESTION).is_ok()
        }
    };
    let judgement = (assignment.identity()).judge(answer.as_deref(), is_heard);
    let noted = match (judgement, answer) {
        (Judgement::First, Ok(id)) => note_first(client, parts, source, id),
        (Judgement::Another, Ok(id)) => note_next(parts, source, id),
        (Judgement::Same, _) => return Look::Same,
        (Judgement::NotTold, _) => return Look::NotTold,
        _ => return Look::Unknown,
    };
    match noted {
        Ok(topic) => {
            let is_first = topic.is_first;
            let before = {
                let mut identity = assignment.identity();
                let before = identity.incarnation();
                identity.know(topic);
                before
            };
            if is_first {
                return Look::Same;
            }
            assignment.is_recreated(before);
            assignment.report(Aspect::Recreated, Condition::TopicRecreated);
            Look::Recreated
        }
        Err(reason) => {
            tracing::warn!(topic = %source.topic, reason, "which topic is read can't be written down; it is tried again");
            // Of another topic, nothing can be read before that. Of the first one, the store's offsets hold, or the group's.
            let is_first = judgement == Judgement::First;
            if is_first && assignment.identity().has_failed_too_often() {
                Look::NotTold
            } else {
                Look::Unknown
            }
        }
    }
}

/// Writes down the first topic of this name, and where its partitions are read from.
fn note_first(
    client: &BaseConsumer<Assignment>,
    parts: &Parts,
    source: &Source,
    id: String,
) -> Result<KnownTopic, String> {
    let starts = starts(client, &source.topic).map_err(|error| error.to_string())?;
    let offsets: Vec<_> = (starts.iter())
        .map(|(partition, first)| (*partition, first.offset))
        .collect();
    parts
        .store
        .first_topic(&source.consumer, source.topic_row, &id, &offsets)
        .map_err(|error| error.to_string())?;
    for (partition, first) in starts {
        if first.offset > 0 {
            let is_group = Some(first.is_group);
            (client.context()).begins_late(client, partition, first.offset, is_group);
        }
    }
    Ok(KnownTopic { id, is_first: true })
}

/// Writes down that it is another topic now.
fn note_next(parts: &Parts, source: &Source, id: String) -> Result<KnownTopic, String> {
    // What was read of the first must not be stored as read of this one.
    source.readings.cancel();
    parts
        .store
        .next_topic(&source.consumer, source.topic_row, &id)
        .map(|()| KnownTopic {
            id,
            is_first: false,
        })
        .map_err(|error| error.to_string())
}

/// Where a partition is read from for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct First {
    offset: i64,
    /// Whether the group was there, and not only the beginning of the partition.
    is_group: bool,
}

/// Where the group is in each partition, by the brokers; where it was never, the beginning.
fn starts(client: &BaseConsumer<Assignment>, topic: &str) -> KafkaResult<Vec<(i32, First)>> {
    let metadata = client.fetch_metadata(Some(topic), OFFSETS)?;
    let mut partitions = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        partitions.add_partition(topic, partition.id());
    }
    let committed = client.committed_offsets(partitions, OFFSETS)?;
    let elements = committed.elements();
    let starts = elements.iter().map(|element| {
        let partition = element.partition();
        let begin = || Ok(client.fetch_watermarks(topic, partition, OFFSETS)?.0);
        Ok((partition, start(element.error(), element.offset(), begin)?))
    });
    starts.collect()
}

/// Where a partition is read from. That brokers could not say where the group was must not pass for its never having been there.
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

    fn of(id: &str, is_first: bool) -> TopicIdentity {
        let id = id.to_owned();
        TopicIdentity::new(Some(KnownTopic { id, is_first }))
    }

    #[test]
    fn an_id_says_which_topic_it_is() {
        let mut identity = TopicIdentity::new(None);
        assert_eq!(identity.judge(Ok("a"), true), Judgement::First);
        let mut identity = of("a", true);
        assert_eq!(identity.judge(Ok("a"), true), Judgement::Same);
        assert_eq!(identity.judge(Ok("b"), true), Judgement::Another);
        assert_eq!(identity.incarnation(), None);
        assert_eq!(of("b", false).incarnation().as_deref(), Some("b"));
    }

    #[test]
    fn nothing_is_delivered_before_it_is_known_which_topic_it_is() {
        let mut identity = of("a", true);
        assert!(identity.is_doubtful() && identity.is_due(false));
        identity.looked(Look::Unknown);
        assert!(identity.is_doubtful());
        for look in [Look::Same, Look::Recreated, Look::NotTold] {
            identity.doubt();
            identity.looked(look);
            // Not held up by the look of a moment ago.
            identity.doubt();
            assert!(identity.is_due(false), "{look:?}");
            identity.looked(look);
            assert!(!identity.is_doubtful(), "{look:?}");
            assert!(!identity.is_due(true), "a moment ago");
        }
    }

    #[test]
    fn a_topic_that_is_gone_and_brokers_that_are_silent_are_waited_for() {
        let mut identity = of("a", true);
        let gone = NoAnswer::Said(RDKafkaErrorCode::UnknownTopicOrPartition);
        for _ in 0..10 * TRIES {
            assert_eq!(identity.judge(Err(&gone), true), Judgement::Unknown);
            let silent = identity.judge(Err(&NoAnswer::Unanswered), false);
            assert_eq!(silent, Judgement::Unknown);
        }
        assert!(identity.may_ask());
    }

    #[test]
    fn a_question_that_is_never_answered_holds_records_back_for_a_few_tries_only() {
        let said = NoAnswer::Said(RDKafkaErrorCode::TopicAuthorizationFailed);
        for reason in [NoAnswer::Unanswered, said, NoAnswer::NotAsked("why")] {
            let mut identity = of("a", true);
            for _ in 1..TRIES {
                let judgement = identity.judge(Err(&reason), true);
                assert_eq!(judgement, Judgement::Unknown, "{reason}");
            }
            // An answer between them begins the count again.
            assert_eq!(identity.judge(Ok("a"), true), Judgement::Same);
            for _ in 1..TRIES {
                let judgement = identity.judge(Err(&reason), true);
                assert_eq!(judgement, Judgement::Unknown, "{reason}");
            }
            let judgement = identity.judge(Err(&reason), true);
            assert_eq!(judgement, Judgement::NotTold, "{reason}");
            assert!(!identity.may_ask());
        }
        for reason in [
            NoAnswer::NoneGiven,
            NoAnswer::Said(RDKafkaErrorCode::UnsupportedFeature),
        ] {
            let judgement = of("a", true).judge(Err(&reason), true);
            assert_eq!(judgement, Judgement::NotTold, "{reason}");
        }
    }

    #[test]
    fn where_the_group_was_is_not_guessed() {
        let begin = || Ok(3);
        let first = |offset, is_group| Ok(First { offset, is_group });
        assert_eq!(start(Ok(()), Offset::Offset(7), begin), first(7, true));
        assert_eq!(start(Ok(()), Offset::Invalid, begin), first(3, false));
        let error = KafkaError::OffsetFetch(RDKafkaErrorCode::UnstableOffsetCommit);
        assert_eq!(
            start(Err(error.clone()), Offset::Invalid, begin),
            Err(error)
        );
    }
}
