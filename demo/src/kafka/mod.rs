//! Kafka as any other client sees it: what the walk shows of it, and what the benchmark compares with.
//!
//! # Layout
//! - `cluster`: the broker of a run, one's own or one that is there;
//! - `topics`: creating topics, where they end, whether the groups are complete;
//! - `records`: reading what is on topics, writing one record by hand.
//!
//! Must not know: hosts.

pub mod cluster;
pub mod records;
pub mod topics;

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::config::ClientConfig;

/// The topic that tells of orders.
pub const ORDER_TOPIC: &str = "orderTopic";
/// The topic that tells how they were decided.
pub const CUSTOMER_TOPIC: &str = "customerTopic";
/// The groups that read them: `order` reads `orderTopic`, `customer` reads `customerTopic`.
pub const GROUPS: [&str; 2] = ["order", "customer"];

/// A broker that is asked something answers within milliseconds; later than this is wrong.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// The settings that all clients here share.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "saga-demo");
    config
}

/// Runs what waits for a broker on a thread of its own, so that Ctrl-C is noticed meanwhile.
///
/// # Errors
/// Those of the work, or it broke.
pub async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .context("a thread that talked to Kafka broke")?
}
