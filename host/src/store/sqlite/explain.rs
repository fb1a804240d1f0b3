//! Messages for a store that can't be used: the reason and the remedy.

use std::path::PathBuf;

use super::lock_holders::{self, LockFile};
use super::log_mark::{Mismatch, beside};
use crate::store::open_error::OpenError;

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
        _ => {
            let locks = LockFile::at(&beside(&path, "-shm"));
            let reason = lock_holders::fault(error, locks).to_string();
            OpenError::Unusable { path, reason }
        }
    }
}

pub(super) fn cannot_write(why: &str) -> String {
    format!(
        "can't be opened for writing ({why}); check its permissions, its file system and the limit of open files"
    )
}
