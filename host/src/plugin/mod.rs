//! Rules as WebAssembly components: load, check, limit, call.
//!
//! # Layout
//!
//! - [`engine`]: the wasmtime engine and its settings; the epoch ticker
//! - [`sandbox`]: the host's side of an instance, which grants nothing
//! - `fault`: classification of faults
//! - `ungranted`: functions that trap in place of interfaces that are imported and not granted
//! - `guest_stderr`: the standard error of a guest; `turn_input`: its clocks and random source
//! - [`compile`]: bytes → compiled code, cached by digest; `signed_code`: its file format, with a
//!   proof of origin; `private_files`: files that only the host's user can write
//! - [`compiler`]: compilation in a separate process, within limits
//! - [`component`]: a loaded component: digest, description, instances
//! - [`instance`]: one instance, which implements [`saga_core::rules::Rules`]
//! - [`bindings`]: the versions of the contract: their generated types, and the conversion to and
//!   from the core's
//! - `overflow`: detects components without overflow checks
//! - [`reservation`]: address space per instance; `pool`: memory for instances that live for one
//!   call
//! - [`priority`]: low-priority threads for work beside the turns
//! - [`world`]: errors of components that don't fit, in words of the WIT; `contract`: the types of
//!   the contract
//!
//! Must not know: Kafka, SQL, HTTP, threads of the turn loop. Invariants 7 (a component sees only
//! its input), 8 (a fault costs one turn) and 9 (guests are bounded) live here.

pub mod bindings;
pub mod compile;
pub mod compiler;
pub mod component;
mod contract;
pub mod engine;
mod fault;
mod guest_stderr;
pub mod instance;
mod overflow;
mod pool;
pub mod priority;
mod private_files;
pub mod reservation;
pub mod sandbox;
mod signed_code;
mod turn_input;
mod ungranted;
pub mod world;

pub use compile::CodeCache;
pub use compiler::{CompileLimits, Compiler};
pub use component::{ConfiguredComponent, LoadError, LoadedComponent};
pub use engine::{GuestLimits, Runtime};
pub use instance::InstanceUse;
pub use reservation::Reservation;
