//! The engine on SQLite: one file, owned by one process.
//!
//! # Layout
//!
//! - `engine`: [`Engine`](super::Engine) and [`Stopped`](super::Stopped), each call as SQL in the
//!   writer's transaction
//! - `file`: opening the file, its pragmas; `ownership`: its lock; `explain`: its errors;
//!   `own_files`: the modes of the files in the directory
//! - `schema`: the tables, and the version of their shape
//! - `writer`: the one writing thread, with group commit; `batch`: the items of a commit; `apply`:
//!   the SQL of one entry
//! - `error`: the consequences of SQLite's errors
//! - `guard`: the writer's upkeep: `presence`, that the files are still there; `log_mark`, that
//!   file and log belong together (`log_note`: the note beside them); `trusted_time`, by which old
//!   rows are deleted
//! - `lock_holders`: other programs that have locked the store
//! - `reading`: the queries of [`ReadStore`](super::ReadStore); `read`: one reading connection, and
//!   frequent queries
//! - tables: `offsets`, `topic_ids`, `registry`, `history`, `parked`, `dead_letters` (queries: `letter_queries`),
//!   `idempotency`, `quarantine`, `tally`, `backlog`, `sample`, `index` (indexes over the contents
//!   of states), `list_changes` (changes of a list, from the journal),
//!   `decisions` (those of the journal, in order), `waiting` (messages that wait, in pages)
//! - columns: `ids` and trace contexts; `packing`, the compressed decisions of the journal
//! - `prune`: deletes old rows, so that no table grows without bound; `sweep` finds them, `journal_size` those beyond the
//!   bound of the journal
//! - `backup`: a copy, made beside a running host; `copy`: all rows, for a copy to another place and for checks
//!
//! Nothing else in the host names SQLite. Invariants 1, 2, 3 and 10 are kept by `apply` and
//! `writer`.

mod apply;
mod backlog;
mod backup;
mod batch;
mod copy;
mod dead_letters;
mod decisions;
mod engine;
mod error;
mod explain;
mod file;
mod guard;
mod history;
mod idempotency;
mod ids;
mod index;
mod journal_size;
mod letter_queries;
mod list_changes;
mod lock_holders;
mod log_mark;
mod log_note;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod log_room_tests;
mod offsets;
mod own_files;
mod ownership;
mod packing;
mod parked;
mod presence;
mod prune;
mod quarantine;
mod read;
mod reading;
mod registry;
mod sample;
mod schema;
mod sweep;
mod tally;
mod topic_ids;
mod trusted_time;
mod waiting;
mod writer;

pub use backup::copy;
pub(super) use copy::{rows, rows_beside, target_rows};
pub(super) use engine::{open, own};
pub(super) use file::look;
pub use file::make_directory;
