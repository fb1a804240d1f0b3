//! The contract between a host and the rules of a participant: its description, the check of it, and what a new build
//! breaks.
//!
//! The host and the test kit of the SDK use the same check, so that a description that an author's tests accept is one
//! that a host accepts.
//!
//! # Layout
//!
//! - [`description`]: what a participant says of itself
//! - [`check`]: what is wrong with a description
//! - [`listing`]: by what a listing may be narrowed down, and how a client says so
//! - [`generated`]: from the types that are generated from the WIT to ours
//! - [`compatibility`]: what a build lacks to take the place of another
//! - [`schema`]: comparison of two JSON Schemas, one of what is written and one of what is read
//! - [`shapes`]: comparison of the messages and states of a candidate with those that are there; [`near`]: which event was meant
//! - [`json`]: how JSON text is read
//! - [`reason`]: the bound of reasons for people
//!
//! This crate must never know: how a description is obtained, what is stored or in use, I/O, threads, clocks. It is not
//! linked into components.

#![forbid(unsafe_code)]

pub mod check;
pub mod compatibility;
pub mod description;
#[cfg(test)]
mod fixture;
pub mod generated;
pub mod json;
pub mod listing;
pub mod near;
pub mod reason;
pub mod schema;
pub mod shapes;
