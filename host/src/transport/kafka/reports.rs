//! What Kafka reports to the relay: which records it has, which it refuses, and that a producer is of no
//! more use. Filled by the client's thread, emptied by the relay's.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::client;
use super::watch::Watched;
use crate::signal::Signal;

/// The reports of one producer.
pub(super) struct Reports {
    inner: Mutex<Inner>,
    bell: Signal,
    topics: Arc<Watched>,
}

#[derive(Default)]
struct Inner {
    reports: Vec<Report>,
    fatal: Option<String>,
}

/// What became of one record.
#[derive(Debug)]
pub(super) struct Report {
    /// Number of the lane.
    pub(super) lane: usize,
    /// Offset in the outbox.
    pub(super) offset: i64,
    /// Why Kafka does not take it; none where it has it.
    pub(super) failure: Option<RDKafkaErrorCode>,
}

/// Which record a report is about: its lane and its offset in the outbox.
pub(super) type Ticket = Box<(usize, i64)>;

impl Reports {
    /// Reports that ring `bell`.
    pub(super) fn new(bell: Signal, topics: Arc<Watched>) -> Self {
        Self {
            inner: Mutex::default(),
            bell,
            topics,
        }
    }

    /// What was reported since the last call, and why the producer is of no more use, if it is so.
    pub(super) fn take(producer: &ThreadedProducer<Self>) -> (Vec<Report>, Option<String>) {
        let mut inner = producer.context().lock();
        (std::mem::take(&mut inner.reports), inner.fatal.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "producer error");
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => {
                self.lock().fatal.get_or_insert_with(|| reason.to_owned());
                self.bell.ring();
            }
            Some(RDKafkaErrorCode::AllBrokersDown) => self.topics.doubt(),
            _ => {}
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Ticket;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Ticket) {
        let failure = result.as_ref().err().map(|(error, _)| {
            error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown)
        });
        let (lane, offset) = *ticket;
        let first = {
            let mut inner = self.lock();
            inner.reports.push(Report {
                lane,
                offset,
                failure,
            });
            inner.reports.len() == 1
        };
        // Reports come in batches; one ring wakes the relay for all of them.
        if first {
            self.bell.ring();
        }
    }
}
