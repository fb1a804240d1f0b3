//! The cache of a worker's aggregates.
//!
//! A worker has all turns of its keys, so a cached aggregate is current. An aggregate whose last
//! change is not yet committed must not be evicted, since the store has an older one.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

/// Most aggregates that one worker caches.
const AGGREGATES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Most bytes of states that one worker caches, besides those in flight.
const BYTES: usize = 16 << 20;

/// An aggregate as the last turn left it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Aggregate {
    /// Its state; None if the aggregate does not exist.
    pub(super) state: Option<Arc<str>>,
    /// Its revision; 0 if it never existed.
    pub(super) revision: u64,
    /// Version of the shape of the state.
    pub(super) state_version: u32,
    /// Correlation of the saga that it belongs to; None if the aggregate does not exist.
    pub(super) correlation: Option<Arc<str>>,
    /// Ticket of the entry that last changed it; 0 if it was read from the store.
    pub(super) ticket: u64,
    /// Ticket of the last entry that was decided on it, with or without a change.
    pub(super) last: u64,
}

/// The cached aggregates.
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
    /// The aggregate of this key, if it is cached.
    pub(super) fn get(&mut self, key: &str) -> Option<Aggregate> {
        self.aggregates.get(key).cloned()
    }

    /// The aggregate of this key, to be modified, if it is cached.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Aggregate> {
        self.aggregates.get_mut(key)
    }

    /// The same, without counting as a use.
    pub(super) fn peek(&self, key: &str) -> Option<&Aggregate> {
        self.aggregates.peek(key)
    }

    /// Evicts an aggregate.
    pub(super) fn forget(&mut self, key: &str) {
        if let Some(forgotten) = self.aggregates.pop(key) {
            self.bytes -= forgotten.bytes();
        }
    }

    /// Caches an aggregate. All entries up to the ticket `settled` are settled. Returns false if
    /// there is no room because everything cached is still in flight; the caller must wait for a
    /// commit then.
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
            correlation: None,
            ticket,
            last: ticket,
        }
    }

    #[test]
    fn uncommitted_aggregates_are_not_evicted() {
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
                correlation: None,
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
        // Replacing an aggregate takes no further room.
        for _ in 0..200 {
            assert!(put(&mut cache, "199", &large, 1));
        }
        assert!(cache.bytes <= BYTES + large.len(), "{} bytes", cache.bytes);
        // Aggregates in flight are kept, and further ones have to wait.
        for number in 0..200 {
            if !put(&mut cache, &format!("new {number}"), &large, 2_000) {
                assert!(cache.bytes > BYTES);
                return;
            }
        }
        unreachable!("it never had to wait");
    }
}
