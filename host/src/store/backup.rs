//! Errors of a backup: a copy of the store, made beside a host that may be running on it.

use std::path::PathBuf;

use super::open_error::OpenError;

/// The reason why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no store to copy.
    #[error("{0}: there is no store")]
    NoStore(PathBuf),
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy is damaged, and so is the store.
    #[error(
        "store {path}: is damaged ({reason}), so no backup was made of it; stop the host and restore an earlier one"
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// The result of the check.
        reason: String,
    },
    /// The store can't be copied.
    #[error("store {path}: can't be copied: {reason}")]
    Copy {
        /// The store.
        path: PathBuf,
        /// The engine's message.
        reason: String,
    },
    /// The store is on a server.
    #[error(
        "the store is on a server, {0}; back it up there, with pg_dump or the server's own backups"
    )]
    Server(String),
    /// The copy can't be written.
    #[error("{path}: {reason}")]
    Target {
        /// The file to be written.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
}
