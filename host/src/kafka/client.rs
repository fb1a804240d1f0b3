//! Behavior shared by all librdkafka clients: they log to the host's log, and closing one takes
//! bounded time.

use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// Longest wait for the last actions of a client.
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

pub(crate) fn close<T: Send + 'static>(client: T) {
    finish(move || drop(client));
}

/// Performs a client's last actions. If they take long (a name server that does not answer, a
/// broker that is gone), they continue in the background.
pub(crate) fn finish(last: impl FnOnce() + Send + 'static) {
    let (done, ended) = crossbeam_channel::bounded::<()>(1);
    let thread = std::thread::Builder::new().name("kafka-close".into());
    let last = move || {
        last();
        drop(done);
    };
    // If no thread can be started, the client is dropped right here.
    if thread.spawn(last).is_ok() {
        let _ = ended.recv_timeout(CLOSING);
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
