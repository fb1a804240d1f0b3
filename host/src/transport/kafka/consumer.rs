//! The consumer of one source: a thread that takes records from Kafka and delivers them.
//!
//! Where a partition is read from is in [`super::assignment`]. The thread never stops polling while the
//! rules are slow: each partition has a queue of its own, which is simply not emptied while its
//! window is full, so the group keeps its member and the broker's other partitions flow on.
//! Offsets are committed to Kafka now and then for lag monitors; nothing here ever reads them back if
//! the store has one (invariant 1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use tokio_util::sync::CancellationToken;

use super::assignment::Assignment;
use super::settings::describe;
use super::{Parts, client};
use crate::transport::{Sink, Source};

/// How often offsets are committed to Kafka.
const COMMIT: Duration = Duration::from_secs(5);

/// Longest sleep: a bell that was missed is noticed after it, and so is `stop`.
const PATIENCE: Duration = Duration::from_millis(100);

/// Silence after which an error that Kafka reported counts as over.
const OVER: Duration = Duration::from_secs(90);

/// Events that are served between two looks at the records.
const EVENTS: usize = 4;

/// A consumer in its thread.
pub(super) struct Consumer {
    client: Arc<BaseConsumer<Assignment>>,
    parts: Parts,
    source: Arc<Source>,
    sink: Arc<dyn Sink>,
}

impl Consumer {
    /// # Errors
    /// When the client can't be made with these settings, or the store can't be read.
    pub(super) fn new(
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
    pub(super) fn run(mut self, stop: &CancellationToken) {
        self.parts.topics.need(&self.source.topic);
        if self.parts.topics.wait_for(&self.source.topic, stop) {
            while let Err(error) = self.read(stop) {
                // The client can't be used any more, e.g. another process took its `instance` name.
                self.parts.troubles.error(
                    self.client.context().part(),
                    format!(
                        "the consumer of topic {} in group {} was ended by Kafka ({}); it starts again",
                        self.source.topic,
                        self.source.group,
                        describe(&error)
                    ),
                );
                if !self.begin_again(stop) {
                    break;
                }
            }
        }
        self.client.context().forget();
        // What a source that is gone had to complain of must not last.
        self.parts.troubles.forget(self.client.context().part());
        self.parts
            .topics
            .need_no_more(&self.source.topic, &self.parts.troubles);
        client::close(self.client);
    }

    /// Reads until `stop`, or until the client can't be used any more.
    fn read(&self, stop: &CancellationToken) -> KafkaResult<()> {
        let assignment = self.client.context();
        self.client.subscribe(&[&self.source.topic])?;
        let mut committed = Instant::now();
        while !stop.is_cancelled() {
            let seen = assignment.bell().rings();
            for _ in 0..EVENTS {
                match self.client.poll(Duration::ZERO) {
                    Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(error),
                    // Other errors were told to the assignment, and the client goes on by itself.
                    Some(Err(_)) | None => {}
                    Some(Ok(message)) => assignment.deliver_stray(&message, &*self.sink),
                }
            }
            if committed.elapsed() >= COMMIT {
                committed = Instant::now();
                self.commit();
                self.parts.troubles.clear_after(assignment.part(), OVER);
            }
            if !assignment.deliver(&self.client, &*self.sink, stop) {
                assignment.bell().wait(seen, PATIENCE);
            }
        }
        if !self.parts.topics.is_unreachable() {
            self.commit();
        }
        Ok(())
    }

    /// Tells lag monitors how far the store is.
    fn commit(&self) {
        let offsets = self.client.context().offsets_to_commit();
        if offsets.count() > 0
            && let Err(error) = self
                .client
                .commit(&offsets, rdkafka::consumer::CommitMode::Async)
        {
            tracing::debug!(topic = %self.source.topic, %error, "offsets were not committed to Kafka");
        }
    }

    /// Makes a new client; false where `stop` came first.
    fn begin_again(&mut self, stop: &CancellationToken) -> bool {
        self.client.context().forget();
        loop {
            let until = Instant::now() + self.parts.retry;
            while Instant::now() < until {
                if stop.is_cancelled() {
                    return false;
                }
                let bell = self.client.context().bell();
                bell.wait(bell.rings(), PATIENCE);
            }
            match connect(&self.parts, &self.source) {
                Ok(client) => {
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
    let assignment = Assignment::new(
        source.clone(),
        parts.store.reader()?,
        parts.topics.clone(),
        parts.troubles.clone(),
    );
    let member = format!("{}-{}", source.consumer, source.topic).replace([':', '/', ' '], "-");
    let mut client: BaseConsumer<Assignment> = parts
        .settings
        .consumer_config(&source.group, &member)
        .create_with_context(assignment)
        .map_err(|error| {
            anyhow::anyhow!(
                "kafka consumer of topic {}: {}",
                source.topic,
                describe(&error)
            )
        })?;
    let bell = client.context().bell().clone();
    client.set_nonempty_callback(move || bell.ring());
    let client = Arc::new(client);
    client.context().attach(&client);
    Ok(client)
}
