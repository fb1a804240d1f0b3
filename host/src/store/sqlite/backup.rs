//! A copy of the store beside the host that may be running on it.
//!
//! All pages are copied within one read transaction, so the time goes with the size of the store:
//! what is written meanwhile goes to the log and starts nothing over.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::file::{FILE_NAME, connect};
use super::log_mark;
use super::read::SqliteReader;
use crate::store::backup::BackupError;
use crate::store::fault::{FaultKind, StoreFault};
use crate::store::read::ReadStore;

/// Wait before the copy is tried again where the store is locked for a moment, as it is while a log
/// is recovered.
const RETRY: Duration = Duration::from_millis(100);

/// Attempts at it.
const ATTEMPTS: u32 = 50;

/// Copies the store of a data directory into another directory, on disk when this returns; gives
/// the copy for a look.
///
/// # Errors
/// Why there is no copy; what was begun of it is left to the caller.
pub fn copy(data: &Path, into: &Path) -> Result<Box<dyn ReadStore>, BackupError> {
    let from = connect(data)?.ok_or_else(|| BackupError::NoStore(data.to_owned()))?;
    let store = data.join(FILE_NAME);
    let path = into.join(FILE_NAME);
    let cannot = |error: rusqlite::Error| match StoreFault::from(&error).kind() {
        FaultKind::Damaged => BackupError::Damaged {
            path: store.clone(),
            reason: error.to_string(),
        },
        _ => BackupError::Copy {
            path: store.clone(),
            reason: error.to_string(),
        },
    };
    let mut to = Connection::open(&path).map_err(cannot)?;
    // It is synced as a whole in the end.
    to.pragma_update(None, "synchronous", "OFF")
        .map_err(cannot)?;
    copy_pages(&from, &mut to).map_err(cannot)?;
    // One file, which needs no log.
    to.pragma_update(None, "journal_mode", "DELETE")
        .map_err(cannot)?;
    log_mark::renew_copy(&to).map_err(cannot)?;
    let checked: String = to
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(cannot)?;
    if checked != "ok" {
        return Err(BackupError::Damaged {
            path: store,
            reason: checked.lines().last().unwrap_or_default().to_owned(),
        });
    }
    File::open(&path)
        .and_then(|file| file.sync_all())
        .map_err(|error| BackupError::Target {
            path,
            reason: error.to_string(),
        })?;
    Ok(Box::new(SqliteReader::new(to, Arc::default())))
}

fn copy_pages(from: &Connection, to: &mut Connection) -> rusqlite::Result<()> {
    let backup = Backup::new(from, to)?;
    for _ in 0..ATTEMPTS {
        match backup.step(-1)? {
            StepResult::Done => return Ok(()),
            _ => std::thread::sleep(RETRY),
        }
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    Err(rusqlite::Error::SqliteFailure(code, None))
}
