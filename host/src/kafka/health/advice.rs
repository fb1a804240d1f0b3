//! The words of each condition: what is wrong, where, and what to do about it. Advice goes by error codes and settings, never by
//! librdkafka's texts, which are quoted.

use std::fmt::{Display, Formatter, Result};

use rdkafka::types::RDKafkaErrorCode as Code;

use super::condition::{
    Aspect, Condition, LogChange, NotCreated, Refusing, Subject, is_login, is_unknown_topic,
    lacks_rights,
};
use crate::base::clock::rfc3339;
use crate::kafka::group::names;
use crate::kafka::settings::KafkaSettings;
use crate::kafka::settings::security::SaslSettings;

/// Records that can't be unpacked: what they unpack to is bounded by this property, and the buffer grows threefold.
const UNPACK: &str = "they may unpack to more than this host takes at once (100 MB): raise `\"receive.message.max.bytes\"` in \
     `[kafka.properties]` to three times what they unpack to, and start the host again; nothing after them in the partition is \
     read until then, and nothing is lost";

/// The words of a condition.
pub(super) struct Advice<'c> {
    pub(super) subject: &'c Subject,
    pub(super) condition: &'c Condition,
    pub(super) settings: &'c KafkaSettings,
}

impl Display for Advice<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (topic, group, partition) = self.subject.names();
        let settings = self.settings;
        let allow = |rights: &[&str]| allow(settings, rights, "topic", topic);
        match self.condition {
            Condition::BrokersUnreachable { code, reason } => write!(
                f,
                "Kafka at {} can't be reached ({reason}); nothing is lost, it is tried again; {}",
                settings.bootstrap,
                brokers_advice(*code, settings)
            ),
            Condition::TopicRefused { code, rights } => {
                let advice = match code {
                    code if lacks_rights(*code) => allow(rights),
                    Code::InvalidTopic => {
                        "Kafka takes no topic of this name, so what the outbox holds for it stays there; give the topic, or the \
                         group whose dead letters go there, another name in the settings"
                            .into()
                    }
                    _ => "it is tried again".into(),
                };
                write!(f, "topic {topic} can't be used: {code}; {advice}")
            }
            Condition::TopicMissing(reason) => {
                let advice = match reason {
                    NotCreated::NoClient(reason) => reason.clone(),
                    NotCreated::Refused(reason) => {
                        format!("{reason}; create it by hand, or {}", allow(&["Create"]))
                    }
                    NotCreated::TooFewBrokers(brokers) => format!(
                        "the cluster has {brokers} broker(s); set `replication` to at most that, or start more brokers"
                    ),
                };
                write!(
                    f,
                    "topic {topic} does not exist and can't be created with {} partition(s) and replication factor {}: {advice}; \
                     it is tried again",
                    settings.partitions, settings.replication
                )
            }
            Condition::TopicDeleted => write!(
                f,
                "topic {topic} was deleted while this host used it; it is created again. What was in it and had not been read \
                 by then is gone: find out who waits for it, and have it sent again"
            ),
            Condition::TopicRecreated => write!(
                f,
                "topic {topic} is another one than the one that was read before in group {group}: it was deleted and created \
                 again, or this is another cluster. It is read from its beginning; events that were applied are known by their \
                 ids and not applied again. What was in the first and had not been read is gone: find out who waits for it"
            ),
            Condition::ConsumerEnded(reason) => write!(
                f,
                "the consumer of topic {topic} in group {group} came to its end ({reason}); it starts again"
            ),
            Condition::ConsumerStalled => write!(
                f,
                "topic {topic} holds records that don't come in group {group}; its consumer starts again"
            ),
            Condition::GroupShared(others) => write!(
                f,
                "another process reads in consumer group {group}: {}. With a store of its own it would know only of what it has \
                 read itself, and the state of the participant would be split between the two. Stop the other one; or, to move \
                 the participant, start it on the other one's data directory; or give this one another group \
                 (`[participants.NAME.groups]`) if it is to hear of everything too. `allow_split_state = true` in `[kafka]` \
                 shares the group all the same",
                names(others)
            ),
            Condition::OutboxFails(reason) => {
                write!(
                    f,
                    "the relay of topic {topic} can't use the store ({reason}); it is tried again"
                )
            }
            Condition::RecordRefused { offset, code, by } => write!(
                f,
                "Kafka does not take the record at offset {offset} of the outbox of topic {topic}: {code}; {}. Nothing after it \
                 is published on this topic until it goes through, and nothing is lost; it is tried again",
                if lacks_rights(*code) {
                    allow(&["Write"])
                } else {
                    of_refusal(*code, *by).into()
                }
            ),
            Condition::ProducerEnded(reason) => {
                write!(
                    f,
                    "the relay's producer was ended by Kafka ({reason}); it starts again"
                )
            }
            Condition::ProducerFails(reason) => {
                write!(
                    f,
                    "the relay's producer can't start: {reason}; it is tried again"
                )
            }
            Condition::ProgressNotStored(reason) => {
                write!(
                    f,
                    "the relay's progress can't be stored ({reason}); it is tried again"
                )
            }
            _ => self.of_partition(f, topic, group, partition),
        }
    }
}

impl Advice<'_> {
    fn of_partition(
        &self,
        f: &mut Formatter<'_>,
        topic: &str,
        group: &str,
        partition: Option<i32>,
    ) -> Result {
        write!(f, "topic {topic}")?;
        if let Some(partition) = partition {
            write!(f, ", partition {partition}")?;
        }
        match self.condition {
            Condition::Unreadable { code, reason } => {
                let comma = if partition.is_some() { "," } else { "" };
                write!(f, "{comma} can't be read in group {group}: {reason}")?;
                let (kind, name) = match code {
                    Code::GroupAuthorizationFailed => ("group", group),
                    _ => ("topic", topic),
                };
                match code {
                    Code::BadCompression => write!(f, "; {UNPACK}"),
                    code if lacks_rights(*code) => {
                        write!(f, "; {}", allow(self.settings, &["Read"], kind, name))
                    }
                    _ => Ok(()),
                }
            }
            Condition::Unseekable { from, reason } => {
                let from = from.map_or("its beginning".into(), |offset| format!("offset {offset}"));
                write!(
                    f,
                    ", can't be fetched from {from} on in group {group}: {reason}; nothing of it is read until it can be, and it \
                     is tried again"
                )
            }
            Condition::RecordsDeleted { from, to } => write!(
                f,
                ": {} record(s) from offset {from} on were deleted (retention, or a deletion by hand) before they were read in \
                 group {group}; it was read on from offset {to}. What they said is lost to this host: keep records for longer \
                 than the longest outage, and have them sent again if you can",
                to - from
            ),
            Condition::RecordsCompacted { from, to } => write!(
                f,
                ": the records from offset {from} up to {to} are missing, and the topic is compacted: unless they were markers \
                 of transactions, the broker has deleted them, because later ones have the same key, before they were read in \
                 group {group}. What they said is lost to this host: set cleanup.policy=delete, and have them sent again"
            ),
            Condition::LogReplaced {
                change,
                extent,
                is_topic_known,
            } => {
                let extent = extent.map_or(String::new(), |(begin, end)| {
                    format!(" It now goes from offset {begin} to {end}.")
                });
                let or_else = if *is_topic_known {
                    ""
                } else {
                    "; or the topic was deleted and created again: then read on from offset 0"
                };
                let partition = partition.unwrap_or_default();
                write!(
                    f,
                    ": its log is not the one that was read in group {group}: {change}. The broker has lost records (it was \
                     restored from an older snapshot, or its leader was chosen uncleanly), and what came instead may not have \
                     been read{or_else}. Nothing more of this partition is read.{extent} Stop this host, choose where to read \
                     on (the first offset at which the records are other ones; an earlier one does no harm), and start it again \
                     after `saga seek {topic} {partition} OFFSET --group {group} --data DIR`"
                )
            }
            Condition::TransactionOpen { offset } => {
                let text =
                    open_transaction(self.settings, topic, partition.unwrap_or_default(), *offset);
                write!(f, ", is not read on in group {group}: {text}")
            }
            // All others have their words above.
            _ => Ok(()),
        }
    }
}

impl Display for LogChange {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let of = |time: i64| match u64::try_from(time) {
            Ok(time) => format!("of {}", rfc3339(time)),
            Err(_) => "without a time".into(),
        };
        match self {
            Self::Replaced {
                offset,
                found,
                read,
            } => {
                let (found, read) = (of(*found), of(*read));
                write!(
                    f,
                    "at offset {offset} is a record {found}, and the one that was read there was {read}"
                )
            }
            Self::Short { expected } => {
                write!(
                    f,
                    "it ends before offset {expected}, up to which it was read"
                )
            }
        }
    }
}

impl Subject {
    /// Topic, group and partition; empty where it is not about one.
    fn names(&self) -> (&str, &str, Option<i32>) {
        match self {
            Self::Brokers | Self::Producer | Self::Relay => ("", "", None),
            Self::Topic(topic) | Self::DeletedTopic(topic) | Self::Outbox(topic) => {
                (topic, "", None)
            }
            Self::Consumer(topic, group, aspect) => {
                let partition = match aspect {
                    Aspect::Client | Aspect::Rights | Aspect::Recreated => None,
                    Aspect::Reading(partition)
                    | Aspect::Deleted(partition)
                    | Aspect::Compacted(partition)
                    | Aspect::Log(partition)
                    | Aspect::Transaction(partition) => Some(*partition),
                };
                (topic, group, partition)
            }
        }
    }
}

impl Display for Subject {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Brokers => f.write_str("brokers"),
            Self::Topic(topic) => write!(f, "topic {topic}"),
            Self::DeletedTopic(topic) => write!(f, "topic {topic}, deleted"),
            Self::Outbox(topic) => write!(f, "relay of {topic}"),
            Self::Producer => f.write_str("the relay's producer"),
            Self::Relay => f.write_str("the relay"),
            Self::Consumer(topic, group, aspect) => {
                write!(f, "consumer of {topic} in {group}, {aspect:?}")
            }
        }
    }
}

/// What it takes to reach the brokers again.
pub(super) fn brokers_advice(code: Code, settings: &KafkaSettings) -> &'static str {
    let is_tls = settings.tls.as_ref().is_some_and(|tls| tls.enabled);
    let is_plain =
        settings.tls.is_none() && settings.sasl.is_none() && settings.properties.is_empty();
    match code {
        Code::SSL => {
            "TLS fails. Either the broker's certificate is not trusted: it has expired, or is of an authority that `ca_file` in \
             `[kafka.tls]` does not hold, or is for another name than the one in `bootstrap`; `openssl s_client -connect \
             HOST:PORT -verify_hostname HOST -CAfile FILE` says which. Or the broker does not take this host's certificate: \
             check `certificate_file` and `key_file`, that it has not expired, and that the broker trusts its authority. Or \
             `bootstrap` names another port than that for TLS"
        }
        code if is_login(code) => match settings.sasl {
            Some(SaslSettings::Token(_)) => {
                "no token is had, or it is refused: check `token_endpoint`, `client_id`, its secret and `token_ca_file` in \
                 `[kafka.sasl]`"
            }
            _ => {
                "the login is refused: check `mechanism`, `username` and the password in `[kafka.sasl]`"
            }
        },
        _ if is_tls => {
            "check `bootstrap`, that the broker runs, that this is its port for TLS, and that it takes this host's certificate \
             (`certificate_file` in `[kafka.tls]`), if it wants one"
        }
        _ if is_plain => {
            "check `bootstrap` and that the broker runs; if it wants encryption or a login, give `[kafka.tls]` or `[kafka.sasl]`"
        }
        _ => "check `bootstrap` and that the broker runs",
    }
}

/// What to do about a record that is refused.
fn of_refusal(code: Code, by: Refusing) -> &'static str {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize if by == Refusing::Broker => {
            "it is too large for the topic: raise `max.message.bytes` of the topic on the broker; it then goes through by itself"
        }
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::QueueFull => {
            "it is too large: raise the property `message.max.bytes` here and `max.message.bytes` of the topic on the broker, and \
             start this process again"
        }
        Code::InvalidTimestamp => {
            "its time, which is that of sending, is not one that the topic takes: set the clocks of this machine and of the \
             broker's right, or raise `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` of the topic; it \
             then goes through by itself"
        }
        code if is_unknown_topic(code) => {
            "the topic was deleted: it is created again, if this user may do that"
        }
        _ => "see what the broker says",
    }
}

/// What an open transaction at this offset does, and what to do.
pub(crate) fn open_transaction(
    settings: &KafkaSettings,
    topic: &str,
    partition: i32,
    offset: i64,
) -> String {
    let tool = format!(
        "kafka-transactions.sh --bootstrap-server {}",
        settings.bootstrap
    );
    format!(
        "a transaction of a writer is open from offset {offset} on, and nothing from there on is given to readers until it is \
         committed or aborted. The broker aborts it after the writer's transaction.timeout.ms. If that writer is gone: `{tool} \
         describe-producers --topic {topic} --partition {partition}` names it, `{tool} abort --topic {topic} --partition \
         {partition} --start-offset {offset}` aborts it"
    )
}

/// How an operator gives this host's user rights on a topic or a group.
pub(crate) fn allow(settings: &KafkaSettings, rights: &[&str], kind: &str, name: &str) -> String {
    let user = match &settings.sasl {
        Some(SaslSettings::Password(login)) => &login.username,
        // What brokers make of a certificate or a token is their affair.
        Some(SaslSettings::Token(_)) | None => "NAME",
    };
    let operations: String = (rights.iter())
        .map(|right| format!(" --operation {right}"))
        .collect();
    format!(
        "allow this user to do so: `kafka-acls --add --allow-principal User:{user}{operations} --{kind} {name}`"
    )
}

/// A reason of librdkafka's without what is different each time: how long it took, and how often it was the same.
pub(crate) fn brief(reason: &str) -> &str {
    let end = reason.rfind(" (after ");
    end.and_then(|at| reason.get(..at)).unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use super::super::condition::is_for_operator;
    use super::*;
    use crate::kafka::group::Member;
    use crate::kafka::settings::security::TlsSettings;
    use crate::kafka::tests::{login, source};

    fn tls() -> KafkaSettings {
        let tls = TlsSettings {
            enabled: true,
            ..TlsSettings::default()
        };
        KafkaSettings {
            tls: Some(tls),
            ..KafkaSettings::default()
        }
    }

    fn of(aspect: Aspect, condition: &Condition) -> String {
        let (subject, settings) = (&Subject::of(&source("t", "order"), aspect), &tls());
        Advice {
            subject,
            condition,
            settings,
        }
        .to_string()
    }

    #[test]
    fn each_code_has_its_advice() {
        let password = KafkaSettings {
            sasl: Some(login("SCRAM-SHA-512")),
            ..tls()
        };
        for (code, expected, needs_operator) in [
            (Code::Authentication, "`username`", true),
            (Code::Authentication, "`mechanism`", true),
            (Code::SSL, "`ca_file`", true),
            (Code::SSL, "`certificate_file`", true),
            (Code::BrokerTransportFailure, "its port for TLS", false),
            (Code::OperationTimedOut, "`bootstrap`", false),
        ] {
            let advice = brokers_advice(code, &password);
            assert!(advice.contains(expected), "{code}: {advice}");
            assert_eq!(is_for_operator(code), needs_operator, "{code}");
        }
    }

    #[test]
    fn a_host_without_security_is_told_of_it() {
        let away =
            |settings: &KafkaSettings| brokers_advice(Code::BrokerTransportFailure, settings);
        let plain = KafkaSettings::default();
        assert!(away(&plain).contains("[kafka.tls]` or"));
        let tls = tls();
        let secured = away(&tls);
        assert!(
            !secured.contains("if it wants encryption") && secured.contains("`bootstrap`"),
            "{secured}"
        );
    }

    #[test]
    fn rights_are_named_as_the_tools_call_them() {
        let said = allow(&tls(), &["Read", "Write"], "topic", "orders");
        let expected =
            "--allow-principal User:NAME --operation Read --operation Write --topic orders";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn a_group_that_others_read_in_is_told_of_with_who_and_what_to_do() {
        let other = Member {
            client: "consumer-order-1".into(),
            host: "10.0.0.7".into(),
        };
        let said = of(Aspect::Client, &Condition::GroupShared(vec![other]));
        for expected in [
            "consumer group order",
            "`consumer-order-1` at 10.0.0.7",
            "allow_split_state",
        ] {
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn a_log_of_a_topic_without_an_id_may_be_of_a_topic_that_was_created_again() {
        let said = |is_topic_known| {
            let change = LogChange::Short { expected: 7 };
            of(
                Aspect::Log(3),
                &Condition::LogReplaced {
                    change,
                    extent: None,
                    is_topic_known,
                },
            )
        };
        let words = "created again: then read on from offset 0";
        assert!(said(false).contains(words) && !said(true).contains(words));
        assert!(
            said(true).starts_with("topic t, partition 3: its log is not"),
            "{}",
            said(true)
        );
    }

    #[test]
    fn what_differs_each_time_is_left_out() {
        let reason = "SASL authentication error: no (after 147ms in state AUTH_REQ, 1 identical error(s) suppressed)";
        assert_eq!(brief(reason), "SASL authentication error: no");
        assert_eq!(brief("Connection refused"), "Connection refused");
    }
}
