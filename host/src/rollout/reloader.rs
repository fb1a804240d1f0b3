//! Takes what is to be applied, one after the other, and swaps the rules of a participant that runs.
//!
//! Order: checks → copy of the component on disk → active in the store → workers → routes and sources. A
//! crash at any moment leaves the old or the new generation active, with a copy to start from, because it is one
//! row of the store that says which. Turns go on all the while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::candidate::{Checked, refuse};
use super::file::Mark;
use super::flags::Flags;
use super::hosted::Hosted;
use super::loader::Loader;
use super::outcome::applied;
use super::report::{Applied, Check, NotApplied, Overview, ParticipantOverview, Way};
use super::settings::RolloutSettings;
use super::{back, loader, overview};
use crate::base::last_look::{LastLook, Seen};
use crate::base::machine::Machine;
use crate::metrics::Swaps;
use crate::plugin::LoadError;
use crate::plugin::compile;
use crate::plugin::priority::LowPriority;
use crate::store::{Reader, Store, StoreFault, history};
use crate::transport::Transport;

/// Swaps that wait at most, the one under way included; each holds a component in memory.
const WAITING: usize = 8;

/// A component that is to become the active one.
pub struct Apply {
    /// The participant.
    pub participant: String,
    /// The component's bytes.
    pub bytes: Vec<u8>,
    /// Where the bytes are from, for what is said of them: a path, or who sent them.
    pub origin: String,
    /// By which way it came.
    pub way: Way,
    /// What the operator allows, and whether it is to be checked only.
    pub flags: Flags,
    /// What the file was known by when it was read, where it is the participant's own.
    pub file: Option<Mark>,
}

/// What a reloader works on.
pub struct Surroundings {
    /// The settings.
    pub settings: RolloutSettings,
    /// The store.
    pub store: Arc<Store>,
    /// Where records come from and where they go.
    pub transport: Arc<dyn Transport>,
    /// Loads components; none where the rules are compiled in.
    pub loader: Option<Loader>,
    /// Ends all consumers.
    pub stop_consuming: CancellationToken,
    /// What swaps are counted by.
    pub swaps: Swaps,
    /// What the machine lacks.
    pub machine: Machine,
}

/// Swaps the rules of a host's participants. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) around: Surroundings,
    pub(super) hosted: BTreeMap<String, Hosted>,
    places: Arc<Semaphore>,
    one_at_a_time: Mutex<()>,
    is_closed: AtomicBool,
    /// A connection for checks, and one for what is told meanwhile; from the first look on.
    reader: Mutex<Option<Reader>>,
    told: Mutex<Option<Reader>>,
    /// What was told last.
    seen: LastLook<Result<Overview, NotApplied>>,
    /// Where candidates are checked; started with the first swap.
    low_priority: OnceLock<LowPriority>,
}

impl Reloader {
    /// A reloader for these participants, which run.
    #[must_use]
    pub fn new(around: Surroundings, hosted: Vec<Hosted>) -> Self {
        let hosted = hosted
            .into_iter()
            .map(|hosted| (hosted.participant.name().to_owned(), hosted))
            .collect();
        Self {
            inner: Arc::new(Inner {
                around,
                hosted,
                places: Arc::new(Semaphore::new(WAITING)),
                one_at_a_time: Mutex::default(),
                is_closed: AtomicBool::new(false),
                reader: Mutex::default(),
                told: Mutex::default(),
                seen: LastLook::default(),
                low_priority: OnceLock::new(),
            }),
        }
    }

    /// The participants.
    pub fn hosted(&self) -> impl Iterator<Item = &Hosted> {
        self.inner.hosted.values()
    }

    /// Makes a component the active one, if it passes all checks. Returns when all turns run on it. If the caller
    /// stops waiting, the swap takes place all the same.
    ///
    /// # Errors
    /// Why not; then the generation that was active still is.
    pub async fn apply(&self, apply: Apply) -> Result<Applied, NotApplied> {
        self.blocking(move |inner| inner.apply(&apply)).await
    }

    /// The same for a thread that may block.
    ///
    /// # Errors
    /// As [`Reloader::apply`].
    pub fn apply_blocking(&self, apply: &Apply) -> Result<Applied, NotApplied> {
        self.inner.apply(apply)
    }

    /// Says and notes that a component could not be read, like any other that is not taken.
    pub fn not_read(&self, apply: &Apply, error: &LoadError) {
        if let Ok(hosted) = self.inner.of(&apply.participant) {
            let refused = NotApplied::Refused(loader::refused(error, None));
            self.inner.say(hosted, apply, &Err(refused));
        }
    }

    /// Makes a generation that ran before the active one again: the one of this digest (or the beginning of one), or else
    /// the one that the active one replaced.
    ///
    /// # Errors
    /// As [`Reloader::apply`].
    pub async fn rollback(
        &self,
        participant: &str,
        digest: Option<&str>,
        flags: Flags,
    ) -> Result<Applied, NotApplied> {
        let (participant, digest) = (participant.to_owned(), digest.map(str::to_owned));
        self.blocking(move |inner| inner.rollback(&participant, digest.as_deref(), flags))
            .await
    }

    /// What decides, what has decided and what was refused: of one participant, or of all. Where the store stands still, what
    /// was told last, with its age: this is answered within a second.
    ///
    /// # Errors
    /// When there is no such participant, or the store can't be read.
    pub async fn overview(&self, participant: Option<&str>) -> Result<Overview, NotApplied> {
        if let Some(name) = participant {
            self.inner.of(name)?;
        }
        let inner = self.inner.clone();
        let condition = self.inner.around.store.condition();
        let seen = (self.inner.seen)
            .see(move || inner.overview(), || condition.is_stuck())
            .await;
        let mut overview = match seen {
            Seen::Now(overview) => overview?,
            Seen::Before(overview, then) => {
                let mut overview = overview?;
                for participant in &mut overview.participants {
                    participant.stale_seconds = Some(then.elapsed().as_secs());
                }
                overview
            }
            Seen::Never => return Err(NotApplied::Failed("the store does not answer".into())),
        };
        if let Some(name) = participant {
            overview.participants.retain(|one| one.name == name);
        }
        Ok(overview)
    }

    /// Takes no more swaps. What is compiled for one is given up.
    pub fn refuse(&self) {
        self.inner.is_closed.store(true, Ordering::Release);
        if let Some(loader) = &self.inner.around.loader {
            loader.stop();
        }
    }

    /// Takes no more swaps, and lets the one under way finish.
    pub fn close(&self) {
        self.refuse();
        drop(self.inner.turn());
    }

    async fn blocking(
        &self,
        work: impl FnOnce(&Inner) -> Result<Applied, NotApplied> + Send + 'static,
    ) -> Result<Applied, NotApplied> {
        let Ok(place) = self.inner.places.clone().try_acquire_owned() else {
            return Err(NotApplied::Busy(format!(
                "{WAITING} swaps are under way already; try again"
            )));
        };
        let inner = self.inner.clone();
        let work = move || {
            let result = work(&inner);
            drop(place);
            result
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(NotApplied::Failed(error.to_string())))
    }
}

impl Inner {
    fn turn(&self) -> std::sync::MutexGuard<'_, ()> {
        self.one_at_a_time
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, participant: &str) -> Result<&Hosted, NotApplied> {
        self.hosted.get(participant).ok_or_else(|| {
            let names: Vec<_> = self.hosted.keys().map(String::as_str).collect();
            NotApplied::UnknownParticipant(participant.to_owned(), names.join(", "))
        })
    }

    pub(super) fn loader(&self) -> Result<&Loader, NotApplied> {
        self.around
            .loader
            .as_ref()
            .ok_or_else(|| NotApplied::Failed("the rules of this host are compiled in".into()))
    }

    fn apply(&self, apply: &Apply) -> Result<Applied, NotApplied> {
        let hosted = self.of(&apply.participant)?;
        let _turn = self.turn();
        self.apply_in_turn(hosted, apply)
    }

    /// Between the steps of a swap: a host that is to stop does not wait for all of them.
    pub(super) fn still_open(&self) -> Result<(), NotApplied> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(NotApplied::Busy("the host is stopping".into()));
        }
        Ok(())
    }

    fn apply_in_turn(&self, hosted: &Hosted, apply: &Apply) -> Result<Applied, NotApplied> {
        self.still_open()?;
        if let Some(standstill) = self.around.store.condition().holds_up() {
            return Err(NotApplied::Busy(format!("{standstill}; try again")));
        }
        let result = self.swap(hosted, apply);
        if apply.flags.dry_run {
            self.say_checked(hosted, apply, &result);
        } else {
            self.say(hosted, apply, &result);
        }
        result
    }

    fn rollback(
        &self,
        participant: &str,
        digest: Option<&str>,
        flags: Flags,
    ) -> Result<Applied, NotApplied> {
        let hosted = self.of(participant)?;
        // What the step back leads to must not change before it is taken.
        let _turn = self.turn();
        let target = self.target(hosted, digest)?;
        let bytes = self.loader()?.archive().read(&target).map_err(|reason| {
            NotApplied::UnknownGeneration(format!(
                "the host's copy of generation {target} can't be used ({reason}); apply the component again"
            ))
        })?;
        let apply = Apply {
            participant: participant.to_owned(),
            bytes,
            origin: format!("{target} (kept by the host)"),
            way: Way::Rollback,
            flags,
            file: None,
        };
        self.apply_in_turn(hosted, &apply)
    }

    /// The digest of the generation that is gone back to.
    fn target(&self, hosted: &Hosted, digest: Option<&str>) -> Result<String, NotApplied> {
        let (row, name) = (hosted.row, hosted.participant.name());
        let history = |sql: &rusqlite::Connection| {
            Ok((history::builds(sql, row)?, history::activations(sql, row)?))
        };
        let (builds, activations) = self.read(history).map_err(NotApplied::Failed)?;
        let target = back::target(&builds, &activations, name, digest);
        target
            .map(|past| past.build.digest.clone())
            .map_err(NotApplied::UnknownGeneration)
    }

    fn overview(&self) -> Result<Overview, NotApplied> {
        // What is counted is written before it is told.
        self.around.store.settle_up();
        (self.hosted.iter())
            .map(|(name, hosted)| self.told(name, hosted))
            .collect::<Result<_, _>>()
            .map(|participants| Overview { participants })
            .map_err(NotApplied::Failed)
    }

    fn told(&self, name: &str, hosted: &Hosted) -> Result<ParticipantOverview, String> {
        let archive = super::archive::Archive::new(&self.around.settings.data_dir);
        let file = self.around.loader.as_ref().map(|_| hosted.file());
        self.read_on(&self.told, |sql| {
            overview::of_participant(sql, name, hosted.row, &archive, file)
        })
    }

    /// One swap, from bytes to turns.
    fn swap(&self, hosted: &Hosted, apply: &Apply) -> Result<Applied, NotApplied> {
        let active = hosted.participant.active();
        let began = Instant::now();
        // Beside the turns: whatever it takes, they go first.
        let checked = (self.low_priority()?).run(|| self.candidate(hosted, &active, apply));
        let checked = checked.unwrap_or_else(|| {
            let reason = format!("component {}: broke the compiler or a check", apply.origin);
            Err(refuse(
                Check::Component,
                reason,
                &compile::digest(&apply.bytes),
            ))
        })?;
        let checked_us = began.elapsed().as_micros() as u64;
        let candidate = match checked {
            Checked::IsActive => {
                let dry_run = apply.flags.dry_run;
                let active = applied(&*active.generation.build, active.digest(), false);
                return Ok(Applied { dry_run, ..active });
            }
            Checked::Only(passed) => {
                return Ok(Applied {
                    probe: passed.probe,
                    notes: passed.compared.notes,
                    checked_us,
                    dry_run: true,
                    ..applied(&*passed.build, active.digest(), false)
                });
            }
            Checked::Ready(candidate) => *candidate,
        };
        let began = Instant::now();
        let mut report = Applied {
            probe: candidate.probe.clone(),
            notes: candidate.compared.notes.clone(),
            checked_us,
            ..applied(
                &*candidate.successor.active().generation.build,
                active.digest(),
                true,
            )
        };
        report
            .notes
            .extend(self.hand_over(hosted, active, candidate, apply)?);
        report.swapped_us = began.elapsed().as_micros() as u64;
        hosted.note_file(apply.file);
        self.forget_old();
        Ok(report)
    }

    pub(super) fn low_priority(&self) -> Result<&LowPriority, NotApplied> {
        if let Some(threads) = self.low_priority.get() {
            return Ok(threads);
        }
        let threads = LowPriority::start().map_err(|error| {
            NotApplied::Failed(format!(
                "no threads can be made to check it: {error}; nothing was changed, try again"
            ))
        })?;
        Ok(self.low_priority.get_or_init(|| threads))
    }

    /// Removes the copies of generations that nobody will go back to.
    fn forget_old(&self) {
        let Some(loader) = &self.around.loader else {
            return;
        };
        let keep = self.around.settings.reload.keep + 1;
        let kept = self.read(|sql| {
            let mut kept = std::collections::HashSet::new();
            // Those of participants that do not run now too: they come up again with what was active.
            for name in history::participants(sql)? {
                let Some(row) = history::participant(sql, &name)? else {
                    continue;
                };
                let builds = history::builds(sql, row)?.into_iter().take(keep);
                kept.extend(builds.map(|past| past.build.digest));
            }
            Ok(kept)
        });
        match kept {
            Ok(kept) => loader.retain(&kept),
            Err(reason) => tracing::debug!(%reason, "old components were not looked for"),
        }
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, String> {
        self.read_on(&self.reader, read)
    }

    fn read_on<T>(
        &self,
        reader: &Mutex<Option<Reader>>,
        read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, String> {
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match reader.take() {
            Some(opened) => Ok(opened),
            None => self.around.store.reader(),
        };
        let result = opened.and_then(|opened| read(reader.insert(opened).connection()));
        result.map_err(|error| {
            let fault = StoreFault::from(error);
            let condition = self.around.store.condition();
            condition.report(
                "what is told of generations can't be read from the store",
                &fault,
            );
            format!("the store can't be read: {fault}")
        })
    }
}
