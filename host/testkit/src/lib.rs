//! The kit that the tests of the host, the demonstration and the benchmark share: hosts as child
//! processes, a real Kafka broker, an HTTP client, and what is expected of answers.
//!
//! # Layout
//!
//! - [`host`]: a host that is started, awaited and ended; how it is started, its log
//! - [`http`]: one HTTP client, which tells a request that was not sent from one that was lost
//! - [`usage`]: processor time and memory of a process
//! - [`broker`]: an Apache Kafka on this machine's Java
//! - [`description`]: descriptions of participants, of which a test says only what matters
//!
//! For tests only, where the first surprise ends the test:
//!
//! - [`blocking`]: hosts and requests without `async`
//! - [`expect`]: problems, conditions that come true, raw exchanges over a socket
//! - [`exposition`]: a reader of `/metrics` that insists on the rules of its formats
//!
//! Must not know: any participant, or what is tested.

pub mod blocking;
pub mod broker;
pub mod description;
pub mod expect;
pub mod exposition;
pub mod host;
pub mod http;
pub mod usage;
