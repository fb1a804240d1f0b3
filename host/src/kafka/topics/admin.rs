//! Requests of an administrator: creating a missing topic, asking for a topic's settings.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode as Code;

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
    client: Option<AdminClient<DefaultClientContext>>,
}

impl TopicAdmin {
    pub(crate) fn new(settings: KafkaSettings) -> Self {
        let client = None;
        Self { settings, client }
    }

    /// Creates a topic; true if it did not exist.
    pub(crate) fn create(&mut self, topic: &str) -> Result<bool, Code> {
        let (partitions, replication) = (self.settings.partitions, self.settings.replication);
        let factor = TopicReplication::Fixed(replication);
        let wanted = [NewTopic::new(topic, partitions, factor)];
        let options = AdminOptions::new().request_timeout(Some(CREATION));
        match self.ask(|client| client.create_topics(&wanted, &options))? {
            Ok(_) => {
                tracing::info!(topic, partitions, replication, "topic created");
                Ok(true)
            }
            Err((_, Code::TopicAlreadyExists)) => Ok(false),
            Err((_, code)) => Err(code),
        }
    }

    pub(crate) fn config(&mut self, topic: &str) -> Result<TopicConfig, Code> {
        let resource = [ResourceSpecifier::Topic(topic)];
        let options = AdminOptions::new().request_timeout(Some(QUESTION));
        let resource = self.ask(|client| client.describe_configs(&resource, &options))??;
        let mut config = TopicConfig::default();
        for entry in &resource.entries {
            config.take(&entry.name, entry.value.as_deref().unwrap_or_default());
        }
        Ok(config)
    }

    /// Sends a request about one topic and waits for its result.
    fn ask<T, A: Future<Output = KafkaResult<Vec<T>>>>(
        &mut self,
        request: impl FnOnce(&AdminClient<DefaultClientContext>) -> A,
    ) -> Result<T, Code> {
        let client = match self.client.take() {
            Some(client) => client,
            None => (self.settings.probe_config().create()).map_err(|error| code_of(&error))?,
        };
        let answer = request(self.client.insert(client));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|_| Code::CriticalSystemResource)?;
        let results = runtime.block_on(answer).map_err(|error| code_of(&error))?;
        results.into_iter().next().ok_or(Code::Fail)
    }

    pub(crate) fn close(&mut self) {
        if let Some(client) = self.client.take() {
            client::close(client);
        }
    }
}
