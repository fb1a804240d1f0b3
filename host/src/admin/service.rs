//! The admin interface: rules are swapped, and it is told how the host is.
//!
//! ```text
//! GET  /generations                       what decides, what has decided, what was refused
//! GET  /participants/{name}/generations   the same of one participant
//! PUT  /participants/{name}/component     the body is a component that shall decide
//! POST /participants/{name}/rollback      a generation that ran before ({"digest": "beginning of it"})
//!                                         both take ?drop-used=true, allow-breaking=true, dry-run=true
//! GET  /livez                             200 as long as the process runs
//! GET  /readyz                            200 as long as requests are taken, with what there is to know
//! GET  /problems/{word}                   a page on a kind of problem
//! GET  /metrics                           what is counted and measured, for Prometheus
//! ```
//!
//! Who may ask is decided first ([`Access`]), so that strangers learn nothing; only `/livez`, `/readyz` (strangers with one word) and
//! the pages on problems answer everyone. Must not know: how rules are swapped, transports, SQL.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::access::Access;
use super::readiness::Readiness;
use crate::apidocs;
use crate::apidocs::problems::Kind;
use crate::base::budget::Budget;
use crate::base::printable;
use crate::http::accept::Acceptor;
use crate::http::answer::{
    Answered, check_encoding, json_response, method_not_allowed, nothing_at, problem_response,
    read_body, resource_response, too_many_bytes,
};
use crate::http::problem::{Problem, try_later};
use crate::http::server::{self, Answers, Bounds, HealthOnly};
use crate::http::{origin, target};
use crate::metrics::Format;
use crate::metrics::requests::{Open, Requests};
use crate::rollout::flags::{ALLOW_BREAKING, DROP_USED, DRY_RUN, Flags};
use crate::rollout::report::{Applied, NotApplied, Way};
use crate::rollout::{Apply, Reloader};

/// Connections of the admin listener. It is for people and their scripts.
const CONNECTIONS: usize = 64;

/// Further connections, on which only health and metrics are answered: whoever watches over the host is answered however many others
/// are connected.
const RESERVE: usize = 64;

/// Bytes of answers that clients have not taken. Health is told beyond it too.
const ANSWER_BYTES: usize = 64 << 20;

/// Components that are in memory at once; further ones wait to be read.
const COMPONENTS: usize = 4;

/// Longest time that a client may take to send a component: 128 MiB at 9 Mbit/s.
const COMPONENT_TIME: Duration = Duration::from_secs(120);

/// Bytes of any other body.
const BODY_BYTES: usize = 4 << 10;

/// Longest time that a client may take to send any other body.
const BODY_TIME: Duration = Duration::from_secs(30);

const JSON: &str = "application/json";

/// Binds the address of the admin interface.
///
/// # Errors
/// Says which address, and what to do when it is in use.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    server::bind_or(
        "admin",
        address,
        "choose another with SAGA__ADMIN__LISTEN=ADDRESS:PORT",
    )
}

/// Serves until `stop`, then lets the requests under way finish. Stopped last, it can tell of the drain. How many connections
/// there may be is not among the bounds that are given.
pub async fn serve(listener: Acceptor, admin: Arc<Admin>, bounds: Bounds, stop: CancellationToken) {
    let bounds = Bounds {
        connections: CONNECTIONS,
        reserve: RESERVE,
        ..bounds
    };
    server::serve(listener, None, admin, bounds, stop).await;
}

/// Answers the operator's requests.
pub struct Admin {
    access: Access,
    reloader: Reloader,
    readiness: Readiness,
    exposition: Exposition,
    requests: Requests,
    component_bytes: usize,
    places: Semaphore,
    /// Of bodies, each of which has its own bound.
    bodies: Budget,
    answers: Budget,
}

/// Everything that is counted and measured, in a format; none where nothing is.
pub type Exposition =
    Arc<dyn Fn(Format) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

impl Admin {
    /// For who shows the token, or without one for who reaches the listener; takes components of at most so many
    /// bytes. Its connections are counted.
    #[must_use]
    pub fn new(
        token: Option<&str>,
        component_bytes: usize,
        reloader: Reloader,
        readiness: Readiness,
        (exposition, requests): (Exposition, Requests),
    ) -> Self {
        Self {
            access: Access::new(token),
            reloader,
            readiness,
            exposition,
            requests,
            component_bytes,
            places: Semaphore::new(COMPONENTS),
            bodies: Budget::new(usize::MAX),
            answers: Budget::new(ANSWER_BYTES),
        }
    }
}

/// If an answer is dropped, a swap that was handed over takes place all the same.
impl Answers for Admin {
    async fn answer(&self, mut request: Request<Incoming>) -> Answered {
        target::normalize(request.uri_mut());
        let is_health = self.is_urgent(&request);
        let is_reserve = request.extensions().get::<HealthOnly>().is_some();
        let answered = if is_reserve && !is_health {
            Err(crowded())
        } else {
            self.answer_to(request).await
        };
        let charged = answered.and_then(|response| {
            let bytes = response.body().unreserved();
            let reserved = match self.answers.try_reserve(bytes) {
                Some(reserved) => reserved,
                None if is_health => self.answers.reserve(bytes),
                None => return Err(too_many_bytes(&self.answers)),
            };
            Ok(response.map(|body| body.reserved(reserved)))
        });
        let mut response = charged.unwrap_or_else(|problem| {
            let mut response = problem_response(&problem, "");
            if problem.status == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer realm=\"saga\"");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        });
        if is_reserve {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    fn is_urgent(&self, request: &Request<Incoming>) -> bool {
        matches!(request.uri().path(), "/livez" | "/readyz" | "/metrics")
    }

    fn connected(&self) -> Open {
        self.requests.connection()
    }
}

/// What a path is for.
enum Place<'a> {
    Health,
    Metrics,
    Generations(Option<&'a str>),
    Component(&'a str),
    Rollback(&'a str),
}

impl<'a> Place<'a> {
    fn at(path: &'a str) -> Option<Self> {
        let below = path.strip_prefix('/')?;
        let mut parts = below.split('/');
        match (parts.next()?, parts.next(), parts.next(), parts.next()) {
            ("livez" | "readyz", None, ..) => Some(Self::Health),
            ("metrics", None, ..) => Some(Self::Metrics),
            ("generations", None, ..) => Some(Self::Generations(None)),
            ("participants", Some(name), Some(what), None) if !name.is_empty() => match what {
                "generations" => Some(Self::Generations(Some(name))),
                "component" => Some(Self::Component(name)),
                "rollback" => Some(Self::Rollback(name)),
                _ => None,
            },
            _ => None,
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Health | Self::Metrics | Self::Generations(_) => Method::GET,
            Self::Component(_) => Method::PUT,
            Self::Rollback(_) => Method::POST,
        }
    }
}

/// What to go back to.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    digest: Option<String>,
}

/// The problem of a request that is not about health, on a connection of the reserve.
fn crowded() -> Problem {
    let detail = format!(
        "all {CONNECTIONS} connections of the admin listener are in use; on this one only /livez, /readyz and /metrics are answered"
    );
    try_later(detail)
}

impl Admin {
    async fn answer_to(&self, request: Request<Incoming>) -> Result<Answered, Problem> {
        let (head, body) = request.into_parts();
        let _ = origin::named(&head)?;
        let access = self.access.check(&head.uri, &head.headers);
        // hyper leaves the body of an answer to HEAD out.
        let is_get = head.method == Method::GET || head.method == Method::HEAD;
        match (head.uri.path(), access) {
            ("/livez", _) if is_get => answer(StatusCode::OK, &json!({"status": "alive"})),
            ("/readyz", access) if is_get => self.readyz(access.is_ok()).await,
            // Whoever is told of a problem may read what it means.
            (path, _) if is_on_problems(path) => problem_page(&head.method, path),
            (_, Ok(())) => self.serve(Request::from_parts(head, body)).await,
            (_, Err(problem)) => Err(problem),
        }
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Answered, Problem> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let place = Place::at(path).ok_or_else(|| nothing_at(path))?;
        let method = place.method();
        let asked = if head.method == Method::HEAD {
            &Method::GET
        } else {
            &head.method
        };
        if *asked != method {
            return Err(method_not_allowed(&head.method, path, &[method.as_str()]));
        }
        if matches!(place, Place::Component(_) | Place::Rollback(_)) {
            check_encoding(&head.headers)?;
        }
        match place {
            Place::Health => self.readyz(true).await,
            Place::Metrics => self.metrics(&head.headers).await,
            Place::Generations(None) => {
                let overview = self.reloader.overview(None).await.map_err(not_applied)?;
                answer(StatusCode::OK, &overview)
            }
            Place::Generations(Some(name)) => self.generations(name).await,
            Place::Component(name) => {
                let flags = flags(head.uri.query())?;
                applied(self.apply(name, body, flags).await?)
            }
            Place::Rollback(name) => {
                let flags = flags(head.uri.query())?;
                let (bytes, _reserved) =
                    read_body(body, BODY_BYTES, BODY_TIME, &self.bodies).await?;
                let back = back(&bytes)?;
                let digest = back.digest.as_deref();
                applied(self.reloader.rollback(name, digest, flags).await)
            }
        }
    }

    async fn readyz(&self, with_detail: bool) -> Result<Answered, Problem> {
        if !with_detail {
            let status = self.readiness.status();
            return answer(status.http(), &json!({"status": status}));
        }
        let report = self.readiness.report(self.reloader.overview(None).await);
        answer(report.status.http(), &report)
    }

    async fn metrics(&self, headers: &HeaderMap) -> Result<Answered, Problem> {
        let accept = headers.get(header::ACCEPT);
        let format = Format::accepted(accept.and_then(|accept| accept.to_str().ok()));
        let told = (self.exposition)(format).await.ok_or_else(|| {
            let detail = "metrics are off; set metrics.enabled = true and start the host again";
            Problem::new(Kind::MetricsOff, detail)
        })?;
        Ok(json_response(StatusCode::OK, format.media_type(), told))
    }

    async fn generations(&self, name: &str) -> Result<Answered, Problem> {
        let overview = self.reloader.overview(Some(name)).await;
        let participants = overview.map_err(not_applied)?.participants;
        match participants.into_iter().find(|found| found.name == name) {
            Some(participant) => answer(StatusCode::OK, &participant),
            None => Err(not_applied(NotApplied::Failed(format!(
                "nothing is known of the participant `{name}`"
            )))),
        }
    }

    async fn apply(
        &self,
        name: &str,
        body: Incoming,
        flags: Flags,
    ) -> Result<Result<Applied, NotApplied>, Problem> {
        // Kept until the swap is over: so long the component is in memory. Never closed, so always given.
        let _place = self.places.acquire().await;
        let (bytes, _reserved) =
            read_body(body, self.component_bytes, COMPONENT_TIME, &self.bodies).await?;
        let apply = Apply {
            participant: name.to_owned(),
            bytes,
            origin: "sent to the admin interface".into(),
            way: Way::Apply,
            flags,
            file: None,
        };
        Ok(self.reloader.apply(apply).await)
    }
}

/// Whether a path is one of the pages on problems.
fn is_on_problems(path: &str) -> bool {
    path.strip_prefix("/problems")
        .is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

fn problem_page(method: &Method, path: &str) -> Result<Answered, Problem> {
    let page = apidocs::problem_page(path).ok_or_else(|| nothing_at(path))?;
    resource_response(Cow::Owned(page), method, path)
}

fn answer(status: StatusCode, body: &impl Serialize) -> Result<Answered, Problem> {
    let body = serde_json::to_string(body).map_err(|error| {
        let detail = format!("the answer can't be written: {error}");
        Problem::new(Kind::AnswerFailed, detail)
    })?;
    Ok(json_response(status, JSON, printable::json(body)))
}

fn applied(result: Result<Applied, NotApplied>) -> Result<Answered, Problem> {
    answer(StatusCode::OK, &result.map_err(not_applied)?)
}

fn not_applied(error: NotApplied) -> Problem {
    let kind = match &error {
        NotApplied::UnknownParticipant(..) => Kind::UnknownParticipant,
        NotApplied::UnknownGeneration(_) => Kind::UnknownGeneration,
        NotApplied::Refused(_) => Kind::ComponentRefused,
        NotApplied::Busy(_) => Kind::Busy,
        NotApplied::Failed(_) => Kind::SwapFailed,
    };
    let problem = Problem::new(kind, error.to_string());
    match error {
        NotApplied::Refused(refused) => {
            let members: Map<String, Value> = match json!(refused) {
                Value::Object(members) => members,
                _ => Map::new(),
            };
            problem.with_members(members)
        }
        NotApplied::Busy(_) => problem.retry_after(1),
        _ => problem,
    }
}

/// `drop-used=true&dry-run=true`; nothing → none of them. Names may be written with `_` too.
fn flags(query: Option<&str>) -> Result<Flags, Problem> {
    let mut flags = Flags::default();
    let parts = query.unwrap_or_default().split('&');
    for part in parts.filter(|part| !part.is_empty()) {
        let unknown = || {
            let detail = format!(
                "the query `{part}` is not known; there are {DROP_USED}=true, {ALLOW_BREAKING}=true and {DRY_RUN}=true"
            );
            Problem::new(Kind::BadQuery, detail)
        };
        let (name, value) = part.split_once('=').ok_or_else(unknown)?;
        let flag = match name.replace('_', "-").as_str() {
            DROP_USED => &mut flags.drop_used,
            ALLOW_BREAKING => &mut flags.allow_breaking,
            DRY_RUN => &mut flags.dry_run,
            _ => return Err(unknown()),
        };
        *flag = value.parse().map_err(|_| unknown())?;
    }
    Ok(flags)
}

fn back(bytes: &[u8]) -> Result<Back, Problem> {
    if bytes.trim_ascii().is_empty() {
        return Ok(Back::default());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let detail = format!("the body is not of the form {{\"digest\": \"…\"}}: {error}");
        Problem::new(Kind::BadJson, detail)
    })
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
