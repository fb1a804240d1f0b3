//! The configured file of a component: its identity and its digest, which is computed only when the
//! file changes.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::plugin::{compile, component};

/// Identity of a file's content, from its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// The stamp of the file at this path, if there is one.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let file = std::fs::metadata(path).ok()?;
        Some(Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// True unless the file was written or replaced; changes of its mode or owner don't matter.
    #[must_use]
    pub fn is_content_of(&self, other: &Self) -> bool {
        let content = |mark: &Self| (mark.device, mark.inode, mark.bytes, mark.modified);
        content(self) == content(other)
    }
}

/// The configured file of a participant's component.
pub struct ConfiguredFile {
    path: PathBuf,
    /// The digest of the file with this stamp.
    known: Mutex<Option<(FileStamp, String)>>,
}

impl ConfiguredFile {
    /// The file at this path, whether it exists or not.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            known: Mutex::default(),
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of the file; `None` if it can't be read.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        let mark = FileStamp::of(&self.path)?;
        let mut known = self.known.lock();
        if let Some((of, digest)) = &*known
            && *of == mark
        {
            return Some(digest.clone());
        }
        let digest = compile::digest(&component::read(&self.path).ok()?);
        *known = Some((mark, digest.clone()));
        Some(digest)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn other_rights_are_no_other_content() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.wasm");
        std::fs::write(&path, "one").unwrap();
        let written = FileStamp::of(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let restricted = FileStamp::of(&path).unwrap();
        assert_ne!(restricted, written);
        assert!(restricted.is_content_of(&written));
        // The same bytes in another file.
        let beside = directory.path().join("beside");
        std::fs::write(&beside, "one").unwrap();
        std::fs::rename(beside, &path).unwrap();
        assert!(!FileStamp::of(&path).unwrap().is_content_of(&written));
    }

    #[test]
    fn the_digest_follows_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.wasm");
        let file = ConfiguredFile::new(path.clone());
        assert_eq!(file.digest(), None);
        for content in ["one", "other", "one"] {
            std::fs::write(&path, content).unwrap();
            for _ in 0..2 {
                assert_eq!(file.digest(), Some(compile::digest(content.as_bytes())));
            }
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.digest(), None);
    }
}
