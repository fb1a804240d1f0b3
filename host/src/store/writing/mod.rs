//! What the writers of all engines share: one thread takes all waiting items, applies them in one
//! transaction, commits once, and only then reports the outcomes (group commit, invariant 10).
//!
//! # Layout
//!
//! - [`requests`]: the queue of the writer
//! - [`items`]: the items of a commit
//! - [`outcomes`]: the reports after it
//! - [`tallies`]: the sums of what was counted

pub(super) mod items;
pub(super) mod journal_size;
pub(super) mod outcomes;
pub(super) mod requests;
pub(super) mod tallies;
