//! Clients of Kafka for programs that start hosts over it.
//!
//! # Layout
//!
//! - `cluster`: the broker of a run
//! - `topics`: creating topics, their end offsets, complete groups
//! - `records`: reading topics, writing one record
//!
//! Must not know: hosts.

pub mod cluster;
pub mod records;
pub mod topics;

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::config::ClientConfig;

/// Longest wait for an answer of a broker, which takes milliseconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// The settings of all clients here.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "saga-testkit");
    config
}

/// Runs blocking work on a thread of its own, so that Ctrl-C is noticed meanwhile.
///
/// # Errors
/// The error of the work, or it panicked.
pub async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a thread that talked to Kafka broke")?
}
