//! Conditions: problems that stop the flow of records or have lost some. Each has a function that
//! makes its text: the problem, its place, and the remedy (`advice`).

use rdkafka::Offset;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::advice::*;
use crate::base::clock::rfc3339;
use crate::kafka::settings::KafkaSettings as Settings;
use crate::transport::Source;

/// A condition. It lasts until it is over or, if records are lost, until the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KafkaCondition {
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
    fn new(needs_operator: bool, text: String) -> Self {
        let end = if needs_operator {
            ConditionEnd::Operator
        } else {
            ConditionEnd::Passes
        };
        Self { end, text }
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

/// No broker answers.
pub(super) fn brokers_unreachable(settings: &Settings, code: Code, reason: &str) -> KafkaCondition {
    let (at, reason, advice) = (
        &settings.bootstrap,
        brief(reason),
        brokers_advice(code, settings),
    );
    KafkaCondition::new(
        is_for_operator(code),
        format!(
            "Kafka at {at} can't be reached ({reason}); nothing is lost, it is tried again; {advice}"
        ),
    )
}

/// Brokers refuse a topic, on which this host needs these rights.
pub(super) fn topic_refused(
    settings: &Settings,
    topic: &str,
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
    KafkaCondition::new(
        true,
        format!("topic {topic} can't be used: {code}; {advice}"),
    )
}

/// A topic does not exist and can't be created, in a cluster of this many brokers.
pub(super) fn topic_missing(
    settings: &Settings,
    topic: &str,
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
    KafkaCondition::new(true, text)
}

const LOST: &str = "What was in it and had not been read is gone: find out who waits for it, and have it sent again";

/// A topic was deleted while in use; it is created again.
pub(super) fn topic_deleted(topic: &str) -> KafkaCondition {
    let text =
        format!("topic {topic} was deleted while this host used it; it is created again. {LOST}");
    KafkaCondition::new(true, text)
}

/// A topic that is read was deleted and created again.
pub(crate) fn topic_recreated(Source { topic, group, .. }: &Source) -> KafkaCondition {
    let text = format!(
        "topic {topic} is another one than the one that was read before in group {group}: it was deleted and created \
         again, or this is another cluster. It is read from its beginning; what was applied is not applied again. {LOST}"
    );
    KafkaCondition::new(true, text)
}

/// librdkafka ended a consumer's client more than once.
pub(crate) fn consumer_ended(Source { topic, group, .. }: &Source, reason: &str) -> KafkaCondition {
    let text = format!(
        "the consumer of topic {topic} in group {group} came to its end ({reason}); it starts again"
    );
    KafkaCondition::new(true, text)
}

/// A consumer does not receive records that exist.
pub(crate) fn consumer_stalled(Source { topic, group, .. }: &Source) -> KafkaCondition {
    let text = format!(
        "topic {topic} holds records that don't come in group {group}; its consumer starts again"
    );
    KafkaCondition::new(false, text)
}

/// Members with other stores, which this text lists, are in a group.
pub(crate) fn group_shared(group: &str, others: &str) -> KafkaCondition {
    let text = format!(
        "another process reads in consumer group {group}: {others}. Each would decide with the part of the history that \
         it has read. Stop the other one; or, to move the participant, start it on the other one's data directory; or \
         give this one another group (`[participants.NAME.groups]`). `allow_split_state = true` in `[kafka]` shares the \
         group all the same"
    );
    KafkaCondition::new(true, text)
}

/// A consumer, or one of its partitions, gets this error.
pub(crate) fn unreadable(
    settings: &Settings,
    Source { topic, group, .. }: &Source,
    partition: Option<i32>,
    code: Code,
    reason: &str,
) -> KafkaCondition {
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
    KafkaCondition::new(lacks_rights(code) || code == Code::BadCompression, text)
}

/// A partition can't be fetched from another offset.
pub(crate) fn unseekable(
    Source { topic, group, .. }: &Source,
    partition: i32,
    from: Offset,
    reason: &KafkaError,
) -> KafkaCondition {
    let from = match from {
        Offset::Offset(offset) => format!("offset {offset}"),
        _ => "its beginning".into(),
    };
    let text = format!(
        "topic {topic}, partition {partition}, can't be fetched from {from} on in group {group}: {reason}; nothing of it is \
         read until it can be, and it is tried again"
    );
    KafkaCondition::new(false, text)
}

/// A partition is read up to a transaction that its writer left open.
pub(crate) fn transaction_open(
    settings: &Settings,
    Source { topic, group, .. }: &Source,
    partition: i32,
    offset: i64,
) -> KafkaCondition {
    let advice = open_transaction(settings, topic, partition, offset);
    let text =
        format!("topic {topic}, partition {partition}, is not read on in group {group}: {advice}");
    KafkaCondition::new(true, text)
}

/// The records from the first up to the second offset were deleted before they were read.
pub(crate) fn records_deleted(
    source: &Source,
    partition: i32,
    (from, to): (i64, i64),
) -> KafkaCondition {
    let (topic, group, count) = (&source.topic, &source.group, to - from);
    let text = format!(
        "topic {topic}, partition {partition}: {count} record(s) from offset {from} on were deleted (retention, or a \
         deletion by hand) before they were read in group {group}; it was read on from offset {to}. Keep records for \
         longer than the longest outage, and have these sent again if you can"
    );
    KafkaCondition::new(true, text)
}

/// The same in a compacted topic.
pub(crate) fn records_compacted(
    source: &Source,
    partition: i32,
    (from, to): (i64, i64),
) -> KafkaCondition {
    let (topic, group) = (&source.topic, &source.group);
    let text = format!(
        "topic {topic}, partition {partition}: the records from offset {from} up to {to} are missing, and the topic is \
         compacted: unless they were markers of transactions, the broker deleted them before they were read in group \
         {group}, because later ones have the same key. Set cleanup.policy=delete, and have them sent again"
    );
    KafkaCondition::new(true, text)
}

/// The log of a partition is not the one that was read. `extent` is its begin and end now;
/// `is_topic_known` is true if the topic's id shows that the topic is the same.
pub(crate) fn log_replaced(
    Source { topic, group, .. }: &Source,
    partition: i32,
    change: LogChange,
    extent: Option<(i64, i64)>,
    is_topic_known: bool,
) -> KafkaCondition {
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
    let end = ConditionEnd::Halt;
    KafkaCondition { end, text }
}

const OR_RECREATED: &str =
    "; or the topic was deleted and created again: then read on from offset 0";

/// The relay can't read or write its part of the store, for `what`: a topic, or its progress.
pub(crate) fn store_fails(what: &str, reason: &dyn std::fmt::Display) -> KafkaCondition {
    let text = format!("the relay can't use the store for {what} ({reason}); it is tried again");
    KafkaCondition::new(false, text)
}

/// A record of the outbox is refused, by the broker or already by the client.
pub(crate) fn record_refused(
    settings: &Settings,
    topic: &str,
    offset: i64,
    code: Code,
    by: Refusing,
) -> KafkaCondition {
    let advice = match code {
        code if lacks_rights(code) => allow(settings, &["Write"], "topic", topic),
        code => refusal_advice(code, by).into(),
    };
    let text = format!(
        "Kafka does not take the record at offset {offset} of the outbox of topic {topic}: {code}; {advice}. Nothing \
         after it is published on this topic until it goes through; nothing is lost, it is tried again"
    );
    KafkaCondition::new(true, text)
}

/// The relay's producer ended, or can't be made.
pub(crate) fn producer_fails(reason: &str) -> KafkaCondition {
    let text = format!("the relay's producer came to its end ({reason}); it starts again");
    KafkaCondition::new(true, text)
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
