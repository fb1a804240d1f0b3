//! What is wrong, as RFC 9457 problem details (`application/problem+json`).

use hyper::StatusCode;
use saga_core::description::RefusalKind;
use saga_core::outcome::Refusal;
use serde::Serialize;
use serde_json::{Map, Value};

/// Media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A stable name of the kind of problem, as a URI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status, again.
    pub status: u16,
    /// What was wrong this time and what to do.
    pub detail: String,
    /// The places in the body that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Place>,
    /// Members of this kind of problem. Few have any, so they lie elsewhere.
    #[serde(flatten)]
    pub members: Option<Box<Map<String, Value>>>,
    /// Seconds after which to try again, for the `Retry-After` header.
    #[serde(skip)]
    pub retry_after: Option<u32>,
}

/// A place in the body that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// JSON pointer into the body; empty for the whole.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    /// A problem of one of the host's own kinds, named by a stable word.
    #[must_use]
    pub fn new(status: StatusCode, word: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:saga:problem:{word}"),
            title: title(word),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            members: None,
            retry_after: None,
        }
    }

    /// With the places that are wrong.
    #[must_use]
    pub fn with_errors(self, errors: Vec<Place>) -> Self {
        Self { errors, ..self }
    }

    /// With members of this kind of problem.
    #[must_use]
    pub fn with_members(self, members: Map<String, Value>) -> Self {
        Self {
            members: Some(Box::new(members)),
            ..self
        }
    }

    /// With the time after which the client may try again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// A business no.
    #[must_use]
    pub fn refused(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        };
        let errors = refusal.pointer.map(|pointer| Place {
            pointer,
            detail: refusal.detail.clone(),
        });
        Self::new(status, &refusal.code, refusal.detail).with_errors(errors.into_iter().collect())
    }
}

/// The problem of a request that can't be taken at the moment.
#[must_use]
pub fn try_later(detail: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "try-later", detail).retry_after(1)
}

/// `credit-limit-exceeded` → `Credit limit exceeded`.
fn title(word: &str) -> String {
    let mut title = word.replace(['-', '_'], " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}
