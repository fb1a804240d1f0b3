//! The lock by which one process owns a store.
//!
//! It is a separate file, because SQLite's own locks would let a second host in between two
//! transactions.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::store::open_error::OpenError;

/// Name of the lock file.
pub(super) const LOCK_NAME: &str = "saga.lock";

/// Longest wait for the lock of a store, and delay between two attempts.
const LOCKING: Duration = Duration::from_millis(200);
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// Held as long as this process owns the store.
pub(super) struct Ownership {
    lock: File,
    /// Locked too, so that no second process gets in if the lock file was removed. None if the file
    /// system has no locks on directories.
    _directory: Option<File>,
}

impl Ownership {
    /// Takes the ownership of the store at this path in a directory.
    pub(super) fn take(directory: &Path, store: &Path) -> Result<Self, OpenError> {
        let in_directory = |error: std::io::Error| OpenError::Directory {
            path: directory.to_owned(),
            reason: error.to_string(),
        };
        let lock_path = directory.join(LOCK_NAME);
        let in_use = || OpenError::InUse {
            path: store.to_owned(),
            lock: lock_path.clone(),
        };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(in_directory)?;
        locked(&lock).map_err(|error| match error {
            TryLockError::WouldBlock => in_use(),
            TryLockError::Error(error) => in_directory(error),
        })?;
        let opened = File::open(directory).map(|opened| (locked(&opened), opened));
        let directory = match opened {
            Ok((Ok(()), opened)) => Some(opened),
            Ok((Err(TryLockError::WouldBlock), _)) => return Err(in_use()),
            Ok((Err(TryLockError::Error(_)), _)) | Err(_) => None,
        };
        Ok(Self {
            lock,
            _directory: directory,
        })
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        // Closing the file would unlock it too; explicit, because that is the purpose of the lock.
        let _ = self.lock.unlock();
    }
}

/// Locks a file for this process. A process that is being started holds its parent's locks for a
/// moment, until it executes its own program.
fn locked(file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + LOCKING;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(BETWEEN_TRIES);
            }
            result => return result,
        }
    }
}
