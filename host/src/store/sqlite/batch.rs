//! What shares a commit: entries, steps of others, and those who wait for what was handed over
//! before.

use rusqlite::Connection;
use saga_core::commit::{Fate, Handed as InBatch, Link};
use saga_core::worker::Taken;

use super::apply::{self, Counters};
use crate::store::entry::{Done, Handed};

/// A step of somebody else's in the batch's transaction, or without one where there is none: gives
/// what is to be called when that is over.
pub(super) type Step = Box<dyn FnOnce(Option<&Connection>) -> Done + Send>;

/// What shares a commit.
pub(super) enum Item {
    Entry(Box<Handed>),
    /// To be called when what it waits for is written.
    After(Done, Link),
    Step(Step),
    /// A step that was taken.
    Taken(Done),
}

impl InBatch for Item {
    fn link(&self) -> Option<Link> {
        match self {
            Self::Entry(handed) => Some(handed.link),
            Self::After(_, link) => Some(*link),
            Self::Step(_) | Self::Taken(_) => None,
        }
    }

    fn is_cancelled(&self) -> bool {
        match self {
            Self::Entry(handed) => handed.taken.as_ref().is_some_and(Taken::is_cancelled),
            _ => false,
        }
    }

    fn cancel(&self) {
        if let Self::Entry(handed) = self {
            handed.taken.iter().for_each(Taken::cancel);
        }
    }
}

impl Item {
    /// Takes the step that it is; without a connection where nothing is written.
    pub(super) fn take_step(self, sql: Option<&Connection>) -> Self {
        match self {
            Self::Step(step) => Self::Taken(step(sql)),
            item => item,
        }
    }

    /// Writes the entry that it is. `trusted` is the time by which old rows are deleted.
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
            // Where the error ended the whole transaction there is no savepoint any more; see
            // `still_open`.
            let _ = connection.execute_batch("ROLLBACK TO step; RELEASE step");
            Err(error)
        }
    }
}

/// An error unless the transaction is still open: on a full disk, say, SQLite ends it by itself,
/// and what is written after that would stand alone.
pub(super) fn still_open(connection: &Connection) -> rusqlite::Result<()> {
    if !connection.is_autocommit() {
        return Ok(());
    }
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT);
    let why = "something else in the same commit failed, and all of it was undone";
    Err(rusqlite::Error::SqliteFailure(code, Some(why.into())))
}
