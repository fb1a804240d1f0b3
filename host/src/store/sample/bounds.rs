//! The bounds of one sample (invariant 9).

use std::time::{Duration, Instant};

/// Longest time for one sample. After that it is made of the rows read so far.
const LONGEST: Duration = Duration::from_millis(500);

/// Bytes that one sample keeps. Further rows are left out.
const BYTES: usize = 64 << 20;

/// The remaining time of a sample.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Patience(Instant);

impl Patience {
    pub(in crate::store) fn begin() -> Self {
        Self(Instant::now())
    }

    pub(in crate::store) fn is_over(self) -> bool {
        self.0.elapsed() >= LONGEST
    }
}

/// The remaining bytes of a sample.
#[derive(Debug)]
pub(in crate::store) struct SampleRoom(usize);

impl SampleRoom {
    pub(in crate::store) fn new() -> Self {
        Self(BYTES)
    }

    /// True if there was room for a row of this size.
    pub(in crate::store) fn takes(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}
