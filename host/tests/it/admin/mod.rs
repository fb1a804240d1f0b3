//! The admin interface: what an operator asks over HTTP, readiness, metrics.

mod interface;
mod metrics;
mod readiness;
