//! Faults of the store, by what follows from them.

use std::fmt;
use std::sync::Arc;

/// The store could not do it; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreFault(pub Cause);

/// Why the store could not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    text: Arc<str>,
    kind: FaultKind,
}

/// The consequence of a fault of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It may pass: a full disk, a lack of memory or descriptors, a state that did not come to be.
    Passing,
    /// What is stored is damaged, or can't be read. It does not pass.
    Damaged,
    /// The files that are open are not the ones at the store's path any more.
    Gone,
}

impl StoreFault {
    /// A fault of this kind.
    #[must_use]
    pub fn new(kind: FaultKind, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Self(Cause { text, kind })
    }

    /// What follows from it.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.0.kind
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        StoreFault::new(FaultKind::Passing, text).0
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Self {
        StoreFault::new(FaultKind::Passing, text).0
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}
