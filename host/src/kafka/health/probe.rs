//! Which topic it is, asked on connections of their own.
//!
//! A broker answers the requests of a connection one after the other. Behind a fetch that waits for records a question would
//! wait as long, and with it the records that it is asked for. Every call may come from any thread.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::kafka::client::{self, LastError};
use crate::kafka::native::NoAnswer;
use crate::kafka::settings::KafkaSettings;
use crate::kafka::topics::id::topic_id;

/// A client that only asks.
pub(crate) struct Asker {
    settings: KafkaSettings,
    /// Made when it is first needed.
    client: Mutex<Option<BaseConsumer<LastError>>>,
}

impl Asker {
    pub(crate) fn new(settings: KafkaSettings) -> Self {
        Self {
            settings,
            client: Mutex::default(),
        }
    }

    /// Asks the brokers for the id of a topic. Takes little longer than `timeout`, and as long again where somebody else
    /// asks in vain.
    ///
    /// # Errors
    /// Why it is not known.
    pub(crate) fn topic_id(&self, topic: &str, timeout: Duration) -> Result<String, NoAnswer> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let asking = match kept.take() {
            Some(asking) => asking,
            None => (self.settings.watch_config())
                .create_with_context(LastError::default())
                .map_err(|_| NoAnswer::NotAsked("a client to ask with can't be made"))?,
        };
        let answer = topic_id(asking.client(), topic, timeout);
        // Serves log lines and errors; there is nothing else to come.
        for _ in 0..self.settings.events_at_once() {
            drop(asking.poll(Duration::ZERO));
        }
        if answer == Err(NoAnswer::Unanswered) {
            // It may be the client that hears nobody (see `pulse`): the next question is another one's.
            drop(kept);
            client::close(asking);
        } else {
            *kept = Some(asking);
        }
        answer
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let kept = self
            .client
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(asking) = kept.take() {
            client::close(asking);
        }
    }
}
