//! The part that the writers of all engines share: one thread takes all waiting items, applies them in one
//! transaction, commits once, and only then reports the outcomes (group commit, invariant 10).
//!
//! # Layout
//!
//! - [`requests`]: the queue of the writer
//! - [`items`]: the items of a commit
//! - [`outcomes`]: the reports after it
//! - [`tallies`]: the sums of what was counted
//! - [`letters`]: the actions on dead letters; [`journal_size`]: the bound on recorded decisions

pub(super) mod items;
pub(super) mod journal_size;
pub(super) mod letters;
pub(super) mod outcomes;
pub(super) mod requests;
pub(super) mod tallies;
