//! Panics: a bug of the host ends the process; the few expected panics are caught.
//!
//! To go on with one thread less could hold up work for ever; a crash loses nothing, since the next
//! start recovers. The exception is a library that panics on foreign input.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

/// Stack size of threads that check foreign values: a stack overflow ends the process.
pub use saga_contract::values::STACK_BYTES;

thread_local! {
    /// True while a panic of this thread is caught.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs work that may panic on foreign input; `None` if it did.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CAUGHT.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(work)).ok();
    CAUGHT.set(before);
    result
}

/// Marks this thread as one whose panics are caught by its caller.
pub fn are_caught_here() {
    CAUGHT.set(true);
}

/// True if a panic of this thread is caught.
#[must_use]
pub fn is_caught_here() -> bool {
    CAUGHT.get() || saga_contract::values::is_checking_here()
}
