//! The contract between a host and the rules of a participant: the description, its check, and the
//! compatibility of builds.
//!
//! The host and the test kit of the SDK share these checks, so a host accepts what an author's tests
//! accept.
//!
//! # Layout
//!
//! - [`description`]: the description of a participant
//! - [`check`]: problems of a description
//! - [`listing`]: filters of listings, and their values in requests
//! - [`generated`]: conversion of the types that are generated from the WIT
//! - [`compatibility`]: lacks of a build that is to replace another
//! - [`schema`]: comparison of two JSON Schemas, the writer's and the reader's
//! - [`shapes`]: comparison of a candidate's messages and states with the existing ones; [`near`]:
//!   suggestions for misspelt events
//! - [`outputs`]: the values that rules put out; `values`, a feature: checks of values against their
//!   schemas
//! - [`json`]: reading JSON; [`number`]: its numbers by value; [`difference`]: where two values differ
//! - [`cases`]: files of recorded decisions
//! - [`reason`]: the bound of reasons for people; [`printable`]: escaping of foreign texts
//!
//! This crate must never know: the source of a description, stored data or its use, I/O, threads,
//! clocks. It is not linked into components.

#![forbid(unsafe_code)]

pub mod cases;
pub mod check;
pub mod compatibility;
pub mod description;
pub mod difference;
#[cfg(test)]
mod fixture;
pub mod generated;
pub mod json;
pub mod listing;
pub mod near;
pub mod number;
pub mod outputs;
pub mod printable;
pub mod reason;
pub mod schema;
pub mod shapes;
#[cfg(feature = "values")]
pub mod values;
