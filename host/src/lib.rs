//! A native host for choreography-based sagas whose rules are WebAssembly components.
//!
//! # Layout
//!
//! The pure core is a crate of its own, `saga_core`. Here is what does things:
//!
//! - [`plugin`]: components: compile, limit, call
//! - [`store`]: one SQLite file; group commit
//! - [`transport`]: the embedded log and Kafka
//! - [`pipeline`]: the turn loop over store, transport and plugin
//! - [`api`]: documents and pages on what can be asked
//! - [`http`]: requests to commands and back
//! - [`reload`]: rules are swapped while the host runs
//! - [`metrics`]: what is counted and measured
//! - [`admin`]: the operator's interface
//! - [`stages`]: how long the oldest message of each stage waits
//! - [`logging`]: the log; [`printable`]: foreign texts as they may be shown
//! - [`machine`], [`session`], [`budget`], [`generation`], [`signal`], [`changes`], [`clock`], [`panics`], [`secret`], [`last_look`]: what
//!   several of them share
//! - [`config`]: file, environment and command line
//! - [`app`]: the only wiring; start and drain order
//! - [`program`]: command line, logging, signals, exit codes
//!
//! No business word occurs in this crate.

pub mod admin;
pub mod api;
pub mod app;
pub mod budget;
pub mod changes;
pub mod clock;
pub mod config;
pub mod generation;
pub mod http;
pub mod last_look;
pub mod logging;
pub mod machine;
pub mod metrics;
pub mod panics;
pub mod pipeline;
pub mod plugin;
pub mod printable;
pub mod program;
pub mod reload;
pub mod secret;
pub mod session;
pub mod signal;
pub mod stages;
pub mod store;
pub mod transport;
