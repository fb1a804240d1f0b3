//! One partition of the outbox on its way to Kafka: records sent and acknowledged, and the one that
//! blocks it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode as Code;
use saga_core::commit::Offset;
use saga_core::record::Record;
use saga_core::window::Window;

use super::RELAY;
use super::reports::{Reports, Ticket};
use crate::kafka::health::condition::record_refused;
use crate::kafka::health::conditions::Subject;
use crate::kafka::health::probe::code_of;
use crate::kafka::{Parts, headers};
use crate::store::{Reader, StoreResult};

/// Most records of a lane in flight (invariant 9): several requests' worth, so that the next
/// request is full when one is answered. The producer bounds their bytes for all lanes together.
const IN_FLIGHT: usize = 16_384;

/// Records read from the outbox at once.
const PAGE: usize = 512;

/// Longest wait of records in a client while no broker answers: none of them can have been sent.
const AWAY: Duration = Duration::from_secs(5);

/// Longest wait if brokers answer but acknowledge no record. One request of these records may then
/// be written twice, so this time is doubled after each attempt, up to the longest.
const STALE: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(600);

/// A failed read of where a lane begins.
pub(super) const UNREADABLE: &str = "where to publish on can't be read from the store";

pub(super) struct RelayLane {
    /// Row and name of the topic.
    topic: (i64, Arc<str>),
    partition: i32,
    /// The epoch that its progress carries.
    epoch: i64,
    /// The next record to send.
    next: i64,
    /// All records below it are acknowledged.
    progress: i64,
    in_flight: Window,
    /// Since when records are in flight, none of which was acknowledged.
    waits_since: Option<Instant>,
    /// Longest wait of such records while brokers answer.
    patience: Duration,
    /// True if the last look found nothing more to send.
    is_at_end: bool,
    /// A record that Kafka refuses, and the time of the next attempt.
    blocked: Option<(i64, Instant)>,
    /// Records below it are sent one by one: they shared a request with a refused one, and Kafka
    /// refuses whole requests.
    careful_until: i64,
}

impl RelayLane {
    /// Reads the progress of a lane. The first one is stored, so that nothing is pruned before it
    /// is published.
    pub(super) fn new(
        parts: &Parts,
        reader: &Reader,
        topic: (i64, Arc<str>),
        partition: i32,
    ) -> StoreResult<Self> {
        let epoch = parts.store.claim_partition(RELAY, topic.0, partition)?;
        let stored = reader.offset(RELAY, topic.0, partition);
        let stored = stored.inspect_err(|error| reader.report(UNREADABLE, error))?;
        let progress = match stored {
            Some(progress) => progress,
            None => (parts.store.write_offset(RELAY, topic.0, partition, 0)).map(|()| 0)?,
        };
        Ok(Self {
            topic,
            partition,
            epoch,
            next: progress,
            progress,
            in_flight: Window::new(progress, IN_FLIGHT),
            waits_since: None,
            patience: STALE,
            is_at_end: false,
            blocked: None,
            careful_until: 0,
        })
    }

    pub(super) fn topic(&self) -> &Arc<str> {
        &self.topic.1
    }

    /// Forgets the records in flight, which are sent again.
    pub(super) fn start_again(&mut self) {
        self.next = self.progress;
        self.in_flight = Window::new(self.progress, IN_FLIGHT);
        self.waits_since = None;
        self.is_at_end = false;
    }

    /// Sends records of the outbox, as far as there is room; true if there were any.
    pub(super) fn send(
        &mut self,
        index: usize,
        parts: &Parts,
        reader: &Reader,
        producer: &ThreadedProducer<Reports>,
    ) -> bool {
        let room = match self.progress < self.careful_until {
            true => usize::from(self.in_flight.is_empty()),
            false => self.in_flight.room().min(PAGE),
        };
        if room == 0
            || self
                .blocked
                .is_some_and(|(_, until)| Instant::now() < until)
        {
            return false;
        }
        let (topic, partition) = (&self.topic, self.partition);
        let records = match reader.records_within(topic, partition, self.next, room, usize::MAX) {
            Ok(records) => records,
            Err(error) => {
                reader.report("the outbox can't be read from the store", &error);
                return false;
            }
        };
        self.is_at_end = records.is_empty();
        let first = self.next;
        for record in records {
            let offset = record.position.offset;
            match produce(producer, &record, Box::new((index, offset))) {
                Ok(()) => {
                    self.in_flight.take(offset);
                    self.next = offset + 1;
                    self.waits_since.get_or_insert_with(Instant::now);
                }
                // Other records fill the queue; if there are none, this record is larger than the
                // whole queue.
                Err(Code::QueueFull) if producer.in_flight_count() > 0 => break,
                // The end of the producer is reported.
                Err(Code::Fatal) => break,
                Err(code) => {
                    self.block(parts, offset, code);
                    break;
                }
            }
        }
        self.next > first
    }

    /// Notes that Kafka has a record.
    pub(super) fn delivered(&mut self, parts: &Parts, offset: i64) {
        let before = self.progress;
        self.progress = self.in_flight.settle(offset);
        if self.progress > before {
            self.waits_since = (!self.in_flight.is_empty()).then(Instant::now);
            self.patience = STALE;
            let is_over = |(blocked, _): &mut (i64, Instant)| *blocked < self.progress;
            if self.blocked.take_if(is_over).is_some() {
                parts
                    .conditions
                    .clear(&Subject::Outbox(self.topic.1.clone()));
            }
        }
    }

    /// Notes that Kafka refuses a record: nothing after it is sent until it goes through.
    pub(super) fn block(&mut self, parts: &Parts, offset: i64, code: Code) {
        let refused = record_refused(&parts.settings, self.topic(), offset, code);
        parts.conditions.report(refused);
        self.careful_until = self.careful_until.max(self.next);
        self.blocked = Some((offset, Instant::now() + parts.retry));
    }

    /// The progress, as it is stored.
    pub(super) fn progress(&self) -> Offset {
        Offset {
            consumer: RELAY.into(),
            topic: self.topic.0,
            partition: self.partition,
            next: self.progress,
            epoch: self.epoch,
            last: None,
        }
    }

    /// True if records wait in the client for so long that their time is outdated: they must be
    /// handed over again.
    pub(super) fn is_stale(&mut self, is_unreachable: bool) -> bool {
        let patience = if is_unreachable { AWAY } else { self.patience };
        let is_stale = (self.waits_since).is_some_and(|since| since.elapsed() >= patience);
        if is_stale && !is_unreachable {
            self.patience = (self.patience * 2).min(LONGEST);
        }
        is_stale
    }

    /// True if Kafka has all records, except refused ones.
    pub(super) fn is_drained(&self) -> bool {
        (self.is_at_end || self.blocked.is_some()) && self.in_flight.is_empty()
    }
}

/// Hands a record to the client. Its time is that of sending: retention follows it, and the record
/// may have waited long. `ce_time` is the time at which the event was made.
fn produce(
    producer: &ThreadedProducer<Reports>,
    record: &Record,
    ticket: Ticket,
) -> Result<(), Code> {
    let mut message: BaseRecord<'_, [u8], [u8], Ticket> =
        BaseRecord::with_opaque_to(&record.position.topic, ticket).headers(headers::write(record));
    message.key = record.key.as_deref();
    message.payload = record.value.as_deref();
    producer.send(message).map_err(|(error, _)| code_of(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::tests::nobody;
    use crate::transport::conformance::TransportRig;

    /// A lane whose broker is unreachable.
    fn lane() -> (TransportRig, Parts, Reader, RelayLane) {
        let (rig, parts) = nobody();
        let reader = parts.store.reader().unwrap();
        let topic = (rig.source.topic_row, rig.source.topic.clone());
        let lane = RelayLane::new(&parts, &reader, topic, 0).unwrap();
        (rig, parts, reader, lane)
    }

    #[test]
    fn what_waits_for_long_is_handed_over_again_less_and_less_often_while_brokers_answer() {
        let (_rig, parts, _, mut lane) = lane();
        assert!(!lane.is_stale(true), "nothing waits");
        let waits = |lane: &mut RelayLane, seconds| {
            lane.waits_since = Instant::now().checked_sub(Duration::from_secs(seconds));
        };
        for _ in 0..3 {
            waits(&mut lane, 4);
            assert!(!lane.is_stale(true));
            waits(&mut lane, 5);
            assert!(lane.is_stale(true) && !lane.is_stale(false));
        }
        for seconds in [30, 60, 120, 240, 480, 600, 600] {
            waits(&mut lane, seconds - 1);
            assert!(!lane.is_stale(false), "{seconds}");
            waits(&mut lane, seconds);
            assert!(lane.is_stale(false), "{seconds}");
        }
        lane.in_flight.take(0);
        lane.delivered(&parts, 0);
        waits(&mut lane, 30);
        assert!(lane.is_stale(false), "one was acknowledged");
    }

    #[test]
    fn a_refusal_is_over_when_its_record_goes_through_and_not_before() {
        let (_rig, parts, reader, mut lane) = lane();
        let producer = crate::kafka::produce::connect(&parts).unwrap();
        lane.in_flight.take(0);
        lane.in_flight.take(1);
        lane.block(&parts, 1, Code::MessageSizeTooLarge);
        lane.blocked = Some((1, Instant::now()));
        assert!(!lane.send(0, &parts, &reader, &producer));
        lane.delivered(&parts, 0);
        assert!(parts.conditions.text().is_some());
        lane.delivered(&parts, 1);
        assert_eq!(parts.conditions.text(), None);
    }
}
