//! From bytes to a candidate that is ready to swap, before anything is changed.
//!
//! All of it runs beside the turns at low priority: little is left to do for the swap itself.

use std::sync::Arc;

use saga_contract::description::Description;
use saga_contract::shapes::ShapeFinding;
use saga_contract::values;

use super::check::{self, CandidateComparison, Present};
use super::gate::report::{ContractClass, GateReport, GenerationChange};
use super::gate::{self, GateCheck, GateStop};
use super::given_settings::GivenSettings;
use super::hosted::{HostedParticipant, ServeRoutes};
use super::neighbours;
use super::probe::Terms;
use super::reloader::{Apply, ReloaderState};
use super::report::{Check, NotApplied, ProbeReport, Refused, Way};
use super::settings::Gate;
use super::topics::{self, GenerationTopics, TopicsError};
use super::verify;
use crate::base::clock::now_ms;
use crate::base::generation::{CompiledRules, Generation};
use crate::plugin::compile;
use crate::store::{NewGeneration, StoreFault};
use crate::transport::Source;
use crate::turn::{Active, Successor};

/// A candidate that passed its checks, with everything that a swap needs.
pub(super) struct ReadyCandidate {
    pub(super) ready: ReadyGeneration,
    pub(super) probe: ProbeReport,
    pub(super) compared: CandidateComparison,
    pub(super) change: GenerationChange,
    pub(super) shapes: Arc<ShapeFinding>,
}

/// A generation with everything that a switch to it needs.
pub(super) struct ReadyGeneration {
    pub(super) successor: Successor,
    pub(super) serving: ServeRoutes,
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) published: Vec<(Arc<str>, i64)>,
}

/// A candidate that passed its checks, which changed nothing.
pub(super) struct CheckedCandidate {
    pub(super) build: Arc<dyn CompiledRules>,
    pub(super) probe: ProbeReport,
    pub(super) compared: CandidateComparison,
    pub(super) change: GenerationChange,
    shapes: Arc<ShapeFinding>,
}

/// Result of the checks.
pub(super) enum CandidateCheck {
    /// The candidate is the active generation already.
    IsActive,
    /// A dry run.
    Only(Box<CheckedCandidate>),
    /// Ready to take over.
    Ready(Box<ReadyCandidate>),
}

impl ReloaderState {
    /// Checks and prepares a candidate without changing anything.
    pub(super) fn candidate(
        &self,
        hosted: &HostedParticipant,
        active: &Active,
        apply: &Apply,
    ) -> Result<CandidateCheck, NotApplied> {
        let component = compile::digest(&apply.bytes);
        let before = active.generation.build.settings();
        let settings = apply.settings.given(before);
        let values = Some(&settings.values).filter(|values| !values.is_empty());
        if component == active.component() && values == before {
            if !apply.flags.dry_run {
                // Its copy may have been lost.
                self.keep(&component, apply)?;
            }
            return Ok(CandidateCheck::IsActive);
        }
        let passed = self.check(hosted, active, apply, settings)?;
        if apply.flags.dry_run {
            return Ok(CandidateCheck::Only(Box::new(passed)));
        }
        let candidate = self.prepare(hosted, apply, passed)?;
        Ok(CandidateCheck::Ready(Box::new(candidate)))
    }

    fn keep(&self, component: &str, apply: &Apply) -> Result<(), NotApplied> {
        let kept = self.loader()?.archive().keep(component, &apply.bytes);
        kept.map_err(|reason| {
            NotApplied::Failed(format!(
                "the component can't be kept: {reason}; nothing was changed"
            ))
        })
    }

    /// All checks. They are the same for every way of applying a component, and change nothing.
    fn check(
        &self,
        hosted: &HostedParticipant,
        active: &Active,
        apply: &Apply,
        settings: GivenSettings,
    ) -> Result<CheckedCandidate, NotApplied> {
        let loader = self.loader()?;
        // Another participant is refused as such, whatever settings are given.
        let given = |description: &Description| match description.name == hosted.participant.name()
        {
            true => Ok(settings),
            false => Ok(GivenSettings::default()),
        };
        let build = loader
            .load_with(&apply.bytes, &apply.origin, given)
            // A compilation that was stopped by the host's drain is no refusal.
            .map_err(|refused: Refused| match self.check_open() {
                Ok(()) => self.refused_or_lacking(refused),
                Err(stopping) => stopping,
            })?;
        self.check_open()?;
        loader
            .check_routes(build.description(), hosted.base_path())
            .map_err(|reason| refuse(Check::Description, reason, build.digest()))?;
        let shapes = Arc::new(self.shapes(hosted, active, &*build));
        let present = self.present(hosted, active, shapes.clone());
        let settings = &self.around.settings;
        let (limits, most) = (&settings.turn, settings.reload.probe_inputs);
        let (compared, inputs) = self
            .read(|sql| {
                let sources = verify::sources(sql, settings, Some(&hosted.own), &*build)?;
                Ok((
                    check::compare(sql, &present, &*build, apply.flags)?,
                    check::inputs(sql, hosted.row, &sources, &*build, limits, most)?,
                ))
            })
            .map_err(NotApplied::Failed)?;
        let mut compared = compared.map_err(NotApplied::Refused)?;
        let described = active.description();
        let moved = check::endpoint(
            &hosted.own,
            described,
            hosted.base_path(),
            &*build,
            apply.flags,
        );
        compared.notes.extend(moved.map_err(NotApplied::Refused)?);
        compared.notes.extend(build.note().map(str::to_owned));
        compared.notes.extend(values::remarks(build.description()));
        let open = settings.security.remark(build.description());
        compared.notes.extend(open);
        let running = &*active.generation.build;
        compared.notes.extend(neighbours::one_way(running, &*build));
        self.fits(hosted, &*build)?;
        let terms = Terms {
            limits,
            allowed: apply.flags.allowed(),
            is_over: &|| self.check_open().is_err(),
        };
        let probe = check::probe(&*build, Some(running), terms, &inputs);
        // A probe that ended early proves nothing.
        self.check_open()?;
        let mut probe = probe.map_err(|refused| self.refused_or_lacking(refused))?;
        compared.notes.append(&mut probe.notes);
        let moves = check::moves(&hosted.own, hosted.base_path(), &*build);
        let breaks = compared.breaks || moves;
        let contract = gate::contract(described, build.description(), breaks);
        let change = self.gate(hosted, apply, &build, contract)?;
        if apply.way == Way::Rollback && settings.gate.gate == Gate::Replay {
            compared.notes.push(gate::ROLLBACK_PASSES.to_owned());
        }
        Ok(CheckedCandidate {
            build,
            probe,
            compared,
            change,
            shapes,
        })
    }

    /// Replays recorded decisions, if there is a gate, beside the turns: with a reader of its own, in
    /// pages. A rollback passes: it must be possible at once, to rules that were active before.
    fn gate(
        &self,
        hosted: &HostedParticipant,
        apply: &Apply,
        build: &Arc<dyn CompiledRules>,
        contract: ContractClass,
    ) -> Result<GenerationChange, NotApplied> {
        let settings = &self.around.settings;
        let found = match settings.gate.gate {
            Gate::Replay if apply.way != Way::Rollback => {
                Some(self.gate_report(hosted, apply, build)?)
            }
            Gate::Replay | Gate::None => None,
        };
        Ok(GenerationChange::of(contract, found))
    }

    fn gate_report(
        &self,
        hosted: &HostedParticipant,
        apply: &Apply,
        build: &Arc<dyn CompiledRules>,
    ) -> Result<GateReport, NotApplied> {
        let settings = &self.around.settings;
        let check = GateCheck {
            participant: (hosted.participant.name(), hosted.row),
            candidate: build,
            data: &settings.store,
            settings: &settings.gate,
            limits: &settings.turn,
            now: self.around.store.trusted_now(),
            acknowledged: apply.acknowledged.as_ref(),
            is_over: &|| self.check_open().is_err(),
        };
        let reader = (self.around.store.reader()).map_err(|fault| store_failed(&fault))?;
        check.check(&*reader).map_err(|stopped| match stopped {
            GateStop::Refused(refused) => self.refused_or_lacking(refused),
            GateStop::Over => NotApplied::Busy("the host is stopping".into()),
            GateStop::Failed(reason) => NotApplied::Failed(format!(
                "recorded decisions can't be replayed: {reason}; nothing was changed, try again"
            )),
        })
    }

    /// Prepares everything that a swap needs.
    fn prepare(
        &self,
        hosted: &HostedParticipant,
        apply: &Apply,
        passed: CheckedCandidate,
    ) -> Result<ReadyCandidate, NotApplied> {
        let CheckedCandidate {
            build,
            probe,
            compared,
            change,
            shapes,
        } = passed;
        self.keep(build.component(), apply)?;
        let row = self.row_of(hosted, &build)?;
        Ok(ReadyCandidate {
            ready: self.ready(hosted, Generation { id: row, build })?,
            probe,
            compared,
            change,
            shapes,
        })
    }

    /// A generation with everything that a switch to it needs.
    pub(super) fn ready(
        &self,
        hosted: &HostedParticipant,
        generation: Generation,
    ) -> Result<ReadyGeneration, NotApplied> {
        let digest = generation.build.digest().to_owned();
        let fitted = self.resolve_topics(hosted, &*generation.build)?;
        let next = Arc::new(Active {
            generation,
            topics: fitted.topics,
            dead_letters: fitted.dead_letters,
        });
        let serving = (hosted.serving(&self.around.settings, &next))
            .map_err(|reason| refuse(Check::Description, reason, &digest))?;
        let successor =
            (hosted.participant.successor(next)).map_err(|fault| lacks(&fault.detail))?;
        Ok(ReadyGeneration {
            successor,
            serving,
            sources: fitted.sources,
            published: fitted.published,
        })
    }

    /// Checks the candidate against the settings and the sources of other participants.
    pub(super) fn fits(
        &self,
        hosted: &HostedParticipant,
        build: &dyn CompiledRules,
    ) -> Result<(), NotApplied> {
        let description = build.description();
        let settings = |reason| refuse(Check::Settings, reason, build.digest());
        topics::check_names(description, &hosted.own).map_err(settings)?;
        let security = &self.around.settings.security;
        security.check_metadata(description).map_err(settings)?;
        let transport = self.around.transport.as_ref();
        let sources = topics::sources(description, &hosted.own, transport, |_| Ok(0));
        let sources = sources.map_err(|fault| store_failed(&fault))?;
        self.check_together(description, &sources).map_err(settings)
    }

    /// A candidate that failed during a shortage of the machine may not be to blame (invariant 12).
    fn refused_or_lacking(&self, refused: Refused) -> NotApplied {
        match self.around.machine.shortage() {
            Some(lack) => lacks(&lack),
            None => NotApplied::Refused(refused),
        }
    }

    fn resolve_topics(
        &self,
        hosted: &HostedParticipant,
        build: &dyn CompiledRules,
    ) -> Result<GenerationTopics, NotApplied> {
        let description = build.description();
        let transport = self.around.transport.as_ref();
        let fitted = topics::resolve(description, &hosted.own, &*self.around.store, transport)
            .map_err(|error| match error {
                TopicsError::Settings(reason) => refuse(Check::Settings, reason, build.digest()),
                TopicsError::Store(fault) => store_failed(&fault),
            })?;
        Ok(fitted)
    }

    fn check_together(
        &self,
        description: &Description,
        sources: &[Arc<Source>],
    ) -> Result<(), String> {
        let others: Vec<_> = self
            .hosted
            .iter()
            .filter(|(name, _)| **name != description.name)
            .map(|(name, other)| (name.as_str(), other.sources()))
            .collect();
        let all = others
            .iter()
            .map(|(name, sources)| (*name, sources.as_slice()))
            .chain([(description.name.as_str(), sources)]);
        topics::check_together(all)
    }

    pub(super) fn present<'a>(
        &self,
        hosted: &HostedParticipant,
        active: &'a Active,
        shapes: Arc<ShapeFinding>,
    ) -> Present<'a> {
        Present {
            shapes,
            active: active.description(),
            participant: hosted.row,
            sources: hosted.sources(),
            retention_ms: (self.around.settings.retention_hours).saturating_mul(3_600_000),
            // What was used is not out of use by a clock that leapt.
            now: self.around.store.trusted_now(),
        }
    }

    /// The row of a generation. Only new ones, or those with other terms of fuel, go through the
    /// writer, to spare it.
    fn row_of(
        &self,
        hosted: &HostedParticipant,
        build: &Arc<dyn CompiledRules>,
    ) -> Result<i64, NotApplied> {
        let row = hosted.row;
        let known = self.read(|reading| reading.generation(row, build.digest()));
        if let Ok(Some(known)) = known
            && known.fuel_terms.last().map(|last| &last.terms) == build.fuel_terms().as_ref()
        {
            return Ok(known.id);
        }
        let generation = NewGeneration::of(&**build, now_ms());
        let registered = self.around.store.register_generation(row, generation);
        registered.map_err(|fault| store_failed(&fault))
    }
}

/// The error of a component that is refused for one reason.
pub(super) fn refuse(check: Check, reason: String, digest: &str) -> NotApplied {
    NotApplied::Refused(Refused::new(check, vec![reason], Some(digest.to_owned())))
}

/// The error of a machine that is out of a resource.
fn lacks(what: &str) -> NotApplied {
    NotApplied::Failed(format!(
        "the machine lacks {what}; nothing was changed, try again"
    ))
}

/// The error of a store that failed.
pub(super) fn store_failed(fault: &StoreFault) -> NotApplied {
    NotApplied::Failed(format!("the store failed: {fault}; try again"))
}
