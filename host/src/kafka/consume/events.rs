//! The events of a consumer's client, and the conditions that follow from them.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::Consumer;
use super::context::ClientEvent;
use super::partition::PartitionState;
use crate::kafka::health::advice::lacks_rights;
use crate::kafka::health::condition::unreadable;
use crate::kafka::health::conditions::{Aspect, Subject};

/// Silence after which an error that Kafka reported counts as over.
pub(super) const OVER: Duration = Duration::from_secs(90);

impl Consumer {
    pub(super) fn serve_events(&mut self) -> KafkaResult<()> {
        let client = self.client.clone();
        for _ in 0..self.parts.settings.events_at_once() {
            match client.poll(Duration::ZERO) {
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                // Other errors are events, and the client recovers by itself.
                Some(Err(_)) | None => {}
                Some(Ok(message)) => self.deliver_stray(&message),
            }
            self.take_events(None);
        }
        Ok(())
    }

    /// Handles the events of the last poll, which was that of a partition's queue or the client's.
    pub(super) fn take_events(&mut self, polled: Option<i32>) {
        while let Some(event) = self.client.context().next() {
            match event {
                ClientEvent::Assigned(list) => self.assigned(&list),
                ClientEvent::Revoked(list) => self.revoked(&list),
                ClientEvent::Failed(code, reason) => self.failed(polled, code, &reason),
                ClientEvent::Statistics(statistics) => self.take_statistics(&statistics),
            }
        }
    }

    /// Handles an error of the client, or of a partition.
    fn failed(&mut self, partition: Option<i32>, code: Code, reason: &str) {
        let topics = &self.parts.topics;
        match code {
            // The supervisor finds out if brokers answer and accept this host's login, and reports
            // it once.
            Code::AllBrokersDown | Code::BrokerTransportFailure => {
                self.are_logs_doubtful = true;
                topics.ask_now();
            }
            Code::Authentication | Code::SSL => topics.ask_now(),
            Code::Resolve | Code::OperationTimedOut | Code::PartitionEOF => {}
            // Reported when the client is rebuilt.
            Code::Fatal | Code::FencedInstanceId => {}
            Code::UnknownTopicOrPartition => {
                // A topic that comes back may be a recreated one.
                self.identity.doubt();
                topics.doubt_topic(&self.source.topic);
            }
            Code::PollExceeded => tracing::warn!(
                topic = %self.source.topic, group = %self.source.group,
                "the rules took longer than max.poll.interval.ms for a record; the partitions are read again when they are done"
            ),
            code => {
                if lacks_rights(code) {
                    self.lacks_rights = true;
                    topics.doubt_topic(&self.source.topic);
                }
                let (settings, source) = (&self.parts.settings, &self.source);
                let unreadable = unreadable(settings, source, partition, code, reason);
                self.parts.conditions.report(unreadable);
            }
        }
    }

    pub(super) fn clear(&self, partition: Option<i32>, aspect: Aspect) {
        let subject = Subject::of(&self.source, partition, aspect);
        self.parts.conditions.clear(&subject);
    }

    /// Clears conditions that were not reported for a while, unless records may be missing:
    /// librdkafka reports some errors only once.
    pub(super) fn clear_old_conditions(&self) {
        let mut states = self.partitions.values().map(|partition| &partition.state);
        if !states.all(PartitionState::is_fine) {
            return;
        }
        let partitions = self
            .partitions
            .keys()
            .map(|number| (Some(*number), Aspect::Reading));
        for (partition, aspect) in partitions.chain([(None, Aspect::Client)]) {
            let subject = Subject::of(&self.source, partition, aspect);
            self.parts.conditions.clear_after(&subject, OVER);
        }
    }

    /// Ends the condition of missing rights, which an earlier client may have reported.
    pub(super) fn rights_granted(&mut self) {
        self.lacks_rights = false;
        self.clear(None, Aspect::Rights);
    }
}
