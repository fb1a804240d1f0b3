//! The relay: publishes the records of the outbox, in order.
//!
//! Each partition of the outbox is a lane. Many records are in flight at once; those acknowledged
//! without a gap are the lane's progress, kept in the store. After a crash, or if the producer
//! ends, publishing starts again from the progress, so a record may be published twice, with the
//! same `ce_id`, but is never skipped. A record that Kafka refuses for good blocks its lane, with a
//! report, until an operator acts: skipping it would lose an event, and sending later records first
//! would change the order (invariants 3 and 4).

mod lane;
mod reports;

use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use saga_core::commit::Offset;
use tokio_util::sync::CancellationToken;

use self::lane::{RelayLane, UNREADABLE};
use self::reports::{Reports, refusal};
use super::health::advice::is_unknown_topic;
use super::health::condition::producer_fails;
use super::health::conditions::Subject;
use super::settings::describe;
use super::{OUTBOX_PARTITIONS, Parts, PublishedTopic, client, pause};
pub(crate) use crate::store::RELAY;
use crate::store::duties::{Duty, relay_of};
use crate::store::{Reader, StoreResult};

/// Interval at which progress is stored. More often would cost turns commits; records repeated
/// after a crash are deduplicated by their ids.
const PROGRESS: Duration = Duration::from_millis(200);

/// Longest sleep. Bounds the delay after a missed notification, and after `stop`.
const PATIENCE: Duration = Duration::from_millis(200);

/// Longest wait for the report of the record that ended a producer; it arrives just after the end.
const LAST_REPORT: Duration = Duration::from_millis(500);

/// Time to publish events committed before `stop`. The rest is published after the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// The relay, run by its own thread.
pub(crate) struct Relay {
    parts: Parts,
    reader: Reader,
    /// The published topics, in the order in which they were added.
    topics: Vec<Outgoing>,
    /// Append-only: reports refer to a lane by its index.
    lanes: Vec<RelayLane>,
    /// The progress of the lanes that is stored.
    written: Vec<Offset>,
}

/// A published topic.
struct Outgoing {
    topic: PublishedTopic,
    /// One host publishes it for all.
    duty: Duty,
    /// True if it has its lanes.
    is_taken_up: bool,
}

/// The way in which a producer ended.
enum RelayEnd {
    /// After `stop`: everything is published, or the time is over.
    Stopped,
    /// The producer must be rebuilt.
    Broken,
    /// Another host publishes one of the topics from now on.
    Left,
    /// The producer can't be used any more, for this reason.
    Fatal(String),
}

impl Relay {
    pub(crate) fn new(parts: Parts) -> StoreResult<Self> {
        let reader = parts.store.reader()?;
        Ok(Self {
            parts,
            reader,
            topics: Vec::new(),
            lanes: Vec::new(),
            written: Vec::new(),
        })
    }

    pub(crate) fn run(mut self, stop: &CancellationToken) {
        loop {
            let end = match connect(&self.parts) {
                Ok(producer) => {
                    let end = self.publish(&producer, stop);
                    client::close(producer);
                    end
                }
                Err(error) => RelayEnd::Fatal(describe(&error)),
            };
            match end {
                RelayEnd::Stopped => return,
                RelayEnd::Broken => {}
                RelayEnd::Left => {
                    self.lanes.clear();
                    (self.topics.iter_mut()).for_each(|topic| topic.is_taken_up = false);
                }
                RelayEnd::Fatal(reason) => {
                    self.parts.conditions.report(producer_fails(&reason));
                    if !pause(stop, self.parts.retry) {
                        return;
                    }
                }
            }
            self.lanes.iter_mut().for_each(RelayLane::start_again);
        }
    }

    /// Publishes with this producer until it ends, or until `stop`.
    fn publish(
        &mut self,
        producer: &ThreadedProducer<Reports>,
        stop: &CancellationToken,
    ) -> RelayEnd {
        let notify = self.parts.store.published().clone();
        let mut written = Instant::now();
        let (mut drain_until, mut ended) = (None, None);
        loop {
            let seen = notify.count();
            let is_stopping = stop.is_cancelled();
            if self.has_left_one() {
                return RelayEnd::Left;
            }
            if self.collect(producer) || self.is_stale() {
                return RelayEnd::Broken;
            }
            if let Some((_, reason)) = producer.client().fatal_error() {
                // The report of the refused record arrives just after the end.
                let until = *ended.get_or_insert_with(|| Instant::now() + LAST_REPORT);
                if Instant::now() >= until {
                    return RelayEnd::Fatal(reason);
                }
                notify.wait(seen, LAST_REPORT);
                continue;
            }
            // The store reports failed reads; they are tried again.
            let _ = self.take_up_topics();
            let any = self.send(producer);
            if written.elapsed() >= PROGRESS {
                written = Instant::now();
                self.write_progress();
            }
            if is_stopping {
                let until = *drain_until.get_or_insert_with(|| Instant::now() + DRAIN);
                let is_away = self.parts.topics.is_unreachable() || Instant::now() >= until;
                if is_away || self.is_drained() {
                    self.write_progress();
                    self.report_rest();
                    return RelayEnd::Stopped;
                }
            }
            if !any {
                if self.is_drained() {
                    self.parts.conditions.clear(&Subject::Producer);
                }
                notify.wait(seen, PATIENCE);
            }
        }
    }

    /// True if the producer keeps records for too long. It may hear no broker any more, or know a
    /// topic that was recreated: librdkafka keeps the leaders and epochs of the first topic. And a
    /// record carries the time at which it was handed to the client: if it waits there for longer
    /// than its topic's retention, it is deleted as soon as it is written.
    fn is_stale(&mut self) -> bool {
        let is_unreachable = self.parts.topics.is_unreachable();
        let mut lanes = self.lanes.iter_mut();
        lanes.any(|lane| lane.is_stale(is_unreachable))
    }

    /// Makes the lanes of topics that were added, or that are left to this host.
    fn take_up_topics(&mut self) -> StoreResult<()> {
        for topic in self.parts.published_after(self.topics.len()) {
            self.topics.push(Outgoing {
                duty: (self.parts.store.duties()).offer(&relay_of(&topic.0)),
                topic,
                is_taken_up: false,
            });
        }
        for outgoing in &mut self.topics {
            if outgoing.is_taken_up || !outgoing.duty.is_mine() {
                continue;
            }
            let (name, row) = &outgoing.topic;
            // The store may have served an embedded log with more partitions.
            let partitions = self.reader.partitions(*row);
            let partitions = partitions.inspect_err(|error| self.reader.report(UNREADABLE, error));
            let partitions = partitions?.max(OUTBOX_PARTITIONS);
            let lane = |number| {
                let topic = (*row, name.clone());
                RelayLane::new(&self.parts, &self.reader, topic, number)
            };
            let lanes: StoreResult<Vec<_>> = (0..partitions).map(lane).collect();
            self.lanes.extend(lanes?);
            outgoing.is_taken_up = true;
        }
        Ok(())
    }

    /// True if another host publishes a topic by now that has its lanes here.
    fn has_left_one(&self) -> bool {
        let mut topics = self.topics.iter();
        topics.any(|topic| topic.is_taken_up && !topic.duty.is_mine())
    }

    /// Sends records of all lanes whose topics exist; true if there were any. While no broker
    /// answers, they wait in the store.
    fn send(&mut self, producer: &ThreadedProducer<Reports>) -> bool {
        let mut any = false;
        if self.parts.topics.is_unreachable() {
            return any;
        }
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if self.parts.topics.exists(lane.topic()) {
                any |= lane.send(index, &self.parts, &self.reader, producer);
            }
        }
        any
    }

    /// Processes Kafka's reports; true if a record is refused.
    fn collect(&mut self, producer: &ThreadedProducer<Reports>) -> bool {
        let reports = producer.context().take();
        if reports.iter().any(|report| report.failure.is_none()) {
            self.parts.conditions.clear(&Subject::Producer);
        }
        for report in reports.iter().filter(|report| report.failure.is_none()) {
            if let Some(lane) = self.lanes.get_mut(report.lane) {
                lane.delivered(&self.parts, report.offset);
            }
        }
        let refusal = refusal(&reports);
        if let Some((lane, offset, code)) = refusal
            && let Some(lane) = self.lanes.get_mut(lane)
        {
            lane.block(&self.parts, offset, code);
            if is_unknown_topic(code) {
                self.parts.topics.doubt_topic(lane.topic());
            }
        }
        refusal.is_some()
    }

    /// True if nothing is left to publish now.
    fn is_drained(&self) -> bool {
        let is_drained =
            |lane: &RelayLane| lane.is_drained() || self.parts.topics.is_failing(lane.topic());
        let is_taken_up = |topic: &Outgoing| topic.is_taken_up || !topic.duty.is_mine();
        let has_all = (self.parts.published_after(self.topics.len())).is_empty()
            && self.topics.iter().all(is_taken_up);
        has_all && self.lanes.iter().all(is_drained)
    }

    fn report_rest(&self) {
        for lane in self.lanes.iter().filter(|lane| !lane.is_drained()) {
            tracing::warn!(
                topic = %lane.topic(),
                "not all events were published before the end; they are kept and go out at the next start"
            );
        }
    }

    /// Stores new progress. The store reports a failed write; publishing goes on, because records
    /// repeated after a crash are deduplicated by their ids.
    fn write_progress(&mut self) {
        let progress: Vec<_> = self.lanes.iter().map(RelayLane::progress).collect();
        if progress == self.written {
            return;
        }
        let result = (self.parts.store).hand_in_offsets(progress.clone());
        if matches!(result.recv_timeout(DRAIN), Ok(Ok(()))) {
            self.written = progress;
        }
    }
}

fn connect(parts: &Parts) -> KafkaResult<ThreadedProducer<Reports>> {
    // The relay waits for the notification of the store's commits; Kafka's reports use the same
    // one.
    let reports = Reports::new(parts.store.published().clone(), parts.topics.clone());
    parts
        .settings
        .producer_config()
        .create_with_context(reports)
}
