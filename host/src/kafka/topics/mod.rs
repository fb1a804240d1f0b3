//! The topics that are needed, and their states.
//!
//! Consumers and the relay wait until their topic is known to exist: their own requests could make
//! the broker create it with its defaults instead of the configured values. The supervisor of
//! `health` finds out.

pub(crate) mod admin;
pub(crate) mod config;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use self::config::TopicConfig;
use super::health::condition::KafkaCondition;
use super::health::conditions::{Conditions, Subject};
use crate::base::notify::Notify;

/// Longest name of a topic in Kafka, in characters.
const LONGEST: usize = 249;

/// The error in a topic's name by Kafka's rules, as text that follows the name.
pub(super) fn name_problem(name: &str) -> Option<String> {
    if matches!(name, "" | "." | "..") {
        return Some("is no name that Kafka takes".into());
    }
    let is_legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(other) = name.chars().find(|c| !is_legal(c)) {
        return Some(format!(
            "has {other:?} in it: names of topics in Kafka have ASCII letters, digits, '.', '_' and '-' only"
        ));
    }
    let length = name.len();
    (length > LONGEST).then(|| {
        format!("has {length} characters: names of topics in Kafka have at most {LONGEST}")
    })
}

/// The state of a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TopicState {
    /// Unknown so far.
    #[default]
    Unknown,
    /// The topic exists.
    Exists,
    /// The topic can't be used or created at the moment.
    Failing,
}

/// A topic that is needed.
#[derive(Default)]
pub(crate) struct Topic {
    pub(crate) state: TopicState,
    /// Number of consumers that read it.
    pub(crate) readers: usize,
    /// True if the relay writes it.
    pub(crate) is_written: bool,
    /// Its settings; `None` until it exists and brokers were asked, the default if they don't tell.
    pub(crate) config: Option<TopicConfig>,
}

impl Topic {
    /// The rights that are needed on it, by Kafka's names.
    pub(crate) fn rights(&self) -> Vec<&'static str> {
        let read = (self.readers > 0).then_some("Read");
        read.into_iter()
            .chain(self.is_written.then_some("Write"))
            .collect()
    }
}

/// The use of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A consumer reads it.
    Read,
    /// The relay writes it, for as long as this process runs.
    Write,
}

/// The state of all topics that are needed.
#[derive(Default)]
pub(crate) struct Topics {
    pub(crate) conditions: Arc<Conditions>,
    needed: Mutex<BTreeMap<Arc<str>, Topic>>,
    /// Notified when there is a reason to ask now.
    pub(crate) asked: Notify,
    /// Notified when a topic is known to exist.
    pub(crate) found: Notify,
    is_unreachable: AtomicBool,
    answers: AtomicU64,
}

impl Topics {
    pub(crate) fn need(&self, topic: &Arc<str>, what_for: Use) {
        {
            let mut needed = self.needed.lock();
            let topic = needed.entry(topic.clone()).or_default();
            match what_for {
                Use::Read => topic.readers += 1,
                Use::Write => topic.is_written = true,
            }
        }
        self.ask_now();
    }

    /// Removes a reader of a topic; after the last use, the topic's condition is removed too.
    pub(crate) fn read_no_more(&self, name: &Arc<str>) {
        let mut needed = self.needed.lock();
        if let Some(topic) = needed.get_mut(name) {
            topic.readers -= 1;
            if topic.readers == 0 && !topic.is_written {
                needed.remove(name);
                self.conditions.forget(&Subject::Topic(name.clone()));
            }
        }
    }

    /// Makes the supervisor ask at once: a client has lost its brokers.
    pub(crate) fn ask_now(&self) {
        self.asked.notify();
    }

    /// Doubts a topic that a broker no longer knows: it was deleted, or the broker lags behind. The
    /// supervisor asks at once.
    pub(crate) fn doubt_topic(&self, topic: &str) {
        self.with(topic, |topic| topic.state = TopicState::Unknown);
        self.ask_now();
    }

    /// Keeps a finding about a topic, if it is still needed.
    pub(crate) fn note(&self, name: &Arc<str>, found: Result<TopicState, KafkaCondition>) {
        // Held during the report: the condition of a topic must not outlast its use.
        let mut needed = self.needed.lock();
        let Some(topic) = needed.get_mut(name) else {
            return;
        };
        match found {
            Ok(state) => {
                topic.state = state;
                if state == TopicState::Exists {
                    self.conditions.clear(&Subject::Topic(name.clone()));
                    self.found.notify();
                }
            }
            Err(condition) => {
                topic.state = TopicState::Failing;
                self.conditions.report(condition);
            }
        }
    }

    /// Reads or changes what is known of a topic; `None` if it is not needed.
    pub(crate) fn with<T>(&self, topic: &str, what: impl FnOnce(&mut Topic) -> T) -> Option<T> {
        self.needed.lock().get_mut(topic).map(what)
    }

    pub(crate) fn exists(&self, topic: &str) -> bool {
        self.with(topic, |topic| topic.state) == Some(TopicState::Exists)
    }

    /// True if a topic can't be used or created at the moment.
    pub(crate) fn is_failing(&self, topic: &str) -> bool {
        self.with(topic, |topic| topic.state) == Some(TopicState::Failing)
    }

    /// Notes that brokers have answered the supervisor, or have not for a while.
    pub(crate) fn note_answer(&self, is_answered: bool) {
        self.answers
            .fetch_add(u64::from(is_answered), Ordering::Relaxed);
        self.is_unreachable.store(!is_answered, Ordering::Relaxed);
    }

    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// True if brokers have not answered the supervisor for a while.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.is_unreachable.load(Ordering::Relaxed)
    }

    /// The names of all topics that are needed.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.needed.lock().keys().cloned().collect()
    }

    /// The names of those that are not known to exist.
    pub(crate) fn missing(&self) -> Vec<Arc<str>> {
        let needed = self.needed.lock();
        let missing = needed
            .iter()
            .filter(|(_, topic)| topic.state != TopicState::Exists);
        missing.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_by_kafkas_rules() {
        let longest = "x".repeat(LONGEST);
        for name in ["orderTopic", "shop.orders_1-dlq", "...", &longest] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        let longer = "x".repeat(LONGEST + 1);
        for (name, expected) in [
            ("", "no name"),
            (".", "no name"),
            ("..", "no name"),
            ("a/b", "has '/' in it"),
            ("shop:orders", "has ':' in it"),
            ("of today", "has ' ' in it"),
            ("a\nb", "has '\\n' in it"),
            ("bestellungen-für", "has 'ü' in it"),
            (&longer, "has 250 characters"),
        ] {
            let found = name_problem(name).unwrap_or_default();
            assert!(found.contains(expected), "{name:?}: {found}");
        }
    }
}
