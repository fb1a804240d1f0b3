//! The operator's interface: an HTTP listener of its own.
//!
//! # Layout
//!
//! - [`service`]: the routes
//! - [`access`]: access control
//! - [`readiness`]: readiness, and the operator's report
//!
//! Must not know: how rules are swapped, transports, SQL, components.

pub mod access;
pub mod readiness;
pub mod service;
