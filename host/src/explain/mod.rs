//! Sagas as a store has them: what happened, what caused it, and what is still expected.
//!
//! A saga is known by its correlation. Nothing is held between two reads of the store, so a host
//! may run on it; what it decides meanwhile may be missing.
//!
//! # Layout
//!
//! - [`timeline`]: the decisions of one saga as a tree of causes, without any I/O
//! - [`read`]: which sagas an aggregate took part in, with their decisions, records and dead letters
//! - [`waits`]: what is still expected; [`stuck`]: sagas that wait for something for long
//! - [`other_rules`]: what other rules would have decided
//!
//! Must not know: how it is shown; SQL.

pub mod other_rules;
pub mod read;
pub mod stuck;
pub mod timeline;
pub mod waits;
