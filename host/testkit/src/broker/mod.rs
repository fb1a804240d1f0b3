//! A real Apache Kafka on this machine's Java, for the demonstration, the benchmark and the tests.
//!
//! A broker is a library like any other: Maven copies its jars once into `target/kafka`, and a
//! [`Broker`] is a JVM on them, a KRaft node alone, on loopback ports, with its data in a directory. It
//! can be killed, stopped, paused and started again on the same ports and data. Nothing is installed,
//! and no JVM outlives the program that started it.
//!
//! Must not know: the host, its topics, what is tested.
//!
//! # Layout
//!
//! - [`jars`]: what the machine must have, and the jars
//! - [`settings`]: what can be chosen of a broker; `properties`: its configuration file
//! - [`node`]: a broker's life; `process`: its JVM; `ports`: where it listens
//! - [`certificates`]: an authority for its TLS listeners, and certificates of clients
//! - [`issuer`]: an issuer of tokens, for OAUTHBEARER
//! - [`tools`]: Kafka's own command line tools
//! - [`error`]: what can go wrong

pub mod certificates;
pub mod error;
pub mod issuer;
pub mod jars;
pub mod node;
mod ports;
mod process;
mod properties;
pub mod settings;
pub mod tools;

pub use certificates::{Authority, Certificate, Validity};
pub use error::{Error, Unavailable};
pub use issuer::{Client, Issuer};
pub use jars::available;
pub use node::Broker;
pub use settings::{Security, Settings, Tokens, User};
