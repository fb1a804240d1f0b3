//! What Kafka reports to the relay: which records it has, which it refuses, and that a producer is of no
//! more use. Filled by the client's thread, emptied by the relay's.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::base::notify::Notify;
use crate::kafka::client;
use crate::kafka::health::supervisor::Supervisor;

/// The reports of one producer.
pub(crate) struct Reports {
    inner: Mutex<Inner>,
    notify: Notify,
    topics: Arc<Supervisor>,
}

#[derive(Default)]
struct Inner {
    reports: Vec<Report>,
    fatal: Option<String>,
}

/// What became of one record.
#[derive(Debug)]
pub(crate) struct Report {
    /// Number of the lane.
    pub(crate) lane: usize,
    /// Offset in the outbox.
    pub(crate) offset: i64,
    /// Why Kafka does not take it; none where it has it.
    pub(crate) failure: Option<RDKafkaErrorCode>,
}

/// Which record a report is about: its lane and its offset in the outbox.
pub(crate) type Ticket = Box<(usize, i64)>;

impl Reports {
    /// Reports of which `notify` is notified.
    pub(crate) fn new(notify: Notify, topics: Arc<Supervisor>) -> Self {
        Self {
            inner: Mutex::default(),
            notify,
            topics,
        }
    }

    /// What was reported since the last call, and why the producer is of no more use, if it is so.
    pub(crate) fn take(producer: &ThreadedProducer<Self>) -> (Vec<Report>, Option<String>) {
        let mut inner = producer.context().lock();
        (std::mem::take(&mut inner.reports), inner.fatal.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record that Kafka refuses, if it refuses any: its lane, its offset and why. Those after the first failed because of it, those
/// that say no more than that it is over are no news, and of a batch only the record at fault has the reason.
pub(crate) fn refusal(reports: &[Report]) -> Option<(usize, i64, RDKafkaErrorCode)> {
    use RDKafkaErrorCode::{Fatal, InvalidRecord, PurgeQueue};
    let refused = |report: &Report| {
        let code = (report.failure).filter(|code| !matches!(code, Fatal | PurgeQueue))?;
        Some((report.lane, report.offset, code))
    };
    let mut all = reports.iter().filter_map(refused);
    let first = all.next();
    let has_reason = |(_, _, code): &(usize, i64, RDKafkaErrorCode)| *code != InvalidRecord;
    let mut with_reason = first.into_iter().chain(all).filter(has_reason);
    with_reason.next().or(first)
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
                self.notify.notify();
            }
            Some(RDKafkaErrorCode::AllBrokersDown) => self.topics.ask_now(),
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
        // Reports come in batches; one notification wakes the relay for all of them.
        if first {
            self.notify.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use RDKafkaErrorCode::{Fatal, InvalidRecord, InvalidTimestamp, MessageSizeTooLarge};

    use super::*;

    #[test]
    fn the_first_refusal_that_has_a_reason_is_the_one_that_counts() {
        let report = |(offset, failure): (i64, Option<RDKafkaErrorCode>)| Report {
            lane: 3,
            offset,
            failure,
        };
        let found = |failures: &[Option<RDKafkaErrorCode>]| {
            let reports: Vec<_> = (0..).zip(failures.iter().copied()).map(report).collect();
            refusal(&reports)
        };
        assert_eq!(found(&[None, Some(Fatal)]), None);
        for (failures, expected) in [
            (
                [None, Some(Fatal), Some(InvalidTimestamp)],
                (3, 2, InvalidTimestamp),
            ),
            (
                [
                    Some(InvalidRecord),
                    Some(InvalidTimestamp),
                    Some(MessageSizeTooLarge),
                ],
                (3, 1, InvalidTimestamp),
            ),
            (
                [None, Some(InvalidRecord), Some(InvalidRecord)],
                (3, 1, InvalidRecord),
            ),
        ] {
            assert_eq!(found(&failures), Some(expected));
        }
    }
}
