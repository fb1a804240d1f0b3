//! The keys that wait briefly for another attempt, and their turns, which wait in memory.
//!
//! A message that asks for a later attempt holds back later records and timers of its key
//! (invariant 4), and no others. Commands are let through, since one of them may end the wait. For
//! a longer wait, the messages are parked in the store ([`super::held`]). The number of turns that
//! wait here is bounded by the windows of their partitions.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::host::HostTypes;
use super::turn::Turn;

/// The waiting keys, each with its turns. Times are those since the start.
pub(super) struct WaitingKeys<H: HostTypes> {
    keys: HashMap<String, Waiting<H>>,
    due: BTreeSet<(Duration, String)>,
}

struct Waiting<H: HostTypes> {
    /// None while it waits for messages that are parked in the store.
    until: Option<Duration>,
    turns: VecDeque<Turn<H>>,
}

impl<H: HostTypes> Default for WaitingKeys<H> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            due: BTreeSet::new(),
        }
    }
}

impl<H: HostTypes> WaitingKeys<H> {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// True if this key waits.
    pub(super) fn holds(&self, key: &str) -> bool {
        !self.keys.is_empty() && self.keys.contains_key(key)
    }

    /// Queues a turn behind waiting ones of its key. If there are none, it waits until it is
    /// released.
    pub(super) fn queue(&mut self, key: &str, turn: Turn<H>) {
        match self.keys.get_mut(key) {
            Some(waiting) => waiting.turns.push_back(turn),
            None => {
                let waiting = Waiting {
                    until: None,
                    turns: VecDeque::from([turn]),
                };
                self.keys.insert(key.to_owned(), waiting);
            }
        }
    }

    /// Makes a key wait, with this turn as its first, before any that wait already.
    pub(super) fn wait(&mut self, key: String, turn: Turn<H>, until: Duration) {
        self.due.insert((until, key.clone()));
        match self.keys.get_mut(&key) {
            Some(waiting) => {
                let before = waiting.until.replace(until);
                waiting.turns.push_front(turn);
                if let Some(before) = before.filter(|before| *before != until) {
                    self.due.remove(&(before, key));
                }
            }
            None => {
                let waiting = Waiting {
                    until: Some(until),
                    turns: VecDeque::from([turn]),
                };
                self.keys.insert(key, waiting);
            }
        }
    }

    /// Offers the first message again at once, since a command has changed the aggregate. That
    /// attempt is not counted.
    pub(super) fn wake(&mut self, key: &str, now: Duration) {
        if let Some(waiting) = self.keys.get_mut(key)
            && waiting.until.is_some()
        {
            if let Some(first) = waiting.turns.front_mut() {
                first.spare_an_attempt();
            }
            self.release(key, now);
        }
    }

    /// Ends the wait of a key now.
    pub(super) fn release(&mut self, key: &str, now: Duration) {
        if let Some(waiting) = self.keys.get_mut(key) {
            if let Some(before) = waiting.until.replace(now) {
                self.due.remove(&(before, key.to_owned()));
            }
            self.due.insert((now, key.to_owned()));
        }
    }

    /// Time at which the next key has waited long enough.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(until, _)| *until)
    }

    /// Takes the turns of a key that has waited long enough, in order. The key no longer waits.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<VecDeque<Turn<H>>> {
        let (until, _) = self.due.first()?;
        if *until > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.keys.remove(&key).map(|waiting| waiting.turns)
    }
}
