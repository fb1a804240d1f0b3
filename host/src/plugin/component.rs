//! A loaded component: its digest, its description, and the source of its instances.
//!
//! Loading goes from bytes to something callable: check the world, compile (cached), link,
//! describe, check the description. An error names the step and the reason.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use saga_contract::check::{self, DescriptionProblem};
use saga_contract::description::Description;
use saga_contract::outputs::OutputSchemas;
use saga_core::rules::{Fault, Rules};
use wasmtime::component::Component;

use super::bindings::ParticipantPre;
use super::compile::{self, CodeCache};
use super::compiler::CompileError;
use super::engine::{ENGINE, Runtime};
use super::instance::{Instance, InstanceUse, Prepared};
use super::overflow;
use super::ungranted;
use super::world::{self, Misfit};
use crate::base::generation::{CompiledRules, FuelTerms, RuleSettings};
use saga_contract::values::outputs::DeclaredOutputs;

/// Largest component file in bytes. Components of interpreted languages are about 20 MB.
pub const COMPONENT_BYTES: u64 = 128 << 20;

/// The settings of rules that take none.
const NO_SETTINGS: &str = "{}";

/// A component that is ready to be instantiated.
pub struct LoadedComponent {
    digest: String,
    description: Description,
    schemas: DeclaredOutputs,
    note: Option<String>,
    runtime: Runtime,
    prepared: Prepared,
}

/// A component with the settings of its rules.
pub struct ConfiguredComponent {
    component: Arc<LoadedComponent>,
    /// Identifies component and settings.
    digest: String,
    instance_use: InstanceUse,
    given: RuleSettings,
    /// JSON text of all settings, the default ones included.
    settings: Arc<str>,
}

/// The reason why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("component {origin}: can't be read: {reason}")]
    Unreadable {
        /// The file.
        origin: String,
        /// The system's error.
        reason: String,
    },
    /// The bytes are not a component.
    #[error("component {origin}: {reason}")]
    NotAComponent {
        /// Source of the bytes, usually a file.
        origin: String,
        /// The actual kind of file, and the remedy.
        reason: String,
    },
    /// A component of another world.
    #[error("component {origin}: not of the world saga:participant/participant: {reason}")]
    WrongWorld {
        /// Source of the bytes, usually a file.
        origin: String,
        /// The export that is missing or differs, or the import that is not granted.
        reason: String,
    },
    /// Compiling it exceeds a limit.
    #[error("component {origin}: {reason}")]
    TooMuch {
        /// Source of the bytes, usually a file.
        origin: String,
        /// The exceeded limit, and its setting.
        reason: String,
    },
    /// The host is stopping.
    #[error("component {origin}: is not compiled any more, for the host ends")]
    Stopped {
        /// Source of the bytes, usually a file.
        origin: String,
    },
    /// The machine is out of a resource.
    #[error("component {origin}: the machine lacks {lack}")]
    Machine {
        /// Source of the bytes, usually a file.
        origin: String,
        /// The missing resource.
        lack: String,
    },
    /// A fault in `describe`.
    #[error("component {origin}: broke in `describe`: {fault}")]
    DescribeFault {
        /// Source of the bytes, usually a file.
        origin: String,
        /// The fault.
        fault: Fault,
    },
    /// An invalid description.
    #[error("component {origin}: its description is wrong: {}", join(problems))]
    BadDescription {
        /// Source of the bytes, usually a file.
        origin: String,
        /// All problems.
        problems: Vec<DescriptionProblem>,
    },
    /// Its description varies, so that it can't be relied on.
    #[error(
        "component {origin}: described itself differently when it was asked again; `describe` must be constant"
    )]
    ChangingDescription {
        /// Source of the bytes, usually a file.
        origin: String,
    },
}

fn join(problems: &[DescriptionProblem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

impl LoadedComponent {
    /// Loads the component of these bytes, which have this digest. `origin` names their source in
    /// messages.
    ///
    /// # Errors
    /// A [`LoadError`] that names the origin, the step and the reason.
    pub fn load(
        runtime: &Runtime,
        cache: &CodeCache,
        bytes: &[u8],
        digest: &str,
        origin: &str,
    ) -> Result<Self, LoadError> {
        let component = compiled(runtime, cache, bytes, digest, origin)?;
        let prepared = prepared(runtime, &component, bytes, digest, origin)?;
        let description = described(runtime, &prepared, origin)?;
        Ok(Self {
            digest: digest.to_owned(),
            schemas: DeclaredOutputs::of(&description),
            description,
            note: overflow::note(bytes),
            runtime: runtime.clone(),
            prepared,
        })
    }
}

fn wrong_world(origin: &str, reason: String) -> LoadError {
    let origin = origin.to_owned();
    LoadError::WrongWorld { origin, reason }
}

fn invalid(origin: &str, reason: &str) -> LoadError {
    LoadError::NotAComponent {
        origin: origin.to_owned(),
        reason: format!("does not compile: {reason}"),
    }
}

/// The compiled component, after what can be refused without compiling it.
fn compiled(
    runtime: &Runtime,
    cache: &CodeCache,
    bytes: &[u8],
    digest: &str,
    origin: &str,
) -> Result<Component, LoadError> {
    if let Some(reason) = world::not_a_component(bytes) {
        let origin = origin.to_owned();
        return Err(LoadError::NotAComponent { origin, reason });
    }
    // Before a process is started that looks at all of it.
    if let Err(Misfit::World(reason)) = world::check_imports(bytes) {
        return Err(wrong_world(origin, reason));
    }
    let compiled = cache.compile(runtime.engine(), bytes, digest);
    compiled.map_err(|error| match error {
        CompileError::World(reason) => wrong_world(origin, reason),
        CompileError::Invalid(reason) => invalid(origin, &reason),
        CompileError::TooMuch(reason) => LoadError::TooMuch {
            origin: origin.to_owned(),
            reason,
        },
        CompileError::Machine(lack) => {
            runtime.machine().report_shortage(&lack);
            let origin = origin.to_owned();
            LoadError::Machine { origin, lack }
        }
        CompileError::Stopped => LoadError::Stopped {
            origin: origin.to_owned(),
        },
    })
}

/// The component with its imports linked, in the pool if there is one that can hold it.
fn prepared(
    runtime: &Runtime,
    component: &Component,
    bytes: &[u8],
    digest: &str,
    origin: &str,
) -> Result<Prepared, LoadError> {
    // Cached code may come from a host with another contract.
    let version = world::check(bytes).map_err(|misfit| match misfit {
        Misfit::Invalid(reason) => invalid(origin, &reason),
        Misfit::World(reason) => wrong_world(origin, reason),
    })?;
    let pre = ungranted::refusing(runtime.linker(), component)
        .and_then(|linker| linker.instantiate_pre(component))
        .and_then(|pre| ParticipantPre::new(version, pre))
        .map_err(|error| wrong_world(origin, format!("{error:#}")))?;
    let pooled = runtime.pool().map(|pool| pool.prepare(component, version));
    let pooled = pooled.and_then(|pooled| {
        let refused = |error: &wasmtime::Error| {
            tracing::info!(
                digest,
                error = format!("{error:#}"),
                "the pool can't hold this component; each fresh instance is mapped anew"
            );
        };
        pooled.inspect_err(refused).ok()
    });
    Ok(Prepared { pre, pooled })
}

/// The component's description, which must be valid and the same each time.
fn described(
    runtime: &Runtime,
    prepared: &Prepared,
    origin: &str,
) -> Result<Description, LoadError> {
    let mut instance = Instance::new(
        runtime.clone(),
        prepared.clone(),
        InstanceUse::Reused,
        NO_SETTINGS.into(),
    );
    let mut describe = || {
        let described = instance.describe();
        described.map_err(|fault| LoadError::DescribeFault {
            origin: origin.to_owned(),
            fault,
        })
    };
    let description = describe()?;
    let origin = origin.to_owned();
    if describe()? != description {
        return Err(LoadError::ChangingDescription { origin });
    }
    let problems = check::problems(&description);
    if !problems.is_empty() {
        return Err(LoadError::BadDescription { origin, problems });
    }
    Ok(description)
}

impl LoadedComponent {
    /// The participant's description of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The component with the settings of its rules: `given` by the operator, `settings` the JSON
    /// text of all of them.
    #[must_use]
    pub fn configured(
        self: Arc<Self>,
        instance_use: InstanceUse,
        given: RuleSettings,
        settings: &str,
    ) -> ConfiguredComponent {
        let digest = if given.is_empty() {
            self.digest.clone()
        } else {
            let given = serde_json::Value::Object(given.clone());
            compile::digest(format!("{}\n{given}", self.digest).as_bytes())
        };
        ConfiguredComponent {
            component: self,
            digest,
            instance_use,
            given,
            settings: settings.into(),
        }
    }
}

impl ConfiguredComponent {
    fn instance_for(&self, instance_use: InstanceUse) -> Result<Box<dyn Rules + Send>, Fault> {
        let component = &*self.component;
        let mut instance = Instance::new(
            component.runtime.clone(),
            component.prepared.clone(),
            instance_use,
            self.settings.clone(),
        );
        instance.prepare()?;
        Ok(Box::new(instance))
    }
}

impl CompiledRules for ConfiguredComponent {
    fn digest(&self) -> &str {
        &self.digest
    }

    fn component(&self) -> &str {
        &self.component.digest
    }

    fn settings(&self) -> Option<&RuleSettings> {
        (!self.given.is_empty()).then_some(&self.given)
    }

    fn description(&self) -> &Description {
        &self.component.description
    }

    fn note(&self) -> Option<&str> {
        self.component.note.as_deref()
    }

    fn schemas(&self) -> Option<&dyn OutputSchemas> {
        Some(&self.component.schemas)
    }

    fn fuel_terms(&self) -> Option<FuelTerms> {
        Some(FuelTerms {
            engine: ENGINE.into(),
            memory_bytes: self.component.runtime.limits().memory_bytes as u64,
            is_fresh: self.instance_use == InstanceUse::Fresh,
        })
    }

    fn instance(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        self.instance_for(self.instance_use)
    }

    fn fresh_instances(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        self.instance_for(InstanceUse::Fresh)
    }
}

/// Reads a component file.
///
/// # Errors
/// A [`LoadError::Unreadable`] that names the file and the reason.
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable {
        origin: path.display().to_string(),
        reason,
    };
    let system = |error: std::io::Error| unreadable(error.to_string());
    let no_file = || unreadable("it is not a file".into());
    // Opening a pipe without a writer would block.
    if !std::fs::metadata(path).map_err(system)?.is_file() {
        return Err(no_file());
    }
    // From here on, checks and reads concern the same open file.
    let file = std::fs::File::open(path).map_err(system)?;
    let metadata = file.metadata().map_err(system)?;
    if !metadata.is_file() {
        return Err(no_file());
    }
    if metadata.len() > COMPONENT_BYTES {
        return Err(unreadable(format!(
            "{} bytes are over the limit of {COMPONENT_BYTES}",
            metadata.len()
        )));
    }
    // Its size is known: a buffer that grows would be copied, and its pages made, several times.
    let size = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size.saturating_add(1));
    file.take(COMPONENT_BYTES)
        .read_to_end(&mut bytes)
        .map_err(system)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_component_is_read_into_a_buffer_of_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.wasm");
        let content = vec![7; (3 << 20) + 1];
        std::fs::write(&path, &content).unwrap();
        let bytes = read(&path).unwrap();
        assert_eq!(bytes, content);
        assert!(
            bytes.capacity() < content.len() + 100,
            "{}",
            bytes.capacity()
        );
    }
}
