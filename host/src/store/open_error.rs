//! Why a store can't be used, and what to do about it.

use std::path::PathBuf;

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
    /// The engine can't open or write it.
    #[error("store {path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        reason: String,
    },
}
