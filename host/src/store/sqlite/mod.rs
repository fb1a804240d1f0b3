//! The engine on SQLite: one file, of which one process is the owner.
//!
//! # Layout
//!
//! - `engine`: [`Engine`](super::Engine) and [`Stopped`](super::Stopped), each call as SQL in the
//!   writer's transaction
//! - `file`: opening the file, its pragmas; `ownership`: its lock; `explain`: what can be wrong
//!   with it; `own_files`: the modes of what is in the directory
//! - `schema`: the tables, and the version of their shape
//! - `writer`: the one thread that writes; what waits shares a commit; `batch`: what shares it;
//!   `apply`: one entry as SQL
//! - `error`: what follows from what SQLite says
//! - `guard`: what the writer looks after besides: `presence`, whether the files are still there;
//!   `log_mark`, whether file and log belong together (`log_note`: what is noted beside them);
//!   `trusted_time`, by which old rows are deleted
//! - `lock_holders`: which other programs have locked the store
//! - `reading`: the questions of [`ReadStore`](super::ReadStore); `read`: one connection that reads,
//!   and what is asked often
//! - tables: `offsets`, `topic_ids`, `registry`, `history`, `parked`, `idempotency`, `quarantine`,
//!   `tally`, `backlog`, `sample`, `index` (indexes over what is in the states)
//! - `prune`: what is old goes, so that no table grows without end; `sweep` finds it
//! - `backup`: a copy beside the host that runs
//!
//! Nothing else in the host names SQLite. Invariants 1, 2, 3 and 10 are kept by `apply` and
//! `writer`.

mod apply;
mod backlog;
mod backup;
mod batch;
mod engine;
mod error;
mod explain;
mod file;
mod guard;
mod history;
mod idempotency;
mod index;
mod lock_holders;
mod log_mark;
mod log_note;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod log_room_tests;
mod offsets;
mod own_files;
mod ownership;
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
mod writer;

pub use backup::copy;
pub use engine::{open, own};
pub use file::look;
pub use writer::StoreSettings;
