//! Panics: a bug of the host ends it, and the few that are expected are caught.
//!
//! Going on with one thread less could hold work back for ever; a crash loses nothing, for the next start
//! recovers. A library that panics on what a stranger sent is the exception.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;

/// Stack of threads that check foreign values: the validator goes down into them (see `saga_contract::schema::effort`), and a stack that
/// is used up ends the process.
pub const STACK_BYTES: usize = 4 << 20;

thread_local! {
    /// Whether a panic of this thread is caught.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs something that may panic on foreign input; none where it did.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CAUGHT.replace(true);
    let result = std::panic::catch_unwind(AssertUnwindSafe(work)).ok();
    CAUGHT.set(before);
    result
}

/// From now on panics of this thread are caught, by whoever gives it work.
pub fn are_caught_here() {
    CAUGHT.set(true);
}

/// Whether a panic of this thread is caught.
#[must_use]
pub fn is_caught_here() -> bool {
    CAUGHT.get()
}
