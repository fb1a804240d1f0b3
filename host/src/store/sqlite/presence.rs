//! Presence checks of the store's files: the open files must still be the ones at its path.
//!
//! Files that were unlinked or moved can still be written, and everything would be gone at the next
//! start. So their names are checked: the store's file and its log after each commit, before its
//! outcome is reported, and the others periodically. Only names are checked: SQLite's locks end
//! when any descriptor of its file is closed.

use std::cell::Cell;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::io::Errno;

/// The files of a store, as they were when opened.
#[derive(Debug)]
pub(super) struct Presence {
    /// The store's file and its log come first.
    places: Vec<FilePlace>,
    /// The last write of the store's file, as far as it is known.
    written: Option<SystemTime>,
    /// Bytes of the store's file at the last check.
    bytes: Cell<u64>,
}

/// A name and its file.
#[derive(Debug)]
struct FilePlace {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// The result of a check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FoundFiles {
    /// All files are unchanged.
    AllThere,
    /// The store's file was written since the last [`Presence::note_written`].
    Written,
    /// A file was replaced or is missing; contains the problem.
    Gone(String),
}

/// The files to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileExtent {
    /// The store's file and its log.
    Store,
    /// These, the index of the log, the lock and the directory.
    All,
}

impl Presence {
    /// The presence of the files in this directory, of which the first two are the store's file and
    /// its log.
    pub(super) fn new(directory: &Path, files: &[PathBuf]) -> std::io::Result<Self> {
        let place = |path: &Path| {
            let found = std::fs::metadata(path)?;
            Ok(FilePlace {
                path: path.to_owned(),
                device: found.dev(),
                inode: found.ino(),
            })
        };
        let files = files.iter().map(PathBuf::as_path);
        let places: std::io::Result<Vec<_>> = files.chain([directory]).map(place).collect();
        let mut presence = Self {
            places: places?,
            written: None,
            bytes: Cell::new(0),
        };
        presence.note_written();
        Ok(presence)
    }

    /// Checks the names.
    pub(super) fn look(&self, extent: FileExtent) -> FoundFiles {
        let count = match extent {
            FileExtent::Store => 2,
            FileExtent::All => self.places.len(),
        };
        let is_gone = |place: &&FilePlace| matches!(place.is_there(), Ok(false));
        if let Some(gone) = self.places.iter().take(count).find(is_gone) {
            return FoundFiles::Gone(format!(
                "{} is not the file any more that this host has open: it was removed, moved or replaced",
                gone.path.display()
            ));
        }
        match extent {
            // A file that can't be checked counts as unchanged here too.
            FileExtent::All if self.modified().is_ok_and(|at| Some(at) != self.written) => {
                FoundFiles::Written
            }
            FileExtent::All | FileExtent::Store => FoundFiles::AllThere,
        }
    }

    /// Bytes of the store's file at the last check.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Notes that the owner wrote the store's file: its present state is right.
    pub(super) fn note_written(&mut self) {
        self.written = self.modified().ok();
    }

    fn modified(&self) -> std::io::Result<SystemTime> {
        let place = self.places.first().ok_or(ErrorKind::NotFound)?;
        let file = std::fs::metadata(&place.path)?;
        self.bytes.set(file.len());
        file.modified()
    }
}

impl FilePlace {
    /// True if the name still stands for the file. A failed check counts as true: the machine may
    /// be out of a resource, or a parent not accessible.
    fn is_there(&self) -> rustix::io::Result<bool> {
        match numbers(&self.path) {
            Ok(numbers) => Ok(numbers == (self.device, self.inode)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::STALE) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The device and the inode of the file at this path.
///
/// The times of the file are not queried. If they were, the next write would have to record a new
/// one (multigrain timestamps, since Linux 6.13), and the sync after it would write that too: with
/// each commit.
#[cfg(target_os = "linux")]
fn numbers(path: &Path) -> rustix::io::Result<(u64, u64)> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(found) => {
            let device = makedev(found.stx_dev_major, found.stx_dev_minor);
            Ok((device, found.stx_ino))
        }
        // Older kernels, and containers that allow only their system calls.
        Err(Errno::NOSYS | Errno::PERM) => numbers_by_stat(path),
        Err(error) => Err(error),
    }
}

#[cfg(not(target_os = "linux"))]
fn numbers(path: &Path) -> rustix::io::Result<(u64, u64)> {
    numbers_by_stat(path)
}

fn numbers_by_stat(path: &Path) -> rustix::io::Result<(u64, u64)> {
    let found = rustix::fs::stat(path)?;
    Ok((found.st_dev as u64, found.st_ino as u64))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    /// The presence of open files, as in a host: their inodes are not reused.
    fn presence(directory: &Path) -> (Presence, [std::fs::File; 3]) {
        let files = ["saga.db", "saga.db-wal", "saga.lock"].map(|name| directory.join(name));
        let open = files.each_ref().map(|file| {
            std::fs::write(file, "x").unwrap();
            std::fs::File::open(file).unwrap()
        });
        (Presence::new(directory, &files).unwrap(), open)
    }

    fn is_gone(found: FoundFiles, name: &str) -> bool {
        matches!(found, FoundFiles::Gone(reason) if reason.contains(name))
    }

    #[test]
    fn files_that_are_removed_moved_or_replaced_are_gone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        for name in ["saga.db", "saga.db-wal"] {
            std::fs::create_dir_all(&directory).unwrap();
            let (presence, _open) = presence(&directory);
            assert_eq!(presence.look(FileExtent::Store), FoundFiles::AllThere);
            assert_eq!(presence.look(FileExtent::All), FoundFiles::AllThere);
            std::fs::remove_file(directory.join(name)).unwrap();
            assert!(is_gone(presence.look(FileExtent::Store), name));
            std::fs::copy(directory.join("saga.lock"), directory.join(name)).unwrap();
            assert!(is_gone(presence.look(FileExtent::Store), name), "replaced");
        }
        let (presence, _open) = presence(&directory);
        std::fs::remove_file(directory.join("saga.lock")).unwrap();
        assert_eq!(presence.look(FileExtent::Store), FoundFiles::AllThere);
        assert!(is_gone(presence.look(FileExtent::All), "saga.lock"));
        std::fs::rename(&directory, parent.path().join("else")).unwrap();
        assert!(is_gone(presence.look(FileExtent::Store), "saga.db"));
        std::fs::create_dir(&directory).unwrap();
        assert!(is_gone(presence.look(FileExtent::Store), "saga.db"));
    }

    #[test]
    fn a_file_that_somebody_else_wrote_is_noticed_and_one_that_its_owner_wrote_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (mut presence, _open) = presence(directory.path());
        let file = std::fs::File::options()
            .append(true)
            .open(directory.path().join("saga.db"))
            .unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(presence.look(FileExtent::Store), FoundFiles::AllThere);
        assert_eq!(presence.look(FileExtent::All), FoundFiles::Written);
        presence.note_written();
        assert_eq!(presence.look(FileExtent::All), FoundFiles::AllThere);
    }
}
