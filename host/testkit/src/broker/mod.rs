//! A real Apache Kafka on this machine's Java, for the demonstration, the benchmark and the tests.
//!
//! A broker is a library like any other: Maven copies its jars once into `target/kafka`. A
//! [`Broker`] is a JVM on them: a single KRaft node on loopback ports, with its data in a
//! directory. It can be killed, stopped, paused and restarted on the same ports and data. Nothing
//! is installed, and no JVM outlives the program that started it.
//!
//! Must not know: the host, its topics, the tests.
//!
//! # Layout
//!
//! - [`jars`]: Java and Kafka's jars
//! - [`settings`]: the settings of a broker; `properties`: its configuration file
//! - [`node`]: a broker, which is a JVM
//! - [`certificates`]: an authority for its TLS listeners, and certificates of clients
//! - [`issuer`]: an issuer of tokens, for OAUTHBEARER
//! - [`tools`]: Kafka's own command line tools
//! - [`error`]: the errors

pub mod certificates;
pub mod error;
pub mod issuer;
pub mod jars;
pub mod node;
mod properties;
pub mod settings;
pub mod tools;

pub use certificates::{Authority, Certificate, Validity};
pub use error::{Error, Unavailable};
pub use issuer::{Issuer, IssuerClient};
pub use jars::available;
pub use node::Broker;
pub use settings::{Security, Settings, Tokens, User};
