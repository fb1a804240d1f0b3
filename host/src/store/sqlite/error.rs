//! SQLite's errors as faults of the store.

use rusqlite::{ErrorCode, ffi};

use crate::store::fault::{FaultKind, StoreFault};

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

/// A failed write may pass, a failed read does not: SQLite never sees a page again that the device
/// can't give.
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
