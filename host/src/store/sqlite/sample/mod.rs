//! Samples, as SQLite finds them.
//!
//! # Layout
//!
//! - [`journal`]: recorded decisions
//! - [`states`]: stored states
//! - [`waiting`]: timers that are set, events that are parked or not yet read

pub(super) mod journal;
pub(super) mod states;
pub(super) mod waiting;

use std::time::{Duration, Instant};

/// Longest that one sample is looked for. Beyond it what was seen so far has to do.
const LONGEST: Duration = Duration::from_millis(500);

/// Bytes that one sample keeps. Rows beyond it are left out.
const BYTES: usize = 64 << 20;

/// How long a sample is still looked for.
#[derive(Debug, Clone, Copy)]
struct Patience(Instant);

impl Patience {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn is_over(self) -> bool {
        self.0.elapsed() >= LONGEST
    }
}

/// Bytes that a sample may still keep.
#[derive(Debug)]
struct Room(usize);

impl Room {
    fn new() -> Self {
        Self(BYTES)
    }

    /// Whether there was room for a row of so many bytes.
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}
