//! The tools for authors of rules: the SDK as a package, new projects, `saga dev`, `saga test`, `saga doctor`.

mod create;
mod dev;
mod doctor;
mod project;
mod sdk;
