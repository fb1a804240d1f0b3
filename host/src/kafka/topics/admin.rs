//! Requests of an administrator: creating a missing topic, asking for a topic's settings.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio_util::sync::CancellationToken;

use super::config::TopicConfig;
use crate::kafka::client;
use crate::kafka::health::probe::code_of;
use crate::kafka::settings::KafkaSettings;

/// Longest time for creating a topic before it is retried.
const CREATION: Duration = Duration::from_secs(3);

/// Longest wait for a topic's settings.
const QUESTION: Duration = Duration::from_millis(700);

/// A client for such requests, made when needed.
pub(crate) struct TopicAdmin {
    settings: KafkaSettings,
    stop: CancellationToken,
    client: Option<AdminClient<DefaultClientContext>>,
}

impl TopicAdmin {
    /// Requests end when `stop` is cancelled.
    pub(crate) fn new(settings: KafkaSettings, stop: CancellationToken) -> Self {
        Self {
            settings,
            stop,
            client: None,
        }
    }

    /// Creates a topic; true if it did not exist.
    pub(crate) fn create(&mut self, topic: &str) -> Result<bool, Code> {
        let (partitions, replication) = (self.settings.partitions, self.settings.replication);
        let wanted = [NewTopic::new(
            topic,
            partitions,
            TopicReplication::Fixed(replication),
        )];
        let options = AdminOptions::new().request_timeout(Some(CREATION));
        let answer = self.wait(|client| client.create_topics(&wanted, &options));
        match answer? {
            // The end of this process is no condition of the topic.
            None | Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(code),
            Some(Ok(_)) => {
                tracing::info!(topic, partitions, replication, "topic created");
                Ok(true)
            }
        }
    }

    /// Asks for the settings of a topic; `None` if `stop` was cancelled.
    pub(crate) fn config(&mut self, topic: &str) -> Result<Option<TopicConfig>, Code> {
        let wanted = [ResourceSpecifier::Topic(topic)];
        let options = AdminOptions::new().request_timeout(Some(QUESTION));
        let answer = self.wait(|client| client.describe_configs(&wanted, &options));
        let Some(resource) = answer?.transpose()? else {
            return Ok(None);
        };
        let mut config = TopicConfig::default();
        for entry in &resource.entries {
            config.take(&entry.name, entry.value.as_deref().unwrap_or_default());
        }
        Ok(Some(config))
    }

    /// Sends a request about one topic and waits for its result; `None` if `stop` came first.
    fn wait<T, A: Future<Output = KafkaResult<Vec<T>>>>(
        &mut self,
        request: impl FnOnce(&AdminClient<DefaultClientContext>) -> A,
    ) -> Result<Option<T>, Code> {
        let client = match self.client.take() {
            Some(client) => client,
            None => (self.settings.probe_config().create()).map_err(|error| code_of(&error))?,
        };
        let answer = request(self.client.insert(client));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = runtime.map_err(|_| Code::CriticalSystemResource)?;
        let results = runtime.block_on(async {
            tokio::select! {
                results = answer => Some(results),
                () = self.stop.cancelled() => None,
            }
        });
        let Some(results) = results else {
            return Ok(None);
        };
        let results = results.map_err(|error| code_of(&error))?;
        results.into_iter().next().map(Some).ok_or(Code::Fail)
    }

    /// Drops the client.
    pub(crate) fn close(&mut self) {
        if let Some(client) = self.client.take() {
            client::close(client);
        }
    }
}
