//! The aggregates that a worker remembers.
//!
//! A worker has all turns of its keys, so what it remembers of them is what is so. An aggregate
//! whose last change is not yet committed must not be forgotten: the store would give an older one.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

/// Aggregates that one worker remembers at most.
const AGGREGATES: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// Bytes of a state up to which it is remembered; larger ones are read each time.
const STATE_BYTES: usize = 16 << 10;

/// An aggregate as the last turn left it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// Its state; none where there is no such aggregate.
    pub state: Option<Arc<str>>,
    /// Its revision; 0 where there never was one.
    pub revision: u64,
    /// Version of the shape of the state.
    pub state_version: u32,
    /// Ticket of the entry that last changed it; 0 where it was read from the store.
    pub ticket: u64,
}

/// What a worker remembers.
pub struct Cache(LruCache<String, Aggregate>);

impl Default for Cache {
    fn default() -> Self {
        Self(LruCache::new(AGGREGATES))
    }
}

impl Cache {
    /// The aggregate of this key, if it is remembered.
    pub fn get(&mut self, key: &str) -> Option<Aggregate> {
        self.0.get(key).cloned()
    }

    /// Remembers an aggregate. `committed` is the highest ticket that is committed. Gives false
    /// where there is no room because everything remembered is still on its way to disk: then the
    /// caller has to wait for a commit.
    pub fn put(&mut self, key: &str, aggregate: Aggregate, committed: u64) -> bool {
        self.forget_large(committed);
        if let Some(known) = self.0.get_mut(key) {
            *known = aggregate;
            return true;
        }
        if self.0.len() == AGGREGATES.get() {
            match self.0.peek_lru() {
                Some((_, oldest)) if oldest.ticket > committed => return false,
                _ => {
                    self.0.pop_lru();
                }
            }
        }
        self.0.put(key.to_owned(), aggregate);
        true
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Forgets the oldest aggregates while they are large, so that the bound holds in bytes too.
    fn forget_large(&mut self, committed: u64) {
        while let Some((_, oldest)) = self.0.peek_lru() {
            let large = oldest
                .state
                .as_ref()
                .is_some_and(|state| state.len() > STATE_BYTES);
            if !large || oldest.ticket > committed {
                return;
            }
            self.0.pop_lru();
        }
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
}
