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
        let known = self.0.iter().position(|sum| {
            sum.generation == tally.generation
                && sum.origin == tally.origin
                && sum.name == tally.name
        });
        if known.is_none() {
            self.0.push(Sum {
                generation: tally.generation,
                origin: tally.origin,
                name: tally.name.clone(),
                decisions: 0,
                refusals: 0,
                faults: 0,
                last: 0,
            });
        }
        let place = known.unwrap_or(self.0.len() - 1);
        if let Some(sum) = self.0.get_mut(place) {
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
    }

    /// The sums.
    pub(in crate::store) fn sums(&self) -> &[Sum] {
        &self.0
    }
}
