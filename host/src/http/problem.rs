//! Errors as RFC 9457 problem details (`application/problem+json`).

use hyper::header::HeaderName;
use saga_contract::reason::shorten;
use saga_core::outcome::Refusal;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::apidocs::problems::{self, Kind};
use crate::apidocs::refusal_status;
use crate::base::printable::{self, escaped};
use saga_contract::values::BodyError;

/// Media type of problem details.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Problem details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A stable word for the kind of problem: the last segment of `type`.
    #[serde(skip)]
    pub word: Box<str>,
    /// The HTTP status, repeated.
    pub status: u16,
    /// The error and its remedy, truncated if long.
    pub detail: String,
    /// The invalid places of the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<BodyError>,
    /// Members of this kind of problem. Boxed, since few have any.
    #[serde(flatten)]
    pub members: Option<Box<Map<String, Value>>>,
    /// Seconds for the `Retry-After` header.
    #[serde(skip)]
    pub retry_after: Option<u32>,
    /// A header of this kind of problem, such as `Allow`. Boxed, since few have any.
    #[serde(skip)]
    pub header: Option<Box<(HeaderName, String)>>,
    /// The saga, for the `Saga-Correlation` header.
    #[serde(skip)]
    pub correlation: Option<Box<str>>,
}

impl Problem {
    /// A problem of one of the host's own kinds. The detail may quote foreign text and is escaped,
    /// since people read it on terminals.
    #[must_use]
    pub fn new(kind: Kind, detail: impl AsRef<str>) -> Self {
        let detail = escaped(detail.as_ref()).into_owned();
        Self::of(kind.status(), kind.word(), detail)
    }

    fn of(status: u16, word: &str, detail: String) -> Self {
        Self {
            word: word.into(),
            status,
            // It may quote a client's input.
            detail: shorten(detail),
            errors: Vec::new(),
            members: None,
            retry_after: None,
            header: None,
            correlation: None,
        }
    }

    /// The problem as JSON, whose `type` links to a page below this base path.
    #[must_use]
    pub fn json(&self, base_path: &str) -> String {
        #[derive(Serialize)]
        struct Details<'p> {
            #[serde(rename = "type")]
            kind: String,
            /// The kind as text.
            title: String,
            #[serde(flatten)]
            problem: &'p Problem,
        }
        let details = Details {
            kind: problems::page(base_path, &self.word),
            title: problems::title(&self.word),
            problem: self,
        };
        printable::json(serde_json::to_string(&details).unwrap_or_default())
    }

    /// Adds invalid places, each truncated if long.
    #[must_use]
    pub fn with_errors(self, mut errors: Vec<BodyError>) -> Self {
        for place in &mut errors {
            place.pointer = shorten(std::mem::take(&mut place.pointer));
            place.detail = shorten(std::mem::take(&mut place.detail));
        }
        Self { errors, ..self }
    }

    /// Adds members of this kind of problem.
    #[must_use]
    pub fn with_members(self, members: Map<String, Value>) -> Self {
        Self {
            members: Some(Box::new(members)),
            ..self
        }
    }

    /// Adds the time after which the client may retry.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// Adds a header of this kind of problem.
    #[must_use]
    pub fn with_header(self, name: HeaderName, value: String) -> Self {
        Self {
            header: Some(Box::new((name, value))),
            ..self
        }
    }

    /// A refusal.
    #[must_use]
    pub fn refused(refusal: Refusal) -> Self {
        let errors = refusal.pointer.map(|pointer| BodyError {
            pointer,
            detail: refusal.detail.clone(),
        });
        let status = refusal_status(refusal.kind);
        Self::of(status, &refusal.code, refusal.detail).with_errors(errors.into_iter().collect())
    }
}

/// The problem of a request that can't be taken at the moment.
#[must_use]
pub fn try_later(detail: String) -> Problem {
    Problem::new(Kind::TryLater, detail).retry_after(1)
}

/// The problem of a request that meets the end of the host.
pub(super) fn stopping() -> Problem {
    try_later("the host is stopping".into())
}

#[cfg(test)]
mod tests {
    use saga_contract::description::RefusalKind;

    use super::*;

    #[test]
    fn foreign_text_in_a_problem_is_shortened() {
        let digits = "1".repeat(1_000_000);
        let place = BodyError {
            pointer: format!("/{digits}"),
            detail: digits.clone(),
        };
        let refusal = Refusal {
            kind: RefusalKind::Invalid,
            code: "no".into(),
            detail: digits.clone(),
            pointer: Some(format!("/{digits}")),
        };
        for problem in [
            Problem::new(Kind::InvalidBody, digits).with_errors(vec![place]),
            Problem::refused(refusal),
        ] {
            let told = problem.json("/base");
            assert!(told.len() < 4_000, "{} bytes", told.len());
        }
    }

    #[test]
    fn foreign_text_in_a_problem_steers_no_terminal() {
        let steers = "no\nforged\u{1b}[2J\u{9b}\u{202e}";
        let places = vec![BodyError {
            pointer: format!("/{steers}"),
            detail: "is wrong".into(),
        }];
        let problem = Problem::new(Kind::Malformed, steers).with_errors(places);
        let text = problem.json("");
        assert!(!text.contains(printable::is_escaped), "{text}");
        let told: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(
            told.get("detail").and_then(Value::as_str),
            Some("no\\nforged\\u{1b}[2J\\u{9b}\\u{202e}")
        );
        // A place is data by which a program finds the value.
        let pointer = told.pointer("/errors/0/pointer").and_then(Value::as_str);
        assert_eq!(pointer, Some(format!("/{steers}").as_str()));
    }
}
