//! Figures for metrics: the extents of partitions, and the records that this host never received.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::transport::{Extent, Missed, Source, WHY_MISSED};

/// The known extents, by consumer and row of the topic.
#[derive(Default)]
pub(crate) struct Extents(Mutex<HashMap<SourceKey, Vec<Extent>>>);

type SourceKey = (Arc<str>, i64);

impl Extents {
    /// Replaces the known extents of a source's partitions.
    pub(super) fn note(&self, source: &Source, extents: Vec<Extent>) {
        let key = (source.consumer.clone(), source.topic_row);
        let mut known = self.0.lock();
        match extents.is_empty() {
            true => known.remove(&key),
            false => known.insert(key, extents),
        };
    }

    pub(crate) fn of(&self, source: &Source) -> Vec<Extent> {
        let key = (source.consumer.clone(), source.topic_row);
        let known = self.0.lock();
        known.get(&key).cloned().unwrap_or_default()
    }
}

/// Deleted before they were read, by retention or by hand.
pub(super) const DELETED: &str = WHY_MISSED[0];
/// Offsets missing in a compacted topic.
pub(super) const COMPACTED: &str = WHY_MISSED[1];
/// Records before the offset at which the group started.
pub(super) const BEFORE_FIRST: &str = WHY_MISSED[2];

/// Numbers of missed records by topic, group and reason: at most three entries for each source.
#[derive(Debug, Default)]
pub(crate) struct MissedRecords(Mutex<BTreeMap<MissedKey, u64>>);

type MissedKey = (Arc<str>, Arc<str>, &'static str);

impl MissedRecords {
    pub(super) fn add(&self, source: &Source, why: &'static str, records: i64) {
        let mut missed = self.0.lock();
        let key = (source.topic.clone(), source.group.clone(), why);
        *missed.entry(key).or_default() += u64::try_from(records).unwrap_or(0);
    }

    /// All entries since the start.
    pub(crate) fn all(&self) -> Vec<Missed> {
        let missed = self.0.lock();
        let each = missed.iter().map(|((topic, group, why), records)| Missed {
            topic: topic.clone(),
            group: group.clone(),
            why,
            records: *records,
        });
        each.collect()
    }
}
