//! The recorded decisions of one participant, from one place of the journal to another, in the
//! order of their commits.
//!
//! A host may be running beside the reader. So a reader first asks for a [`JournalSpan`] and then
//! reads it in pages: each page is read at once, and nothing is held between two of them. Decisions
//! that are recorded meanwhile lie behind the span; those that are deleted meanwhile are missing.

use super::read::StoreResult;
use super::sample::Recorded;

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
    /// Key of the aggregate.
    pub key: String,
    /// Revision of the aggregate, as the rules saw it.
    pub revision: u64,
    /// Fuel that the decision took.
    pub fuel: u64,
    /// Time of the decision, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The decision, or the reason why it can't be read.
    pub recorded: Result<Recorded, String>,
}

/// Some decisions of a span.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionPage {
    /// The decisions, in the order of their commits. They may be none, although more follow.
    pub rows: Vec<JournalRow>,
    /// Number of the last decision that was looked at: the rest of the span begins after it.
    pub read: i64,
}

/// Queries for recorded decisions.
pub trait ReadDecisions {
    /// The part of the journal that has all wanted decisions that are recorded by now. None if
    /// there are none.
    fn decisions_span(&self, wanted: &DecisionRange) -> StoreResult<Option<JournalSpan>>;

    /// The first decisions of a span that pass `since` and `key`, at most `most`; fewer if they are
    /// large, or lie behind many that are not wanted.
    fn decisions(
        &self,
        wanted: &DecisionRange,
        span: JournalSpan,
        most: usize,
    ) -> StoreResult<DecisionPage>;
}
