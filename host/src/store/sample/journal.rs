//! A sample of recorded decisions: some of each kind of message, on existing and on missing
//! aggregates.
//!
//! The journal is in the order of its commits and has no index by name. Its end and places spread
//! over it are read; messages that were not found there but are known from the tallies are searched
//! around the time of their last decision.

use std::collections::BTreeSet;

use super::Recorded;
use super::bounds::{Patience, SampleRoom};
use super::choose::{Ranking, choose};
use crate::store::decisions::{at_time, stretches};

/// Decisions read at the end of the journal.
pub(in crate::store) const LATEST: i64 = 10_000;

/// Places before that, and decisions read at each.
pub(in crate::store) const PLACES: i64 = 15;
pub(in crate::store) const STRETCH: i64 = 500;

/// Most numbers of the journal that are read at once.
const AT_ONCE: i64 = 250;

/// Most names searched by the time of their last decision.
const SOUGHT: usize = 32;

/// A decision that was read.
pub(in crate::store) struct SeenDecision {
    /// Its number.
    pub(in crate::store) seq: i64,
    /// The word of the message's origin.
    pub(in crate::store) origin: &'static str,
    /// Name of the message.
    pub(in crate::store) name: String,
    /// True if the aggregate had no state.
    pub(in crate::store) is_on_nothing: bool,
    /// Bytes of state and decision.
    pub(in crate::store) bytes: usize,
}

/// The recorded decisions of one participant in an engine.
pub(in crate::store) trait JournalRows {
    /// The engine's error.
    type Error;

    /// Numbers of the first and the last decision of the journal.
    fn bounds(&mut self) -> Result<Option<(i64, i64)>, Self::Error>;

    /// The decisions with these numbers, latest first. Unreadable ones are left out.
    fn seen(&mut self, from: i64, to: i64) -> Result<Vec<SeenDecision>, Self::Error>;

    /// The messages that were decided: origin, name, and when the last one was.
    fn decided(&mut self) -> Result<Vec<(String, String, i64)>, Self::Error>;

    /// Time of the first decision of the journal from this number on.
    fn time_from(&mut self, seq: i64) -> Result<Option<i64>, Self::Error>;

    /// A decision and its bytes. None if it was deleted meanwhile, or can't be read.
    fn read(&mut self, seq: i64) -> Result<Option<(Recorded, usize)>, Self::Error>;
}

/// Recorded decisions of a participant, latest first, at most `most`. If there are more: for each
/// kind of message, on existing and on missing aggregates, the latest, oldest and largest, and some
/// between them.
pub(in crate::store) fn recorded<R: JournalRows>(
    rows: &mut R,
    most: usize,
) -> Result<Vec<Recorded>, R::Error> {
    let Some((first, last)) = rows.bounds()?.filter(|_| most > 0) else {
        return Ok(Vec::new());
    };
    let mut look = JournalLook {
        rows,
        seen: Vec::new(),
        looked_at: BTreeSet::new(),
        patience: Patience::begin(),
    };
    let latest = (last - LATEST + 1).max(first);
    look.at(latest, last)?;
    for place in (0..PLACES).rev() {
        let from = first + (latest - first) / PLACES * place;
        look.at(from, (from + STRETCH).min(latest) - 1)?;
    }
    look.for_what_is_missing(first, last)?;
    let mut seen = look.seen;
    seen.sort_by_key(|seen| std::cmp::Reverse(seen.seq));
    let rankings: [Ranking<SeenDecision>; 3] = [
        |one, other| other.seq.cmp(&one.seq),
        |one, other| one.seq.cmp(&other.seq),
        |one, other| other.bytes.cmp(&one.bytes),
    ];
    let kind = |seen: &SeenDecision| (seen.origin, seen.name.clone(), seen.is_on_nothing);
    let chosen = choose(seen, most, kind, &rankings);
    let mut room = SampleRoom::new();
    let mut recorded = Vec::with_capacity(chosen.len());
    for seen in chosen {
        let read = rows.read(seen.seq)?;
        let fitting = read.filter(|(_, bytes)| room.takes(*bytes));
        recorded.extend(fitting.map(|(recorded, _)| recorded));
    }
    Ok(recorded)
}

struct JournalLook<'r, R> {
    rows: &'r mut R,
    seen: Vec<SeenDecision>,
    looked_at: BTreeSet<i64>,
    patience: Patience,
}

impl<R: JournalRows> JournalLook<'_, R> {
    /// Reads a range of the journal, latest first.
    fn at(&mut self, from: i64, to: i64) -> Result<(), R::Error> {
        for (from, to) in stretches(from, to, AT_ONCE).rev() {
            if self.patience.is_over() {
                break;
            }
            let seen = self.rows.seen(from, to)?.into_iter();
            let looked_at = &mut self.looked_at;
            self.seen
                .extend(seen.filter(|seen| looked_at.insert(seen.seq)));
        }
        Ok(())
    }

    /// Searches the messages that were decided at some time and not found yet.
    fn for_what_is_missing(&mut self, first: i64, last: i64) -> Result<(), R::Error> {
        let met: BTreeSet<_> = (self.seen.iter())
            .map(|seen| (seen.origin.to_owned(), seen.name.clone()))
            .collect();
        let missing = (self.rows.decided()?.into_iter())
            .filter(|(origin, name, _)| !met.contains(&(origin.clone(), name.clone())));
        for (_, _, time) in missing.take(SOUGHT) {
            let about = at_time(time, (first, last), |seq| self.rows.time_from(seq))?;
            self.at(about - STRETCH, about + STRETCH)?;
        }
        Ok(())
    }
}
