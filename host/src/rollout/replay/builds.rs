//! The rules that decide again: one candidate, or the generations that decided.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::report::RulesUnderReplay;
use crate::base::generation::{CompiledRules, FuelTerms};
use crate::rollout::loader::Loader;
use crate::store::history::{GenerationRow, PastGeneration};

/// The rules for each decision.
pub(super) enum Builds {
    /// The same ones for all of them.
    Candidate(Arc<dyn CompiledRules>),
    /// Those that decided, by their digests; loaded when the first decision of theirs comes.
    Recorded(Box<Loader>, HashMap<String, Generation>),
}

pub(super) struct Generation {
    row: GenerationRow,
    own: OnceLock<Result<OwnRules, String>>,
}

/// Rules that decided.
struct OwnRules {
    build: Arc<dyn CompiledRules>,
    /// If the fuel of their decisions must be the same again, or why not, and since when.
    fuel: Vec<(u64, Result<(), String>)>,
}

/// The rules for a decision.
pub(super) struct Rules<'b> {
    pub(super) build: &'b dyn CompiledRules,
    /// If its fuel must be the same again, or why not; `None` for a candidate, whose fuel may be any.
    pub(super) fuel: Option<Result<(), &'b str>>,
}

/// Why fuel is not judged if nothing is known about it.
const UNKNOWN_TERMS: &str = "it was not recorded with which engine";

impl Builds {
    pub(super) fn candidate(build: Arc<dyn CompiledRules>) -> Self {
        Self::Candidate(build)
    }

    pub(super) fn recorded(loader: Loader, generations: Vec<PastGeneration>) -> Self {
        let rows = generations.into_iter().map(|past| past.generation);
        let known = rows.map(|row| {
            let generation = Generation {
                own: OnceLock::new(),
                row,
            };
            (generation.row.digest.clone(), generation)
        });
        Self::Recorded(Box::new(loader), known.collect())
    }

    /// The rules for a decision of the generation of this digest at this time, or why there are none.
    pub(super) fn of(&self, digest: &str, time: u64) -> Result<Rules<'_>, &str> {
        let (loader, generations) = match self {
            Self::Candidate(build) => {
                return Ok(Rules {
                    build: &**build,
                    fuel: None,
                });
            }
            Self::Recorded(loader, generations) => (loader, generations),
        };
        let generation = generations
            .get(digest)
            .ok_or("the store does not know its rules any more")?;
        let own = generation
            .own
            .get_or_init(|| OwnRules::load(loader, &generation.row));
        let own = own.as_ref().map_err(String::as_str)?;
        let mut latest = own.fuel.iter().rev();
        let then = latest.find(|(since, _)| *since <= time);
        let judged = then.map_or(Err(UNKNOWN_TERMS), |(_, judged)| {
            judged.as_ref().copied().map_err(String::as_str)
        });
        Ok(Rules {
            build: &*own.build,
            fuel: Some(judged),
        })
    }

    /// The digest under which a thread keeps the instance for a decision of this one.
    pub(super) fn instance_of<'d>(&self, digest: &'d str) -> &'d str {
        match self {
            Self::Candidate(_) => "",
            Self::Recorded(..) => digest,
        }
    }

    /// The candidate in the report.
    pub(super) fn described(&self) -> Option<RulesUnderReplay> {
        let Self::Candidate(build) = self else {
            return None;
        };
        Some(super::described(&**build))
    }
}

impl OwnRules {
    fn load(loader: &Loader, row: &GenerationRow) -> Result<Self, String> {
        let bytes = (loader.archive().read(&row.component))
            .map_err(|reason| format!("the host has no copy of its rules: {reason}"))?;
        let loaded = loader.load(&bytes, &row.component, row.given());
        let build = loaded.map_err(|refused| format!("its rules are not loaded: {refused}"))?;
        let now = build.fuel_terms();
        let judged = row
            .fuel_terms
            .iter()
            .map(|then| (then.since, is_judged(&then.terms, now.as_ref())));
        Ok(Self {
            fuel: judged.collect(),
            build,
        })
    }
}

/// If decisions must take the same fuel again, or why not. They are made again on fresh instances.
fn is_judged(then: &FuelTerms, now: Option<&FuelTerms>) -> Result<(), String> {
    let now = now.ok_or("fuel is not measured")?;
    if then.engine != now.engine {
        return Err(format!("it was measured with {}", then.engine));
    }
    if then.memory_bytes != now.memory_bytes {
        let (then, now) = (then.memory_bytes, now.memory_bytes);
        return Err(format!("guest.memory_bytes was {then}, not {now}"));
    }
    match then.is_fresh {
        true => Ok(()),
        false => Err("it was measured on instances that were used before".into()),
    }
}
