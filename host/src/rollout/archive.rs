//! The host's own copies of components, by digest.
//!
//! They serve a rollback, and a restart: a host comes up with the generation that was active,
//! whatever has become of the file at the configured path. A copy is written atomically, before its
//! generation becomes active.

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::plugin::compile;

/// A directory with one file per digest.
#[derive(Debug, Clone)]
pub struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// The archive in this data directory; the directory is created when needed.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self {
            directory: data.join("components"),
        }
    }

    /// The path of the copy of this digest, whether it exists or not.
    #[must_use]
    pub fn path(&self, digest: &str) -> PathBuf {
        self.directory.join(format!("{digest}.wasm"))
    }

    /// True if there is a copy of this digest.
    #[must_use]
    pub fn holds(&self, digest: &str) -> bool {
        self.path(digest).is_file()
    }

    /// Reads and verifies the copy of this digest.
    ///
    /// # Errors
    /// The reason, which names the file.
    pub fn read(&self, digest: &str) -> Result<Vec<u8>, String> {
        let path = self.path(digest);
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let found = compile::digest(&bytes);
        if found == digest {
            Ok(bytes)
        } else {
            Err(format!(
                "{}: is damaged, its digest is {found}",
                path.display()
            ))
        }
    }

    /// Stores a copy; it is on disk when this returns.
    ///
    /// # Errors
    /// The system's error, which names the file.
    pub fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), String> {
        if self.read(digest).is_ok() {
            return Ok(());
        }
        let path = self.path(digest);
        self.write(&path, bytes)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        self.make_directory()?;
        let unfinished = path.with_extension("new");
        let written = write_whole(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            // The disk may be full.
            let _ = fs::remove_file(&unfinished);
        }
        written?;
        fs::File::open(&self.directory)?.sync_all()
    }

    /// Syncs the directory's parent, so that a power loss can't take the directory with its files.
    fn make_directory(&self) -> std::io::Result<()> {
        if self.directory.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.directory)?;
        match self.directory.parent() {
            Some(data) if !data.as_os_str().is_empty() => fs::File::open(data)?.sync_all(),
            _ => fs::File::open(".")?.sync_all(),
        }
    }

    /// The digests of all copies, sorted.
    #[must_use]
    pub fn digests(&self) -> Vec<String> {
        let files = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let paths = files.map(|file| file.path());
        let whole = paths.filter(|path| path.extension().is_some_and(|end| end == "wasm"));
        let mut digests: Vec<String> = whole
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        digests.sort();
        digests
    }

    /// Removes the copies of all other digests; returns the removed digests.
    pub fn retain(&self, digests: &HashSet<String>) -> Vec<String> {
        let Ok(files) = fs::read_dir(&self.directory) else {
            return Vec::new();
        };
        let mut gone = Vec::new();
        for path in files.flatten().map(|file| file.path()) {
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
        fs::write(archive.path(&digest), "some").unwrap();
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
        let mut others = vec![a.clone(), c];
        others.sort();
        assert_eq!(gone, others);
        assert!(archive.holds(&b) && !archive.holds(&a));
    }
}
