//! The hosts on a store, and what each of them does for all.

use super::duties::is_reading;
use super::read::StoreResult;
use super::streams::{RELAY, group_of};

/// A host on a store with several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostRow {
    /// Its row.
    pub id: i64,
    /// Where it runs: the machine's name and the process.
    pub name: String,
    /// When it joined, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Milliseconds since its last sign of life, by the store's clock.
    pub silent_ms: u64,
    /// True if it has given none for so long that others do its duties.
    pub is_gone: bool,
    /// True if it decides by the rules that are active in the store.
    pub is_current: bool,
    /// Why it can't take them over.
    pub behind: Option<String>,
    /// The participants that it runs, sorted.
    pub participants: Vec<String>,
    /// What it does for all besides reading, sorted.
    pub duties: Vec<String>,
    /// The partitions that it was the last to claim, by topic, number and consumer.
    pub partitions: Vec<HostPartition>,
}

/// A partition that a host reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPartition {
    /// The topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The name under which its offset is kept: `log:PARTICIPANT/GROUP` or `kafka:PARTICIPANT/GROUP`.
    pub consumer: String,
}

/// Queries for hosts.
pub trait ReadHosts {
    /// The hosts on the store, those among them that have not been gone for long or have left, in
    /// the order of their rows. Empty if the store has one host.
    fn hosts(&self) -> StoreResult<Vec<HostRow>>;
}

impl HostRow {
    /// Adds a duty, unless it is the reading of a partition: those are told by their claims.
    pub(super) fn add_duty(&mut self, name: String) {
        if !is_reading(&name) {
            self.duties.push(name);
        }
    }

    /// Adds a claimed partition, unless it is one of the relay's: it has them all.
    pub(super) fn add_partition(&mut self, partition: HostPartition) {
        if partition.consumer != RELAY {
            self.partitions.push(partition);
        }
    }
}

impl HostPartition {
    /// The participant that reads it.
    #[must_use]
    pub fn participant(&self) -> &str {
        let (_, of) = self.consumer.split_once(':').unwrap_or_default();
        of.split_once('/')
            .map_or("", |(participant, _)| participant)
    }

    /// The group in which it is read.
    #[must_use]
    pub fn group(&self) -> &str {
        group_of(&self.consumer)
    }
}
