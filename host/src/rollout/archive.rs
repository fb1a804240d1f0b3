//! The host's own copies of components, by digest.
//!
//! They serve a rollback, and a restart: a host comes up with the generation that was active,
//! whatever has become of the file at the configured path. A copy is written atomically, before its
//! generation becomes active.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::plugin::compile;
use crate::store::{Components, StoreLocation};

/// Copies of components, by digest.
#[derive(Clone)]
pub struct Archive {
    /// One file per digest. None without a data directory.
    directory: Option<PathBuf>,
    /// Those of a store on a server, which all its hosts share; the files are copies of them.
    shared: Option<Arc<dyn Components>>,
}

impl Archive {
    /// The archive in this data directory; the directory is created when needed.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self {
            directory: Some(data.join("components")),
            shared: None,
        }
    }

    /// The archive of a host with this data directory and this store.
    #[must_use]
    pub fn of_host(data: &Path, store: &StoreLocation) -> Self {
        Self {
            shared: store.components(),
            ..Self::new(data)
        }
    }

    /// The archive that belongs to this store.
    #[must_use]
    pub fn of_store(store: &StoreLocation) -> Self {
        Self {
            directory: store.directory().map(|data| data.join("components")),
            shared: store.components(),
        }
    }

    /// True if there is a copy of this digest.
    #[must_use]
    pub fn holds(&self, digest: &str) -> bool {
        match &self.shared {
            // Unreadable, it can't be used either.
            Some(_) => self
                .digests()
                .is_ok_and(|all| all.iter().any(|one| one == digest)),
            None => {
                let directory = self.directory.as_deref();
                directory.is_some_and(|directory| path(directory, digest).is_file())
            }
        }
    }

    /// Reads and verifies the copy of this digest.
    ///
    /// # Errors
    /// The reason, which names the file or the server.
    pub fn read(&self, digest: &str) -> Result<Vec<u8>, String> {
        let file = (self.directory.as_deref()).map(|directory| read_file(directory, digest));
        match (file, &self.shared) {
            (Some(Ok(bytes)), _) => Ok(bytes),
            (file, Some(shared)) => {
                let Some(bytes) = shared.read(digest)? else {
                    return Err(match file {
                        Some(Err(reason)) => format!("{reason}; the store does not have it either"),
                        _ => "the store does not have it".into(),
                    });
                };
                check(digest, &bytes).map_err(|found| {
                    format!("component {digest} in the store is damaged, its digest is {found}")
                })?;
                Ok(bytes)
            }
            (Some(Err(reason)), None) => Err(reason),
            (None, None) => Err("there is no archive".into()),
        }
    }

    /// Stores a copy; it is durable when this returns.
    ///
    /// # Errors
    /// The error of the system or of the server, which names the file or the server.
    pub fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), String> {
        if let Some(shared) = &self.shared {
            shared.keep(digest, bytes)?;
        }
        let Some(directory) = self.directory.as_deref() else {
            return Ok(());
        };
        if read_file(directory, digest).is_ok() {
            return Ok(());
        }
        let path = path(directory, digest);
        write(directory, &path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The digests of all copies, sorted.
    ///
    /// # Errors
    /// The server's message.
    pub fn digests(&self) -> Result<Vec<String>, String> {
        if let Some(shared) = &self.shared {
            return shared.digests();
        }
        let files = (self.directory.iter()).filter_map(|directory| fs::read_dir(directory).ok());
        let paths = files.flatten().flatten().map(|file| file.path());
        let whole = paths.filter(|path| path.extension().is_some_and(|end| end == "wasm"));
        let mut digests: Vec<String> = whole
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        digests.sort();
        Ok(digests)
    }

    /// Removes the copies of all other digests; returns the removed digests.
    pub fn retain(&self, digests: &HashSet<String>) -> Vec<String> {
        let mut gone = self.retain_files(digests);
        if let Some(shared) = &self.shared {
            let kept: Vec<String> = digests.iter().cloned().collect();
            match shared.retain(&kept) {
                Ok(removed) => gone.extend(removed),
                // They are tried again at the next swap.
                Err(reason) => tracing::warn!(%reason, "former components can't be deleted"),
            }
            gone.sort();
            gone.dedup();
        }
        gone
    }

    fn retain_files(&self, digests: &HashSet<String>) -> Vec<String> {
        let files = self.directory.iter().map(fs::read_dir);
        let files = files.flatten().flatten().flatten();
        let mut gone = Vec::new();
        for path in files.map(|file| file.path()) {
            let digest = path.file_stem().and_then(|stem| stem.to_str());
            // A file that can't be removed is tried again at the next swap.
            if let Some(digest) = digest.filter(|digest| !digests.contains(*digest))
                && fs::remove_file(&path).is_ok()
            {
                gone.push(digest.to_owned());
            }
        }
        gone
    }
}

/// The path of the copy of this digest, whether it exists or not.
fn path(directory: &Path, digest: &str) -> PathBuf {
    directory.join(format!("{digest}.wasm"))
}

fn read_file(directory: &Path, digest: &str) -> Result<Vec<u8>, String> {
    let path = path(directory, digest);
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    match check(digest, &bytes) {
        Ok(()) => Ok(bytes),
        Err(found) => Err(format!(
            "{}: is damaged, its digest is {found}",
            path.display()
        )),
    }
}

/// Compares the digest of the bytes; the other one if it differs.
fn check(digest: &str, bytes: &[u8]) -> Result<(), String> {
    let found = compile::digest(bytes);
    match found == digest {
        true => Ok(()),
        false => Err(found),
    }
}

fn write(directory: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    make_directory(directory)?;
    let unfinished = path.with_extension("new");
    let written = write_whole(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // The disk may be full.
        let _ = fs::remove_file(&unfinished);
    }
    written?;
    fs::File::open(directory)?.sync_all()
}

/// Syncs the directory's parent, so that a power loss can't take the directory with its files.
fn make_directory(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    match directory.parent() {
        Some(data) if !data.as_os_str().is_empty() => fs::File::open(data)?.sync_all(),
        _ => fs::File::open(".")?.sync_all(),
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_copy_is_reported_and_repaired() {
        let data = tempfile::tempdir().unwrap();
        let archive = Archive::new(data.path());
        let bytes = b"some rules";
        let digest = compile::digest(bytes);
        assert!(archive.read(&digest).unwrap_err().contains(&digest));
        archive.keep(&digest, bytes).unwrap();
        assert_eq!(archive.read(&digest).unwrap(), bytes);
        fs::write(path(archive.directory.as_deref().unwrap(), &digest), "some").unwrap();
        let error = archive.read(&digest).unwrap_err();
        assert!(error.contains("is damaged"), "{error}");
        archive.keep(&digest, bytes).unwrap();
        assert_eq!(archive.read(&digest).unwrap(), bytes);
    }

    #[test]
    fn only_named_copies_are_retained() {
        let data = tempfile::tempdir().unwrap();
        let archive = Archive::new(data.path());
        let digests = [&b"a"[..], b"b", b"c"].map(|bytes| {
            let digest = compile::digest(bytes);
            archive.keep(&digest, bytes).unwrap();
            digest
        });
        let [a, b, c] = digests;
        let mut gone = archive.retain(&HashSet::from([b.clone()]));
        gone.sort();
        let mut others = vec![a, c];
        others.sort();
        assert_eq!(gone, others);
        assert_eq!(archive.digests().unwrap(), [b]);
    }
}
