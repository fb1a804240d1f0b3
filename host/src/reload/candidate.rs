//! From bytes to a candidate with everything that a swap needs, before anything is changed.
//!
//! All of it is done beside the turns, at low priority: the swap itself has little left to do.

use std::sync::Arc;

use super::check::{self, Compared, Drops, Present};
use super::fit::{self, FitError, Fitted};
use super::hosted::Hosted;
use super::reloader::{Apply, Inner};
use super::report::{Check, NotApplied, Probe, Refused, Way};
use super::verify;
use crate::clock::now_ms;
use crate::generation::{Build, Generation};
use crate::http::service::Serving;
use crate::pipeline::{Active, Successor};
use crate::plugin::{compile, overflow};
use crate::store::{StoreFault, registry};
use crate::transport::Source;

/// A candidate that passed its checks, with everything that a swap needs.
pub(super) struct Candidate {
    pub(super) successor: Successor,
    pub(super) serving: Serving,
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) published: Vec<(Arc<str>, i64)>,
    pub(super) probe: Probe,
    pub(super) compared: Compared,
}

impl Inner {
    /// Everything that can be found out and prepared before anything is changed; none where the component is
    /// the active one already.
    pub(super) fn candidate(
        &self,
        hosted: &Hosted,
        active: &Active,
        apply: &Apply,
    ) -> Result<Option<Candidate>, NotApplied> {
        let digest = compile::digest(&apply.bytes);
        let loader = self.loader()?;
        let keep = || {
            let kept = loader.archive().keep(&digest, &apply.bytes);
            kept.map_err(|reason| {
                NotApplied::Failed(format!(
                    "the component can't be kept: {reason}; nothing was changed"
                ))
            })
        };
        if digest == active.digest() {
            // Its copy may have been lost.
            keep()?;
            return Ok(None);
        }
        let build = loader
            .load(&apply.bytes, &apply.origin)
            .map_err(|refused| self.refused_or_lacking(refused))?;
        self.still_open()?;
        let present = self.present(hosted, active);
        let config = &self.around.config;
        let (limits, most) = (&config.turn, config.reload.probe_inputs);
        let (compared, inputs) = self
            .read(|sql| {
                let sources = verify::sources(sql, config, Some(&hosted.own), &*build)?;
                Ok((
                    check::compare(sql, &present, &*build, drops(apply))?,
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
            drops(apply),
        );
        compared.notes.extend(moved.map_err(NotApplied::Refused)?);
        compared.notes.extend(overflow::note(&apply.bytes));
        let fitted = self.fit(hosted, &*build)?;
        let running = Some(&*active.generation.build);
        let mut probe = match check::probe(&*build, running, limits, &inputs) {
            // What ran before is gone back to although it breaks on something: that may be why it was replaced.
            Err(refused) if apply.way == Way::Rollback => {
                compared.notes.extend(refused.reasons);
                Probe::default()
            }
            probe => probe.map_err(|refused| self.refused_or_lacking(refused))?,
        };
        compared.notes.append(&mut probe.notes);
        self.still_open()?;
        keep()?;
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
        Ok(Some(Candidate {
            successor,
            serving,
            sources: fitted.sources,
            published: fitted.published,
            probe,
            compared,
        }))
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
        let others: Vec<_> = self
            .hosted
            .iter()
            .filter(|(name, _)| **name != description.name)
            .map(|(name, other)| (name.as_str(), other.sources()))
            .collect();
        let all = others
            .iter()
            .map(|(name, sources)| (*name, sources.as_slice()))
            .chain([(description.name.as_str(), fitted.sources.as_slice())]);
        fit::check_together(all)
            .map_err(|reason| refuse(Check::Settings, reason, build.digest()))?;
        Ok(fitted)
    }

    pub(super) fn present<'a>(&self, hosted: &Hosted, active: &'a Active) -> Present<'a> {
        Present {
            active: active.description(),
            participant: hosted.row,
            sources: hosted.sources(),
            retention_ms: (self.around.config.store.retention_hours).saturating_mul(3_600_000),
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

/// How strict the checks are.
pub(super) fn drops(apply: &Apply) -> Drops {
    if apply.drop_used {
        Drops::Any
    } else {
        Drops::Unused
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
