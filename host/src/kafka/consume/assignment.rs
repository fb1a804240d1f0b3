//! The partitions that a consumer has been given, and what is known of each.
//!
//! A partition starts at the offset in the store; without one, where the group was on Kafka (a Java
//! service that we replace leaves it there), else at its beginning. The queue of a partition is split off within
//! the rebalance itself: a moment later its first records would already be in the common queue, and
//! a slow partition would hold up the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::{Offset, TopicPartitionList};

use super::doubtful_records::DoubtfulRecords;
use super::log_identity::LogIdentity;
use super::missed::MissedRecords;
use super::partition::{Partition, PartitionState};
use super::reading::{Reading, StartAt};
use super::topic_identity::{Look, TopicIdentity};
use crate::base::notify::Notify;
use crate::kafka::Parts;
use crate::kafka::health::condition::{Aspect, Condition, Subject};
use crate::kafka::health::conditions::Conditions;
use crate::kafka::health::supervisor::Supervisor;
use crate::store::{Answer, Reader, Store, StoredPlace};
use crate::transport::Source;

/// Wait before a partition is taken up again after the store has failed.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// Longest time that brokers have to say where a partition begins and ends.
pub(super) const QUESTION: Duration = Duration::from_millis(300);

/// No partition.
pub(super) const NO_PARTITION: i32 = -1;

/// The assigned partitions of one consumer.
pub(super) struct Assignment {
    pub(super) source: Arc<Source>,
    pub(super) store: Arc<Store>,
    reader: Mutex<Reader>,
    partitions: Mutex<BTreeMap<i32, Partition>>,
    client: OnceLock<Weak<BaseConsumer<Self>>>,
    identity: Mutex<TopicIdentity>,
    /// Doubtful records of the client before this one, by partition, until the partition is assigned.
    handed_on: Mutex<BTreeMap<i32, DoubtfulRecords>>,
    /// Whether the client has met a recreated topic: it is of no more use.
    pub(super) is_outdated: AtomicBool,
    /// The partition that has the first turn in the next round.
    pub(super) first: AtomicI32,
    /// The partition whose queue is being polled: errors that come then are about it.
    pub(super) polled: AtomicI32,
    /// Whether the client is being closed: its errors are of no interest any more.
    pub(super) is_closing: AtomicBool,
    /// Whether Kafka said that this user may not read. It says so once.
    pub(super) lacks_rights: AtomicBool,
    /// Whether there was a rebalance, after which nobody has looked yet who is in the group.
    pub(super) has_rebalanced: AtomicBool,
    /// Whether brokers could not be reached: what they have now may be another log.
    pub(super) is_log_doubtful: AtomicBool,
    /// Notified when there may be something to do.
    pub(super) notify: Notify,
    /// How often the client itself has notified: not of a record, but of an event, such as its statistics.
    events: AtomicU64,
    /// Whether such an event was an error or a rebalance: what comes after it may be of another topic.
    pub(super) is_disturbed: AtomicBool,
    pub(super) topics: Arc<Supervisor>,
    pub(super) missed: Arc<MissedRecords>,
    pub(super) conditions: Arc<Conditions>,
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
            source,
            store: parts.store.clone(),
            reader: Mutex::new(reader),
            partitions: Mutex::default(),
            client: OnceLock::new(),
            identity: Mutex::new(TopicIdentity::new(known)),
            handed_on: Mutex::default(),
            is_outdated: AtomicBool::new(false),
            first: AtomicI32::new(0),
            polled: AtomicI32::new(NO_PARTITION),
            is_closing: AtomicBool::new(false),
            lacks_rights: AtomicBool::new(false),
            has_rebalanced: AtomicBool::new(false),
            is_log_doubtful: AtomicBool::new(false),
            notify: Notify::default(),
            events: AtomicU64::new(0),
            is_disturbed: AtomicBool::new(false),
            topics: parts.topics.clone(),
            missed: parts.missed.clone(),
            conditions: parts.conditions.clone(),
        })
    }

    /// Makes the client known whose assignment this is. Before its first poll.
    pub(super) fn attach(&self, client: &Arc<BaseConsumer<Self>>) {
        // Only the first call counts, and there is only one.
        let _ = self.client.set(Arc::downgrade(client));
    }

    /// The client has an event, which is no record.
    pub(super) fn has_event(&self) {
        self.notify.notify();
        self.events.fetch_add(1, Ordering::Release);
    }

    /// Notifications of anything else, and all of them. The first are never told too few.
    pub(super) fn notifications(&self) -> (u64, u64) {
        let events = self.events.load(Ordering::Acquire);
        let all = self.notify.count();
        (all.saturating_sub(events), all)
    }

    /// What a condition of this aspect is about.
    pub(super) fn subject(&self, aspect: Aspect) -> Subject {
        Subject::of(&self.source, aspect)
    }

    pub(super) fn report(&self, aspect: Aspect, condition: Condition) {
        self.conditions.report(self.subject(aspect), condition);
    }

    /// Brokers can't be reached: the logs that they have afterwards may be other ones.
    pub(super) fn doubt_logs(&self) {
        self.is_log_doubtful.store(true, Ordering::Relaxed);
    }

    /// What is known of the topic.
    pub(super) fn identity(&self) -> MutexGuard<'_, TopicIdentity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to look up the topic's id. `has_come` says whether records, errors or a rebalance have come since the
    /// last time.
    pub(super) fn look_is_due(&self, has_come: bool) -> bool {
        let partitions = self.partitions();
        let mut states = partitions.values().map(|partition| &partition.state);
        // They may be of another topic; no more of them can be remembered.
        if states.clone().any(|state| state.doubtful.is_full()) {
            return true;
        }
        let is_awaited =
            |state: &PartitionState| state.doubtful.has_recent() || state.log.is_suspect();
        self.identity().is_due(has_come || states.any(is_awaited))
    }

    /// The topic's id was looked up. What was delivered before was of that one, or can't be told.
    pub(super) fn looked(&self, look: Look) {
        self.identity().looked(look);
        if matches!(look, Look::Same | Look::NotTold) {
            let mut partitions = self.partitions();
            partitions
                .values_mut()
                .for_each(|partition| partition.state.doubtful.is_same());
        }
    }

    /// The topic was recreated: its partitions start where the store now says. `before` is what set apart positions until then.
    pub(super) fn is_recreated(&self, before: Option<Arc<str>>) {
        // librdkafka holds what it knows of the first one, and its leaders, against the new one.
        self.is_outdated.store(true, Ordering::Relaxed);
        for doubtful in self.handed_on().values_mut() {
            doubtful.is_another(before.clone());
        }
        for (number, Partition { state, .. }) in self.partitions().iter_mut() {
            state.doubtful.is_another(before.clone());
            state.log = LogIdentity::default();
            self.conditions.forget(&self.subject(Aspect::Log(*number)));
            state.reading = Reading::begins_now(None);
        }
    }

    /// Lets go of all partitions, for their queues hold the client, and reports no more conditions.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        for (number, Partition { state, .. }) in self.partitions().iter_mut() {
            self.handed_on()
                .insert(*number, std::mem::take(&mut state.doubtful));
        }
        self.release();
    }

    /// Tells the next client's assignment what was read by this one, which was closed.
    pub(super) fn hand_on(&self, next: &Self) {
        *next.handed_on() = std::mem::take(&mut *self.handed_on());
    }

    fn handed_on(&self) -> MutexGuard<'_, BTreeMap<i32, DoubtfulRecords>> {
        self.handed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The user may read, whatever was said before.
    pub(super) fn has_rights(&self) {
        if self.lacks_rights.swap(false, Ordering::Relaxed) {
            self.conditions.clear(&self.subject(Aspect::Rights));
        }
    }

    /// The consumer is gone, and its conditions with it.
    pub(super) fn forget_conditions(&self) {
        self.conditions.forget_consumer(&self.source);
    }

    /// Conditions that were not reported for so long are over, unless there may be records that don't come.
    pub(super) fn clear_conditions_after(&self, silence: Duration) {
        let partitions = self.partitions();
        if !partitions
            .values()
            .all(|partition| partition.state.stall.is_fine())
        {
            return;
        }
        self.conditions
            .clear_after(&self.subject(Aspect::Client), silence);
        for (number, partition) in partitions.iter() {
            if partition.state.is_failing {
                self.conditions
                    .clear_after(&self.subject(Aspect::Reading(*number)), silence);
            }
        }
    }

    /// Lets go of all partitions.
    pub(super) fn release(&self) {
        let partitions = std::mem::take(&mut *self.partitions());
        self.are_revoked(&partitions.into_keys().collect::<Vec<_>>());
    }

    /// The partitions that are read now, each with the first record that came of it, if one did.
    pub(super) fn firsts(&self) -> Vec<(i32, Option<i64>)> {
        let first = |(number, partition): (&i32, &Partition)| {
            let first = match &partition.state.reading {
                Reading::Runs { start, .. } => Some(*start),
                Reading::Begins { fallback, .. } => *fallback,
                Reading::Awaits { stored } => *stored,
            };
            (*number, first)
        };
        self.partitions().iter().map(first).collect()
    }

    /// How far the store is, where Kafka has not taken that yet.
    pub(super) fn offsets_to_commit(&self) -> TopicPartitionList {
        let mut offsets = TopicPartitionList::new();
        for (number, Partition { state, .. }) in self.partitions().iter() {
            let Ok(Some(stored)) = self.stored(*number) else {
                continue;
            };
            let next = state.settled(stored.next);
            if state.committed != Some(next) {
                let next = Offset::Offset(next);
                // Only a partition's own number could be refused, and that came from the client.
                let _ = offsets.add_partition_offset(&self.source.topic, *number, next);
            }
        }
        offsets
    }

    /// Kafka has taken these offsets, but for those with an error.
    pub(super) fn committed(&self, offsets: &TopicPartitionList) {
        let mut partitions = self.partitions();
        for element in offsets.elements() {
            if element.error().is_ok()
                && let Offset::Offset(offset) = element.offset()
                && let Some(partition) = partitions.get_mut(&element.partition())
            {
                partition.state.committed = Some(offset);
            }
        }
        drop(partitions);
        self.notify.notify();
    }

    pub(super) fn stored(&self, partition: i32) -> Answer<Option<StoredPlace>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.place(&self.source.consumer, self.source.topic_row, partition)
    }

    pub(super) fn partitions(&self) -> MutexGuard<'_, BTreeMap<i32, Partition>> {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up partitions: where each is to start goes into the list. That is logged even where none is new, for
    /// it shows that there was a rebalance.
    pub(super) fn assigned(&self, list: &mut TopicPartitionList) {
        let Some(client) = self.client.get().and_then(Weak::upgrade) else {
            return;
        };
        tracing::info!(
            group = %self.source.group, topic = %self.source.topic, partitions = ?numbers(list),
            "partitions assigned"
        );
        self.has_rebalanced.store(true, Ordering::Relaxed);
        self.identity().doubt();
        if list.count() > 0 {
            self.has_rights();
        }
        for mut element in list.elements() {
            let number = element.partition();
            let mut log = LogIdentity::default();
            let reading = match self.stored(number) {
                Ok(stored) => {
                    log = LogIdentity::of(stored.as_ref());
                    let next = stored.map(|place| place.next);
                    let start = StartAt::of(next, None, self.identity().is_known());
                    if let Some(offset) = start.fetched_from(&log) {
                        // Only a partition's own number could be refused, and that came from the client.
                        let _ = element.set_offset(offset);
                    }
                    start.awaits()
                }
                Err(error) => {
                    tracing::error!(topic = %self.source.topic, partition = number, %error, "the store can't be read; it is tried again");
                    Reading::begins_later(RETRY, None)
                }
            };
            let Some(mut queue) = client.split_partition_queue(&self.source.topic, number) else {
                continue;
            };
            let notify = self.notify.clone();
            queue.set_nonempty_callback(move || notify.notify());
            let doubtful = self.handed_on().remove(&number).unwrap_or_default();
            let state = PartitionState::new(reading, doubtful, log);
            self.partitions().insert(number, Partition { queue, state });
        }
    }

    /// Lets partitions go. What is in flight may still settle.
    pub(super) fn revoked(&self, list: &TopicPartitionList) {
        let mut gone = numbers(list);
        gone.retain(|number| self.partitions().remove(number).is_some());
        self.are_revoked(&gone);
    }

    fn are_revoked(&self, partitions: &[i32]) {
        for number in partitions {
            for aspect in [Aspect::Reading, Aspect::Log, Aspect::Transaction] {
                self.conditions.forget(&self.subject(aspect(*number)));
            }
        }
        if !partitions.is_empty() {
            tracing::info!(
                group = %self.source.group, topic = %self.source.topic, ?partitions,
                "partitions revoked"
            );
        }
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    let elements = list.elements();
    elements.iter().map(|element| element.partition()).collect()
}
