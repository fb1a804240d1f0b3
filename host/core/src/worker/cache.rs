//! The aggregates that a worker remembers.
//!
//! A worker has all turns of its keys, so what it remembers of them is what is so. An aggregate
//! whose last change is not yet committed must not be forgotten: the store would give an older one.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

/// Aggregates that one worker remembers at most.
const AGGREGATES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Bytes of the states that one worker remembers at most, but for those on their way to disk.
const BYTES: usize = 16 << 20;

/// An aggregate as the last turn left it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Aggregate {
    /// Its state; none where there is no such aggregate.
    pub(super) state: Option<Arc<str>>,
    /// Its revision; 0 where there never was one.
    pub(super) revision: u64,
    /// Version of the shape of the state.
    pub(super) state_version: u32,
    /// Ticket of the entry that last changed it; 0 where it was read from the store.
    pub(super) ticket: u64,
    /// Ticket of the last entry that was decided on it, changed or not.
    pub(super) last: u64,
}

/// What a worker remembers.
pub(super) struct Cache {
    aggregates: LruCache<String, Aggregate>,
    /// Bytes of their states.
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            aggregates: LruCache::new(AGGREGATES),
            bytes: 0,
        }
    }
}

impl Aggregate {
    fn bytes(&self) -> usize {
        self.state.as_ref().map_or(0, |state| state.len())
    }
}

impl Cache {
    /// The aggregate of this key, if it is remembered.
    pub(super) fn get(&mut self, key: &str) -> Option<Aggregate> {
        self.aggregates.get(key).cloned()
    }

    /// The aggregate of this key, to be changed, if it is remembered.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Aggregate> {
        self.aggregates.get_mut(key)
    }

    /// The same without a sign that it was used.
    pub(super) fn peek(&self, key: &str) -> Option<&Aggregate> {
        self.aggregates.peek(key)
    }

    /// Forgets an aggregate.
    pub(super) fn forget(&mut self, key: &str) {
        if let Some(forgotten) = self.aggregates.pop(key) {
            self.bytes -= forgotten.bytes();
        }
    }

    /// Remembers an aggregate. `settled` is the ticket up to which all entries have their fate.
    /// Gives false where there is no room because everything remembered is still on its way to
    /// disk: then the caller has to wait for a commit.
    pub(super) fn put(&mut self, key: &str, aggregate: Aggregate, settled: u64) -> bool {
        if let Some(known) = self.aggregates.get_mut(key) {
            self.bytes = self.bytes - known.bytes() + aggregate.bytes();
            *known = aggregate;
            return true;
        }
        while self.aggregates.len() == AGGREGATES.get() || self.bytes > BYTES {
            match self.aggregates.peek_lru() {
                Some((_, oldest)) if oldest.last > settled => return false,
                _ => {}
            }
            let Some((_, forgotten)) = self.aggregates.pop_lru() else {
                break;
            };
            self.bytes -= forgotten.bytes();
        }
        self.bytes += aggregate.bytes();
        self.aggregates.put(key.to_owned(), aggregate);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregate(ticket: u64) -> Aggregate {
        Aggregate {
            state: Some("{}".into()),
            revision: 1,
            state_version: 1,
            ticket,
            last: ticket,
        }
    }

    #[test]
    fn what_is_not_committed_is_not_forgotten() {
        let mut cache = Cache::default();
        for number in 0..AGGREGATES.get() {
            assert!(cache.put(&number.to_string(), aggregate(number as u64 + 1), 0));
        }
        assert!(
            !cache.put("one more", aggregate(9_999), 0),
            "all are still on their way to disk"
        );
        assert_eq!(cache.get("0"), Some(aggregate(1)));
        // "0" was used last; "1" is the oldest now.
        assert!(cache.put("one more", aggregate(9_999), 2));
        assert_eq!(cache.get("1"), None);
        assert_eq!(cache.get("0"), Some(aggregate(1)));
    }

    #[test]
    fn large_states_are_forgotten_though_there_are_few() {
        let mut cache = Cache::default();
        let large: Arc<str> = "x".repeat(256 << 10).into();
        let put = |cache: &mut Cache, key: &str, state: &Arc<str>, ticket| {
            let aggregate = Aggregate {
                state: Some(state.clone()),
                revision: 1,
                state_version: 1,
                ticket,
                last: ticket,
            };
            cache.put(key, aggregate, 1_000)
        };
        assert!(put(&mut cache, "small and oldest", &"{}".into(), 1));
        for number in 0..200 {
            assert!(put(&mut cache, &number.to_string(), &large, 1));
        }
        assert!(cache.bytes <= BYTES + large.len(), "{} bytes", cache.bytes);
        assert!(cache.get("199").is_some() && cache.get("0").is_none());
        // The same aggregate again and again takes its place once.
        for _ in 0..200 {
            assert!(put(&mut cache, "199", &large, 1));
        }
        assert!(cache.bytes <= BYTES + large.len(), "{} bytes", cache.bytes);
        // What is on its way to disk is kept, and whoever brings more has to wait.
        for number in 0..200 {
            if !put(&mut cache, &format!("new {number}"), &large, 2_000) {
                assert!(cache.bytes > BYTES);
                return;
            }
        }
        unreachable!("it never had to wait");
    }
}
