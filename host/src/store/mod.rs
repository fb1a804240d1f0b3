//! What outlives the process: one SQLite file.
//!
//! # Layout
//!
//! - [`file`]: opening it, its lock, its pragmas; [`open_error`]: what can be wrong with it;
//!   `own_files`: the modes of what is in the directory
//! - [`schema`]: the tables, and the version of their shape
//! - [`entry`]: what one turn hands over to be committed
//! - [`writer`]: the one thread that writes; turns that wait share a commit
//! - `batch`: what shares a commit
//! - [`apply`]: one entry as SQL
//! - [`fault`]: what can go wrong, by what follows from it; [`condition`]: what the store is good for, and what is logged of it
//! - `guard`: what the writer looks after besides: `presence`, whether the files are still there; `log_mark`, whether file and
//!   log belong together; `trusted_time`, by which old rows are deleted
//! - [`standstill`]: whether the writer stands still; `lock_holders`: which other programs it waits for
//! - [`backup`]: a copy beside the host that runs
//! - [`idempotency`]: commands that may be repeated: which keys are known, and what was replied first
//! - [`parked`]: messages that wait in the order of their key until they can be decided; [`parked_room`]: how many may
//! - `quarantine`: which aggregates are quarantined
//! - [`read`]: reading, on connections of their own
//! - [`index`]: indexes over what is in the states, and the pages of listings; [`pages`]: who chooses them
//! - [`offsets`]: where each consumer reads on, and what it has read last
//! - [`registry`]: the rows that participants, builds and topics are known by
//! - [`history`]: which builds were active when, what they did, what was refused
//! - [`sample`]: what a candidate is tried on
//! - [`backlog`]: how much of the outbox waits, and for how long
//! - [`tally`]: how often each build was asked what
//! - [`topic_ids`]: which topics were read, by the ids that brokers give them
//! - [`prune`]: what is old goes, so that no table grows without end; `sweep` finds it
//!
//! Must not know: components, Kafka, HTTP, what a participant is about. Invariants 1, 2, 3 and 10
//! live here: a turn is one entry, an entry is committed whole or not at all, and nobody is told
//! before the commit is on disk.

pub mod apply;
pub mod backlog;
pub mod backup;
mod batch;
pub mod condition;
pub mod entry;
pub mod fault;
pub mod file;
mod guard;
pub mod history;
pub mod idempotency;
pub mod index;
mod lock_holders;
mod log_mark;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod log_room_tests;
pub mod offsets;
pub mod open_error;
mod own_files;
pub mod pages;
pub mod parked;
pub mod parked_room;
mod presence;
pub mod prune;
mod quarantine;
pub mod read;
pub mod registry;
pub mod sample;
pub mod schema;
pub mod standstill;
mod sweep;
pub mod tally;
pub mod topic_ids;
mod trusted_time;
pub mod writer;

pub use condition::Condition;
pub use entry::{Handed, Progress, Taken};
pub use fault::{FaultKind, StoreFault};
pub use file::{StoreFile, look};
pub use idempotency::{Claim, FirstReply, IdempotencySettings, Known};
pub use index::{Index, Page, Wanted};
pub use offsets::{StoredPlace, write_offset};
pub use open_error::OpenError;
pub use pages::Pages;
pub use parked_room::{ParkedLimits, ParkedRoom};
pub use prune::OutboxReaders;
pub use read::Reader;
pub use saga_core::commit::{DeadLetter, Entry, FiredTimer, OutboxRow};
pub use tally::{Tally, Verdict};
pub use trusted_time::trusted_now;
pub use writer::{Store, StoreSettings};
