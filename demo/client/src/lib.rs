//! The services of customer and order from a client's view, for the walk (`saga-demo`) and the
//! benchmarks (`saga-bench`).
//!
//! # Layout
//!
//! - [`contract`] (with [`cents`]): the HTTP contract of the two services, and their topics
//! - [`admin`]: the admin interface of a host
//! - [`files`]: the built files of a checkout, and the hosts that use them
//! - [`mock`]: both services in memory, with chosen faults, for tests
//!
//! Must not know: host internals.

pub mod admin;
pub mod cents;
pub mod contract;
pub mod files;
pub mod mock;
