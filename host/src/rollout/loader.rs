//! Loading: from bytes to a component that fits the contract. Owns the host's archive of
//! components.

use std::collections::{BTreeSet, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use saga_contract::description::Description;

use super::archive::Archive;
use super::given_settings::GivenSettings;
use super::report::{Check, Refused};
use super::rule_settings;
use super::settings::RolloutSettings;
use crate::base::generation::CompiledRules;
use crate::base::machine::{self, Machine};
use crate::plugin::{
    CodeCache, Compiler, InstanceUse, LoadError, LoadedComponent, Reservation, Runtime, compile,
};
use crate::store::StoreLocation;

/// Components that stay loaded, which makes a rollback to one of them fast.
const LOADED: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Checks that all routes of a description can be served below a path.
///
/// # Errors
/// Names a route that can't, and the reason.
pub type CheckRoutes = fn(&Description, &str) -> Result<(), String>;

/// Loads components.
pub struct Loader {
    runtime: Runtime,
    cache: CodeCache,
    compiler: Compiler,
    archive: Archive,
    check_routes: CheckRoutes,
    /// Participants each of whose calls gets a fresh instance.
    fresh: BTreeSet<String>,
    /// Recently loaded components, by digest.
    loaded: Mutex<LruCache<String, Arc<LoadedComponent>>>,
}

impl Loader {
    /// A loader that keeps compiled code and archived components in the data directory. Its
    /// instances report shortages to `machine`.
    ///
    /// # Errors
    /// If wasmtime can't run on this machine.
    pub fn new(
        settings: &RolloutSettings,
        machine: Machine,
        check_routes: CheckRoutes,
    ) -> anyhow::Result<Self> {
        let instances = settings
            .instances
            .saturating_mul(settings.participants.len());
        let fresh: BTreeSet<String> = (settings.participants.iter())
            .filter(|(_, own)| own.fresh_instances)
            .map(|(name, _)| name.clone())
            .collect();
        // In the pool each worker has one instance at a time, and the check of a candidate one.
        let pooled = match fresh.len() {
            0 => 0,
            of_them => of_them.saturating_mul(settings.instances).saturating_add(1),
        };
        let limit = machine::address_space();
        let reservation = Reservation::fitting(instances.saturating_add(pooled), limit);
        tracing::debug!(
            ?reservation,
            address_space = limit.map_or("not limited".to_owned(), |limit| limit.to_string()),
            "address space of an instance"
        );
        let runtime = Runtime::with(settings.guest, reservation, machine)
            .map_err(|error| anyhow::anyhow!("wasmtime does not start: {error:#}"))?;
        let runtime = match pooled {
            0 => runtime,
            instances => runtime.pooled(instances),
        };
        let compiler = Compiler::apart(settings.compile, settings.guest.memory_bytes, reservation)?;
        Ok(Self {
            runtime,
            cache: CodeCache::new(&settings.data_dir).compiled_by(compiler.clone()),
            compiler,
            archive: Archive::of_host(&settings.data_dir, &settings.store),
            check_routes,
            fresh,
            loaded: Mutex::new(LruCache::new(LOADED)),
        })
    }

    /// A loader that does not cache compiled code, and has the archived components of this store.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn offline(
        settings: &RolloutSettings,
        store: &StoreLocation,
        check_routes: CheckRoutes,
    ) -> anyhow::Result<Self> {
        let mut loader = Self::new(settings, Machine::default(), check_routes)?;
        loader.archive = Archive::of_store(store);
        loader.cache = CodeCache::none().compiled_by(loader.compiler.clone());
        Ok(loader)
    }

    /// Loads a component from bytes, with the settings that the operator gave to its rules; `origin`
    /// names the source of the bytes.
    ///
    /// # Errors
    /// The check that failed, and the reason.
    pub fn load(
        &self,
        bytes: &[u8],
        origin: &str,
        given: impl Into<GivenSettings>,
    ) -> Result<Arc<dyn CompiledRules>, Refused> {
        self.load_with(bytes, origin, |_| Ok(given.into()))
    }

    /// [`Loader::load`] with settings that depend on the description.
    ///
    /// # Errors
    /// As [`Loader::load`], or the error of `given`.
    pub fn load_with<E: From<Refused>>(
        &self,
        bytes: &[u8],
        origin: &str,
        given: impl FnOnce(&Description) -> Result<GivenSettings, E>,
    ) -> Result<Arc<dyn CompiledRules>, E> {
        let digest = compile::digest(bytes);
        let component = self.component(bytes, &digest, origin)?;
        let instance_use = match self.fresh.contains(&component.description().name) {
            true => InstanceUse::Fresh,
            false => InstanceUse::Reused,
        };
        let given = given(component.description())?;
        let settings = rule_settings::effective(component.description(), &given)
            .map_err(|reasons| Refused::new(Check::Settings, reasons, Some(digest)))?;
        Ok(Arc::new(component.configured(
            instance_use,
            given.values,
            &settings,
        )))
    }

    fn component(
        &self,
        bytes: &[u8],
        digest: &str,
        origin: &str,
    ) -> Result<Arc<LoadedComponent>, Refused> {
        if let Some(component) = self.loaded.lock().get(digest) {
            return Ok(component.clone());
        }
        let component = LoadedComponent::load(&self.runtime, &self.cache, bytes, digest, origin)
            .map_err(|error| refused(&error, Some(digest.to_owned())))?;
        let component = Arc::new(component);
        self.loaded.lock().put(digest.to_owned(), component.clone());
        Ok(component)
    }

    /// Checks that all routes of a description can be served below a path.
    ///
    /// # Errors
    /// The routes that can't, and the reason.
    pub fn check_routes(&self, description: &Description, base_path: &str) -> Result<(), String> {
        (self.check_routes)(description, base_path)
    }

    /// Stops: aborts a compilation in flight, and compiles nothing more.
    pub fn stop(&self) {
        self.compiler.stop();
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
            self.loaded.lock().pop(digest);
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
