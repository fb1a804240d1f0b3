//! What authors of rules meet: the SDK as a package, new projects, `saga dev`, `saga test`, `saga doctor`.

mod create;
mod dev;
mod doctor;
mod project;
mod sdk;
