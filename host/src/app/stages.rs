//! The stages of a host: the samples of each, and their sources.
//!
//! `turn` and `commit` are read from counters in memory; the others cost a few reads of the store
//! per second, each bounded: one row per partition, topic or participant. What is another host's
//! duty is none of this one's. To add a stage, add a function here.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::now_ms;
use crate::base::session::{Extent, Source};
use crate::rollout::Reloader;
use crate::rollout::hosted::HostedParticipant;
use crate::stages::age::{PlaceMap, QueueAge, Standstill};
use crate::stages::{ProgressSettings, SampleFn, Stage, WaitingPlace};
use crate::store::duties::{relay_of, timers_of};
use crate::store::{OutboxReaders, ReadStore, Store, StoreResult};
use crate::transport::Transport;
use crate::turn::Participant;

/// Time between two reads of the parked messages, of which there may be many.
const PARKED: Duration = Duration::from_secs(3);

/// Samples for which an unassigned partition is remembered: a recreated client knows none for a
/// while.
const AWAY: u64 = 60;

/// The sources of the stages.
#[derive(Clone)]
pub(super) struct StageSources {
    pub(super) store: Arc<Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) reloader: Reloader,
    pub(super) readers: OutboxReaders,
}

/// The stages of a host, with their bounds.
pub(super) fn stages(around: &StageSources, bounds: &ProgressSettings) -> Vec<Stage> {
    let stage = |name, setting, bound, look| Stage {
        name,
        setting,
        bound,
        look,
    };
    // Stages in memory come first: they are sampled even if the store does not answer.
    let mut stages = vec![
        stage(
            "turn",
            "progress.turn_seconds",
            bounds.turn_seconds,
            turns(around.clone()),
        ),
        stage(
            "commit",
            "progress.commit_seconds",
            bounds.commit_seconds,
            commits(around.store.clone()),
        ),
    ];
    if matches!(around.readers, OutboxReaders::Relay) {
        stages.push(stage(
            "relay",
            "progress.relay_seconds",
            bounds.relay_seconds,
            relay(around.clone()),
        ));
    }
    stages.extend([
        stage(
            "record",
            "progress.record_seconds",
            bounds.record_seconds,
            records(around.clone()),
        ),
        stage(
            "retry",
            "progress.retry_seconds",
            bounds.retry_seconds,
            retries(around.clone()),
        ),
        stage(
            "timer",
            "progress.timer_seconds",
            bounds.timer_seconds,
            timers(around.clone()),
        ),
    ]);
    stages
}

/// Turns in the workers' queues, and turns in flight.
fn turns(around: StageSources) -> SampleFn {
    let mut places = PlaceMap::<(i64, usize), QueueAge>::default();
    Box::new(move |now| {
        let mut waiting = Vec::new();
        for hosted in around.reloader.hosted() {
            for (number, (given, over)) in hosted.participant.flows().into_iter().enumerate() {
                let place = places.at((hosted.row, number));
                let age = place.look(now, given, over);
                waiting.extend(waits(age, || of(&hosted.participant)));
            }
        }
        places.next_round();
        Some(waiting)
    })
}

/// Entries and steps that the store's writer has not finished.
fn commits(store: Arc<Store>) -> SampleFn {
    let mut oldest = QueueAge::default();
    Box::new(move |now| {
        let (given, over) = store.flow();
        let age = oldest.look(now, given, over);
        Some(waits(age, || "the store".into()).into_iter().collect())
    })
}

/// The outbox, until Kafka has it.
fn relay(around: StageSources) -> SampleFn {
    let mut places = PlaceMap::<String, QueueAge>::default();
    Box::new(move |now| {
        let backlogs = around.read(|reading| reading.backlogs(around.readers))?;
        let mut waiting = Vec::new();
        for (topic, backlog) in backlogs {
            if !around.store.duties().has(&relay_of(&topic)) {
                continue;
            }
            let given = backlog.published + backlog.waiting;
            let age = (places.at(topic.clone())).look(now, given, backlog.published);
            waiting.extend(waits(age, || format!("topic {topic}")));
        }
        places.next_round();
        Some(waiting)
    })
}

/// Partitions with unsettled records. A host that catches up makes progress, however long it takes.
fn records(around: StageSources) -> SampleFn {
    let mut places = PlaceMap::<(Arc<str>, i64, i32), Standstill>::kept_for(AWAY);
    Box::new(move |now| {
        let mut waiting = Vec::new();
        for source in around
            .reloader
            .hosted()
            .flat_map(HostedParticipant::sources)
        {
            for (extent, settled) in around.read(|reading| around.extents(reading, &source))? {
                let place = (source.consumer.clone(), source.topic_row, extent.partition);
                let is_behind = extent.end > settled;
                let age = places.at(place).look(now, settled, is_behind);
                waiting.extend(waits(age, || {
                    let (topic, group) = (&source.topic, &source.group);
                    format!(
                        "topic {topic}, partition {}, group {group}",
                        extent.partition
                    )
                }));
                let why = (!age.is_zero()).then(|| around.transport.obstacle(&source, &extent));
                if let (Some(why), Some(last)) = (why, waiting.last_mut()) {
                    last.why = why;
                }
            }
        }
        places.next_round();
        Some(waiting)
    })
}

/// Messages that the rules want to be given later. Messages of quarantined aggregates, and messages
/// that the rules don't take, wait for other rules and don't count.
fn retries(around: StageSources) -> SampleFn {
    let mut known: Option<(Duration, Vec<WaitingPlace>)> = None;
    Box::new(move |now| {
        let is_recent = |(at, _): &&(Duration, Vec<WaitingPlace>)| now < *at + PARKED;
        if let Some((at, waiting)) = known.as_ref().filter(is_recent) {
            let mut waiting = waiting.clone();
            (waiting.iter_mut()).for_each(|one| one.age += now.saturating_sub(*at));
            return Some(waiting);
        }
        known = None;
        let mut waiting = Vec::new();
        for hosted in around.reloader.hosted() {
            if hosted.participant.parked().0 == 0 {
                continue;
            }
            let active = hosted.participant.active();
            let subscriptions = &active.description().subscriptions;
            let taken: Vec<_> = (subscriptions.iter())
                .map(|one| (&*one.topic, &*one.event_type))
                .collect();
            let oldest = around.read(|reading| reading.oldest_retried(hosted.row, &taken))?;
            if let Some((key, time)) = oldest {
                let age = around.age(now, time);
                waiting.extend(waits(age, || {
                    format!("{}, key {key:?}", of(&hosted.participant))
                }));
            }
        }
        known = Some((now, waiting.clone()));
        Some(waiting)
    })
}

/// Due timers. A host that works off many makes progress, however long it takes.
fn timers(around: StageSources) -> SampleFn {
    let mut places = PlaceMap::<i64, Standstill<(u64, String, String)>>::default();
    Box::new(move |now| {
        let mut waiting = Vec::new();
        for hosted in around.reloader.hosted() {
            let duty = timers_of(hosted.participant.name());
            if !around.store.duties().has(&duty) {
                continue;
            }
            let Some(first) = around.read(|reading| reading.first_timer(hosted.row))? else {
                continue;
            };
            let is_due = !around.age(now, first.0).is_zero();
            let age = places.at(hosted.row).look(now, first, is_due);
            waiting.extend(waits(age, || of(&hosted.participant)));
        }
        places.next_round();
        Some(waiting)
    })
}

impl StageSources {
    /// Reads the store; `None`, after a report, if it can't be read.
    fn read<T>(&self, look: impl FnOnce(&dyn ReadStore) -> StoreResult<T>) -> Option<T> {
        let found = self.store.reader().and_then(|reader| look(&*reader));
        found
            .inspect_err(|fault| {
                let condition = self.store.condition();
                condition.report("the store can't be read for the stages", fault);
            })
            .ok()
    }

    /// The assigned partitions of a source, each with the offset below which all is settled.
    fn extents(&self, reading: &dyn ReadStore, source: &Source) -> StoreResult<Vec<(Extent, i64)>> {
        let extents = self.transport.extents(reading, source)?;
        let settled = |extent: Extent| {
            let stored = reading.offset(&source.consumer, source.topic_row, extent.partition)?;
            Ok((extent, extent.settled(stored)))
        };
        extents.into_iter().map(settled).collect()
    }

    /// Age of a message with this timestamp, counted from the first sample at the earliest:
    /// messages that waited while the host was down had no chance. A leap of the clock makes
    /// nothing old.
    fn age(&self, now: Duration, time: u64) -> Duration {
        let present = now_ms().min(self.store.trusted_now());
        Duration::from_millis(present.saturating_sub(time)).min(now)
    }
}

fn of(participant: &Participant) -> String {
    format!("participant {}", participant.name())
}

/// The sample of a place whose oldest message has this age.
fn waits(age: Duration, place: impl FnOnce() -> String) -> Option<WaitingPlace> {
    (!age.is_zero()).then(|| WaitingPlace {
        place: place(),
        age,
        why: None,
    })
}
