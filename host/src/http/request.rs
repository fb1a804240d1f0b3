//! The parts of a request: its body, the key of its aggregate, its trace context.
//!
//! Must not know: decisions and answers.

use std::time::Duration;

use hyper::Method;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use saga_contract::description::KeySource;
use saga_contract::json;
use saga_core::admit;
use saga_core::limits::TurnLimits;
use serde_json::Value;

use super::answer::{check_encoding, read_body};
use super::cors::Cors;
use super::origin;
use super::problem::{Problem, try_later};
use super::routes::Route;
use crate::apidocs::problems::Kind;
use crate::base::budget::{Budget, Reserved};
use saga_contract::values::{BodyError, Schema, SchemaError};

/// Longest time for sending a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The body of a request, which can be read from the client once.
pub(super) enum Body {
    Unread(Incoming),
    Read(String),
    /// Handed to the rules, or unreadable.
    Gone,
}

/// The body as text, with its reservation. It is `null` if the route takes none, or allows `null` and
/// got an empty one.
pub(super) async fn text(
    route: &Route,
    head: &Parts,
    body: &mut Body,
    (bodies, cors): (&Bodies, &Cors),
) -> Result<(String, Option<Reserved>), Problem> {
    let is_optional = route.request.as_ref().is_none_or(Schema::allows_null);
    if route.request.is_none() || (is_optional && is_left_out(head, body)) {
        if head.method == Method::POST && !route.reads && !origin::is_deliberate(head, cors) {
            let detail = "a POST without a body needs a header that pages of other origins can't send: \
                          content-type: application/json, or an Idempotency-Key";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        return Ok(("null".into(), None));
    }
    check_media_type(&head.headers)?;
    check_encoding(&head.headers)?;
    match std::mem::replace(body, Body::Gone) {
        Body::Unread(incoming) => {
            let (read, reserved) =
                read_body(incoming, bodies.bytes, BODY_TIME, &bodies.budget).await?;
            let text = String::from_utf8(read)
                .map_err(|error| bad_json(format!("the body is not UTF-8: {error}")))?;
            if is_optional && text.trim_ascii().is_empty() {
                return Ok(("null".into(), Some(reserved)));
            }
            Ok((text, Some(reserved)))
        }
        Body::Read(text) => {
            let reserved = bodies.budget.reserve(text.len());
            Ok((text, Some(reserved)))
        }
        Body::Gone => Err(try_later("the body can't be read twice".into())),
    }
}

/// True if a request has no body, and announces none.
fn is_left_out(head: &Parts, body: &Body) -> bool {
    let is_empty = matches!(body, Body::Unread(incoming) if incoming.is_end_stream());
    is_empty && !head.headers.contains_key(header::CONTENT_TYPE)
}

/// Bounds of request bodies.
#[derive(Debug, Clone)]
pub struct Bodies {
    /// Most bytes of one body.
    pub bytes: usize,
    /// Most bytes of all bodies together, and of responses that clients have not read.
    pub budget: Budget,
    /// True if bodies are checked against the schemas of their routes.
    pub are_checked: bool,
}

/// The body as a value, checked against the route's schema.
pub(super) fn checked(route: &Route, text: &str, bodies: &Bodies) -> Result<Value, Problem> {
    let Some(schema) = &route.request else {
        return Ok(Value::Null);
    };
    if text.trim_start().is_empty() {
        let expected = schema.expected();
        return Err(bad_json(format!(
            "the body is empty; {expected} is expected, as JSON"
        )));
    }
    let value = json::parse(text).map_err(|reason| bad_json(format!("the body {reason}")))?;
    if !bodies.are_checked {
        return Ok(value);
    }
    schema
        .check(&value, text.len())
        .map_err(|wrong| match wrong {
            SchemaError::Places(places) => {
                let detail = places
                    .iter()
                    .map(BodyError::to_string)
                    .collect::<Vec<_>>()
                    .join("; ");
                Problem::new(Kind::InvalidBody, detail).with_errors(places)
            }
            SchemaError::Broke => Problem::new(Kind::CheckFailed, "the body could not be checked"),
        })?;
    Ok(value)
}

/// The key of the aggregate; `None` if the host generates it.
pub(super) fn key(
    route: &Route,
    parameters: &[(String, String)],
    body: &Value,
    limits: &TurnLimits,
) -> Result<Option<String>, Problem> {
    match &route.key {
        KeySource::Generated => Ok(None),
        KeySource::PathParameter(name) => {
            let found = parameters.iter().find(|(parameter, _)| parameter == name);
            let key = found.map(|(_, value)| value.clone()).unwrap_or_default();
            admit::check_key(&key, limits).map_err(|reason| {
                Problem::new(Kind::BadPath, format!("path parameter {name} {reason}"))
            })?;
            Ok(Some(key))
        }
        KeySource::Body(pointer) => {
            admit::key_at(body, pointer, limits)
                .map(Some)
                .map_err(|reason| {
                    Problem::new(Kind::InvalidBody, format!("the body {reason}")).with_errors(vec![
                        BodyError {
                            pointer: pointer.clone(),
                            detail: reason,
                        },
                    ])
                })
        }
    }
}

fn bad_json(detail: String) -> Problem {
    Problem::new(Kind::BadJson, detail)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    if origin::is_json(headers) {
        return Ok(());
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let detail = match (types.next(), types.next()) {
        (Some(_), Some(_)) => "the request has several headers content-type".into(),
        (Some(one), None) => {
            let text = String::from_utf8_lossy(one.as_bytes());
            format!("the body is announced as `{text}`")
        }
        (None, _) => "the body is not announced".to_owned(),
    };
    let detail = format!("{detail}; send it with content-type: application/json");
    Err(Problem::new(Kind::UnsupportedMediaType, detail))
}

/// The W3C trace context, if the client sent a valid one.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let wanted = [2, 32, 16, 2];
    let lengths = text.split('-').map(str::len);
    let is_hex = text
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    (lengths.eq(wanted) && is_hex).then(|| text.to_owned())
}
