//! A native host for choreography-based sagas whose rules are WebAssembly components.
//!
//! # Layout
//!
//! The pure core is a crate of its own, `saga_core`. Here is what does things:
//!
//! - [`plugin`]: components: compile, limit, call
//! - [`store`]: everything that outlives the process: what an engine does, and SQLite, which does it
//! - [`transport`]: where records come from and go to; [`log`]: the embedded log; [`kafka`]: Apache Kafka
//! - [`turn`]: the turn loop over store, transport and plugin
//! - [`schema`]: values checked against schemas, within bounds
//! - [`apidocs`]: documents and pages on what can be asked
//! - [`http`]: requests to commands and back
//! - [`rollout`]: rules are swapped while the host runs
//! - [`metrics`]: what is counted and measured
//! - [`admin`]: the operator's interface
//! - [`stages`]: how long the oldest message of each stage waits
//! - [`logging`]: log lines
//! - [`base`]: what several of them share
//! - [`config`]: file, environment and command line
//! - [`app`]: the only wiring; start and drain order
//! - [`cli`]: command line, logging, signals, exit codes
//!
//! No business word occurs in this crate.

pub mod admin;
pub mod apidocs;
pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod http;
pub mod kafka;
pub mod log;
pub mod logging;
pub mod metrics;
pub mod plugin;
pub mod rollout;
pub mod schema;
pub mod stages;
pub mod store;
pub mod transport;
pub mod turn;
