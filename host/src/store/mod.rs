//! What outlives the process: one SQLite file.
//!
//! # Layout
//!
//! - [`file`]: opening it, its lock, its pragmas; what can be wrong with a file
//! - [`schema`]: the tables, and the version of their shape
//! - [`entry`]: what one turn hands over to be committed
//! - [`writer`]: the one thread that writes; turns that wait share a commit
//! - `batch`: what shares a commit
//! - [`apply`]: one entry as SQL
//! - [`idempotency`]: commands that may be repeated: which keys are known, and what was replied first
//! - [`read`]: reading, on connections of their own
//! - [`index`]: indexes over what is in the states, and the pages of listings; [`pages`]: who chooses them
//! - [`registry`]: the rows that participants, builds and topics are known by
//! - [`history`]: which builds were active when, what they did, what was refused
//! - [`sample`]: what a candidate is tried on
//! - [`backlog`]: how much of the outbox waits, and for how long
//! - [`tally`]: how often each build was asked what
//! - [`topic_ids`]: which topics were read, by the ids that brokers give them
//! - [`prune`]: what is old goes, so that no table grows without end
//!
//! Must not know: components, Kafka, HTTP, what a participant is about. Invariants 1, 2, 3 and 10
//! live here: a turn is one entry, an entry is committed whole or not at all, and nobody is told
//! before the commit is on disk.

pub mod apply;
pub mod backlog;
mod batch;
pub mod entry;
pub mod file;
pub mod history;
pub mod idempotency;
pub mod index;
pub mod pages;
pub mod prune;
pub mod read;
pub mod registry;
pub mod sample;
pub mod schema;
pub mod tally;
pub mod topic_ids;
pub mod writer;

pub use apply::write_offset;
pub use entry::{DeadLetter, Entry, FiredTimer, OutboxRow, Progress, Quarantine, Taken};
pub use file::{OpenError, StoreFile, look};
pub use idempotency::{Claim, FirstReply, IdempotencySettings, KeptReply, Known};
pub use index::{Index, Page, Wanted};
pub use pages::Pages;
pub use prune::OutboxReaders;
pub use read::Reader;
pub use tally::{Tally, Verdict};
pub use writer::{Store, StoreFault, StoreSettings};
