//! What librdkafka calls: partitions come and go, errors, log lines.

use std::sync::atomic::Ordering;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, TopicPartitionList};

use super::assignment::{Assignment, NO_PARTITION};
use crate::kafka::client;
use crate::kafka::health::advice::brief;
use crate::kafka::health::condition::{Aspect, Condition, lacks_rights};

impl ClientContext for Assignment {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.told(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", topic = %self.source.topic, %error, reason, "consumer error");
        if self.is_closing.load(Ordering::Relaxed) {
            return;
        }
        self.is_disturbed.store(true, Ordering::Relaxed);
        match error.rdkafka_error_code() {
            // The supervisor finds out whether brokers answer, and reports it once.
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.doubt_logs();
                self.topics.ask_now();
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure) => {
                self.doubt_logs();
            }
            // So is whether they let this host in.
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => self.topics.ask_now(),
            None
            | Some(
                RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::PartitionEOF,
            ) => {}
            // Reported where the client is rebuilt.
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId) => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                // If it comes back, it may be another one.
                self.identity().doubt();
                self.topics.doubt_topic(&self.source.topic);
            }
            Some(RDKafkaErrorCode::PollExceeded) => tracing::warn!(
                topic = %self.source.topic, group = %self.source.group,
                "the rules took longer than max.poll.interval.ms for a record; the partitions are read again when they are done"
            ),
            Some(code) => {
                let aspect = match self.polled.load(Ordering::Relaxed) {
                    _ if lacks_rights(code) => Aspect::Rights,
                    NO_PARTITION => Aspect::Client,
                    partition => Aspect::Reading(partition),
                };
                let reason = brief(reason).to_owned();
                self.report(aspect, Condition::Unreadable { code, reason });
                if lacks_rights(code) {
                    self.lacks_rights.store(true, Ordering::Relaxed);
                    self.topics.doubt_topic(&self.source.topic);
                }
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
        self.notify.notify();
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
