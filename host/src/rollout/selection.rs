//! The recorded decisions of a participant that an operator selects.

use crate::base::clock::now_ms;
use crate::store::{DecisionRange, ReadStore, StoreResult};

/// Which decisions are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only decisions of the last milliseconds, this many.
    pub since_ms: Option<u64>,
    /// Only the last decisions, this many.
    pub last: Option<u64>,
    /// Only decisions on the aggregate of this key.
    pub key: Option<String>,
}

impl Selection {
    /// The same in a store, of the participant in this row; by the time by which the store deletes
    /// decisions.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn range(&self, reading: &dyn ReadStore, participant: i64) -> StoreResult<DecisionRange> {
        let now = reading.trusted_now(now_ms())?;
        Ok(DecisionRange {
            participant,
            since: self.since_ms.map(|since| now.saturating_sub(since)),
            last: self.last,
            key: self.key.clone(),
            generation: None,
        })
    }
}
