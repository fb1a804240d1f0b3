//! Consumers: each source has a thread that takes records from Kafka and delivers them.
//!
//! The thread never stops polling while the
//! rules are slow: each partition has a queue of its own, which is simply not emptied while its
//! window is full, so the group keeps its member and the broker's other partitions flow on.
//! Offsets are committed to Kafka now and then for lag monitors, and before the group is left for whoever takes it over; nothing here
//! ever reads them back if the store has one (invariant 1).
//!
//! # Layout
//!
//! - this file: the thread; `sole_reader`: it reads only while no other store does in its group
//! - `assignment`, `partition`: the partitions, and what is known of each; `callbacks`: what librdkafka calls
//! - `reading`, `delivery`: where a partition is read; records from the queues to the sink
//! - `topic_identity`, `doubtful_records`: recreated topics, and records that may be of one
//! - `log_identity`, `record_proof`: logs that lost their end and grew again
//! - `stall`, `offset_gaps`: partitions of which nothing comes, or not the next record
//! - `client_position`, `extents`, `missed`: how far a client is, where partitions begin and end, what this host never got

mod assignment;
mod callbacks;
pub(crate) mod client_position;
mod delivery;
mod doubtful_records;
pub(crate) mod extents;
mod log_identity;
pub(crate) mod missed;
mod offset_gaps;
mod partition;
mod reading;
mod record_proof;

mod sole_reader;
mod stall;
mod topic_identity;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use self::assignment::Assignment;
use self::extents::heard;
use self::topic_identity::check_topic;
use super::{Parts, client};
use crate::kafka::health::condition::{Aspect, Condition};
use crate::kafka::health::liveness::Liveness;
use crate::kafka::settings::describe;
use crate::kafka::topics::Use;
use crate::transport::{Sink, Source};

/// How often offsets are committed to Kafka.
const COMMIT: Duration = Duration::from_secs(5);

/// How often it is noted how far the partitions reach. It costs a call for each that asks nobody.
const NOTE: Duration = Duration::from_secs(1);

/// Longest sleep: a notification that was missed is noticed after it, and so is `stop`.
const PATIENCE: Duration = Duration::from_millis(100);

/// Silence after which an error that Kafka reported counts as over.
const OVER: Duration = Duration::from_secs(90);

/// Time without any progress after which what is in flight is left to itself when the group is left. Records that wait for another
/// attempt may take hours.
const STALLED: Duration = Duration::from_millis(750);

/// Longest time for which what is in flight is waited for then.
const SETTLED: Duration = Duration::from_secs(10);

/// Longest time that Kafka has then to take the offsets.
const TOLD: Duration = Duration::from_millis(500);

/// Why a client is of no more use.
enum Ended {
    /// Its last words.
    Fatal(KafkaError),
    /// It has met a recreated topic.
    RecreatedTopic,
    /// It does not hear of records that there are.
    Stalled,
}

impl From<KafkaError> for Ended {
    fn from(error: KafkaError) -> Self {
        Self::Fatal(error)
    }
}

/// A consumer in its thread.
pub(crate) struct Consumer {
    client: Arc<BaseConsumer<Assignment>>,
    parts: Parts,
    source: Arc<Source>,
    sink: Arc<dyn Sink>,
}

impl Consumer {
    /// # Errors
    /// When the client can't be made with these settings, or the store can't be read.
    pub(crate) fn new(
        parts: Parts,
        source: Arc<Source>,
        sink: Arc<dyn Sink>,
    ) -> anyhow::Result<Self> {
        let client = connect(&parts, &source)?;
        Ok(Self {
            client,
            parts,
            source,
            sink,
        })
    }

    /// Delivers records until `stop`, then leaves the group.
    pub(crate) fn run(mut self, stop: &CancellationToken) {
        self.parts.topics.need(&self.source.topic, Use::Read);
        if self.wait_for_topic(stop) {
            let mut ended: Option<Instant> = None;
            while let Err(end) = self.read_alone(stop) {
                let pause = match end {
                    // That was reported, and can't come again unless the topic changes again.
                    Ended::RecreatedTopic => Duration::ZERO,
                    Ended::Stalled => {
                        let assignment = self.client.context();
                        assignment.report(Aspect::Client, Condition::ConsumerStalled);
                        Duration::ZERO
                    }
                    Ended::Fatal(error) => {
                        let is_once = ended.is_none_or(|ended| ended.elapsed() >= OVER);
                        ended = Some(Instant::now());
                        self.report_end(&error, is_once)
                    }
                };
                if !self.begin_again(pause, stop) {
                    break;
                }
            }
        }
        self.client.context().close();
        self.note_extents();
        // The conditions of a source that is gone must not last.
        self.client.context().forget_conditions();
        self.parts
            .topics
            .read_no_more(&self.source.topic, &self.parts.conditions);
        client::close(self.client);
    }

    /// Reports that the client came to its end; gives how long to wait before the next one.
    fn report_end(&self, error: &KafkaError, is_once: bool) -> Duration {
        // Once may be a broker that came back and mistook what the client had sent before for somebody else's.
        // Again may be a process that was given the same `group.instance.id`, and the two would go on like this.
        let ended = Condition::ConsumerEnded(describe(error));
        if is_once {
            let subject = self.client.context().subject(Aspect::Client);
            tracing::warn!("{}", self.parts.conditions.text_of(&subject, &ended));
            return Duration::ZERO;
        }
        self.client.context().report(Aspect::Client, ended);
        self.parts.retry
    }

    /// Waits until the topic is there; false where `stop` came first.
    fn wait_for_topic(&self, stop: &CancellationToken) -> bool {
        let found = self.parts.topics.found();
        while !stop.is_cancelled() {
            let seen = found.count();
            if self.parts.topics.exists(&self.source.topic) {
                return true;
            }
            // What the client complains of by then must not be taken for news later. It can't have come to its end yet.
            let _ = self.serve_events();
            found.wait(seen, PATIENCE);
        }
        false
    }

    /// Reads whenever nobody else does, until `stop`, or until the client can't be used any more.
    fn read_alone(&self, stop: &CancellationToken) -> Result<(), Ended> {
        while self.wait_until_alone(stop)? {
            self.check_topic()?;
            self.read(stop)?;
            // Others have come, and go first.
            self.client.unsubscribe();
            self.client.context().release();
            self.note_extents();
        }
        Ok(())
    }

    fn serve_events(&self) -> KafkaResult<()> {
        for _ in 0..self.parts.settings.events_at_once() {
            match self.client.poll(Duration::ZERO) {
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                // Other errors were told to the assignment, and the client goes on by itself.
                Some(Err(_)) | None => {}
                Some(Ok(message)) => {
                    let assignment = self.client.context();
                    assignment.deliver_stray(&self.client, &message, &*self.sink);
                }
            }
        }
        Ok(())
    }

    /// Reads until `stop`, until others read too, or until the client can't be used any more.
    fn read(&self, stop: &CancellationToken) -> Result<(), Ended> {
        let assignment = self.client.context();
        self.client.subscribe(&[&self.source.topic])?;
        let mut committed = Instant::now();
        let mut noted = Instant::now();
        let mut liveness = Liveness::new();
        let mut looked_at = None;
        while !stop.is_cancelled() {
            let (flow, seen) = assignment.notifications();
            self.serve_events()?;
            if !liveness.check(self.client.client(), &self.source.topic, &self.parts.topics) {
                let lost = KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure);
                return Err(Ended::Fatal(lost));
            }
            if self.parts.topics.is_unreachable() {
                assignment.doubt_logs();
            }
            if assignment.has_rebalanced.load(Ordering::Relaxed) {
                if !self.may_go_on() {
                    break;
                }
                assignment.has_rebalanced.store(false, Ordering::Relaxed);
            }
            // Before what has come is delivered: after a while it may be of another topic.
            let has_come =
                assignment.is_disturbed.load(Ordering::Relaxed) || looked_at != Some(flow);
            if assignment.look_is_due(has_come) {
                assignment.is_disturbed.store(false, Ordering::Relaxed);
                self.check_topic()?;
                looked_at = Some(flow);
            }
            if noted.elapsed() >= NOTE {
                noted = Instant::now();
                self.note_extents();
            }
            if committed.elapsed() >= COMMIT {
                committed = Instant::now();
                self.check_topic()?;
                self.commit();
                if !assignment.identity().is_doubtful() && assignment.detect_stall(&self.client) {
                    return Err(Ended::Stalled);
                }
                assignment.clear_conditions_after(OVER);
            }
            let may_deliver = !assignment.identity().is_doubtful();
            if !(may_deliver && assignment.deliver(&self.client, &*self.sink, stop)) {
                assignment.notify.wait(seen, PATIENCE);
            }
        }
        Ok(self.finish()?)
    }

    /// Waits until what is in flight is settled, as long as that goes on, and tells Kafka how far the store is: who reads in the group next
    /// may know no other word for it. Delivers nothing.
    fn finish(&self) -> KafkaResult<()> {
        let notify = self.client.context().notify.clone();
        let readings = &self.source.readings;
        readings.notify_at_the_end();
        let (begun, mut moved) = (Instant::now(), Instant::now());
        let mut before = readings.bytes();
        loop {
            let seen = notify.count();
            let left = readings.bytes();
            if left == 0 {
                break;
            }
            if left != before {
                (before, moved) = (left, Instant::now());
            }
            if moved.elapsed() >= STALLED || begun.elapsed() >= SETTLED {
                tracing::info!(
                    topic = %self.source.topic, group = %self.source.group, bytes = left,
                    "some records are not settled yet; who reads on in the group hears of them too"
                );
                break;
            }
            self.serve_events()?;
            notify.wait(seen, PATIENCE);
        }
        let begun = Instant::now();
        while begun.elapsed() < TOLD && self.commit() {
            let seen = notify.count();
            self.serve_events()?;
            notify.wait(seen, PATIENCE);
            self.serve_events()?;
        }
        Ok(())
    }

    fn check_topic(&self) -> Result<(), Ended> {
        check_topic(&self.client, &self.parts, &self.source);
        if self.client.context().is_outdated.load(Ordering::Relaxed) {
            return Err(Ended::RecreatedTopic);
        }
        self.client.context().stop_at_other_logs(&self.client);
        Ok(())
    }

    /// Notes how far the partitions reach that are read now.
    fn note_extents(&self) {
        let partitions = self.client.context().firsts();
        let mut heard = heard(self.client.client(), &self.source.topic, &partitions);
        self.client.context().add_positions(&mut heard);
        self.parts.extents.note(&self.source, heard);
    }

    /// Tells Kafka how far the store is; says whether there is anything that it has not taken yet.
    fn commit(&self) -> bool {
        // What waits for a broker is sent when that is back, and then comes from a member that the group knows by another
        // name by now.
        if self.parts.topics.is_unreachable() {
            return false;
        }
        let offsets = self.client.context().offsets_to_commit();
        if offsets.count() == 0 {
            return false;
        }
        let asked = self
            .client
            .commit(&offsets, rdkafka::consumer::CommitMode::Async);
        if let Err(error) = asked {
            tracing::debug!(topic = %self.source.topic, %error, "offsets were not committed to Kafka");
        }
        true
    }

    /// Makes a new client after a pause; false where `stop` came first.
    fn begin_again(&mut self, mut pause: Duration, stop: &CancellationToken) -> bool {
        self.client.context().close();
        self.note_extents();
        loop {
            let until = Instant::now() + pause;
            pause = self.parts.retry;
            while Instant::now() < until {
                if stop.is_cancelled() {
                    return false;
                }
                let notify = self.client.context().notify.clone();
                notify.wait(notify.count(), PATIENCE);
            }
            match connect(&self.parts, &self.source) {
                Ok(client) => {
                    self.client.context().hand_on(client.context());
                    client::close(std::mem::replace(&mut self.client, client));
                    return true;
                }
                Err(error) => {
                    tracing::error!(topic = %self.source.topic, %error, "the consumer can't start; it is tried again");
                }
            }
        }
    }
}

fn connect(parts: &Parts, source: &Arc<Source>) -> anyhow::Result<Arc<BaseConsumer<Assignment>>> {
    let assignment = Assignment::new(parts, source.clone())?;
    let member = format!("{}-{}", source.consumer, source.topic).replace([':', '/', ' '], "-");
    let mut client: BaseConsumer<Assignment> = parts
        .settings
        .consumer_config(&source.group, &member, parts.store.identity())
        .create_with_context(assignment)
        .map_err(|error| {
            anyhow::anyhow!(
                "kafka consumer of topic {}: {}",
                source.topic,
                describe(&error)
            )
        })?;
    let assignment = Arc::downgrade(client.context());
    client.set_nonempty_callback(move || {
        if let Some(assignment) = assignment.upgrade() {
            assignment.has_event();
        }
    });
    let client = Arc::new(client);
    client.context().attach(&client);
    Ok(client)
}
