//! One partition of the outbox on its way to Kafka: what is sent, what is acknowledged, what blocks it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use saga_core::record::Record;
use saga_core::window::Window;

use super::RELAY;
use super::freshness::Freshness;
use super::reports::{Reports, Ticket};
use crate::kafka::headers;
use crate::kafka::health::condition::{Condition, Refusing, Subject};
use crate::kafka::health::conditions::Conditions;
use crate::store::{Reader, Store};

/// Records of a lane that are in flight at most (invariant 9): several requests' worth, so that the next one is full when one
/// is answered. Their bytes are bounded for all lanes together, by the producer.
const IN_FLIGHT: usize = 16_384;

/// Records read from the outbox at once.
const PAGE: usize = 512;

/// A partition of the outbox.
pub(crate) struct Lane {
    /// Row and name of the topic.
    topic: (i64, Arc<str>),
    partition: i32,
    /// The next record to send; none until the progress was read.
    next: Option<i64>,
    /// Everything below it is acknowledged.
    progress: i64,
    /// What the store says of `progress`.
    written: i64,
    in_flight: Window,
    freshness: Freshness,
    /// Whether the last look found nothing more to send.
    is_at_end: bool,
    blocked: Option<Blocked>,
    /// Below it, records are sent one by one: they shared requests with a refused one, and Kafka
    /// refuses requests as a whole.
    careful_until: i64,
    /// Wait before a refused record is tried again.
    retry: Duration,
    subject: Subject,
}

/// A record that Kafka refuses.
struct Blocked {
    offset: i64,
    until: Instant,
}

/// What a lane sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Something; there may be more.
    Some,
    /// Nothing.
    Nothing,
    /// The producer is of no more use.
    ProducerBroken,
}

impl Lane {
    pub(crate) fn new(topic: (i64, Arc<str>), partition: i32, retry: Duration) -> Self {
        let subject = Subject::Outbox(topic.1.clone());
        Self {
            topic,
            partition,
            next: None,
            progress: 0,
            written: 0,
            in_flight: Window::new(0, IN_FLIGHT),
            freshness: Freshness::new(),
            is_at_end: false,
            blocked: None,
            careful_until: 0,
            retry,
            subject,
        }
    }

    /// The topic's name.
    pub(crate) fn topic(&self) -> &Arc<str> {
        &self.topic.1
    }

    /// Whether its progress was read.
    pub(crate) fn is_ready(&self) -> bool {
        self.next.is_some()
    }

    /// Reads its progress. The first one is written down, so that nothing is pruned before it was
    /// published. False where the store fails: it is tried again.
    pub(crate) fn begin(
        &mut self,
        reader: &Reader,
        store: &Store,
        conditions: &Conditions,
    ) -> bool {
        let (row, partition) = (self.topic.0, self.partition);
        let stored = reader
            .offset(RELAY, row, partition)
            .inspect_err(|error| {
                reader.report("where to publish on can't be read from the store", error)
            })
            .map_err(|error| error.to_string());
        let progress = stored.and_then(|stored| match stored {
            Some(progress) => Ok(progress),
            None => store
                .write_offset(RELAY, row, partition, 0)
                .map(|()| 0)
                .map_err(|error| error.to_string()),
        });
        match progress {
            Ok(progress) => {
                self.progress = progress;
                self.written = progress;
                self.start_again();
                conditions.clear(&self.subject);
                true
            }
            Err(error) => {
                store_fails(self.topic(), &error, conditions);
                false
            }
        }
    }

    /// Forgets what is in flight: it is sent again.
    pub(crate) fn start_again(&mut self) {
        self.next = Some(self.progress);
        self.in_flight = Window::new(self.progress, IN_FLIGHT);
        self.freshness.restart();
        self.is_at_end = false;
    }

    /// Sends what the outbox holds, as far as there is room.
    pub(crate) fn send(
        &mut self,
        index: usize,
        reader: &Reader,
        producer: &ThreadedProducer<Reports>,
        conditions: &Conditions,
    ) -> Sent {
        let room = if self.progress < self.careful_until {
            usize::from(self.in_flight.is_empty())
        } else {
            self.in_flight.room().min(PAGE)
        };
        let is_held = self
            .blocked
            .as_ref()
            .is_some_and(|blocked| Instant::now() < blocked.until);
        let Some(next) = self.next.filter(|_| room > 0 && !is_held) else {
            return Sent::Nothing;
        };
        let records =
            match reader.records_within(&self.topic, self.partition, next, room, usize::MAX) {
                Ok(records) => records,
                Err(error) => {
                    reader.report("the outbox can't be read from the store", &error);
                    store_fails(self.topic(), &error.to_string(), conditions);
                    return Sent::Nothing;
                }
            };
        self.is_at_end = records.is_empty();
        let mut sent = Sent::Nothing;
        for record in records {
            let offset = record.position.offset;
            match produce(producer, &record, Box::new((index, offset))) {
                Ok(()) => {
                    self.in_flight.take(offset);
                    self.next = Some(offset + 1);
                    sent = Sent::Some;
                }
                // Others fill it; where nobody does, the record is larger than all of it.
                Err(RDKafkaErrorCode::QueueFull) if producer.in_flight_count() > 0 => break,
                Err(RDKafkaErrorCode::Fatal) => return Sent::ProducerBroken,
                Err(code) => {
                    self.block(offset, code, Refusing::Client, conditions);
                    break;
                }
            }
        }
        sent
    }

    /// Kafka has a record.
    pub(crate) fn delivered(&mut self, offset: i64, conditions: &Conditions) {
        let before = self.progress;
        self.progress = self.in_flight.settle(offset);
        if self.progress > before {
            self.freshness.progress();
        }
        if self
            .blocked
            .as_ref()
            .is_some_and(|blocked| blocked.offset < self.progress)
        {
            self.blocked = None;
            conditions.clear(&self.subject);
        }
    }

    /// Kafka refuses a record: nothing after it is sent until it goes through.
    pub(crate) fn block(
        &mut self,
        offset: i64,
        code: RDKafkaErrorCode,
        by: Refusing,
        conditions: &Conditions,
    ) {
        let refused = Condition::RecordRefused { offset, code, by };
        conditions.report(self.subject.clone(), refused);
        self.careful_until = self.careful_until.max(self.next.unwrap_or(0));
        self.blocked = Some(Blocked {
            offset,
            until: Instant::now() + self.retry,
        });
    }

    /// Progress that the store does not know yet: row of the topic, partition, offset.
    pub(crate) fn unwritten(&self) -> Option<(i64, i32, i64)> {
        (self.progress != self.written).then_some((self.topic.0, self.partition, self.progress))
    }

    /// The store knows this progress.
    pub(crate) fn written(&mut self, progress: &[(i64, i32, i64)]) {
        let mine = progress
            .iter()
            .find(|(topic, partition, _)| *topic == self.topic.0 && *partition == self.partition);
        if let Some((_, _, next)) = mine {
            self.written = *next;
        }
    }

    /// Whether records are in flight.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Whether the client has had a record for so long that its time is an old one. To be asked now and then.
    pub(crate) fn is_stale(&mut self, is_unreachable: bool) -> bool {
        let waits = self.is_waiting();
        self.freshness.is_over(waits, is_unreachable)
    }

    /// Whether Kafka has everything that it would take.
    pub(crate) fn is_drained(&self) -> bool {
        (self.is_at_end || self.blocked.is_some()) && self.in_flight.is_empty()
    }
}

/// Reports that the store fails; over when the lane begins, or a record goes through.
pub(crate) fn store_fails(topic: &Arc<str>, reason: &str, conditions: &Conditions) {
    let subject = Subject::Outbox(topic.clone());
    conditions.report(subject, Condition::OutboxFails(reason.to_owned()));
}

fn produce(
    producer: &ThreadedProducer<Reports>,
    record: &Record,
    ticket: Ticket,
) -> Result<(), RDKafkaErrorCode> {
    let mut message: BaseRecord<'_, [u8], [u8], Ticket> =
        BaseRecord::with_opaque_to(&record.position.topic, ticket).headers(headers::write(record));
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    // Its time is that of sending: retention goes by it, and the record may have waited for long. `ce_time` says when it was made.
    producer.send(message).map_err(|(error, _)| match error {
        KafkaError::MessageProduction(code) => code,
        other => other
            .rdkafka_error_code()
            .unwrap_or(RDKafkaErrorCode::Unknown),
    })
}
