//! The host as its users meet it: the real program, real components, real sockets.
//!
//! One binary for all, because each would link wasmtime anew. The components must have been built;
//! `make test` does.
//!
//! # Layout
//!
//! - `http`: the participants' interface; `admin`: the operator's, with readiness and metrics; `cli`: the command line
//! - `author`: projects of authors, and the SDK as a package
//! - `turn`, `store`, `plugin`, `rollout`, `kafka`: what the folders of the same names in `src` do
//! - `process`: start and stop, the log, what the machine lacks
//! - `documents`: what ARCHITECTURE.md, README.md and `docs/` say of the tree
//! - `../support`: helpers, shared with the other test binaries

#![allow(clippy::restriction, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "all of it is for this binary")]

#[path = "../support/aftermath.rs"]
mod aftermath;
#[path = "../support/booking.rs"]
mod booking;
#[path = "../support/builds.rs"]
mod builds;
#[path = "../support/chameleon.rs"]
mod chameleon;
#[path = "../support/clients.rs"]
mod clients;
#[path = "../support/commands.rs"]
mod commands;
#[path = "../support/component_bytes.rs"]
mod component_bytes;
#[path = "../support/crashes.rs"]
mod crashes;
#[path = "../support/decider.rs"]
mod decider;
#[path = "../support/dev.rs"]
mod dev;
#[path = "../support/mock_kafka.rs"]
mod mock_kafka;
#[path = "../support/orders.rs"]
mod orders;
#[path = "../support/preload.rs"]
mod preload;
#[path = "../support/server_store.rs"]
mod server_store;
#[path = "../support/store_file.rs"]
mod store_file;
#[path = "../support/stream.rs"]
mod stream;
#[path = "../support/host.rs"]
mod support;

use saga_testkit::{expect, exposition};

mod admin;
mod author;
mod cli;
mod documents;
mod http;
mod kafka;
mod plugin;
mod process;
mod rollout;
mod store;
mod turn;
mod walls;
