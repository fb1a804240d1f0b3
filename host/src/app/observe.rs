//! What is looked up for the metrics when somebody asks: in the store, the transport and the participants.
//!
//! Each look is bounded: a row for each partition and topic, none for each record or aggregate.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::machine::Machine;
use crate::metrics::observed::{Observed, ObservedLag, ObservedParticipant, ObservedTopic};
use crate::reload::Reloader;
use crate::reload::hosted::Hosted;
use crate::stages::Stages;
use crate::store::{OutboxReaders, Reader, Store, backlog, history, parked};
use crate::transport::{Source, Transport, WHY_MISSED};

/// Quarantined aggregates, and parked timers, that are counted of a participant.
const QUARANTINED: usize = 10_000;

/// Where to look.
pub(super) struct Observer {
    pub(super) store: Arc<Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) reloader: Reloader,
    pub(super) readers: OutboxReaders,
    /// Bytes that the store may grow to; 0 for no bound.
    pub(super) max_bytes: u64,
    pub(super) machine: Machine,
    pub(super) draining: CancellationToken,
    pub(super) stages: Stages,
    /// Opened when somebody asks for the first time; who asks meanwhile waits.
    pub(super) reader: Mutex<Option<Reader>>,
}

impl Observer {
    /// What there is now. Blocks.
    pub(super) fn observe(&self) -> Observed {
        let mut observed = Observed {
            participants: self.reloader.hosted().map(participant).collect(),
            store_files: self.store.bytes(),
            store_limit: (self.max_bytes > 0).then_some(self.max_bytes),
            store_fails: self.store.condition().trouble().is_some(),
            store_is_read: true,
            transport_in_trouble: self.transport.trouble().is_some(),
            machine_lacks: self.machine.lack().is_some(),
            is_draining: self.draining.is_cancelled(),
            missed: self.missed(),
            stages: (self.stages.ages().into_iter())
                .map(|(stage, age)| (stage, age.as_secs_f64()))
                .collect(),
            ..Observed::default()
        };
        let mut kept = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match kept.take() {
            Some(opened) => Ok(opened),
            None => self.store.reader(),
        };
        let looked = opened.and_then(|opened| self.look(kept.insert(opened), &mut observed));
        if let Err(error) = looked {
            let condition = self.store.condition();
            condition.report("the store can't be read for the metrics", &error.into());
            observed.store_is_read = false;
        }
        observed
    }

    /// Records that were never given to this host, by source and reason. What has not occurred is told as 0.
    fn missed(&self) -> Vec<(String, String, &'static str, u64)> {
        let known = self.transport.missed();
        let sources = self.reloader.hosted().flat_map(Hosted::sources);
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

    fn look(&self, reader: &Reader, observed: &mut Observed) -> rusqlite::Result<()> {
        let sql = reader.connection();
        let now = now_ms();
        let backlogs = backlog::backlogs(sql, self.readers)?;
        observed.topics = backlogs
            .into_iter()
            .map(|(name, backlog)| ObservedTopic {
                name,
                published: backlog.published,
                waiting: backlog.waiting,
                oldest_ms: backlog
                    .oldest
                    .map_or(0, |oldest| now.saturating_sub(oldest)),
            })
            .collect();
        for (hosted, told) in self.reloader.hosted().zip(&mut observed.participants) {
            let count = history::quarantined_up_to(sql, hosted.row, QUARANTINED)?;
            told.quarantined = Some(count);
            told.parked_timers = Some(parked::timers_up_to(sql, hosted.row, QUARANTINED)?);
            for source in hosted.sources() {
                for extent in self.transport.extents(reader, &source)? {
                    let stored =
                        reader.offset(&source.consumer, source.topic_row, extent.partition)?;
                    let behind = extent.end - extent.settled(stored);
                    observed.lags.push(ObservedLag {
                        topic: source.topic.to_string(),
                        partition: extent.partition,
                        group: source.group.to_string(),
                        // What is known of the end may be older than what is stored.
                        records: u64::try_from(behind).unwrap_or(0),
                    });
                }
            }
        }
        Ok(())
    }
}

fn participant(hosted: &Hosted) -> ObservedParticipant {
    let active = hosted.participant.active();
    let (instances, queued) = hosted.participant.load();
    ObservedParticipant {
        name: hosted.participant.name().to_owned(),
        digest: crate::metrics::turns::short(active.digest()).to_owned(),
        version: active.description().version.clone(),
        instances,
        queued,
        quarantined: None,
        parked: hosted.participant.parked(),
        parked_timers: None,
    }
}
