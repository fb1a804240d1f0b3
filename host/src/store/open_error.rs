//! Errors of opening a store, with their remedies.

use std::path::PathBuf;

/// The reason why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory can't be created or written.
    #[error("data directory {path}: {reason}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// Another process uses the store.
    #[error(
        "store {path}: another saga process is using it (lock file {lock}); stop that one first, or give this one a data directory of its own"
    )]
    InUse {
        /// The store.
        path: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },
    /// The file is not a store.
    #[error("store {path}: {reason}")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// The actual content.
        reason: String,
    },
    /// The file was written by a newer version of the host.
    #[error(
        "store {path}: has schema version {found}, this saga knows up to {known}; use a newer saga"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this host knows.
        known: i64,
    },
    /// The file and its write-ahead log don't belong together.
    #[error("store {path}: {reason}")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The problem and the remedy.
        reason: String,
    },
    /// The engine can't open or write the file.
    #[error("store {path}: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The engine's message.
        reason: String,
    },
    /// The store on a server can't be used.
    #[error("store {store}: {reason}")]
    Server {
        /// Its address, without a password.
        store: String,
        /// The problem and the remedy.
        reason: String,
    },
}
