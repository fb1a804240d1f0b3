//! The keys that wait for another attempt.
//!
//! A message that asks for a later attempt holds back those of its key that come after it (invariant
//! 4), and no others. How many wait is bounded by the windows of the partitions they came from.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use super::turn::Turn;

/// The keys that wait, and what waits for each.
#[derive(Default)]
pub struct Parked {
    keys: HashMap<String, Waiting>,
    due: BTreeSet<(Instant, String)>,
}

struct Waiting {
    until: Instant,
    turns: VecDeque<Turn>,
}

impl Parked {
    /// Whether this key waits.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        !self.keys.is_empty() && self.keys.contains_key(key)
    }

    /// Puts a turn behind those of its key that wait already. The key must wait.
    pub fn queue(&mut self, key: &str, turn: Turn) {
        if let Some(waiting) = self.keys.get_mut(key) {
            waiting.turns.push_back(turn);
        }
    }

    /// Makes a key wait, with this turn as its first, before any that wait already.
    pub fn park(&mut self, key: String, turn: Turn, until: Instant) {
        self.due.insert((until, key.clone()));
        match self.keys.get_mut(&key) {
            Some(waiting) => {
                self.due.remove(&(waiting.until, key));
                waiting.until = until;
                waiting.turns.push_front(turn);
            }
            None => {
                self.keys.insert(
                    key,
                    Waiting {
                        until,
                        turns: VecDeque::from([turn]),
                    },
                );
            }
        }
    }

    /// When the next key has waited long enough.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(until, _)| *until)
    }

    /// Takes the turns of a key that has waited long enough, in order. The key waits no more.
    pub fn take_due(&mut self, now: Instant) -> Option<VecDeque<Turn>> {
        let (until, _) = self.due.first()?;
        if *until > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.keys.remove(&key).map(|waiting| waiting.turns)
    }
}
