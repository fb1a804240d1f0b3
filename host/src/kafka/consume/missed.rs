//! Records that were never given to this host, by topic, group and reason: for the metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::transport::{Missed, WHY_MISSED};

/// The broker deleted them before they were read: retention, or by hand.
pub(super) const DELETED: &str = WHY_MISSED[0];
/// Their offsets are missing in a compacted topic.
pub(super) const COMPACTED: &str = WHY_MISSED[1];
/// They were before the offset at which the group read for the first time.
pub(super) const BEFORE_FIRST: &str = WHY_MISSED[2];

/// Their numbers, by topic, group and reason. There are as many as sources, three times.
#[derive(Debug, Default)]
pub(crate) struct MissedRecords(Mutex<BTreeMap<Place, u64>>);

/// Topic, group and reason.
type Place = (Arc<str>, Arc<str>, &'static str);

impl MissedRecords {
    /// So many were never given to the host.
    pub(super) fn add(&self, topic: &Arc<str>, group: &Arc<str>, why: &'static str, records: i64) {
        let mut missed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = missed
            .entry((topic.clone(), group.clone(), why))
            .or_default();
        *known += u64::try_from(records).unwrap_or(0);
    }

    /// All of them since the start.
    pub(crate) fn all(&self) -> Vec<Missed> {
        let missed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let each = missed.iter().map(|((topic, group, why), records)| {
            let (topic, group) = (topic.clone(), group.clone());
            Missed {
                topic,
                group,
                why,
                records: *records,
            }
        });
        each.collect()
    }
}
