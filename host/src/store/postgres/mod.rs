//! The engine on PostgreSQL: one schema of a database, owned by one host at a time.
//!
//! # Layout
//!
//! - `engine`: [`Engine`](super::Engine) and [`Stopped`](super::Stopped), each call as SQL
//! - `address`: server, credentials, TLS; `driver`: the thread of the connections; `session`: one
//!   of them, with blocking calls; `error`: its errors
//! - `tables`, `schema.sql`: the tables; `ownership`: the host that owns them
//! - `writer`: the one writing thread, with group commit; `write`: the writes, by table
//! - `lists`: the values by which lists find aggregates
//! - `read`: the queries of [`ReadStore`](super::ReadStore)
//! - `prune`: deletes old rows
//!
//! Nothing else in the host names tokio-postgres. Invariants 1, 2, 3 and 10 are kept by `write` and
//! `writer`.

#![allow(dead_code, reason = "not all parts of the engine are there")]

mod address;
mod driver;
mod engine;
mod error;
mod lists;
mod ownership;
mod prune;
mod read;
mod session;
mod tables;
mod write;
mod writer;
