//! Behavior shared by all librdkafka clients: they log to the host's log, and closing one takes
//! bounded time.

use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Longest wait for a client to close its connections.
const CLOSING: Duration = Duration::from_millis(600);

/// Kinds of log lines that librdkafka repeats with each attempt, or that the host reports itself,
/// once: unreachable brokers, ended clients, missing offsets, deleted topics. The others are no
/// news: properties of the other kind of client, and offsets not committed because of a rebalance.
const REPEATED: [&str; 12] = [
    "FAIL",
    "ERROR",
    "FATAL",
    "OIDC",
    "CONFWARN",
    "COMMITFAIL",
    "METADATAUPDATE",
    "SESSTMOUT",
    "REQTMOUT",
    "GETPID",
    "OFFSET",
    "PARTDEL",
];

/// Passes on a line of librdkafka's log.
pub(crate) fn log(level: Level, facility: &str, line: &str) {
    match level {
        _ if REPEATED.contains(&facility) => {
            tracing::debug!(target: "librdkafka", facility, "{line}");
        }
        Level::Emerg | Level::Alert | Level::Critical => {
            tracing::error!(target: "librdkafka", facility, "{line}");
        }
        Level::Error | Level::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Closes a client. If that takes long (a name server that does not answer, a broker that is gone),
/// closing continues in the background.
pub(crate) fn close<T: Send + 'static>(client: T) {
    let (done, closed) = crossbeam_channel::bounded::<()>(1);
    let closing = std::thread::Builder::new()
        .name("kafka-close".into())
        .spawn(move || {
            drop(client);
            drop(done);
        });
    // If no thread could be started, the client was dropped right here.
    if closing.is_ok() {
        let _ = closed.recv_timeout(CLOSING);
    }
}

/// Keeps the last error of a client that only asks questions.
#[derive(Default)]
pub(crate) struct LastError(Mutex<Option<(RDKafkaErrorCode, String)>>);

impl LastError {
    /// The last error since the previous call: its code, and librdkafka's text.
    pub(crate) fn take(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().take()
    }
}

impl ClientContext for LastError {
    fn log(&self, level: Level, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The error before "1/1 brokers are down" says more than that one.
        if let Some(code) = error.rdkafka_error_code()
            && code != RDKafkaErrorCode::AllBrokersDown
        {
            let last = (code, reason.to_owned());
            *self.0.lock() = Some(last);
        }
    }
}

impl ConsumerContext for LastError {}
