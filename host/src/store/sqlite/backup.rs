//! A copy of the store, made beside a host that may be running on it.
//!
//! All pages are copied within one read transaction, so the time depends on the size of the store:
//! concurrent writes go to the write-ahead log and do not restart the copy.

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
use crate::store::fault::{StoreFault, StoreFaultKind};
use crate::store::read::ReadStore;

/// Delay between attempts if the store is briefly locked, as it is while a log is recovered.
const RETRY: Duration = Duration::from_millis(100);

/// Most attempts.
const ATTEMPTS: u32 = 50;

/// Copies the store of a data directory into another directory, durably; returns a reader of the
/// copy.
///
/// # Errors
/// The reason why there is no copy; the caller removes what was written of it.
pub fn copy(data: &Path, into: &Path) -> Result<Box<dyn ReadStore>, BackupError> {
    let from = connect(data)?.ok_or_else(|| BackupError::NoStore(data.to_owned()))?;
    let store = data.join(FILE_NAME);
    let path = into.join(FILE_NAME);
    let cannot = |error: rusqlite::Error| match StoreFault::from(&error).kind() {
        StoreFaultKind::Damaged => BackupError::Damaged {
            path: store.clone(),
            reason: error.to_string(),
        },
        _ => BackupError::Copy {
            path: store.clone(),
            reason: error.to_string(),
        },
    };
    let mut to = Connection::open(&path).map_err(cannot)?;
    // The whole file is synced at the end.
    to.pragma_update(None, "synchronous", "OFF")
        .map_err(cannot)?;
    copy_pages(&from, &mut to).map_err(cannot)?;
    // One file, without a log.
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
