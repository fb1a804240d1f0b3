//! The health of the cluster, as this host meets it.
//!
//! # Layout
//!
//! - `supervisor`: one thread that asks whether brokers answer and topics exist
//! - `probe`: a client that only asks; `liveness`: a client that is not answered while others are
//! - `condition`, `conditions`: what is wrong, and what is wrong now; `advice`: the words, and what to do
//!
//! Must not know: consumers, the relay.

pub(crate) mod advice;
pub(crate) mod condition;
pub(crate) mod conditions;
pub(crate) mod liveness;
pub(crate) mod probe;
pub(crate) mod supervisor;
