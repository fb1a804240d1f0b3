//! Rules as WebAssembly components: load, check, limit, call.
//!
//! # Layout
//!
//! - [`engine`]: the one wasmtime engine and its settings; the epoch ticker
//! - [`sandbox`]: what a component finds when it looks around: nothing
//! - `fault`: what kind of break it was
//! - `last_words`: what a guest says when it breaks
//! - [`compile`]: bytes → compiled code, cached by digest; `artefact`: with the proof of what it was made from;
//!   `private`: in files that only the host's own user can write
//! - [`compiler`]: compiling, in a process of its own and within limits
//! - [`component`]: a loaded component: digest, description, instances
//! - [`instance`]: one instance, which implements [`saga_core::rules::Rules`]
//! - [`bindings`]: the generated types and their way to and from the core's
//! - `overflow`: whether its arithmetic is checked
//! - [`reservation`]: how much address space an instance reserves
//! - [`priority`]: work that gives way to the turns
//! - [`world`]: why a component does not fit, in words of the WIT; `contract`: the types of the contract
//!
//! Must not know: Kafka, SQL, HTTP, threads of the pipeline. Invariants 7 (a component sees only
//! its input), 8 (a fault costs one turn) and 9 (guests are bounded) live here.

mod artefact;
pub mod bindings;
pub mod compile;
pub mod compiler;
pub mod component;
mod contract;
pub mod engine;
mod fault;
pub mod instance;
mod last_words;
mod overflow;
pub mod priority;
mod private;
pub mod reservation;
pub mod sandbox;
pub mod world;

pub use compile::CodeCache;
pub use compiler::{CompileLimits, Compiler};
pub use component::{Component, LoadError};
pub use engine::{GuestLimits, Runtime};
pub use reservation::Reservation;
