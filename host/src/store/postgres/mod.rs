//! The engine on PostgreSQL: one schema of a database.
//!
//! # Layout
//!
//! - `session`: a connection, with blocking calls; `error`: its errors
//! - `schema.sql`: the tables
//! - `lists`: the values by which lists find aggregates
//! - `read`: the queries of [`ReadStore`](super::ReadStore)

#![allow(dead_code, reason = "not all parts of the engine are there")]

mod error;
mod lists;
mod read;
mod session;
