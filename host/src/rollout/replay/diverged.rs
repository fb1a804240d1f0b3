//! The states of a counterfactual run that are not the recorded ones.
//!
//! An aggregate whose state is the recorded one takes no memory: the next recorded decision has it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes of all states of a run, with their keys (invariant 9).
pub(super) const MOST: usize = 512 << 20;

/// Bytes that an entry of the map takes besides its texts.
const ENTRY: usize = 96;

/// The states of one thread's aggregates, in the shape of the candidate.
pub(super) struct Diverged<'r> {
    /// None for an aggregate that does not exist.
    states: HashMap<String, Option<Box<str>>>,
    /// Bytes of all threads.
    bytes: &'r AtomicUsize,
}

impl<'r> Diverged<'r> {
    pub(super) fn new(bytes: &'r AtomicUsize) -> Self {
        Self {
            states: HashMap::new(),
            bytes,
        }
    }

    /// The state of an aggregate, if it is not the recorded one.
    pub(super) fn state(&self, key: &str) -> Option<Option<&str>> {
        self.states.get(key).map(Option::as_deref)
    }

    /// Keeps the state that a decision left, if the recorded one left another. False if there is no
    /// room for it.
    pub(super) fn leave(&mut self, key: &str, own: Option<&str>, recorded: Option<&str>) -> bool {
        if own == recorded {
            if let Some(state) = self.states.remove(key) {
                self.bytes
                    .fetch_sub(size(key, state.as_deref()), Ordering::Relaxed);
            }
            return true;
        }
        let added = size(key, own);
        match self.states.get_mut(key) {
            Some(state) => {
                let before = size(key, state.as_deref());
                *state = own.map(Box::from);
                self.bytes.fetch_sub(before, Ordering::Relaxed);
            }
            None => {
                self.states.insert(key.to_owned(), own.map(Box::from));
            }
        }
        self.bytes.fetch_add(added, Ordering::Relaxed) + added <= MOST
    }
}

fn size(key: &str, state: Option<&str>) -> usize {
    ENTRY + key.len() + state.map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_states_that_differ_take_room() {
        let bytes = AtomicUsize::new(0);
        let mut diverged = Diverged::new(&bytes);
        assert!(diverged.leave("a", Some("1"), Some("1")));
        assert_eq!(
            (diverged.state("a"), bytes.load(Ordering::Relaxed)),
            (None, 0)
        );
        assert!(diverged.leave("a", Some("12"), Some("1")));
        assert_eq!(diverged.state("a"), Some(Some("12")));
        assert!(diverged.leave("b", None, Some("1")));
        assert_eq!(diverged.state("b"), Some(None));
        assert_eq!(bytes.load(Ordering::Relaxed), 2 * (ENTRY + 1) + 2);
        assert!(diverged.leave("a", Some("1234"), None));
        assert!(diverged.leave("b", Some("1"), Some("1")));
        assert_eq!(bytes.load(Ordering::Relaxed), ENTRY + 1 + 4);
        bytes.store(MOST, Ordering::Relaxed);
        assert!(!diverged.leave("c", None, Some("1")));
    }
}
