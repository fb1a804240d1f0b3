//! The hosts on the store, and what each of them does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dead_letters::of_store;
use crate::base::clock::now_ms;
use crate::base::host_name::host_name;
use crate::http::problem::Problem;
use crate::rollout::Reloader;
use crate::store::duties::{is_relay, partition_of};
use crate::store::hosts::{HostPartition, HostRow};
use crate::store::{Store, StoreResult};

/// The hosts on a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostsReport {
    /// They, in the order in which they came.
    pub hosts: Vec<HostReport>,
}

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Where it runs: the machine's name and the process.
    pub name: String,
    /// True for the host that was asked.
    pub is_this: bool,
    /// When it came, in milliseconds since the Unix epoch.
    pub since: u64,
    /// Milliseconds since its last sign of life.
    pub silent_ms: u64,
    /// True if it has given none for so long that others do its duties.
    pub is_gone: bool,
    /// True if it decides by the rules that are active in the store.
    pub is_current: bool,
    /// Why it can't take them over.
    pub behind: Option<String>,
    /// The participants that it runs.
    pub participants: Vec<String>,
    /// What it does for all besides reading: `timers NAME`, `relay`, `pruning`.
    pub duties: Vec<String>,
    /// The partitions that it reads.
    pub partitions: Vec<PartitionReport>,
}

/// A partition that a host reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionReport {
    /// The topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// The participant that reads it.
    pub participant: String,
    /// The group in which it is read.
    pub group: String,
}

/// What `GET /hosts` answers.
pub struct Hosts {
    store: Arc<Store>,
    reloader: Reloader,
    since: u64,
}

impl Hosts {
    /// The hosts on this store, of which this one is one since now.
    #[must_use]
    pub fn new(store: Arc<Store>, reloader: Reloader) -> Self {
        Self {
            store,
            reloader,
            since: now_ms(),
        }
    }

    /// The report.
    pub(super) async fn report(self: &Arc<Self>) -> Result<HostsReport, Problem> {
        let own = self.clone();
        of_store(move || own.look()).await
    }

    fn look(&self) -> StoreResult<HostsReport> {
        let reader = self.store.reader()?;
        if self.store.is_shared() {
            return Ok(HostsReport::of(reader.hosts()?, self.store.this_host()));
        }
        let duties = self.store.duties().held();
        // Over Kafka, no other store reads in the groups of this one.
        let of_kafka = match self
            .store
            .duties()
            .offered()
            .iter()
            .any(|duty| is_relay(duty))
        {
            true => reader.read_partitions()?,
            false => Vec::new(),
        };
        let of_kafka = of_kafka.into_iter().map(|read| HostPartition {
            topic: read.topic,
            partition: read.partition,
            consumer: read.consumer,
        });
        let of_log = duties.iter().filter_map(|duty| partition_of(duty));
        let mut partitions: Vec<_> = of_log.chain(of_kafka).collect();
        partitions.sort_unstable();
        let others = duties.iter().filter(|duty| partition_of(duty).is_none());
        let hosted = self.reloader.hosted();
        let only = HostRow {
            name: host_name(),
            since: self.since,
            is_current: true,
            participants: hosted
                .map(|one| one.participant.name().to_owned())
                .collect(),
            duties: others.map(|duty| duty.to_string()).collect(),
            partitions,
            ..HostRow::default()
        };
        let this = Some(only.id);
        Ok(HostsReport::of(vec![only], this))
    }
}

impl HostsReport {
    /// The report on these, of which the one in row `this` was asked.
    #[must_use]
    pub fn of(hosts: Vec<HostRow>, this: Option<i64>) -> Self {
        let reported = hosts.into_iter().map(|host| HostReport {
            is_this: this == Some(host.id),
            name: host.name,
            since: host.since,
            silent_ms: host.silent_ms,
            is_gone: host.is_gone,
            is_current: host.is_current,
            behind: host.behind,
            participants: host.participants,
            duties: host.duties,
            partitions: host.partitions.iter().map(PartitionReport::of).collect(),
        });
        Self {
            hosts: reported.collect(),
        }
    }
}

impl PartitionReport {
    fn of(read: &HostPartition) -> Self {
        Self {
            topic: read.topic.clone(),
            partition: read.partition,
            participant: read.participant().to_owned(),
            group: read.group().to_owned(),
        }
    }
}
