//! The header `Saga-Correlation`: the saga that a request belongs to, and that an answer names.
//!
//! A command for an aggregate goes on under the saga that created it, unless the client names
//! another one. Must not know: how the saga of an aggregate is kept.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::answer::Answered;
use super::problem::Problem;
use crate::apidocs::problems::Kind;

/// The header of requests and answers.
const CORRELATION: HeaderName = HeaderName::from_static("saga-correlation");

/// Longest correlation, in characters.
const LONGEST: usize = 255;

/// The saga that the client names; `None` if it names none.
///
/// # Errors
/// The header is no correlation, or was sent more than once.
pub(super) fn given(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(CORRELATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if values.next().is_some() || !is_plain || !(1..=LONGEST).contains(&text.len()) {
        let detail = format!(
            "the header Saga-Correlation is not one id of 1 to {LONGEST} visible ASCII characters; \
             send the one of an earlier answer, or none"
        );
        return Err(Problem::new(Kind::BadCorrelation, detail));
    }
    Ok(Some(text.to_owned()))
}

/// Names the saga in an answer.
pub(super) fn mark(response: &mut Answered, correlation: &str) {
    // Other hosts' events may carry what no header can.
    if let Ok(value) = HeaderValue::from_str(correlation) {
        response.headers_mut().insert(CORRELATION, value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn one_id_of_visible_characters_is_taken() {
        let given = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CORRELATION, HeaderValue::from_str(value).unwrap());
            }
            given(&headers)
        };
        assert_eq!(given(&[]).unwrap(), None);
        assert_eq!(given(&["saga-1"]).unwrap().as_deref(), Some("saga-1"));
        let long = "x".repeat(256);
        for values in [&[""][..], &["two words"], &["a", "b"], &[&long], &["ü"]] {
            let problem = given(values).unwrap_err();
            assert_eq!(
                (problem.status, &*problem.word),
                (400, "bad-correlation"),
                "{values:?}"
            );
        }
    }
}
