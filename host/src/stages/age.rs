//! Ages derived from counters that are sampled now and then; no message carries a timestamp for it.
//!
//! Pure: the time since the first sample is an argument.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// Most marks that are kept. Beyond it every other one is dropped, which makes ages slightly less
/// exact.
const MARKS: usize = 1_024;

/// Age of the oldest entry of a FIFO queue.
#[derive(Debug, Default)]
pub struct QueueAge {
    /// The number of entries given by each time; dropped once all of them are done.
    marks: VecDeque<(Duration, u64)>,
}

impl QueueAge {
    /// The minimum age of the oldest entry, from the numbers of entries ever given and ever done.
    /// Exact to the time between two samples.
    pub fn look(&mut self, now: Duration, given: u64, over: u64) -> Duration {
        if given <= over {
            self.marks.clear();
            return Duration::ZERO;
        }
        while self.marks.front().is_some_and(|(_, mark)| *mark <= over) {
            self.marks.pop_front();
        }
        if self.marks.back().is_none_or(|(_, mark)| *mark < given) {
            self.marks.push_back((now, given));
        }
        if self.marks.len() > MARKS {
            let mut number = 0;
            // The first mark determines the age.
            self.marks.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
        let since = self.marks.front().map_or(now, |(since, _)| *since);
        now.saturating_sub(since)
    }
}

/// The time for which a position has not advanced although work waits.
#[derive(Debug)]
pub struct Standstill<P = i64>(Option<PositionRange<P>>);

#[derive(Debug, Clone)]
struct PositionRange<P> {
    /// The lowest position since then.
    low: P,
    /// The highest position since then.
    high: P,
    since: Duration,
}

impl<P> Default for Standstill<P> {
    fn default() -> Self {
        Self(None)
    }
}

impl<P: PartialOrd + Clone> Standstill<P> {
    /// The time spent at this position while work waits. Going back is not an advance, and neither
    /// is the return to the former position; advancing from further back is one.
    pub fn look(&mut self, now: Duration, position: P, waits: bool) -> Duration {
        if !waits {
            self.0 = None;
            return Duration::ZERO;
        }
        let new = PositionRange {
            low: position.clone(),
            high: position,
            since: now,
        };
        let known = self.0.get_or_insert_with(|| new.clone());
        if new.low < known.low {
            known.low = new.low;
        } else if new.low > known.low && new.high != known.high {
            *known = new;
        }
        now.saturating_sub(known.since)
    }
}

/// A value per key, forgotten once the key is not visited any more.
#[derive(Debug)]
pub struct PlaceMap<K, T> {
    known: HashMap<K, (T, u64)>,
    round: u64,
    kept: u64,
}

impl<K, T> Default for PlaceMap<K, T> {
    fn default() -> Self {
        Self::kept_for(0)
    }
}

impl<K, T> PlaceMap<K, T> {
    /// Values that are kept for this number of rounds without a visit.
    #[must_use]
    pub fn kept_for(rounds: u64) -> Self {
        Self {
            known: HashMap::new(),
            round: 0,
            kept: rounds,
        }
    }
}

impl<K: Eq + Hash, T: Default> PlaceMap<K, T> {
    /// Visits a key and returns its value.
    pub fn at(&mut self, place: K) -> &mut T {
        let (known, round) = self.known.entry(place).or_default();
        *round = self.round;
        known
    }

    /// Ends a round: all keys were visited.
    pub fn next_round(&mut self) {
        let (current, kept) = (self.round, self.kept);
        self.known.retain(|_, (_, round)| *round + kept >= current);
        self.round += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_oldest_of_a_queue_is_as_old_as_the_first_look_that_saw_it() {
        let mut oldest = QueueAge::default();
        assert_eq!(oldest.look(s(0), 0, 0), s(0));
        assert_eq!(oldest.look(s(1), 5, 0), s(0));
        assert_eq!(oldest.look(s(3), 9, 4), s(2), "the fifth was seen at 1");
        assert_eq!(oldest.look(s(4), 9, 5), s(1), "the sixth was seen at 3");
        assert_eq!(oldest.look(s(9), 9, 9), s(0));
        // A queue that is worked off as fast as it grows is not old.
        for second in 10..5_000 {
            let age = oldest.look(s(second), second * 100, (second - 2) * 100);
            assert!(age <= s(2), "{age:?}");
        }
    }

    #[test]
    fn the_age_of_a_long_standstill_needs_a_bounded_number_of_marks() {
        let mut oldest = QueueAge::default();
        for second in 0..100_000 {
            assert_eq!(oldest.look(s(second), 1 + second, 0), s(second));
        }
        assert!(oldest.marks.len() <= MARKS);
    }

    #[test]
    fn counters_that_begin_again_do_not_look_old() {
        let mut oldest = QueueAge::default();
        oldest.look(s(0), 100, 90);
        assert_eq!(oldest.look(s(5), 3, 3), s(0));
        assert_eq!(oldest.look(s(6), 4, 3), s(0));
    }

    #[test]
    fn a_position_is_still_only_while_something_waits() {
        let mut still = Standstill::default();
        assert_eq!(still.look(s(1), 7, false), s(0));
        assert_eq!(still.look(s(5), 7, true), s(0), "it has just come");
        assert_eq!(still.look(s(8), 7, true), s(3));
        assert_eq!(still.look(s(9), 8, true), s(0), "it makes steps");
        assert_eq!(still.look(s(12), 8, false), s(0));
    }

    #[test]
    fn a_position_that_goes_back_is_no_step_and_neither_is_its_return() {
        let mut still = Standstill::default();
        still.look(s(0), 7, true);
        for second in 1..20 {
            let position = 5 + 2 * i64::from(second % 2 == 0);
            let age = still.look(s(second), position, true);
            assert_eq!(age, s(second), "brokers come and go");
        }
        assert_eq!(still.look(s(20), 8, true), s(0));
        // Of a topic that is recreated and read from its beginning.
        assert_eq!(still.look(s(21), 0, true), s(1));
        assert_eq!(still.look(s(22), 1, true), s(0));
        assert_eq!(still.look(s(23), 2, true), s(0));
    }

    #[test]
    fn timers_that_are_decided_one_after_the_other_make_steps() {
        let mut still = Standstill::default();
        let mut look =
            |second, due: u64, key: &str| still.look(s(second), (due, key.to_owned()), true);
        assert_eq!(look(0, 5, "a"), s(0));
        assert_eq!(look(200, 5, "b"), s(0), "due at the same time");
        assert_eq!(look(400, 6, "a"), s(0));
        assert_eq!(look(500, 6, "a"), s(100));
    }

    #[test]
    fn places_that_are_gone_are_forgotten() {
        let mut places = PlaceMap::<u8, Standstill>::default();
        places.at(1).look(s(0), 5, true);
        places.at(2).look(s(0), 5, true);
        places.next_round();
        places.at(1);
        places.next_round();
        assert_eq!(places.known.len(), 1);
        assert_eq!(places.at(1).look(s(4), 5, true), s(4));
        // A partition is unknown for a moment while its client is recreated.
        let mut places = PlaceMap::<u8, Standstill>::kept_for(2);
        places.at(1).look(s(0), 5, true);
        for _ in 0..3 {
            places.next_round();
        }
        assert_eq!(places.at(1).look(s(3), 5, true), s(3));
        for _ in 0..4 {
            places.next_round();
        }
        assert_eq!(places.at(1).look(s(9), 5, true), s(0));
    }
}
