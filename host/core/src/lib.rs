//! The pure core of the saga host.
//!
//! Everything that decides what becomes of a message lives here, as functions from values to
//! values: [`admit`] turns what arrived into an [`message::Envelope`], [`settle`] turns what the
//! rules answered into a [`settle::Settlement`] for the store, [`retry`] says what follows a
//! failure, [`window`] says which offset is safe to store. [`worker`] is the turn loop around them,
//! and [`commit`] what it hands over to be written, and which of that still holds.
//!
//! # Layout
//!
//! - [`message`], [`outcome`], [`rules`]: the values of one turn and the function between them
//! - [`generated`]: from the types of an outcome that are generated from the WIT to ours
//! - [`record`]: what a transport delivers; [`foreign`]: what a value looks like that can't be read
//! - [`identity`]: ids that are the same however often a turn is run
//! - [`limits`]: the bounds on what may go in and come out
//!
//! What a participant says of itself is in `saga_contract`. This crate must never know: I/O,
//! threads, clocks, randomness, SQL, Kafka clients, HTTP, wasmtime. Its `Cargo.toml` is the proof. Invariants that live here: 2 (a settlement is one
//! value), 3 (identity), 5 (a fault is not a refusal), 9 (limits).

#![forbid(unsafe_code)]

pub mod admit;
pub mod commit;
pub mod foreign;
pub mod generated;
pub mod identity;
pub mod limits;
pub mod message;
pub mod outcome;
pub mod record;
pub mod retry;
pub mod rules;
pub mod settle;
pub mod window;
pub mod worker;
