//! Consumers: each source has a thread that takes records from Kafka and delivers them.
//!
//! The thread never stops polling while the rules are slow. Each partition has a queue of its own,
//! which is not emptied while the partition's window is full. So the member stays in its group, and
//! other partitions of the broker go on. Offsets are committed to Kafka periodically for lag
//! monitors, and before leaving the group for the next reader. The host never reads them back if
//! the store has an offset (invariant 1).
//!
//! # Layout
//!
//! - this file: the thread; `sole_reader`: reads only while no other store reads in its group
//! - `context`, `events`: librdkafka's callbacks, and what follows from them
//! - `partition`: the assigned partitions and their starts
//! - `reading`: the state of a partition's reading; `delivery`: from the queues to the sink
//! - `topic_identity`: recreated topics; `record_proof`: the content of a record as its identity
//! - `stall`, `offset_gaps`: stall detection; offset gaps
//! - `position`, `extents`: positions of clients; figures for metrics

mod context;
mod delivery;
mod events;
pub(crate) mod extents;
mod offset_gaps;
mod partition;
mod position;
mod reading;
mod record_proof;
mod sole_reader;
mod stall;
mod topic_identity;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio_util::sync::CancellationToken;

use self::context::ClientEvents;
use self::events::OVER;
use self::partition::Partition;
use self::topic_identity::TopicIdentity;
use super::health::condition;
use super::settings::describe;
use super::topics::Use;
use super::{Parts, client, pause};
use crate::store::Reader;
use crate::transport::{Sink, Source};

/// Interval between commits of offsets to Kafka.
const COMMIT: Duration = Duration::from_secs(5);

/// Longest sleep. Bounds the delay after a missed notification, and after `stop`.
const PATIENCE: Duration = Duration::from_millis(100);

/// Longest wait for brokers to answer a question about a topic or a partition.
const QUESTION: Duration = Duration::from_millis(300);

/// Longest time of a round before events are served; a record or question in hand is finished
/// first.
const ROUND: Duration = Duration::from_millis(200);

/// Shortest interval between checks of all logs.
const DOUBT: Duration = Duration::from_secs(5);

/// Time without progress after which leaving the group no longer waits for records in flight, and
/// the longest wait for them. Records that wait for a retry may take hours.
const DRAIN_STANDS: Duration = Duration::from_millis(750);
const DRAIN: Duration = Duration::from_secs(10);

/// The reason for which a client can't be used any more.
enum ConsumeEnd {
    /// A fatal error: the client's last one.
    Fatal(KafkaError),
    /// The client has met a recreated topic, or receives no records although there are some. This
    /// was reported.
    Outdated,
}

impl From<KafkaError> for ConsumeEnd {
    fn from(error: KafkaError) -> Self {
        Self::Fatal(error)
    }
}

/// A consumer, run by its own thread. The state after `reader` is that of one client.
pub(crate) struct Consumer {
    parts: Parts,
    source: Arc<Source>,
    sink: Arc<dyn Sink>,
    reader: Reader,
    client: Arc<BaseConsumer<ClientEvents>>,
    identity: TopicIdentity,
    partitions: BTreeMap<i32, Partition>,
    /// The partition that comes first in the next round of deliveries.
    first: i32,
    /// True if the group's members have not been checked since the last rebalance.
    has_rebalanced: bool,
    /// True if brokers were unreachable: their logs may be other ones now.
    are_logs_doubtful: bool,
    /// Time from which logs may be doubted again.
    doubt_from: Instant,
    /// True if Kafka refused this user the right to read. Kafka reports that once.
    lacks_rights: bool,
}

impl Consumer {
    pub(crate) fn new(
        parts: Parts,
        source: Arc<Source>,
        sink: Arc<dyn Sink>,
    ) -> anyhow::Result<Self> {
        let reader = parts.store.reader()?;
        let topic_id = reader.topic_id(&source.consumer, source.topic_row)?;
        let (group, topic) = (&source.group, &source.topic);
        let of_store = (parts.store.identity(), parts.store.is_shared());
        let member = format!("{}-{topic}", source.consumer).replace([':', '/', ' '], "-");
        let config = parts.settings.consumer_config(group, &member, of_store);
        let client = config.create_with_context(ClientEvents::default());
        let mut client: BaseConsumer<ClientEvents> = client.map_err(|error| {
            anyhow::anyhow!("kafka consumer of topic {topic}: {}", describe(&error))
        })?;
        let notify = client.context().notify.clone();
        client.set_nonempty_callback(move || notify.notify());
        Ok(Self {
            parts,
            source,
            sink,
            reader,
            client: Arc::new(client),
            identity: TopicIdentity::new(topic_id),
            partitions: BTreeMap::new(),
            first: 0,
            has_rebalanced: false,
            are_logs_doubtful: false,
            doubt_from: Instant::now(),
            lacks_rights: false,
        })
    }

    /// Delivers records until `stop`, then leaves the group.
    pub(crate) fn run(mut self, stop: &CancellationToken) {
        self.parts.topics.need(&self.source.topic, Use::Read);
        if self.wait_for_topic(stop) {
            let mut ended = None;
            while let Err(end) = self.read_alone(stop) {
                let pause = self.report_end(&end, &mut ended);
                if !self.begin_again(pause, stop) {
                    break;
                }
            }
        }
        self.release();
        // Conditions must not outlast their source.
        self.parts.conditions.forget_consumer(&self.source);
        self.parts.topics.read_no_more(&self.source.topic);
        close(self.client);
    }

    /// Reports that the client has ended; returns the wait before the next one. `ended` is the time
    /// of the last fatal end.
    fn report_end(&self, end: &ConsumeEnd, ended: &mut Option<Instant>) -> Duration {
        let ConsumeEnd::Fatal(error) = end else {
            return Duration::ZERO;
        };
        let before = ended.replace(Instant::now());
        let ended = condition::consumer_ended(&self.source, &describe(error));
        // Once, this may be a broker that came back and rejected the client's earlier requests.
        // Twice, it may be another process with the same `group.instance.id`, and the two would
        // fence each other in turn.
        if before.is_none_or(|before| before.elapsed() >= OVER) {
            tracing::warn!("{}", ended.text);
            return Duration::ZERO;
        }
        self.parts.conditions.report(ended);
        self.parts.retry
    }

    /// Makes a new client after a pause; false if `stop` came first.
    fn begin_again(&mut self, mut wait: Duration, stop: &CancellationToken) -> bool {
        self.release();
        while pause(stop, wait) {
            match Self::new(self.parts.clone(), self.source.clone(), self.sink.clone()) {
                Ok(next) => {
                    close(std::mem::replace(self, next).client);
                    return true;
                }
                Err(error) => {
                    tracing::error!(topic = %self.source.topic, %error, "the consumer can't start; it is tried again");
                }
            }
            wait = self.parts.retry;
        }
        false
    }

    /// Waits until the topic exists; false if `stop` came first.
    fn wait_for_topic(&mut self, stop: &CancellationToken) -> bool {
        while !stop.is_cancelled() {
            let seen = self.parts.topics.found.count();
            if self.parts.topics.exists(&self.source.topic) {
                return true;
            }
            // librdkafka reports missing rights on the group once, and maybe now. The client can't
            // have ended yet.
            let _ = self.serve_events();
            self.parts.topics.found.wait(seen, PATIENCE);
        }
        false
    }

    /// Reads while no other store does, until `stop` or until the client can't be used any more.
    fn read_alone(&mut self, stop: &CancellationToken) -> Result<(), ConsumeEnd> {
        while self.wait_until_alone(stop)? {
            self.check_topic()?;
            self.read(stop)?;
            // Other readers have come, and have priority.
            self.client.unsubscribe();
            self.release();
        }
        Ok(())
    }

    /// Reads until `stop`, until others read too, or until the client can't be used any more.
    fn read(&mut self, stop: &CancellationToken) -> Result<(), ConsumeEnd> {
        let notify = self.client.context().notify.clone();
        self.client.subscribe(&[&self.source.topic])?;
        let mut committed = Instant::now();
        while !stop.is_cancelled() {
            let seen = notify.count();
            self.serve_events()?;
            if self.has_rebalanced && !self.may_go_on() {
                break;
            }
            self.has_rebalanced = false;
            self.doubt_logs();
            if self.identity.is_due() {
                self.check_topic()?;
            }
            let is_doubtful = self.identity.is_doubtful();
            if committed.elapsed() >= COMMIT {
                committed = Instant::now();
                commit(&self.client, &self.offsets_to_commit(), CommitMode::Async);
                if !is_doubtful && self.detect_stall() {
                    let stalled = condition::consumer_stalled(&self.source);
                    self.parts.conditions.report(stalled);
                    return Err(ConsumeEnd::Outdated);
                }
                self.clear_old_conditions();
            }
            if is_doubtful || !self.deliver(stop) {
                notify.wait(seen, PATIENCE);
            }
        }
        Ok(self.finish()?)
    }

    /// After an outage, brokers may have other logs: their last records are read again. Not often:
    /// while one of several brokers is away, each attempt to connect to it fails.
    fn doubt_logs(&mut self) {
        if self.parts.topics.is_unreachable() {
            self.are_logs_doubtful = true;
        } else if self.are_logs_doubtful && Instant::now() >= self.doubt_from {
            self.are_logs_doubtful = false;
            self.doubt_from = Instant::now() + DOUBT;
            for Partition { state, .. } in self.partitions.values_mut() {
                state.reading.doubt();
                state.stall.doubt();
            }
        }
    }

    /// Waits until records in flight are settled, as long as that progresses, and commits the
    /// stored offsets to Kafka: the group's next reader may know no others. Delivers nothing.
    fn finish(&mut self) -> KafkaResult<()> {
        let notify = self.client.context().notify.clone();
        let source = self.source.clone();
        source.readings.notify_at_the_end();
        let (begun, mut moved) = (Instant::now(), Instant::now());
        let mut before = source.readings.bytes();
        loop {
            let seen = notify.count();
            let left = source.readings.bytes();
            if left == 0 {
                break;
            }
            if left != before {
                (before, moved) = (left, Instant::now());
            }
            if moved.elapsed() >= DRAIN_STANDS || begun.elapsed() >= DRAIN {
                tracing::info!(
                    topic = %source.topic, group = %source.group, bytes = left,
                    "some records are not settled yet; who reads on in the group hears of them too"
                );
                break;
            }
            self.serve_events()?;
            notify.wait(seen, PATIENCE);
        }
        let (client, offsets) = (self.client.clone(), self.offsets_to_commit());
        client::finish(move || commit(&client, &offsets, CommitMode::Sync));
        Ok(())
    }
}

fn commit(client: &BaseConsumer<ClientEvents>, offsets: &TopicPartitionList, mode: CommitMode) {
    if offsets.count() > 0
        && let Err(error) = client.commit(offsets, mode)
    {
        tracing::debug!(%error, "offsets were not committed to Kafka");
    }
}

/// Closes a client, whose events nobody handles any more.
fn close(client: Arc<BaseConsumer<ClientEvents>>) {
    client.context().begin_closing(&client);
    client::close(client);
}

/// The partitions in the order of their turns: `first` or the next one after it comes first.
fn in_turn<T>(partitions: &BTreeMap<i32, T>, first: i32) -> Vec<i32> {
    let turns = (partitions.range(first..)).chain(partitions.range(..first));
    turns.map(|(number, _)| *number).collect()
}
