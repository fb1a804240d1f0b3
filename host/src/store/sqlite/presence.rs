//! Presence of the store's files: those that are open are still the ones at its path.
//!
//! Files that were unlinked or moved can be written on, and everything would be gone at the next
//! start. So the names are looked at again: the store's file and its log after each commit, before
//! anybody is told of it, and the rest now and then. Only names are looked at: SQLite's locks end
//! when any descriptor of its file is closed.

use std::cell::Cell;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::io::Errno;

/// The files of a store, as they were when they were opened.
#[derive(Debug)]
pub(super) struct Presence {
    /// The store's file and its log come first.
    places: Vec<Place>,
    /// When the store's file was written last, as far as that is known.
    written: Option<SystemTime>,
    /// Bytes of the store's file at the last look.
    bytes: Cell<u64>,
}

/// A name, and the file that it stood for.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// The find at the names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// What was there before.
    AllThere,
    /// The store's file was written since the last [`Presence::note_written`].
    Written,
    /// Something else, or nothing: this is what is wrong.
    Gone(String),
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The store's file and its log.
    Store,
    /// These, the index of the log, the lock and the directory.
    All,
}

impl Presence {
    /// Of the files in this directory, of which the first two are the store's file and its log.
    pub(super) fn new(directory: &Path, files: &[PathBuf]) -> std::io::Result<Self> {
        let place = |path: &Path| {
            let found = std::fs::metadata(path)?;
            Ok(Place {
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

    /// Looks at the names.
    pub(super) fn look(&self, extent: Extent) -> Found {
        let count = match extent {
            Extent::Store => 2,
            Extent::All => self.places.len(),
        };
        let is_gone = |place: &&Place| matches!(place.is_there(), Ok(false));
        if let Some(gone) = self.places.iter().take(count).find(is_gone) {
            return Found::Gone(format!(
                "{} is not the file any more that this host has open: it was removed, moved or replaced",
                gone.path.display()
            ));
        }
        match extent {
            // What can't be looked at says nothing here either.
            Extent::All if self.modified().is_ok_and(|at| Some(at) != self.written) => {
                Found::Written
            }
            Extent::All | Extent::Store => Found::AllThere,
        }
    }

    /// Bytes of the store's file at the last look.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// The store's file was written by its owner: what is there now is as it should be.
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

impl Place {
    /// Whether it still stands for the file. What can't be looked at says nothing: a lack of the
    /// machine, a parent that may not be entered.
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
/// The times of the file are not asked for. If they were, the next write would have to note a new
/// one (multigrain timestamps, since Linux 6.13), and the sync after it would bring that to disk
/// too: with each commit.
#[cfg(target_os = "linux")]
fn numbers(path: &Path) -> rustix::io::Result<(u64, u64)> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};
    match statx(CWD, path, AtFlags::empty(), StatxFlags::INO) {
        Ok(found) => {
            let device = makedev(found.stx_dev_major, found.stx_dev_minor);
            Ok((device, found.stx_ino))
        }
        // Older kernels, and containers that allow only what those have.
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

    /// Of files that are open, as they are in a host: their numbers are not given to others.
    fn presence(directory: &Path) -> (Presence, [std::fs::File; 3]) {
        let files = ["saga.db", "saga.db-wal", "saga.lock"].map(|name| directory.join(name));
        let open = files.each_ref().map(|file| {
            std::fs::write(file, "x").unwrap();
            std::fs::File::open(file).unwrap()
        });
        (Presence::new(directory, &files).unwrap(), open)
    }

    fn is_gone(found: Found, name: &str) -> bool {
        matches!(found, Found::Gone(reason) if reason.contains(name))
    }

    #[test]
    fn files_that_are_removed_moved_or_replaced_are_gone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("data");
        for name in ["saga.db", "saga.db-wal"] {
            std::fs::create_dir_all(&directory).unwrap();
            let (presence, _open) = presence(&directory);
            assert_eq!(presence.look(Extent::Store), Found::AllThere);
            assert_eq!(presence.look(Extent::All), Found::AllThere);
            std::fs::remove_file(directory.join(name)).unwrap();
            assert!(is_gone(presence.look(Extent::Store), name));
            std::fs::copy(directory.join("saga.lock"), directory.join(name)).unwrap();
            assert!(is_gone(presence.look(Extent::Store), name), "replaced");
        }
        let (presence, _open) = presence(&directory);
        std::fs::remove_file(directory.join("saga.lock")).unwrap();
        assert_eq!(presence.look(Extent::Store), Found::AllThere);
        assert!(is_gone(presence.look(Extent::All), "saga.lock"));
        std::fs::rename(&directory, parent.path().join("else")).unwrap();
        assert!(is_gone(presence.look(Extent::Store), "saga.db"));
        std::fs::create_dir(&directory).unwrap();
        assert!(is_gone(presence.look(Extent::Store), "saga.db"));
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
        assert_eq!(presence.look(Extent::Store), Found::AllThere);
        assert_eq!(presence.look(Extent::All), Found::Written);
        presence.note_written();
        assert_eq!(presence.look(Extent::All), Found::AllThere);
    }
}
