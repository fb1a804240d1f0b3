//! The project of an author: made from a template, built, tested and watched.
//!
//! # Layout
//!
//! - [`name`]: the name of a new project; [`create`]: makes its folder
//! - `template`: the files of a new project; [`sdk`]: the SDK, embedded in the program
//! - [`language`]: the languages of rules, each with what is its own
//! - [`project`]: the project in a folder; [`steps`]: builds and tests it
//! - [`sources`]: notices changes of its sources
//! - [`toolchain`]: what an author's Rust toolchain lacks, and how to get it
//!
//! Must not know: hosts, components, the command line.

pub mod create;
pub mod language;
pub mod name;
pub mod project;
pub mod sdk;
pub mod sources;
pub mod steps;
mod template;
pub mod toolchain;
