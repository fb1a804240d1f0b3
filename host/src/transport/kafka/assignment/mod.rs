//! The partitions that a consumer has been given, and where each is read.
//!
//! A partition starts at the offset in the store; without one, where the group was on Kafka (a Java
//! service that we replace leaves it there), else at its beginning. The queue of a partition is split off within
//! the rebalance itself: a moment later its first records would already be in the common queue, and
//! a slow partition would hold up the others.

mod callbacks;
mod gaps;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use saga_core::record::{Position, Record};
use tokio_util::sync::CancellationToken;

use super::headers;
use super::settings::KafkaSettings;
use super::trouble::Troubles;
use super::watch::Watched;
use crate::signal::Signal;
use crate::store::Reader;
use crate::store::topic_ids::{KnownTopic, known_topic};
use crate::transport::{Delivery, Session, Sink, Source, WINDOW};

/// Records of one partition that are delivered before the next has its turn.
const PAGE: usize = 256;

/// Wait before a partition is read anew: the store has just failed.
const RETRY: Duration = Duration::from_millis(500);

/// Questions that may be lost on a busy machine.
const UNANSWERED: u32 = 2;

/// Wait before brokers are asked again for what they did not answer.
const LATER: Duration = Duration::from_secs(60);

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
    /// Before then, brokers are not asked which topic it is.
    ask_from: Mutex<Instant>,
    /// How often in a row they did not answer that, though they answered others.
    unanswered: AtomicU32,
    /// Whether the client is being closed: what it still complains of is of no interest.
    is_over: AtomicBool,
    /// Whether Kafka said that this user may not read. It says so once.
    lacks_rights: AtomicBool,
    /// Whether the group has agreed anew on who reads what, and nobody has looked yet who is in it.
    is_new: AtomicBool,
    /// Rings when there may be something to do.
    bell: Signal,
    topics: Arc<Watched>,
    troubles: Arc<Troubles>,
    settings: KafkaSettings,
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
        settings: KafkaSettings,
    ) -> rusqlite::Result<Self> {
        let part = format!("consumer of {} in {}", source.topic, source.group);
        let known = known_topic(reader.connection(), &source.consumer, source.topic_row)?;
        Ok(Self {
            known: Mutex::new(known),
            source,
            reader: Mutex::new(reader),
            places: Mutex::default(),
            client: OnceLock::new(),
            ask_from: Mutex::new(Instant::now()),
            unanswered: AtomicU32::new(0),
            is_over: AtomicBool::new(false),
            lacks_rights: AtomicBool::new(false),
            is_new: AtomicBool::new(false),
            bell: Signal::default(),
            topics,
            troubles,
            settings,
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

    /// Whether brokers are to be asked which topic it is.
    pub(super) fn may_ask(&self) -> bool {
        Instant::now() >= *self.ask_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brokers have said which topic it is.
    pub(super) fn is_answered(&self) {
        self.unanswered.store(0, Ordering::Relaxed);
    }

    /// Brokers have not said which topic it is, though they answer others; says whether that is no chance any more.
    pub(super) fn is_unanswered_again(&self) -> bool {
        self.unanswered.fetch_add(1, Ordering::Relaxed) >= UNANSWERED
    }

    /// Brokers don't answer that for now, though they answer.
    pub(super) fn ask_later(&self) {
        *self.ask_from.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + LATER;
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

    /// The user may read, whatever was said before.
    fn has_rights(&self) {
        if self.lacks_rights.swap(false, Ordering::Relaxed) {
            self.troubles.clear(&self.rights_part());
        }
    }

    fn rights_part(&self) -> String {
        format!("{}, rights", self.part)
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

    /// What stood in the way of reading is of no interest any more.
    pub(super) fn forget_troubles(&self) {
        self.troubles.forget(&self.part);
        self.troubles.forget(&self.rights_part());
    }

    /// Lets go of all partitions.
    pub(super) fn release(&self) {
        let places = std::mem::take(&mut *self.places());
        self.say_revoked(&places.into_keys().collect::<Vec<_>>());
    }

    /// The partitions that are read now, each with the first record that came of it, if one did.
    pub(super) fn partitions(&self) -> Vec<(i32, Option<i64>)> {
        let first = |place: &Place| match &place.reading {
            Reading::Runs { start, .. } => Some(*start),
            Reading::Begins { fallback, .. } => *fallback,
            Reading::Awaits { stored } => *stored,
        };
        let places = self.places();
        let places = places.iter();
        places.map(|(at, place)| (*at, first(place))).collect()
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
        offsets
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
        self.has_rights();
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
        if list.count() > 0 {
            self.has_rights();
        }
        for mut element in list.elements() {
            let partition = element.partition();
            let reading = match self.stored(partition) {
                Ok(Some(offset)) if element.set_offset(Offset::Offset(offset)).is_ok() => {
                    Reading::Awaits {
                        stored: Some(offset),
                    }
                }
                Ok(_) => {
                    // It was not there when the others were written down.
                    if self.lock_known().is_some() {
                        // Only a partition's own number could be refused, and that came from the client.
                        let _ = element.set_offset(Offset::Beginning);
                    }
                    Reading::Awaits { stored: None }
                }
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
