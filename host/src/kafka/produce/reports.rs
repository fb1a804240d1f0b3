//! Kafka's reports to the relay on delivered and refused records. Filled by the client's thread,
//! emptied by the relay's.

use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::base::notify::Notify;
use crate::kafka::client;
use crate::kafka::health::probe::code_of;
use crate::kafka::topics::Topics;

pub(super) struct Reports {
    reports: Mutex<Vec<DeliveryReport>>,
    notify: Notify,
    topics: Arc<Topics>,
}

/// The record of a report: its lane and its offset in the outbox.
pub(super) type Ticket = Box<(usize, i64)>;

/// The report on one record.
#[derive(Debug)]
pub(super) struct DeliveryReport {
    /// Number of the lane.
    pub(super) lane: usize,
    /// Offset in the outbox.
    pub(super) offset: i64,
    /// The error with which Kafka refuses the record; `None` if Kafka has it.
    pub(super) failure: Option<Code>,
}

impl Reports {
    pub(super) fn new(notify: Notify, topics: Arc<Topics>) -> Self {
        Self {
            reports: Mutex::default(),
            notify,
            topics,
        }
    }

    /// The reports since the last call.
    pub(super) fn take(&self) -> Vec<DeliveryReport> {
        std::mem::take(&mut *self.reports.lock())
    }
}

/// The record that Kafka refuses, if any: its lane, its offset and the error. Records after the
/// first refused one failed because of it. Reports of the producer's end have no reason, and in a
/// batch only the record at fault has one.
pub(super) fn refusal(reports: &[DeliveryReport]) -> Option<(usize, i64, Code)> {
    let refused = |report: &DeliveryReport| {
        let code =
            (report.failure).filter(|code| !matches!(code, Code::Fatal | Code::PurgeQueue))?;
        Some((report.lane, report.offset, code))
    };
    let mut all = reports.iter().filter_map(refused).peekable();
    let first = all.peek().copied();
    all.find(|(_, _, code)| *code != Code::InvalidRecord)
        .or(first)
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "producer error");
        if code_of(&error) == Code::AllBrokersDown {
            self.topics.ask_now();
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Ticket;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Ticket) {
        let failure = result.as_ref().err().map(|(error, _)| code_of(error));
        let (lane, offset) = *ticket;
        let mut reports = self.reports.lock();
        let is_first = reports.is_empty();
        reports.push(DeliveryReport {
            lane,
            offset,
            failure,
        });
        drop(reports);
        // Reports come in batches; one notification wakes the relay for all of them.
        if is_first {
            self.notify.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use Code::{Fatal, InvalidRecord, InvalidTimestamp, MessageSizeTooLarge};

    use super::*;

    #[test]
    fn the_first_refusal_that_has_a_reason_is_the_one_that_counts() {
        let report = |(offset, failure): (i64, Option<Code>)| DeliveryReport {
            lane: 3,
            offset,
            failure,
        };
        let found = |failures: &[Option<Code>]| {
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
