//! The Customer/Order saga as its clients see it, for the walk in this crate and for `saga-bench`.
//!
//! It knows the HTTP contract of the two services and the command line of the host, and nothing of its
//! inside, so it shows what a client sees.
//!
//! # Layout
//! - [`walk`]: the saga step by step, for a reader;
//! - [`contract`] (+ [`cents`]), [`admin`]: the two services and the admin interface as a client sees them;
//! - [`kafka`]: the broker, its topics and records, as any other client sees them;
//! - [`hosts`] (+ [`files`], [`interrupt`]): one host, or two over Kafka;
//! - `main.rs`, `cli.rs`: the program `saga-demo`.
//!
//! [`mock`] serves the contract in memory, right or wrong, for the tests.

pub mod admin;
pub mod cents;
pub mod contract;
pub mod files;
pub mod hosts;
pub mod interrupt;
pub mod kafka;
pub mod mock;
pub mod walk;
