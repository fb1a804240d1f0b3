//! The writes of a store, by table; all in the writer's transaction.
//!
//! - `columns`, `commit.sql`: the frequent writes of all entries of a commit, as one call
//! - [`entry`]: the other writes of an entry, each as a statement
//! - `members`: the lists of aggregates
//! - `parked`, `dead_letters`, `quarantine`, `offsets`, `registry`, `history`: the tables

pub(super) mod columns;
pub(super) mod dead_letters;
pub(super) mod entry;
pub(super) mod history;
pub(super) mod members;
pub(super) mod offsets;
pub(super) mod parked;
pub(super) mod quarantine;
pub(super) mod registry;
