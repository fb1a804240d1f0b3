//! Swaps the rules of hosted participants, one swap after the other.
//!
//! Order: checks → copy of the component on disk → active in the store → workers → routes and
//! sources. A crash at any moment leaves either the old or the new generation active, with a copy
//! to start from, since one row of the store decides. Turns continue all the while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::archive::Archive;
use super::candidate::CandidateCheck;
use super::component_file::FileStamp;
use super::flags::Flags;
use super::gate::Acknowledged;
use super::given_settings::GivenSettings;
use super::hosted::HostedParticipant;
use super::loader::Loader;
use super::outcome::applied;
use super::report::{NotApplied, Overview, ParticipantOverview, Refused, SwapResult, Way};
use super::rule_settings::{CandidateSettings, SettingsChange};
use super::settings::RolloutSettings;
use super::{loader, overview, rollback_target};
use crate::base::last_observed::{LastObserved, Observation};
use crate::base::machine::Machine;
use crate::base::note::Note;
use crate::metrics::Swaps;
use crate::plugin::LoadError;
use crate::plugin::compile;
use crate::plugin::priority::LowPriority;
use crate::store::history::GenerationRow;
use crate::store::{ReadStore, Store, StoreResult};
use crate::transport::Transport;

/// Most swaps in flight and waiting; each holds a component in memory.
const WAITING: usize = 8;

/// A component to apply.
pub struct Apply {
    /// The participant.
    pub participant: String,
    /// The component's bytes.
    pub bytes: Vec<u8>,
    /// Source of the bytes for messages: a path, or a sender.
    pub origin: String,
    /// The way that it came.
    pub way: Way,
    /// The operator's flags.
    pub flags: Flags,
    /// The changes of recorded decisions that an operator takes.
    pub acknowledged: Option<Acknowledged>,
    /// The settings of the rules.
    pub settings: CandidateSettings,
    /// The stamp of the file when it was read, if it is the participant's own.
    pub file: Option<FileStamp>,
}

impl Apply {
    /// The origin of bytes that came over the admin interface.
    pub const SENT: &str = "sent to the admin interface";
}

/// The parts of the host that a reloader uses.
pub struct ReloaderParts {
    /// The settings.
    pub settings: RolloutSettings,
    /// The store.
    pub store: Arc<Store>,
    /// The transport of records.
    pub transport: Arc<dyn Transport>,
    /// Loads components; `None` if the rules are linked into the program.
    pub loader: Option<Loader>,
    /// Ends all consumers.
    pub stop_consuming: CancellationToken,
    /// Counts swaps.
    pub swaps: Swaps,
    /// Reports shortages of the machine.
    pub machine: Machine,
}

/// Swaps the rules of a host's participants. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    inner: Arc<ReloaderState>,
}

pub(super) struct ReloaderState {
    pub(super) around: ReloaderParts,
    pub(super) hosted: BTreeMap<String, HostedParticipant>,
    archive: Archive,
    places: Arc<Semaphore>,
    one_at_a_time: Mutex<()>,
    /// Held while workers switch, for a swap of this host or after another one's.
    pub(super) switching: Mutex<()>,
    /// The reason why the rules that are active in the store can't be taken over.
    pub(super) behind: Note,
    is_closed: AtomicBool,
    /// The latest overview.
    seen: LastObserved<Result<Overview, NotApplied>>,
    /// The threads of the checks, started with the first swap.
    low_priority: OnceLock<LowPriority>,
}

impl Reloader {
    /// The host's own copies of components.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.inner.archive
    }

    /// A reloader for these participants.
    #[must_use]
    pub fn new(around: ReloaderParts, hosted: Vec<HostedParticipant>) -> Self {
        let hosted = hosted
            .into_iter()
            .map(|hosted| (hosted.participant.name().to_owned(), hosted))
            .collect();
        let settings = &around.settings;
        let archive = Archive::of_host(&settings.data_dir, &settings.store);
        Self {
            inner: Arc::new(ReloaderState {
                archive,
                around,
                hosted,
                places: Arc::new(Semaphore::new(WAITING)),
                one_at_a_time: Mutex::default(),
                switching: Mutex::default(),
                behind: Note::default(),
                is_closed: AtomicBool::new(false),
                seen: LastObserved::default(),
                low_priority: OnceLock::new(),
            }),
        }
    }

    /// The reason why rules that another host has activated can't be taken over.
    #[must_use]
    pub fn behind(&self) -> Option<String> {
        self.inner.behind.get()
    }

    /// The participants.
    pub fn hosted(&self) -> impl Iterator<Item = &HostedParticipant> {
        self.inner.hosted.values()
    }

    /// Makes a component the active generation if it passes all checks. Returns once all turns run
    /// on it. If the caller stops waiting, the swap takes place all the same.
    ///
    /// # Errors
    /// The reason; the active generation then stays active.
    pub async fn apply(&self, apply: Apply) -> Result<SwapResult, NotApplied> {
        self.blocking(move |inner| inner.apply(&apply)).await
    }

    /// [`Reloader::apply`] for a thread that may block.
    ///
    /// # Errors
    /// As [`Reloader::apply`].
    pub fn apply_blocking(&self, apply: &Apply) -> Result<SwapResult, NotApplied> {
        self.inner.apply(apply)
    }

    /// Loads a component and checks its description, which changes nothing; a swap to it does not
    /// compile it again. For a thread that may block.
    ///
    /// # Errors
    /// The reason why it can't be loaded.
    pub fn load_blocking(&self, apply: &Apply) -> Result<(), NotApplied> {
        let loader = self.inner.loader()?;
        let load = || loader.load(&apply.bytes, &apply.origin, GivenSettings::default());
        match (self.inner.low_priority()?).run(load) {
            Some(Ok(_)) => Ok(()),
            Some(Err(refused)) => Err(NotApplied::Refused(refused)),
            None => Err(NotApplied::Refused(Refused::broke_the_compiler(
                &apply.origin,
                compile::digest(&apply.bytes),
            ))),
        }
    }

    /// Removes what [`Reloader::load_blocking`] has compiled.
    pub fn forget(&self, apply: &Apply) {
        let digest = compile::digest(&apply.bytes);
        let active = self.inner.of(&apply.participant);
        let is_active = active.is_ok_and(|one| one.participant.active().component() == digest);
        if let Some(loader) = &self.inner.around.loader
            && !is_active
        {
            loader.forget(&digest);
        }
    }

    /// Reports a component that could not be read, like any other that is not applied.
    pub fn not_read(&self, apply: &Apply, error: &LoadError) {
        if let Ok(hosted) = self.inner.of(&apply.participant) {
            let refused = NotApplied::Refused(loader::refused(error, None));
            self.inner.report_swap(hosted, apply, &Err(refused));
        }
    }

    /// Makes a former generation the active one: the one of this digest (or its beginning), or else
    /// the one that the active one replaced.
    ///
    /// # Errors
    /// As [`Reloader::apply`].
    pub async fn rollback(
        &self,
        participant: &str,
        digest: Option<&str>,
        flags: Flags,
    ) -> Result<SwapResult, NotApplied> {
        let (participant, digest) = (participant.to_owned(), digest.map(str::to_owned));
        self.blocking(move |inner| inner.rollback(&participant, digest.as_deref(), flags))
            .await
    }

    /// Changes the settings of the active rules, as a swap to a generation with the same component.
    ///
    /// # Errors
    /// As [`Reloader::apply`].
    pub async fn configure(
        &self,
        participant: &str,
        change: SettingsChange,
        (flags, acknowledged): (Flags, Option<Acknowledged>),
    ) -> Result<SwapResult, NotApplied> {
        let participant = participant.to_owned();
        let terms = (flags, acknowledged);
        self.blocking(move |inner| inner.configure(&participant, change, terms))
            .await
    }

    /// The active and former generations and the refused components, of one participant or of all.
    /// If the store stands still, the latest known overview with its age: this answers within a
    /// second.
    ///
    /// # Errors
    /// If there is no such participant, or the store can't be read.
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
            Observation::Now(overview) => overview?,
            Observation::Before(overview, then) => {
                let mut overview = overview?;
                for participant in &mut overview.participants {
                    participant.stale_seconds = Some(then.elapsed().as_secs());
                }
                overview
            }
            Observation::Never => {
                return Err(NotApplied::Failed("the store does not answer".into()));
            }
        };
        if let Some(name) = participant {
            overview.participants.retain(|one| one.name == name);
        }
        Ok(overview)
    }

    /// Refuses further swaps, and aborts a compilation in flight.
    pub fn refuse(&self) {
        self.inner.is_closed.store(true, Ordering::Release);
        if let Some(loader) = &self.inner.around.loader {
            loader.stop();
        }
    }

    /// Refuses further swaps, and lets the one in flight finish.
    pub fn close(&self) {
        self.refuse();
        drop(self.inner.one_at_a_time.lock());
    }

    pub(super) fn state(&self) -> &ReloaderState {
        &self.inner
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReloaderState) -> Result<T, NotApplied> + Send + 'static,
    ) -> Result<T, NotApplied> {
        let Ok(place) = self.inner.places.clone().try_acquire_owned() else {
            return Err(NotApplied::Busy(format!(
                "{WAITING} swaps are in flight already; try again"
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

impl ReloaderState {
    pub(super) fn of(&self, participant: &str) -> Result<&HostedParticipant, NotApplied> {
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

    fn apply(&self, apply: &Apply) -> Result<SwapResult, NotApplied> {
        let hosted = self.of(&apply.participant)?;
        let _turn = self.one_at_a_time.lock();
        self.apply_in_turn(hosted, apply)
    }

    /// Called between the steps of a swap, so that a stopping host need not wait for all of them.
    pub(super) fn check_open(&self) -> Result<(), NotApplied> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(NotApplied::Busy("the host is stopping".into()));
        }
        Ok(())
    }

    fn apply_in_turn(
        &self,
        hosted: &HostedParticipant,
        apply: &Apply,
    ) -> Result<SwapResult, NotApplied> {
        self.check_open()?;
        if let Some(standstill) = self.around.store.condition().holds_up() {
            return Err(NotApplied::Busy(format!("{standstill}; try again")));
        }
        let result = self.swap(hosted, apply);
        if apply.flags.dry_run {
            self.report_dry_run(hosted, apply, &result);
        } else {
            self.report_swap(hosted, apply, &result);
        }
        result
    }

    fn rollback(
        &self,
        participant: &str,
        digest: Option<&str>,
        flags: Flags,
    ) -> Result<SwapResult, NotApplied> {
        let hosted = self.of(participant)?;
        // The target must not change before the swap.
        let _turn = self.one_at_a_time.lock();
        let target = self.target(hosted, digest)?;
        let apply = Apply {
            participant: participant.to_owned(),
            bytes: self.kept(&target.component)?,
            origin: format!("{} (kept by the host)", target.digest),
            way: Way::Rollback,
            flags,
            acknowledged: None,
            settings: CandidateSettings::Exactly(target.given()),
            file: None,
        };
        self.apply_in_turn(hosted, &apply)
    }

    fn configure(
        &self,
        participant: &str,
        change: SettingsChange,
        (flags, acknowledged): (Flags, Option<Acknowledged>),
    ) -> Result<SwapResult, NotApplied> {
        let hosted = self.of(participant)?;
        let _turn = self.one_at_a_time.lock();
        let component = hosted.participant.active().component().to_owned();
        let apply = Apply {
            participant: participant.to_owned(),
            bytes: self.kept(&component)?,
            origin: format!("{component} (kept by the host)"),
            way: Way::Apply,
            flags,
            acknowledged,
            settings: CandidateSettings::Changed(change),
            file: None,
        };
        self.apply_in_turn(hosted, &apply)
    }

    /// The host's copy of a component.
    pub(super) fn kept(&self, component: &str) -> Result<Vec<u8>, NotApplied> {
        self.loader()?.archive().read(component).map_err(|reason| {
            NotApplied::UnknownGeneration(format!(
                "the host's copy of component {component} can't be used ({reason}); apply the component again"
            ))
        })
    }

    /// The rollback's target.
    fn target(
        &self,
        hosted: &HostedParticipant,
        digest: Option<&str>,
    ) -> Result<GenerationRow, NotApplied> {
        let (row, name) = (hosted.row, hosted.participant.name());
        let history =
            |reading: &dyn ReadStore| Ok((reading.generations(row)?, reading.activations(row)?));
        let (generations, activations) = self.read(history).map_err(NotApplied::Failed)?;
        let target = rollback_target::target(&generations, &activations, name, digest);
        target
            .map(|past| past.generation.clone())
            .map_err(NotApplied::UnknownGeneration)
    }

    fn overview(&self) -> Result<Overview, NotApplied> {
        // Buffered counts are written first.
        self.around.store.settle_up();
        let kept = self.archive.digests().map_err(NotApplied::Failed)?;
        (self.hosted.iter())
            .map(|(name, hosted)| self.told(name, hosted, &kept))
            .collect::<Result<_, _>>()
            .map(|participants| Overview { participants })
            .map_err(NotApplied::Failed)
    }

    fn told(
        &self,
        name: &str,
        hosted: &HostedParticipant,
        kept: &[String],
    ) -> Result<ParticipantOverview, String> {
        let file = self.around.loader.as_ref().map(|_| hosted.file());
        let told = |reading: &dyn ReadStore| {
            overview::of_participant(reading, name, hosted.row, kept, file)
        };
        let is_audited = self.around.settings.gate.audit_one_in > 0;
        Ok(ParticipantOverview {
            audit: is_audited.then(|| hosted.audit.told()),
            ..self.read(told)?
        })
    }

    /// One swap, from bytes to turns.
    fn swap(&self, hosted: &HostedParticipant, apply: &Apply) -> Result<SwapResult, NotApplied> {
        let active = hosted.participant.active();
        let began = Instant::now();
        // At low priority, beside the turns.
        let checked = (self.low_priority()?).run(|| self.candidate(hosted, &active, apply));
        let checked = checked.unwrap_or_else(|| {
            let digest = compile::digest(&apply.bytes);
            let refused = Refused::broke_the_compiler(&apply.origin, digest);
            Err(NotApplied::Refused(refused))
        })?;
        let checked_us = began.elapsed().as_micros() as u64;
        let candidate = match checked {
            CandidateCheck::IsActive => {
                let dry_run = apply.flags.dry_run;
                let active = applied(&*active.generation.build, active.digest(), false);
                return Ok(SwapResult { dry_run, ..active });
            }
            CandidateCheck::Only(passed) => {
                let passed = *passed;
                return Ok(SwapResult {
                    previous_settings: active.generation.build.settings().cloned(),
                    probe: passed.probe,
                    class: Some(passed.change.class),
                    gate: passed.change.gate,
                    notes: passed.compared.notes,
                    checked_us,
                    dry_run: true,
                    ..applied(&*passed.build, active.digest(), false)
                });
            }
            CandidateCheck::Ready(candidate) => *candidate,
        };
        let agreed = self.agree(hosted, &active, candidate.ready.successor.active())?;
        let checked_us = began.elapsed().as_micros() as u64;
        let began = Instant::now();
        let mut report = SwapResult {
            previous_settings: active.generation.build.settings().cloned(),
            probe: candidate.probe.clone(),
            class: Some(candidate.change.class),
            gate: candidate.change.gate.clone(),
            notes: candidate.compared.notes.clone(),
            checked_us,
            ..applied(
                &*candidate.ready.successor.active().generation.build,
                active.digest(),
                true,
            )
        };
        report
            .notes
            .extend(self.hand_over(hosted, active, candidate, apply, agreed)?);
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
                "no threads can be started to check it: {error}; nothing was changed, try again"
            ))
        })?;
        Ok(self.low_priority.get_or_init(|| threads))
    }

    /// Removes the copies of generations beyond the configured number.
    fn forget_old(&self) {
        let Some(loader) = &self.around.loader else {
            return;
        };
        let keep = self.around.settings.reload.keep + 1;
        let kept = self.read(|reading| {
            let mut kept = std::collections::HashSet::new();
            // Participants that are not hosted now keep theirs: they come up again with what was
            // active.
            for name in reading.participants()? {
                let Some(row) = reading.participant(&name)? else {
                    continue;
                };
                let generations = reading.generations(row)?.into_iter().take(keep);
                kept.extend(generations.map(|past| past.generation.component));
            }
            Ok(kept)
        });
        match kept {
            Ok(kept) => loader.retain(&kept),
            Err(reason) => tracing::debug!(%reason, "old components were not removed"),
        }
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&dyn ReadStore) -> StoreResult<T>,
    ) -> Result<T, String> {
        let result = self.around.store.reader().and_then(|reader| read(&*reader));
        result.map_err(|fault| {
            let condition = self.around.store.condition();
            condition.report("the generations can't be read from the store", &fault);
            format!("the store can't be read: {fault}")
        })
    }
}
