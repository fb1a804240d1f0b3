//! What can go wrong with the store, by what follows from it.

use std::fmt;
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

/// The store could not do it; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreFault(pub Cause);

/// Why the store could not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    text: Arc<str>,
    kind: FaultKind,
}

/// What follows from a fault of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It may pass: a full disk, a lack of memory or descriptors, a state that did not come to be.
    Passing,
    /// What is stored is damaged, or can't be read. It does not pass.
    Damaged,
    /// The files that are open are not the ones at the store's path any more.
    Gone,
}

impl StoreFault {
    /// A fault of this kind.
    #[must_use]
    pub fn new(kind: FaultKind, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Self(Cause { text, kind })
    }

    /// What follows from it.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.0.kind
    }
}

impl From<&rusqlite::Error> for StoreFault {
    fn from(error: &rusqlite::Error) -> Self {
        Self::new(kind_of(error), error.to_string())
    }
}

impl From<rusqlite::Error> for StoreFault {
    fn from(error: rusqlite::Error) -> Self {
        Self::from(&error)
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        StoreFault::new(FaultKind::Passing, text).0
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        StoreFault::new(FaultKind::Passing, text).0
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A failed write may pass, a failed read does not: SQLite never sees a page again that the device can't give.
fn kind_of(error: &rusqlite::Error) -> FaultKind {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return FaultKind::Passing;
    };
    match (failure.code, failure.extended_code) {
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)
        | (
            ErrorCode::SystemIoFailure,
            ffi::SQLITE_IOERR_READ
            | ffi::SQLITE_IOERR_SHORT_READ
            | ffi::SQLITE_IOERR_DATA
            | ffi::SQLITE_IOERR_CORRUPTFS,
        ) => FaultKind::Damaged,
        _ => FaultKind::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_from_what_passes() {
        for (code, kind) in [
            (ffi::SQLITE_CORRUPT, FaultKind::Damaged),
            (ffi::SQLITE_CORRUPT_INDEX, FaultKind::Damaged),
            (ffi::SQLITE_NOTADB, FaultKind::Damaged),
            (ffi::SQLITE_IOERR_READ, FaultKind::Damaged),
            (ffi::SQLITE_IOERR_WRITE, FaultKind::Passing),
            (ffi::SQLITE_IOERR_FSYNC, FaultKind::Passing),
            (ffi::SQLITE_FULL, FaultKind::Passing),
            // A lack of the machine: memory, descriptors.
            (ffi::SQLITE_NOMEM, FaultKind::Passing),
            (ffi::SQLITE_CANTOPEN, FaultKind::Passing),
            (ffi::SQLITE_IOERR_NOMEM, FaultKind::Passing),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(StoreFault::from(error).kind(), kind, "{code}");
        }
    }
}
