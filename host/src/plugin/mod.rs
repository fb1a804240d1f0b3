//! Rules as WebAssembly components: load, check, limit, call.
//!
//! # Layout
//!
//! - [`engine`]: the one wasmtime engine and its settings; the epoch ticker
//! - [`sandbox`]: what a component finds when it looks around: nothing
//! - `last_words`: what a guest says when it breaks
//! - [`compile`]: bytes → compiled code, cached by digest
//! - [`component`]: a loaded component: digest, description, instances
//! - [`instance`]: one instance, which implements [`saga_core::rules::Rules`]
//! - [`bindings`]: the generated types and their way to and from the core's
//! - [`overflow`]: whether its arithmetic is checked
//! - [`priority`]: work that gives way to the turns
//! - [`world`]: why a component does not fit, in words of the WIT
//!
//! Must not know: Kafka, SQL, HTTP, threads of the pipeline. Invariants 7 (a component sees only
//! its input), 8 (a fault costs one turn) and 9 (guests are bounded) live here.

pub mod bindings;
pub mod compile;
pub mod component;
pub mod engine;
pub mod instance;
mod last_words;
pub mod overflow;
pub mod priority;
pub mod sandbox;
pub mod world;

pub use compile::CodeCache;
pub use component::{Component, LoadError};
pub use engine::{GuestLimits, Runtime};
