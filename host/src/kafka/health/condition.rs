//! Conditions: problems that stop the flow of records or have lost some. Each has a function that
//! makes its subject and its text: the problem, its place, and the remedy (`advice`).

use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::advice::*;
use super::conditions::{Aspect, Subject};
use crate::base::clock::rfc3339;
use crate::kafka::group::names;
use crate::kafka::native::GroupMember;
use crate::kafka::settings::KafkaSettings as Settings;
use crate::transport::Source;

/// A condition. It lasts until it is over or, if records are lost, until the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KafkaCondition {
    pub(super) subject: Subject,
    pub(super) end: ConditionEnd,
    pub(crate) text: String,
}

/// The way in which a condition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConditionEnd {
    /// By itself.
    Passes,
    /// By an operator's action; everything else goes on.
    Operator,
    /// By an operator's action, and a partition stands still until then: the host is not ready.
    Halt,
}

impl KafkaCondition {
    /// A condition that ends by an operator's action.
    fn for_operator(subject: Subject, text: String) -> Self {
        let end = ConditionEnd::Operator;
        Self { subject, end, text }
    }

    /// A condition that ends by itself.
    fn passing(subject: Subject, text: String) -> Self {
        let end = ConditionEnd::Passes;
        Self { subject, end, text }
    }
}

/// The evidence for a replaced log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogChange {
    /// The record at `offset` has other content than the one that was read; times in ms since the
    /// Unix epoch, -1 if unknown.
    Replaced { offset: i64, found: i64, read: i64 },
    /// The log ends before the offset to continue from.
    Short { expected: i64 },
}

pub(super) fn brokers_unreachable(settings: &Settings, code: Code, reason: &str) -> KafkaCondition {
    let (at, reason) = (&settings.bootstrap, brief(reason));
    let advice = brokers_advice(code, settings);
    let text = format!(
        "Kafka at {at} can't be reached ({reason}); nothing is lost, it is tried again; {advice}"
    );
    match is_for_operator(code) {
        true => KafkaCondition::for_operator(Subject::Brokers, text),
        false => KafkaCondition::passing(Subject::Brokers, text),
    }
}

/// Brokers refuse a topic, on which this host needs these rights.
pub(super) fn topic_refused(
    settings: &Settings,
    topic: &Arc<str>,
    code: Code,
    rights: &[&str],
) -> KafkaCondition {
    let advice = match code {
        code if lacks_rights(code) => allow(settings, rights, "topic", topic),
        Code::InvalidTopic => {
            "give the topic, or the group whose dead letters go there, another name".into()
        }
        _ => "it is tried again".into(),
    };
    let text = format!("topic {topic} can't be used: {code}; {advice}");
    KafkaCondition::for_operator(Subject::Topic(topic.clone()), text)
}

/// A topic does not exist and can't be created, in a cluster of this many brokers.
pub(super) fn topic_missing(
    settings: &Settings,
    topic: &Arc<str>,
    code: Code,
    brokers: usize,
) -> KafkaCondition {
    let Settings {
        partitions,
        replication,
        ..
    } = settings;
    let advice = if code == Code::InvalidReplicationFactor {
        format!(
            "the cluster has {brokers} broker(s); set `replication` to at most that, or start more brokers"
        )
    } else {
        let allow = allow(settings, &["Create"], "topic", topic);
        format!("{code}; create it by hand, or {allow}")
    };
    let text = format!(
        "topic {topic} does not exist and can't be created with {partitions} partition(s) and replication factor \
         {replication}: {advice}; it is tried again"
    );
    KafkaCondition::for_operator(Subject::Topic(topic.clone()), text)
}

const LOST: &str = "What was in it and had not been read is gone: find out who waits for it, and have it sent again";

/// A topic was deleted while in use; it is created again.
pub(super) fn topic_deleted(topic: &Arc<str>) -> KafkaCondition {
    let text =
        format!("topic {topic} was deleted while this host used it; it is created again. {LOST}");
    KafkaCondition::for_operator(Subject::DeletedTopic(topic.clone()), text)
}

/// A topic that is read was deleted and created again.
pub(crate) fn topic_recreated(source: &Source) -> KafkaCondition {
    let Source { topic, group, .. } = source;
    let text = format!(
        "topic {topic} is another one than the one that was read before in group {group}: it was deleted and created \
         again, or this is another cluster. It is read from its beginning; what was applied is not applied again. {LOST}"
    );
    KafkaCondition::for_operator(Subject::of(source, None, Aspect::Recreated), text)
}

/// librdkafka ended a consumer's client more than once.
pub(crate) fn consumer_ended(source: &Source, reason: &str) -> KafkaCondition {
    let Source { topic, group, .. } = source;
    let text = format!(
        "the consumer of topic {topic} in group {group} came to its end ({reason}); it starts again"
    );
    KafkaCondition::for_operator(Subject::of(source, None, Aspect::Client), text)
}

/// A consumer does not receive records that exist.
pub(crate) fn consumer_stalled(source: &Source) -> KafkaCondition {
    let Source { topic, group, .. } = source;
    let text = format!(
        "topic {topic} holds records that don't come in group {group}; its consumer starts again"
    );
    KafkaCondition::passing(Subject::of(source, None, Aspect::Client), text)
}

/// Members with other stores are in a consumer's group.
pub(crate) fn group_shared(source: &Source, others: &[GroupMember]) -> KafkaCondition {
    let (group, others) = (&source.group, names(others));
    let text = format!(
        "another process reads in consumer group {group}: {others}. Each would decide with the part of the history that \
         it has read. Stop the other one; or, to move the participant, start it on the other one's data directory; or \
         give this one another group (`[participants.NAME.groups]`). `allow_split_state = true` in `[kafka]` shares the \
         group all the same"
    );
    KafkaCondition::for_operator(Subject::of(source, None, Aspect::Client), text)
}

/// A consumer, or one of its partitions, gets this error.
pub(crate) fn unreadable(
    settings: &Settings,
    source: &Source,
    partition: Option<i32>,
    code: Code,
    reason: &str,
) -> KafkaCondition {
    let Source { topic, group, .. } = source;
    let place = partition.map(|number| format!(", partition {number},"));
    let place = place.unwrap_or_default();
    let advice = match code {
        Code::BadCompression => UNPACK.into(),
        Code::GroupAuthorizationFailed => allow(settings, &["Read"], "group", group),
        code if lacks_rights(code) => allow(settings, &["Read"], "topic", topic),
        _ => "it is tried again".into(),
    };
    let reason = brief(reason);
    let text = format!("topic {topic}{place} can't be read in group {group}: {reason}; {advice}");
    if lacks_rights(code) {
        return KafkaCondition::for_operator(Subject::of(source, None, Aspect::Rights), text);
    }
    let aspect = partition.map_or(Aspect::Client, |_| Aspect::Reading);
    let subject = Subject::of(source, partition, aspect);
    match code {
        Code::BadCompression => KafkaCondition::for_operator(subject, text),
        _ => KafkaCondition::passing(subject, text),
    }
}

/// The records from the first up to the second offset were deleted before they were read. In a
/// compacted topic, they may have been none.
pub(crate) fn records_missing(
    source: &Source,
    partition: i32,
    (from, to): (i64, i64),
    is_compacted: bool,
) -> KafkaCondition {
    let (topic, group, count) = (&source.topic, &source.group, to - from);
    let (aspect, text) = match is_compacted {
        false => (
            Aspect::Deleted,
            format!(
                "{count} record(s) from offset {from} on were deleted (retention, or a deletion by hand) before they were \
                 read in group {group}; it was read on from offset {to}. Keep records for longer than the longest outage, \
                 and have these sent again if you can"
            ),
        ),
        true => (
            Aspect::Compacted,
            format!(
                "the records from offset {from} up to {to} are missing, and the topic is compacted: unless they were \
                 markers of transactions, the broker deleted them before they were read in group {group}, because later \
                 ones have the same key. Set cleanup.policy=delete, and have them sent again"
            ),
        ),
    };
    let text = format!("topic {topic}, partition {partition}: {text}");
    KafkaCondition::for_operator(Subject::of(source, Some(partition), aspect), text)
}

/// The log of a partition is not the one that was read. `extent` is its begin and end now;
/// `is_topic_known` is true if the topic's id shows that the topic is the same.
pub(crate) fn log_replaced(
    source: &Source,
    partition: i32,
    change: LogChange,
    extent: Option<(i64, i64)>,
    is_topic_known: bool,
) -> KafkaCondition {
    let Source { topic, group, .. } = source;
    let of = |time: i64| match u64::try_from(time) {
        Ok(time) => format!("of {}", rfc3339(time)),
        Err(_) => "without a time".into(),
    };
    let evidence = match change {
        LogChange::Replaced {
            offset,
            found,
            read,
        } => {
            let (found, read) = (of(found), of(read));
            format!(
                "at offset {offset} is a record {found}, and the one that was read there was {read}"
            )
        }
        LogChange::Short { expected } => {
            format!("it ends before offset {expected}, up to which it was read")
        }
    };
    let or_else = if is_topic_known { "" } else { OR_RECREATED };
    let now = extent.map(|(begin, end)| format!(" It now goes from offset {begin} to {end}."));
    let now = now.unwrap_or_default();
    let text = format!(
        "topic {topic}, partition {partition}: its log is not the one that was read in group {group}: {evidence}. The \
         broker has lost records (it was restored from an older snapshot, or its leader was chosen uncleanly), and what \
         came instead may not have been read{or_else}. Nothing more of this partition is read.{now} Stop this host, choose \
         where to read on (the first offset at which the records are other ones; an earlier one does no harm), and start \
         it again after `saga seek {topic} {partition} OFFSET --group {group} --data DIR`"
    );
    let (subject, end) = (
        Subject::of(source, Some(partition), Aspect::Log),
        ConditionEnd::Halt,
    );
    KafkaCondition { subject, end, text }
}

const OR_RECREATED: &str =
    "; or the topic was deleted and created again: then read on from offset 0";

/// A record of the outbox is refused, by the broker or already by the client.
pub(crate) fn record_refused(
    settings: &Settings,
    topic: &Arc<str>,
    offset: i64,
    code: Code,
) -> KafkaCondition {
    let advice = match code {
        code if lacks_rights(code) => allow(settings, &["Write"], "topic", topic),
        code => refusal_advice(code).into(),
    };
    let text = format!(
        "Kafka does not take the record at offset {offset} of the outbox of topic {topic}: {code}; {advice}. Nothing \
         after it is published on this topic until it goes through; nothing is lost, it is tried again"
    );
    KafkaCondition::for_operator(Subject::Outbox(topic.clone()), text)
}

/// The relay's producer ended, or can't be made.
pub(crate) fn producer_fails(reason: &str) -> KafkaCondition {
    let text = format!("the relay's producer came to its end ({reason}); it starts again");
    KafkaCondition::for_operator(Subject::Producer, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::tests::source;

    #[test]
    fn a_log_of_a_topic_without_an_id_may_be_of_a_topic_that_was_created_again() {
        let said = |is_topic_known| {
            let change = LogChange::Short { expected: 7 };
            log_replaced(&source("t", "order"), 3, change, None, is_topic_known).text
        };
        let words = "created again: then read on from offset 0";
        assert!(said(false).contains(words) && !said(true).contains(words));
        assert!(
            said(true).starts_with("topic t, partition 3: its log is not"),
            "{}",
            said(true)
        );
    }
}
