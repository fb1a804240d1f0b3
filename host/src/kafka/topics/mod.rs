//! The topics that are needed, and what is known of them.
//!
//! Consumers and the relay wait until their topic is known to exist: by asking for it themselves they could
//! have it created with the broker's defaults instead of the configured ones. [`super::health::supervisor`] finds it out.

pub(crate) mod config;
pub(crate) mod id;
pub(crate) mod name;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use self::config::TopicSettings;
use crate::base::signal::Signal;
use crate::kafka::health::conditions::Troubles;

/// What is known of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing yet.
    Nothing,
    /// It exists.
    Exists,
    /// It can't be used or created at the moment.
    Failing,
}

/// A topic that is needed.
pub(crate) struct Need {
    pub(crate) known: Known,
    /// Whether it was there already.
    pub(crate) was_there: bool,
    /// How many consumers read it.
    readers: usize,
    /// Whether the relay writes it.
    is_written: bool,
    /// Which topic it is, where brokers have said so.
    id: Option<String>,
    /// How brokers keep it, where they have said so.
    settings: TopicSettings,
    /// Whether brokers were asked how they keep it, and have answered.
    is_looked_at: bool,
}

impl Need {
    /// The topic is another one from now on.
    pub(crate) fn forget_settings(&mut self) {
        self.settings = TopicSettings::default();
        self.is_looked_at = false;
    }
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
    needed: Mutex<BTreeMap<Arc<str>, Need>>,
    /// Rings when there is a reason to ask now, and when the watch is to end.
    pub(crate) asked: Signal,
    /// Rings when a topic is known to exist.
    pub(crate) found: Signal,
    pub(crate) unreachable: AtomicBool,
    /// How many of the watch's questions were answered.
    pub(crate) answers: AtomicU64,
    /// How often a topic that is written was found to be another one than before.
    made_anew: AtomicU64,
}

impl Topics {
    /// A topic is needed, by one more.
    pub(crate) fn need(&self, topic: &Arc<str>, what_for: Use) {
        let unknown = || Need {
            known: Known::Nothing,
            was_there: false,
            readers: 0,
            is_written: false,
            id: None,
            settings: TopicSettings::default(),
            is_looked_at: false,
        };
        {
            let mut needed = self.lock();
            let need = needed.entry(topic.clone()).or_insert_with(unknown);
            match what_for {
                Use::Read => need.readers += 1,
                Use::Write => need.is_written = true,
            }
        }
        self.asked.ring();
    }

    /// One who read a topic is gone; with the last one who needed it goes what was in its way.
    pub(crate) fn read_no_more(&self, topic: &str, troubles: &Troubles) {
        let mut needed = self.lock();
        if let Some(need) = needed.get_mut(topic) {
            need.readers -= 1;
            if need.readers == 0 && !need.is_written {
                needed.remove(topic);
                troubles.forget(&part(topic));
            }
        }
    }

    /// A broker does not know a topic that was there: it was deleted, or the broker is behind. The watch asks at once.
    pub(crate) fn doubt_topic(&self, topic: &str) {
        if let Some(need) = self.lock().get_mut(topic) {
            need.known = Known::Nothing;
        }
        self.asked.ring();
    }

    /// Whether a topic is known to exist.
    pub(crate) fn exists(&self, topic: &str) -> bool {
        self.is_known(topic, Known::Exists)
    }

    /// Whether a topic can't be used or created at the moment.
    pub(crate) fn is_failing(&self, topic: &str) -> bool {
        self.is_known(topic, Known::Failing)
    }

    /// The rights that are needed on a topic, as Kafka calls them.
    pub(crate) fn rights(&self, topic: &str) -> Vec<&'static str> {
        let needed = self.lock();
        let Some(need) = needed.get(topic) else {
            return Vec::new();
        };
        let rights = [(need.readers > 0, "Read"), (need.is_written, "Write")];
        let wanted = rights.into_iter().filter(|(is_wanted, _)| *is_wanted);
        wanted.map(|(_, right)| right).collect()
    }

    fn is_known(&self, topic: &str, known: Known) -> bool {
        self.lock()
            .get(topic)
            .is_some_and(|need| need.known == known)
    }

    /// Rings when a topic is known to exist.
    pub(crate) fn found(&self) -> &Signal {
        &self.found
    }

    /// A client has lost its brokers: the watch asks at once.
    pub(crate) fn doubt(&self) {
        self.asked.ring();
    }

    /// How many of the watch's questions were answered.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Whether the relay writes a topic.
    pub(crate) fn is_written(&self, topic: &str) -> bool {
        self.lock().get(topic).is_some_and(|need| need.is_written)
    }

    /// Whether brokers have yet to be asked how they keep a topic that is there.
    pub(crate) fn is_to_be_looked_at(&self, topic: &str) -> bool {
        (self.lock().get(topic)).is_some_and(|need| !need.is_looked_at)
    }

    /// Brokers were asked how they keep a topic, and said so, or will not. Gives whether it is read.
    pub(crate) fn is_kept(&self, topic: &str, settings: Option<TopicSettings>) -> bool {
        let mut needed = self.lock();
        let Some(need) = needed.get_mut(topic) else {
            return false;
        };
        need.is_looked_at = true;
        need.settings = settings.unwrap_or_default();
        need.readers > 0
    }

    /// Whether a topic is known to be compacted.
    pub(crate) fn is_compacted(&self, topic: &str) -> bool {
        (self.lock().get(topic)).is_some_and(|need| need.settings.is_compacted)
    }

    /// Brokers say which topic it is that has this name.
    pub(crate) fn is_called(&self, topic: &str, id: String) {
        let mut needed = self.lock();
        let Some(need) = needed.get_mut(topic) else {
            return;
        };
        if need.id.as_ref().is_some_and(|before| *before != id) {
            self.made_anew.fetch_add(1, Ordering::Relaxed);
        }
        need.id = Some(id);
    }

    /// How often a topic that is written was found to be another one than before.
    pub(crate) fn made_anew(&self) -> u64 {
        self.made_anew.load(Ordering::Relaxed)
    }

    /// Whether brokers have not answered for a while.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.unreachable.load(Ordering::Relaxed)
    }

    /// Those that are not known to exist.
    pub(crate) fn missing(&self) -> Vec<Arc<str>> {
        self.lock()
            .iter()
            .filter(|(_, need)| need.known != Known::Exists)
            .map(|(topic, _)| topic.clone())
            .collect()
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Need>> {
        self.needed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of the transport that is in trouble while a topic can't be used.
pub(crate) fn part(topic: &str) -> String {
    format!("topic {topic}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_id_under_the_same_name_is_another_topic() {
        let topics = Topics::default();
        let name = Arc::from("t");
        topics.is_called("t", "a".into());
        topics.need(&name, Use::Write);
        for (id, made_anew) in [("a", 0), ("a", 0), ("b", 1), ("b", 1), ("a", 2)] {
            topics.is_called("t", id.into());
            assert_eq!(topics.made_anew(), made_anew, "{id}");
        }
    }
}
