//! The file of a component: what tells it from what was there before, and its digest, which is not computed anew
//! while the file stays the same.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::plugin::{compile, component};

/// What tells a file from what was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    /// Of what is at this path now, if anything is.
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

    /// Whether nobody has written the file or put another in its place: other rights or another owner are of no matter.
    #[must_use]
    pub fn is_content_of(&self, other: &Self) -> bool {
        let content = |mark: &Self| (mark.device, mark.inode, mark.bytes, mark.modified);
        content(self) == content(other)
    }
}

/// The file of a component.
pub struct File {
    path: PathBuf,
    /// The digest of what had this mark.
    known: Mutex<Option<(Mark, String)>>,
}

impl File {
    /// The file at this path, whether it is there or not.
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

    /// The digest of what is there now; none where it can't be read.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        let mark = Mark::of(&self.path)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
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
        let written = Mark::of(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let restricted = Mark::of(&path).unwrap();
        assert_ne!(restricted, written);
        assert!(restricted.is_content_of(&written));
        // The same bytes in another file.
        let beside = directory.path().join("beside");
        std::fs::write(&beside, "one").unwrap();
        std::fs::rename(beside, &path).unwrap();
        assert!(!Mark::of(&path).unwrap().is_content_of(&written));
    }

    #[test]
    fn the_digest_follows_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.wasm");
        let file = File::new(path.clone());
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
