//! One request: route, body, schema, command, answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Response, StatusCode};
use saga_core::admit;
use saga_core::description::KeySource;
use saga_core::outcome::Reply;
use serde_json::Value;

use super::problem::{self, Place, Problem};
use super::routes::{self, Found, Route, Routes};
use crate::panics;
use crate::pipeline::{Answer, CommandCall, Participant};

/// Longest time that a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Answers the requests for one participant.
pub struct Service {
    participant: Arc<Participant>,
    routes: Routes,
    body_bytes: usize,
}

type Answered = Response<Full<Bytes>>;

impl Service {
    /// A service for this participant, below this base path.
    ///
    /// # Errors
    /// Says which command can't be served and why.
    pub fn new(
        participant: Arc<Participant>,
        base_path: &str,
        body_bytes: usize,
    ) -> Result<Self, String> {
        let routes = Routes::new(participant.description(), base_path)?;
        Ok(Self {
            participant,
            routes,
            body_bytes,
        })
    }

    /// Answers one request. If it is dropped, a command that was handed over takes place all the same.
    pub async fn answer(&self, request: Request<Incoming>) -> Answered {
        self.serve(request)
            .await
            .unwrap_or_else(|problem| problem_response(&problem))
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Answered, Problem> {
        let (route, parameters) = match self.routes.find(request.method(), request.uri().path()) {
            Found::Route(route, parameters) => (route, parameters),
            Found::OtherMethods(methods) => return Ok(method_not_allowed(&request, &methods)),
            Found::Nothing => {
                let detail = format!("nothing is served at {}", request.uri().path());
                return Err(Problem::new(StatusCode::NOT_FOUND, "no-such-route", detail));
            }
            Found::BadPath(detail) => {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-path", detail));
            }
        };
        let traceparent = traceparent(&request);
        let (body, value) = self.body(route, request).await?;
        let key = self.key(route, &parameters, &value)?;
        let call = CommandCall {
            command: route.command.clone(),
            parameters,
            body,
            key,
            traceparent,
        };
        response(route, self.participant.command(call).await)
    }

    /// The body as text and as a value, checked against the route's schema.
    async fn body(
        &self,
        route: &Route,
        request: Request<Incoming>,
    ) -> Result<(String, Value), Problem> {
        let Some(schema) = &route.request else {
            return Ok(("null".into(), Value::Null));
        };
        check_media_type(&request)?;
        let bytes = self.read(request.into_body()).await?;
        let text = String::from_utf8(bytes.into())
            .map_err(|error| bad_json(format!("the body is not UTF-8: {error}")))?;
        if text.trim_start().is_empty() {
            return Err(bad_json(
                "the body is empty; a JSON object is expected".into(),
            ));
        }
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| bad_json(format!("the body is not JSON: {error}")))?;
        // What checks the body is a library, and the body comes from a stranger.
        let checked = panics::caught(|| schema.check(&value)).ok_or_else(|| {
            let detail = "the body could not be checked";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "check-failed", detail)
        })?;
        checked.map_err(|places| {
            let detail = places.iter().map(describe).collect::<Vec<_>>().join("; ");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", detail)
                .with_errors(places)
        })?;
        Ok((text, value))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Problem> {
        let limited = Limited::new(body, self.body_bytes).collect();
        match tokio::time::timeout(BODY_TIME, limited).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let detail = format!("the body is over the limit of {} bytes", self.body_bytes);
                Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body-too-large",
                    detail,
                ))
            }
            Ok(Err(error)) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "body-broken",
                format!("the body broke off: {error}"),
            )),
            Err(_) => {
                let detail = format!("the body did not arrive within {} s", BODY_TIME.as_secs());
                Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "body-too-slow",
                    detail,
                ))
            }
        }
    }

    /// The key of the aggregate; none where the host generates it.
    fn key(
        &self,
        route: &Route,
        parameters: &[(String, String)],
        body: &Value,
    ) -> Result<Option<String>, Problem> {
        let limits = self.participant.limits();
        match &route.key {
            KeySource::Generated => Ok(None),
            KeySource::PathParameter(name) => {
                let found = parameters.iter().find(|(parameter, _)| parameter == name);
                let key = found.map(|(_, value)| value.clone()).unwrap_or_default();
                admit::check_key(&key, limits).map_err(|reason| {
                    Problem::new(
                        StatusCode::BAD_REQUEST,
                        "bad-path",
                        format!("path parameter {name} {reason}"),
                    )
                })?;
                Ok(Some(key))
            }
            KeySource::Body(pointer) => {
                admit::key_at(body, pointer, limits)
                    .map(Some)
                    .map_err(|reason| {
                        Problem::new(
                            StatusCode::UNPROCESSABLE_ENTITY,
                            "invalid-body",
                            format!("the body {reason}"),
                        )
                        .with_errors(vec![Place {
                            pointer: pointer.clone(),
                            detail: reason,
                        }])
                    })
            }
        }
    }
}

fn describe(place: &Place) -> String {
    match place.pointer.as_str() {
        "" => place.detail.clone(),
        pointer => format!("{pointer}: {}", place.detail),
    }
}

fn bad_json(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-json", detail)
}

fn check_media_type(request: &Request<Incoming>) -> Result<(), Problem> {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let text = value.to_str().unwrap_or_default();
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        return Ok(());
    }
    let detail =
        format!("the body is announced as `{text}`; send it with content-type: application/json");
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        detail,
    ))
}

/// A W3C trace context, if the client sent one of the known form.
fn traceparent(request: &Request<Incoming>) -> Option<String> {
    let text = request.headers().get("traceparent")?.to_str().ok()?;
    let wanted = [2, 32, 16, 2];
    let lengths = text.split('-').map(str::len);
    let is_hex = text
        .bytes()
        .all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    (lengths.eq(wanted) && is_hex).then(|| text.to_owned())
}

fn response(route: &Route, answer: Answer) -> Result<Answered, Problem> {
    let (reply, key) = match answer {
        Answer::Replied(reply, key) => (reply, key),
        Answer::Malformed(reason) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", reason));
        }
        Answer::TryLater(reason) => {
            return Err(
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "try-later", reason).retry_after(1),
            );
        }
        Answer::StoreFailed(fault) => {
            let detail = format!("the store failed and nothing was changed: {fault}");
            return Err(
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-failed", detail)
                    .retry_after(1),
            );
        }
        Answer::Broke(fault) => {
            let detail = format!("the rules broke and nothing was changed: {fault}");
            return Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "rules-broke",
                detail,
            ));
        }
    };
    let (body, settled) = match reply {
        Reply::Done(body) => (body, true),
        Reply::Pending(body) => (body, false),
        Reply::Refused(refusal) => return Err(Problem::refused(refusal)),
    };
    let status = match (route.creates, settled) {
        (true, _) => StatusCode::CREATED,
        (false, true) => StatusCode::OK,
        (false, false) if route.method == hyper::Method::GET => StatusCode::OK,
        (false, false) => StatusCode::ACCEPTED,
    };
    let mut response = json_response(status, "application/json", body);
    if let Some(template) = &route.location
        && let Ok(location) = HeaderValue::from_str(&routes::location(template, &key))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn method_not_allowed(request: &Request<Incoming>, methods: &[&str]) -> Answered {
    let allow = methods.join(", ");
    let detail = format!(
        "{} is not served at {}; these are: {allow}",
        request.method(),
        request.uri().path()
    );
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail);
    let mut response = problem_response(&problem);
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
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

fn json_response(status: StatusCode, media_type: &'static str, body: String) -> Answered {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
