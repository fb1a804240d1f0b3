//! The table of tallies.

use rusqlite::{Connection, params};
use saga_core::message::Origin;

pub(super) use crate::store::tally::Tally;
use crate::store::tally::Verdict;

/// Unwritten sums. There are few names, so a list is faster than a map.
#[derive(Debug, Default)]
pub(super) struct Tallies(Vec<Sum>);

#[derive(Debug)]
struct Sum {
    generation: i64,
    origin: Origin,
    name: String,
    decisions: i64,
    refusals: i64,
    faults: i64,
    last: u64,
}

impl Tallies {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn add(&mut self, tally: &Tally) {
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

    /// Adds the sums to those in the table.
    pub(super) fn flush(&self, sql: &Connection) -> rusqlite::Result<()> {
        for sum in &self.0 {
            sql.prepare_cached(
                "INSERT INTO tallies (generation, origin, name, decisions, refusals, faults, last)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO UPDATE SET decisions = decisions + excluded.decisions,
                     refusals = refusals + excluded.refusals, faults = faults + excluded.faults,
                     last = max(last, excluded.last)",
            )?
            .execute(params![
                sum.generation,
                sum.origin.word(),
                sum.name,
                sum.decisions,
                sum.refusals,
                sum.faults,
                sum.last as i64
            ])?;
        }
        Ok(())
    }
}
