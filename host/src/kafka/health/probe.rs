//! A client that only asks, on connections of its own.
//!
//! A broker answers the requests of a connection one after the other: behind a fetch that waits for records a question would wait as
//! long. Every call may come from any thread.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;
use std::time::Duration;

use crate::kafka::client::{self, LastError};
use crate::kafka::native::NoAnswer;
use crate::kafka::settings::KafkaSettings;

/// Questions in a row without an answer after which the client is replaced again.
const GIVEN_UP: u32 = 6;

/// A client that asks, made when it is first needed, and again when it is not answered: it may be the client that hears no broker
/// (see `liveness`).
pub(crate) struct Probe {
    settings: KafkaSettings,
    asking: Mutex<Asking>,
}

#[derive(Default)]
struct Asking {
    client: Option<BaseConsumer<LastError>>,
    unanswered: u32,
    reason: Option<(RDKafkaErrorCode, String)>,
}

impl Probe {
    pub(crate) fn new(settings: KafkaSettings) -> Self {
        Self {
            settings,
            asking: Mutex::default(),
        }
    }

    /// Asks. Takes as long as the question, and as long again for each that others ask in vain.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) fn ask<T>(
        &self,
        question: impl FnOnce(&Client<LastError>) -> Result<T, NoAnswer>,
    ) -> Result<T, NoAnswer> {
        let mut asking = self.lock();
        let client = match asking.client.take() {
            Some(client) => client,
            None => (self.settings.probe_config())
                .create_with_context(LastError::default())
                .map_err(|_| NoAnswer::NotAsked("a client to ask with can't be made"))?,
        };
        let answer = question(client.client());
        // Serves log lines and errors; there is nothing else to come.
        for _ in 0..self.settings.events_at_once() {
            drop(client.poll(Duration::ZERO));
        }
        // After an answer it is over, and not why brokers are lost the next time.
        asking.reason = client.context().take();
        let is_answered = !matches!(answer, Err(NoAnswer::Unanswered));
        asking.unanswered = if is_answered {
            0
        } else {
            asking.unanswered.saturating_add(1)
        };
        if asking.unanswered == 1
            || asking.unanswered > 0 && asking.unanswered.is_multiple_of(GIVEN_UP)
        {
            drop(asking);
            client::close(client);
        } else {
            asking.client = Some(client);
        }
        answer
    }

    /// Why the last question was not answered, in librdkafka's words, where it said so.
    pub(crate) fn reason(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.lock().reason.take()
    }

    fn lock(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let asking = self
            .asking
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = asking.client.take() {
            client::close(client);
        }
    }
}
