//! A generation: rules that decide for a participant, and their row in the store.

use std::sync::Arc;

use saga_contract::description::Description;
use saga_contract::outputs::OutputSchemas;
use saga_core::rules::{Fault, Rules};
use serde::{Deserialize, Serialize};

/// Settings that an operator gives to rules: JSON values by name. An `Option` of it is None if there
/// are none.
pub type RuleSettings = serde_json::Map<String, serde_json::Value>;

/// The beginning of a digest, as it is shown: enough to tell generations apart.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// The conditions of a decision's fuel besides the rules, their settings and the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FuelTerms {
    /// The engine and its version.
    pub engine: String,
    /// Bytes of memory that an instance may have.
    pub memory_bytes: u64,
    /// True if each call has an instance of its own. On one that was called before, fuel depends on
    /// these calls too.
    pub is_fresh: bool,
}

/// Rules that can be loaded: a compiled component, or rules that are linked into the process (the
/// benchmark's).
pub trait CompiledRules: Send + Sync {
    /// Identifies the rules, the operator's settings included, in hexadecimal: the SHA-256 of the
    /// component's bytes if there are no settings.
    fn digest(&self) -> &str;
    /// The SHA-256 of the component's bytes, in hexadecimal.
    fn component(&self) -> &str {
        self.digest()
    }
    /// The settings that the operator gave to the rules.
    fn settings(&self) -> Option<&RuleSettings> {
        None
    }
    /// The participant's description of itself.
    fn description(&self) -> &Description;
    /// A remark for the operator that is no reason to refuse these rules.
    fn note(&self) -> Option<&str> {
        None
    }
    /// The schemas of its outputs; `None` if they are not checked.
    fn schemas(&self) -> Option<&dyn OutputSchemas> {
        None
    }
    /// The conditions of its decisions' fuel; `None` if no fuel is measured.
    fn fuel_terms(&self) -> Option<FuelTerms> {
        None
    }
    /// Creates an instance for one thread to call.
    ///
    /// # Errors
    /// A [`Fault`] if the instance can't be created, usually for lack of memory.
    fn instance(&self) -> Result<Box<dyn Rules + Send>, Fault>;
    /// Creates rules that make each call on an instance of its own, for one thread to call.
    ///
    /// # Errors
    /// As [`CompiledRules::instance`].
    fn fresh_instances(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        self.instance()
    }
}

/// Rules that decide, with their row in the store.
#[derive(Clone)]
pub struct Generation {
    /// Row in the store's table of generations.
    pub id: i64,
    /// The rules.
    pub build: Arc<dyn CompiledRules>,
}

impl Generation {
    /// The participant's description of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.build.description()
    }
}
