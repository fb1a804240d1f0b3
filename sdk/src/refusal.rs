//! [`RefusalType`]: a refusal's kind, code and summary under one name.
//!
//! A rule declares each as a constant, and uses that constant where a command declares it, where a handler refuses and in its
//! tests, so that the code stands once.

use crate::bindings::saga::participant::types as wit;

pub use wit::RefusalKind;

/// A type of refusal that a command may answer.
///
/// ```
/// use saga_sdk::{Refusal, RefusalKind, RefusalType};
///
/// const TAKEN: RefusalType = RefusalType::conflict("taken", "The room is not free.");
/// assert_eq!((TAKEN.kind(), TAKEN.code()), (RefusalKind::Conflict, "taken"));
/// let refusal = Refusal::new(TAKEN, "The room is not free: take another.").at("/room");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalType {
    kind: RefusalKind,
    code: &'static str,
    summary: &'static str,
}

impl RefusalType {
    /// A type of refusal. `code` is a stable word for programs, `summary` one sentence for the API document.
    pub const fn new(kind: RefusalKind, code: &'static str, summary: &'static str) -> Self {
        Self {
            kind,
            code,
            summary,
        }
    }

    /// The request makes no sense to the rules.
    pub const fn invalid(code: &'static str, summary: &'static str) -> Self {
        Self::new(RefusalKind::Invalid, code, summary)
    }

    /// There is no such aggregate.
    pub const fn not_found(code: &'static str, summary: &'static str) -> Self {
        Self::new(RefusalKind::NotFound, code, summary)
    }

    /// The aggregate's state does not allow it.
    pub const fn conflict(code: &'static str, summary: &'static str) -> Self {
        Self::new(RefusalKind::Conflict, code, summary)
    }

    /// The caller may not.
    pub const fn forbidden(code: &'static str, summary: &'static str) -> Self {
        Self::new(RefusalKind::Forbidden, code, summary)
    }

    /// Its kind.
    pub const fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// Its code.
    pub const fn code(&self) -> &'static str {
        self.code
    }

    pub(crate) fn describe(&self) -> wit::RefusalDescription {
        wit::RefusalDescription {
            kind: self.kind,
            code: self.code.to_owned(),
            summary: self.summary.to_owned(),
        }
    }
}
