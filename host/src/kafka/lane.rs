//! One partition of the outbox on its way to Kafka: what is sent, what is acknowledged, what blocks it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use saga_core::record::Record;
use saga_core::window::Window;

use super::freshness::Freshness;
use super::headers;
use super::relay::RELAY;
use super::remedy::allow;
use super::reports::{Reports, Ticket};
use super::settings::KafkaSettings;
use super::trouble::Troubles;
use crate::store::{Reader, Store};

/// Records of a lane that are under way at most (invariant 9): several requests' worth, so that the next one is full when one
/// is answered. Their bytes are bounded for all lanes together, by the producer.
const UNDER_WAY: usize = 16_384;

/// Records read from the outbox at once.
const PAGE: usize = 512;

/// A partition of the outbox.
pub(super) struct Lane {
    /// Row and name of the topic.
    topic: (i64, Arc<str>),
    partition: i32,
    /// The next record to send; none until the progress was read.
    next: Option<i64>,
    /// Everything below it is acknowledged.
    progress: i64,
    /// What the store says of `progress`.
    written: i64,
    under_way: Window,
    freshness: Freshness,
    /// Whether the last look found nothing more to send.
    is_at_end: bool,
    blocked: Option<Blocked>,
    /// Below it, records are sent one by one: they shared requests with a refused one, and Kafka
    /// refuses requests as a whole.
    careful_until: i64,
    /// Wait before a refused record is tried again.
    retry: Duration,
    part: String,
}

/// A record that Kafka refuses.
struct Blocked {
    offset: i64,
    until: Instant,
}

/// Who refuses a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refuses<'s> {
    /// The client, before it is sent.
    Client,
    /// The broker that these settings lead to.
    Broker(&'s KafkaSettings),
}

/// What a lane sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Something; there may be more.
    Some,
    /// Nothing.
    Nothing,
    /// The producer is of no more use.
    ProducerBroken,
}

impl Lane {
    pub(super) fn new(topic: (i64, Arc<str>), partition: i32, retry: Duration) -> Self {
        let part = part(&topic.1);
        Self {
            topic,
            partition,
            next: None,
            progress: 0,
            written: 0,
            under_way: Window::new(0, UNDER_WAY),
            freshness: Freshness::new(),
            is_at_end: false,
            blocked: None,
            careful_until: 0,
            retry,
            part,
        }
    }

    /// The topic's name.
    pub(super) fn topic(&self) -> &str {
        &self.topic.1
    }

    /// Whether its progress was read.
    pub(super) fn is_ready(&self) -> bool {
        self.next.is_some()
    }

    /// Reads its progress. The first one is written down, so that nothing is pruned before it was
    /// published. False where the store fails: it is tried again.
    pub(super) fn begin(&mut self, reader: &Reader, store: &Store, troubles: &Troubles) -> bool {
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
                troubles.clear(&self.part);
                true
            }
            Err(error) => {
                store_fails(self.topic(), &error, troubles);
                false
            }
        }
    }

    /// Forgets what is under way: it is sent again.
    pub(super) fn start_again(&mut self) {
        self.next = Some(self.progress);
        self.under_way = Window::new(self.progress, UNDER_WAY);
        self.freshness.restart();
        self.is_at_end = false;
    }

    /// Sends what the outbox holds, as far as there is room.
    pub(super) fn send(
        &mut self,
        index: usize,
        reader: &Reader,
        producer: &ThreadedProducer<Reports>,
        troubles: &Troubles,
    ) -> Sent {
        let room = if self.progress < self.careful_until {
            usize::from(self.under_way.is_empty())
        } else {
            self.under_way.room().min(PAGE)
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
                    let topic = self.topic();
                    troubles.error(
                        &self.part,
                        format!(
                            "the outbox of topic {topic} can't be read ({error}); it is tried again"
                        ),
                    );
                    return Sent::Nothing;
                }
            };
        self.is_at_end = records.is_empty();
        let mut sent = Sent::Nothing;
        for record in records {
            let offset = record.position.offset;
            match produce(producer, &record, Box::new((index, offset))) {
                Ok(()) => {
                    self.under_way.take(offset);
                    self.next = Some(offset + 1);
                    sent = Sent::Some;
                }
                // Others fill it; where nobody does, the record is larger than all of it.
                Err(RDKafkaErrorCode::QueueFull) if producer.in_flight_count() > 0 => break,
                Err(RDKafkaErrorCode::Fatal) => return Sent::ProducerBroken,
                Err(code) => {
                    self.block(offset, code, Refuses::Client, troubles);
                    break;
                }
            }
        }
        sent
    }

    /// Kafka has a record.
    pub(super) fn delivered(&mut self, offset: i64, troubles: &Troubles) {
        let before = self.progress;
        self.progress = self.under_way.settle(offset);
        if self.progress > before {
            self.freshness.progress();
        }
        if self
            .blocked
            .as_ref()
            .is_some_and(|blocked| blocked.offset < self.progress)
        {
            self.blocked = None;
            troubles.clear(&self.part);
        }
    }

    /// Kafka refuses a record: nothing after it is sent until it goes through.
    pub(super) fn block(
        &mut self,
        offset: i64,
        code: RDKafkaErrorCode,
        who: Refuses<'_>,
        troubles: &Troubles,
    ) {
        let topic = self.topic();
        let allowed;
        let remedy = match code {
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize
                if who != Refuses::Client =>
            {
                "it is too large for the topic: raise `max.message.bytes` of the topic on the broker; it then goes \
                 through by itself"
            }
            RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::QueueFull => {
                "it is too large: raise the property `message.max.bytes` here and `max.message.bytes` of the topic on \
                 the broker, and start this process again"
            }
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed => {
                allowed = match who {
                    Refuses::Broker(settings) => allow(settings, &["Write"], "topic", topic),
                    Refuses::Client => String::new(),
                };
                &allowed
            }
            RDKafkaErrorCode::InvalidTimestamp => {
                "its time, which is that of sending, is not one that the topic takes: set the clocks of this machine and of \
                 the broker's right, or raise `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` of \
                 the topic; it then goes through by itself"
            }
            code if is_unknown(code) => {
                "the topic was deleted: it is created anew, if this user may do that"
            }
            _ => "see what the broker says",
        };
        troubles.error(
            &self.part,
            format!(
                "Kafka does not take the record at offset {offset} of the outbox of topic {topic}: {code}; {remedy}. \
                 Nothing after it is published on this topic until it goes through, and nothing is lost; it is tried again"
            ),
        );
        self.careful_until = self.careful_until.max(self.next.unwrap_or(0));
        self.blocked = Some(Blocked {
            offset,
            until: Instant::now() + self.retry,
        });
    }

    /// Progress that the store does not know yet: row of the topic, partition, offset.
    pub(super) fn unwritten(&self) -> Option<(i64, i32, i64)> {
        (self.progress != self.written).then_some((self.topic.0, self.partition, self.progress))
    }

    /// The store knows this progress.
    pub(super) fn written(&mut self, progress: &[(i64, i32, i64)]) {
        let mine = progress
            .iter()
            .find(|(topic, partition, _)| *topic == self.topic.0 && *partition == self.partition);
        if let Some((_, _, next)) = mine {
            self.written = *next;
        }
    }

    /// Whether records are under way.
    pub(super) fn is_waiting(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Whether the client has had a record for so long that its time is an old one. To be asked now and then.
    pub(super) fn is_stale(&mut self, is_unreachable: bool) -> bool {
        let waits = self.is_waiting();
        self.freshness.is_over(waits, is_unreachable)
    }

    /// Whether Kafka has everything that it would take.
    pub(super) fn is_drained(&self) -> bool {
        (self.is_at_end || self.blocked.is_some()) && self.under_way.is_empty()
    }
}

/// Whether an error says that there is no such topic.
pub(super) fn is_unknown(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
    )
}

/// Says that the store fails; a lane that begins is out of that trouble.
pub(super) fn store_fails(topic: &str, error: &str, troubles: &Troubles) {
    troubles.error(
        &part(topic),
        format!("the relay of topic {topic} can't use the store ({error}); it is tried again"),
    );
}

fn part(topic: &str) -> String {
    format!("relay of {topic}")
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
