//! The Customer/Order saga from its clients' view, for the walk in this crate and for `saga-bench`.
//!
//! It knows the HTTP contract of the two services and the command line of the host, and nothing
//! else of the host.
//!
//! # Layout
//!
//! - [`walk`]: the saga step by step, for a reader
//! - [`fulfilment`]: the same for the saga of four participants in `demo/fulfilment`
//! - [`cluster`]: several hosts on one PostgreSQL server, of which one is killed and one paused
//! - [`contract`] (with [`cents`]), [`admin`]: clients of the two services and of the admin
//!   interface
//! - [`kafka`]: a client of the broker
//! - [`hosts`] (with [`files`], [`interrupt`]): one host, or two over Kafka
//! - `main.rs`, `cli.rs`: the program `saga-demo`
//!
//! [`mock`] serves the contract in memory, with chosen faults, for tests.

pub mod admin;
pub mod cents;
pub mod cluster;
pub mod contract;
pub mod files;
pub mod fulfilment;
pub mod hosts;
pub mod interrupt;
pub mod kafka;
pub mod mock;
pub mod walk;
