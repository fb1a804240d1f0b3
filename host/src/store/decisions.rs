//! The recorded decisions of one participant, from one place of the journal to another, in the
//! order of their commits.
//!
//! A host may be running beside the reader. So a reader first asks for a [`JournalSpan`] and then
//! reads it in pages: each page is read at once, and nothing is held between two of them. Decisions
//! that are recorded meanwhile lie behind the span; those that are deleted meanwhile are missing.
//! [`each`] and [`each_page`] do that.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use saga_core::journal::{self, NotWhole};

use super::read::StoreResult;
use super::sample::Recorded;

/// Most decisions of a page; its bytes are bounded by the store.
const PAGE: usize = 500;

/// Which decisions of a participant are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionRange {
    /// Row of the participant.
    pub participant: i64,
    /// No decision before this time, in milliseconds since the Unix epoch. Where the clock was set
    /// back, decisions after that may be left out.
    pub since: Option<u64>,
    /// Only the last decisions, this many of those that pass everything else.
    pub last: Option<u64>,
    /// Only decisions on the aggregate of this key.
    pub key: Option<String>,
    /// Only decisions of the generation of this digest.
    pub generation: Option<String>,
}

/// A part of the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalSpan {
    /// Number of the last decision before it.
    pub after: i64,
    /// Number of its last decision.
    pub up_to: i64,
}

impl JournalSpan {
    /// The numbers in it: at least as many as the decisions of any participant in it.
    #[must_use]
    pub fn numbers(self) -> u64 {
        u64::try_from(self.up_to.saturating_sub(self.after)).unwrap_or(0)
    }
}

/// A row of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// Its number in the order of commits.
    pub seq: i64,
    /// Digest of the generation that decided.
    pub digest: String,
    /// Key of the aggregate.
    pub key: String,
    /// Revision of the aggregate, as the rules saw it.
    pub revision: u64,
    /// Fuel that the decision took.
    pub fuel: u64,
    /// Time of the decision, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The decision, or the reason why it can't be made again.
    pub recorded: Result<Recorded, NotWhole>,
}

/// A row of the journal as it is stored.
pub(crate) struct StoredDecision {
    pub(crate) seq: i64,
    pub(crate) key: String,
    pub(crate) revision: u64,
    pub(crate) fuel: u64,
    pub(crate) time: u64,
    pub(crate) state: Option<String>,
    /// The decision, unpacked, or the reason why it can't be.
    pub(crate) decision: Result<Vec<u8>, String>,
}

impl StoredDecision {
    /// The row; the decision was made by the generation of this digest and version of the state
    /// shape.
    pub(crate) fn by(self, (digest, state_version): &(String, u32)) -> JournalRow {
        let decoded = self.decision.map_err(NotWhole::Unreadable);
        let decoded = decoded.and_then(|plain| {
            journal::decode(&plain, (&self.key, self.time), self.state.as_deref())
        });
        JournalRow {
            seq: self.seq,
            digest: digest.clone(),
            key: self.key,
            revision: self.revision,
            fuel: self.fuel,
            time: self.time,
            recorded: decoded.map(|(message, outcome)| Recorded {
                digest: digest.clone(),
                state_version: *state_version,
                state: self.state,
                message,
                outcome,
            }),
        }
    }

    /// Bytes of state and decision.
    pub(super) fn bytes(&self) -> usize {
        let decision = self.decision.as_ref().map_or(0, Vec::len);
        self.state.as_ref().map_or(0, String::len) + decision
    }
}

/// Rows of the journal that one statement looks at (invariant 9).
pub(super) const LOOKED_AT: i64 = 20_000;

/// Bytes at which a page ends.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// Rows before the place of a time that are looked at too: entries may have overtaken others.
pub(super) const OVERTAKEN: i64 = 1_000;

/// The numbers from `first` to `last` as ranges of at most `most`, in order.
pub(super) fn stretches(
    first: i64,
    last: i64,
    most: i64,
) -> impl DoubleEndedIterator<Item = (i64, i64)> {
    let count = (last.saturating_sub(first) / most).saturating_add(1);
    let count = if first <= last { count } else { 0 };
    (0..count).map(move |stretch| {
        let from = first.saturating_add(stretch.saturating_mul(most));
        (from, last.min(from.saturating_add(most - 1)))
    })
}

/// The approximate position in the journal, between its first and its last number, at this time.
/// Its times rise, except for entries that overtook others and clocks that were set. `time_from`
/// reads the time of the first decision from a number on.
pub(super) fn at_time<E>(
    time: i64,
    (mut first, mut last): (i64, i64),
    mut time_from: impl FnMut(i64) -> Result<Option<i64>, E>,
) -> Result<i64, E> {
    while first < last {
        let middle = first + (last - first) / 2;
        if time_from(middle)?.is_some_and(|found| found < time) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    Ok(first)
}

/// Some decisions of a span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionPage {
    /// The decisions, in the order of their commits. They may be none, although more follow.
    pub rows: Vec<JournalRow>,
    /// Number of the last decision that was looked at: the rest of the span begins after it.
    pub read: i64,
}

/// Reads recorded decisions of a span in pages.
pub trait ReadDecisionPages {
    /// The first decisions of a span that pass `since`, `key` and `generation`, at most `most`; fewer if they are
    /// large, or lie behind many that are not wanted.
    fn decisions(
        &self,
        wanted: &DecisionRange,
        span: JournalSpan,
        most: usize,
    ) -> StoreResult<DecisionPage>;
}

/// Queries for recorded decisions.
pub trait ReadDecisions: ReadDecisionPages {
    /// The part of the journal that has all wanted decisions that are recorded by now. None if
    /// there are none.
    fn decisions_span(&self, wanted: &DecisionRange) -> StoreResult<Option<JournalSpan>>;

    /// Digests of the generations that made the wanted decisions of a span.
    fn deciding_generations(
        &self,
        wanted: &DecisionRange,
        span: JournalSpan,
    ) -> StoreResult<BTreeSet<String>>;
}

/// Passes the wanted decisions that are recorded by now, in the order of their commits, until `on`
/// breaks.
///
/// # Errors
/// The journal can't be read.
pub fn each<B>(
    reading: &dyn ReadDecisions,
    wanted: &DecisionRange,
    on: impl FnMut(JournalRow) -> ControlFlow<B>,
) -> StoreResult<ControlFlow<B>> {
    match reading.decisions_span(wanted)? {
        Some(span) => each_of_span(reading, wanted, span, on),
        None => Ok(ControlFlow::Continue(())),
    }
}

/// Passes the wanted decisions of a span as [`each`] does.
///
/// # Errors
/// The journal can't be read.
pub fn each_of_span<B>(
    reading: &dyn ReadDecisionPages,
    wanted: &DecisionRange,
    span: JournalSpan,
    mut on: impl FnMut(JournalRow) -> ControlFlow<B>,
) -> StoreResult<ControlFlow<B>> {
    each_page(reading, wanted, span, |page| {
        page.rows.into_iter().try_for_each(&mut on)
    })
}

/// Passes the wanted decisions of a span in pages, until `on` breaks.
///
/// # Errors
/// The journal can't be read.
pub fn each_page<B>(
    reading: &dyn ReadDecisionPages,
    wanted: &DecisionRange,
    mut span: JournalSpan,
    mut on: impl FnMut(DecisionPage) -> ControlFlow<B>,
) -> StoreResult<ControlFlow<B>> {
    while span.numbers() > 0 {
        let page = reading.decisions(wanted, span, PAGE)?;
        span.after = page.read;
        if let ControlFlow::Break(end) = on(page) {
            return Ok(ControlFlow::Break(end));
        }
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_all_numbers_once() {
        let of = |first, last, most| stretches(first, last, most).collect::<Vec<_>>();
        assert_eq!(of(1, 10, 4), [(1, 4), (5, 8), (9, 10)]);
        assert_eq!(of(1, 8, 4), [(1, 4), (5, 8)]);
        assert_eq!(of(7, 7, 4), [(7, 7)]);
        assert_eq!(of(8, 7, 4), []);
        assert_eq!(of(5, 9, i64::MAX), [(5, 9)]);
        assert_eq!(stretches(1, 10, 4).next_back(), Some((9, 10)));
    }
}
