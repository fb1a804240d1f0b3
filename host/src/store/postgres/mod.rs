//! The engine on PostgreSQL: one schema of a database, shared by its hosts.
//!
//! # Layout
//!
//! - `engine`: [`Engine`](super::Engine), each call as SQL; `stopped`: [`Stopped`](super::Stopped),
//!   and a look beside a host
//! - `components`: the components of all hosts
//! - `address`: server, credentials, TLS; `driver`: the thread of the connections; `session`: one
//!   of them, with blocking calls; `error`: its errors
//! - `tables`, `schema.sql`: the tables
//! - `membership`: the hosts on a store; `peers`: follows the others; `in_force`: the rules and
//!   lists by which all of them write; `proposals`: swaps over all of them
//! - `writer`: the one writing thread, with group commit; `write`: the writes, by table
//! - `lists`: the values by which lists find aggregates
//! - `read`: the queries of [`ReadStore`](super::ReadStore)
//! - `copy`: all rows, for a copy to another place and for checks
//! - `prune`: deletes old rows; `journal_size`: the bytes of recorded decisions
//!
//! Nothing else in the host names tokio-postgres. Invariants 1, 2, 3 and 10 are kept by `write` and
//! `writer`.

mod address;
mod components;
mod copy;
mod driver;
mod engine;
mod error;
mod in_force;
mod journal_size;
mod lists;
mod membership;
mod peers;
mod proposals;
mod prune;
mod read;
mod session;
mod stopped;
mod tables;
mod write;
mod writer;

pub use address::{SCHEMES as SERVER_SCHEMES, ServerAddress};
pub(super) use components::components;
pub(super) use copy::{rows, rows_beside, target_rows};
pub(super) use engine::open;
pub(super) use stopped::{look, own};
