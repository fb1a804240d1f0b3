//! The operator's interface: an HTTP listener of its own.
//!
//! # Layout
//!
//! - [`service`]: what can be asked
//! - [`access`]: who may ask
//! - [`readiness`]: whether the host takes requests, and what an operator should know of it
//!
//! Must not know: how rules are swapped, transports, SQL, components.

pub mod access;
pub mod readiness;
pub mod service;
