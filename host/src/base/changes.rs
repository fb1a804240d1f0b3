//! Notifications that an aggregate has changed, sent after the commit.
//!
//! The store notifies and the HTTP side waits; neither knows the other. While nothing waits, a
//! commit pays for one look at a counter. A notification carries no state: its receiver reads the
//! aggregate and sees the newest state, however many changes there were in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Sends notifications of changes; clones are one sender.
#[derive(Debug, Clone, Default)]
pub struct Changes(Arc<WatchTable>);

#[derive(Debug, Default)]
struct WatchTable {
    /// By row of the participant, then by key.
    watched: Mutex<HashMap<i64, HashMap<String, WatchedAggregate>>>,
    /// Number of watches that exist.
    watches: AtomicUsize,
}

#[derive(Debug)]
struct WatchedAggregate {
    changes: watch::Sender<()>,
    watches: usize,
}

/// Waits for changes of one aggregate until it is dropped.
#[derive(Debug)]
pub struct AggregateWatch {
    told_by: Changes,
    participant: i64,
    key: String,
    changes: watch::Receiver<()>,
}

impl Changes {
    /// Watches an aggregate, by its participant's row and its key. Create the watch before reading:
    /// then no change between the read and the wait is missed. A caller that creates many has to
    /// bound them.
    #[must_use]
    pub fn watch(&self, participant: i64, key: &str) -> AggregateWatch {
        let mut watched = self.0.watched.lock();
        self.0.watches.fetch_add(1, Ordering::SeqCst);
        let keys = watched.entry(participant).or_default();
        let one = keys
            .entry(key.to_owned())
            .or_insert_with(|| WatchedAggregate {
                changes: watch::Sender::new(()),
                watches: 0,
            });
        one.watches += 1;
        AggregateWatch {
            told_by: self.clone(),
            participant,
            key: key.to_owned(),
            changes: one.changes.subscribe(),
        }
    }

    /// Notifies the watches of this aggregate. Called after the commit.
    pub fn tell(&self, participant: i64, key: &str) {
        if self.0.watches.load(Ordering::SeqCst) == 0 {
            return;
        }
        if let Some(one) = (self.0.watched.lock().get(&participant)).and_then(|keys| keys.get(key))
        {
            one.changes.send_replace(());
        }
    }
}

impl AggregateWatch {
    /// Returns when the aggregate has changed since the last call, or since the watch was created.
    /// Cancel-safe: no notification is lost.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // Can't happen: the sender lives as long as the watch.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for AggregateWatch {
    fn drop(&mut self) {
        let mut watched = self.told_by.0.watched.lock();
        self.told_by.0.watches.fetch_sub(1, Ordering::SeqCst);
        let Some(keys) = watched.get_mut(&self.participant) else {
            return;
        };
        if let Some(one) = keys.get_mut(&self.key) {
            one.watches -= 1;
            if one.watches == 0 {
                keys.remove(&self.key);
            }
        }
        if keys.is_empty() {
            watched.remove(&self.participant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_told(watch: &mut AggregateWatch) -> bool {
        let changed = pin!(watch.changed());
        changed.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    #[test]
    fn a_change_is_told_to_everybody_who_watches_that_aggregate_and_to_nobody_else() {
        let changes = Changes::default();
        let mut one = changes.watch(1, "a");
        let mut same = changes.watch(1, "a");
        let mut other_key = changes.watch(1, "b");
        let mut other_participant = changes.watch(2, "a");
        assert!(!is_told(&mut one));
        changes.tell(1, "a");
        assert!(is_told(&mut one) && is_told(&mut same));
        assert!(!is_told(&mut other_key) && !is_told(&mut other_participant));
        assert!(!is_told(&mut one), "one change is told once");
    }

    #[test]
    fn many_changes_wait_as_one() {
        let changes = Changes::default();
        let mut watch = changes.watch(1, "a");
        (0..1_000).for_each(|_| changes.tell(1, "a"));
        assert!(is_told(&mut watch));
        assert!(!is_told(&mut watch));
    }

    #[test]
    fn nothing_is_left_of_watches_that_are_over() {
        let changes = Changes::default();
        let first = changes.watch(1, "a");
        let mut second = changes.watch(1, "a");
        let third = changes.watch(2, "b");
        drop(first);
        changes.tell(1, "a");
        assert!(is_told(&mut second), "the other one still watches");
        drop((second, third));
        changes.tell(1, "a");
        assert!(changes.0.watched.lock().is_empty());
        assert_eq!(changes.0.watches.load(Ordering::SeqCst), 0);
    }
}
