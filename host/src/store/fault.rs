//! Faults of the store, by consequence.

use std::fmt;
use std::sync::Arc;

/// An operation of the store failed; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreFault(pub FaultCause);

/// The cause of a fault of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultCause {
    text: Arc<str>,
    kind: StoreFaultKind,
}

/// The consequence of a fault of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFaultKind {
    /// It may pass: a full disk, a lack of memory or descriptors, a state that was not written.
    Passing,
    /// It was decided on something that did not come to be, or that another host has changed. It
    /// can be decided again at once.
    Superseded,
    /// Stored data is damaged or can't be read. It does not pass.
    Damaged,
    /// The open files are no longer the ones at the store's path.
    Gone,
}

impl StoreFault {
    /// A fault of this kind.
    #[must_use]
    pub fn new(kind: StoreFaultKind, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Self(FaultCause { text, kind })
    }

    /// Its consequence.
    #[must_use]
    pub fn kind(&self) -> StoreFaultKind {
        self.0.kind
    }
}

impl From<String> for FaultCause {
    fn from(text: String) -> Self {
        StoreFault::new(StoreFaultKind::Passing, text).0
    }
}

impl From<&str> for FaultCause {
    fn from(text: &str) -> Self {
        StoreFault::new(StoreFaultKind::Passing, text).0
    }
}

impl fmt::Display for FaultCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
