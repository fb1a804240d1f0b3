//! A real PostgreSQL server of this machine's programs, for the tests, the demonstration and the
//! benchmark.
//!
//! A [`Server`] is a cluster of its own in a temporary directory, on a port of loopback. It can be
//! killed, stopped, paused and restarted on the same port and data. Nothing is installed, and no
//! server outlives the program that started it. A [`Proxy`] before it breaks connections at a chosen
//! message.
//!
//! Must not know: the host, its tables, the tests.
//!
//! # Layout
//!
//! - [`programs`]: where PostgreSQL's programs are, and the user that they run as
//! - [`server`]: a server; `keeper`: its end when the program ends
//! - [`shared`]: the one server of all tests of a process
//! - [`proxy`]: faults between client and server; `frames`: the protocol's messages

mod frames;
mod keeper;
pub mod programs;
pub mod proxy;
pub mod server;
pub mod shared;

pub use programs::{Unavailable, available};
pub use proxy::{Proxy, Trigger, What};
pub use server::{Error, Server, Settings};
pub use shared::{can_run, can_start, url};
