//! Samples on SQLite.
//!
//! # Layout
//!
//! - [`journal`]: recorded decisions
//! - [`states`]: stored states
//! - [`waiting`]: pending timers, events that are parked or not yet read

pub(super) mod journal;
pub(super) mod states;
pub(super) mod waiting;

use std::time::{Duration, Instant};

/// Longest time for one sample. After that it is made of the rows read so far.
const LONGEST: Duration = Duration::from_millis(500);

/// Bytes that one sample keeps. Further rows are left out.
const BYTES: usize = 64 << 20;

/// The remaining time of a sample.
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

/// The remaining bytes of a sample.
#[derive(Debug)]
struct SampleRoom(usize);

impl SampleRoom {
    fn new() -> Self {
        Self(BYTES)
    }

    /// True if there was room for a row of this size.
    fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}
