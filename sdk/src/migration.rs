//! Stored states, and events, of older shapes, brought up step by step.
//!
//! Owns the chain of an author's `Old -> New` functions. Between two steps the value is JSON text,
//! as it is in the store, so a step reads exactly what a host of its time wrote.

use crate::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::{TypeId, type_name};

type Step = Box<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// One step: from `version` to the next.
#[cfg_attr(
    target_family = "wasm",
    allow(dead_code, reason = "only the check of a contract reads the types")
)]
pub(crate) struct Migration {
    version: u32,
    step: Step,
    reads: (TypeId, &'static str),
    gives: (TypeId, &'static str),
}

impl Migration {
    pub(crate) fn new<Old, New>(
        version: u32,
        step: impl Fn(Old) -> New + Send + Sync + 'static,
    ) -> Self
    where
        Old: DeserializeOwned + 'static,
        New: Serialize + 'static,
    {
        Self {
            version,
            step: Box::new(move |text| {
                let old = codec::decode(text)?;
                Ok(codec::encode(&step(old), "the migrated value"))
            }),
            reads: (TypeId::of::<Old>(), type_name::<Old>()),
            gives: (TypeId::of::<New>(), type_name::<New>()),
        }
    }
}

/// The chain, oldest step first.
#[derive(Default)]
pub(crate) struct Migrations(Vec<Migration>);

impl Migrations {
    pub(crate) fn push(&mut self, migration: Migration) {
        self.0.push(migration);
    }

    /// The oldest version that a step reads.
    pub(crate) fn oldest(&self) -> Option<u32> {
        self.0.iter().map(|step| step.version).min()
    }

    /// Brings a value of an older `version` to `current`. The error says which version could not be
    /// read, and where; `what` names the value.
    pub(crate) fn run(
        &self,
        what: &str,
        version: u32,
        current: u32,
        value: String,
    ) -> Result<String, String> {
        if version > current {
            return Err(format!(
                "{what} of version {version} is newer than these rules, which know version {current}"
            ));
        }
        (version..current).try_fold(value, |value, version| {
            let Some(migration) = self.0.iter().find(|step| step.version == version) else {
                return Err(format!("no migration reads {what} of version {version}"));
            };
            (migration.step)(&value)
                .map_err(|error| format!("{what} of version {version} can't be read: {error}"))
        })
    }

    /// Mistakes in the chain, which must end with a `T` of version `current`; `what` names the value.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn problems<T: 'static>(&self, what: &str, current: u32) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, step) in self.0.iter().enumerate() {
            let expected = match self.0.get(index + 1) {
                Some(next) => next.reads,
                None => (TypeId::of::<T>(), type_name::<T>()),
            };
            let next = self.0.get(index + 1).map_or(current, |next| next.version);
            let version = step.version;
            if step.gives.0 != expected.0 {
                let (gives, expected) = (step.gives.1, expected.1);
                problems.push(format!(
                    "migration of {what} version {version}: gives {gives}, but the next one reads {expected}"
                ));
            }
            if version.checked_add(1) != Some(next) {
                problems.push(format!(
                    "migration of {what} version {version}: is followed by version {next}: versions must follow each other, oldest first, up to the present one"
                ));
            }
        }
        problems
    }
}
