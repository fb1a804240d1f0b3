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
//! - [`active`]: what decides, and where its events go
//! - [`succession`]: how a participant passes from one generation to the next, `turnover`: how a worker does
//! - `decide`: one decision: the aggregate, the rules, the settlement
//! - [`cache`]: the aggregates that a worker remembers
//! - `given_up`: what follows a message that was not decided
//! - `outgoing`: what a turn publishes, as rows of the outbox
//! - `passed`: records of event types that the participant does not take
//! - `quarantined`: the keys of a worker that are quarantined
//! - `recent`: the identities that are on their way to disk
//! - [`repeats`]: commands that carry an idempotency key: is this the first, and what was replied to it
//! - [`waiting`]: the keys that wait a moment for another attempt; `held`: those whose messages are parked in the store
//! - [`timers`]: offers the timers that are due
//!
//! Must not know: rdkafka, SQL, wasmtime types. Invariants that live here: 4 (turns of one key run in
//! order, because one worker has them all), 5, 6 and 8.

pub mod active;
pub mod cache;
mod decide;
mod given_up;
mod held;
mod outgoing;
pub mod participant;
mod passed;
mod quarantined;
mod recent;
pub mod repeats;
pub mod succession;
pub mod timers;
pub mod turn;
mod turnover;
pub mod waiting;
pub mod worker;

pub use active::{Active, Lane};
pub use participant::{Participant, ParticipantSettings};
pub use repeats::Met;
pub use succession::{Retired, Successor, SwapError};
pub use turn::{Answer, CommandCall};
