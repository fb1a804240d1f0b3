//! SQLite's errors as faults of the store.

use rusqlite::{ErrorCode, ffi};

use crate::store::fault::{StoreFault, StoreFaultKind};

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

/// A failed write may pass, a failed read does not: a page that the device can't return never
/// reaches SQLite again.
fn kind_of(error: &rusqlite::Error) -> StoreFaultKind {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return StoreFaultKind::Passing;
    };
    match (failure.code, failure.extended_code) {
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)
        | (
            ErrorCode::SystemIoFailure,
            ffi::SQLITE_IOERR_READ
            | ffi::SQLITE_IOERR_SHORT_READ
            | ffi::SQLITE_IOERR_DATA
            | ffi::SQLITE_IOERR_CORRUPTFS,
        ) => StoreFaultKind::Damaged,
        _ => StoreFaultKind::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_from_what_passes() {
        for (code, kind) in [
            (ffi::SQLITE_CORRUPT, StoreFaultKind::Damaged),
            (ffi::SQLITE_CORRUPT_INDEX, StoreFaultKind::Damaged),
            (ffi::SQLITE_NOTADB, StoreFaultKind::Damaged),
            (ffi::SQLITE_IOERR_READ, StoreFaultKind::Damaged),
            (ffi::SQLITE_IOERR_WRITE, StoreFaultKind::Passing),
            (ffi::SQLITE_IOERR_FSYNC, StoreFaultKind::Passing),
            (ffi::SQLITE_FULL, StoreFaultKind::Passing),
            // The machine is out of memory or descriptors.
            (ffi::SQLITE_NOMEM, StoreFaultKind::Passing),
            (ffi::SQLITE_CANTOPEN, StoreFaultKind::Passing),
            (ffi::SQLITE_IOERR_NOMEM, StoreFaultKind::Passing),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(StoreFault::from(error).kind(), kind, "{code}");
        }
    }
}
