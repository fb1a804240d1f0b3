//! The kit that the host's tests, the demonstration and the benchmarks share: hosts as child
//! processes, a real Kafka broker, a real PostgreSQL server, an HTTP client, checks of answers.
//!
//! # Layout
//!
//! - [`host`]: a host as a child process, its command line, its log; several hosts as one
//! - [`interrupt`]: Ctrl-C and SIGTERM, for programs that start hosts
//! - [`http`]: the HTTP client, which distinguishes a request that was not sent from a lost one
//! - [`usage`]: processor time and memory of a process
//! - [`broker`]: Apache Kafka on this machine's Java
//! - [`kafka`]: the broker of a run, reading and writing its topics
//! - [`postgres`]: PostgreSQL of this machine, and a proxy before it
//! - `process`: processes of other programs; `ports`: free ports
//! - [`description`]: descriptions of participants
//!
//! For tests only, which fail at the first error:
//!
//! - [`blocking`]: hosts and requests without `async`
//! - [`expect`]: checks of problems, waits for conditions, raw exchanges over a socket
//! - [`exposition`]: a strict parser of `/metrics`
//! - [`tokens`]: issuers of JSON Web Tokens
//!
//! Must not know: any participant, or the tests.

pub mod blocking;
pub mod broker;
pub mod description;
pub mod expect;
pub mod exposition;
pub mod host;
pub mod http;
pub mod interrupt;
pub mod kafka;
pub mod ports;
pub mod postgres;
mod process;
pub mod tokens;
pub mod usage;
