//! The partitions that a consumer has been given, and where each is read.
//!
//! A partition starts at the offset in the store; without one, where the group was on Kafka (a Java
//! service that we replace leaves it there), else at its beginning. The queue of a partition is split off within
//! the rebalance itself: a moment later its first records would already be in the common queue, and
//! a slow partition would hold up the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use saga_core::record::{Position, Record};
use tokio_util::sync::CancellationToken;

use super::remedy::brief;
use super::topics::Watched;
use super::trouble::Troubles;
use super::{client, headers};
use crate::signal::Signal;
use crate::store::Reader;
use crate::store::topic_ids::{KnownTopic, known_topic};
use crate::transport::{Delivery, Session, Sink, Source, WINDOW};

/// Records of one partition that are delivered before the next has its turn.
const PAGE: usize = 256;

/// Wait before a partition is read anew: the store has just failed.
const RETRY: Duration = Duration::from_millis(500);

/// How often it is asked, at most, why offsets of a partition are missing.
const LOOK: Duration = Duration::from_secs(1);

/// Longest time that a look at a partition's beginning may take.
const QUESTION: Duration = Duration::from_millis(300);

/// The assigned partitions of one consumer.
pub(super) struct Assignment {
    source: Arc<Source>,
    reader: Mutex<Reader>,
    places: Mutex<BTreeMap<i32, Place>>,
    client: OnceLock<Weak<BaseConsumer<Self>>>,
    /// The topic that is read, as far as it is known.
    known: Mutex<Option<KnownTopic>>,
    /// Whether Kafka has not answered the last commit yet.
    is_committing: AtomicBool,
    /// Whether the client is being closed: what it still complains of is of no interest.
    is_over: AtomicBool,
    /// Whether the group has agreed anew on who reads what, and nobody has looked yet who is in it.
    is_new: AtomicBool,
    /// Rings when there may be something to do.
    bell: Signal,
    topics: Arc<Watched>,
    troubles: Arc<Troubles>,
    part: String,
}

/// An assigned partition.
struct Place {
    queue: PartitionQueue<Assignment>,
    reading: Reading,
    /// What Kafka was told last.
    committed: Option<i64>,
}

/// Where a partition is read.
enum Reading {
    /// From the stored offset, but not before `at`; where there is none, from `fallback`.
    Begins { at: Instant, fallback: Option<i64> },
    /// Its first record is awaited; `stored` says which that should be.
    Awaits { stored: Option<i64> },
    /// Since the record `start`.
    Runs {
        session: Arc<Session>,
        start: i64,
        last: i64,
        /// When it was last asked why offsets are missing.
        looked: Option<Instant>,
    },
}

impl Assignment {
    /// No partitions yet.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(super) fn new(
        source: Arc<Source>,
        reader: Reader,
        topics: Arc<Watched>,
        troubles: Arc<Troubles>,
    ) -> rusqlite::Result<Self> {
        let part = format!("consumer of {} in {}", source.topic, source.group);
        let known = known_topic(reader.connection(), &source.consumer, source.topic_row)?;
        Ok(Self {
            known: Mutex::new(known),
            source,
            reader: Mutex::new(reader),
            places: Mutex::default(),
            client: OnceLock::new(),
            is_committing: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            is_new: AtomicBool::new(false),
            bell: Signal::default(),
            topics,
            troubles,
            part,
        })
    }

    /// Makes the client known whose assignment this is. Before its first poll.
    pub(super) fn attach(&self, client: &Arc<BaseConsumer<Self>>) {
        // Only the first call counts, and there is only one.
        let _ = self.client.set(Arc::downgrade(client));
    }

    /// Rings when there may be something to do.
    pub(super) fn bell(&self) -> &Signal {
        &self.bell
    }

    /// The name under which its troubles are kept.
    pub(super) fn part(&self) -> &str {
        &self.part
    }

    /// Whether the group has agreed anew on who reads what. Until [`Assignment::confirm`], nothing is delivered.
    pub(super) fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Relaxed)
    }

    /// The partitions may be read.
    pub(super) fn confirm(&self) {
        self.is_new.store(false, Ordering::Relaxed);
    }

    /// The topic that is read, as far as it is known.
    pub(super) fn known(&self) -> Option<KnownTopic> {
        self.lock_known().clone()
    }

    /// Takes down which topic is read. If it is another one than before, its partitions start where the store now says.
    pub(super) fn know(&self, topic: KnownTopic) {
        let before = self.lock_known().replace(topic);
        if before.is_some() {
            for place in self.places().values_mut() {
                place.reading = Reading::Begins {
                    at: Instant::now(),
                    fallback: None,
                };
            }
        }
    }

    fn incarnation(&self) -> Option<Arc<str>> {
        let known = self.lock_known();
        let later = known.as_ref().filter(|known| !known.is_first)?;
        Some(later.id.as_str().into())
    }

    fn lock_known(&self) -> std::sync::MutexGuard<'_, Option<KnownTopic>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of all partitions, for their queues hold the client, and says no more of troubles.
    pub(super) fn forget(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.release();
    }

    /// Lets go of all partitions.
    pub(super) fn release(&self) {
        let places = std::mem::take(&mut *self.places());
        self.say_revoked(&places.into_keys().collect::<Vec<_>>());
    }

    /// Delivers what is there, as far as there is room and until `stop`; says whether anything was.
    pub(super) fn deliver(
        &self,
        client: &BaseConsumer<Self>,
        sink: &dyn Sink,
        stop: &CancellationToken,
    ) -> bool {
        let mut any = false;
        for (partition, place) in self.places().iter_mut() {
            if stop.is_cancelled() {
                break;
            }
            if let Reading::Runs { session, start, .. } = &place.reading
                && session.is_cancelled()
            {
                place.reading = Reading::Begins {
                    at: Instant::now() + RETRY,
                    fallback: Some(*start),
                };
            }
            if let Reading::Begins { at, fallback } = place.reading {
                if Instant::now() < at {
                    continue;
                }
                place.reading = self.begin(client, *partition, fallback);
            }
            any |= self.deliver_page(client, *partition, place, sink, stop);
        }
        any
    }

    /// Delivers a record that came by the common queue. None should; if one does it must not be lost.
    pub(super) fn deliver_stray(&self, message: &BorrowedMessage<'_>, sink: &dyn Sink) {
        let Some(client) = self.client.get().and_then(Weak::upgrade) else {
            return;
        };
        if let Some(place) = self.places().get_mut(&message.partition()) {
            self.hand_over(&client, &mut place.reading, message, sink);
        }
    }

    /// How far the store is, where that is not what Kafka was told last.
    pub(super) fn offsets_to_commit(&self) -> TopicPartitionList {
        let mut offsets = TopicPartitionList::new();
        // One that waits for its broker is sent when that is back, and then comes from a member that the group knows by
        // another name by now. No second one need be so.
        if self.is_committing.load(Ordering::Relaxed) {
            return offsets;
        }
        for (partition, place) in self.places().iter_mut() {
            let Ok(Some(stored)) = self.stored(*partition) else {
                continue;
            };
            if place.committed != Some(stored)
                && offsets
                    .add_partition_offset(&self.source.topic, *partition, Offset::Offset(stored))
                    .is_ok()
            {
                place.committed = Some(stored);
            }
        }
        self.is_committing
            .store(offsets.count() > 0, Ordering::Relaxed);
        offsets
    }

    /// What was to be committed was not.
    pub(super) fn not_committed(&self) {
        self.is_committing.store(false, Ordering::Relaxed);
        for place in self.places().values_mut() {
            place.committed = None;
        }
    }

    fn deliver_page(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        place: &mut Place,
        sink: &dyn Sink,
        stop: &CancellationToken,
    ) -> bool {
        let mut any = false;
        for _ in 0..PAGE {
            // The sink may block for each of them.
            if stop.is_cancelled() {
                break;
            }
            let has_room = match &place.reading {
                Reading::Begins { .. } => false,
                Reading::Awaits { .. } => true,
                Reading::Runs { session, .. } => !session.is_cancelled() && session.room() > 0,
            };
            if !has_room {
                break;
            }
            match place.queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    any = true;
                    self.hand_over(client, &mut place.reading, &message, sink);
                }
                // Was told to `error`.
                Some(Err(error)) => {
                    tracing::debug!(topic = %self.source.topic, partition, %error, "partition error")
                }
                None => break,
            }
        }
        any
    }

    fn hand_over(
        &self,
        client: &BaseConsumer<Self>,
        reading: &mut Reading,
        message: &BorrowedMessage<'_>,
        sink: &dyn Sink,
    ) {
        let (partition, offset) = (message.partition(), message.offset());
        let session = match reading {
            Reading::Begins { .. } => return,
            Reading::Runs {
                session,
                last,
                looked,
                ..
            } if *last < offset => {
                let expected = *last + 1;
                *last = offset;
                let session = session.clone();
                // Offsets may have gaps that are no loss, and each look is a question to a broker.
                if expected < offset && looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                    *looked = Some(Instant::now());
                    self.starts_elsewhere(client, partition, expected, offset);
                }
                session
            }
            Reading::Runs { last, .. } => {
                let expected = *last + 1;
                self.starts_elsewhere(client, partition, expected, offset);
                self.start(reading, partition, offset, offset)
            }
            Reading::Awaits { stored } => {
                let expected = stored.unwrap_or(offset);
                if expected != offset {
                    self.starts_elsewhere(client, partition, expected, offset);
                }
                self.start(reading, partition, expected.min(offset), offset)
            }
        };
        self.troubles.clear(&self.part);
        let may_repeat = session.take(offset);
        sink.deliver(Delivery {
            session,
            may_repeat,
            record: self.record(message),
        });
    }

    /// A new session that may store `next` and begins with the record `first`.
    fn start(&self, reading: &mut Reading, partition: i32, next: i64, first: i64) -> Arc<Session> {
        let session = Session::new(
            self.source.clone(),
            partition,
            next,
            WINDOW,
            self.bell.clone(),
        );
        *reading = Reading::Runs {
            session: session.clone(),
            start: first,
            last: first,
            looked: None,
        };
        session
    }

    /// Goes back to the stored offset.
    fn begin(&self, client: &BaseConsumer<Self>, partition: i32, fallback: Option<i64>) -> Reading {
        let again = Reading::Begins {
            at: Instant::now() + RETRY,
            fallback,
        };
        let stored = match self.stored(partition) {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(topic = %self.source.topic, partition, %error, "the store can't be read; it is tried again");
                return again;
            }
        };
        let Some(offset) = stored.or(fallback) else {
            return Reading::Awaits { stored: None };
        };
        match client.seek(
            &self.source.topic,
            partition,
            Offset::Offset(offset),
            QUESTION,
        ) {
            Ok(()) => Reading::Awaits {
                stored: Some(offset),
            },
            Err(error) => {
                tracing::debug!(topic = %self.source.topic, partition, offset, %error, "the partition can't be sought; it is tried again");
                again
            }
        }
    }

    /// Says what happened where a partition does not go on at the stored offset.
    fn starts_elsewhere(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        expected: i64,
        found: i64,
    ) {
        let topic = &self.source.topic;
        if found < expected {
            tracing::warn!(
                %topic, partition, stored = expected, found,
                "the stored offset is beyond the end of the partition: the topic was probably deleted and made anew; \
                 it is read from its beginning, and events with ids that were applied before are not applied again; records without an id are told by topic, \
                 partition and offset, and pass for those that were there before"
            );
            return;
        }
        // Offsets may have gaps (compaction, transaction markers), which are no loss.
        match client.fetch_watermarks(topic, partition, QUESTION) {
            Ok((begin, _)) if begin <= expected => {}
            Err(error) => tracing::warn!(
                %topic, partition, expected, found, %error,
                "offsets are missing, and the broker does not say whether their records were deleted"
            ),
            Ok(_) => {
                let missing = found - expected;
                // It is over, and not made good: said until somebody who can has started the host again.
                self.troubles.error(
                    &format!("{}, partition {partition}", self.part),
                    format!(
                        "topic {topic}, partition {partition}: {missing} record(s) from offset {expected} on were deleted \
                         (retention, or a deletion by hand) before they were read in group {}; it was read on from \
                         offset {found}. What they said is lost to this host: keep records for longer than the longest \
                         outage, and have them sent again if you can",
                        self.source.group
                    ),
                );
            }
        }
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> Record {
        Record {
            position: Position {
                topic: self.source.topic.clone(),
                incarnation: self.incarnation(),
                partition: message.partition(),
                offset: message.offset(),
            },
            timestamp: message
                .timestamp()
                .to_millis()
                .and_then(|millis| u64::try_from(millis).ok())
                .unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            attributes: headers::read(message.headers()),
        }
    }

    fn stored(&self, partition: i32) -> rusqlite::Result<Option<i64>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.offset(&self.source.consumer, self.source.topic_row, partition)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<i32, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up partitions: where each is to start goes into the list. That is said even where none is new, for
    /// it shows that the group has agreed anew on who reads what.
    fn assigned(&self, list: &mut TopicPartitionList) {
        let Some(client) = self.client.get().and_then(Weak::upgrade) else {
            return;
        };
        tracing::info!(
            group = %self.source.group, topic = %self.source.topic, partitions = ?partitions(list),
            "partitions assigned"
        );
        self.is_new.store(true, Ordering::Relaxed);
        for mut element in list.elements() {
            let partition = element.partition();
            let reading = match self.stored(partition) {
                Ok(Some(offset)) if element.set_offset(Offset::Offset(offset)).is_ok() => {
                    Reading::Awaits {
                        stored: Some(offset),
                    }
                }
                Ok(_) => Reading::Awaits { stored: None },
                Err(error) => {
                    tracing::error!(topic = %self.source.topic, partition, %error, "the store can't be read; it is tried again");
                    Reading::Begins {
                        at: Instant::now() + RETRY,
                        fallback: None,
                    }
                }
            };
            let Some(mut queue) = client.split_partition_queue(&self.source.topic, partition)
            else {
                continue;
            };
            let bell = self.bell.clone();
            queue.set_nonempty_callback(move || bell.ring());
            self.places().insert(
                partition,
                Place {
                    queue,
                    reading,
                    committed: None,
                },
            );
        }
    }

    /// Lets partitions go. What is under way may still settle.
    fn revoked(&self, list: &TopicPartitionList) {
        let mut gone = partitions(list);
        gone.retain(|partition| self.places().remove(partition).is_some());
        self.say_revoked(&gone);
    }

    fn say_revoked(&self, partitions: &[i32]) {
        if !partitions.is_empty() {
            tracing::info!(
                group = %self.source.group, topic = %self.source.topic, ?partitions,
                "partitions revoked"
            );
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    let elements = list.elements();
    elements.iter().map(|element| element.partition()).collect()
}

impl ClientContext for Assignment {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        client::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", topic = %self.source.topic, %error, reason, "consumer error");
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        match error.rdkafka_error_code() {
            // Whether brokers answer is watched elsewhere, and said once.
            Some(RDKafkaErrorCode::AllBrokersDown) => self.topics.doubt(),
            // So is whether they let this host in.
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => self.topics.doubt(),
            None
            | Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::PartitionEOF,
            ) => {}
            // Said where the client is made anew.
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId) => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                // If it comes back, it may be another one.
                self.is_new.store(true, Ordering::Relaxed);
                self.topics.doubt_topic(&self.source.topic);
            }
            Some(RDKafkaErrorCode::PollExceeded) => tracing::warn!(
                topic = %self.source.topic, group = %self.source.group,
                "the rules took longer than max.poll.interval.ms for a record; the partitions are read again when they are done"
            ),
            Some(_) => self.troubles.warn(
                &self.part,
                format!(
                    "topic {} can't be read in group {}: {}",
                    self.source.topic,
                    self.source.group,
                    brief(reason)
                ),
            ),
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

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.is_committing.store(false, Ordering::Relaxed);
        if let Err(error) = result {
            self.not_committed();
            tracing::debug!(topic = %self.source.topic, %error, "offsets were not committed to Kafka");
        }
    }
}
