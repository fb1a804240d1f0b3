//! Creates topics that are missing.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use crate::kafka::client;
use crate::kafka::health::condition::NotCreated;
use crate::kafka::settings::{KafkaSettings, describe};

/// Longest time that the creation of a topic may take before it is tried again.
const CREATION: Duration = Duration::from_secs(3);

/// A client that creates topics, made when it is needed.
#[derive(Default)]
pub(crate) struct Creator(Option<AdminClient<DefaultClientContext>>);

impl Creator {
    /// Creates a topic in a cluster of so many brokers; says whether it was not there.
    ///
    /// # Errors
    /// Why it was not created.
    pub(crate) fn create(
        &mut self,
        settings: &KafkaSettings,
        topic: &str,
        brokers: usize,
        stop: &CancellationToken,
    ) -> Result<bool, NotCreated> {
        let (partitions, replication) = (settings.partitions, settings.replication);
        let admin = match self.0.take() {
            Some(admin) => admin,
            None => (settings.probe_config().create())
                .map_err(|error| NotCreated::NoClient(describe(&error)))?,
        };
        let admin = self.0.insert(admin);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| NotCreated::NoClient(error.to_string()))?;
        let wanted = [NewTopic::new(
            topic,
            partitions,
            TopicReplication::Fixed(replication),
        )];
        let options = AdminOptions::new().request_timeout(Some(CREATION));
        let answer = runtime.block_on(async {
            tokio::select! {
                answer = admin.create_topics(&wanted, &options) => Some(answer),
                () = stop.cancelled() => None,
            }
        });
        let Some(answer) = answer else {
            return Ok(false);
        };
        let results = answer.map_err(|error| NotCreated::Refused(error.to_string()))?;
        match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor))) => {
                Err(NotCreated::TooFewBrokers(brokers))
            }
            Some(Err((_, code))) => Err(NotCreated::Refused(code.to_string())),
            Some(Ok(_)) | None => {
                tracing::info!(topic, partitions, replication, "topic created");
                Ok(true)
            }
        }
    }

    /// Lets the client go.
    pub(crate) fn close(&mut self) {
        if let Some(admin) = self.0.take() {
            client::close(admin);
        }
    }
}
