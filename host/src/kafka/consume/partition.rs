//! The assigned partitions of a consumer: where each starts, and what of it Kafka is told.
//!
//! A partition starts at the offset in the store; without one, at the group's offset on Kafka
//! (left, for example, by a Java service that this host replaces); without that, at its beginning.
//! The queue of a partition is split off before its assignment is answered. Later, its first
//! records would already be in the common queue, and a slow partition would hold up the others.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::{Offset, TopicPartitionList};

use super::Consumer;
use super::context::{ClientEvents, follow_assignment};
use super::delivery::RETRY;
use super::position::ClientPosition;
use super::reading::Reading;
use super::stall::Stall;
use crate::kafka::health::conditions::{Aspect, Subject};
use crate::store::{StoreResult, StoredPlace};

pub(super) struct Partition {
    pub(super) queue: PartitionQueue<ClientEvents>,
    pub(super) state: PartitionState,
}

/// The state of an assigned partition; separate from the queue, from which the current record is
/// borrowed.
pub(super) struct PartitionState {
    pub(super) reading: Reading,
    /// The epoch that its offsets carry; None while the partition can't be claimed in the store.
    pub(super) epoch: Option<i64>,
    /// The name that an operator's `saga seek --as-new` gave the log.
    pub(super) log: Option<String>,
    pub(super) stall: Stall,
    pub(super) position: ClientPosition,
    /// True if a replaced log was reported.
    pub(super) is_halt_reported: bool,
    /// Since when seeks of the wanted offset fail.
    pub(super) unsought: Option<Instant>,
    /// Time of the last look-up of missing offsets.
    pub(super) looked: Option<Instant>,
}

impl PartitionState {
    /// A partition that has not begun.
    pub(super) fn new() -> Self {
        Self {
            reading: Reading::begins_after(Duration::ZERO, None),
            epoch: None,
            log: None,
            stall: Stall::new(),
            position: ClientPosition::default(),
            is_halt_reported: false,
            unsought: None,
            looked: None,
        }
    }

    /// True if no record is missing as far as is known. A halted partition awaits none.
    pub(super) fn is_fine(&self) -> bool {
        self.stall.is_fine() || matches!(self.reading, Reading::Halted { .. })
    }
}

impl Consumer {
    pub(super) fn stored(&self, partition: i32) -> StoreResult<Option<StoredPlace>> {
        let (name, row) = (&self.source.consumer, self.source.topic_row);
        self.reader.place(name, row, partition)
    }

    /// Begins the reading of a partition at the stored offset, or else at `fallback`; later, if the
    /// store can't be read. Returns the offset to fetch from; without one, the client starts at the
    /// group's.
    pub(super) fn begin(
        &self,
        partition: i32,
        fallback: Option<i64>,
        state: &mut PartitionState,
    ) -> Option<Offset> {
        let place = match self.claimed(partition, state) {
            // Kafka will tell this host that the partition was revoked.
            Ok(Some(place)) if state.epoch != Some(place.epoch) => {
                state.reading = Reading::begins_after(RETRY, fallback);
                return None;
            }
            Ok(place) => place,
            Err(error) => {
                let condition = self.parts.store.condition();
                condition.report("where to read on can't be read from the store", &error);
                state.reading = Reading::begins_after(RETRY, fallback);
                return None;
            }
        };
        let next = place.as_ref().map(|place| place.next).or(fallback);
        let last = place.as_ref().and_then(|place| place.last);
        state.reading = Reading::Awaits { next, last };
        state.log = place.and_then(|place| place.log);
        match next {
            // The last record is read again first.
            Some(next) => Some(Offset::Offset(next - i64::from(last.is_some()))),
            // The partition was added later, or belongs to a recreated topic.
            None => self.identity.is_known().then_some(Offset::Beginning),
        }
    }

    /// The stored place of a partition, which is claimed for this host once in each assignment.
    fn claimed(
        &self,
        partition: i32,
        state: &mut PartitionState,
    ) -> StoreResult<Option<StoredPlace>> {
        if state.epoch.is_none() {
            let (name, row) = (&self.source.consumer, self.source.topic_row);
            state.epoch = Some(self.parts.store.claim_partition(name, row, partition)?);
        }
        self.stored(partition)
    }

    /// Takes assigned partitions. Logs the assignment even if no partition is new, because that
    /// shows the rebalance.
    pub(super) fn assigned(&mut self, list: &TopicPartitionList) {
        let (client, topic) = (self.client.clone(), self.source.topic.clone());
        tracing::info!(
            group = %self.source.group, %topic, partitions = ?numbers(list), "partitions assigned"
        );
        self.has_rebalanced = true;
        self.identity.doubt();
        if list.count() > 0 {
            self.rights_granted();
        }
        for mut element in list.elements() {
            let number = element.partition();
            let mut state = PartitionState::new();
            if let Some(from) = self.begin(number, None, &mut state) {
                // Only an invalid offset is refused.
                let _ = element.set_offset(from);
            }
            let Some(mut queue) = client.split_partition_queue(&topic, number) else {
                tracing::error!(%topic, partition = number, "the partition has no queue, and is not read");
                continue;
            };
            let notify = client.context().notify.clone();
            queue.set_nonempty_callback(move || notify.notify());
            self.partitions.insert(number, Partition { queue, state });
        }
        if let Err(error) = follow_assignment(&client, list) {
            tracing::error!(%topic, %error, "Kafka's assignment of partitions could not be followed");
        }
    }

    /// Drops revoked partitions. Records in flight may still settle.
    pub(super) fn revoked(&mut self, list: &TopicPartitionList) {
        let mut gone = numbers(list);
        gone.retain(|number| self.partitions.remove(number).is_some());
        self.report_revoked(&gone);
    }

    /// Drops all partitions: their queues hold the client.
    pub(super) fn release(&mut self) {
        let partitions = std::mem::take(&mut self.partitions);
        self.report_revoked(&partitions.into_keys().collect::<Vec<_>>());
        self.parts.extents.note(&self.source, Vec::new());
    }

    fn report_revoked(&self, partitions: &[i32]) {
        for number in partitions {
            for aspect in [Aspect::Reading, Aspect::Log] {
                let subject = Subject::of(&self.source, Some(*number), aspect);
                self.parts.conditions.forget(&subject);
            }
        }
        if !partitions.is_empty() {
            let (group, topic) = (&self.source.group, &self.source.topic);
            tracing::info!(%group, %topic, ?partitions, "partitions revoked");
        }
    }

    /// The stored offsets. During an outage there are none to commit: they would arrive after it,
    /// from a member id that the group no longer knows.
    pub(super) fn offsets_to_commit(&self) -> TopicPartitionList {
        let mut offsets = TopicPartitionList::new();
        if self.parts.topics.is_unreachable() {
            return offsets;
        }
        for (number, Partition { state, .. }) in &self.partitions {
            let Ok(Some(stored)) = self.stored(*number) else {
                continue;
            };
            let next = Offset::Offset(state.settled(stored.next));
            // Only an invalid partition number is refused, and this one came from the client.
            let _ = offsets.add_partition_offset(&self.source.topic, *number, next);
        }
        offsets
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    let elements = list.elements();
    elements.iter().map(|element| element.partition()).collect()
}
