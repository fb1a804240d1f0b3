//! One request: route, body, schema, command, answer.
//!
//! Routes belong to a generation of the rules and are swapped with it. A request that was checked against
//! the routes of one generation and comes to the rules of the next, where its command is another, is
//! checked again: its client sees one answer, of one generation.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use saga_core::admit;
use saga_core::description::KeySource;
use saga_core::outcome::Reply;
use serde_json::Value;
use tokio::sync::watch;

use super::answer::{
    Answered, json_response, method_not_allowed, nothing_at, problem_response, read_body,
};
use super::problem::{Place, Problem};
use super::routes::{self, Found, Route, Routes};
use super::server::Answers;
use crate::panics;
use crate::pipeline::{Active, Answer, CommandCall, Participant};

/// Longest time that a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Longest time that the routes may be behind the rules.
const FOLLOW: Duration = Duration::from_secs(5);

/// How often a request is checked again at most, because the rules were swapped meanwhile.
const CHECKS: usize = 4;

/// Answers the requests for one participant.
pub struct Service {
    participant: Arc<Participant>,
    serving: watch::Sender<Arc<Serving>>,
    body_bytes: usize,
}

/// Routes, and the generation whose they are.
pub struct Serving {
    active: Arc<Active>,
    routes: Routes,
}

/// The body of a request, which can be read from the client once.
enum Body {
    Unread(Incoming),
    Read(String),
    /// It is on its way to the rules, or could not be read.
    Gone,
}

impl Serving {
    /// The routes of this generation, below this base path.
    ///
    /// # Errors
    /// Says which command can't be served and why.
    pub fn new(active: Arc<Active>, base_path: &str) -> Result<Self, String> {
        let routes = Routes::new(active.description(), base_path)?;
        Ok(Self { active, routes })
    }
}

/// If an answer is dropped, a command that was handed over takes place all the same.
impl Answers for Service {
    async fn answer(&self, request: Request<Incoming>) -> Answered {
        self.serve(request)
            .await
            .unwrap_or_else(|problem| problem_response(&problem))
    }
}

impl Service {
    /// A service for this participant.
    #[must_use]
    pub fn new(participant: Arc<Participant>, serving: Serving, body_bytes: usize) -> Self {
        Self {
            participant,
            serving: watch::Sender::new(Arc::new(serving)),
            body_bytes,
        }
    }

    /// Serves these routes from now on; gives those that were served before.
    pub fn swap(&self, serving: Serving) -> Arc<Serving> {
        self.serving.send_replace(Arc::new(serving))
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Answered, Problem> {
        let (head, body) = request.into_parts();
        let mut body = Body::Unread(body);
        for _ in 0..CHECKS {
            let serving = self.serving.borrow().clone();
            if let Some(answer) = self.serve_under(&serving, &head, &mut body).await? {
                return Ok(answer);
            }
            let mut swaps = self.serving.subscribe();
            let is_next = |now: &Arc<Serving>| !Arc::ptr_eq(now, &serving);
            // Where they don't follow, the next check finds that out too.
            let _ = tokio::time::timeout(FOLLOW, swaps.wait_for(is_next)).await;
        }
        let detail = "the rules were swapped several times while the request was checked";
        Err(try_later(detail.into()))
    }

    /// Answers under the routes of one generation; none where the rules are of another by now.
    async fn serve_under(
        &self,
        serving: &Serving,
        head: &Parts,
        body: &mut Body,
    ) -> Result<Option<Answered>, Problem> {
        let path = head.uri.path();
        let (route, parameters) = match serving.routes.find(&head.method, path) {
            Found::Route(route, parameters) => (route, parameters),
            Found::OtherMethods(methods) => {
                return Ok(Some(method_not_allowed(&head.method, path, &methods)));
            }
            Found::Nothing => return Err(nothing_at(path)),
            Found::BadPath(detail) => {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-path", detail));
            }
        };
        let (text, value) = self.body(route, head, body).await?;
        let key = self.key(route, &parameters, &value)?;
        let call = CommandCall {
            under: serving.active.clone(),
            command: route.command.clone(),
            parameters,
            body: text,
            key,
            traceparent: traceparent(&head.headers),
        };
        match self.participant.command(call).await {
            Answer::CheckAgain(text) => {
                if route.request.is_some() {
                    *body = Body::Read(text);
                }
                Ok(None)
            }
            answer => response(route, answer).map(Some),
        }
    }

    /// The body as text and as a value, checked against the route's schema.
    async fn body(
        &self,
        route: &Route,
        head: &Parts,
        body: &mut Body,
    ) -> Result<(String, Value), Problem> {
        let Some(schema) = &route.request else {
            return Ok(("null".into(), Value::Null));
        };
        check_media_type(&head.headers)?;
        let text = match std::mem::replace(body, Body::Gone) {
            Body::Unread(incoming) => {
                let bytes = read_body(incoming, self.body_bytes, BODY_TIME).await?;
                String::from_utf8(bytes.into())
                    .map_err(|error| bad_json(format!("the body is not UTF-8: {error}")))?
            }
            Body::Read(text) => text,
            Body::Gone => return Err(try_later("the body can't be read twice".into())),
        };
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

fn try_later(detail: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "try-later", detail).retry_after(1)
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
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
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
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
        Answer::TryLater(reason) => return Err(try_later(reason)),
        Answer::CheckAgain(_) => return Err(try_later("the rules were swapped".into())),
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
