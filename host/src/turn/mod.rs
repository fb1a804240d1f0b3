//! The turn: one message offered to one participant.
//!
//! ```text
//! record or request → admit → invoke → settle → commit → acknowledge
//! ```
//!
//! # Layout
//!
//! - [`participant`]: one participant: takes commands, records and timers, and gives each to the worker of its key
//! - [`this_host`]: what travels with turns, and what a client is answered
//! - `worker`: the thread around one worker of `saga_core`: answers its questions, does what it wants done
//! - [`active`]: what decides, and where its events go
//! - [`succession`]: how a participant passes from one generation to the next, `turnover`: how a worker does
//! - `passed`: records of event types that the participant does not take
//! - [`repeats`]: commands that carry an idempotency key: is this the first, and what was replied to it
//! - [`timers`]: offers the timers that are due
//!
//! What becomes of a turn is decided in [`saga_core::worker`]; threads, channels, clocks and the store are here.
//!
//! Must not know: rdkafka, SQL, wasmtime types.

pub mod active;
pub mod participant;
mod passed;
pub mod repeats;
pub mod succession;
pub mod this_host;
pub mod timers;
mod turnover;
mod worker;

pub use active::{Active, Lane};
pub use participant::{Participant, ParticipantSettings};
pub use repeats::Met;
pub use succession::{Retired, Successor, SwapError};
pub use this_host::{Answer, CommandCall};
