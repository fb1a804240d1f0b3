//! The items that share a commit: entries, other steps, and callbacks that wait for earlier
//! entries.

use rusqlite::Connection;
use saga_core::commit::{Fate, InBatch, Link};
use saga_core::worker::TakenRecord;

use super::apply::{self, Counters};
use crate::store::entry::{Done, Handed};

/// A step in the batch's transaction; it gets no connection if there is no transaction. Returns the
/// callback to call when the transaction is over.
pub(super) type BatchStep = Box<dyn FnOnce(Option<&Connection>) -> Done + Send>;

/// An item of a batch.
pub(super) enum BatchItem {
    Entry(Box<Handed>),
    /// A callback for when the entries that it waits for are written.
    After(Done, Link),
    Step(BatchStep),
    /// A step that was run.
    Taken(Done),
}

impl InBatch for BatchItem {
    fn link(&self) -> Option<Link> {
        match self {
            Self::Entry(handed) => Some(handed.link),
            Self::After(_, link) => Some(*link),
            Self::Step(_) | Self::Taken(_) => None,
        }
    }

    fn is_cancelled(&self) -> bool {
        match self {
            Self::Entry(handed) => handed.taken.as_ref().is_some_and(TakenRecord::is_cancelled),
            _ => false,
        }
    }

    fn cancel(&self) {
        if let Self::Entry(handed) = self {
            handed.taken.iter().for_each(TakenRecord::cancel);
        }
    }
}

impl BatchItem {
    /// Runs the item if it is a step; without a connection if nothing is written.
    pub(super) fn take_step(self, sql: Option<&Connection>) -> Self {
        match self {
            Self::Step(step) => Self::Taken(step(sql)),
            item => item,
        }
    }

    /// Writes the item if it is an entry. `trusted` is the time by which old rows are deleted.
    pub(super) fn write(
        &mut self,
        sql: &Connection,
        counters: &mut Counters,
        trusted: u64,
    ) -> rusqlite::Result<Fate> {
        let Self::Entry(handed) = self else {
            return Ok(Fate::Written);
        };
        if let Some(offset) = handed
            .taken
            .as_ref()
            .map(crate::store::entry::Taken::settle)
        {
            handed.entry.consumes(offset);
        }
        apply::apply(sql, counters, &handed.entry, trusted)
    }
}

/// Runs `work` in a savepoint of the open transaction: all of it takes effect or nothing.
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
            // If the error ended the whole transaction, the savepoint is gone; see `still_open`.
            let _ = connection.execute_batch("ROLLBACK TO step; RELEASE step");
            Err(error)
        }
    }
}

/// An error unless the transaction is still open. SQLite may end it by itself, e.g. on a full disk,
/// and later writes would be committed alone.
pub(super) fn still_open(connection: &Connection) -> rusqlite::Result<()> {
    if !connection.is_autocommit() {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT);
    let why = "something else in the same commit failed, and all of it was undone";
    Err(rusqlite::Error::SqliteFailure(code, Some(why.into())))
}
