//! The age of the oldest message in each stage.
//!
//! A stage is a part of a message's way: the queue of a worker, the writer of the store, the relay.
//! The owner of a stage registers a [`Stage`], a function that returns what waits there. One thread
//! calls them all once a second and keeps the results, so readiness and metrics are answered from
//! memory, and the hot path pays for plain counters only ([`Flow`]). If the oldest message of a
//! stage waits beyond its bound, the stage stands still: the host is not ready, and `/readyz` names
//! the stage (invariant 11).
//!
//! # Layout
//!
//! - this file: stages, the thread that samples them, the report of those that stand still
//! - [`age`]: ages from sampled counters
//! - [`flow`]: the counters of one thread
//!
//! Must not know: the owners of stages, what a stage does.

pub mod age;
pub mod flow;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use flow::Flow;

/// Time between two samples of all stages.
const INTERVAL: Duration = Duration::from_secs(1);

/// Most time that a sample adds to an age: a process that was stopped has not waited.
const LONGEST_STEP: Duration = Duration::from_secs(5);

/// Time after which a sample that does not return, or keeps failing, is itself a standstill.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// Longest wait of the drain for a sample in flight.
const ENDING: Duration = Duration::from_millis(500);

/// Seconds that the oldest message of a stage may wait before the host is not ready; 0 for no
/// bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgressSettings {
    /// A request, a record or a timer, until an instance of the rules is done with it.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub turn_seconds: u64,
    /// A decision, until it is committed.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub commit_seconds: u64,
    /// A committed event or dead letter, until Kafka has it. A broker that is away for longer makes
    /// the host not ready.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub relay_seconds: u64,
    /// A partition with unsettled records, until it advances.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub record_seconds: u64,
    /// A record or a timer that the rules want to be given later. Should be more than
    /// `retry.seconds`, after which it is a dead letter.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub retry_seconds: u64,
    /// Timers that are due, until one of them is decided or parked.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub timer_seconds: u64,
}

impl Default for ProgressSettings {
    fn default() -> Self {
        Self {
            turn_seconds: 60,
            commit_seconds: 60,
            relay_seconds: 900,
            record_seconds: 900,
            retry_seconds: 1_800,
            timer_seconds: 300,
        }
    }
}

/// Work that waits at one place of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingPlace {
    /// The place: `participant order`, `topic orders`.
    pub place: String,
    /// Age of the oldest message there.
    pub age: Duration,
    /// The cause and the remedy, where they are known.
    pub why: Option<String>,
}

/// Samples a stage; `None` if that failed. The argument is the time since the first sample.
pub type SampleFn = Box<dyn FnMut(Duration) -> Option<Vec<WaitingPlace>> + Send>;

/// A stage.
pub struct Stage {
    /// Its name in `/readyz` and in the metrics.
    pub name: &'static str,
    /// The setting of its bound.
    pub setting: &'static str,
    /// Its bound, in seconds; 0 for none.
    pub bound: u64,
    /// Samples it. May block, which delays the other stages.
    pub look: SampleFn,
}

/// The latest samples of all stages; clones share them.
#[derive(Clone, Default)]
pub struct Stages(Arc<Mutex<StageTable>>);

#[derive(Default)]
struct StageTable {
    stages: Vec<SampledStage>,
    /// The stage that is being sampled, and since when.
    looked_at: Option<(&'static str, Instant)>,
}

struct SampledStage {
    name: &'static str,
    setting: &'static str,
    bound: u64,
    /// The places with waiting work.
    waiting: Vec<WaitingPlace>,
    /// Time of the last sample that succeeded.
    at: Instant,
    /// Time since which sampling fails.
    failed_since: Option<Instant>,
    /// True if the standstill has been logged.
    is_logged: bool,
}

/// The sampling thread. It ends when this is dropped.
pub struct StageWatch {
    stop: Sender<()>,
    ended: Receiver<()>,
}

impl StageWatch {
    /// Ends the thread. A sample that does not return is abandoned.
    pub fn end(self) {
        drop(self.stop);
        let _ = self.ended.recv_timeout(ENDING);
    }
}

impl Stages {
    /// Samples these stages from now on, in this order.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn watch(&self, mut stages: Vec<Stage>) -> std::io::Result<StageWatch> {
        self.0.lock().stages = stages.iter().map(SampledStage::new).collect();
        let (stop, stopped) = bounded::<()>(0);
        let (end, ended) = bounded::<()>(0);
        let known = self.clone();
        let body = move || {
            let _end = end;
            let (mut last, mut now) = (Instant::now(), Duration::ZERO);
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                now += last.elapsed().min(LONGEST_STEP);
                last = Instant::now();
                for stage in &mut stages {
                    known.look(stage, now);
                }
            }
        };
        std::thread::Builder::new()
            .name("stages".into())
            .spawn(body)?;
        Ok(StageWatch { stop, ended })
    }

    fn look(&self, stage: &mut Stage, now: Duration) {
        self.0.lock().looked_at = Some((stage.name, Instant::now()));
        let found = (stage.look)(now);
        let mut known = self.0.lock();
        known.looked_at = None;
        let Some(known) = known
            .stages
            .iter_mut()
            .find(|known| known.name == stage.name)
        else {
            return;
        };
        match found {
            Some(found) => {
                known.waiting = found;
                known.at = Instant::now();
                known.failed_since = None;
            }
            None => {
                known.failed_since.get_or_insert_with(Instant::now);
            }
        }
        let text = known.standing(known.since());
        match (&text, known.is_logged) {
            (Some(text), false) => tracing::error!(stage = known.name, "{text}"),
            (None, true) => tracing::info!(stage = known.name, "the stage makes progress again"),
            _ => {}
        }
        known.is_logged = text.is_some();
    }

    /// The stages that stand still, each with a remedy; `None` if all make progress. Answered from
    /// memory.
    #[must_use]
    pub fn standing(&self) -> Option<String> {
        let known = self.0.lock();
        let stuck = known.looked_at.and_then(|(name, since)| {
            let age = since.elapsed();
            (age >= LONGEST_LOOK).then(|| {
                format!(
                    "stage {name} can't be looked at for {} s: the store does not answer",
                    age.as_secs()
                )
            })
        });
        let failing: Vec<_> = (known.stages.iter())
            .filter(|stage| stage.bound != 0)
            .filter_map(|stage| Some((stage.name, stage.failed_since?.elapsed())))
            .filter(|(_, age)| *age >= LONGEST_LOOK)
            .collect();
        let failing = failing.iter().map(|(_, age)| *age).max().map(|age| {
            let names: Vec<_> = failing.iter().map(|(name, _)| *name).collect();
            format!(
                "stage {} can't be looked at for {} s: the store can't be read, and the log says why",
                names.join(", "),
                age.as_secs()
            )
        });
        let texts: Vec<_> = (known.stages.iter())
            .filter_map(|stage| stage.standing(stage.since()))
            .chain(stuck)
            .chain(failing)
            .collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// Age of the oldest message of each stage.
    #[must_use]
    pub fn ages(&self) -> Vec<(&'static str, Duration)> {
        let known = self.0.lock();
        let stages = known.stages.iter();
        stages
            .map(|stage| {
                let oldest = stage.oldest().map(|waiting| waiting.age + stage.since());
                (stage.name, oldest.unwrap_or_default())
            })
            .collect()
    }
}

impl SampledStage {
    fn new(stage: &Stage) -> Self {
        Self {
            name: stage.name,
            setting: stage.setting,
            bound: stage.bound,
            waiting: Vec::new(),
            at: Instant::now(),
            failed_since: None,
            is_logged: false,
        }
    }

    /// Time since the last sample, by which the ages of that sample have grown.
    fn since(&self) -> Duration {
        // Samples are a second apart anyway.
        self.at.elapsed().saturating_sub(2 * INTERVAL)
    }

    fn oldest(&self) -> Option<&WaitingPlace> {
        self.waiting.iter().max_by_key(|waiting| waiting.age)
    }

    fn standing(&self, since: Duration) -> Option<String> {
        let oldest = self.oldest()?;
        let age = oldest.age + since;
        if self.bound == 0 || age < Duration::from_secs(self.bound) {
            return None;
        }
        let bound = Duration::from_secs(self.bound);
        let others = (self.waiting.iter())
            .filter(|waiting| waiting.age + since >= bound)
            .count()
            .saturating_sub(1);
        let others = match others {
            0 => String::new(),
            others => format!(" (and {others} more)"),
        };
        let why = oldest.why.as_ref().map(|why| format!(": {why}"));
        Some(format!(
            "stage {} stands still: the oldest message of {}{others} waits for {} s (bound: {} = {}){}",
            self.name,
            oldest.place,
            age.as_secs(),
            self.setting,
            self.bound,
            why.unwrap_or_default()
        ))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
