//! The store: all data that outlives the process.
//!
//! # Layout
//!
//! - [`location`]: where a store is, and opening it
//! - [`engine`]: the interface of an engine; the writing side. [`read`]: the reading side, whose
//!   queries are declared next to their rows: [`streams`] (outbox, offsets), [`parked`],
//!   [`dead_letters`] (dead letters), [`history`] (participants, generations), [`decisions`] (the
//!   recorded ones of a participant), [`waiting`] (messages that wait), [`sample`];
//!   [`readers`]: the pool
//! - [`entry`]: the entry that one turn hands over to be committed; [`tally`]: its counts
//! - [`idempotency`]: known keys of repeatable commands; [`fingerprint`]: their requests; [`parked_room`]: the bound on parked
//!   messages
//! - [`index`]: lists of aggregates; [`duties`]: what one host at a time does for all;
//!   [`proposals`]: swaps over all hosts; [`hosts`]: who is there, and does what
//! - [`fault`]: faults, by consequence; [`condition`]: the condition of the store, and its log
//!   messages; [`standstill`]: detects a writer that stands still; [`open_error`], [`backup`]:
//!   errors of opening and of copying the store
//! - [`copy`]: a store copied to another place; [`check`]: checks of its rows
//! - `writing`: what the writers of engines share
//! - `conformance`: the suite that any engine must pass
//! - `sqlite`: the engine on one file; `postgres`: the one on a PostgreSQL server
//!
//! Must not know: components, Kafka, HTTP, the purpose of a participant; and outside `sqlite` and `postgres`, SQL.
//! Invariants 1, 2, 3 and 10 live here: a turn is one entry, an entry is committed whole or not at
//! all, and nobody is notified before the commit is durable.

pub mod backup;
pub mod check;
pub mod condition;
#[cfg(test)]
pub(crate) mod conformance;
pub mod copy;
pub mod dead_letters;
pub mod decisions;
pub mod duties;
pub mod engine;
pub mod entry;
pub mod fault;
pub mod fingerprint;
pub mod history;
pub mod hosts;
pub mod idempotency;
pub mod index;
pub mod list_changes;
pub mod location;
pub mod open_error;
pub mod parked;
pub mod parked_room;
mod postgres;
pub mod proposals;
pub mod read;
pub mod readers;
pub mod sample;
pub mod settings;
mod sqlite;
pub mod standstill;
pub mod streams;
pub mod tally;
pub mod waiting;
mod writing;

pub use condition::Condition;
pub use decisions::{DecisionPage, DecisionRange, JournalRow, JournalSpan};
pub use engine::{Activation, Engine, NewGeneration, Stopped, Store};
pub use entry::{CommitProgress, Handed, Taken};
pub use fault::{StoreFault, StoreFaultKind};
pub use fingerprint::Fingerprint;
pub use idempotency::{Claim, FirstReply, IdempotencySettings, Known};
pub use index::{Index, Page, Wanted};
pub use list_changes::{ChangedItem, ChangesWanted, JournalPosition, ListChanges};
pub use location::{Components, StoreLocation};
pub use open_error::OpenError;
pub use parked_room::{ParkedLimits, ParkedRoom};
pub use postgres::{SERVER_SCHEMES, ServerAddress};
pub use read::{ReadStore, StoreResult};
pub use readers::Reader;
pub use saga_core::commit::{DeadLetter, Entry, FiredTimer, OutboxRow};
pub use settings::{ServerSettings, StoreSettings};
pub use sqlite::{copy, make_directory};
pub use streams::{OutboxReaders, RELAY, ReadPartition, StoredPlace};
pub use tally::{Tally, Verdict};
