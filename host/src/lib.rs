//! A native host for choreography-based sagas whose rules are WebAssembly components.
//!
//! # Layout
//!
//! The pure core is the crate `saga_core`. The modules here have the side effects:
//!
//! - [`plugin`]: components: compile, limit, call
//! - [`store`]: all data that outlives the process: the interface of an engine, and SQLite
//! - [`transport`]: the interface for reading and publishing records; [`log`]: the embedded log;
//!   [`kafka`]: Apache Kafka
//! - [`turn`]: the turn loop over store, transport and plugin
//! - [`apidocs`]: documents and pages on a participant's API
//! - [`http`]: converts requests to commands, and outcomes to responses
//! - [`rollout`]: swaps of rules while the host runs
//! - [`explain`]: sagas as recorded in a store, and what they wait for
//! - [`metrics`]: counters, histograms and their text formats
//! - [`admin`]: the operator's interface
//! - [`stages`]: the age of the oldest message of each stage
//! - [`logging`]: the log
//! - [`base`]: types that modules share
//! - [`config`]: settings from file, environment and command line
//! - [`author`]: the projects of authors: made, built, tested, watched
//! - [`app`]: the only wiring; start and drain order
//! - [`cli`]: command line, logging, signals, exit codes
//!
//! No source of this crate names a business.

pub mod admin;
pub mod apidocs;
pub mod app;
pub mod author;
pub mod base;
pub mod cli;
pub mod config;
pub mod explain;
pub mod http;
pub mod kafka;
pub mod log;
pub mod logging;
pub mod metrics;
pub mod plugin;
pub mod rollout;
pub mod stages;
pub mod store;
pub mod transport;
pub mod turn;
