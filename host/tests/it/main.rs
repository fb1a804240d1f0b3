//! The host as its users meet it: the real program, real components, real sockets.
//!
//! One binary for all, because each would link wasmtime anew. The components must have been built;
//! `make test` does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]
#![allow(
    unreachable_pub,
    reason = "everything here is for the tests of this binary"
)]

#[path = "../support/builds.rs"]
mod builds;
#[path = "../support/chameleon.rs"]
mod chameleon;
#[path = "../support/expect.rs"]
mod expect;
#[path = "../support/exposition.rs"]
mod exposition;
#[path = "../support/judge.rs"]
mod judge;
#[path = "../support/store_file.rs"]
mod store_file;
#[path = "../support/stream.rs"]
mod stream;
#[path = "../support/host.rs"]
mod support;

mod aftermath;
mod clients;
mod kafka;

mod admin;
mod api_documents;
mod author;
mod backups;
mod bad_input;
mod bad_records;
mod clock;
mod code_cache;
mod command_line;
mod compile_limits;
mod components;
mod crash;
mod crash_points;
mod documents;
mod events;
mod file_modes;
mod foreign_pages;
mod foreign_text;
mod guest_code;
mod habits;
mod hostile;
mod http;
mod http2;
mod idempotency;
mod idle_clients;
mod isolation;
mod journal;
mod limits;
mod listings;
mod log;
mod log_reader;
mod machine;
mod member_names;
mod metrics;
mod metrics_kafka;
mod operator;
mod other_domain;
mod prefer;
mod progress;
mod quarantine;
mod reload_allowed;
mod reload_crash;
mod reload_crash_points;
mod reload_cut_short;
mod reload_decisions;
mod reload_dry_run;
mod reload_hostile;
mod reload_kafka;
mod reload_load;
mod reload_neighbours;
mod reload_probe;
mod reload_refused;
mod reload_restart;
mod reload_routes;
mod reload_shapes;
mod reload_state;
mod reload_ways;
mod reuse;
mod schema_bounds;
mod schema_property;
mod settings;
mod slow_clients;
mod standstill;
mod start_stop;
mod stopped;
mod store;
mod store_damage;
mod store_gone;
mod timers;
mod tls;
mod waiting;
mod walk;
mod walls;
