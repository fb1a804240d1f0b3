//! The store: everything that outlives the process.
//!
//! # Layout
//!
//! - [`engine`]: what an engine does; the writing side. [`read`]: the reading side, whose questions
//!   stand beside their rows: [`streams`] (outbox, offsets), [`parked`], [`history`] (participants,
//!   generations), [`sample`]; [`readers`]: the pool
//! - [`entry`]: what one turn hands over to be committed; [`tally`]: what is counted of it
//! - [`idempotency`]: commands that may be repeated: known keys; [`parked_room`]: how many messages
//!   may be parked
//! - [`index`]: lists of aggregates
//! - [`fault`]: what can go wrong, by what follows from it; [`condition`]: what the store is good
//!   for, and what is logged of it; [`standstill`]: whether the writer stands still;
//!   [`open_error`], [`backup`]: why there is no store, or no copy of it
//! - `conformance`: what any engine must do, as a suite
//! - `sqlite`: the engine: one file
//!
//! Must not know: components, Kafka, HTTP, what a participant is about; and outside `sqlite`, SQL.
//! Invariants 1, 2, 3 and 10 live here: a turn is one entry, an entry is committed whole or not at
//! all, and nobody is told before the commit is on disk.

pub mod backup;
pub mod condition;
#[cfg(test)]
pub(crate) mod conformance;
pub mod engine;
pub mod entry;
pub mod fault;
pub mod history;
pub mod idempotency;
pub mod index;
pub mod open_error;
pub mod parked;
pub mod parked_room;
pub mod read;
pub mod readers;
pub mod sample;
mod sqlite;
pub mod standstill;
pub mod streams;
pub mod tally;

pub use condition::Condition;
pub use engine::{Activation, Engine, NewGeneration, Stopped, Store};
pub use entry::{Handed, Progress, Taken};
pub use fault::{FaultKind, StoreFault};
pub use idempotency::{Claim, FirstReply, IdempotencySettings, Known};
pub use index::{Index, Page, Wanted};
pub use open_error::OpenError;
pub use parked_room::{ParkedLimits, ParkedRoom};
pub use read::{Answer, ReadStore};
pub use readers::Reader;
pub use saga_core::commit::{DeadLetter, Entry, FiredTimer, OutboxRow};
pub use sqlite::{StoreSettings, copy, look, open, own};
pub use streams::{KnownTopic, OutboxReaders, RELAY, ReadPartition, StoredPlace};
pub use tally::{Tally, Verdict};
