//! A client for questions only, on connections of its own.
//!
//! A broker answers the requests of a connection one after the other: behind a fetch that waits for
//! records, a question would wait as long.

use std::time::Duration;

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::kafka::client::{self, LastError};
use crate::kafka::native::is_unanswered;
use crate::kafka::settings::KafkaSettings;

/// Consecutive questions without an answer after which the client is replaced again.
const GIVEN_UP: u32 = 6;

/// A client for questions. It is made when first needed, and made again if it gets no answer: it
/// may have no broker left to ask.
pub(crate) struct Probe {
    settings: KafkaSettings,
    client: Option<BaseConsumer<LastError>>,
    unanswered: u32,
    /// The reason for which the last question was not answered: librdkafka's text, if it gave one.
    pub(crate) reason: Option<(Code, String)>,
}

impl Probe {
    pub(crate) fn new(settings: KafkaSettings) -> Self {
        Self {
            settings,
            client: None,
            unanswered: 0,
            reason: None,
        }
    }

    pub(crate) fn ask<T>(
        &mut self,
        question: impl FnOnce(&Client<LastError>) -> Result<T, Code>,
    ) -> Result<T, Code> {
        let client = match self.client.take() {
            Some(client) => client,
            None => (self.settings.probe_config())
                .create_with_context(LastError::default())
                .map_err(|error| code_of(&error))?,
        };
        let answer = question(client.client());
        // Serves log lines and errors; nothing else can arrive.
        for _ in 0..self.settings.events_at_once() {
            drop(client.poll(Duration::ZERO));
        }
        // After an answer this reason is outdated, and must not explain the next outage.
        self.reason = client.context().take();
        match &answer {
            Err(code) if is_unanswered(*code) => self.unanswered += 1,
            _ => self.unanswered = 0,
        }
        if self.unanswered % GIVEN_UP == 1 {
            client::close(client);
        } else {
            self.client = Some(client);
        }
        answer
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client::close(client);
        }
    }
}

/// The code of an error; `Unknown` if it has none.
pub(crate) fn code_of(error: &KafkaError) -> Code {
    match error {
        KafkaError::AdminOp(code) => *code,
        other => other.rdkafka_error_code().unwrap_or(Code::Unknown),
    }
}
