//! The Customer/Order saga, and the fulfilment saga, step by step, for a reader.
//!
//! # Layout
//!
//! - [`walk`]: the saga of customer and order
//! - [`fulfilment`]: the saga of the four participants in `demo/fulfilment`
//! - [`cluster`]: several hosts on one PostgreSQL server, of which one is killed and one paused
//! - [`page`]: what a walk prints; `call`: a request on it
//! - `session`: the hosts of a walk, from their start to their end
//! - `main.rs`, `cli.rs`: the program `saga-demo`
//!
//! What walks share with `saga-bench` is in `demo/client` (the services from a client's view) and
//! `host/testkit` (hosts, Kafka).

mod call;
pub mod cluster;
pub mod fulfilment;
pub mod page;
mod session;
pub mod walk;
