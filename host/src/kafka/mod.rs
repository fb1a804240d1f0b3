//! Apache Kafka, through librdkafka.
//!
//! # Layout
//!
//! - [`settings`], [`security`]: our settings and the librdkafka properties that follow from them
//! - `consumer`, `assignment`: a source's thread; its partitions and where each is read
//! - `extents`: where the partitions that are read begin and end
//! - `group`, `group_members`: who else reads in a consumer group
//! - `relay`, `published`, `lane`, `freshness`, `reports`: the outbox on its way to Kafka
//! - `topics`, `watch`: whether brokers answer and topics exist; missing topics are created
//! - `recognition`, `topic_id`, `asker`: whether a topic is still the same; `pulse`: whether a client still hears its brokers
//! - `topic_settings`: how brokers keep a topic, compared with what the host relies on; `missed`: records that it never got
//! - `name`: what can be the name of a topic
//! - `native`: questions that librdkafka can ask and its Rust binding can't
//! - `headers`: record headers to attributes and back
//! - `trouble`, `remedy`, `client`: what is said of failures, and what to do; what all clients have in common
//!
//! Invariants that live here: 1 (a partition is read on from where the store says), 4 (the relay keeps the
//! order), 5 (an unreachable broker is a trouble that is said and tried again, never an error of the
//! rules), 9 (every queue has a bound). Must not know: components, HTTP, what a participant is about.

mod asker;
mod assignment;
mod client;
mod consumer;
mod extents;
mod freshness;
mod group;
mod group_members;
mod headers;
mod lane;
mod missed;
mod name;
mod native;
mod published;
mod pulse;
mod recognition;
mod relay;
mod remedy;
mod reports;
pub mod security;
mod server;
pub mod settings;
mod topic_id;
mod topic_settings;
mod topics;
mod trouble;
mod watch;

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
use asker::Asker;
use assignment::reached;
use client::LastError;
use consumer::Consumer;
use extents::Extents;
use missed::MissedRecords;
use published::Published;
use relay::Relay;
use security::SaslSettings;
use topics::Use;
use trouble::Troubles;
use watch::Watched;

/// Wait before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Partitions of the outbox for each topic: one lane. Kafka's own partitions follow from the keys.
const OUTBOX_PARTITIONS: i32 = 1;

/// Kafka as a transport. Its watch over brokers and topics goes on as long as it, a consumer or a relay
/// of it does.
pub struct Kafka(Parts);

/// What a consumer or a relay needs of it.
#[derive(Clone)]
struct Parts {
    store: Arc<Store>,
    settings: KafkaSettings,
    topics: Arc<Watched>,
    asker: Arc<Asker>,
    published: Arc<Published>,
    extents: Arc<Extents>,
    missed: Arc<MissedRecords>,
    troubles: Arc<Troubles>,
    /// Whether, at the start, nobody else was seen in the groups.
    is_claimed: Arc<AtomicBool>,
    /// Wait before something that failed is tried again.
    retry: Duration,
}

impl Kafka {
    /// Starts to look for the brokers. That they can't be reached is no error: it is said
    /// ([`Transport::trouble`]) and tried again.
    ///
    /// # Errors
    /// When the settings are wrong; all problems at once.
    pub fn new(store: Arc<Store>, settings: KafkaSettings) -> anyhow::Result<Self> {
        let problems = settings.problems();
        anyhow::ensure!(problems.is_empty(), "kafka: {}", problems.join("; "));
        settings
            .try_out()
            .map_err(|error| anyhow::anyhow!("kafka: {}", settings::describe(&error)))?;
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
        let troubles = Arc::new(Troubles::default());
        let topics = Watched::start(&settings, store.retention_hours(), troubles.clone())?;
        Ok(Self(Parts {
            store,
            asker: Arc::new(Asker::new(settings.clone())),
            settings,
            topics,
            published: Arc::default(),
            extents: Arc::default(),
            missed: Arc::default(),
            troubles,
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
        name::problem(topic)
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
            .watch_config()
            .create_with_context(LastError::default())
            .map_err(|error| settings::describe(&error))?;
        let patience = settings.group_patience();
        let identity = self.0.store.identity();
        let claimed: Result<bool, String> = sources.iter().try_fold(true, |are_known, source| {
            let is_known = group::wait_until_own(&client, source, identity, patience)?;
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
        self.0.store.published().ring();
    }

    fn extents(&self, _: &dyn ReadStore, source: &Source) -> Answer<Vec<Extent>> {
        Ok(self.0.extents.of(source))
    }

    fn obstacle(&self, source: &Source, extent: &Extent) -> Option<String> {
        let at = extent.transaction?;
        let bootstrap = &self.0.settings.bootstrap;
        Some(reached::transaction(
            &source.topic,
            extent.partition,
            at,
            bootstrap,
        ))
    }

    fn missed(&self) -> Vec<Missed> {
        self.0.missed.all()
    }

    fn trouble(&self) -> Option<String> {
        self.0.troubles.text()
    }

    fn halted(&self) -> Option<String> {
        self.0.troubles.halted()
    }
}
