//! The rules without WebAssembly: for native hosts, benchmarks and tools.
//!
//! [`Rules`] takes and gives the very values that cross the WIT boundary, so a benchmark that calls
//! it does the same work as a component, less the boundary. Rule authors need none of this; their
//! tests use [`testing`](crate::testing).

pub use crate::bindings::saga::participant::types::{
    Command, CommandKind, Description, Disposition, Endpoint, Event, Filter, KeySource, Listing,
    Message, Method, Origin, Outcome, Parameter, Publication, Refusal, RefusalDescription,
    RefusalKind, Reply, StateChange, StateDescription, Subscription, Timer, TimerChange,
    TimerDescription,
};
pub use crate::router::Rules;
