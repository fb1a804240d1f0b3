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
//! - [`description`]: what a participant says of itself, and whether that makes sense
//! - [`compatibility`]: what a build lacks to take the place of another
//! - [`schema`]: whether what one JSON Schema allows to be written can be read by another
//! - [`shapes`]: whether messages and states of a candidate go with those that are there; [`near`]:
//!   which event was meant
//! - [`listing`]: what may be listed by what, and how a client says so
//! - [`message`], [`outcome`], [`rules`]: the values of one turn and the function between them
//! - [`generated`]: from the types that are generated from the WIT to ours
//! - [`record`]: what a transport delivers; [`foreign`]: what a value looks like that can't be read
//! - [`json`]: how JSON text is read
//! - [`identity`]: ids that are the same however often a turn is run
//! - [`limits`]: the bounds on what may go in and come out
//!
//! This crate must never know: I/O, threads, clocks, randomness, SQL, Kafka clients, HTTP,
//! wasmtime. Its `Cargo.toml` is the proof. Invariants that live here: 2 (a settlement is one
//! value), 3 (identity), 5 (a fault is not a refusal), 9 (limits).

#![forbid(unsafe_code)]

pub mod admit;
pub mod commit;
pub mod compatibility;
pub mod description;
pub mod foreign;
pub mod generated;
pub mod identity;
pub mod json;
pub mod limits;
pub mod listing;
pub mod message;
pub mod near;
pub mod outcome;
pub mod record;
pub mod retry;
pub mod rules;
pub mod schema;
pub mod settle;
pub mod shapes;
pub mod window;
pub mod worker;
