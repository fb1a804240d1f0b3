//! The items of a commit, in a transaction of SQLite.

use rusqlite::Connection;
use saga_core::commit::Fate;

use super::apply::{self, Counters};
use crate::store::writing::items::{BatchItem, Transaction};

/// Writes the item if it is an entry. `trusted` is the time by which old rows are deleted.
pub(super) fn write_entry(
    item: &mut BatchItem<Connection>,
    sql: &Connection,
    counters: &mut Counters,
    trusted: u64,
) -> rusqlite::Result<Fate> {
    let BatchItem::Entry(handed) = item else {
        return Ok(Fate::Written);
    };
    handed.consume();
    apply::apply(sql, counters, &handed.entry, trusted)
}

impl Transaction for Connection {
    type Error = rusqlite::Error;

    fn in_savepoint<T>(
        &self,
        work: impl FnOnce(&Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.prepare_cached("SAVEPOINT step")?.execute([])?;
        match work(self) {
            Ok(value) => {
                self.execute_batch("RELEASE step")?;
                Ok(value)
            }
            Err(error) => {
                // If the error ended the whole transaction, the savepoint is gone; see `still_open`.
                let _ = self.execute_batch("ROLLBACK TO step; RELEASE step");
                Err(error)
            }
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
