//! The rules that decide again: one candidate, or the generations that decided.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::report::RulesUnderReplay;
use crate::base::generation::CompiledRules;
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
    build: OnceLock<Result<Arc<dyn CompiledRules>, String>>,
}

impl Builds {
    pub(super) fn candidate(build: Arc<dyn CompiledRules>) -> Self {
        Self::Candidate(build)
    }

    pub(super) fn recorded(loader: Loader, generations: Vec<PastGeneration>) -> Self {
        let rows = generations.into_iter().map(|past| past.generation);
        let known = rows.map(|row| {
            let generation = Generation {
                build: OnceLock::new(),
                row,
            };
            (generation.row.digest.clone(), generation)
        });
        Self::Recorded(Box::new(loader), known.collect())
    }

    /// The rules for a decision of the generation of this digest, or why there are none.
    pub(super) fn of(&self, digest: &str) -> Result<&dyn CompiledRules, &str> {
        let (loader, generations) = match self {
            Self::Candidate(build) => return Ok(&**build),
            Self::Recorded(loader, generations) => (loader, generations),
        };
        let generation = generations
            .get(digest)
            .ok_or("the store does not know its rules any more")?;
        let build = generation
            .build
            .get_or_init(|| load(loader, &generation.row));
        build.as_deref().map_err(String::as_str)
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

fn load(loader: &Loader, row: &GenerationRow) -> Result<Arc<dyn CompiledRules>, String> {
    let bytes = (loader.archive().read(&row.component))
        .map_err(|reason| format!("the host has no copy of its rules: {reason}"))?;
    let loaded = loader.load(&bytes, &row.component, row.given());
    loaded.map_err(|refused| format!("its rules are not loaded: {refused}"))
}
