//! A copy of the store beside the host that may be running on it.

use std::path::PathBuf;

use super::open_error::OpenError;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("{0}: there is no store")]
    NoStore(PathBuf),
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy is not whole, and so is the store.
    #[error(
        "store {path}: is damaged ({reason}), so no backup was made of it; stop the host and restore an earlier one"
    )]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What the check says.
        reason: String,
    },
    /// It can't be copied.
    #[error("store {path}: can't be copied: {reason}")]
    Copy {
        /// The store.
        path: PathBuf,
        /// What the engine said.
        reason: String,
    },
    /// The copy can't be written.
    #[error("{path}: {reason}")]
    Target {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}
