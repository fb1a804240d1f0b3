//! The turn: one message offered to one participant.
//!
//! ```text
//! record or request → admit → invoke → settle → commit → acknowledge
//! ```
//!
//! # Layout
//!
//! - [`participant`]: one participant: takes commands, records and timers, and gives each to the worker of its key
//! - [`turn`]: what is given to a worker, and what a client is answered
//! - [`worker`]: one thread: the turn loop
//! - `decide`: one decision: the aggregate, the rules, the settlement
//! - [`cache`]: the aggregates that a worker remembers
//! - [`parked`]: the keys that wait for another attempt
//! - [`timers`]: offers the timers that are due
//!
//! Must not know: rdkafka, SQL, wasmtime types. Invariants that live here: 4 (turns of one key run in
//! order, because one worker has them all), 5, 6 and 8.

pub mod cache;
mod decide;
pub mod parked;
pub mod participant;
pub mod timers;
pub mod turn;
pub mod worker;

pub use participant::{Participant, ParticipantSettings};
pub use turn::{Answer, CommandCall};
