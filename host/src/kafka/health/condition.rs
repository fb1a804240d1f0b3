//! What keeps records from flowing, or has lost some, and what that is about. The words and the advice are in `advice`.

use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode;

use crate::kafka::group::Member;
use crate::transport::Source;

/// A condition of a [`Subject`]. It lasts until it is over or, where something is lost, until the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// No broker answers. `reason` is in librdkafka's words.
    BrokersUnreachable {
        code: RDKafkaErrorCode,
        reason: String,
    },
    /// Brokers refuse a topic with this code. `rights` are those that this host needs on it.
    TopicRefused {
        code: RDKafkaErrorCode,
        rights: Vec<&'static str>,
    },
    /// A topic is not there, and can't be created.
    TopicMissing(NotCreated),
    /// A topic was deleted while it was used; it is created again.
    TopicDeleted,
    /// A topic that is read was deleted and created again.
    TopicRecreated,
    /// A consumer's client was ended by librdkafka more than once.
    ConsumerEnded(String),
    /// There are records, and the consumer does not get them.
    ConsumerStalled,
    /// Members with another store are in the group.
    GroupShared(Vec<Member>),
    /// A consumer gets this error, in librdkafka's words.
    Unreadable {
        code: RDKafkaErrorCode,
        reason: String,
    },
    /// A partition can't be fetched from this offset on, or from its beginning.
    Unseekable { from: Option<i64>, reason: String },
    /// Records from `from` on, up to `to`, were deleted before they were read.
    RecordsDeleted { from: i64, to: i64 },
    /// The same in a compacted topic.
    RecordsCompacted { from: i64, to: i64 },
    /// The log of a partition is not the one that was read. `extent` is where it begins and ends now.
    LogReplaced {
        change: LogChange,
        extent: Option<(i64, i64)>,
        /// Whether the topic's id shows that the topic is the same.
        is_topic_known: bool,
    },
    /// A partition is read up to a transaction that its writer left open.
    TransactionOpen { offset: i64 },
    /// The relay can't read or write what the store holds for a topic.
    OutboxFails(String),
    /// A record of the outbox is refused, by the broker or already by the client.
    RecordRefused {
        offset: i64,
        code: RDKafkaErrorCode,
        by: Refusing,
    },
    /// The relay's producer was ended by librdkafka.
    ProducerEnded(String),
    /// The relay's producer can't be made.
    ProducerFails(String),
    /// The relay's progress can't be stored.
    ProgressNotStored(String),
}

/// Why a topic was not created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotCreated {
    /// The cluster has only so many brokers.
    TooFewBrokers(usize),
    /// What brokers said, or that they said nothing.
    Refused(String),
    /// The client that asks can't be made.
    NoClient(String),
}

/// What shows that a log is another one than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogChange {
    /// At `offset` is a record of another content than the one that was read; times in ms since the Unix epoch, -1 for none.
    Replaced { offset: i64, found: i64, read: i64 },
    /// It ends before the offset from which it is to be read on.
    Short { expected: i64 },
}

/// The side that refuses a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusing {
    /// The client, before it is sent.
    Client,
    /// The broker.
    Broker,
}

/// How a condition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// By itself.
    Passes,
    /// When an operator acts; the rest goes on.
    Operator,
    /// The same, and a partition stands still until then: the host is not ready.
    Halt,
}

/// What a condition is about. A subject has one condition at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Brokers,
    Topic(Arc<str>),
    DeletedTopic(Arc<str>),
    Outbox(Arc<str>),
    Producer,
    Relay,
    /// Topic, group, and what of their consumer.
    Consumer(Arc<str>, Arc<str>, Aspect),
}

/// What of a consumer a condition is about; the number is that of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Aspect {
    Client,
    Rights,
    Recreated,
    Reading(i32),
    Deleted(i32),
    Compacted(i32),
    Log(i32),
    Transaction(i32),
}

impl Subject {
    /// One aspect of the consumer of a source.
    pub(crate) fn of(source: &Source, aspect: Aspect) -> Self {
        Self::Consumer(source.topic.clone(), source.group.clone(), aspect)
    }
}

impl Condition {
    /// How it ends.
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::LogReplaced { .. } => Severity::Halt,
            Self::ConsumerStalled | Self::Unseekable { .. } | Self::ProgressNotStored(_) => {
                Severity::Passes
            }
            Self::BrokersUnreachable { code, .. } if !is_for_operator(*code) => Severity::Passes,
            Self::Unreadable { code, .. }
                if !lacks_rights(*code) && *code != RDKafkaErrorCode::BadCompression =>
            {
                Severity::Passes
            }
            _ => Severity::Operator,
        }
    }
}

/// Whether brokers refuse with this code what an operator can allow.
pub(crate) fn lacks_rights(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::ClusterAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::TopicAuthorizationFailed
    )
}

/// Whether a login is refused with this code.
pub(crate) fn is_login(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism
    )
}

/// Whether brokers are out of reach with this code until somebody acts.
pub(crate) fn is_for_operator(code: RDKafkaErrorCode) -> bool {
    is_login(code) || code == RDKafkaErrorCode::SSL
}

/// Whether an error says that there is no such topic.
pub(crate) fn is_unknown_topic(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition
    )
}
