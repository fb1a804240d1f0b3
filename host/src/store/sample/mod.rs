//! Samples of what is recorded, stored and in flight, on which a candidate is tried.
//!
//! # Layout
//!
//! - `choose`: which of many rows make a good sample
//! - [`journal`]: recorded decisions
//! - [`states`]: stored states
//! - [`waiting`]: timers that are set, events that are parked or not yet read
//!
//! A store may hold millions of rows, beside turns that go on: each sample looks at a bounded number of rows, at places spread
//! over the table, for a bounded time, and keeps a bounded number of bytes (invariant 9). Functions of a connection;
//! they only read.

mod choose;
pub mod journal;
pub mod states;
pub mod waiting;

use std::time::{Duration, Instant};

/// Longest that one sample is looked for. Beyond it what was seen so far has to do.
const LONGEST: Duration = Duration::from_millis(500);

/// Bytes that one sample keeps. Rows beyond it are left out.
const BYTES: usize = 64 << 20;

/// Chooses at most `most` rows, in their order: in turn one of each kind, spread over those of the kind.
pub fn evenly<T, K: Ord>(rows: Vec<T>, most: usize, kind: impl Fn(&T) -> K) -> Vec<T> {
    choose::choose(rows, most, kind, &[])
}

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
