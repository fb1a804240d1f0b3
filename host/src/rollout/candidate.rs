//! From bytes to a candidate that is ready to swap, before anything is changed.
//!
//! All of it runs beside the turns at low priority: little is left to do for the swap itself.

use std::sync::Arc;

use saga_core::description::Description;
use saga_core::shapes::Found;

use super::check::{self, CandidateComparison, Present};
use super::hosted::HostedParticipant;
use super::neighbours;
use super::probe::Terms;
use super::reloader::{Apply, ReloaderState};
use super::report::{Check, NotApplied, ProbeReport, Refused};
use super::topics::{self, GenerationTopics, TopicsError};
use super::verify;
use crate::base::clock::now_ms;
use crate::base::generation::{CompiledRules, Generation};
use crate::http::routes::Routes;
use crate::http::schema;
use crate::http::service::Serving;
use crate::plugin::compile;
use crate::store::{StoreFault, registry};
use crate::transport::Source;
use crate::turn::{Active, Successor};

/// A candidate that passed its checks, with everything that a swap needs.
pub(super) struct ReadyCandidate {
    pub(super) successor: Successor,
    pub(super) serving: Serving,
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) published: Vec<(Arc<str>, i64)>,
    pub(super) probe: ProbeReport,
    pub(super) compared: CandidateComparison,
    pub(super) shapes: Arc<Found>,
}

/// A candidate that passed its checks, which changed nothing.
pub(super) struct CheckedCandidate {
    pub(super) build: Arc<dyn CompiledRules>,
    pub(super) probe: ProbeReport,
    pub(super) compared: CandidateComparison,
    shapes: Arc<Found>,
}

/// Result of the checks.
pub(super) enum CandidateCheck {
    /// The candidate is the active generation already.
    IsActive,
    /// A dry run.
    Only(CheckedCandidate),
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
        let digest = compile::digest(&apply.bytes);
        if digest == active.digest() {
            if !apply.flags.dry_run {
                // Its copy may have been lost.
                self.keep(&digest, apply)?;
            }
            return Ok(CandidateCheck::IsActive);
        }
        let passed = self.check(hosted, active, apply)?;
        if apply.flags.dry_run {
            return Ok(CandidateCheck::Only(passed));
        }
        let candidate = self.prepare(hosted, apply, passed)?;
        Ok(CandidateCheck::Ready(Box::new(candidate)))
    }

    fn keep(&self, digest: &str, apply: &Apply) -> Result<(), NotApplied> {
        let kept = self.loader()?.archive().keep(digest, &apply.bytes);
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
    ) -> Result<CheckedCandidate, NotApplied> {
        let loader = self.loader()?;
        let build = loader
            .load(&apply.bytes, &apply.origin)
            // A compilation that was stopped by the host's drain is no refusal.
            .map_err(|refused| match self.check_open() {
                Ok(()) => self.refused_or_lacking(refused),
                Err(stopping) => stopping,
            })?;
        self.check_open()?;
        Routes::new(build.description(), hosted.base_path())
            .map_err(|reason| refuse(Check::Description, reason, build.digest()))?;
        let shapes = Arc::new(self.shapes(hosted, active, &*build));
        let present = self.present(hosted, active, shapes.clone());
        let config = &self.around.config;
        let (limits, most) = (&config.turn, config.reload.probe_inputs);
        let (compared, inputs) = self
            .read(|sql| {
                let sources = verify::sources(sql, config, Some(&hosted.own), &*build)?;
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
        compared.notes.extend(schema::remarks(build.description()));
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
        Ok(CheckedCandidate {
            build,
            probe,
            compared,
            shapes,
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
            shapes,
        } = passed;
        let digest = build.digest().to_owned();
        let fitted = self.resolve_topics(hosted, &*build)?;
        self.keep(&digest, apply)?;
        let next = Arc::new(Active {
            generation: Generation {
                id: self.row_of(hosted, &build)?,
                build,
            },
            topics: fitted.topics,
            dead_letters: fitted.dead_letters,
        });
        let serving = (hosted.serving(&self.around.config, &next))
            .map_err(|reason| refuse(Check::Description, reason, &digest))?;
        let successor =
            (hosted.participant.successor(next)).map_err(|fault| lacks(&fault.detail))?;
        Ok(ReadyCandidate {
            successor,
            serving,
            sources: fitted.sources,
            published: fitted.published,
            probe,
            compared,
            shapes,
        })
    }

    /// Checks the candidate against the settings and the sources of other participants.
    fn fits(
        &self,
        hosted: &HostedParticipant,
        build: &dyn CompiledRules,
    ) -> Result<(), NotApplied> {
        let description = build.description();
        let settings = |reason| refuse(Check::Settings, reason, build.digest());
        topics::check_names(description, &hosted.own).map_err(settings)?;
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
        let fitted = topics::resolve(description, &hosted.own, &self.around.store, transport)
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
        shapes: Arc<Found>,
    ) -> Present<'a> {
        Present {
            shapes,
            active: active.description(),
            participant: hosted.row,
            sources: hosted.sources(),
            retention_ms: (self.around.config.store.retention_hours).saturating_mul(3_600_000),
            // Trusted time: a clock that leapt ahead must not put anything out of use.
            now: self.around.store.trusted_now(),
        }
    }

    /// The row of a generation. Only new ones go through the writer, to spare it.
    fn row_of(
        &self,
        hosted: &HostedParticipant,
        build: &Arc<dyn CompiledRules>,
    ) -> Result<i64, NotApplied> {
        let row = hosted.row;
        let known = self.read(|sql| registry::known_generation(sql, row, build.digest()));
        if let Ok(Some(id)) = known {
            return Ok(id);
        }
        let build = build.clone();
        self.around
            .store
            .run(move |sql| {
                registry::generation(sql, row, build.digest(), build.description(), now_ms())
            })
            .map_err(|fault| store_failed(&fault))
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
