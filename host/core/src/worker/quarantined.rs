//! The quarantined keys of a worker: only a turn on one of these has a quarantine to lift.

use std::collections::HashMap;

/// Most keys that one worker remembers. Beyond it, each turn checks for a quarantine to lift.
pub const MOST: usize = 10_000;

/// The keys whose aggregates are quarantined.
#[derive(Debug, Default)]
pub struct QuarantinedKeys {
    /// Each with the ticket of the last entry that lifts its quarantine.
    keys: HashMap<String, Option<u64>>,
    /// True if there are others.
    has_more: bool,
}

impl QuarantinedKeys {
    /// The worker's own keys among these. If more than [`MOST`] are given, the list is incomplete.
    #[must_use]
    pub fn new(stored: &[String], is_own: impl Fn(&str) -> bool) -> Self {
        let own = stored.iter().filter(|key| is_own(key));
        Self {
            keys: own.map(|key| (key.clone(), None)).collect(),
            has_more: stored.len() > MOST,
        }
    }

    /// Adds the key of an aggregate that is quarantined.
    pub(super) fn put(&mut self, key: &str) {
        if self.keys.len() < MOST || self.keys.contains_key(key) {
            self.keys.insert(key.to_owned(), None);
        } else {
            self.has_more = true;
        }
    }

    /// True if the aggregate of this key may be quarantined.
    pub(super) fn may_hold(&self, key: &str) -> bool {
        self.has_more || self.keys.contains_key(key)
    }

    /// True if the entry with this ticket, which decides on an aggregate, must lift its quarantine.
    pub(super) fn lifts(&mut self, key: &str, ticket: u64, committed: u64) -> bool {
        if self.keys.is_empty() {
            return self.has_more;
        }
        match self.keys.get_mut(key) {
            None => self.has_more,
            Some(Some(lifted)) if *lifted <= committed => {
                self.keys.remove(key);
                self.has_more
            }
            Some(lifted) => {
                *lifted = Some(ticket);
                true
            }
        }
    }

    /// Takes in that the entry with this ticket, and those that were decided on it, were not
    /// written: they lift nothing.
    pub(super) fn broke(&mut self, key: &str, ticket: u64) {
        if let Some(lifted) = self.keys.get_mut(key) {
            *lifted = lifted.filter(|lifted| *lifted < ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_turns_on_a_quarantined_aggregate_lift_it_until_that_is_committed() {
        let stored = ["a".to_owned(), "b".to_owned()];
        let mut keys = QuarantinedKeys::new(&stored, |key| key == "a");
        assert!(!keys.lifts("b", 1, 0), "of another worker");
        assert!(keys.lifts("a", 2, 0) && keys.lifts("a", 3, 1));
        assert!(!keys.lifts("a", 4, 3));
        keys.put("c");
        assert!(!keys.lifts("a", 5, 4));
        assert!(keys.lifts("c", 6, 5));
        // It was void.
        keys.broke("c", 6);
        assert!(keys.lifts("c", 9, 8));
    }

    #[test]
    fn invariant_9_beyond_what_is_remembered_every_turn_looks() {
        let mut keys = QuarantinedKeys::default();
        for number in 0..=MOST {
            assert!(!keys.lifts("other", 1, 0));
            keys.put(&number.to_string());
        }
        assert!(keys.lifts("other", 1, 0));
        assert_eq!(keys.keys.len(), MOST);
    }
}
