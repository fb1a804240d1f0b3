//! The topics whose outbox goes to Kafka. Their number only grows: what the outbox holds for a topic goes out even if
//! the rules that published it are gone. The relay takes up what is new; its lanes keep their numbers, by which
//! records in flight are known. Must not know: the store, librdkafka.

use std::sync::{Arc, Mutex, PoisonError};

/// Name of a topic, and its row in the store.
pub(crate) type PublishedTopic = (Arc<str>, i64);

/// The topics that are published, in the order in which they came.
#[derive(Default)]
pub(crate) struct Published(Mutex<Vec<PublishedTopic>>);

impl Published {
    /// Adds topics; gives the names of those that are new.
    pub(crate) fn add(&self, topics: Vec<PublishedTopic>) -> Vec<Arc<str>> {
        let mut published = self.lock();
        let mut new = Vec::new();
        for (name, row) in topics {
            if published.iter().all(|(_, known)| *known != row) {
                published.push((name.clone(), row));
                new.push(name);
            }
        }
        new
    }

    /// Those that came after the first `known`.
    pub(crate) fn after(&self, known: usize) -> Vec<PublishedTopic> {
        self.lock().iter().skip(known).cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PublishedTopic>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_keeps_its_place() {
        let published = Published::default();
        let topics = |rows: &[i64]| -> Vec<PublishedTopic> {
            let topic = |row: &i64| (format!("t{row}").into(), *row);
            rows.iter().map(topic).collect()
        };
        assert_eq!(published.add(topics(&[7, 3])), ["t7".into(), "t3".into()]);
        assert_eq!(published.add(topics(&[3, 5, 7, 5])), ["t5".into()]);
        assert_eq!(published.after(0), topics(&[7, 3, 5]));
        assert_eq!(published.after(2), topics(&[5]));
        assert!(published.after(3).is_empty());
    }
}
