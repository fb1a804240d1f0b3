//! The topics that are needed, and what is known of them.
//!
//! Consumers and the relay wait until their topic is known to exist: by asking for it themselves they could
//! have it created with the broker's defaults instead of the configured ones. The supervisor of `health` finds it out.

pub(crate) mod config;
pub(crate) mod create;
pub(crate) mod id;
pub(crate) mod name;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::config::TopicConfig;
use super::health::condition::{Condition, Subject};
use super::health::conditions::Conditions;
use crate::base::notify::Notify;

/// The state of a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// It exists.
    Exists,
    /// It can't be used or created at the moment.
    Failing,
}

/// A topic that is needed.
#[derive(Default)]
struct Topic {
    state: State,
    /// Whether it was there already.
    was_there: bool,
    /// How many consumers read it.
    readers: usize,
    /// Whether the relay writes it.
    is_written: bool,
    /// Its id, where brokers have told it.
    id: Option<String>,
    /// How brokers keep it, once they were asked; the default where they don't tell.
    config: Option<TopicConfig>,
}

/// What a topic is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A consumer reads it.
    Read,
    /// The relay writes it, for as long as this process runs.
    Write,
}

/// What is known of the topics that are needed.
#[derive(Default)]
pub(crate) struct Topics {
    needed: Mutex<BTreeMap<Arc<str>, Topic>>,
    /// Notified when there is a reason to ask now, and when the supervisor is to end.
    pub(crate) asked: Notify,
    /// Notified when a topic is known to exist.
    found: Notify,
    is_unreachable: AtomicBool,
    /// How many of the supervisor's questions were answered.
    answers: AtomicU64,
    /// How often a topic that is written was found to be another one than before.
    recreations: AtomicU64,
}

impl Topics {
    /// A topic is needed, by one more.
    pub(crate) fn need(&self, topic: &Arc<str>, what_for: Use) {
        {
            let mut needed = self.lock();
            let topic = needed.entry(topic.clone()).or_default();
            match what_for {
                Use::Read => topic.readers += 1,
                Use::Write => topic.is_written = true,
            }
        }
        self.ask_now();
    }

    /// A reader of a topic is gone; with the last one that needed the topic goes what was in its way.
    pub(crate) fn read_no_more(&self, name: &Arc<str>, conditions: &Conditions) {
        let mut needed = self.lock();
        if let Some(topic) = needed.get_mut(name) {
            topic.readers -= 1;
            if topic.readers == 0 && !topic.is_written {
                needed.remove(name);
                conditions.forget(&Subject::Topic(name.clone()));
            }
        }
    }

    /// There is a reason for the supervisor to ask at once: a client has lost its brokers.
    pub(crate) fn ask_now(&self) {
        self.asked.notify();
    }

    /// A broker does not know a topic that was there: it was deleted, or the broker is behind. The supervisor asks at once.
    pub(crate) fn doubt_topic(&self, topic: &str) {
        if let Some(topic) = self.lock().get_mut(topic) {
            topic.state = State::Unknown;
        }
        self.ask_now();
    }

    /// Keeps what was found out of a topic, if it is still needed.
    pub(crate) fn note(
        &self,
        name: &Arc<str>,
        found: Result<State, Condition>,
        conditions: &Conditions,
    ) {
        // Held until it is reported: the condition of a topic must not outlast the need for it.
        let mut needed = self.lock();
        let Some(topic) = needed.get_mut(name) else {
            return;
        };
        match found {
            Ok(state) => {
                topic.state = state;
                if state == State::Exists {
                    topic.was_there = true;
                    conditions.clear(&Subject::Topic(name.clone()));
                    self.found.notify();
                }
            }
            Err(condition) => {
                topic.state = State::Failing;
                conditions.report(Subject::Topic(name.clone()), condition);
            }
        }
    }

    /// A topic was created. Gives whether it was there before: it is another one from now on.
    pub(crate) fn was_deleted(&self, topic: &str) -> bool {
        let mut needed = self.lock();
        let Some(topic) = needed.get_mut(topic).filter(|topic| topic.was_there) else {
            return false;
        };
        topic.was_there = false;
        topic.config = None;
        true
    }

    /// Whether a topic is known to exist.
    pub(crate) fn exists(&self, topic: &str) -> bool {
        self.is(topic, |topic| topic.state == State::Exists)
    }

    /// Whether a topic can't be used or created at the moment.
    pub(crate) fn is_failing(&self, topic: &str) -> bool {
        self.is(topic, |topic| topic.state == State::Failing)
    }

    /// Whether the relay writes a topic.
    pub(crate) fn is_written(&self, topic: &str) -> bool {
        self.is(topic, |topic| topic.is_written)
    }

    /// Whether brokers were asked how they keep a topic, and have answered, or it is not needed any more.
    pub(crate) fn is_config_known(&self, topic: &str) -> bool {
        !self.is(topic, |topic| topic.config.is_none())
    }

    /// Whether a topic is known to be compacted.
    pub(crate) fn is_compacted(&self, topic: &str) -> bool {
        self.is(topic, |topic| {
            topic.config.is_some_and(|config| config.is_compacted)
        })
    }

    fn is(&self, topic: &str, so: impl FnOnce(&Topic) -> bool) -> bool {
        self.lock().get(topic).is_some_and(so)
    }

    /// The rights that are needed on a topic, as Kafka calls them.
    pub(crate) fn rights(&self, topic: &str) -> Vec<&'static str> {
        let rights = |topic: &Topic| {
            let rights = [(topic.readers > 0, "Read"), (topic.is_written, "Write")];
            let needed = rights.into_iter().filter(|(is_needed, _)| *is_needed);
            needed.map(|(_, right)| right).collect()
        };
        self.lock().get(topic).map(rights).unwrap_or_default()
    }

    /// Notified when a topic is known to exist.
    pub(crate) fn found(&self) -> &Notify {
        &self.found
    }

    /// Brokers have told how they keep a topic, or will not. Gives whether it is read.
    pub(crate) fn has_config(&self, topic: &str, config: Option<TopicConfig>) -> bool {
        let mut needed = self.lock();
        let Some(topic) = needed.get_mut(topic) else {
            return false;
        };
        topic.config = Some(config.unwrap_or_default());
        topic.readers > 0
    }

    /// Brokers have told the id of a topic.
    pub(crate) fn has_id(&self, topic: &str, id: String) {
        if let Some(topic) = self.lock().get_mut(topic) {
            if topic.id.as_ref().is_some_and(|before| *before != id) {
                self.recreations.fetch_add(1, Ordering::Relaxed);
            }
            topic.id = Some(id);
        }
    }

    /// How often a topic that is written was found to be another one than before.
    pub(crate) fn recreations(&self) -> u64 {
        self.recreations.load(Ordering::Relaxed)
    }

    /// A question of the supervisor was answered.
    pub(crate) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.is_unreachable.store(false, Ordering::Relaxed);
    }

    /// How many were.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Brokers have not answered the supervisor for a while.
    pub(crate) fn unanswered(&self) {
        self.is_unreachable.store(true, Ordering::Relaxed);
    }

    /// Whether that is so.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_unreachable.load(Ordering::Relaxed)
    }

    /// All that are needed.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    /// Those that are not known to exist.
    pub(crate) fn missing(&self) -> Vec<Arc<str>> {
        let needed = self.lock();
        let missing = needed
            .iter()
            .filter(|(_, topic)| topic.state != State::Exists);
        missing.map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Topic>> {
        self.needed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_id_under_the_same_name_is_another_topic() {
        let topics = Topics::default();
        let name = Arc::from("t");
        topics.has_id("t", "a".into());
        topics.need(&name, Use::Write);
        for (id, recreations) in [("a", 0), ("a", 0), ("b", 1), ("b", 1), ("a", 2)] {
            topics.has_id("t", id.into());
            assert_eq!(topics.recreations(), recreations, "{id}");
        }
    }
}
