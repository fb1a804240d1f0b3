//! Records that were never given to this host, by topic, group and reason: for the metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::transport::Missed;

/// Why records were never given to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// The broker deleted them before they were read: retention, or by hand.
    Deleted,
    /// Their offsets are missing in a compacted topic.
    Compacted,
    /// They were before the offset at which the group read for the first time.
    BeforeFirst,
}

impl Why {
    fn word(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Compacted => "compacted",
            Self::BeforeFirst => "before-first",
        }
    }
}

/// How many there were. Their number is that of the sources.
#[derive(Debug, Default)]
pub(crate) struct MissedRecords(Mutex<BTreeMap<Place, u64>>);

/// Topic, group and reason.
type Place = (Arc<str>, Arc<str>, Why);

impl MissedRecords {
    /// So many were never given to the host.
    pub(crate) fn add(&self, topic: &Arc<str>, group: &Arc<str>, why: Why, records: i64) {
        let records = u64::try_from(records).unwrap_or(0);
        let mut missed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *missed
            .entry((topic.clone(), group.clone(), why))
            .or_default() += records;
    }

    /// All of them since the start.
    pub(crate) fn all(&self) -> Vec<Missed> {
        let missed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = missed.iter();
        missed
            .map(|((topic, group, why), records)| Missed {
                topic: topic.clone(),
                group: group.clone(),
                why: why.word(),
                records: *records,
            })
            .collect()
    }
}
