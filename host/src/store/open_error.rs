//! Why a store can't be used, and what to do about it.

use std::path::{Path, PathBuf};

use super::file::FILE_NAME;
use super::log_mark::Mismatch;

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory can't be made or written.
    #[error("data directory {path}: {reason}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another process uses the store.
    #[error(
        "store {path}: another saga process is using it (lock file {lock}); stop that one first, or give this one a data directory of its own"
    )]
    InUse {
        /// The store.
        path: PathBuf,
        /// The lock.
        lock: PathBuf,
    },
    /// The file is not a store.
    #[error("store {path}: {reason}")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// A newer host wrote it.
    #[error(
        "store {path}: has schema version {found}, this saga knows up to {known}; use a newer saga"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file and the log beside it don't belong together.
    #[error("store {path}: {reason}")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// SQLite can't open or write it.
    #[error("store {path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
}

impl OpenError {
    /// What SQLite said of the store in this directory.
    #[must_use]
    pub fn of(directory: &Path, error: &rusqlite::Error) -> Self {
        explain(directory.join(FILE_NAME), error)
    }
}

pub(super) fn explain_mismatch(mismatch: Mismatch) -> String {
    let reason = match mismatch {
        Mismatch::OtherFile => {
            "does not belong to the log beside it (saga.db-wal): it was exchanged, for a backup, say, and the log is of the \
             file before; or nobody exchanged it, and another program (a sqlite3 shell) wrote it just before the host was killed. \
             Nothing was changed. If it was exchanged: to start from this file, move saga.db-wal and saga.db-shm away; to go on from \
             where the log ends, put back the file that was there before. If nobody exchanged it, keep the log, which has the latest \
             commits, and move saga.db-mark away: that loses nothing"
        }
        Mismatch::FileMissing => {
            "is missing, though its log (saga.db-wal) is there: it was removed. Nothing was changed. Put it back, or restore a backup; to \
             begin with an empty store, move the log away too"
        }
        Mismatch::LogMissing => {
            "lacks its log (saga.db-wal), in which the latest commits are: it was removed. Nothing was changed. Put it back, or restore \
             a backup; to go on without those commits, move saga.db-mark away"
        }
    };
    reason.into()
}

pub(super) fn explain(path: PathBuf, error: &rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::NotAStore {
            path,
            reason: format!(
                "is not a store, or is damaged ({error}); move it away or restore a backup"
            ),
        },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            OpenError::Unusable {
                path,
                reason: cannot_write(&error.to_string()),
            }
        }
        Some(ErrorCode::DiskFull) => OpenError::Unusable {
            path,
            reason: "the disk is full; make room and start again".into(),
        },
        _ => OpenError::Unusable {
            path,
            reason: error.to_string(),
        },
    }
}

pub(super) fn cannot_write(why: &str) -> String {
    format!(
        "can't be opened for writing ({why}); check its permissions, its file system and the limit of open files"
    )
}
