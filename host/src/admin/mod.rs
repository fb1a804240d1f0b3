//! The operator's interface: an HTTP listener of its own.
//!
//! # Layout
//!
//! - [`service`]: the routes; `paths`: their paths and methods
//! - [`access`]: access control
//! - [`dead_letters`]: lists, redrives and discards dead letters; [`letter_report`]: its answers
//! - [`topics`]: records of topics of the embedded log; `publish`: one that an operator publishes;
//!   [`topic_report`]: its answers
//! - `decisions`: recorded decisions, for a replay elsewhere; [`decision_report`]: its answers
//! - [`hosts`]: the hosts on the store
//! - [`states`]: migrates stored states; quarantined aggregates
//! - [`readiness`]: readiness, and the operator's report
//!
//! Must not know: how rules are swapped, transports, SQL, components.

pub mod access;
pub mod dead_letters;
pub mod decision_report;
mod decisions;
pub mod hosts;
pub mod letter_report;
mod paths;
mod publish;
mod publish_headers;
pub mod readiness;
pub mod service;
pub mod states;
pub mod topic_report;
pub mod topics;
