//! What librdkafka calls: partitions come and go, errors, log lines.

use std::sync::atomic::Ordering;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, TopicPartitionList};

use super::assignment::{Assignment, NOBODY, partitions};
use crate::kafka::client;
use crate::kafka::health::advice::{UNPACK, allow, brief};

impl ClientContext for Assignment {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.told(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", topic = %self.source.topic, %error, reason, "consumer error");
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        self.is_disturbed.store(true, Ordering::Relaxed);
        match error.rdkafka_error_code() {
            // Whether brokers answer is watched elsewhere, and said once.
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.doubt_logs();
                self.topics.doubt();
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure) => {
                self.doubt_logs();
            }
            // So is whether they let this host in.
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => self.topics.doubt(),
            None
            | Some(
                RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::PartitionEOF,
            ) => {}
            // Said where the client is made anew.
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId) => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                // If it comes back, it may be another one.
                self.recognition().doubt();
                self.topics.doubt_topic(&self.source.topic);
            }
            Some(RDKafkaErrorCode::PollExceeded) => tracing::warn!(
                topic = %self.source.topic, group = %self.source.group,
                "the rules took longer than max.poll.interval.ms for a record; the partitions are read again when they are done"
            ),
            Some(code) => {
                let (topic, group) = (&self.source.topic, &self.source.group);
                let (part, partition) = match self.polled.load(Ordering::Relaxed) {
                    NOBODY => (self.part.clone(), String::new()),
                    partition => (self.part_of(partition), format!(", partition {partition},")),
                };
                let text = format!(
                    "topic {topic}{partition} can't be read in group {group}: {}",
                    brief(reason)
                );
                let refused = match code {
                    RDKafkaErrorCode::TopicAuthorizationFailed => ("topic", topic),
                    RDKafkaErrorCode::GroupAuthorizationFailed => ("group", group),
                    RDKafkaErrorCode::BadCompression => {
                        return self.troubles.error(&part, format!("{text}; {UNPACK}"));
                    }
                    _ => return self.troubles.warn(&part, text),
                };
                let remedy = allow(&self.settings, &["Read"], refused.0, refused.1);
                self.lacks_rights.store(true, Ordering::Relaxed);
                self.troubles
                    .error(&self.rights_part(), format!("{text}; {remedy}"));
                self.topics.doubt_topic(topic);
            }
        }
    }
}

impl ConsumerContext for Assignment {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.is_disturbed.store(true, Ordering::Relaxed);
        let cooperative = matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let answer = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assigned(list);
            if cooperative {
                client.incremental_assign(list)
            } else {
                client.assign(list)
            }
        } else {
            self.revoked(list);
            if cooperative {
                client.incremental_unassign(list)
            } else {
                client.unassign()
            }
        };
        if let Err(error) = answer {
            tracing::error!(topic = %self.source.topic, %error, "Kafka's assignment of partitions could not be followed");
        }
        self.bell.ring();
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        match result {
            Ok(()) => self.committed(offsets),
            Err(error) => {
                tracing::debug!(topic = %self.source.topic, %error, "offsets were not committed to Kafka");
            }
        }
    }
}

impl Assignment {
    /// Lets partitions go. What is under way may still settle.
    fn revoked(&self, list: &TopicPartitionList) {
        let mut gone = partitions(list);
        gone.retain(|partition| self.places().remove(partition).is_some());
        self.say_revoked(&gone);
    }

    pub(crate) fn say_revoked(&self, partitions: &[i32]) {
        for partition in partitions {
            self.troubles.forget(&self.part_of(*partition));
            self.troubles.forget(&self.log_part(*partition));
            self.troubles.forget(&self.transaction_part(*partition));
        }
        if !partitions.is_empty() {
            tracing::info!(
                group = %self.source.group, topic = %self.source.topic, ?partitions,
                "partitions revoked"
            );
        }
    }
}
