//! How long the oldest message of each stage waits.
//!
//! A stage is a part of the way of a message: the queue of a worker, the writer of the store, the relay. Whoever owns one
//! registers a [`Stage`], which is a function that says what waits there. One thread calls them all once a second and keeps the
//! answers, so readiness and metrics are answered from memory, and the hot path pays nothing but plain counters ([`Flow`]).
//! A stage whose oldest message waits beyond its bound stands still: the host is not ready, and the stage is named
//! (invariant 11).
//!
//! # Layout
//!
//! - this file: stages, the thread that looks at them, what stands still
//! - [`age`]: ages from counters that are looked at now and then
//! - [`flow`]: the counters of one thread
//!
//! Must not know: who registers, what a stage is about.

pub mod age;
pub mod flow;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use flow::Flow;

/// Time between two looks at all stages.
const INTERVAL: Duration = Duration::from_secs(1);

/// Most time that passes for the stages from one look to the next: a process that was stopped has not waited.
const LONGEST_STEP: Duration = Duration::from_secs(5);

/// Time after which a look at one stage stands still itself, or fails for too long.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// How long the drain waits for a look that is going on.
const ENDING: Duration = Duration::from_millis(500);

/// Seconds that the oldest message of a stage may wait before the host is not ready; 0 for no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgressSettings {
    /// A request, a record or a timer, until an instance of the rules is done with it.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub turn_seconds: u64,
    /// What was decided, until it is committed.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub commit_seconds: u64,
    /// An event or a dead letter that is committed, until Kafka has it. A broker that is away for longer makes the host
    /// not ready.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub relay_seconds: u64,
    /// A partition with records that are not settled, until it makes a step.
    #[schemars(range(min = 0, max = 31_536_000))]
    pub record_seconds: u64,
    /// A record or a timer that the rules want to be given later. Should be more than `retry.seconds`, after which it is a
    /// dead letter.
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

/// What waits in one place of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The place: `participant order`, `topic orders`.
    pub place: String,
    /// How long the oldest message there waits.
    pub age: Duration,
    /// Why, and what to do, where that is known.
    pub why: Option<String>,
}

/// Says what waits in a stage; nothing where it could not be looked up. Takes the time since the first look.
pub type Look = Box<dyn FnMut(Duration) -> Option<Vec<Waiting>> + Send>;

/// A stage.
pub struct Stage {
    /// Its name, as `/readyz` and the metrics have it.
    pub name: &'static str,
    /// The setting that is its bound.
    pub setting: &'static str,
    /// Its bound, in seconds; 0 for none.
    pub bound: u64,
    /// Looks at it. May block: the others wait then.
    pub look: Look,
}

/// What is known of the stages. Clones know the same.
#[derive(Clone, Default)]
pub struct Stages(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    stages: Vec<KnownStage>,
    /// The stage that is being looked at, and since when.
    looked_at: Option<(&'static str, Instant)>,
}

struct KnownStage {
    name: &'static str,
    setting: &'static str,
    bound: u64,
    /// The places where something waits.
    waiting: Vec<Waiting>,
    /// When it was looked at last, and could be.
    at: Instant,
    /// Since when it can't be looked at.
    failed_since: Option<Instant>,
    /// Whether it was logged that it stands still.
    is_logged: bool,
}

/// The thread that looks. Dropped, it ends by itself.
pub struct StageWatch {
    stop: Sender<()>,
    ended: Receiver<()>,
}

impl StageWatch {
    /// Ends it. A look that does not return is left to itself.
    pub fn end(self) {
        drop(self.stop);
        let _ = self.ended.recv_timeout(ENDING);
    }
}

impl Stages {
    /// Looks at these stages from now on, in this order.
    ///
    /// # Errors
    /// When the thread can't be made.
    pub fn watch(&self, mut stages: Vec<Stage>) -> std::io::Result<StageWatch> {
        self.lock().stages = stages.iter().map(KnownStage::new).collect();
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
        self.lock().looked_at = Some((stage.name, Instant::now()));
        let found = (stage.look)(now);
        let mut known = self.lock();
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

    /// What stands still, with what to do; nothing where all stages make progress. Answered from memory.
    #[must_use]
    pub fn standing(&self) -> Option<String> {
        let known = self.lock();
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

    /// How long the oldest message of each stage waits.
    #[must_use]
    pub fn ages(&self) -> Vec<(&'static str, Duration)> {
        let known = self.lock();
        let stages = known.stages.iter();
        stages
            .map(|stage| {
                let oldest = stage.oldest().map(|waiting| waiting.age + stage.since());
                (stage.name, oldest.unwrap_or_default())
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownStage {
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

    /// Time since the last look: so much longer, what waited then has waited.
    fn since(&self) -> Duration {
        // A second is between any two looks.
        self.at.elapsed().saturating_sub(2 * INTERVAL)
    }

    fn oldest(&self) -> Option<&Waiting> {
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
