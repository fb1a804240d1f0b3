//! What an engine does so that its stores can be copied and checked.

use super::kinds::Kind;
use super::value::Row;

/// A result with the engine's message.
pub(crate) type RowsResult<T> = Result<T, String>;

/// Takes a page of rows.
pub(crate) type EachPage<'e> = dyn FnMut(Vec<Row>) -> RowsResult<()> + 'e;

/// The rows of a store, all as of one moment.
pub(crate) trait Rows {
    /// Calls `each` with pages of all rows of a kind, as long as it succeeds. Pages are bounded.
    fn read(&self, kind: &'static Kind, each: &mut EachPage<'_>) -> RowsResult<()>;

    /// An error if another process has taken the store over.
    fn check_held(&self) -> RowsResult<()>;

    /// The engine's own check: its name, and what is wrong.
    fn inspect(&self) -> RowsResult<(&'static str, Vec<String>)>;
}

/// A store to be filled.
pub(crate) trait TargetRows {
    /// A kind of which there are rows.
    fn filled(&self) -> RowsResult<Option<&'static Kind>>;

    /// How to get an empty store.
    fn remedy(&self) -> String;

    /// True if its texts may have U+0000.
    fn takes_nul(&self) -> bool;

    /// Begins the transaction.
    fn begin(&mut self) -> RowsResult<()>;

    /// Writes rows of a kind.
    fn write(&mut self, kind: &'static Kind, rows: Vec<Row>) -> RowsResult<()>;

    /// Sets what the engine derives from the rows.
    fn finish(&mut self) -> RowsResult<()>;

    /// The rows, those that are not committed included.
    fn rows(&self) -> &dyn Rows;

    /// Commits; the rows are durable when it returns.
    fn commit(self: Box<Self>) -> RowsResult<()>;
}
