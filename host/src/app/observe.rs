//! Values that are read on each scrape of the metrics: from the store, the transport and the
//! participants.
//!
//! Each read is bounded: one row per partition and topic, none per record or aggregate.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::base::clock::now_ms;
use crate::base::last_observed::{LastObserved, Observation};
use crate::base::machine::Machine;
use crate::logging;
use crate::metrics::observed::{Observed, ObservedLag, ObservedParticipant, ObservedTopic};
use crate::rollout::Reloader;
use crate::rollout::hosted::HostedParticipant;
use crate::stages::Stages;
use crate::store::{OutboxReaders, ReadStore, Store, StoreResult};
use crate::transport::{Source, Transport, WHY_MISSED};

/// Quarantined aggregates, and parked timers, counted per participant at most.
const QUARANTINED: usize = 10_000;

/// The sources of the values.
pub(super) struct Observer {
    pub(super) store: Arc<Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) reloader: Reloader,
    pub(super) readers: OutboxReaders,
    /// Limit of the store's size in bytes; 0 for none.
    pub(super) max_bytes: u64,
    /// True if decisions are audited.
    pub(super) is_audited: bool,
    pub(super) machine: Machine,
    pub(super) draining: CancellationToken,
    pub(super) stages: Stages,
    pub(super) looked: LastObserved<Looked>,
}

/// Values whose reading may block.
#[derive(Clone, Default)]
pub(super) struct Looked {
    store_files: Vec<(&'static str, u64)>,
    in_store: Option<InStore>,
}

/// Values from the store.
#[derive(Clone, Default)]
struct InStore {
    topics: Vec<ObservedTopic>,
    lags: Vec<ObservedLag>,
    hosts: u64,
    /// Quarantined aggregates, parked timers, and dead letters, per participant.
    participants: Vec<(u64, u64, (u64, u64))>,
}

impl Observer {
    /// The present values. If the store does not answer, those that need no store; sizes are then
    /// the last known ones.
    pub(super) async fn observe(self: &Arc<Self>) -> Observed {
        let own = self.clone();
        let condition = self.store.condition();
        let seen = (self.looked).see(move || own.look(), || condition.is_stuck());
        let (looked, is_now) = match seen.await {
            Observation::Now(looked) => (looked, true),
            Observation::Before(looked, _) => (looked, false),
            Observation::Never => (Looked::default(), false),
        };
        let in_store = looked.in_store.filter(|_| is_now);
        let mut observed = Observed {
            participants: (self.reloader.hosted())
                .map(|hosted| participant(hosted, self.is_audited))
                .collect(),
            store_files: looked.store_files,
            store_limit: (self.max_bytes > 0).then_some(self.max_bytes),
            store_fails: condition.trouble().is_some(),
            store_is_read: in_store.is_some(),
            store_commit: condition.work().lasts(),
            transport_in_trouble: self.transport.trouble().is_some(),
            machine_lacks: self.machine.shortage().is_some(),
            is_draining: self.draining.is_cancelled(),
            duties: self.store.duties().held().len() as u64,
            log_dropped: logging::dropped(),
            missed: self.missed(),
            stages: (self.stages.ages().into_iter())
                .map(|(stage, age)| (stage, age.as_secs_f64()))
                .collect(),
            ..Observed::default()
        };
        if let Some(found) = in_store {
            (observed.topics, observed.lags) = (found.topics, found.lags);
            observed.hosts = Some(found.hosts);
            for (told, (quarantined, timers, letters)) in
                observed.participants.iter_mut().zip(found.participants)
            {
                told.quarantined = Some(quarantined);
                told.parked_timers = Some(timers);
                told.dead_letters = Some(letters);
            }
        }
        observed
    }

    /// Records that never reached this host, by source and reason. Reasons that never occurred
    /// count 0.
    fn missed(&self) -> Vec<(String, String, &'static str, u64)> {
        let known = self.transport.missed();
        let sources = self.reloader.hosted().flat_map(HostedParticipant::sources);
        let of = |source: Arc<Source>| {
            let known = &known;
            WHY_MISSED.map(move |why| {
                let (topic, group) = (&source.topic, &source.group);
                let found = (known.iter())
                    .find(|one| one.topic == *topic && one.group == *group && one.why == why);
                let records = found.map_or(0, |found| found.records);
                (topic.to_string(), group.to_string(), why, records)
            })
        };
        sources.flat_map(of).collect()
    }

    /// Blocks.
    fn look(&self) -> Looked {
        let store_files = self.store.bytes();
        let found = self.store.reader().and_then(|reader| self.find(&*reader));
        let in_store = found.inspect_err(|fault| {
            let condition = self.store.condition();
            condition.report("the store can't be read for the metrics", fault);
        });
        Looked {
            store_files,
            in_store: in_store.ok(),
        }
    }

    fn find(&self, reading: &dyn ReadStore) -> StoreResult<InStore> {
        let now = now_ms();
        let backlogs = reading.backlogs(self.readers)?;
        let topics = backlogs.into_iter().map(|(name, backlog)| ObservedTopic {
            name,
            published: backlog.published,
            waiting: backlog.waiting,
            oldest_ms: backlog
                .oldest
                .map_or(0, |oldest| now.saturating_sub(oldest)),
        });
        let hosts = reading.hosts()?.iter().filter(|host| !host.is_gone).count();
        let mut found = InStore {
            topics: topics.collect(),
            // A store with one host has no list of them.
            hosts: hosts.max(1) as u64,
            ..InStore::default()
        };
        for hosted in self.reloader.hosted() {
            found.participants.push((
                reading.quarantined_up_to(hosted.row, QUARANTINED)?,
                reading.parked_timers_up_to(hosted.row, QUARANTINED)?,
                reading.open_dead_letters_up_to(hosted.row, QUARANTINED)?,
            ));
            for source in hosted.sources() {
                for extent in self.transport.extents(reading, &source)? {
                    let stored =
                        reading.offset(&source.consumer, source.topic_row, extent.partition)?;
                    let behind = extent.end - extent.settled(stored);
                    found.lags.push(ObservedLag {
                        topic: source.topic.to_string(),
                        partition: extent.partition,
                        group: source.group.to_string(),
                        // The known end of the partition may be older than the stored offset.
                        records: u64::try_from(behind).unwrap_or(0),
                    });
                }
            }
        }
        Ok(found)
    }
}

fn participant(hosted: &HostedParticipant, is_audited: bool) -> ObservedParticipant {
    let active = hosted.participant.active();
    let (instances, queued) = hosted.participant.load();
    ObservedParticipant {
        name: hosted.participant.name().to_owned(),
        digest: crate::base::generation::short(active.digest()).to_owned(),
        version: active.description().version.clone(),
        instances,
        queued,
        quarantined: None,
        parked: hosted.participant.parked(),
        parked_timers: None,
        dead_letters: None,
        audited: is_audited.then(|| {
            let found = hosted.audit.told();
            (found.audited, found.alarms)
        }),
    }
}
