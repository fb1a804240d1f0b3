//! What all librdkafka clients have in common: their log lines go to ours, and closing one takes
//! bounded time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Time that a client gets to close its connections while somebody waits for it.
const CLOSING: Duration = Duration::from_millis(600);

/// Passes on a line of librdkafka's log.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    // Each attempt to connect, each second, is one of these. The host itself reports, once, that brokers can't be reached, that a
    // client came to its end, and what was lost where an offset is not there any more. No news either: a property for the other
    // kind of client, and an offset that was not committed because the group was just changing.
    let repeated = matches!(
        facility,
        "FAIL"
            | "ERROR"
            | "FATAL"
            | "OIDC"
            | "CONFWARN"
            | "COMMITFAIL"
            | "METADATAUPDATE"
            | "SESSTMOUT"
            | "REQTMOUT"
            | "GETPID"
            | "OFFSET"
            // What was in a queue of a topic that was deleted; the deletion is reported by us.
            | "PARTDEL"
    );
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical
            if !repeated =>
        {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if !repeated => {
            tracing::warn!(target: "librdkafka", facility, "{line}");
        }
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Ends a client. Where that takes long (a name server that does not answer, a broker that is gone)
/// it goes on in the background.
pub(crate) fn close<T: Send + 'static>(client: T) {
    let (done, closed) = crossbeam_channel::bounded::<()>(1);
    let closing = std::thread::Builder::new()
        .name("kafka-close".into())
        .spawn(move || {
            drop(client);
            drop(done);
        });
    // Without a thread the client was dropped here and now.
    if closing.is_ok()
        && closed.recv_timeout(CLOSING) == Err(crossbeam_channel::RecvTimeoutError::Timeout)
    {
        tracing::debug!("a Kafka client takes long to close; it is left to itself");
    }
}

/// Remembers the last error of a client that only asks.
#[derive(Default)]
pub(crate) struct LastError(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl LastError {
    /// The error since the last call: its code, and librdkafka's words.
    pub(crate) fn take(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for LastError {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
        // "1/1 brokers are down" says less than the reason that came before it.
        if let Some(code) = error.rdkafka_error_code()
            && code != RDKafkaErrorCode::AllBrokersDown
        {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for LastError {}
