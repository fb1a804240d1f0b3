//! The turn: one message offered to one participant.
//!
//! ```text
//! record or request → admit → invoke → settle → commit → acknowledge
//! ```
//!
//! # Layout
//!
//! - [`participant`]: one participant: takes commands, records and timers, and routes each to the
//!   worker of its key
//! - [`this_host`]: the host's data that travels with turns, and the answers for clients
//! - `worker`: the thread around one worker of `saga_core`: answers its questions, performs its
//!   actions
//! - [`active`]: the active generation, and the topics of its events
//! - [`succession`]: the switch of a participant to the next generation; `turnover`: that of one
//!   worker
//! - `passed`: records of event types that the participant does not subscribe to
//! - [`repeats`]: commands with an idempotency key; `first_replies`: reads of what was replied under them;
//!   `generated_keys`: keys of new aggregates
//! - [`timers`]: offers the timers that are due; [`others`]: follows what other hosts park
//! - [`dead_letters`]: operators' requests for dead letters; `states`: requests for stored states
//!
//! Turns are decided in [`saga_core::worker`]; threads, channels, clocks and the store are here.
//!
//! Must not know: rdkafka, SQL, wasmtime types.

pub mod active;
pub mod dead_letters;
mod first_replies;
mod generated_keys;
pub mod others;
pub mod participant;
mod passed;
pub mod repeats;
mod states;
pub mod succession;
pub mod this_host;
pub mod timers;
mod turnover;
mod worker;

pub use active::{Active, Lane};
pub use participant::{Participant, ParticipantParts};
pub use repeats::Met;
pub use saga_core::worker::Replied;
pub use succession::{Retired, Successor, SwapError};
pub use this_host::{Answer, CommandCall, UnknownOutcome};
