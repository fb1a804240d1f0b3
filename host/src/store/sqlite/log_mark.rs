//! The mark that tells if the store's file and its write-ahead log belong together.
//!
//! SQLite would silently replay a log (`saga.db-wal`) onto a file that it was not written for, such
//! as a restored backup. So the store has a mark, a row that is changed before and after each
//! checkpoint. A program that reads the store reads the newest mark, and a backup contains it; the
//! file by itself, without the log, has the mark of its checkpoint. A note beside the file,
//! `saga.db-mark`, lists the marks that the file may have. If the file has another mark at the next
//! start, the log was not written for it.
//!
//! All checkpoints are therefore taken here. The note allows every state that a crash can leave,
//! since it is durable before a checkpoint touches the file.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use saga_core::hex;

use super::file::BUSY;
use super::lock_holders::{self, LockFile};
use super::log_note::LogNote;

/// Pages of the log, 16 MiB, after which a checkpoint is taken. Each costs some fsyncs.
const CHECKPOINT_PAGES: u32 = 4_000;

/// Pages of the log, 32 MiB, beyond which a checkpoint waits for readers, so that the log can be
/// reset. Below that, it is reset by any commit that meets no reader.
const LONG_PAGES: u32 = 8_000;

/// Pages of the log, 64 MiB, beyond which a warning says that it can't shrink.
const LARGE_PAGES: u32 = 16_000;

/// Most pages of the log while checkpoints are complete: one is due before the last batch of
/// commits.
pub(super) const ORDINARY_PAGES: u32 = CHECKPOINT_PAGES + CHECKPOINT_PAGES / 4;

/// Bytes of a page in the log, with its header.
pub(super) const LOG_PAGE: i64 = 4_096 + 24;

/// Longest wait for readers of the log.
const PATIENCE: Duration = Duration::from_millis(50);

/// Delay before an incomplete checkpoint is retried.
const AGAIN: Duration = Duration::from_secs(10);

/// The mark of a file without one: an older store, or a new one.
const NONE: &str = "";

/// Takes the checkpoints of a store, and maintains the note.
pub(super) struct LogMark {
    db: PathBuf,
    sidecar: File,
    note: LogNote,
    /// The newest mark.
    current: String,
    /// Pages of the log after the last commit.
    pages: Arc<AtomicU32>,
    /// Pages of the log at the last checkpoint attempt.
    tried: u32,
    /// Time at which to retry a checkpoint whatever the size of the log. None if the last one was
    /// complete.
    again: Option<Instant>,
    is_large: bool,
    locks: LockFile,
}

/// The reason why the file and the log can't be used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The log was written for another file.
    OtherFile,
    /// There was a log, and its content is not in the file.
    LogMissing,
    /// There is a log without a file. SQLite would remove it.
    FileMissing,
}

/// Checks, as far as possible, that the file and the log in a directory belong together. Opens the
/// file: not to be called while this process has a connection to it.
pub(super) fn judge(db: &Path) -> Option<Mismatch> {
    let log = std::fs::metadata(beside(db, "-wal")).map_or(0, |log| log.len());
    if log > 0 && !db.exists() {
        return Some(Mismatch::FileMissing);
    }
    let note = LogNote::read(&File::open(beside(db, "-mark")).ok()?)?;
    // A file that can't be read by itself is in the middle of a checkpoint.
    let found = mark_in_file(db)?;
    let is_allowed = note.file.contains(&found);
    if log > 0 {
        return (!is_allowed).then_some(Mismatch::OtherFile);
    }
    let is_same = std::fs::metadata(db).is_ok_and(|file| file.ino() == note.inode);
    let is_missing = |log: String| log != found && note.file.len() == 1;
    (is_allowed && is_same && note.log.is_some_and(is_missing)).then_some(Mismatch::LogMissing)
}

impl LogMark {
    /// The log mark of the store of this connection, whose tables exist, and whose log nobody else
    /// resets.
    pub(super) fn new(db: &Path, sql: &mut Connection) -> anyhow::Result<Self> {
        let sidecar = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(beside(db, "-mark"))?;
        let current = read_mark(sql)?;
        // The mark found in the file may not be durable yet: after a power loss the file has an
        // earlier one.
        let before = LogNote::read(&sidecar).unwrap_or_default();
        let pages = Arc::<AtomicU32>::default();
        let counted = pages.clone();
        sql.wal_hook(Some(
            move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
                counted.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            },
        ))?;
        let mut mark = Self {
            db: db.to_owned(),
            sidecar,
            note: LogNote {
                inode: std::fs::metadata(db)?.ino(),
                ..before
            },
            current,
            pages,
            tried: 0,
            again: None,
            is_large: false,
            locks: LockFile::at(&beside(db, "-shm")),
        };
        if let Some(found) = mark_in_file(db) {
            mark.note.add(found);
        }
        mark.checkpoint(sql)?;
        // The directory entry of the note must survive a power loss too.
        let directory = db.parent().filter(|path| !path.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(mark)
    }

    /// Takes a checkpoint if one is due. To be called after a commit, and periodically. Returns
    /// true if the file may have been written.
    pub(super) fn checkpoint_if_due(
        &mut self,
        sql: &Connection,
        is_idle: bool,
    ) -> anyhow::Result<bool> {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.tried {
            // The log was reset.
            self.tried = 0;
            self.is_large = false;
        }
        let mut is_again = is_idle && self.again.is_some_and(|at| Instant::now() >= at);
        if is_again && lock_holders::readers(self.locks).is_some() {
            // Each attempt adds to the log, and this one would transfer no more than the last.
            self.again = Some(Instant::now() + AGAIN);
            is_again = false;
        }
        if !is_again && pages - self.tried < CHECKPOINT_PAGES {
            return Ok(false);
        }
        if pages >= LARGE_PAGES && !self.is_large {
            self.is_large = true;
            let readers = lock_holders::readers(self.locks);
            tracing::warn!(
                "the store's log has grown to {} MiB: {} keeps reading an old state of it; it shrinks when that ends",
                pages / 256,
                readers.as_deref().unwrap_or("a program")
            );
        }
        self.tried = pages;
        self.checkpoint(sql)?;
        Ok(true)
    }

    /// Bytes of the used part of the log. None unless it exceeds its ordinary size after an
    /// incomplete checkpoint.
    pub(super) fn surplus(&self) -> Option<u64> {
        let pages = self.pages.load(Ordering::Relaxed);
        let is_ordinary = pages < ORDINARY_PAGES;
        (!is_ordinary && self.again.is_some()).then(|| u64::from(pages) * LOG_PAGE as u64)
    }

    /// Makes the next call retry an incomplete checkpoint.
    pub(super) fn try_soon(&mut self) {
        self.again = self.again.map(|_| Instant::now());
    }

    /// Takes the last checkpoint: leaves a database file that stands alone, and an empty log.
    pub(super) fn close(&mut self, sql: &Connection) -> anyhow::Result<()> {
        self.renew(sql)?;
        self.allow_current()?;
        let is_busy: i64 =
            sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if is_busy == 0 {
            self.note.file = vec![self.current.clone()];
            self.write()?;
        }
        Ok(())
    }

    /// True if the file is still the store's after another process wrote it: another program may
    /// take a checkpoint. None if that can't be told at the moment.
    pub(super) fn is_still_ours(&mut self) -> Option<bool> {
        let found = mark_in_file(&self.db)?;
        if found == self.current && !self.note.file.contains(&found) {
            self.allow_current().ok()?;
            // A backup may have this mark too. The next checkpoint gives the file a unique one.
            self.again = Some(Instant::now());
        }
        Some(self.note.file.is_empty() || self.note.file.contains(&found))
    }

    /// The mark is changed before the checkpoint too: an earlier backup must not have the mark that
    /// the file has afterwards.
    fn checkpoint(&mut self, sql: &Connection) -> anyhow::Result<()> {
        let before = self.note.file.clone();
        self.renew(sql)?;
        self.allow_current()?;
        let (log, taken) = self.write_file(sql)?;
        if log >= 0 && log == taken {
            self.again = None;
            // SQLite has synced the file.
            self.note.file = vec![self.current.clone()];
        } else {
            self.again = Some(Instant::now() + AGAIN);
            // The file is not synced: after a power loss it may have its earlier mark again.
            if let Some(found) = mark_in_file(&self.db) {
                self.note.file = before;
                self.note.add(found);
            }
        }
        self.renew(sql)?;
        self.note.log = Some(self.current.clone());
        // A power loss may undo this: then the note allows more than necessary.
        self.write()?;
        Ok(())
    }

    /// Transfers the log into the file. Returns the frames of the log, and the number of
    /// transferred ones.
    fn write_file(&self, sql: &Connection) -> rusqlite::Result<(i64, i64)> {
        let run = |statement| sql.query_row(statement, [], |row| Ok((row.get(1)?, row.get(2)?)));
        if self.pages.load(Ordering::Relaxed) < LONG_PAGES {
            return run("PRAGMA wal_checkpoint(PASSIVE)");
        }
        // The next commit is to reset the log. That needs a moment without readers, which is waited
        // for, but not for a permanent reader.
        sql.busy_timeout(PATIENCE)?;
        let taken = run("PRAGMA wal_checkpoint(RESTART)");
        sql.busy_timeout(BUSY)?;
        taken
    }

    /// Commits a new mark.
    fn renew(&mut self, sql: &Connection) -> rusqlite::Result<()> {
        let next = new_mark();
        sql.execute("UPDATE log_mark SET mark = ?1", [&next])?;
        self.current = next;
        Ok(())
    }

    /// Notes durably that the newest mark may be in the file from now on.
    fn allow_current(&mut self) -> std::io::Result<()> {
        self.note.add(self.current.clone());
        self.note.log = None;
        self.write()?;
        self.sidecar.sync_data()
    }

    fn write(&self) -> std::io::Result<()> {
        self.sidecar.write_all_at(&self.note.bytes(), 0)
    }
}

/// The mark of the file by itself, without its log. None if it can't be read that way.
fn mark_in_file(db: &Path) -> Option<String> {
    match std::fs::metadata(db) {
        Ok(file) if file.len() > 0 => {}
        Ok(_) => return Some(NONE.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(NONE.into()),
        Err(_) => return None,
    }
    let path: String = (db.to_str()?.chars())
        .flat_map(|c| match c {
            '%' => vec!['%', '2', '5'],
            '?' => vec!['%', '3', 'f'],
            '#' => vec!['%', '2', '3'],
            other => vec![other],
        })
        .collect();
    // SQLite reads no log of an immutable file.
    let uri = format!("file:{path}?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sql = Connection::open_with_flags(uri, flags).ok()?;
    let has_mark: bool = sql
        .query_row(
            "SELECT count(*) FROM sqlite_master WHERE name = 'log_mark'",
            [],
            |row| row.get(0),
        )
        .ok()?;
    if !has_mark {
        return Some(NONE.into());
    }
    read_mark(&sql).ok()
}

/// Gives a copy of a store its own mark, so that no log of another file fits it.
pub(super) fn renew_copy(sql: &Connection) -> rusqlite::Result<()> {
    sql.execute("UPDATE log_mark SET mark = ?1", [new_mark()])?;
    Ok(())
}

fn read_mark(sql: &Connection) -> rusqlite::Result<String> {
    sql.query_row("SELECT mark FROM log_mark", [], |row| row.get(0))
}

fn new_mark() -> String {
    hex(&crate::base::clock::random_tail())
}

/// The file beside the store's with this suffix.
pub(super) fn beside(db: &Path, end: &str) -> PathBuf {
    let mut path = db.to_owned().into_os_string();
    path.push(end);
    path.into()
}

#[cfg(test)]
#[path = "log_mark_tests.rs"]
mod tests;
