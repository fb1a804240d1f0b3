//! Samples on SQLite: the rows of [`crate::store::sample`].
//!
//! # Layout
//!
//! - [`journal`]: recorded decisions
//! - [`states`]: stored states
//! - [`waiting`]: pending timers, events that are parked or not yet read

pub(super) mod journal;
pub(super) mod states;
pub(super) mod waiting;
