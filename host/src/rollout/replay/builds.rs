//! The rules that decide again: one candidate, or the generations that decided.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::report::RulesUnderReplay;
use crate::base::generation::{CompiledRules, FuelTerms, RuleSettings};
use crate::plugin::compile;
use crate::rollout::loader::Loader;
use crate::store::history::{FuelTermsSince, GenerationRow};

/// Rules that made decisions, without their component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidingRules {
    /// Digest of the generation.
    pub digest: String,
    /// Digest of its component.
    pub component: String,
    /// The settings that the operator gave to the rules.
    #[serde(default, skip_serializing_if = "RuleSettings::is_empty")]
    pub settings: RuleSettings,
    /// What the fuel of their decisions depends on, and since when, oldest first; empty if that is not
    /// known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fuel_terms: Vec<FuelTermsSince>,
}

impl From<GenerationRow> for DecidingRules {
    fn from(row: GenerationRow) -> Self {
        Self {
            settings: row.given(),
            digest: row.digest,
            component: row.component,
            fuel_terms: row.fuel_terms,
        }
    }
}

/// Reads a component by its digest; or says why there is none.
pub(super) type ReadComponent<'r> = Box<dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync + 'r>;

/// The rules for each decision.
pub(super) enum Builds<'r> {
    /// The same ones for all of them.
    Candidate(Arc<dyn CompiledRules>),
    /// Those that decided, by their digests; loaded when the first decision of theirs comes.
    Recorded(Box<Source<'r>>, HashMap<String, Generation>),
}

/// Where the rules that decided come from.
pub(super) struct Source<'r> {
    loader: Loader,
    read: ReadComponent<'r>,
}

pub(super) struct Generation {
    rules: DecidingRules,
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

impl<'r> Builds<'r> {
    pub(super) fn candidate(build: Arc<dyn CompiledRules>) -> Self {
        Self::Candidate(build)
    }

    pub(super) fn recorded(
        loader: Loader,
        read: ReadComponent<'r>,
        generations: impl IntoIterator<Item = DecidingRules>,
    ) -> Self {
        let known = generations.into_iter().map(|rules| {
            let generation = Generation {
                own: OnceLock::new(),
                rules,
            };
            (generation.rules.digest.clone(), generation)
        });
        Self::Recorded(Box::new(Source { loader, read }), known.collect())
    }

    /// The rules for a decision of the generation of this digest at this time, or why there are none.
    pub(super) fn of(&self, digest: &str, time: u64) -> Result<Rules<'_>, &str> {
        let (source, generations) = match self {
            Self::Candidate(build) => {
                return Ok(Rules {
                    build: &**build,
                    fuel: None,
                });
            }
            Self::Recorded(source, generations) => (source, generations),
        };
        let generation = generations
            .get(digest)
            .ok_or("the store does not know its rules any more")?;
        let own = generation
            .own
            .get_or_init(|| OwnRules::load(source, &generation.rules));
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
    fn load(source: &Source<'_>, rules: &DecidingRules) -> Result<Self, String> {
        let DecidingRules {
            component,
            settings,
            fuel_terms,
            ..
        } = rules;
        let bytes = (source.read)(component)
            .map_err(|reason| format!("the host has no copy of its rules: {reason}"))?;
        let found = compile::digest(&bytes);
        if found != *component {
            return Err(format!("the copy of its rules has another digest, {found}"));
        }
        let loaded = (source.loader).load(&bytes, component, settings.clone());
        let build = loaded.map_err(|refused| format!("its rules are not loaded: {refused}"))?;
        let now = build.fuel_terms();
        let judged = fuel_terms
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
