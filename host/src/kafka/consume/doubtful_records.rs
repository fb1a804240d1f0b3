//! Which records of a topic were read before it was known to be another one.
//!
//! Between two look-ups of the id (`topic_identity`), a topic may be deleted and created again, and records of the new one be delivered as if they
//! were of the old one. When that is noticed, the new one is read from its beginning, and they come again. A record without an id
//! of its own is known by its topic and offset; to be known again, these must keep those that they were delivered under. Records
//! of the old topic that were delivered since the last look have offsets too that come again, as other records. So each
//! is remembered with a hash of what was in it.
//!
//! They are kept in memory: of a host that is killed between the two, such records count twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::base::session::Proof;

/// Records of a partition that may be delivered between two looks.
const PRINTS: usize = 16_384;

/// The records of a partition that need a second look.
#[derive(Debug, Default)]
pub(super) struct DoubtfulRecords {
    /// Delivered since the last look.
    recent: VecDeque<(i64, Proof)>,
    /// Delivered between the last two looks: the broker that was asked may have heard of a change later than the one that is read.
    before: VecDeque<(i64, Proof)>,
    /// Delivered before it was known that the topic is another one; of which it was thought to be.
    mistaken: HashMap<i64, Proof>,
    taken_for: Option<Arc<str>>,
}

impl DoubtfulRecords {
    /// Whether there has to be a look before any more are delivered.
    pub(super) fn is_full(&self) -> bool {
        self.recent.len() >= PRINTS
    }

    /// Whether any were delivered since the last look.
    pub(super) fn has_recent(&self) -> bool {
        !self.recent.is_empty()
    }

    /// A record is delivered. Beyond the bound, the oldest is forgotten.
    pub(super) fn note(&mut self, offset: i64, proof: Proof) {
        if self.is_full() {
            self.recent.pop_front();
        }
        self.recent.push_back((offset, proof));
    }

    /// It is the same topic.
    pub(super) fn is_same(&mut self) {
        self.before = std::mem::take(&mut self.recent);
    }

    /// It is another topic, and may have been when these were delivered, as of the topic `taken_for`.
    pub(super) fn is_another(&mut self, taken_for: Option<Arc<str>>) {
        let before = std::mem::take(&mut self.before);
        self.mistaken = before.into_iter().chain(self.recent.drain(..)).collect();
        self.taken_for = taken_for;
    }

    /// What sets apart the position of a record in the topic `now`.
    pub(super) fn incarnation(
        &self,
        now: Option<&Arc<str>>,
        offset: i64,
        proof: Proof,
    ) -> Option<Arc<str>> {
        if self.mistaken.get(&offset) == Some(&proof) {
            self.taken_for.clone()
        } else {
            now.cloned()
        }
    }
}

#[cfg(test)]
mod tests {
    use saga_core::record::Attributes;

    use super::super::record_proof::proof;
    use super::*;

    fn of(text: &str) -> Proof {
        proof(Some(1), None, Some(text.as_bytes()), &Attributes::default())
    }

    #[test]
    fn what_was_delivered_before_the_change_was_noticed_keeps_its_name() {
        let (first, second): (Arc<str>, Arc<str>) = ("first".into(), "second".into());
        let mut doubtful = DoubtfulRecords::default();
        doubtful.note(2, of("old, and known to be"));
        doubtful.is_same();
        assert!(!doubtful.has_recent());
        doubtful.note(3, of("old, by a broker that may not know"));
        doubtful.is_same();
        doubtful.note(4, of("old"));
        doubtful.note(5, of("new"));
        doubtful.is_another(Some(first.clone()));
        let incarnation = |offset, text| doubtful.incarnation(Some(&second), offset, of(text));
        assert_eq!(incarnation(5, "new"), Some(first.clone()));
        assert_eq!(
            incarnation(3, "old, by a broker that may not know"),
            Some(first)
        );
        // Another record in the place of one of the old topic is no repetition of it.
        assert_eq!(incarnation(4, "new too"), Some(second.clone()));
        assert_eq!(incarnation(2, "old, and known to be"), Some(second.clone()));
        assert_eq!(incarnation(0, "new"), Some(second.clone()));
    }

    #[test]
    fn invariant_9_what_is_remembered_is_bounded() {
        let mut doubtful = DoubtfulRecords::default();
        for offset in 0..=PRINTS as i64 {
            doubtful.note(offset, of("x"));
        }
        assert!(doubtful.is_full());
        doubtful.is_another(None);
        assert_eq!(doubtful.mistaken.len(), PRINTS);
        assert!(!doubtful.mistaken.contains_key(&0));
    }
}
