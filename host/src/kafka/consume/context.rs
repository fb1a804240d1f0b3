//! The context of a consumer's client: librdkafka's callbacks, which pass events on to the
//! consumer's thread. That thread polls the client, and handles the events after each poll.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};
use rdkafka::{ClientContext, Statistics, TopicPartitionList};

use crate::base::notify::Notify;
use crate::kafka::client;
use crate::kafka::health::probe::code_of;

pub(super) enum ClientEvent {
    /// These partitions wait for their start offsets.
    Assigned(TopicPartitionList),
    /// These partitions were taken away.
    Revoked(TopicPartitionList),
    /// An error, with librdkafka's text.
    Failed(Code, String),
    Statistics(Box<Statistics>),
}

/// The events of one client that its thread has not handled.
#[derive(Default)]
pub(super) struct ClientEvents {
    events: Mutex<VecDeque<ClientEvent>>,
    /// True if the client is being closed: nobody handles events any more.
    is_closing: AtomicBool,
    /// Notified when there may be something to do.
    pub(super) notify: Notify,
}

impl ClientEvents {
    pub(super) fn next(&self) -> Option<ClientEvent> {
        let mut events = self.events.lock();
        events.pop_front()
    }

    /// Prepares the close of the client: answers what waits for an answer, and drops all other
    /// events.
    pub(super) fn begin_closing(&self, client: &BaseConsumer<Self>) {
        self.is_closing.store(true, Ordering::Relaxed);
        while let Some(event) = self.next() {
            if let ClientEvent::Assigned(list) = event {
                answer_at_the_end(client, &list);
            }
        }
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    fn add(&self, event: ClientEvent) {
        if self.is_closing() {
            return;
        }
        let mut events = self.events.lock();
        events.push_back(event);
    }
}

impl ClientContext for ClientEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        self.add(ClientEvent::Statistics(Box::new(statistics)));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "consumer error");
        self.add(ClientEvent::Failed(code_of(&error), reason.to_owned()));
    }
}

impl ConsumerContext for ClientEvents {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        // The thread answers an assignment with the start offsets. Both events also come while the
        // client is being closed, and librdkafka waits for the answer then too: so a revocation is
        // always answered here, and an assignment then.
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            return match self.is_closing() {
                true => answer_at_the_end(client, list),
                false => self.add(ClientEvent::Assigned(list.clone())),
            };
        }
        let answer = match client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => client.incremental_unassign(list),
            _ => client.unassign(),
        };
        if let Err(error) = answer {
            tracing::error!(%error, "Kafka's revocation of partitions could not be followed");
        }
        self.add(ClientEvent::Revoked(list.clone()));
    }
}

pub(super) fn follow_assignment(
    client: &BaseConsumer<ClientEvents>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_assign(list),
        _ => client.assign(list),
    }
}

/// Answers an assignment to a client that is being closed; librdkafka takes it back at once.
fn answer_at_the_end(client: &BaseConsumer<ClientEvents>, list: &TopicPartitionList) {
    if let Err(error) = follow_assignment(client, list) {
        tracing::debug!(%error, "an assignment to a client that is being closed was not answered");
    }
}
