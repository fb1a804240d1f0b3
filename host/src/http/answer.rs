//! What every service does alike: reads a body within its bounds, answers JSON, answers a problem.
//!
//! Must not know: what is served, to whom, at which paths.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::problem::{self, Problem};

/// The body of an answer: whole, or a stream that goes on for a while.
pub type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// An answer.
pub type Answered = Response<AnswerBody>;

/// A body that is there already.
#[must_use]
pub fn whole(body: impl Into<Bytes>) -> AnswerBody {
    UnsyncBoxBody::new(Full::new(body.into()))
}

/// Reads a body of at most so many bytes, which has to arrive within this time.
///
/// # Errors
/// 413 over the bound, 408 past the time, 400 where the body broke off.
pub async fn read_body(body: Incoming, bytes: usize, time: Duration) -> Result<Bytes, Problem> {
    let limited = Limited::new(body, bytes).collect();
    match tokio::time::timeout(time, limited).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!("the body is over the limit of {bytes} bytes"),
        )),
        Ok(Err(error)) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "body-broken",
            format!("the body broke off: {error}"),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-too-slow",
            format!("the body did not arrive within {} s", time.as_secs()),
        )),
    }
}

/// A response with a body of this media type.
#[must_use]
pub fn json_response(status: StatusCode, media_type: &'static str, body: String) -> Answered {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A response with problem details.
#[must_use]
pub fn problem_response(problem: &Problem) -> Answered {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_string(problem).unwrap_or_default();
    let mut response = json_response(status, problem::MEDIA_TYPE, body);
    if let Some(seconds) = problem.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The answer where the path exists, for these methods only.
#[must_use]
pub fn method_not_allowed(method: &Method, path: &str, methods: &[&str]) -> Answered {
    let allow = methods.join(", ");
    let detail = format!("{method} is not served at {path}; these are: {allow}");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
    let mut response = problem_response(&problem);
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// The answer to who asks what may be done at a path: these methods.
#[must_use]
pub fn options(methods: &[&str]) -> Answered {
    let mut response = Response::new(whole(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// The problem of a path where there is nothing.
#[must_use]
pub fn nothing_at(path: &str) -> Problem {
    let detail = format!("nothing is served at {path}");
    Problem::new(StatusCode::NOT_FOUND, "no-such-route", detail)
}
