//! Kafka.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use super::{Sink, Source, Transport};
use crate::store::Store;
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct KafkaSettings { pub bootstrap: String, pub partitions: i32, pub replication: i32, pub relay_linger_ms: u64, pub properties: BTreeMap<String, String> }
impl KafkaSettings { pub fn redacted(self) -> Self { self } }
pub struct Kafka;
impl Kafka { pub fn new(_: Arc<Store>, _: KafkaSettings) -> anyhow::Result<Self> { Ok(Self) } }
impl Transport for Kafka {
    fn offset_namespace(&self) -> &'static str { "kafka" }
    fn partitions(&self, _: &str) -> i32 { 1 }
    fn consume(&self, _: Arc<Source>, _: Arc<dyn Sink>, _: CancellationToken) -> anyhow::Result<JoinHandle<()>> { anyhow::bail!("stub") }
    fn publish(&self, _: Vec<(Arc<str>, i64)>, _: CancellationToken) -> anyhow::Result<Option<JoinHandle<()>>> { Ok(None) }
    fn trouble(&self) -> Option<String> { None }
}
