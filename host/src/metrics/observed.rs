//! Values that are read on each scrape: queue lengths, ages, the size of the store, the active
//! generations.
//!
//! Plain values, filled in by the code that knows them; none is kept between scrapes.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The state of the host at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The hosted participants.
    pub participants: Vec<ObservedParticipant>,
    /// The topics that are published to.
    pub topics: Vec<ObservedTopic>,
    /// The partitions that are read.
    pub lags: Vec<ObservedLag>,
    /// Records that never reached this host: topic, group, reason, and their number.
    pub missed: Vec<(String, String, &'static str, u64)>,
    /// Age of the oldest message of each stage, in seconds.
    pub stages: Vec<(&'static str, f64)>,
    /// Files of the store, and their sizes in bytes.
    pub store_files: Vec<(&'static str, u64)>,
    /// Limit of the store's size in bytes, if there is one.
    pub store_limit: Option<u64>,
    /// True if the last commit failed.
    pub store_fails: bool,
    /// True if the store could be read for this scrape.
    pub store_is_read: bool,
    /// Duration so far of the commit in flight.
    pub store_commit: Duration,
    /// Hosts on the store that are there; `None` if unknown.
    pub hosts: Option<u64>,
    /// Duties that this host has.
    pub duties: u64,
    /// Log lines that were dropped.
    pub log_dropped: u64,
    /// True while records don't flow.
    pub transport_in_trouble: bool,
    /// True during a shortage of the machine.
    pub machine_lacks: bool,
    /// True while the host drains: it finishes the work in flight and takes no more.
    pub is_draining: bool,
}

/// A hosted participant.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedParticipant {
    /// Name.
    pub name: String,
    /// Digest of the active generation.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// Instances of the rules.
    pub instances: usize,
    /// Turns that wait for an instance.
    pub queued: usize,
    /// Aggregates whose states can't be read; `None` if unknown.
    pub quarantined: Option<u64>,
    /// Parked messages, and their bytes.
    pub parked: (usize, usize),
    /// Parked timers; `None` if unknown.
    pub parked_timers: Option<u64>,
    /// Open dead letters, and aggregates that they block; `None` if unknown.
    pub dead_letters: Option<(u64, u64)>,
    /// Decisions that were audited since the start, and those of them that are others; `None` without
    /// an audit.
    pub audited: Option<(u64, u64)>,
}

/// A topic that is published to.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedTopic {
    /// Name.
    pub name: String,
    /// Records published since the store was created.
    pub published: u64,
    /// Committed records that wait to be published, or to be read.
    pub waiting: u64,
    /// Age of the oldest of them in milliseconds; 0 if none waits.
    pub oldest_ms: u64,
}

/// A partition that is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedLag {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Consumer group.
    pub group: String,
    /// Records that are available and not settled.
    pub records: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObservedLabels {
    participant: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationLabels {
    participant: String,
    digest: String,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TopicLabels {
    topic: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    topic: String,
    partition: i32,
    group: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MissedLabels {
    topic: String,
    group: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabels {
    file: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Observed {
    pub(super) fn register(&self, registry: &mut Registry) {
        gauges(
            registry,
            "build_info",
            "The version of this host",
            [(
                BuildLabels {
                    version: env!("CARGO_PKG_VERSION"),
                },
                1,
            )],
        );
        self.register_participants(registry);
        self.register_topics(registry);
        self.register_store(registry);
        let dropped: Counter = Counter::default();
        dropped.inc_by(self.log_dropped);
        registry.register(
            "log_lines_dropped",
            "Lines of the log that were dropped because nobody read standard error",
            dropped,
        );
        let missed = Family::<MissedLabels, Counter>::default();
        for (topic, group, reason, records) in &self.missed {
            let labels = MissedLabels {
                topic: topic.clone(),
                group: group.clone(),
                reason,
            };
            missed.get_or_create(&labels).inc_by(*records);
        }
        registry.register(
            "records_missed",
            "Records that were never given to this host: deleted before they were read, or before where it began",
            missed,
        );
        let stages = Family::<StageLabels, Gauge<f64, AtomicU64>>::default();
        for (stage, seconds) in &self.stages {
            stages.get_or_create(&StageLabels { stage }).set(*seconds);
        }
        registry.register(
            "stage_oldest_seconds",
            "How long the oldest message of a stage waits; beyond its bound in `[progress]` the host is not ready",
            stages,
        );
        let mut flag = |name: &str, help: &str, is_so: bool| {
            let gauge: Gauge = Gauge::default();
            gauge.set(is_so.into());
            registry.register(name, help, gauge);
        };
        flag(
            "transport_trouble",
            "1 while records don't flow; `/readyz` says why",
            self.transport_in_trouble,
        );
        flag(
            "machine_lacking",
            "1 while the machine lacks memory, threads or file descriptors; `/readyz` says what",
            self.machine_lacks,
        );
        flag(
            "draining",
            "1 while the host finishes the work in flight before it ends",
            self.is_draining,
        );
    }

    fn register_participants(&self, registry: &mut Registry) {
        let labels = |one: &ObservedParticipant| ObservedLabels {
            participant: one.name.clone(),
        };
        let of = self.participants.iter();
        gauges(
            registry,
            "generation_info",
            "The generation of the rules that decides",
            of.clone().map(|one| {
                let labels = GenerationLabels {
                    participant: one.name.clone(),
                    digest: one.digest.clone(),
                    version: one.version.clone(),
                };
                (labels, 1)
            }),
        );
        gauges(
            registry,
            "instances",
            "Instances of the rules, each with a thread",
            of.clone().map(|one| (labels(one), one.instances as u64)),
        );
        gauges(
            registry,
            "turns_queued",
            "Turns that wait for an instance",
            of.clone().map(|one| (labels(one), one.queued as u64)),
        );
        gauges(
            registry,
            "quarantined_aggregates",
            "Aggregates whose states can't be read, counted up to 10000",
            of.clone()
                .filter_map(|one| Some((labels(one), one.quarantined?))),
        );
        gauges(
            registry,
            "parked_messages",
            "Messages that wait in the store, for another attempt or for rules that can decide them",
            of.clone().map(|one| (labels(one), one.parked.0 as u64)),
        );
        gauges(
            registry,
            "parked_bytes",
            "Bytes of the messages that wait in the store",
            of.clone().map(|one| (labels(one), one.parked.1 as u64)),
        );
        gauges(
            registry,
            "parked_timers",
            "Timers that are due and could not be decided, counted up to 10000",
            of.clone()
                .filter_map(|one| Some((labels(one), one.parked_timers?))),
        );
        gauges(
            registry,
            "open_dead_letters",
            "Dead letters that were neither decided nor discarded, counted up to 10000",
            of.clone()
                .filter_map(|one| Some((labels(one), one.dead_letters?.0))),
        );
        gauges(
            registry,
            "blocked_aggregates",
            "Aggregates whose later messages wait behind a dead letter",
            of.clone()
                .filter_map(|one| Some((labels(one), one.dead_letters?.1))),
        );
        let (audited, alarms) = (
            Family::<ObservedLabels, Counter>::default(),
            Family::<ObservedLabels, Counter>::default(),
        );
        for one in of {
            if let Some((all, others)) = one.audited {
                audited.get_or_create(&labels(one)).inc_by(all);
                alarms.get_or_create(&labels(one)).inc_by(others);
            }
        }
        registry.register(
            "audited_decisions",
            "Decisions that the audit made again on a fresh instance",
            audited,
        );
        registry.register(
            "audit_alarms",
            "Audited decisions that are others on a fresh instance: the rules keep something",
            alarms,
        );
    }

    fn register_topics(&self, registry: &mut Registry) {
        let labels = |one: &ObservedTopic| TopicLabels {
            topic: one.name.clone(),
        };
        let published = Family::<TopicLabels, Counter>::default();
        for topic in &self.topics {
            published
                .get_or_create(&labels(topic))
                .inc_by(topic.published);
        }
        registry.register(
            "records_published",
            "Records published since the store was created; on the embedded log, what is committed is published",
            published,
        );
        gauges(
            registry,
            "outbox_depth",
            "Records that are committed and wait: to be published to Kafka, or on the embedded log to be settled by all who read them",
            (self.topics.iter()).map(|one| (labels(one), one.waiting)),
        );
        let ages = Family::<TopicLabels, Gauge<f64, AtomicU64>>::default();
        for topic in &self.topics {
            ages.get_or_create(&labels(topic))
                .set(topic.oldest_ms as f64 / 1_000.0);
        }
        registry.register(
            "outbox_oldest_age_seconds",
            "Age of the oldest record that waits; 0 where none does",
            ages,
        );
        gauges(
            registry,
            "consumer_lag_records",
            "Records of a partition that are there and not settled",
            self.lags.iter().map(|lag| {
                let labels = PartitionLabels {
                    topic: lag.topic.clone(),
                    partition: lag.partition,
                    group: lag.group.clone(),
                };
                (labels, lag.records)
            }),
        );
    }

    fn register_store(&self, registry: &mut Registry) {
        gauges(
            registry,
            "store_bytes",
            "Size of the store's files",
            (self.store_files.iter()).map(|(file, bytes)| (FileLabels { file }, *bytes)),
        );
        let commit: Gauge<f64, AtomicU64> = Gauge::default();
        commit.set(self.store_commit.as_secs_f64());
        registry.register(
            "store_commit_waiting_seconds",
            "Time for which the commit in flight has been waiting; 0 if there is none",
            commit,
        );
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        };
        if let Some(limit) = self.store_limit {
            gauge(
                "store_limit_bytes",
                "Bytes that the store may grow to, where that is set",
                limit,
            );
        }
        if let Some(hosts) = self.hosts {
            gauge(
                "hosts",
                "Hosts on the store that are there, as this one sees them",
                hosts,
            );
        }
        gauge(
            "duties",
            "What this host does for all on its store: partitions of the embedded log, timers, the relay, pruning",
            self.duties,
        );
        gauge(
            "store_failing",
            "1 while the store takes no commits, or can't be read",
            u64::from(self.store_fails || !self.store_is_read),
        );
    }
}

/// Registers a gauge with these series. A metric without series is left out.
fn gauges<L>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, u64)>,
) where
    L: EncodeLabelSet + std::fmt::Debug + Clone + std::hash::Hash + Eq + Send + Sync + 'static,
{
    let family = Family::<L, Gauge>::default();
    for (labels, value) in values {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        family.get_or_create(&labels).set(value);
    }
    registry.register(name, help, family);
}
