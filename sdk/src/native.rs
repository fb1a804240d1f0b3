//! The rules without WebAssembly: for native hosts, benchmarks and tools.
//!
//! [`Rules`] takes and gives the very values that cross the WIT boundary, so a benchmark that calls
//! it does the same work as a component, less the boundary. Rule authors need none of this; their
//! tests use [`testing`](crate::testing).

pub use crate::bindings::saga::participant::types::{
    Caller, Command, CommandKind, Description, Disposition, Endpoint, Event, Filter, Header,
    KeySource, Listing, Message, Method, OlderVersion, Origin, Outcome, Parameter, Publication,
    Refusal, RefusalDescription, RefusalKind, Reply, SettingsDescription, StateChange,
    StateDescription, Subscription, Timer, TimerChange, TimerDescription,
};
pub use crate::router::Rules;

/// Marks a component that contains the sum below.
const OVERFLOW_PROBE: &str = "saga-sdk overflow probe";

/// Keeps a sum of the author's crate in the component, which shows the host if the crate was built
/// with overflow checks. It never overflows. For the expansion of [`export!`](crate::export) only.
#[doc(hidden)]
pub fn show_overflow_checks(sum: fn(u8, u8) -> u8) {
    let text = std::hint::black_box(OVERFLOW_PROBE);
    let unknown = std::hint::black_box(u8::from(text.is_empty()));
    std::hint::black_box(std::hint::black_box(sum)(unknown, unknown));
}
