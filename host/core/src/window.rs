//! The offset of a partition that is safe to store while its records are decided out of order.
//!
//! Records of different keys run in parallel, so record 7 may be settled while 5 still runs. The
//! offset to store is the one below which everything is settled (invariant 1); the inbox remembers
//! what is settled above it. The window is bounded: at its bound the consumer stops reading
//! (invariant 9).

use std::collections::{BTreeSet, VecDeque};

/// The records of one partition that are in flight.
#[derive(Debug)]
pub struct Window {
    /// Offsets in the order in which they were taken. They need not be consecutive.
    taken: VecDeque<i64>,
    /// Settled offsets that are preceded by an unsettled one.
    settled: BTreeSet<i64>,
    /// The offset to store: reading resumes here after a crash.
    next: i64,
    /// Most records in flight at once.
    bound: usize,
}

impl Window {
    /// A window that starts reading at `next` and holds at most `bound` records.
    #[must_use]
    pub fn new(next: i64, bound: usize) -> Self {
        Self {
            taken: VecDeque::new(),
            settled: BTreeSet::new(),
            next,
            bound,
        }
    }

    /// True if another record may be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.taken.len() < self.bound
    }

    /// True if nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Number of further records that may be taken.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bound.saturating_sub(self.taken.len())
    }

    /// Takes a record. Offsets must be taken in ascending order.
    ///
    /// # Panics
    /// If the offset is below one that was taken before: the transport has then broken the order of
    /// its partition.
    pub fn take(&mut self, offset: i64) {
        assert!(
            self.taken.back().is_none_or(|last| *last < offset) && offset >= self.next,
            "offset {offset} was taken out of order"
        );
        self.taken.push_back(offset);
    }

    /// Marks a record as settled and returns the offset that may be stored with it.
    pub fn settle(&mut self, offset: i64) -> i64 {
        if self.settled.is_empty() && self.taken.front() == Some(&offset) {
            self.taken.pop_front();
            self.next = offset + 1;
            return self.next;
        }
        self.settled.insert(offset);
        while let Some(first) = self.taken.front().copied() {
            if !self.settled.remove(&first) {
                break;
            }
            self.taken.pop_front();
            self.next = first + 1;
        }
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_1_the_offset_never_passes_an_unsettled_record() {
        let mut window = Window::new(5, 10);
        for offset in [5, 6, 9] {
            window.take(offset);
        }
        assert_eq!(window.settle(9), 5);
        assert_eq!(window.settle(6), 5);
        assert_eq!(window.settle(5), 10);
        assert!(window.is_empty());
    }

    #[test]
    fn gaps_in_the_offsets_are_passed_with_the_record_after_them() {
        let mut window = Window::new(0, 10);
        window.take(3);
        assert_eq!(window.settle(3), 4);
    }

    #[test]
    fn invariant_9_the_window_is_bounded() {
        let mut window = Window::new(0, 2);
        window.take(0);
        window.take(1);
        assert!(!window.has_room());
        window.settle(1);
        assert!(!window.has_room(), "the head still runs");
        window.settle(0);
        assert_eq!(window.room(), 2);
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn a_transport_that_goes_back_is_caught() {
        let mut window = Window::new(0, 10);
        window.take(4);
        window.take(3);
    }
}
