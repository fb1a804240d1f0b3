//! The sums of tallies that are not written yet.

use saga_core::message::Origin;

use crate::store::tally::{Tally, Verdict};

/// Unwritten sums. There are few names, so a list is faster than a map.
#[derive(Debug, Default)]
pub(in crate::store) struct Tallies(Vec<Sum>);

/// The sums of one message of one generation.
#[derive(Debug)]
pub(in crate::store) struct Sum {
    pub(in crate::store) generation: i64,
    pub(in crate::store) origin: Origin,
    pub(in crate::store) name: String,
    pub(in crate::store) decisions: i64,
    pub(in crate::store) refusals: i64,
    pub(in crate::store) faults: i64,
    /// When it was last asked, in milliseconds since the Unix epoch.
    pub(in crate::store) last: u64,
}

impl Tallies {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::store) fn clear(&mut self) {
        self.0.clear();
    }

    pub(in crate::store) fn add(&mut self, tally: &Tally) {
        let sum = self.sum_of(tally.generation, tally.origin, &tally.name);
        sum.last = sum.last.max(tally.time);
        match tally.verdict {
            Verdict::Decided => sum.decisions += 1,
            Verdict::Refused => {
                sum.decisions += 1;
                sum.refusals += 1;
            }
            Verdict::Fault => sum.faults += 1,
            Verdict::Read => {}
        }
    }

    /// Adds a sum of others.
    pub(in crate::store) fn add_sum(&mut self, other: &Sum) {
        let sum = self.sum_of(other.generation, other.origin, &other.name);
        sum.last = sum.last.max(other.last);
        sum.decisions += other.decisions;
        sum.refusals += other.refusals;
        sum.faults += other.faults;
    }

    fn sum_of(&mut self, generation: i64, origin: Origin, name: &str) -> &mut Sum {
        let known = self.0.iter().position(|sum| {
            sum.generation == generation && sum.origin == origin && sum.name == name
        });
        let place = known.unwrap_or(self.0.len());
        if known.is_none() {
            self.0.push(Sum {
                generation,
                origin,
                name: name.to_owned(),
                decisions: 0,
                refusals: 0,
                faults: 0,
                last: 0,
            });
        }
        match self.0.get_mut(place) {
            Some(sum) => sum,
            None => unreachable!("it was found or added"),
        }
    }

    /// The sums.
    pub(in crate::store) fn sums(&self) -> &[Sum] {
        &self.0
    }
}
