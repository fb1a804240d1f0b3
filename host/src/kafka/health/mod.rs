//! Health of the brokers, topics and clients.
//!
//! # Layout
//!
//! - `supervisor`: asks whether brokers answer and topics exist, and creates missing topics
//! - `probe`: a client for questions
//! - `condition`, `advice`: kinds of problems, with their texts; remedies
//! - `conditions`: the current problems, by subject
//!
//! Must not know: consumers, the relay.

pub(crate) mod advice;
pub(crate) mod condition;
pub(crate) mod conditions;
pub(crate) mod probe;
pub(crate) mod supervisor;
