//! Steps that all HTTP services share: reading a bounded body, answering JSON, answering a problem.
//!
//! Must not know: routes, clients, the meaning of requests.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};

pub use super::body::AnswerBody;
use super::correlation;
use super::problem::{self, Problem};
use crate::apidocs::problems::Kind;
use crate::apidocs::resource::{Lasting, Resource};
use crate::base::budget::{Budget, Reserved};

/// Bytes that are allocated at once on the strength of an announced length.
const ROOM: u64 = 64 << 10;

/// A response.
pub type Answered = Response<AnswerBody>;

/// A body that is complete.
#[must_use]
pub fn whole(body: impl Into<Bytes>) -> AnswerBody {
    AnswerBody::own(body.into())
}

/// Reads a body of at most `bytes` bytes within this time; its size is charged to the budget.
///
/// # Errors
/// 413 over the bound, 408 after the time, 400 if the body breaks off, 503 if the budget is used
/// up.
pub async fn read_body(
    body: Incoming,
    bytes: usize,
    time: Duration,
    budget: &Budget,
) -> Result<(Vec<u8>, Reserved), Problem> {
    match tokio::time::timeout(time, collect(body, bytes, budget)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(
            Kind::BodyTooSlow,
            format!("the body did not arrive within {} s", time.as_secs()),
        )),
    }
}

async fn collect(
    mut body: Incoming,
    bytes: usize,
    budget: &Budget,
) -> Result<(Vec<u8>, Reserved), Problem> {
    let room = body.size_hint().lower().min(ROOM);
    let mut read = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
    let mut reserved = budget.nothing();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(Kind::BodyBroken, format!("the body broke off: {error}"))
        })?;
        let Some(part) = frame.data_ref() else {
            continue;
        };
        if part.len() > bytes - read.len() {
            return Err(Problem::new(
                Kind::BodyTooLarge,
                format!("the body is over the limit of {bytes} bytes"),
            ));
        }
        if !reserved.try_grow(part.len()) {
            return Err(too_many_bytes(budget));
        }
        read.extend_from_slice(part);
    }
    Ok((read, reserved))
}

/// The problem of a request for which the budget has no room.
#[must_use]
pub fn too_many_bytes(budget: &Budget) -> Problem {
    let detail = format!(
        "requests in flight and answers that clients have not taken hold {} bytes already; send the request again in a moment",
        budget.most()
    );
    Problem::new(Kind::TooManyBytes, detail).retry_after(1)
}

/// Refuses compressed bodies.
///
/// # Errors
/// 415 if `Content-Encoding` names an encoding.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(other) = encodings.find(|one| !one.as_bytes().eq_ignore_ascii_case(b"identity"))
    else {
        return Ok(());
    };
    let detail = format!(
        "the body is announced with content-encoding: {}; send it as it is, without that header",
        String::from_utf8_lossy(other.as_bytes())
    );
    Err(Problem::new(Kind::UnsupportedEncoding, detail))
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

/// A response with these bytes of this media type.
#[must_use]
pub fn bytes_response(media_type: &'static str, bytes: Vec<u8>) -> Answered {
    let mut response = Response::new(AnswerBody::shared(bytes.into()));
    let media_type = HeaderValue::from_static(media_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    response
}

/// A response with problem details, whose `type` links to a page below this base path.
#[must_use]
pub fn problem_response(problem: &Problem, base_path: &str) -> Answered {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_response(status, problem::MEDIA_TYPE, problem.json(base_path));
    if let Some(seconds) = problem.retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    if let Some((name, value)) = problem.header.as_deref()
        && let Ok(value) = HeaderValue::from_str(value)
    {
        response.headers_mut().insert(name.clone(), value);
    }
    if let Some(correlation) = &problem.correlation {
        correlation::mark(&mut response, correlation);
    }
    response
}

/// The response to OPTIONS: these methods.
#[must_use]
pub fn options(methods: &[&str]) -> Answered {
    let mut response = Response::new(whole(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(allow) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Sends a reader to another path.
#[must_use]
pub fn see_other(path: &str) -> Answered {
    let mut response = Response::new(whole(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}

/// The problem of a path that exists, but only for these methods.
#[must_use]
pub fn method_not_allowed(method: &Method, path: &str, methods: &[&str]) -> Problem {
    let allow = methods.join(", ");
    let detail = format!("{method} is not served at {path}; these are: {allow}");
    Problem::new(Kind::MethodNotAllowed, detail).with_header(header::ALLOW, allow)
}

/// The problem of an unknown path.
#[must_use]
pub fn nothing_at(path: &str) -> Problem {
    let detail = format!("nothing is served at {path}");
    Problem::new(Kind::NoSuchRoute, detail)
}

/// The response to a request for a static resource.
///
/// # Errors
/// 405 for methods other than GET, HEAD and OPTIONS.
pub fn resource_response(
    resource: Cow<'_, Resource>,
    method: &Method,
    path: &str,
) -> Result<Answered, Problem> {
    let methods = ["GET", "HEAD", "OPTIONS"];
    if method == Method::OPTIONS {
        return Ok(options(&methods));
    }
    // hyper leaves out the body of an answer to HEAD.
    if method != Method::GET && method != Method::HEAD {
        return Err(method_not_allowed(method, path, &methods));
    }
    let body = match &resource {
        Cow::Borrowed(shared) => AnswerBody::shared(shared.body.clone()),
        Cow::Owned(own) => AnswerBody::own(own.body.clone()),
    };
    let mut response = Response::new(body);
    let media_type = HeaderValue::from_static(resource.media_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, media_type);
    let answered = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&resource.etag) {
        answered.insert(header::ETAG, etag);
    }
    let lasting = match resource.lasting {
        Lasting::Checked => "no-cache",
        Lasting::AnHour => "public, max-age=3600",
    };
    answered.insert(header::CACHE_CONTROL, HeaderValue::from_static(lasting));
    let nosniff = HeaderValue::from_static("nosniff");
    answered.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    if let Some(policy) = resource.policy {
        let policy = HeaderValue::from_static(policy);
        answered.insert(header::CONTENT_SECURITY_POLICY, policy);
        answered.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
    }
    Ok(response)
}
