//! The keys whose messages are parked in the store.
//!
//! While a message is parked for a key, each later one is parked too (invariant 4). The messages of
//! a key are offered again one by one when the key is ready: at a start, when another generation
//! becomes active, when a command has changed the aggregate, or when the wait for another attempt
//! is over. A key whose state can't be read is ready with the next generation. A key whose first
//! message is a dead letter is *blocked*: it is ready when an operator has requested something for
//! the dead letter.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::trial::Trial;
use crate::commit::{Blocks, ParkedKey};

/// The keys whose messages are parked.
#[derive(Default)]
pub(super) struct HeldKeys {
    keys: BTreeMap<String, Held>,
    /// Keys whose next message is to be offered.
    ready: VecDeque<String>,
    due: BTreeSet<(Duration, String)>,
    /// Keys for which only messages are left that the rules don't take. These hold nothing back,
    /// and wait for other rules.
    passed_over: BTreeSet<String>,
}

/// A key whose messages are parked.
pub(super) struct Held {
    /// Number of parked messages. Approximate: those of a failed commit are counted until the key
    /// is ready.
    pub(super) messages: usize,
    /// Number of the last settled message, unless its entry was void.
    pub(super) after: i64,
    /// Ticket of the last entry of the key.
    pub(super) ticket: u64,
    /// Ticket of the last entry that changed the first message or quarantined it.
    pub(super) changed: u64,
    /// The attempts at the first message.
    pub(super) trial: Trial,
    /// Number of parked messages when the lack of room was last reported.
    told_full: Option<usize>,
    /// True if a message stays parked because the rules don't take it.
    has_passed_over: bool,
    /// The messages that the first one blocks, if it is a dead letter.
    letter: Option<Blocks>,
    /// Ticket of the last entry that ended a dead letter, and what that had blocked.
    unblocked: (u64, Option<Blocks>),
    until: Until,
}

/// The condition that a key waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Its turn among the ready keys.
    Ready,
    /// The end of the present offer.
    Offered,
    /// A time.
    Time(Duration),
    /// Another generation, since its state can't be read.
    Generation,
    /// An operator's request for its first message, a dead letter.
    Operator,
}

impl HeldKeys {
    /// The keys for which the store holds messages. All are ready.
    pub(super) fn new(stored: impl Iterator<Item = ParkedKey>) -> Self {
        let mut held = Self::default();
        for parked in stored {
            held.adopt(parked);
        }
        held
    }

    /// Adds a key for which the store holds messages. It is ready.
    pub(super) fn adopt(&mut self, parked: ParkedKey) {
        self.ready.push_back(parked.key.clone());
        let of_key = Held {
            letter: parked.letter,
            ..Held::new(parked.messages, Until::Ready)
        };
        self.keys.insert(parked.key, of_key);
    }

    /// Takes in the keys for which the store holds messages, of any host. All entries up to `settled` are
    /// settled. What another host has changed is loaded again.
    pub(super) fn refresh(&mut self, stored: Vec<ParkedKey>, settled: u64) {
        let by_key: HashMap<&str, &ParkedKey> = (stored.iter())
            .map(|parked| (&*parked.key, parked))
            .collect();
        let mut changed = Vec::new();
        for (key, held) in &self.keys {
            let found = by_key.get(key.as_str());
            let has_changed = found.is_none_or(|found| {
                found.letter != held.letter || (found.is_requested && held.until == Until::Operator)
            });
            let waits = !matches!(held.until, Until::Ready | Until::Offered);
            if has_changed && waits && held.ticket <= settled {
                changed.push(key.clone());
            }
        }
        (self.passed_over).retain(|key| by_key.contains_key(key.as_str()));
        for key in changed {
            self.wait(&key, Until::Ready);
        }
        for parked in stored {
            if !self.keys.contains_key(&parked.key) && !self.passed_over.contains(&parked.key) {
                self.adopt(parked);
            }
        }
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

    /// Number of the last settled message of this key.
    pub(super) fn after(&self, key: &str) -> i64 {
        self.keys.get(key).map_or(0, |held| held.after)
    }

    /// Ticket of the last entry of this key; 0 if none is in flight.
    pub(super) fn ticket(&self, key: &str) -> u64 {
        self.keys.get(key).map_or(0, |held| held.ticket)
    }

    /// True if messages of this key are parked only because the rules don't take them.
    pub(super) fn passes_over(&self, key: &str) -> bool {
        self.passed_over.contains(key)
    }

    /// Number of messages parked for a key.
    pub(super) fn messages(&self, key: &str) -> usize {
        self.keys.get(key).map_or(0, |held| held.messages)
    }

    /// True if the first message of a key is being offered and nothing has interfered: neither
    /// another generation, nor an entry of the key that was not written.
    pub(super) fn is_offered(&self, key: &str) -> bool {
        (self.keys.get(key)).is_some_and(|held| held.until == Until::Offered)
    }

    /// True if the state of a key is known to be unreadable.
    pub(super) fn is_unreadable(&self, key: &str) -> bool {
        (self.keys.get(key)).is_some_and(|held| held.until == Until::Generation)
    }

    /// True if the first message of a key is a dead letter.
    pub(super) fn is_blocked(&self, key: &str) -> bool {
        self.blocks(key).is_some()
    }

    /// What the first message of a key holds back, if it is a dead letter.
    pub(super) fn blocks(&self, key: &str) -> Option<Blocks> {
        match self.keys.is_empty() {
            true => None,
            false => self.keys.get(key)?.letter,
        }
    }

    /// Takes in that the first message of a key was loaded.
    pub(super) fn found(&mut self, key: &str, letter: Option<Blocks>) {
        if let Some(held) = self.keys.get_mut(key) {
            held.letter = letter;
        }
    }

    /// Blocks a key whose first message is a dead letter without a request.
    pub(super) fn block(&mut self, key: &str, blocks: Blocks) {
        if let Some(held) = self.keys.get_mut(key) {
            held.letter = Some(blocks);
            held.trial = Trial::default();
        }
        self.wait(key, Until::Operator);
    }

    /// Takes in that the entry with this ticket changes the first message of a key. It may be the
    /// first entry that is known of the key: the messages may have been parked before a start.
    pub(super) fn first_changed(&mut self, key: &str, ticket: u64) {
        if let Some(held) = self.keys.get_mut(key) {
            (held.ticket, held.changed) = (ticket, ticket);
        }
    }

    /// Takes in a request for a dead letter of a key. `is_new` if the letter was parked for that.
    pub(super) fn requested(&mut self, key: &str, is_new: bool) {
        self.passed_over.remove(key);
        let held = self.keys.entry(key.to_owned());
        let held = held.or_insert_with(|| Held::new(0, Until::Offered));
        held.messages += usize::from(is_new);
        if held.letter.is_some() {
            held.trial = Trial::default();
        }
        // A discard needs no state, and no patience.
        let is_offered = held.until == Until::Offered && held.messages > usize::from(is_new);
        if !is_offered {
            self.wait(key, Until::Ready);
        }
    }

    /// Adds a message that the entry with this ticket parks. If the key is not held yet, the
    /// message is its first, and waits for `until`.
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

    /// Sets the condition that a key waits for.
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
            Until::Offered | Until::Generation | Until::Operator => {}
        }
    }

    /// Offers the first message again at once, since a command has changed the aggregate. That
    /// attempt is not counted.
    pub(super) fn wake(&mut self, key: &str) {
        if let Some(held) = self.keys.get_mut(key) {
            if matches!(held.until, Until::Time(_)) {
                held.trial.spare();
            }
            if !matches!(held.until, Until::Offered | Until::Operator) {
                self.wait(key, Until::Ready);
            }
        }
    }

    /// Takes in that the entry with this ticket, and those that were decided on it, were not
    /// written. If it changed the first message of its key, that is loaded again, but not before
    /// this time, since the store may still fail.
    pub(super) fn broke(&mut self, key: &str, ticket: u64, not_before: Duration) {
        let Some(held) = self.keys.get_mut(key) else {
            return;
        };
        // Later entries in flight were not written either.
        held.ticket = 0;
        if held.changed >= ticket {
            held.after = 0;
            if let (unblocked, letter @ Some(_)) = held.unblocked
                && unblocked >= ticket
            {
                held.letter = letter;
            }
            self.wait(key, Until::Time(not_before));
        }
    }

    /// Makes all keys ready for another generation. Attempts count on for keys that were waiting
    /// for one, except for the one that this triggers.
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
                Until::Ready | Until::Offered | Until::Operator => {}
            }
            held.until = Until::Ready;
            self.ready.push_back(key.clone());
        }
    }

    /// Removes a key for which no message is parked any more that the rules take.
    pub(super) fn remove(&mut self, key: &str) {
        self.wait(key, Until::Offered);
        if let Some((key, held)) = self.keys.remove_entry(key)
            && held.has_passed_over
        {
            self.passed_over.insert(key);
        }
    }

    /// Time since the start at which the next key has waited long enough; in the past if one is
    /// ready.
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
        // A key that waits for something else by now is listed in vain.
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
            letter: None,
            unblocked: (0, None),
            until,
        }
    }

    /// Passes over the first message, which stays parked because the rules don't take it; those
    /// behind it need not wait.
    pub(super) fn pass_over(&mut self, id: i64) {
        self.after = id;
        self.has_passed_over = true;
        self.trial = Trial::default();
    }

    /// Takes in that the first message was settled by the entry with this ticket.
    pub(super) fn settled(&mut self, id: i64, ticket: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.after = id;
        self.ticket = ticket;
        self.changed = ticket;
        if let letter @ Some(_) = self.letter.take() {
            self.unblocked = (ticket, letter);
        }
        self.trial = Trial::default();
        // A few messages more or less are not reported again.
        self.told_full = (self.told_full).filter(|full| self.messages * 10 >= full * 9);
    }

    /// Notes that there is no room for another message; true if that must be reported.
    pub(super) fn is_newly_full(&mut self) -> bool {
        self.told_full.replace(self.messages).is_none()
    }
}

#[cfg(test)]
#[path = "held_tests.rs"]
mod tests;
