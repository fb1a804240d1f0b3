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
    /// By row of the participant.
    watched: Mutex<HashMap<i64, WatchedParticipant>>,
    /// Number of watches that exist.
    watches: AtomicUsize,
}

#[derive(Debug, Default)]
struct WatchedParticipant {
    /// Changes of any aggregate.
    any: Watched,
    by_key: HashMap<String, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    changes: watch::Sender<()>,
    watches: usize,
}

/// Waits for changes of one aggregate, or of any of a participant, until it is dropped.
#[derive(Debug)]
pub struct ChangeWatch {
    told_by: Changes,
    participant: i64,
    /// None for any.
    key: Option<String>,
    changes: watch::Receiver<()>,
}

impl Changes {
    /// Watches an aggregate, by its participant's row and its key. Create the watch before reading:
    /// then no change between the read and the wait is missed. A caller that creates many has to
    /// bound them.
    #[must_use]
    pub fn watch(&self, participant: i64, key: &str) -> ChangeWatch {
        self.watched(participant, Some(key.to_owned()))
    }

    /// Watches all aggregates of a participant, by its row.
    #[must_use]
    pub fn watch_any(&self, participant: i64) -> ChangeWatch {
        self.watched(participant, None)
    }

    fn watched(&self, participant: i64, key: Option<String>) -> ChangeWatch {
        let mut watched = self.0.watched.lock();
        self.0.watches.fetch_add(1, Ordering::SeqCst);
        let of_participant = watched.entry(participant).or_default();
        let one = match &key {
            Some(key) => of_participant.by_key.entry(key.clone()).or_default(),
            None => &mut of_participant.any,
        };
        one.watches += 1;
        let changes = one.changes.subscribe();
        ChangeWatch {
            told_by: self.clone(),
            participant,
            key,
            changes,
        }
    }

    /// Notifies the watches of this aggregate, and of any. Called after the commit.
    pub fn tell(&self, participant: i64, key: &str) {
        if self.0.watches.load(Ordering::SeqCst) == 0 {
            return;
        }
        let watched = self.0.watched.lock();
        let Some(of_participant) = watched.get(&participant) else {
            return;
        };
        let any = Some(&of_participant.any).filter(|any| any.watches > 0);
        for one in any.into_iter().chain(of_participant.by_key.get(key)) {
            one.changes.send_replace(());
        }
    }

    /// True if there are watches.
    #[must_use]
    pub fn are_watched(&self) -> bool {
        self.0.watches.load(Ordering::SeqCst) > 0
    }

    /// Notifies all watches: something has changed that is not known here.
    pub fn tell_all(&self) {
        if self.0.watches.load(Ordering::SeqCst) == 0 {
            return;
        }
        for of_participant in self.0.watched.lock().values() {
            for one in std::iter::once(&of_participant.any).chain(of_participant.by_key.values()) {
                one.changes.send_replace(());
            }
        }
    }
}

impl ChangeWatch {
    /// Returns when what is watched has changed since the last call, or since the watch was created.
    /// Cancel-safe: no notification is lost.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // Can't happen: the sender lives as long as the watch.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for ChangeWatch {
    fn drop(&mut self) {
        let mut watched = self.told_by.0.watched.lock();
        self.told_by.0.watches.fetch_sub(1, Ordering::SeqCst);
        let Some(of_participant) = watched.get_mut(&self.participant) else {
            return;
        };
        match &self.key {
            None => of_participant.any.watches -= 1,
            Some(key) => {
                if let Some(one) = of_participant.by_key.get_mut(key) {
                    one.watches -= 1;
                    if one.watches == 0 {
                        of_participant.by_key.remove(key);
                    }
                }
            }
        }
        if of_participant.any.watches == 0 && of_participant.by_key.is_empty() {
            watched.remove(&self.participant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_told(watch: &mut ChangeWatch) -> bool {
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
    fn a_change_of_any_aggregate_is_told_to_the_watches_of_its_participant() {
        let changes = Changes::default();
        let (mut one, mut same) = (changes.watch_any(1), changes.watch_any(1));
        let mut other = changes.watch_any(2);
        let mut of_key = changes.watch(1, "a");
        changes.tell(1, "b");
        assert!(is_told(&mut one) && is_told(&mut same));
        assert!(!is_told(&mut other) && !is_told(&mut of_key));
        drop(one);
        changes.tell(1, "a");
        assert!(is_told(&mut same) && is_told(&mut of_key));
        drop((same, other, of_key));
        assert!(changes.0.watched.lock().is_empty());
        assert_eq!(changes.0.watches.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_change_that_is_not_known_is_told_to_all() {
        let changes = Changes::default();
        let mut watches = [
            changes.watch(1, "a"),
            changes.watch(2, "b"),
            changes.watch_any(1),
        ];
        changes.tell_all();
        assert!(watches.iter_mut().all(is_told));
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
