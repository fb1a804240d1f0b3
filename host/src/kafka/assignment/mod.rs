//! The partitions that a consumer has been given, and where each is read.
//!
//! A partition starts at the offset in the store; without one, where the group was on Kafka (a Java
//! service that we replace leaves it there), else at its beginning. The queue of a partition is split off within
//! the rebalance itself: a moment later its first records would already be in the common queue, and
//! a slow partition would hold up the others.
//!
//! # Layout
//!
//! - this file: which partitions there are, and what is known of them
//! - `place`: where one is read, and what an offset means for that
//! - `delivery`: records from the queues to the sink
//! - `earlier`: records that were read before their topic was known to be another one
//! - `same_log`, `print`: whether the log of a partition is the one that was read, and by what a record is known again
//! - `quiet`: partitions of which nothing comes
//! - `reached`: how far the client has come, markers and open transactions included
//! - `callbacks`, `gaps`: what librdkafka calls; what is said where offsets are missing

mod callbacks;
mod delivery;
mod earlier;
mod gaps;
mod place;
mod print;
mod quiet;
pub(super) mod reached;
mod same_log;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::{Offset, TopicPartitionList};

use self::earlier::Earlier;
use self::place::{Reading, Start};
use self::quiet::Quiet;
use self::reached::Reached;
use self::same_log::SameLog;
use super::Parts;
use super::missed::MissedRecords;
use super::recognition::{Look, Recognition};
use super::settings::KafkaSettings;
use super::trouble::Troubles;
use super::watch::Watched;
use crate::base::signal::Signal;
use crate::store::{Answer, Reader, Store, StoredPlace};
use crate::transport::Source;

/// Wait before a partition is read anew: the store has just failed.
const RETRY: Duration = Duration::from_millis(500);

/// Longest time that a look at a partition's beginning may take.
const QUESTION: Duration = Duration::from_millis(300);

/// No partition.
const NOBODY: i32 = -1;

/// The assigned partitions of one consumer.
pub(super) struct Assignment {
    source: Arc<Source>,
    store: Arc<Store>,
    reader: Mutex<Reader>,
    places: Mutex<BTreeMap<i32, Place>>,
    client: OnceLock<Weak<BaseConsumer<Self>>>,
    recognition: Mutex<Recognition>,
    /// What the client before this one has read, by partition, until the partition is assigned.
    earlier: Mutex<BTreeMap<i32, Earlier>>,
    /// Whether the client has met another topic of this name: it is of no more use.
    is_outdated: AtomicBool,
    /// The partition that has the first turn in the next round.
    first: AtomicI32,
    /// The partition whose queue is being polled: what is complained of then is about it.
    polled: AtomicI32,
    /// Whether the client is being closed: what it still complains of is of no interest.
    is_over: AtomicBool,
    /// Whether Kafka said that this user may not read. It says so once.
    lacks_rights: AtomicBool,
    /// Whether the group has agreed anew on who reads what, and nobody has looked yet who is in it.
    is_new: AtomicBool,
    /// Whether brokers could not be reached: what they have now may be another log.
    is_log_doubtful: AtomicBool,
    /// Rings when there may be something to do.
    bell: Signal,
    /// How often the client itself has rung it: not for a record, but for an event, such as its statistics.
    rung_by_client: AtomicU64,
    /// Whether such an event was an error or a rebalance: what comes after it may be of another topic.
    is_disturbed: AtomicBool,
    topics: Arc<Watched>,
    missed: Arc<MissedRecords>,
    troubles: Arc<Troubles>,
    settings: KafkaSettings,
    part: String,
}

/// An assigned partition.
struct Place {
    queue: PartitionQueue<Assignment>,
    reading: Reading,
    earlier: Earlier,
    log: SameLog,
    quiet: Quiet,
    reached: Reached,
    /// Whether it was said that it stands before an open transaction.
    is_before_transaction: bool,
    /// Whether it was said that it can't be read.
    is_failing: bool,
    /// Since when it can't be fetched from the offset that is wanted.
    unsought: Option<Instant>,
    /// What Kafka has taken last.
    committed: Option<i64>,
}

impl Assignment {
    /// No partitions yet.
    ///
    /// # Errors
    /// When the store can't be read.
    pub(super) fn new(parts: &Parts, source: Arc<Source>) -> Answer<Self> {
        let reader = parts.store.reader()?;
        let known = reader.known_topic(&source.consumer, source.topic_row)?;
        Ok(Self {
            part: format!("consumer of {} in {}", source.topic, source.group),
            source,
            store: parts.store.clone(),
            reader: Mutex::new(reader),
            places: Mutex::default(),
            client: OnceLock::new(),
            recognition: Mutex::new(Recognition::new(known)),
            earlier: Mutex::default(),
            is_outdated: AtomicBool::new(false),
            first: AtomicI32::new(0),
            polled: AtomicI32::new(NOBODY),
            is_over: AtomicBool::new(false),
            lacks_rights: AtomicBool::new(false),
            is_new: AtomicBool::new(false),
            is_log_doubtful: AtomicBool::new(false),
            bell: Signal::default(),
            rung_by_client: AtomicU64::new(0),
            is_disturbed: AtomicBool::new(false),
            topics: parts.topics.clone(),
            missed: parts.missed.clone(),
            troubles: parts.troubles.clone(),
            settings: parts.settings.clone(),
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

    /// The client has an event, which is no record.
    pub(super) fn ring_for_event(&self) {
        self.bell.ring();
        self.rung_by_client.fetch_add(1, Ordering::Release);
    }

    /// Whether the client has had an error or a rebalance since the last look at the topic.
    pub(super) fn is_disturbed(&self) -> &AtomicBool {
        &self.is_disturbed
    }

    /// How often it rang for anything else, and how often in all. It is never told too few.
    pub(super) fn rings(&self) -> (u64, u64) {
        let by_client = self.rung_by_client.load(Ordering::Acquire);
        let rings = self.bell.rings();
        (rings.saturating_sub(by_client), rings)
    }

    /// The name under which its troubles are kept.
    pub(super) fn part(&self) -> &str {
        &self.part
    }

    /// Whether the group has agreed anew on who reads what, and nobody has looked yet who is in it.
    pub(super) fn is_new(&self) -> bool {
        self.is_new.load(Ordering::Relaxed)
    }

    /// Nobody else is in it.
    pub(super) fn confirm(&self) {
        self.is_new.store(false, Ordering::Relaxed);
    }

    /// Brokers can't be reached: the logs that they have afterwards may be other ones.
    pub(super) fn doubt_logs(&self) {
        self.is_log_doubtful.store(true, Ordering::Relaxed);
    }

    /// What is known of the topic.
    pub(super) fn recognition(&self) -> MutexGuard<'_, Recognition> {
        self.recognition
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to look which topic it is. `rang` says whether the bell has since the last look.
    pub(super) fn look_is_due(&self, rang: bool) -> bool {
        let places = self.places();
        // They may be of another topic; no more of them can be remembered.
        if places.values().any(|place| place.earlier.is_full()) {
            return true;
        }
        let is_awaited = |place: &Place| place.earlier.has_recent() || place.log.is_suspect();
        let flows = rang || places.values().any(is_awaited);
        self.recognition().is_due(flows)
    }

    /// It was looked which topic it is. What was delivered before was of that one, or can't be told.
    pub(super) fn looked(&self, look: Look) {
        self.recognition().looked(look);
        if matches!(look, Look::Same | Look::NeverTold) {
            let mut places = self.places();
            places
                .values_mut()
                .for_each(|place| place.earlier.is_same());
        }
    }

    /// It is another topic: its partitions start where the store now says. `before` is what set apart positions until then.
    pub(super) fn begin_anew(&self, before: Option<Arc<str>>) {
        // librdkafka holds what it knows of the first one, and its leaders, against the new one.
        self.is_outdated.store(true, Ordering::Relaxed);
        let mut unassigned = self.earlier();
        (unassigned.values_mut()).for_each(|earlier| earlier.is_another(before.clone()));
        drop(unassigned);
        for (partition, place) in self.places().iter_mut() {
            place.earlier.is_another(before.clone());
            place.log = SameLog::default();
            self.troubles.forget(&self.log_part(*partition));
            place.reading = Reading::Begins {
                at: Instant::now(),
                fallback: None,
            };
        }
    }

    /// Whether the client has met another topic of this name, and is of no more use.
    pub(super) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Relaxed)
    }

    /// Tells the next client's assignment what was read by this one, which was told to [`forget`](Self::forget).
    pub(super) fn hand_on(&self, next: &Self) {
        *next.earlier() = std::mem::take(&mut *self.earlier());
    }

    fn earlier(&self) -> MutexGuard<'_, BTreeMap<i32, Earlier>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lacks_rights(&self) -> bool {
        self.lacks_rights.load(Ordering::Relaxed)
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

    /// The name under which it is kept that a partition can't be read.
    fn part_of(&self, partition: i32) -> String {
        format!("{}, reading partition {partition}", self.part)
    }

    /// Lets go of all partitions, for their queues hold the client, and says no more of troubles.
    pub(super) fn forget(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        for (partition, place) in self.places().iter_mut() {
            self.earlier()
                .insert(*partition, std::mem::take(&mut place.earlier));
        }
        self.release();
    }

    /// What stood in the way of reading, or was lost by it, is of no interest any more.
    pub(super) fn forget_troubles(&self) {
        self.troubles.forget_all_of(&self.part);
    }

    /// Troubles of which nothing was seen for so long are over, unless there may be records that don't come.
    pub(super) fn clear_troubles_after(&self, silence: Duration) {
        if !self.is_all_read() {
            return;
        }
        self.troubles.clear_after(&self.part, silence);
        for (partition, place) in self.places().iter() {
            if place.is_failing {
                self.troubles
                    .clear_after(&self.part_of(*partition), silence);
            }
        }
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

    /// How far the store is, where Kafka has not taken that yet.
    pub(super) fn offsets_to_commit(&self) -> TopicPartitionList {
        let mut offsets = TopicPartitionList::new();
        for (partition, place) in self.places().iter() {
            let Ok(Some(stored)) = self.stored(*partition) else {
                continue;
            };
            let next = place.settled(stored.next);
            if place.committed != Some(next) {
                // Only a partition's own number could be refused, and that came from the client.
                let _ = offsets.add_partition_offset(
                    &self.source.topic,
                    *partition,
                    Offset::Offset(next),
                );
            }
        }
        offsets
    }

    /// Kafka has taken these offsets, but for those with an error.
    fn committed(&self, offsets: &TopicPartitionList) {
        let mut places = self.places();
        for element in offsets.elements() {
            if element.error().is_ok()
                && let Offset::Offset(offset) = element.offset()
                && let Some(place) = places.get_mut(&element.partition())
            {
                place.committed = Some(offset);
            }
        }
        drop(places);
        self.bell.ring();
    }

    fn stored(&self, partition: i32) -> Answer<Option<StoredPlace>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.place(&self.source.consumer, self.source.topic_row, partition)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<i32, Place>> {
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
        self.recognition().doubt();
        if list.count() > 0 {
            self.has_rights();
        }
        for mut element in list.elements() {
            let partition = element.partition();
            let mut log = SameLog::default();
            let reading = match self.stored(partition) {
                Ok(stored) => {
                    log = SameLog::of(stored.as_ref());
                    let next = stored.map(|place| place.next);
                    let start = Start::of(next, None, self.recognition().is_known());
                    // Only a partition's own number could be refused, and that came from the client.
                    let _ = match start {
                        Start::At(next) => element.set_offset(Offset::Offset(log.fetch_from(next))),
                        Start::Beginning => element.set_offset(Offset::Beginning),
                        Start::Group => Ok(()),
                    };
                    start.awaits()
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
            let earlier = self.earlier().remove(&partition).unwrap_or_default();
            self.places().insert(
                partition,
                Place {
                    queue,
                    reading,
                    earlier,
                    log,
                    quiet: Quiet::new(),
                    reached: Reached::default(),
                    is_before_transaction: false,
                    is_failing: false,
                    unsought: None,
                    committed: None,
                },
            );
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    let elements = list.elements();
    elements.iter().map(|element| element.partition()).collect()
}
