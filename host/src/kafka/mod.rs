//! Apache Kafka, through librdkafka.
//!
//! # Layout
//!
//! - `settings`: our settings and the librdkafka properties that follow from them
//! - `consume`: a source's thread, its partitions, and where each is read
//! - `produce`: the outbox on its way to Kafka
//! - `topics`: the topics that are needed, their names, ids and settings
//! - `group`: the members of a consumer group
//! - `health`: the supervisor of brokers, topics and clients; conditions and advice
//! - `headers`, `client`, `native`: record headers; what all clients have in common; questions that librdkafka's binding has no call for
//!
//! Invariants that live here: 1 (a partition is read on from where the store says), 4 (the relay keeps the
//! order), 5 (an unreachable broker is a condition that is reported and retried, never an error of the
//! rules), 9 (every queue has a bound). Must not know: components, HTTP, what a participant is about.

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

use rdkafka::consumer::BaseConsumer;
use tokio_util::sync::CancellationToken;

pub use settings::{KafkaSettings, redact};

use crate::store::{Answer, ReadStore, Store};
use crate::transport::{Extent, Missed, Sink, Source, Transport};
use client::LastError;
use consume::Consumer;
use consume::extents::Extents;
use consume::missed::MissedRecords;
use health::advice::open_transaction;
use health::condition::{Aspect, Condition, Subject};
use health::conditions::Conditions;
use health::probe::Probe;
use health::supervisor::Supervisor;
use produce::Relay;
use produce::published::Published;
use settings::security::SaslSettings;
use topics::Use;

/// Wait before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Partitions of the outbox for each topic: one lane. Kafka's own partitions follow from the keys.
const OUTBOX_PARTITIONS: i32 = 1;

/// Kafka as a transport. Its supervisor of brokers and topics runs as long as it, a consumer or a relay
/// of it does.
pub struct Kafka(Parts);

/// What a consumer or a relay needs of it.
#[derive(Clone)]
struct Parts {
    store: Arc<Store>,
    settings: KafkaSettings,
    topics: Arc<Supervisor>,
    probe: Arc<Probe>,
    published: Arc<Published>,
    extents: Arc<Extents>,
    missed: Arc<MissedRecords>,
    conditions: Arc<Conditions>,
    /// Whether, at the start, nobody else was seen in the groups.
    is_claimed: Arc<AtomicBool>,
    /// Wait before something that failed is tried again.
    retry: Duration,
}

impl Kafka {
    /// Starts to look for the brokers. That they can't be reached is no error: it is reported
    /// ([`Transport::trouble`]) and retried.
    ///
    /// # Errors
    /// When the settings are wrong; all problems at once.
    pub fn new(store: Arc<Store>, settings: KafkaSettings) -> anyhow::Result<Self> {
        let problems = settings.problems();
        anyhow::ensure!(problems.is_empty(), "kafka: {}", problems.join("; "));
        settings.try_out().map_err(|error| {
            let check = settings.files_to_check();
            anyhow::anyhow!("kafka: {}{check}", settings::describe(&error))
        })?;
        if settings.shows_its_secret() {
            tracing::warn!(
                "the connection to Kafka is not encrypted, and whoever listens to it learns the password or the token: use \
                 `[kafka.tls]`, or a SCRAM mechanism"
            );
        }
        if settings
            .sasl
            .as_ref()
            .is_some_and(SaslSettings::asks_in_the_clear)
        {
            tracing::warn!(
                "tokens are asked for without encryption, and whoever listens to it learns the client secret: use an \
                 https:// `token_endpoint`"
            );
        }
        let conditions = Arc::new(Conditions::new(settings.clone()));
        let topics = Supervisor::start(&settings, store.retention_hours(), conditions.clone())?;
        Ok(Self(Parts {
            store,
            probe: Arc::new(Probe::new(settings.clone())),
            settings,
            topics,
            published: Arc::default(),
            extents: Arc::default(),
            missed: Arc::default(),
            conditions,
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
        topics::name::problem(topic)
    }

    fn partitions(&self, _topic: &str) -> i32 {
        OUTBOX_PARTITIONS
    }

    fn claim(&self, sources: &[Arc<Source>]) -> Result<(), String> {
        let settings = &self.0.settings;
        if settings.allow_split_state || sources.is_empty() {
            return Ok(());
        }
        let client: BaseConsumer<LastError> = settings
            .probe_config()
            .create_with_context(LastError::default())
            .map_err(|error| settings::describe(&error))?;
        let patience = settings.group_patience();
        let identity = self.0.store.identity();
        let claimed: Result<bool, String> = sources.iter().try_fold(true, |are_known, source| {
            let is_known = group::wait_until_own(&client, source, identity, patience);
            let is_known = is_known.map_err(|others| {
                let subject = Subject::of(source, Aspect::Client);
                (self.0.conditions).text_of(&subject, &Condition::GroupShared(others))
            })?;
            Ok(are_known && is_known)
        });
        client::close(client);
        self.0.is_claimed.store(claimed?, Ordering::Relaxed);
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
        for name in self.0.published.add(topics) {
            self.0.topics.need(&name, Use::Write);
        }
        // The relay sleeps on it.
        self.0.store.published().notify();
    }

    fn extents(&self, _: &dyn ReadStore, source: &Source) -> Answer<Vec<Extent>> {
        Ok(self.0.extents.of(source))
    }

    fn obstacle(&self, source: &Source, extent: &Extent) -> Option<String> {
        let offset = extent.transaction?;
        let settings = &self.0.settings;
        Some(open_transaction(
            settings,
            &source.topic,
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
