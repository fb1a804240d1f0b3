//! Compilation from bytes to code, once per digest.
//!
//! Compiling takes 100 ms and a separate process ([`super::compiler`]), loading compiled code less
//! than one. The cache is a directory with one file per digest and engine settings, written
//! atomically. Compiled code is machine code, which can't be checked: it is loaded only with the
//! proof that this host made it from this component ([`super::signed_code`]), under a key beside
//! the cache, and from a directory that no other user can write to. Rejected code is compiled
//! again: the cache is never a reason to fail.

use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use saga_core::hex;
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compiler::{CompileError, Compiler};
use super::private_files::{self, DirectoryState, SecretFile};
use super::signed_code::{self, CodeOrigin, KEY_BYTES, SigningKey};
use crate::base::machine;

/// Largest file of compiled code in bytes: several times the size of the largest component.
const CODE_BYTES: u64 = 2 << 30;

/// The digest of a component: the SHA-256 of its bytes, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Cache of compiled code on disk; clones share it.
#[derive(Clone)]
pub struct CodeCache {
    disk: Option<Arc<OnDisk>>,
    compiler: Compiler,
}

struct OnDisk {
    directory: PathBuf,
    key_file: PathBuf,
    key: OnceLock<SigningKey>,
}

impl CodeCache {
    /// A cache in this data directory: its files in `code`, which is created when needed, and their
    /// key in `code.key`.
    ///
    /// The key is a file and not a row of the store: it is useless without the cache, does not
    /// belong in backups, and others may read the store's file.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        let disk = Arc::new(OnDisk {
            directory: data.join("code"),
            key_file: data.join("code.key"),
            key: OnceLock::new(),
        });
        Self {
            disk: Some(disk),
            compiler: Compiler::here(),
        }
    }

    /// Caches nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            disk: None,
            compiler: Compiler::here(),
        }
    }

    /// Uses this compiler for components that are not cached.
    #[must_use]
    pub fn compiled_by(self, compiler: Compiler) -> Self {
        Self { compiler, ..self }
    }

    /// The compiled component of these bytes, from the cache if possible.
    ///
    /// # Errors
    /// If the bytes are no component that this engine can compile within the limits.
    pub fn compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        digest: &str,
    ) -> Result<Component, CompileError> {
        let Some(cache) = &self.disk else {
            return self.anew(engine, bytes).map(|(component, _)| component);
        };
        let key = match cache.key() {
            Ok(key) => key,
            Err(reason) => {
                tracing::warn!(%reason, "compiled code is not cached; each start compiles again");
                return self.anew(engine, bytes).map(|(component, _)| component);
            }
        };
        let origin = CodeOrigin {
            digest,
            engine: engine_hash(engine),
        };
        let path = cache.path(origin);
        match read(engine, key, origin, &path) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => {}
            Err(reason) => {
                tracing::warn!(path = %path.display(), %reason, "cached code is not used, but compiled again");
            }
        }
        let (component, code) = self.anew(engine, bytes)?;
        if let Err(error) = write(key, origin, &path, &code) {
            tracing::warn!(path = %path.display(), %error, "compiled code was not cached; the next start compiles again");
        }
        Ok(component)
    }

    /// Compiles; returns the code too.
    fn anew(&self, engine: &Engine, bytes: &[u8]) -> Result<(Component, Vec<u8>), CompileError> {
        let code = self.compiler.code(engine, bytes)?;
        let component = deserialize(engine, &code).map_err(|error| {
            match error.chain().find_map(machine::shortage_in) {
                Some(lack) => CompileError::Machine(lack),
                None => CompileError::Invalid(format!("{error:#}")),
            }
        })?;
        Ok((component, code))
    }

    /// Removes the cached code of this digest, for all engines.
    pub fn forget(&self, digest: &str) {
        let files = (self.disk.as_ref()).map(|cache| fs::read_dir(&cache.directory));
        let prefix = format!("{digest}-");
        for file in files.into_iter().flatten().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&prefix) {
                // A file that can't be removed only takes up space.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

impl OnDisk {
    /// The key, after checking that the cache is safe; created if missing.
    fn key(&self) -> Result<&SigningKey, String> {
        let at = |path: &Path, reason: String| format!("{}: {reason}", path.display());
        let place = private_files::directory(&self.directory)
            .map_err(|reason| at(&self.directory, reason))?;
        if let DirectoryState::Exposed(mode) = place {
            tracing::warn!(
                path = %self.directory.display(),
                "other users could write to the compiled code (mode {mode:04o}): it is deleted, and compiled again"
            );
            self.empty();
        }
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let key = self
            .read_key()
            .map_err(|reason| at(&self.key_file, reason))?;
        Ok(self.key.get_or_init(|| SigningKey::new(&key)))
    }

    fn read_key(&self) -> Result<[u8; KEY_BYTES], String> {
        match private_files::secret(&self.key_file, KEY_BYTES as u64)? {
            SecretFile::Kept(kept) => {
                if let Ok(key) = kept.try_into() {
                    return Ok(key);
                }
            }
            // Others may have signed code with it.
            SecretFile::Exposed(mode) => {
                tracing::warn!(
                    path = %self.key_file.display(),
                    "other users could read or write the key of compiled code (mode {mode:04o}): it is replaced, and all is compiled again"
                );
                self.empty();
            }
            SecretFile::Missing => {}
        }
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| error.to_string())?;
        private_files::write(&self.key_file, &[&key]).map_err(|error| error.to_string())?;
        Ok(key)
    }

    /// Removes all compiled code.
    fn empty(&self) {
        for file in fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = file.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "code")
            {
                // A file that can't be removed has no proof under the new key and is rejected.
                let _ = fs::remove_file(path);
            }
        }
    }

    fn path(&self, origin: CodeOrigin<'_>) -> PathBuf {
        (self.directory).join(format!("{}-{:016x}.code", origin.digest, origin.engine))
    }
}

fn engine_hash(engine: &Engine) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn write(
    key: &SigningKey,
    origin: CodeOrigin<'_>,
    path: &Path,
    code: &[u8],
) -> std::io::Result<()> {
    let head = signed_code::head(key, origin, code);
    private_files::write(path, &[&head, code])
}

/// Loads compiled code; `None` if there is none.
fn read(
    engine: &Engine,
    key: &SigningKey,
    origin: CodeOrigin<'_>,
    path: &Path,
) -> Result<Option<Component>, String> {
    let Some(file) = private_files::read(path, CODE_BYTES)? else {
        return Ok(None);
    };
    let code = signed_code::code(key, origin, &file)?;
    deserialize(engine, code)
        .map(Some)
        .map_err(|error| format!("{error:#}"))
}

/// The component for another engine with the same settings of its code.
///
/// # Errors
/// If that engine can't run it.
pub(super) fn moved(component: &Component, engine: &Engine) -> wasmtime::Result<Component> {
    deserialize(engine, &component.serialize()?)
}

#[allow(
    unsafe_code,
    reason = "wasmtime can't check compiled code; see the safety comment"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the code must come from `Engine::precompile_component`. It comes from a component of
    // this process, from this program through a pipe, or with a proof under a key that only the
    // host's user can read, which states that, the component, and the version and settings of the
    // engine.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
