//! What shares a commit: entries, steps of others, and those who wait for what was handed over before.

use std::sync::Arc;

use rusqlite::Connection;

use super::apply::{self, Applied, Counters};
use super::entry::{Done, Entry, Progress};

/// A step of somebody else's in the batch's transaction, or without one where there is none: gives what is to be
/// called when that is over.
pub(super) type Step = Box<dyn FnOnce(Option<&Connection>) -> Done + Send>;

/// What shares a commit.
pub(super) enum Item {
    Entry(Box<Entry>),
    After(Done, Arc<Progress>, u64),
    Run(Step),
}

/// What is left of an item when it is applied.
pub(super) enum Applying {
    /// An entry, and what became of it.
    Entry(Box<Entry>, Fate),
    After(Done, Arc<Progress>, u64),
    Run(Done),
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Written,
    /// Its event was applied before: only that it was consumed is written.
    Duplicate,
    /// Nothing of it is written: what it was decided on does not hold.
    Void,
}

/// Writes an entry, if what it was decided on still holds.
pub(super) fn write_entry(
    sql: &Connection,
    counters: &mut Counters,
    ended: &mut EndedRuns,
    entry: &Entry,
    trusted: u64,
) -> rusqlite::Result<Fate> {
    let fate = match ended.holds(entry) {
        false => Fate::Void,
        true => match apply::apply(sql, counters, entry, trusted)? {
            Applied::Written => Fate::Written,
            Applied::Duplicate => Fate::Duplicate,
        },
    };
    if fate != Fate::Written {
        // Its worker went on from a state that is not so.
        ended.end(entry);
    }
    if fate == Fate::Void
        && let Some(taken) = &entry.taken
    {
        // At once: a record that follows it may be in this batch too.
        taken.session.cancel();
    }
    Ok(fate)
}

/// The runs that end with a batch. They are announced only after its commit: a worker that begins
/// anew before would read a state that the open transaction is about to replace.
#[derive(Default)]
pub(super) struct EndedRuns(Vec<(Arc<Progress>, u64)>);

impl EndedRuns {
    /// Whether what the entry was decided on still holds. A record whose reading was cancelled comes
    /// again, and must not come after one that follows it.
    fn holds(&self, entry: &Entry) -> bool {
        let has_ended = |(progress, run): &(Arc<Progress>, u64)| {
            Arc::ptr_eq(progress, &entry.progress) && *run == entry.run
        };
        let is_over = entry.run != entry.progress.run() || self.0.iter().any(has_ended);
        let is_cancelled = (entry.taken.as_ref()).is_some_and(|taken| taken.session.is_cancelled());
        !is_over && !is_cancelled
    }

    fn end(&mut self, entry: &Entry) {
        let is_known = |(progress, run): &(Arc<Progress>, u64)| {
            Arc::ptr_eq(progress, &entry.progress) && *run == entry.run
        };
        if !self.0.iter().any(is_known) {
            self.0.push((entry.progress.clone(), entry.run));
        }
    }

    pub(super) fn announce(&self) {
        for (progress, run) in &self.0 {
            progress.start_new_run(*run);
        }
    }
}

/// Runs this within the open transaction, as a whole or not at all.
pub(super) fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached("SAVEPOINT step")?.execute([])?;
    match work(connection) {
        Ok(value) => {
            connection.execute_batch("RELEASE step")?;
            Ok(value)
        }
        Err(error) => {
            // Where the error ended the whole transaction there is no savepoint any more; see `still_open`.
            let _ = connection.execute_batch("ROLLBACK TO step; RELEASE step");
            Err(error)
        }
    }
}

/// An error unless the transaction is still open: on a full disk, say, SQLite ends it by itself, and what is written
/// after that would stand alone.
pub(super) fn still_open(connection: &Connection) -> rusqlite::Result<()> {
    if !connection.is_autocommit() {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT);
    let why = "something else in the same commit failed, and all of it was undone";
    Err(rusqlite::Error::SqliteFailure(code, Some(why.into())))
}
