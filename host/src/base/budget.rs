//! A bound on the memory that requests and answers hold together.
//!
//! Bytes are reserved before they are held, and released when their holder is dropped. Nothing
//! waits for room: a caller whose reservation fails refuses its request (invariant 9).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that all callers share; clones share it too.
#[derive(Debug, Clone)]
pub struct Budget(Arc<BudgetState>);

#[derive(Debug)]
struct BudgetState {
    most: usize,
    used: AtomicUsize,
}

/// Reserved bytes, released on drop. A clone reserves the same number again.
#[derive(Debug)]
pub struct Reserved {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// A budget of this many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(BudgetState {
            most,
            used: AtomicUsize::new(0),
        }))
    }

    /// Total number of bytes.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most
    }

    /// True if no byte is left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.used.load(Ordering::Relaxed) >= self.0.most
    }

    /// Reserves bytes; `None` if fewer are left.
    #[must_use]
    pub fn try_reserve(&self, bytes: usize) -> Option<Reserved> {
        let mut reserved = self.nothing();
        reserved.try_grow(bytes).then_some(reserved)
    }

    /// Reserves bytes even if fewer are left, for an answer that must be sent.
    #[must_use]
    pub fn reserve(&self, bytes: usize) -> Reserved {
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        Reserved {
            budget: self.clone(),
            bytes,
        }
    }

    /// An empty reservation, which can grow.
    #[must_use]
    pub fn nothing(&self) -> Reserved {
        Reserved {
            budget: self.clone(),
            bytes: 0,
        }
    }
}

impl Reserved {
    /// Bytes reserved here.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves more bytes. Returns false and changes nothing if fewer are left.
    #[must_use]
    pub fn try_grow(&mut self, more: usize) -> bool {
        let inner = &self.budget.0;
        let before = inner.used.fetch_add(more, Ordering::Relaxed);
        let fits = before
            .checked_add(more)
            .is_some_and(|used| used <= inner.most);
        if fits {
            self.bytes += more;
        } else {
            inner.used.fetch_sub(more, Ordering::Relaxed);
        }
        fits
    }
}

impl Clone for Reserved {
    fn clone(&self) -> Self {
        self.budget.reserve(self.bytes)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn reservations_are_released_and_never_exceed_the_budget() {
        let budget = Budget::new(10);
        let mut first = budget.try_reserve(6).unwrap();
        assert!(budget.try_reserve(5).is_none());
        assert!(!first.try_grow(5) && !budget.is_full());
        assert!(first.try_grow(4) && budget.is_full());
        assert!(budget.try_reserve(usize::MAX).is_none());
        drop(first);
        let all = budget.try_reserve(10).unwrap();
        let forced = (all.clone(), budget.reserve(5));
        assert!(budget.is_full() && budget.try_reserve(1).is_none());
        drop((all, forced));
        assert!(budget.try_reserve(10).is_some());
    }
}
