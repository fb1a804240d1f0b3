//! From bytes to a component that fits the contract, and the host's own copies of what was active.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::archive::Archive;
use super::report::{Check, Refused};
use super::settings::RolloutSettings;
use crate::base::generation::Build;
use crate::base::machine::{self, Machine};
use crate::plugin::{CodeCache, Compiler, Component, LoadError, Reservation, Runtime, compile};

/// Builds that stay loaded, so that going back to one takes no more time than need be.
const LOADED: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Loads components.
pub struct Loader {
    runtime: Runtime,
    cache: CodeCache,
    compiler: Compiler,
    archive: Archive,
    /// Builds that were loaded lately, by digest.
    loaded: Mutex<LruCache<String, Arc<dyn Build>>>,
}

impl Loader {
    /// A loader that caches compiled code and keeps its copies in the data directory. Its instances report to `machine` what
    /// it lacks.
    ///
    /// # Errors
    /// When the machine can't run wasmtime.
    pub fn new(settings: &RolloutSettings, machine: Machine) -> anyhow::Result<Self> {
        let instances = settings
            .instances
            .saturating_mul(settings.participants.len());
        let limit = machine::address_space();
        let reservation = Reservation::fitting(instances, limit);
        tracing::debug!(
            ?reservation,
            address_space = limit.map_or("not limited".to_owned(), |limit| limit.to_string()),
            "address space of an instance"
        );
        let runtime = Runtime::with(settings.guest, reservation, machine)
            .map_err(|error| anyhow::anyhow!("wasmtime does not start: {error:#}"))?;
        let compiler = Compiler::apart(settings.compile, settings.guest.memory_bytes, reservation)?;
        Ok(Self {
            runtime,
            cache: CodeCache::new(&settings.data_dir).compiled_by(compiler.clone()),
            compiler,
            archive: Archive::new(&settings.data_dir),
            loaded: Mutex::new(LruCache::new(LOADED)),
        })
    }

    /// The same, with compiled code cached nowhere.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn offline(settings: &RolloutSettings) -> anyhow::Result<Self> {
        let mut loader = Self::new(settings, Machine::default())?;
        loader.cache = CodeCache::none().compiled_by(loader.compiler.clone());
        Ok(loader)
    }

    /// Loads the component of these bytes, which are from `origin`.
    ///
    /// # Errors
    /// Which check it did not pass, and why.
    pub fn load(&self, bytes: &[u8], origin: &str) -> Result<Arc<dyn Build>, Refused> {
        let digest = compile::digest(bytes);
        if let Some(build) = self.loaded().get(&digest) {
            return Ok(build.clone());
        }
        let component = Component::load(&self.runtime, &self.cache, bytes, &digest, origin)
            .map_err(|error| refused(&error, Some(digest.clone())))?;
        let build: Arc<dyn Build> = Arc::new(component);
        self.loaded().put(digest, build.clone());
        Ok(build)
    }

    /// Compiles nothing more, and ends what is compiled now.
    pub fn stop(&self) {
        self.compiler.stop();
    }

    fn loaded(&self) -> MutexGuard<'_, LruCache<String, Arc<dyn Build>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Address space that one instance reserves, in bytes.
    #[must_use]
    pub fn instance_bytes(&self) -> u64 {
        self.runtime.instance_bytes()
    }

    /// The host's own copies.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Removes the compiled code of a component that was not taken, unless it is one that was active once.
    pub fn forget(&self, digest: &str) {
        if !self.archive.holds(digest) {
            self.loaded().pop(digest);
            self.cache.forget(digest);
        }
    }

    /// Removes the copies of all other digests, with their compiled code.
    pub fn retain(&self, digests: &HashSet<String>) {
        for gone in self.archive.retain(digests) {
            self.cache.forget(&gone);
        }
    }
}

/// What is told of a component that could not be loaded.
#[must_use]
pub fn refused(error: &LoadError, digest: Option<String>) -> Refused {
    let check = match error {
        LoadError::Unreadable { .. }
        | LoadError::NotAComponent { .. }
        | LoadError::TooMuch { .. }
        | LoadError::Stopped { .. }
        | LoadError::Machine { .. } => Check::Component,
        LoadError::WrongWorld { .. } => Check::World,
        LoadError::DescribeFault { .. }
        | LoadError::BadDescription { .. }
        | LoadError::ChangingDescription { .. } => Check::Description,
    };
    Refused::new(check, vec![error.to_string()], digest)
}
