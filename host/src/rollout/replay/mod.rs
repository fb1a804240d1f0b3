//! Replay: recorded decisions are made again, by a candidate or by the rules that made them.
//!
//! The journal has what each decision was made on, and the decision. So a candidate can be asked
//! what it would have decided, before it goes live; and the rules that decided can be asked again,
//! to see if they are a function of their input (invariant 7). The store is only read, in pages, and
//! a host may run on it meanwhile.
//!
//! # Layout
//!
//! - this file: what can be asked, and the order of the work
//! - `builds`: the rules that are called
//! - `decide`: one decision, and how it differs from the recorded one
//! - `diverged`: the states of a counterfactual run that are not the recorded ones
//! - `given`: decisions that another part has read
//! - `run`: the threads; one reads, the others call
//! - `tally`: counts, `named`: by name; `changes`: changes by what changed; [`report`]: the result, as values
//!
//! Must not know: the command line, the form in which a report is shown.

mod builds;
mod changes;
pub(in crate::rollout) mod decide;
mod diverged;
mod given;
mod named;
pub mod report;
mod run;
mod tally;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use saga_contract::compatibility::Lack;
use saga_core::limits::TurnLimits;

use self::builds::Builds;
pub use self::builds::DecidingRules;
pub use self::given::{Redecided, RedecidedBy, redecide};
use self::report::{ReplayMode, ReplayReport, ReplayedRange, RulesUnderReplay};
use self::tally::ReplayTally;
use super::given_settings::GivenSettings;
use super::loader::{CheckRoutes, Loader};
use super::report::{Check, Refused};
use super::rule_settings::{CandidateSettings, RuleSettings, SettingsChange};
use super::selection::Selection;
use super::settings::RolloutSettings;
use super::verify::{self, NotVerified};
use crate::base::generation::CompiledRules;
use crate::plugin::component;
use crate::store::decisions::ReadDecisionPages;
use crate::store::{DecisionRange, JournalSpan, ReadStore, StoreLocation};

/// What is to be replayed, and by which rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The participant whose decisions are replayed.
    pub participant: String,
    /// The data directory of its host.
    pub data: StoreLocation,
    /// The rules.
    pub rules: ReplayedRules,
    /// Which of them.
    pub selection: Selection,
}

/// The rules that decide again.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayedRules {
    /// A candidate.
    Candidate {
        /// Its component.
        path: PathBuf,
        /// Changes of the settings that are active in the store.
        settings: SettingsChange,
        /// True to give it the states that it has put itself, false for those that were recorded.
        is_counterfactual: bool,
    },
    /// For each decision the rules that made it.
    Recorded,
}

impl ReplayedRules {
    fn mode(&self) -> ReplayMode {
        match self {
            Self::Candidate {
                is_counterfactual: true,
                ..
            } => ReplayMode::Counterfactual,
            Self::Candidate { .. } => ReplayMode::Recorded,
            Self::Recorded => ReplayMode::OwnRules,
        }
    }
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Rows of the journal that were read.
    pub read: u64,
    /// Rows of the journal that are to be read.
    pub all: u64,
}

/// The reason why nothing was replayed, or not all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReplayed {
    /// The candidate failed a check.
    #[error("{0}")]
    Refused(Refused),
    /// The store or a file can't be read.
    #[error("{0}")]
    Failed(String),
    /// No such participant is in the store.
    #[error("{0}")]
    UnknownParticipant(String),
    /// What was asked for is not there, or not possible.
    #[error("{0}")]
    Refusal(String),
    /// A JSON pointer to what is redacted is none, for this reason.
    #[error("{0}")]
    BadPointer(String),
    /// The states of a counterfactual run take more memory than this, in mebibytes.
    #[error("the states that differ from the recorded ones take more than {0} MiB")]
    TooMuch(usize),
    /// No instance of the rules can be made.
    #[error("{0}")]
    NoInstance(String),
    /// Nobody needs the result any more.
    #[error("it was ended")]
    Over,
}

impl From<Refused> for NotReplayed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<NotVerified> for NotReplayed {
    fn from(error: NotVerified) -> Self {
        match error {
            NotVerified::Refused(refused) => Self::Refused(refused),
            NotVerified::Failed(reason) => Self::Failed(reason),
        }
    }
}

/// Makes recorded decisions again.
///
/// # Errors
/// The reason why that is not possible.
pub fn replay(
    settings: &RolloutSettings,
    request: &Replay,
    check_routes: CheckRoutes,
    progress: &mut dyn FnMut(ReplayProgress),
) -> Result<ReplayReport, NotReplayed> {
    let began = Instant::now();
    let data = &request.data;
    let unread = |error| NotReplayed::from(verify::unreadable(data, &error));
    let reading = verify::open(data)?;
    let row = participant(&*reading, &request.participant, data)?;
    let loader = verify::loader_of(settings, data, check_routes)?;
    let builds = match &request.rules {
        ReplayedRules::Recorded => {
            let generations = reading.generations(row).map_err(unread)?.into_iter();
            let archive = loader.archive().clone();
            let read = Box::new(move |digest: &str| archive.read(digest));
            Builds::recorded(loader, read, generations.map(|past| past.generation.into()))
        }
        ReplayedRules::Candidate {
            path,
            settings: change,
            ..
        } => {
            let given = (path.as_path(), change);
            let build = candidate(settings, &loader, &request.participant, data, given)?;
            Builds::candidate(build)
        }
    };
    let wanted = request.selection.range(&*reading, row).map_err(unread)?;
    let span = reading.decisions_span(&wanted).map_err(unread)?;
    let asked = Asked {
        participant: &request.participant,
        mode: request.rules.mode(),
        builds: &builds,
        wanted: &wanted,
        span,
        origin: data,
    };
    asked.made_again(settings, &*reading, began, progress)
}

/// Recorded decisions that are read elsewhere than in a data directory here.
#[derive(Clone, Copy)]
pub struct Elsewhere<'r> {
    /// The participant whose decisions they are.
    pub participant: &'r str,
    /// Reads those of the span.
    pub reading: &'r dyn ReadDecisionPages,
    /// Which of the span are wanted.
    pub wanted: &'r DecisionRange,
    /// The part of the journal.
    pub span: JournalSpan,
    /// The settings of the rules that are active there.
    pub settings: &'r RuleSettings,
    /// Reads the rules that decided.
    pub rules: &'r (dyn ReadRules + Sync),
    /// Where that is, for errors.
    pub origin: &'r (dyn fmt::Display + Sync),
}

/// Reads rules that decided from where they are.
pub trait ReadRules {
    /// All of the participant.
    ///
    /// # Errors
    /// The reason, which names the place.
    fn deciding(&self) -> Result<Vec<DecidingRules>, String>;

    /// The component of this digest.
    ///
    /// # Errors
    /// The reason, which names the place.
    fn component(&self, digest: &str) -> Result<Vec<u8>, String>;
}

/// Makes recorded decisions again that are read elsewhere. A candidate gets its changes of the settings
/// that are active there.
///
/// # Errors
/// The reason why that is not possible.
pub fn replay_elsewhere(
    settings: &RolloutSettings,
    from: Elsewhere<'_>,
    rules: &ReplayedRules,
    check_routes: CheckRoutes,
    progress: &mut dyn FnMut(ReplayProgress),
) -> Result<ReplayReport, NotReplayed> {
    let began = Instant::now();
    let loader = Loader::offline(settings, &settings.store, check_routes)
        .map_err(|error| NotReplayed::Failed(error.to_string()))?;
    let builds = match rules {
        ReplayedRules::Recorded => {
            let generations = from.rules.deciding().map_err(NotReplayed::Failed)?;
            let read = Box::new(|digest: &str| from.rules.component(digest));
            Builds::recorded(loader, read, generations)
        }
        ReplayedRules::Candidate {
            path,
            settings: change,
            ..
        } => {
            let active = GivenSettings::from(from.settings.clone());
            let given = CandidateSettings::Changed(change.clone()).given_over(&active);
            let build = loaded(&loader, path, |_| Ok(given))?;
            Builds::candidate(of_participant(build, from.participant)?)
        }
    };
    let asked = Asked {
        participant: from.participant,
        mode: rules.mode(),
        builds: &builds,
        wanted: from.wanted,
        span: Some(from.span),
        origin: from.origin,
    };
    asked.made_again(settings, from.reading, began, progress)
}

/// Decisions that are asked for, and the rules that make them again.
struct Asked<'a> {
    participant: &'a str,
    mode: ReplayMode,
    builds: &'a Builds<'a>,
    wanted: &'a DecisionRange,
    /// None if there are none.
    span: Option<JournalSpan>,
    /// Where they are, for errors.
    origin: &'a (dyn fmt::Display + Sync),
}

impl Asked<'_> {
    fn made_again(
        self,
        settings: &RolloutSettings,
        reading: &dyn ReadDecisionPages,
        began: Instant,
        progress: &mut dyn FnMut(ReplayProgress),
    ) -> Result<ReplayReport, NotReplayed> {
        let wanted = self.wanted;
        let terms = run::ReplayTerms {
            limits: &settings.turn,
            mode: self.mode,
            builds: self.builds,
            origin: self.origin,
            threads: run::all_cores(),
            is_over: &|| false,
        };
        let tally = match self.span {
            Some(span) => run::run_span(reading, wanted, span, terms, progress)?,
            None => ReplayTally::default(),
        };
        let range = ReplayedRange {
            since: wanted.since,
            last: wanted.last,
            key: wanted.key.clone(),
            first: tally.first(),
            until: tally.until(),
        };
        let mut report = tally.report(self.participant, self.mode, range);
        report.rules = self.builds.described();
        report.elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }
}

/// A part of the journal that a candidate decides again, each decision on the state that it was made
/// on.
#[derive(Clone, Copy)]
pub(in crate::rollout) struct SpanReplay<'r> {
    /// Name and row of the participant.
    pub(in crate::rollout) participant: (&'r str, i64),
    pub(in crate::rollout) candidate: &'r Arc<dyn CompiledRules>,
    pub(in crate::rollout) limits: &'r TurnLimits,
    pub(in crate::rollout) span: JournalSpan,
    /// The data directory, for errors.
    pub(in crate::rollout) data: &'r StoreLocation,
    /// True once nobody needs the result.
    pub(in crate::rollout) is_over: &'r (dyn Fn() -> bool + Sync),
}

/// Makes the decisions of a part of the journal again, with half of the cores: a host runs.
///
/// # Errors
/// The reason why that is not possible.
pub(in crate::rollout) fn replay_span(
    reading: &dyn ReadStore,
    asked: SpanReplay<'_>,
) -> Result<ReplayReport, NotReplayed> {
    let (name, participant) = asked.participant;
    let builds = Builds::candidate(asked.candidate.clone());
    let terms = run::ReplayTerms {
        limits: asked.limits,
        mode: ReplayMode::Recorded,
        builds: &builds,
        origin: asked.data,
        threads: run::all_cores() / 2,
        is_over: asked.is_over,
    };
    let wanted = DecisionRange {
        participant,
        ..DecisionRange::default()
    };
    let tally = run::run_span(reading, &wanted, asked.span, terms, &mut |_| {})?;
    let range = ReplayedRange {
        first: tally.first(),
        until: tally.until(),
        ..ReplayedRange::default()
    };
    let mut report = tally.report(name, ReplayMode::Recorded, range);
    report.rules = builds.described();
    Ok(report)
}

/// The row of a participant.
pub(in crate::rollout) fn participant(
    reading: &dyn ReadStore,
    name: &str,
    data: &StoreLocation,
) -> Result<i64, NotReplayed> {
    let unread = |error| NotReplayed::from(verify::unreadable(data, &error));
    if let Some(row) = reading.participant(name).map_err(unread)? {
        return Ok(row);
    }
    let known = reading.participants().map_err(unread)?;
    Err(NotReplayed::UnknownParticipant(format!(
        "there is no participant `{name}` in {}; there are: {}",
        data,
        known.join(", ")
    )))
}

/// The candidate of this participant: its component, with changes of the settings that are active in
/// the store.
pub(in crate::rollout) fn candidate(
    settings: &RolloutSettings,
    loader: &Loader,
    participant: &str,
    data: &StoreLocation,
    given: (&Path, &SettingsChange),
) -> Result<Arc<dyn CompiledRules>, NotReplayed> {
    let build = loaded_at(settings, loader, data, given)?;
    of_participant(build, participant)
}

/// Rules that must be of this participant.
fn of_participant(
    build: Arc<dyn CompiledRules>,
    participant: &str,
) -> Result<Arc<dyn CompiledRules>, NotReplayed> {
    let name = &build.description().name;
    if *name != participant {
        let lack = Lack::Participant {
            active: participant.to_owned(),
            candidate: name.clone(),
        };
        let digest = Some(build.digest().to_owned());
        let reasons = vec![lack.to_string()];
        return Err(Refused::new(Check::Compatibility, reasons, digest).into());
    }
    Ok(build)
}

/// A component, with changes of the settings that are active in the store.
fn loaded_at(
    settings: &RolloutSettings,
    loader: &Loader,
    data: &StoreLocation,
    (path, change): (&Path, &SettingsChange),
) -> Result<Arc<dyn CompiledRules>, NotVerified> {
    loaded(loader, path, |name| {
        verify::given(settings, Some(data), change, name)
    })
}

/// A component, with settings that depend on the name of its participant.
fn loaded(
    loader: &Loader,
    path: &Path,
    given: impl FnOnce(&str) -> Result<GivenSettings, NotVerified>,
) -> Result<Arc<dyn CompiledRules>, NotVerified> {
    let bytes = component::read(path).map_err(|error| super::loader::refused(&error, None))?;
    let origin = path.display().to_string();
    loader.load_with(&bytes, &origin, |description| given(&description.name))
}

/// Rules in a report.
pub(in crate::rollout) fn described(build: &dyn CompiledRules) -> RulesUnderReplay {
    let description = build.description();
    RulesUnderReplay {
        digest: build.digest().to_owned(),
        version: description.version.clone(),
        state_version: description.state.version,
        settings: build.settings().cloned(),
    }
}
