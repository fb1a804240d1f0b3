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
use crate::api;
use crate::api::problems::Kind;
use crate::http::accept::Acceptor;
use crate::http::answer::{
    Answered, json_response, method_not_allowed, nothing_at, problem_response, read_body,
    resource_response,
};
use crate::http::problem::Problem;
use crate::http::server::{self, Answers};
use crate::metrics::Format;
use crate::metrics::requests::{Open, Requests};
use crate::printable;
use crate::reload::flags::{ALLOW_BREAKING, DROP_USED, DRY_RUN, Flags};
use crate::reload::report::{Applied, NotApplied, Way};
use crate::reload::{Apply, Reloader};

/// Connections of the admin listener. It is for people and their scripts.
const CONNECTIONS: usize = 64;

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

/// Serves until `stop`, then lets the requests under way finish, at most for `drain`. Stopped last, it can tell of the
/// drain.
pub async fn serve(
    listener: Acceptor,
    admin: Arc<Admin>,
    stop: CancellationToken,
    drain: Duration,
) {
    server::serve(listener, None, admin, CONNECTIONS, stop, drain).await;
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
        }
    }
}

/// If an answer is dropped, a swap that was handed over takes place all the same.
impl Answers for Admin {
    async fn answer(&self, request: Request<Incoming>) -> Answered {
        let access = self.access.check(request.uri(), request.headers());
        // hyper leaves the body of an answer to HEAD out.
        let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
        let answered = match (request.uri().path(), access) {
            ("/livez", _) if is_get => answer(StatusCode::OK, &json!({"status": "alive"})),
            ("/readyz", access) if is_get => self.readyz(access.is_ok()).await,
            // Whoever is told of a problem may read what it means.
            (path, _) if is_on_problems(path) => problem_page(&request),
            (_, Ok(())) => self.serve(request).await,
            (_, Err(problem)) => Err(problem),
        };
        answered.unwrap_or_else(|problem| {
            let mut response = problem_response(&problem, "");
            if problem.status == StatusCode::UNAUTHORIZED {
                let scheme = HeaderValue::from_static("Bearer realm=\"saga\"");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, scheme);
            }
            response
        })
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

impl Admin {
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
                let bytes = read_body(body, BODY_BYTES, BODY_TIME).await?;
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
        let bytes = read_body(body, self.component_bytes, COMPONENT_TIME).await?;
        let apply = Apply {
            participant: name.to_owned(),
            bytes: bytes.into(),
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

fn problem_page(request: &Request<Incoming>) -> Result<Answered, Problem> {
    let path = request.uri().path();
    let page = api::problem_page(path).ok_or_else(|| nothing_at(path))?;
    resource_response(&page, request.method(), path)
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
mod tests {
    use super::*;
    use crate::reload::report::{Check, Refused};

    #[test]
    fn only_the_paths_that_are_there_lead_somewhere() {
        for path in [
            "",
            "/",
            "/generations/",
            "//generations",
            "/participants",
            "/participants/a",
            "/participants//component",
            "/participants/a/component/",
            "/participants/a/components",
            "/livez/x",
        ] {
            assert!(Place::at(path).is_none(), "{path}");
        }
        assert!(matches!(
            Place::at("/participants/a/component"),
            Some(Place::Component("a"))
        ));
        assert!(matches!(
            Place::at("/participants/a/generations"),
            Some(Place::Generations(Some("a")))
        ));
        assert!(matches!(
            Place::at("/generations"),
            Some(Place::Generations(None))
        ));
    }

    #[test]
    fn a_refusal_says_which_check_and_everything_that_is_wrong() {
        let problem = not_applied(NotApplied::Refused(Refused {
            check: Check::World,
            reasons: vec!["no export".into(), "an import".into()],
            digest: Some("abc".into()),
            allowed_by: Vec::new(),
        }));
        let said: Value = serde_json::from_str(&problem.json("")).unwrap();
        assert_eq!(
            said,
            json!({
                "type": "/problems/component-refused",
                "title": "Component refused",
                "status": 422,
                "detail": "no export; an import",
                "check": "world",
                "reasons": ["no export", "an import"],
                "digest": "abc",
            })
        );
    }

    #[test]
    fn what_is_not_applied_says_whether_to_try_again() {
        let cases = [
            (NotApplied::UnknownParticipant("a".into(), "b".into()), 404),
            (NotApplied::UnknownGeneration("none".into()), 404),
            (NotApplied::Failed("disk".into()), 500),
        ];
        for (error, status) in cases {
            let problem = not_applied(error);
            assert_eq!((problem.status, problem.retry_after), (status, None));
        }
        let busy = not_applied(NotApplied::Busy("many".into()));
        assert_eq!((busy.status, busy.retry_after), (503, Some(1)));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let set = |query| {
            let flags = flags(Some(query)).unwrap();
            flags.names().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(set(""), "");
        assert_eq!(set("drop-used=true"), DROP_USED);
        assert_eq!(set("drop-used=false&allow-breaking=true"), ALLOW_BREAKING);
        assert_eq!(set("dry_run=true&drop_used=true"), "drop-used dry-run");
        for query in [
            "drop-used=1",
            "drop-used",
            "drop-used=true&x=1",
            "dry-run=yes",
        ] {
            assert_eq!(flags(Some(query)).unwrap_err().status, 400, "{query}");
        }
        assert_eq!(back(b" \n").unwrap().digest, None);
        assert_eq!(
            back(br#"{"digest":"ab"}"#).unwrap().digest.as_deref(),
            Some("ab")
        );
        for body in ["{\"digset\":\"ab\"}", "[]", "ab", "{\"digest\":1}"] {
            assert_eq!(back(body.as_bytes()).err().unwrap().status, 400, "{body}");
        }
    }
}
