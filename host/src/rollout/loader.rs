//! Loading: from bytes to a component that fits the contract. Owns the host's archive of
//! components.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::archive::Archive;
use super::report::{Check, Refused};
use crate::base::generation::CompiledRules;
use crate::base::machine::{self, Machine};
use crate::config::Config;
use crate::plugin::{
    CodeCache, Compiler, LoadError, LoadedComponent, Reservation, Runtime, compile,
};

/// Components that stay loaded, which makes a rollback to one of them fast.
const LOADED: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Loads components.
pub struct Loader {
    runtime: Runtime,
    cache: CodeCache,
    compiler: Compiler,
    archive: Archive,
    /// Recently loaded components, by digest.
    loaded: Mutex<LruCache<String, Arc<dyn CompiledRules>>>,
}

impl Loader {
    /// A loader that keeps compiled code and archived components in the data directory. Its
    /// instances report shortages to `machine`.
    ///
    /// # Errors
    /// If wasmtime can't run on this machine.
    pub fn new(config: &Config, machine: Machine) -> anyhow::Result<Self> {
        let instances = config.instances.saturating_mul(config.participants.len());
        let limit = machine::address_space();
        let reservation = Reservation::fitting(instances, limit);
        tracing::debug!(
            ?reservation,
            address_space = limit.map_or("not limited".to_owned(), |limit| limit.to_string()),
            "address space of an instance"
        );
        let runtime = Runtime::with(config.guest, reservation, machine)
            .map_err(|error| anyhow::anyhow!("wasmtime does not start: {error:#}"))?;
        let compiler = Compiler::apart(config.compile, config.guest.memory_bytes, reservation)?;
        Ok(Self {
            runtime,
            cache: CodeCache::new(&config.data_dir).compiled_by(compiler.clone()),
            compiler,
            archive: Archive::new(&config.data_dir),
            loaded: Mutex::new(LruCache::new(LOADED)),
        })
    }

    /// A loader that does not cache compiled code.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn offline(config: &Config) -> anyhow::Result<Self> {
        let mut loader = Self::new(config, Machine::default())?;
        loader.cache = CodeCache::none().compiled_by(loader.compiler.clone());
        Ok(loader)
    }

    /// Loads a component from bytes; `origin` names their source.
    ///
    /// # Errors
    /// The check that failed, and the reason.
    pub fn load(&self, bytes: &[u8], origin: &str) -> Result<Arc<dyn CompiledRules>, Refused> {
        let digest = compile::digest(bytes);
        if let Some(build) = self.loaded().get(&digest) {
            return Ok(build.clone());
        }
        let component = LoadedComponent::load(&self.runtime, &self.cache, bytes, &digest, origin)
            .map_err(|error| refused(&error, Some(digest.clone())))?;
        let build: Arc<dyn CompiledRules> = Arc::new(component);
        self.loaded().put(digest, build.clone());
        Ok(build)
    }

    /// Stops: aborts a compilation in flight, and compiles nothing more.
    pub fn stop(&self) {
        self.compiler.stop();
    }

    fn loaded(&self) -> MutexGuard<'_, LruCache<String, Arc<dyn CompiledRules>>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Address space that one instance reserves, in bytes.
    #[must_use]
    pub fn instance_bytes(&self) -> u64 {
        self.runtime.instance_bytes()
    }

    /// The host's own copies of components.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Removes the compiled code of a component that was not applied, unless it is archived.
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

/// The refusal of a component that could not be loaded.
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
