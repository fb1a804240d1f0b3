//! The host as its users meet it: the real program, real components, real sockets.
//!
//! One binary for all, because each would link wasmtime anew. The components must have been built;
//! `make test` does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod support;

mod walk;
