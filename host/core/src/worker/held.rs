//! The keys whose messages are parked in the store.
//!
//! As long as a message is parked for a key, each that comes after it is parked too (invariant 4).
//! The messages of a key are offered again one by one when it is ready: at a start, when another
//! generation decides, when a command has changed the aggregate, or when the wait for another
//! attempt is over. One whose state can't be read is ready with the next generation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::trial::Trial;

/// The keys whose messages are parked.
#[derive(Default)]
pub(super) struct HeldKeys {
    keys: BTreeMap<String, Held>,
    /// Those whose next message is to be offered.
    ready: VecDeque<String>,
    due: BTreeSet<(Duration, String)>,
    /// Keys of which only messages are left that the rules don't take: they hold nothing back, and
    /// wait for other rules.
    passed_over: BTreeSet<String>,
}

/// A key whose messages are parked.
pub(super) struct Held {
    /// How many messages are parked, roughly: those of a failed commit are counted until the key is
    /// ready.
    pub(super) messages: usize,
    /// Number of the last message that was settled, as long as nothing of that was void.
    pub(super) after: i64,
    /// Ticket of the last entry of the key.
    pub(super) ticket: u64,
    /// Ticket of the last entry by which another message became the first one, or by which it was
    /// quarantined.
    pub(super) changed: u64,
    /// The attempts at the first message.
    pub(super) trial: Trial,
    /// How many were parked when it was said that there is no room for more.
    told_full: Option<usize>,
    /// Whether a message stays parked, for the rules don't take it.
    has_passed_over: bool,
    until: Until,
}

/// What a key waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// For its turn among the ready ones.
    Ready,
    /// It is being offered.
    Offered,
    /// For a time.
    Time(Duration),
    /// For another generation: its state can't be read.
    Generation,
}

impl HeldKeys {
    /// The keys that the store holds messages of, each with their number. All are ready.
    pub(super) fn new(stored: impl Iterator<Item = (String, usize)>) -> Self {
        let mut held = Self::default();
        for (key, messages) in stored {
            held.ready.push_back(key.clone());
            held.keys.insert(key, Held::new(messages, Until::Ready));
        }
        held
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        !self.keys.is_empty() && self.keys.contains_key(key)
    }

    pub(super) fn get(&mut self, key: &str) -> Option<&mut Held> {
        self.keys.get_mut(key)
    }

    /// Number of the last message of this key that was settled.
    pub(super) fn after(&self, key: &str) -> i64 {
        self.keys.get(key).map_or(0, |held| held.after)
    }

    /// Ticket of the last entry of this key; 0 where none is on its way.
    pub(super) fn ticket(&self, key: &str) -> u64 {
        self.keys.get(key).map_or(0, |held| held.ticket)
    }

    /// The keys of which messages are parked that the rules don't take.
    pub(super) fn passes_over(&self, key: &str) -> bool {
        self.passed_over.contains(key)
    }

    /// How many messages are parked for a key.
    pub(super) fn messages(&self, key: &str) -> usize {
        self.keys.get(key).map_or(0, |held| held.messages)
    }

    /// Whether the first message of a key is being offered, and nothing has come in between:
    /// another generation, or an entry of the key that was not written.
    pub(super) fn is_offered(&self, key: &str) -> bool {
        (self.keys.get(key)).is_some_and(|held| held.until == Until::Offered)
    }

    /// Whether the state of a key is known to be unreadable.
    pub(super) fn is_unreadable(&self, key: &str) -> bool {
        (self.keys.get(key)).is_some_and(|held| held.until == Until::Generation)
    }

    /// Notes a message that the entry with this ticket parks. It is the first of its key, and waits
    /// for this, unless the key is held already.
    pub(super) fn park(&mut self, key: &str, ticket: u64, trial: Trial, until: Until) {
        if let Some(held) = self.keys.get_mut(key) {
            held.messages += 1;
            held.ticket = ticket;
            return;
        }
        let held = Held {
            ticket,
            changed: ticket,
            trial,
            ..Held::new(1, Until::Offered)
        };
        self.keys.insert(key.to_owned(), held);
        self.wait(key, until);
    }

    /// Sets what a key waits for.
    pub(super) fn wait(&mut self, key: &str, until: Until) {
        let Some(held) = self.keys.get_mut(key) else {
            return;
        };
        let before = std::mem::replace(&mut held.until, until);
        if before == until {
            return;
        }
        if let Until::Time(at) = before {
            self.due.remove(&(at, key.to_owned()));
        }
        match until {
            Until::Ready => self.ready.push_back(key.to_owned()),
            Until::Time(at) => drop(self.due.insert((at, key.to_owned()))),
            Until::Offered | Until::Generation => {}
        }
    }

    /// A command has changed the aggregate: its first message is offered again now, and that
    /// attempt is not counted.
    pub(super) fn wake(&mut self, key: &str) {
        if let Some(held) = self.keys.get_mut(key) {
            if matches!(held.until, Until::Time(_)) {
                held.trial.spare();
            }
            if held.until != Until::Offered {
                self.wait(key, Until::Ready);
            }
        }
    }

    /// The entry with this ticket, and those that were decided on it, were not written. Where it
    /// changed the first message of its key, that is looked up anew, but not before this time: the
    /// store may still fail.
    pub(super) fn broke(&mut self, key: &str, ticket: u64, not_before: Duration) {
        let Some(held) = self.keys.get_mut(key) else {
            return;
        };
        // What was on its way behind it was not written either.
        held.ticket = 0;
        if held.changed >= ticket {
            held.after = 0;
            self.wait(key, Until::Time(not_before));
        }
    }

    /// Makes all keys ready: another generation decides. Attempts that were to come later count on,
    /// but for the one that this brings about.
    pub(super) fn wake_all(&mut self) {
        for key in std::mem::take(&mut self.passed_over) {
            let held = self.keys.entry(key);
            held.or_insert_with(|| Held::new(1, Until::Ready)).after = 0;
        }
        self.due.clear();
        self.ready.clear();
        for (key, held) in &mut self.keys {
            if std::mem::take(&mut held.has_passed_over) {
                held.after = 0;
                held.trial = Trial::default();
            }
            match held.until {
                Until::Generation => held.trial = Trial::default(),
                Until::Time(_) => held.trial.spare(),
                Until::Ready | Until::Offered => {}
            }
            held.until = Until::Ready;
            self.ready.push_back(key.clone());
        }
    }

    /// Nothing is parked for this key any more that the rules take.
    pub(super) fn remove(&mut self, key: &str) {
        self.wait(key, Until::Offered);
        if let Some((key, held)) = self.keys.remove_entry(key)
            && held.has_passed_over
        {
            self.passed_over.insert(key);
        }
    }

    /// When the next key has waited long enough, since the start; in the past where one is ready.
    pub(super) fn next_due(&self) -> Option<Duration> {
        if self.keys.is_empty() {
            return None;
        }
        match self.ready.is_empty() {
            false => Some(Duration::ZERO),
            true => self.due.first().map(|(at, _)| *at),
        }
    }

    /// The next key whose first message is to be offered.
    pub(super) fn next(&mut self, now: Duration) -> Option<String> {
        while let Some((at, key)) = self.due.first().cloned()
            && at <= now
        {
            self.wait(&key, Until::Ready);
        }
        // One that has waited for something else since is there in vain.
        while let Some(key) = self.ready.pop_front() {
            if let Some(held) = self.keys.get_mut(&key)
                && held.until == Until::Ready
            {
                held.until = Until::Offered;
                return Some(key);
            }
        }
        None
    }
}

impl Held {
    fn new(messages: usize, until: Until) -> Self {
        Self {
            messages,
            after: 0,
            ticket: 0,
            changed: 0,
            trial: Trial::default(),
            told_full: None,
            has_passed_over: false,
            until,
        }
    }

    /// The first message stays parked, for the rules don't take it; those behind it need not wait
    /// for it.
    pub(super) fn pass_over(&mut self, id: i64) {
        self.after = id;
        self.has_passed_over = true;
        self.trial = Trial::default();
    }

    /// The first message was settled by the entry with this ticket.
    pub(super) fn settled(&mut self, id: i64, ticket: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.after = id;
        self.ticket = ticket;
        self.changed = ticket;
        self.trial = Trial::default();
        // One place more or less is no news.
        self.told_full = (self.told_full).filter(|full| self.messages * 10 >= full * 9);
    }

    /// There is no room for another message: whether that is news.
    pub(super) fn is_newly_full(&mut self) -> bool {
        self.told_full.replace(self.messages).is_none()
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
