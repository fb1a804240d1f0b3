//! How often each build was asked what, and what came of it.
//!
//! What an entry holds is counted in its transaction, so decisions and refusals are exact. What leaves
//! nothing to commit (a read, a command on which the rules broke) is counted with the next commit,
//! or soon; a crash may lose the last of it.

use rusqlite::{Connection, params};
pub use saga_core::commit::{Tally, Verdict};
use saga_core::message::Origin;

/// Sums that are not written yet. A handful of names, so a list is quicker than a map.
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
                word(sum.origin),
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

/// How an origin is called in the table.
pub(super) fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::Command => "command",
        Origin::Event => "event",
        Origin::Timer => "timer",
    }
}
