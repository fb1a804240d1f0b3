//! From bytes to a candidate with everything that a swap needs, before anything is changed.
//!
//! All of it is done beside the turns, at low priority: the swap itself has little left to do.

use std::sync::Arc;

use saga_contract::description::Description;
use saga_contract::shapes::Found;

use super::check::{self, Compared, Present};
use super::fit::{self, FitError, Fitted};
use super::hosted::Hosted;
use super::neighbours;
use super::probe::Terms;
use super::reloader::{Apply, Inner};
use super::report::{Check, NotApplied, Probe, Refused};
use super::verify;
use crate::base::clock::now_ms;
use crate::base::generation::{Build, Generation};
use crate::http::routes::Routes;
use crate::http::schema;
use crate::http::service::Serving;
use crate::plugin::compile;
use crate::store::{StoreFault, registry};
use crate::transport::Source;
use crate::turn::{Active, Successor};

/// A candidate that passed its checks, with everything that a swap needs.
pub(super) struct Candidate {
    pub(super) successor: Successor,
    pub(super) serving: Serving,
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) published: Vec<(Arc<str>, i64)>,
    pub(super) probe: Probe,
    pub(super) compared: Compared,
    pub(super) shapes: Arc<Found>,
}

/// A candidate that passed its checks. Nothing was changed for it.
pub(super) struct Passed {
    pub(super) build: Arc<dyn Build>,
    pub(super) probe: Probe,
    pub(super) compared: Compared,
    shapes: Arc<Found>,
}

/// What became of the checks.
pub(super) enum Checked {
    /// It is the active one already.
    IsActive,
    /// It was to be checked only.
    Only(Passed),
    /// It is ready to take over.
    Ready(Box<Candidate>),
}

impl Inner {
    /// Everything that can be found out and prepared before anything is changed.
    pub(super) fn candidate(
        &self,
        hosted: &Hosted,
        active: &Active,
        apply: &Apply,
    ) -> Result<Checked, NotApplied> {
        let digest = compile::digest(&apply.bytes);
        if digest == active.digest() {
            if !apply.flags.dry_run {
                // Its copy may have been lost.
                self.keep(&digest, apply)?;
            }
            return Ok(Checked::IsActive);
        }
        let passed = self.check(hosted, active, apply)?;
        if apply.flags.dry_run {
            return Ok(Checked::Only(passed));
        }
        let candidate = self.prepare(hosted, apply, passed)?;
        Ok(Checked::Ready(Box::new(candidate)))
    }

    fn keep(&self, digest: &str, apply: &Apply) -> Result<(), NotApplied> {
        let kept = self.loader()?.archive().keep(digest, &apply.bytes);
        kept.map_err(|reason| {
            NotApplied::Failed(format!(
                "the component can't be kept: {reason}; nothing was changed"
            ))
        })
    }

    /// All checks. They are the same for whatever way a component comes by, and change nothing.
    fn check(&self, hosted: &Hosted, active: &Active, apply: &Apply) -> Result<Passed, NotApplied> {
        let loader = self.loader()?;
        let build = loader
            .load(&apply.bytes, &apply.origin)
            // One that was given up for the host's end is not refused.
            .map_err(|refused| match self.still_open() {
                Ok(()) => self.refused_or_lacking(refused),
                Err(stopping) => stopping,
            })?;
        self.still_open()?;
        Routes::new(build.description(), hosted.base_path())
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
        compared.notes.extend(schema::remarks(build.description()));
        let running = &*active.generation.build;
        compared.notes.extend(neighbours::one_way(running, &*build));
        self.fits(hosted, &*build)?;
        let terms = Terms {
            limits,
            allowed: apply.flags.allowed(),
            is_over: &|| self.still_open().is_err(),
        };
        let probe = check::probe(&*build, Some(running), terms, &inputs);
        // What ended early shows nothing.
        self.still_open()?;
        let mut probe = probe.map_err(|refused| self.refused_or_lacking(refused))?;
        compared.notes.append(&mut probe.notes);
        Ok(Passed {
            build,
            probe,
            compared,
            shapes,
        })
    }

    /// Everything that a swap needs.
    fn prepare(
        &self,
        hosted: &Hosted,
        apply: &Apply,
        passed: Passed,
    ) -> Result<Candidate, NotApplied> {
        let Passed {
            build,
            probe,
            compared,
            shapes,
        } = passed;
        let digest = build.digest().to_owned();
        let fitted = self.fit(hosted, &*build)?;
        self.keep(&digest, apply)?;
        let next = Arc::new(Active {
            generation: Generation {
                id: self.row_of(hosted, &build)?,
                build,
            },
            topics: fitted.topics,
            dead_letters: fitted.dead_letters,
        });
        let serving = (hosted.serving(&self.around.settings, &next))
            .map_err(|reason| refuse(Check::Description, reason, &digest))?;
        let successor =
            (hosted.participant.successor(next)).map_err(|fault| lacks(&fault.detail))?;
        Ok(Candidate {
            successor,
            serving,
            sources: fitted.sources,
            published: fitted.published,
            probe,
            compared,
            shapes,
        })
    }

    /// Whether it goes with the settings and beside the other participants.
    fn fits(&self, hosted: &Hosted, build: &dyn Build) -> Result<(), NotApplied> {
        let description = build.description();
        let settings = |reason| refuse(Check::Settings, reason, build.digest());
        fit::check_names(description, &hosted.own).map_err(settings)?;
        let transport = self.around.transport.as_ref();
        let sources = fit::sources(description, &hosted.own, transport, |_| Ok(0));
        let sources = sources.map_err(|fault| store_failed(&fault))?;
        self.check_together(description, &sources).map_err(settings)
    }

    /// A candidate that broke while the machine lacked something may be none the worse for it (invariant 12).
    fn refused_or_lacking(&self, refused: Refused) -> NotApplied {
        match self.around.machine.lack() {
            Some(lack) => lacks(&lack),
            None => NotApplied::Refused(refused),
        }
    }

    fn fit(&self, hosted: &Hosted, build: &dyn Build) -> Result<Fitted, NotApplied> {
        let description = build.description();
        let transport = self.around.transport.as_ref();
        let fitted =
            fit::fit(description, &hosted.own, &self.around.store, transport).map_err(|error| {
                match error {
                    FitError::Settings(reason) => refuse(Check::Settings, reason, build.digest()),
                    FitError::Store(fault) => store_failed(&fault),
                }
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
        fit::check_together(all)
    }

    pub(super) fn present<'a>(
        &self,
        hosted: &Hosted,
        active: &'a Active,
        shapes: Arc<Found>,
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

    /// The row of a build. The writer is asked only for that of a new one: it has better things to do.
    fn row_of(&self, hosted: &Hosted, build: &Arc<dyn Build>) -> Result<i64, NotApplied> {
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

/// What is told of a component that is refused for one reason.
pub(super) fn refuse(check: Check, reason: String, digest: &str) -> NotApplied {
    NotApplied::Refused(Refused::new(check, vec![reason], Some(digest.to_owned())))
}

/// What is told of a machine on which a candidate finds no room.
fn lacks(what: &str) -> NotApplied {
    NotApplied::Failed(format!(
        "the machine lacks {what}; nothing was changed, try again"
    ))
}

/// What is told of a store that failed.
pub(super) fn store_failed(fault: &StoreFault) -> NotApplied {
    NotApplied::Failed(format!("the store failed: {fault}; try again"))
}
