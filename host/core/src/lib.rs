//! The pure core of the saga host.
//!
//! All decisions about a message are made here, by functions from values to values: [`admit`] turns
//! a record or request into an [`message::Envelope`], [`settle`] turns the rules' answer into a
//! [`settle::Settlement`] for the store, [`retry`] determines what follows a failure, [`window`]
//! determines the offset that is safe to store. [`worker`] is the turn loop around them, and
//! [`commit`] its entries for the store and their chains.
//!
//! # Layout
//!
//! - [`message`], [`outcome`], [`rules`]: the values of one turn and the function between them
//! - [`generated`]: conversion of the outcome types that are generated from the WIT
//! - [`record`]: the records of a transport; [`foreign`]: formats of values that can't be read
//! - [`identity`]: deterministic ids; [`hex()`]: bytes as digits
//! - [`journal`]: recorded decisions as bytes
//! - [`limits`]: bounds of the input and output of a turn; `outputs`: checks of outputs
//!
//! The description of a participant is in `saga_contract`. This crate must never know: I/O,
//! threads, clocks, randomness, SQL, Kafka clients, HTTP, wasmtime. Its `Cargo.toml` is the proof.
//! Invariants that live here: 2 (a settlement is one value), 3 (identity), 5 (a fault is not a
//! refusal), 9 (limits).

#![forbid(unsafe_code)]

pub mod admit;
pub mod commit;
pub mod foreign;
pub mod generated;
mod hex;
pub mod identity;
pub mod journal;
pub mod limits;
pub mod message;
pub mod outcome;
mod outputs;
pub mod record;
pub mod retry;
pub mod rules;
pub mod settle;
pub mod window;
pub mod worker;

pub use hex::hex;
