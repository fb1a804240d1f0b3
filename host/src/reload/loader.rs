//! From bytes to a component that fits the contract, and the host's own copies of what was active.

use std::collections::HashSet;
use std::sync::Arc;

use super::archive::Archive;
use super::report::{Check, Refused};
use crate::config::Config;
use crate::generation::Build;
use crate::plugin::{CodeCache, Component, LoadError, Runtime, compile};

/// Loads components.
#[derive(Clone)]
pub struct Loader {
    runtime: Runtime,
    cache: CodeCache,
    archive: Archive,
}

impl Loader {
    /// A loader that caches compiled code and keeps its copies in the data directory.
    ///
    /// # Errors
    /// When the machine can't run wasmtime.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let runtime = Runtime::new(config.guest)
            .map_err(|error| anyhow::anyhow!("wasmtime does not start: {error:#}"))?;
        Ok(Self {
            runtime,
            cache: CodeCache::new(config.data_dir.join("code")),
            archive: Archive::new(&config.data_dir),
        })
    }

    /// The same, with compiled code cached nowhere.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn offline(config: &Config) -> anyhow::Result<Self> {
        let mut loader = Self::new(config)?;
        loader.cache = CodeCache::none();
        Ok(loader)
    }

    /// Loads the component of these bytes, which are from `origin`.
    ///
    /// # Errors
    /// Which check it did not pass, and why.
    pub fn load(&self, bytes: &[u8], origin: &str) -> Result<Arc<dyn Build>, Refused> {
        match Component::load(&self.runtime, &self.cache, bytes, origin) {
            Ok(component) => Ok(Arc::new(component)),
            Err(error) => Err(refused(&error, Some(compile::digest(bytes)))),
        }
    }

    /// The host's own copies.
    #[must_use]
    pub fn archive(&self) -> &Archive {
        &self.archive
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
        LoadError::Unreadable { .. } | LoadError::NotAComponent { .. } => Check::Component,
        LoadError::WrongWorld { .. } => Check::World,
        LoadError::DescribeFault { .. } | LoadError::BadDescription { .. } => Check::Description,
    };
    Refused {
        check,
        reasons: vec![error.to_string()],
        digest,
    }
}
