//! A loaded component: its digest, what it says of itself, and where its instances come from.
//!
//! Loading is the whole way from bytes to something that can be called: check the
//! world, compile (cached), link, describe, check the description. What fails says which step and why.

use std::io::Read as _;
use std::path::Path;

use saga_contract::check::{self, DescriptionProblem};
use saga_contract::description::Description;
use saga_core::rules::{Fault, Rules};

use super::bindings::ParticipantPre;
use super::compile::CodeCache;
use super::compiler::CompileError;
use super::engine::Runtime;
use super::instance::Instance;
use super::overflow;
use super::sandbox::Sandbox;
use super::world::{self, Misfit};
use crate::base::generation::Build;

/// Largest file that is taken for a component, in bytes. Components of interpreted languages are
/// about 20 MB.
pub const COMPONENT_BYTES: u64 = 128 << 20;

/// A component that can be called.
pub struct Component {
    digest: String,
    description: Description,
    note: Option<String>,
    runtime: Runtime,
    pre: ParticipantPre<Sandbox>,
}

/// Why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("component {origin}: can't be read: {reason}")]
    Unreadable {
        /// The file.
        origin: String,
        /// What the system said.
        reason: String,
    },
    /// The bytes are not a component.
    #[error("component {origin}: {reason}")]
    NotAComponent {
        /// Where it is from: a file, mostly.
        origin: String,
        /// What it is instead, and what to do.
        reason: String,
    },
    /// It is a component of another world.
    #[error("component {origin}: not of the world saga:participant/participant: {reason}")]
    WrongWorld {
        /// Where it is from: a file, mostly.
        origin: String,
        /// Which export is missing or differs, or which import is not granted.
        reason: String,
    },
    /// Compiling it takes more than it may.
    #[error("component {origin}: {reason}")]
    TooMuch {
        /// Where it is from: a file, mostly.
        origin: String,
        /// What it takes, and which setting is in the way.
        reason: String,
    },
    /// The host is to end.
    #[error("component {origin}: is not compiled any more, for the host ends")]
    Stopped {
        /// Where it is from: a file, mostly.
        origin: String,
    },
    /// The machine had no room for it.
    #[error("component {origin}: the machine lacks {lack}")]
    Machine {
        /// Where it is from: a file, mostly.
        origin: String,
        /// What it lacks.
        lack: String,
    },
    /// It broke when it was asked what it is.
    #[error("component {origin}: broke in `describe`: {fault}")]
    DescribeFault {
        /// Where it is from: a file, mostly.
        origin: String,
        /// How it broke.
        fault: Fault,
    },
    /// What it says of itself makes no sense.
    #[error("component {origin}: its description is wrong: {}", join(problems))]
    BadDescription {
        /// Where it is from: a file, mostly.
        origin: String,
        /// Everything that is wrong.
        problems: Vec<DescriptionProblem>,
    },
    /// It says something else of itself each time, so that nothing it says can be relied on.
    #[error(
        "component {origin}: described itself otherwise when it was asked again; `describe` must be constant"
    )]
    ChangingDescription {
        /// Where it is from: a file, mostly.
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

impl Component {
    /// Loads the component of these bytes, which have this digest. `origin` says where they are from, for what is said
    /// of them.
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
        let origin = || origin.to_owned();
        if let Some(reason) = world::not_a_component(bytes) {
            return Err(LoadError::NotAComponent {
                origin: origin(),
                reason,
            });
        }
        let wrong_world = |reason| LoadError::WrongWorld {
            origin: origin(),
            reason,
        };
        let not_a_component = |reason| LoadError::NotAComponent {
            origin: origin(),
            reason: format!("does not compile: {reason}"),
        };
        let compiled = cache.compile(runtime.engine(), bytes, digest);
        let component = compiled.map_err(|error| match error {
            CompileError::World(reason) => wrong_world(reason),
            CompileError::Invalid(reason) => not_a_component(reason),
            CompileError::TooMuch(reason) => LoadError::TooMuch {
                origin: origin(),
                reason,
            },
            CompileError::Machine(lack) => {
                runtime.machine().lacks(&lack);
                LoadError::Machine {
                    origin: origin(),
                    lack,
                }
            }
            CompileError::Stopped => LoadError::Stopped { origin: origin() },
        })?;
        // Code in the cache may have been compiled by a host of another contract.
        world::check(bytes).map_err(|misfit| match misfit {
            Misfit::Invalid(reason) => not_a_component(reason),
            Misfit::World(reason) => wrong_world(reason),
        })?;
        let pre = runtime
            .linker()
            .instantiate_pre(&component)
            .and_then(ParticipantPre::new)
            .map_err(|error| wrong_world(format!("{error:#}")))?;
        let mut instance = Instance::new(runtime.clone(), pre.clone());
        let mut describe = || {
            let described = instance.describe();
            described.map_err(|fault| LoadError::DescribeFault {
                origin: origin(),
                fault,
            })
        };
        let description = describe()?;
        if describe()? != description {
            return Err(LoadError::ChangingDescription { origin: origin() });
        }
        let problems = check::problems(&description);
        if !problems.is_empty() {
            return Err(LoadError::BadDescription {
                origin: origin(),
                problems,
            });
        }
        Ok(Self {
            digest: digest.to_owned(),
            description,
            note: overflow::note(bytes),
            runtime: runtime.clone(),
            pre,
        })
    }
}

impl Build for Component {
    fn digest(&self) -> &str {
        &self.digest
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn instance(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        let mut instance = Instance::new(self.runtime.clone(), self.pre.clone());
        instance.prepare()?;
        Ok(Box::new(instance))
    }
}

/// Reads the file of a component.
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
    // A pipe that nobody writes to would hold up who opens it.
    if !std::fs::metadata(path).map_err(system)?.is_file() {
        return Err(no_file());
    }
    // What is looked at from here on is what is read.
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
    let mut bytes = Vec::new();
    file.take(COMPONENT_BYTES)
        .read_to_end(&mut bytes)
        .map_err(system)?;
    Ok(bytes)
}
