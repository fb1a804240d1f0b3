//! Apache Kafka, through librdkafka.
//!
//! # Layout
//!
//! - `settings`: the settings, and the librdkafka properties derived from them
//! - `consume`: a source's thread, its partitions, and its position in each
//! - `produce`: publishing of the outbox to Kafka
//! - `topics`: the topics that are needed, their states and settings
//! - `group`: the other members of a consumer group
//! - `health`: the supervisor of brokers, topics and clients; conditions and advice
//! - `headers`, `client`, `native`: record headers; behavior shared by all clients; requests that
//!   librdkafka's binding does not offer
//!
//! Invariants held here: 1 (a partition is read from the offset in the store), 4 (the relay keeps
//! the order), 5 (an unreachable broker is a condition that is reported and retried, never an error
//! of the rules), 9 (every queue has a bound). Must not know: components, HTTP, the domain of a
//! participant.

mod client;
mod consume;
mod group;
mod headers;
mod health;
mod native;
mod produce;
pub mod settings;
mod topics;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use settings::KafkaSettings;

use crate::base::notify::Notify;
use crate::base::stop::NotifiedAtStop;
use crate::store::{ReadStore, Store, StoreResult};
use crate::transport::{Extent, Missed, Sink, Source, Transport};
use consume::Consumer;
use consume::extents::{Extents, MissedRecords};
use health::conditions::Conditions;
use health::probe::Probe;
use health::supervisor;
use health::{advice, condition};
use produce::Relay;
use topics::{Topics, Use};

/// Wait before a failed step is retried.
const RETRY: Duration = Duration::from_secs(5);

/// Partitions of the outbox for each topic: one lane. Kafka's own partitions follow from the keys.
const OUTBOX_PARTITIONS: i32 = 1;

/// Kafka as a transport. Its supervisor of brokers and topics runs as long as the transport, or one
/// of its consumers or relays.
pub struct Kafka(Parts);

/// Name of a topic, and its row in the store.
type PublishedTopic = (Arc<str>, i64);

/// Parts that consumers and relays share.
#[derive(Clone)]
struct Parts {
    store: Arc<Store>,
    settings: KafkaSettings,
    topics: Arc<Topics>,
    /// Ends the supervisor when the last part is dropped.
    _stop: Arc<DropGuard>,
    /// The published topics (name and row), in the order in which they were added. Their number
    /// only grows: the outbox of a topic is published even if the rules that wrote it are gone.
    published: Arc<Mutex<Vec<PublishedTopic>>>,
    extents: Arc<Extents>,
    missed: Arc<MissedRecords>,
    conditions: Arc<Conditions>,
    /// True if no other reader was seen in the groups at the start.
    is_claimed: Arc<AtomicBool>,
    /// Wait before a failed step is retried.
    retry: Duration,
}

/// Waits for this time; false if `stop` came first.
fn pause(stop: &CancellationToken, time: Duration) -> bool {
    let notify = Notify::default();
    let _notified = NotifiedAtStop::new(stop, &notify);
    if !stop.is_cancelled() {
        notify.wait(0, time);
    }
    !stop.is_cancelled()
}

impl Parts {
    /// The published topics after the first `known`.
    fn published_after(&self, known: usize) -> Vec<PublishedTopic> {
        self.published.lock().iter().skip(known).cloned().collect()
    }
}

impl Kafka {
    /// Starts to look for the brokers. Unreachable brokers are no error: they are reported
    /// ([`Transport::trouble`]) and retried.
    ///
    /// # Errors
    /// The settings are wrong; all problems at once.
    pub fn new(store: Arc<Store>, settings: KafkaSettings) -> anyhow::Result<Self> {
        let problems = settings.problems();
        anyhow::ensure!(problems.is_empty(), "kafka: {}", problems.join("; "));
        (settings.try_out()).map_err(|error| anyhow::anyhow!("kafka: {error}"))?;
        for open in settings.open_secrets() {
            tracing::warn!("{open}");
        }
        let (topics, stop) = (Arc::<Topics>::default(), CancellationToken::new());
        let hours = store.retention_hours();
        supervisor::start(&settings, hours, topics.clone(), stop.clone())?;
        Ok(Self(Parts {
            store,
            settings,
            conditions: topics.conditions.clone(),
            topics,
            _stop: Arc::new(stop.drop_guard()),
            published: Arc::default(),
            extents: Arc::default(),
            missed: Arc::default(),
            is_claimed: Arc::default(),
            retry: RETRY,
        }))
    }
}

impl Transport for Kafka {
    fn offset_namespace(&self) -> &'static str {
        "kafka"
    }

    fn name_problem(&self, topic: &str) -> Option<String> {
        topics::name_problem(topic)
    }

    fn partitions(&self, _topic: &str) -> i32 {
        OUTBOX_PARTITIONS
    }

    fn claim(&self, sources: &[Arc<Source>]) -> Result<(), String> {
        let Parts {
            settings, store, ..
        } = &self.0;
        if settings.allow_split_state || sources.is_empty() {
            return Ok(());
        }
        let (patience, mut is_known) = (settings.group_patience(), true);
        let mut probe = Probe::new(settings.clone());
        for source in sources {
            let claimed = group::wait_until_own(&mut probe, source, store.identity(), patience);
            is_known &= claimed.map_err(|others| condition::group_shared(source, &others).text)?;
            if !is_known {
                break;
            }
        }
        self.0.is_claimed.store(is_known, Ordering::Relaxed);
        Ok(())
    }

    fn consume(
        &self,
        source: Arc<Source>,
        sink: Arc<dyn Sink>,
        stop: CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>> {
        let name = format!("kafka-{}", source.topic);
        let consumer = Consumer::new(self.0.clone(), source, sink)?;
        Ok(std::thread::Builder::new()
            .name(name)
            .spawn(move || consumer.run(&stop))?)
    }

    fn publish(
        &self,
        topics: Vec<(Arc<str>, i64)>,
        stop: CancellationToken,
    ) -> anyhow::Result<Option<JoinHandle<()>>> {
        let relay = Relay::new(self.0.clone())?;
        self.publish_too(topics);
        Ok(Some(
            std::thread::Builder::new()
                .name("kafka-relay".into())
                .spawn(move || relay.run(&stop))?,
        ))
    }

    fn publish_too(&self, topics: Vec<(Arc<str>, i64)>) {
        for (name, row) in topics {
            let mut published = self.0.published.lock();
            if published.iter().all(|(_, known)| *known != row) {
                self.0.topics.need(&name, Use::Write);
                published.push((name, row));
            }
        }
        // Wakes the relay.
        self.0.store.published().notify();
    }

    fn extents(&self, _: &dyn ReadStore, source: &Source) -> StoreResult<Vec<Extent>> {
        Ok(self.0.extents.of(source))
    }

    fn obstacle(&self, source: &Source, extent: &Extent) -> Option<String> {
        let (offset, topic) = (extent.transaction?, &source.topic);
        let settings = &self.0.settings;
        Some(advice::open_transaction(
            settings,
            topic,
            extent.partition,
            offset,
        ))
    }

    fn missed(&self) -> Vec<Missed> {
        self.0.missed.all()
    }

    fn trouble(&self) -> Option<String> {
        self.0.conditions.text()
    }

    fn halted(&self) -> Option<String> {
        self.0.conditions.halted()
    }
}
