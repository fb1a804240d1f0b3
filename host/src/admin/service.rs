//! The admin interface: swaps rules and reports the state of the host.
//!
//! ```text
//! GET  /generations                       active and former generations, refused components
//! GET  /participants/{name}/generations   the same of one participant
//! PUT  /participants/{name}/component     swaps to the component in the body
//! POST /participants/{name}/rollback      goes back to a former generation ({"digest": "beginning of it"})
//!                                         both take ?drop-used=true, allow-breaking=true, dry-run=true
//! GET  /livez                             200 as long as the process runs
//! GET  /readyz                            200 as long as requests are taken, with a report
//! GET  /problems/{word}                   a page on a kind of problem
//! GET  /metrics                           metrics, for Prometheus
//! ```
//!
//! Access is checked first ([`Access`]), so that unauthenticated clients learn nothing; only
//! `/livez`, `/readyz` (with its state only) and the pages on problems answer everyone. Must not
//! know: how rules are swapped, transports, SQL.

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
use crate::http::server::{self, Answers, HealthOnly, ListenerBounds};
use crate::http::{origin, target};
use crate::metrics::Format;
use crate::metrics::requests::{Open, Requests};
use crate::rollout::flags::{ALLOW_BREAKING, DROP_USED, DRY_RUN, Flags};
use crate::rollout::report::{NotApplied, SwapResult, Way};
use crate::rollout::{Apply, Reloader};

/// Connections of the admin listener, which is for people and their scripts.
const CONNECTIONS: usize = 64;

/// Further connections that serve health and metrics only: monitors are answered however many other
/// clients are connected.
const RESERVE: usize = 64;

/// Bytes of answers that clients have not read yet. Health is answered beyond it too.
const ANSWER_BYTES: usize = 64 << 20;

/// Components in memory at once; uploads beyond it wait.
const COMPONENTS: usize = 4;

/// Longest time for the upload of a component: 128 MiB at 9 Mbit/s.
const COMPONENT_TIME: Duration = Duration::from_secs(120);

/// Bytes of any other body.
const BODY_BYTES: usize = 4 << 10;

/// Longest time for the upload of any other body.
const BODY_TIME: Duration = Duration::from_secs(30);

const JSON: &str = "application/json";

/// Binds the address of the admin interface.
///
/// # Errors
/// Names the address, and the remedy if it is in use.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    server::bind_or(
        "admin",
        address,
        "choose another with SAGA__ADMIN__LISTEN=ADDRESS:PORT",
    )
}

/// Serves until `stop`, then lets requests in flight finish. Stopped last, so that it can report on
/// the drain. The number of connections in `bounds` is ignored.
pub async fn serve(
    listener: Acceptor,
    admin: Arc<Admin>,
    bounds: ListenerBounds,
    stop: CancellationToken,
) {
    let bounds = ListenerBounds {
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
    /// For bodies, each of which has its own bound.
    bodies: Budget,
    answers: Budget,
}

/// Returns the metrics in a format; `None` if metrics are off.
pub type Exposition =
    Arc<dyn Fn(Format) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

impl Admin {
    /// Requires this token; without one, requires a local client. Takes components of at most
    /// `component_bytes` bytes.
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

/// The purpose of a path.
enum AdminPath<'a> {
    Health,
    Metrics,
    Generations(Option<&'a str>),
    Component(&'a str),
    Rollback(&'a str),
}

impl<'a> AdminPath<'a> {
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

/// The generation to go back to.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackRequest {
    digest: Option<String>,
}

/// The problem of a request on a reserved connection that is not about health.
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
        // hyper leaves out the body of an answer to HEAD.
        let is_get = head.method == Method::GET || head.method == Method::HEAD;
        match (head.uri.path(), access) {
            ("/livez", _) if is_get => answer(StatusCode::OK, &json!({"status": "alive"})),
            ("/readyz", access) if is_get => self.readyz(access.is_ok()).await,
            // A client that was sent a problem may read about its meaning.
            (path, _) if is_on_problems(path) => problem_page(&head.method, path),
            (_, Ok(())) => self.serve(Request::from_parts(head, body)).await,
            (_, Err(problem)) => Err(problem),
        }
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Answered, Problem> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let place = AdminPath::at(path).ok_or_else(|| nothing_at(path))?;
        let method = place.method();
        let asked = if head.method == Method::HEAD {
            &Method::GET
        } else {
            &head.method
        };
        if *asked != method {
            return Err(method_not_allowed(&head.method, path, &[method.as_str()]));
        }
        if matches!(place, AdminPath::Component(_) | AdminPath::Rollback(_)) {
            check_encoding(&head.headers)?;
        }
        match place {
            AdminPath::Health => self.readyz(true).await,
            AdminPath::Metrics => self.metrics(&head.headers).await,
            AdminPath::Generations(None) => {
                let overview = self.reloader.overview(None).await.map_err(not_applied)?;
                answer(StatusCode::OK, &overview)
            }
            AdminPath::Generations(Some(name)) => self.generations(name).await,
            AdminPath::Component(name) => {
                let flags = flags(head.uri.query())?;
                applied(self.apply(name, body, flags).await?)
            }
            AdminPath::Rollback(name) => {
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
    ) -> Result<Result<SwapResult, NotApplied>, Problem> {
        // Held until the swap is over, as long as the component is in memory. The semaphore is
        // never closed.
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

/// True if a path is one of the pages on problems.
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

fn applied(result: Result<SwapResult, NotApplied>) -> Result<Answered, Problem> {
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

/// `drop-used=true&dry-run=true`; an empty query sets none. Names may be written with `_` too.
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

fn back(bytes: &[u8]) -> Result<RollbackRequest, Problem> {
    if bytes.trim_ascii().is_empty() {
        return Ok(RollbackRequest::default());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let detail = format!("the body is not of the form {{\"digest\": \"…\"}}: {error}");
        Problem::new(Kind::BadJson, detail)
    })
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
