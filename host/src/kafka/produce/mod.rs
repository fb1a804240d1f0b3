//! The relay: publishes what the outbox holds, in its order.
//!
//! Each partition of the outbox is a lane. Many records are in flight at once; what is acknowledged
//! without a gap is the lane's progress, kept in the store. A crash, or an end of the producer, starts
//! again from it, so a record may be published twice, with the same `ce_id`, but never passed over.
//! A record that Kafka refuses for good blocks its lane, loudly, until an operator acts: leaving it out would
//! lose an event, and sending what comes after it would change the order (invariants 3 and 4).

mod freshness;
mod lane;
mod progress;
pub(crate) mod published;
mod reports;

use std::time::{Duration, Instant};

use rdkafka::error::KafkaResult;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use tokio_util::sync::CancellationToken;

use self::freshness::Hold;
use self::lane::{Lane, Sent};
use self::progress::BeingWritten;
use self::reports::{Reports, refusal};
use crate::kafka::health::condition::{Condition, Refusing, Subject, is_unknown_topic};
use crate::kafka::health::liveness::Liveness;
use crate::kafka::settings::describe;
use crate::kafka::{OUTBOX_PARTITIONS, Parts, client};
pub(crate) use crate::store::RELAY;
use crate::store::Reader;

/// How often progress is written to the store. More often would cost the rules commits; what a crash
/// repeats is known to consumers by its id.
const PROGRESS: Duration = Duration::from_millis(200);

/// Longest sleep: a notification that was missed is noticed after it, and so is `stop`.
const PATIENCE: Duration = Duration::from_millis(200);

/// Longest wait for the report of the record that ended a producer; it comes a moment after the end itself.
const LAST_REPORT: Duration = Duration::from_millis(500);

/// Time to publish what was committed before `stop`. What is left goes out at the next start.
const DRAIN: Duration = Duration::from_secs(10);

/// The relay in its thread.
pub(crate) struct Relay {
    producer: Option<ThreadedProducer<Reports>>,
    parts: Parts,
    reader: Reader,
    /// Only ever appended to: reports name a lane by its place.
    lanes: Vec<Lane>,
    /// How many of the published topics have their lanes.
    taken_up: usize,
    hold: Hold,
    /// Progress that the store was given and has not written yet.
    being_written: Option<BeingWritten>,
}

/// How a producer's life ended.
enum End {
    /// `stop`, and all is published or the time is over.
    Stopped,
    /// The producer can't be used any more.
    Broken,
}

/// What Kafka reported.
enum Reported {
    /// What it has, or nothing.
    Progress,
    /// A record that it refuses; its lane knows.
    Refusal,
    /// That the producer is of no more use, and why.
    TheEnd(String),
}

impl Relay {
    /// # Errors
    /// When the producer can't be made with these settings, or the store can't be read.
    pub(crate) fn new(parts: Parts) -> anyhow::Result<Self> {
        let producer = connect(&parts).map_err(|error| {
            anyhow::anyhow!("kafka producer of the relay: {}", describe(&error))
        })?;
        let reader = parts.store.reader()?;
        Ok(Self {
            producer: Some(producer),
            parts,
            reader,
            lanes: Vec::new(),
            taken_up: 0,
            hold: Hold::default(),
            being_written: None,
        })
    }

    /// Publishes until `stop`.
    pub(crate) fn run(mut self, stop: &CancellationToken) {
        loop {
            let recreations = self.parts.topics.recreations();
            let producer = match self.producer.take() {
                Some(producer) => producer,
                None => match connect(&self.parts) {
                    Ok(producer) => producer,
                    Err(error) => {
                        let fails = Condition::ProducerFails(describe(&error));
                        self.parts.conditions.report(Subject::Relay, fails);
                        if !self.pause(stop) {
                            return;
                        }
                        continue;
                    }
                },
            };
            let end = self.publish(&producer, recreations, stop);
            client::close(producer);
            match end {
                End::Stopped => return,
                End::Broken => self.lanes.iter_mut().for_each(Lane::start_again),
            }
        }
    }

    /// Publishes by a producer that was made when topics had been recreated so often.
    fn publish(
        &mut self,
        producer: &ThreadedProducer<Reports>,
        recreations: u64,
        stop: &CancellationToken,
    ) -> End {
        let notify = self.parts.store.published().clone();
        let mut written = Instant::now();
        let mut liveness = Liveness::new();
        let mut drain_until = None;
        loop {
            let seen = notify.count();
            let stopping = stop.is_cancelled();
            if !self.is_alive(producer, &mut liveness) {
                tracing::warn!(
                    "the relay's producer hears no broker any more, though there are some; it starts again"
                );
                return End::Broken;
            }
            match self.collect(producer) {
                Reported::Progress => {}
                Reported::Refusal => return End::Broken,
                Reported::TheEnd(_) => return self.ended(producer, stop),
            }
            // librdkafka holds what it knows of the first one, and its leaders, against the new one.
            if self.parts.topics.recreations() != recreations {
                tracing::info!("a topic was recreated; the relay's producer starts again with it");
                return End::Broken;
            }
            if self.is_stale() {
                tracing::debug!(
                    "records wait for long; they are sent again, with the time of sending"
                );
                return End::Broken;
            }
            self.take_up_topics();
            let is_held = self.hold.lasts(self.parts.topics.answers());
            let mut any = false;
            for (index, lane) in self.lanes.iter_mut().enumerate() {
                if !lane.is_ready()
                    && !lane.begin(&self.reader, &*self.parts.store, &self.parts.conditions)
                {
                    continue;
                }
                if !is_held && self.parts.topics.exists(lane.topic()) {
                    match lane.send(index, &self.reader, producer, &self.parts.conditions) {
                        Sent::Some => any = true,
                        Sent::Nothing => {}
                        Sent::ProducerBroken => return self.ended(producer, stop),
                    }
                }
            }
            if written.elapsed() >= PROGRESS {
                written = Instant::now();
                self.write_progress();
            }
            self.note_written(None);
            if stopping {
                let until = *drain_until.get_or_insert_with(|| Instant::now() + DRAIN);
                if self.is_drained()
                    || self.parts.topics.is_unreachable()
                    || Instant::now() >= until
                {
                    self.write_all_progress();
                    self.say_what_is_left();
                    return End::Stopped;
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

    /// Whether the producer hears its brokers; asked only where something waits for them.
    fn is_alive(&self, producer: &ThreadedProducer<Reports>, liveness: &mut Liveness) -> bool {
        let waiting = self.lanes.iter().find(|lane| lane.is_waiting());
        match waiting {
            Some(lane) => liveness.check(producer.client(), lane.topic(), &self.parts.topics),
            None => {
                *liveness = Liveness::new();
                true
            }
        }
    }

    /// Whether the producer has had records for so long that their times are old ones.
    fn is_stale(&mut self) -> bool {
        let topics = &self.parts.topics;
        let (is_unreachable, answers) = (topics.is_unreachable(), topics.answers());
        let mut lanes = self.lanes.iter_mut();
        let is_stale = lanes.any(|lane| lane.is_stale(is_unreachable));
        if is_stale && is_unreachable {
            self.hold.begin(answers);
        }
        is_stale
    }

    /// Makes lanes for the topics that are new.
    fn take_up_topics(&mut self) {
        for (name, row) in self.parts.published.after(self.taken_up) {
            // The store may have served an embedded log with more partitions.
            let partitions = match self.reader.partitions(row) {
                Ok(stored) => stored.max(OUTBOX_PARTITIONS),
                Err(error) => {
                    lane::store_fails(&name, &error.to_string(), &self.parts.conditions);
                    return;
                }
            };
            let retry = self.parts.retry;
            let lanes =
                (0..partitions).map(|partition| Lane::new((row, name.clone()), partition, retry));
            self.lanes.extend(lanes);
            self.taken_up += 1;
        }
    }

    /// Takes in what Kafka reported.
    fn collect(&mut self, producer: &ThreadedProducer<Reports>) -> Reported {
        let (reports, fatal) = Reports::take(producer);
        if reports.iter().any(|report| report.failure.is_none()) {
            self.parts.conditions.clear(&Subject::Producer);
        }
        for report in reports.iter().filter(|report| report.failure.is_none()) {
            if let Some(lane) = self.lanes.get_mut(report.lane) {
                lane.delivered(report.offset, &self.parts.conditions);
            }
        }
        let refusal = refusal(&reports);
        if let Some((lane, offset, code)) = refusal
            && let Some(lane) = self.lanes.get_mut(lane)
        {
            lane.block(offset, code, Refusing::Broker, &self.parts.conditions);
            if is_unknown_topic(code) {
                self.parts.topics.doubt_topic(lane.topic());
            }
        }
        match fatal {
            _ if refusal.is_some() => Reported::Refusal,
            Some(reason) => Reported::TheEnd(reason),
            None => Reported::Progress,
        }
    }

    /// Kafka has ended the producer. Which record it refused comes in a report a moment after; where none comes, the end
    /// itself is all there is to say.
    fn ended(&mut self, producer: &ThreadedProducer<Reports>, stop: &CancellationToken) -> End {
        let until = Instant::now() + LAST_REPORT;
        let notify = self.parts.store.published().clone();
        let mut last_words = String::from("it takes no more records");
        loop {
            let seen = notify.count();
            match self.collect(producer) {
                Reported::Refusal => return End::Broken,
                Reported::TheEnd(reason) => last_words = reason,
                Reported::Progress => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.is_cancelled() {
                break;
            }
            notify.wait(seen, left);
        }
        let ended = Condition::ProducerEnded(last_words);
        self.parts.conditions.report(Subject::Producer, ended);
        if self.pause(stop) {
            End::Broken
        } else {
            End::Stopped
        }
    }

    /// Whether nothing is left that could be published now.
    fn is_drained(&self) -> bool {
        self.parts.published.after(self.taken_up).is_empty()
            && self
                .lanes
                .iter()
                .all(|lane| lane.is_drained() || self.parts.topics.is_failing(lane.topic()))
    }

    fn say_what_is_left(&self) {
        for lane in self.lanes.iter().filter(|lane| !lane.is_drained()) {
            tracing::warn!(
                topic = %lane.topic(),
                "not all events were published before the end; they are kept and go out at the next start"
            );
        }
    }

    /// Waits before the next attempt; false where `stop` came first.
    fn pause(&self, stop: &CancellationToken) -> bool {
        let until = Instant::now() + self.parts.retry;
        let notify = self.parts.store.published();
        while !stop.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            notify.wait(notify.count(), left.min(PATIENCE));
        }
        false
    }
}

fn connect(parts: &Parts) -> KafkaResult<ThreadedProducer<Reports>> {
    // The relay waits for the notification of the store's commits; Kafka's reports wake it by the same.
    let reports = Reports::new(parts.store.published().clone(), parts.topics.clone());
    parts
        .settings
        .producer_config()
        .create_with_context(reports)
}
