//! From bytes to compiled code, once per digest.
//!
//! Compiling takes 100 ms, reading compiled code back takes less than one. The cache is a directory
//! with one file per digest and engine settings, written whole or not at all. A file that can't be
//! read, that another version of the engine wrote, or that is cut short is made anew: the cache is
//! never a reason to fail.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The name of a build: the SHA-256 of its bytes, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compiled code on disk.
#[derive(Debug, Clone)]
pub struct CodeCache {
    /// None where nothing is cached.
    directory: Option<PathBuf>,
}

impl CodeCache {
    /// A cache in this directory, which is made when it is first needed.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory: Some(directory),
        }
    }

    /// Caches nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { directory: None }
    }

    /// The compiled component of these bytes, from the cache where it is there.
    ///
    /// # Errors
    /// When the bytes are no component that this engine can compile.
    pub fn compile(
        &self,
        engine: &Engine,
        bytes: &[u8],
        digest: &str,
    ) -> wasmtime::Result<Component> {
        let Some(directory) = &self.directory else {
            return Component::new(engine, bytes);
        };
        let path = directory.join(file_name(engine, digest));
        if let Some(component) = read(engine, &path) {
            return Ok(component);
        }
        let component = Component::new(engine, bytes)?;
        if let Err(error) = write(directory, &path, &component) {
            tracing::warn!(path = %path.display(), %error, "compiled code was not cached; the next start compiles again");
        }
        Ok(component)
    }

    /// Removes what is cached of this digest, for whatever engine.
    pub fn forget(&self, digest: &str) {
        let files = self.directory.as_ref().map(fs::read_dir);
        let prefix = format!("{digest}-");
        for file in files.into_iter().flatten().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&prefix) {
                // What can't be removed costs its room and nothing else.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

fn file_name(engine: &Engine, digest: &str) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:016x}.code", hasher.finish())
}

fn write(directory: &Path, path: &Path, component: &Component) -> anyhow::Result<()> {
    let code = component
        .serialize()
        .map_err(|error| anyhow::anyhow!("{error:#}"))?;
    fs::create_dir_all(directory)?;
    let unfinished = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(&Sha256::digest(&code))?;
    file.write_all(&code)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    Ok(())
}

/// Reads compiled code back, if it is all there.
fn read(engine: &Engine, path: &Path) -> Option<Component> {
    let file = fs::read(path).ok()?;
    let (sum, code) = file.split_at_checked(32)?;
    if Sha256::digest(code).as_slice() != sum {
        tracing::warn!(path = %path.display(), "cached code is damaged and is made anew");
        return None;
    }
    deserialize(engine, code)
        .inspect_err(
            |error| tracing::warn!(path = %path.display(), %error, "cached code is made anew"),
        )
        .ok()
}

#[allow(
    unsafe_code,
    reason = "wasmtime can't check compiled code; see the safety comment"
)]
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the code must come from `Component::serialize`. It was read from the host's own data
    // directory, its checksum is that of what was written there, and wasmtime checks that the
    // version and settings of the engine are the same. Who can write to the data directory can
    // also replace the store and the components themselves.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::plugin::{GuestLimits, Runtime};

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    fn only_file(directory: &Path) -> PathBuf {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    #[test]
    fn damaged_code_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::new(GuestLimits::default()).unwrap();
        let cache = CodeCache::new(directory.path().to_owned());
        cache.compile(runtime.engine(), EMPTY, "d").unwrap();
        let path = only_file(directory.path());
        let good = fs::read(&path).unwrap();
        assert!(read(runtime.engine(), &path).is_some());
        for damage in [&b""[..], &b"short"[..], &good[..good.len() / 2]] {
            fs::write(&path, damage).unwrap();
            assert!(read(runtime.engine(), &path).is_none());
            cache.compile(runtime.engine(), EMPTY, "d").unwrap();
            assert_eq!(fs::read(&path).unwrap(), good);
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_no_reason_to_fail() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "not a directory").unwrap();
        let runtime = Runtime::new(GuestLimits::default()).unwrap();
        CodeCache::new(file)
            .compile(runtime.engine(), EMPTY, "d")
            .unwrap();
    }
}
