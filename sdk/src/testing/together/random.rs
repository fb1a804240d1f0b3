//! [`Random`]: choices that are the same for the same seed.

use std::ops::Range;

pub(super) struct Random(fastrand::Rng);

impl Random {
    /// One of several independent streams of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mixed = seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
        let mut random = fastrand::Rng::with_seed(mixed);
        random.u64(..);
        Self(random)
    }

    /// A number of the range; its start if the range is empty.
    pub(super) fn pick(&mut self, range: Range<u64>) -> u64 {
        match range.is_empty() {
            true => range.start,
            false => self.0.u64(range),
        }
    }

    /// A place in a list of this length, which must not be empty.
    pub(super) fn place(&mut self, length: usize) -> usize {
        self.0.usize(..length.max(1))
    }

    /// True in so many of so many cases.
    pub(super) fn chance(&mut self, many: u64, of: u64) -> bool {
        self.pick(0..of) < many
    }

    /// A number up to ten to the power of `digits`, each number of digits as likely as another.
    pub(super) fn magnitude(&mut self, digits: Range<u64>) -> u64 {
        let bound = 10_u64.saturating_pow(u32::try_from(self.pick(digits)).unwrap_or(1));
        self.pick(bound / 10..bound)
    }
}
