//! Changes of the aggregates of a list, in the order of their commits.
//!
//! They are read from the journal, which has a row for each decision: its position in the order of
//! commits, and the state before it. So a reader needs no memory of what was in the list: a
//! position is enough to go on, also after a restart, for as long as the journal has that row.

use std::collections::HashMap;

use saga_contract::listing::FilterValue;

use super::read::StoreResult;

/// A place in the journal: that of the last decision before it. The default is the place before
/// the first one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalPosition {
    /// Number of the decision; 0 for the place before the first one.
    pub seq: i64,
    /// Its time, in milliseconds since the Unix epoch. Numbers may be given again after the last
    /// decision was deleted: the time tells that.
    pub time: u64,
}

/// A request for changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesWanted {
    /// Row of the participant.
    pub participant: i64,
    /// JSON pointers into the state, and the values that the list requires.
    pub filters: Vec<(String, FilterValue)>,
    /// The place after which the changes begin.
    pub after: JournalPosition,
}

/// Aggregates that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListChanges {
    /// Those that are in the list, or were at some time since the requested place. Each once, in
    /// the order of their first changes.
    pub changed: Vec<ChangedItem>,
    /// The place up to which decisions were read.
    pub read: JournalPosition,
    /// True if there were no further decisions.
    pub is_all: bool,
}

/// An aggregate that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedItem {
    /// Its key.
    pub key: String,
    /// The place of its first change. A reader that knows the aggregates up to this one may go on
    /// there.
    pub position: JournalPosition,
    /// True if its committed state is in the list now.
    pub is_in: bool,
    /// True if its state before one of the decisions was in the list, or is not kept.
    pub was_in: bool,
}

/// Most decisions that one query reads (invariant 9).
pub(super) const DECISIONS: usize = 1_000;

/// A decision after the place from which changes are wanted.
pub(super) struct SeenDecision {
    /// Its place.
    pub(super) position: JournalPosition,
    /// The change. None if it is another participant's, or left the state as it was.
    pub(super) change: Option<SeenChange>,
}

/// A change of an aggregate.
pub(super) struct SeenChange {
    /// Key of the aggregate.
    pub(super) key: String,
    /// True if its committed state is in the list now.
    pub(super) is_in: bool,
    /// True if its state before the decision was in the list.
    pub(super) was_in: bool,
}

impl ListChanges {
    /// The changes of the next [`DECISIONS`] decisions after a place, or of all if there are fewer.
    pub(super) fn of<E>(
        after: JournalPosition,
        decisions: impl IntoIterator<Item = Result<SeenDecision, E>>,
    ) -> Result<Self, E> {
        let mut changes = Self {
            read: after,
            ..Self::default()
        };
        let mut count = 0;
        let mut places: HashMap<String, usize> = HashMap::new();
        for decision in decisions {
            let SeenDecision { position, change } = decision?;
            count += 1;
            changes.read = position;
            let Some(change) = change else {
                continue;
            };
            let known = places.get(&change.key);
            if let Some(known) = known.and_then(|at| changes.changed.get_mut(*at)) {
                known.was_in |= change.was_in;
                continue;
            }
            places.insert(change.key.clone(), changes.changed.len());
            changes.changed.push(ChangedItem {
                key: change.key,
                position,
                is_in: change.is_in,
                was_in: change.was_in,
            });
        }
        changes.changed.retain(|one| one.is_in || one.was_in);
        changes.is_all = count < DECISIONS;
        Ok(changes)
    }
}

/// Queries for the changes of lists.
pub trait ReadListChanges {
    /// The place after the last decision.
    fn journal_end(&self) -> StoreResult<JournalPosition>;

    /// The next aggregates of a list that changed. None if the journal has no such place: its row
    /// was deleted, or it is of another journal.
    fn list_changes(&self, wanted: &ChangesWanted) -> StoreResult<Option<ListChanges>>;
}
