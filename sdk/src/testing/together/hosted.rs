//! [`Hosted`]: what a host stores of one participant.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::record::Record;
use super::rules::AnyRules;
use crate::testing::default_settings;

/// A participant with its stored aggregates.
pub(super) struct Hosted {
    pub(super) name: String,
    pub(super) rules: Rc<dyn AnyRules>,
    /// The settings that the author gave.
    pub(super) settings: Option<String>,
    /// The rules to which it may be swapped, the next one first.
    pub(super) successors: VecDeque<Rc<dyn AnyRules>>,
    pub(super) aggregates: BTreeMap<String, Aggregate>,
    /// By key and name.
    pub(super) timers: BTreeMap<(String, String), SetTimer>,
    /// Source and id of the records that were taken.
    pub(super) inbox: BTreeSet<(String, String)>,
    /// By key.
    pub(super) waiting: BTreeMap<String, Waiting>,
    /// The last number that was given to a created aggregate.
    pub(super) last_number: u64,
    /// When it is up again, if it is down.
    pub(super) back_at: Option<u64>,
}

pub(super) struct Aggregate {
    pub(super) state: String,
    pub(super) version: u32,
    pub(super) correlation: String,
}

#[derive(Clone)]
pub(super) struct SetTimer {
    pub(super) due: u64,
    pub(super) body: String,
    pub(super) set_by: String,
    pub(super) correlation: String,
    /// True if it waits behind other messages of its aggregate, or was given up.
    pub(super) is_parked: bool,
}

/// The messages of an aggregate that wait, in order.
pub(super) struct Waiting {
    pub(super) messages: VecDeque<Queued>,
    pub(super) behind: Behind,
}

#[derive(Clone)]
pub(super) enum Queued {
    Event(Box<Record>),
    /// A timer that was due at this time. It is decided only if it is still set for it.
    Timer {
        name: String,
        due: u64,
    },
}

/// The reason for which messages wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Another attempt at the first of them.
    Retry { at: u64, attempts: u32, since: u64 },
    /// A dead letter.
    Letter { blocks_commands: bool },
}

impl Hosted {
    pub(super) fn new(rules: Rc<dyn AnyRules>) -> Self {
        Self {
            name: rules.description().name.clone(),
            rules,
            settings: None,
            successors: VecDeque::new(),
            aggregates: BTreeMap::new(),
            timers: BTreeMap::new(),
            inbox: BTreeSet::new(),
            waiting: BTreeMap::new(),
            last_number: 0,
            back_at: None,
        }
    }

    /// The settings for a call of the rules.
    pub(super) fn settings(&self) -> String {
        let default = || default_settings(self.rules.description());
        self.settings.clone().unwrap_or_else(default)
    }

    /// Makes a message wait behind those of its key.
    pub(super) fn queue(&mut self, key: &str, message: Queued) -> Result<(), Queued> {
        let Some(waiting) = self.waiting.get_mut(key) else {
            return Err(message);
        };
        if let Queued::Timer { name, .. } = &message
            && let Some(timer) = self.timers.get_mut(&(key.to_owned(), name.clone()))
        {
            timer.is_parked = true;
        }
        waiting.messages.push_back(message);
        Ok(())
    }

    /// True if messages wait for another attempt.
    pub(super) fn retries(&self) -> bool {
        let mut waiting = self.waiting.values();
        waiting.any(|waiting| matches!(waiting.behind, Behind::Retry { .. }))
    }

    /// It is up again: attempts are counted from the start.
    pub(super) fn restart(&mut self, now: u64) {
        for waiting in self.waiting.values_mut() {
            if let Behind::Retry { .. } = waiting.behind {
                waiting.behind = Behind::Retry {
                    at: now,
                    attempts: 0,
                    since: now,
                };
            }
        }
    }

    /// The time of the next thing that this participant does by itself.
    pub(super) fn next_time(&self) -> Option<u64> {
        if self.back_at.is_some() {
            return self.back_at;
        }
        let timers = self.timers.values().filter(|timer| !timer.is_parked);
        let timers = timers.map(|timer| timer.due);
        let retries = self
            .waiting
            .values()
            .filter_map(|waiting| match waiting.behind {
                Behind::Retry { at, .. } => Some(at),
                Behind::Letter { .. } => None,
            });
        timers.chain(retries).min()
    }
}
