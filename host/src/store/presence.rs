//! Whether the files that are open are still the ones at the store's path.
//!
//! Files that were unlinked or moved can be written on, and everything would be gone at the next start. So the names are
//! looked at again: the store's file and its log after each commit, before anybody is told of it, and the rest
//! now and then. Only names are looked at: SQLite's locks end when any descriptor of its file is closed.

use std::cell::Cell;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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

/// What was found at the names.
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
        let mut found = Found::AllThere;
        for (number, place) in self.places.iter().take(count).enumerate() {
            let there = place.look();
            if let (0, Ok(Some(file))) = (number, &there) {
                self.bytes.set(file.len());
            }
            match there {
                Ok(Some(there)) if number == 0 && there.modified().ok() != self.written => {
                    found = Found::Written;
                }
                // What can't be looked at says nothing: a lack of the machine, a parent that may not be entered.
                Ok(Some(_)) | Err(_) => {}
                Ok(None) => {
                    return Found::Gone(format!(
                        "{} is not the file any more that this host has open: it was removed, moved or replaced",
                        place.path.display()
                    ));
                }
            }
        }
        found
    }

    /// Bytes of the store's file at the last look.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// The store's file was written by its owner: what is there now is as it should be.
    pub(super) fn note_written(&mut self) {
        let found = self.places.first().and_then(|place| place.look().ok()?);
        self.written = found.and_then(|file| file.modified().ok());
    }
}

impl Place {
    /// What is there, if it is the same.
    fn look(&self) -> std::io::Result<Option<Metadata>> {
        match std::fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => Ok(Some(found)),
            Ok(_) => Ok(None),
            Err(error) => match error.kind() {
                ErrorKind::NotFound
                | ErrorKind::NotADirectory
                | ErrorKind::StaleNetworkFileHandle => Ok(None),
                _ => Err(error),
            },
        }
    }
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
        assert_eq!(presence.look(Extent::Store), Found::Written);
        presence.note_written();
        assert_eq!(presence.look(Extent::Store), Found::AllThere);
    }
}
