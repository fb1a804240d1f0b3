//! The admin interface: swaps rules and reports the state of the host.
//!
//! ```text
//! GET  /generations                       active and former generations, refused components
//! GET  /participants/{name}/generations   the same of one participant
//! GET  /hosts                             the hosts on the store
//! PUT  /participants/{name}/component     swaps to the component in the body
//!                                         ?settings={"name": value} changes the settings of its rules too
//! PATCH /participants/{name}/settings     changes the settings of its rules ({"name": value}, null for the default)
//! POST /participants/{name}/rollback      goes back to a former generation ({"digest": "beginning of it"})
//!                                         all three take ?drop-used=true, allow-breaking=true, dry-run=true;
//!                                         the first two ?acknowledge=CHANGE-SET&by=WHO for the gate
//! GET  /dead-letters                      records that could not be decided, of all participants
//! GET  /participants/{name}/dead-letters  those of one
//!                                         ?key=, reason=, older-than=SECONDS, ended=true, after=, limit=
//! GET  /participants/{name}/dead-letters/{id}             one of them, with its record
//! POST /participants/{name}/dead-letters/{id}/redrive     decide it again ({"by": "who", "value": "instead"})
//! POST /participants/{name}/dead-letters/{id}/trial       what the component in the body would decide on it
//! POST /participants/{name}/dead-letters/{id}/discard     drop it ({"by": "who"})
//! POST /participants/{name}/migration      migrates some stored states of older versions (?after=KEY)
//! GET  /participants/{name}/quarantine     aggregates whose states can't be read
//! POST /participants/{name}/quarantine/release            lets the rules read one again ({"key": "17", "by": "who"})
//! GET  /participants/{name}/decisions      recorded decisions, see [`super::decisions`]
//! GET  /participants/{name}/rules          the rules that made them, also there
//! GET, POST /topics/{topic}/records        records of the embedded log, see [`super::topics`]
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
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::access::{Access, Operator};
use super::dead_letters::{self, LetterQuery, of_store};
use super::decisions::{self, DecisionQuery};
use super::hosts::Hosts;
use super::paths::{AdminPath, LetterPath, SwapPath};
use super::readiness::Readiness;
use super::states;
use super::topics::{self, TopicRecords};
use crate::apidocs;
use crate::apidocs::problems::Kind;
use crate::base::budget::Budget;
use crate::base::printable;
use crate::http::accept::Acceptor;
use crate::http::answer::{
    Answered, bytes_response, check_encoding, json_response, method_not_allowed, nothing_at,
    problem_response, read_body, resource_response, too_many_bytes,
};
use crate::http::problem::{Problem, try_later};
use crate::http::server::{self, Answers, HealthOnly, ListenerBounds};
use crate::http::{origin, paging, target};
use crate::metrics::Format;
use crate::metrics::requests::{Open, RequestMetrics};
use crate::rollout::flags::{ALLOW_BREAKING, DROP_USED, DRY_RUN, Flags};
use crate::rollout::gate::{ACKNOWLEDGE, Acknowledged};
use crate::rollout::letter_trial::{LetterTrial, TryOnLetter};
use crate::rollout::report::{NotApplied, SwapResult, Way};
use crate::rollout::rule_settings::{CandidateSettings, SettingsChange};
use crate::rollout::{Apply, Reloader};
use crate::turn::Participant;

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

/// Bytes of a request on a dead letter or a record, with a value.
pub(super) const LETTER_BYTES: usize = 8 << 20;

/// Longest time for the upload of any other body.
pub(super) const BODY_TIME: Duration = Duration::from_secs(30);

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
    topics: TopicRecords,
    hosts: Arc<Hosts>,
    readiness: Readiness,
    exposition: RenderMetrics,
    requests: RequestMetrics,
    component_bytes: usize,
    places: Semaphore,
    /// Memory of request bodies. Each body has its own bound too.
    bodies: Budget,
    answers: Budget,
}

/// Returns the metrics in a format; `None` if metrics are off.
pub type RenderMetrics =
    Arc<dyn Fn(Format) -> Pin<Box<dyn Future<Output = Option<String>> + Send>> + Send + Sync>;

impl Admin {
    /// Lets these requests pass, with components of at most `component_bytes` bytes.
    #[must_use]
    pub fn new(
        access: Access,
        component_bytes: usize,
        (reloader, topics, hosts): (Reloader, TopicRecords, Hosts),
        readiness: Readiness,
        (exposition, requests): (RenderMetrics, RequestMetrics),
    ) -> Self {
        Self {
            access,
            reloader,
            topics,
            hosts: Arc::new(hosts),
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

/// The body of a rollback: the generation.
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
            (_, Ok(operator)) => self.serve(Request::from_parts(head, body), &operator).await,
            (_, Err(problem)) => Err(problem),
        }
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        operator: &Operator,
    ) -> Result<Answered, Problem> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if let Some(topic) = topics::at(path) {
            return (self.topics)
                .serve(topic, &head, body, (&self.bodies, operator))
                .await;
        }
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
        if place.has_body() {
            check_encoding(&head.headers)?;
        }
        match place {
            AdminPath::Health => self.readyz(true).await,
            AdminPath::Metrics => self.metrics(&head.headers).await,
            AdminPath::Hosts => answer(StatusCode::OK, &self.hosts.report().await?),
            AdminPath::Generations(None) => {
                let overview = self.reloader.overview(None).await.map_err(not_applied)?;
                answer(StatusCode::OK, &overview)
            }
            AdminPath::Generations(Some(name)) => self.generations(name).await,
            AdminPath::Swap(name, by) => {
                let query = head.uri.query();
                self.serve_swap(name, by, (query, operator), body).await
            }
            AdminPath::Migration(name) => {
                let after = migrates_after(head.uri.query())?;
                let step = states::migrate(self.participant(name)?, after).await?;
                answer(StatusCode::OK, &step)
            }
            AdminPath::Quarantine(name) => {
                let list = states::quarantine(self.participant(name)?).await?;
                answer(StatusCode::OK, &list)
            }
            AdminPath::Decisions(name) => self.decisions(name, head.uri.query()).await,
            AdminPath::Rules(name, component) => self.rules(name, component).await,
            AdminPath::Release(name) => {
                let participant = self.participant(name)?;
                let (bytes, _reserved) =
                    read_body(body, BODY_BYTES, BODY_TIME, &self.bodies).await?;
                let request = read_json(&bytes, "{\"key\": \"17\", \"by\": \"who\"}")?;
                let released = states::release(participant, request, operator).await?;
                answer(StatusCode::OK, &released)
            }
            AdminPath::Letters(asked) => {
                let query = head.uri.query();
                self.serve_letters(asked, (query, operator), body).await
            }
        }
    }

    /// Applies a component, changes settings or rolls back.
    async fn serve_swap(
        &self,
        name: &str,
        by: SwapPath,
        (query, operator): (Option<&str>, &Operator),
        body: Incoming,
    ) -> Result<Answered, Problem> {
        match by {
            SwapPath::Component => {
                let query = SwapQuery::of(query)?;
                applied(self.apply(name, body, query.of_operator(operator)).await?)
            }
            SwapPath::Settings => {
                let query = SwapQuery::of(query)?;
                let acknowledged = query.of_operator(operator).without_settings()?;
                let (bytes, _reserved) =
                    read_body(body, BODY_BYTES, BODY_TIME, &self.bodies).await?;
                let change = settings_change(&bytes, "the body")?;
                applied(self.reloader.configure(name, change, acknowledged).await)
            }
            SwapPath::Rollback => {
                let flags = flags(query)?;
                let (bytes, _reserved) =
                    read_body(body, BODY_BYTES, BODY_TIME, &self.bodies).await?;
                let back: RollbackRequest = read_json(&bytes, "{\"digest\": \"…\"}")?;
                let digest = back.digest.as_deref();
                applied(self.reloader.rollback(name, digest, flags).await)
            }
        }
    }

    async fn serve_letters(
        &self,
        asked: LetterPath<'_>,
        (query, operator): (Option<&str>, &Operator),
        body: Incoming,
    ) -> Result<Answered, Problem> {
        match asked {
            LetterPath::List(None) => {
                let query = LetterQuery::of(query)?;
                let hosted = self.reloader.hosted();
                let participants = hosted.map(|hosted| hosted.participant.clone()).collect();
                let page = dead_letters::list_all(participants, query).await?;
                answer(StatusCode::OK, &page)
            }
            LetterPath::List(Some(name)) => {
                let query = LetterQuery::of(query)?;
                let page = dead_letters::list(self.participant(name)?, query).await?;
                answer(StatusCode::OK, &page)
            }
            LetterPath::Show(name, letter) => {
                let shown = dead_letters::show(self.participant(name)?, letter).await?;
                answer(StatusCode::OK, &shown)
            }
            LetterPath::Try(name, letter) => {
                let query = SwapQuery::of(query)?;
                let trial = self
                    .try_on_letter((name, letter), body, query.settings)
                    .await?;
                answer(StatusCode::OK, &trial)
            }
            LetterPath::Request(name, letter, request) => {
                let participant = self.participant(name)?;
                let (bytes, _reserved) =
                    read_body(body, LETTER_BYTES, BODY_TIME, &self.bodies).await?;
                let wish = read_json(&bytes, "{\"by\": \"who\", \"value\": \"instead\"}")?;
                let asked =
                    dead_letters::ask(participant, letter, (request, wish), operator).await?;
                answer(StatusCode::OK, &asked)
            }
        }
    }

    async fn decisions(&self, name: &str, query: Option<&str>) -> Result<Answered, Problem> {
        let asked = DecisionQuery::of(query)?;
        let participant = self.participant(name)?;
        match asked {
            decisions::DecisionsAsked::Span(selection) => {
                let span = of_store(move || {
                    let (reader, row) = participant.reading()?;
                    decisions::span(&*reader, row, &selection)
                });
                answer(StatusCode::OK, &span.await?)
            }
            decisions::DecisionsAsked::Page(range, span, most) => {
                let page = of_store(move || {
                    let (reader, row) = participant.reading()?;
                    decisions::page(&*reader, row, (range, span, most))
                });
                answer(StatusCode::OK, &page.await?)
            }
        }
    }

    async fn rules(&self, name: &str, component: Option<&str>) -> Result<Answered, Problem> {
        let participant = self.participant(name)?;
        let rules = of_store(move || {
            let (reader, row) = participant.reading()?;
            decisions::rules(&*reader, row)
        });
        let rules = rules.await?;
        let Some(digest) = component.map(str::to_owned) else {
            return answer(StatusCode::OK, &rules);
        };
        let _place = self.places.acquire().await;
        let archive = self.reloader.archive().clone();
        let read = dead_letters::blocking(move || decisions::component(&rules, &archive, &digest));
        Ok(bytes_response("application/wasm", read.await??))
    }

    fn participant(&self, name: &str) -> Result<Arc<Participant>, Problem> {
        let all = || self.reloader.hosted().map(|hosted| &hosted.participant);
        let found = all().find(|participant| participant.name() == name);
        found.cloned().ok_or_else(|| {
            let names: Vec<&str> = all().map(|participant| participant.name()).collect();
            not_applied(NotApplied::UnknownParticipant(
                name.to_owned(),
                names.join(", "),
            ))
        })
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

    async fn try_on_letter(
        &self,
        (name, letter): (&str, i64),
        body: Incoming,
        settings: SettingsChange,
    ) -> Result<LetterTrial, Problem> {
        let _place = self.places.acquire().await;
        let (bytes, _reserved) =
            read_body(body, self.component_bytes, COMPONENT_TIME, &self.bodies).await?;
        let request = TryOnLetter {
            participant: name.to_owned(),
            letter,
            bytes,
            settings,
        };
        let trial = self.reloader.try_on_letter(request).await;
        let trial = trial.map_err(not_applied)?;
        trial.ok_or_else(|| dead_letters::unknown(name, letter))
    }

    async fn apply(
        &self,
        name: &str,
        body: Incoming,
        query: SwapQuery,
    ) -> Result<Result<SwapResult, NotApplied>, Problem> {
        // Held until the swap is over, as long as the component is in memory. The semaphore is
        // never closed.
        let _place = self.places.acquire().await;
        let (bytes, _reserved) =
            read_body(body, self.component_bytes, COMPONENT_TIME, &self.bodies).await?;
        let apply = Apply {
            participant: name.to_owned(),
            bytes,
            origin: Apply::SENT.into(),
            way: Way::Apply,
            flags: query.flags,
            acknowledged: query.acknowledged(),
            settings: CandidateSettings::Changed(query.settings),
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

pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Result<Answered, Problem> {
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
    for (name, value) in paging::pairs(query.unwrap_or_default())? {
        set_flag(&mut flags, &name, &value)?;
    }
    Ok(flags)
}

/// The query of a swap.
#[derive(Default)]
struct SwapQuery {
    flags: Flags,
    settings: SettingsChange,
    /// The change set that is acknowledged, and by whom.
    change_set: Option<String>,
    by: Option<String>,
}

impl SwapQuery {
    fn of(query: Option<&str>) -> Result<Self, Problem> {
        let mut asked = Self::default();
        for (name, value) in paging::pairs(query.unwrap_or_default())? {
            match &*name {
                "settings" if !asked.settings.is_empty() => {
                    let detail = "the query has `settings` twice; give all of them in one";
                    return Err(Problem::new(Kind::BadQuery, detail));
                }
                "settings" => {
                    asked.settings = settings_change(value.as_bytes(), "the query `settings`")?;
                }
                ACKNOWLEDGE => asked.change_set = Some(value),
                "by" => asked.by = Some(value),
                _ => set_flag(&mut asked.flags, &name, &value)?,
            }
        }
        Ok(asked)
    }

    /// The same, by this operator.
    fn of_operator(self, operator: &Operator) -> Self {
        let by = Some(operator.name(self.by));
        Self { by, ..self }
    }

    /// The flags, and what is acknowledged, of a request whose settings are its body.
    fn without_settings(self) -> Result<(Flags, Option<Acknowledged>), Problem> {
        if !self.settings.is_empty() {
            let detail = "the query `settings` is not known here; the body has the settings";
            return Err(Problem::new(Kind::BadQuery, detail));
        }
        Ok((self.flags, self.acknowledged()))
    }

    fn acknowledged(&self) -> Option<Acknowledged> {
        let (change_set, by) = self.change_set.clone().zip(self.by.clone())?;
        Some(Acknowledged { change_set, by })
    }
}

/// The key after which a migration goes on; empty for the first step.
fn migrates_after(query: Option<&str>) -> Result<String, Problem> {
    let mut after = String::new();
    for (name, value) in paging::pairs(query.unwrap_or_default())? {
        if name != "after" {
            let detail = format!("the query `{name}={value}` is not known; there is after=KEY");
            return Err(Problem::new(Kind::BadQuery, detail));
        }
        after = value;
    }
    Ok(after)
}

fn set_flag(flags: &mut Flags, name: &str, value: &str) -> Result<(), Problem> {
    let unknown = || {
        let detail = format!(
            "the query `{name}={value}` is not known; there are {DROP_USED}=true, {ALLOW_BREAKING}=true, {DRY_RUN}=true and {ACKNOWLEDGE}=CHANGE-SET"
        );
        Problem::new(Kind::BadQuery, detail)
    };
    let flag = match name.replace('_', "-").as_str() {
        DROP_USED => &mut flags.drop_used,
        ALLOW_BREAKING => &mut flags.allow_breaking,
        DRY_RUN => &mut flags.dry_run,
        _ => return Err(unknown()),
    };
    *flag = value.parse().map_err(|_| unknown())?;
    Ok(())
}

/// The change of settings in this JSON text; empty for an empty text. `what` names the text.
fn settings_change(bytes: &[u8], what: &str) -> Result<SettingsChange, Problem> {
    match parsed(bytes, what)? {
        None => Ok(SettingsChange::default()),
        Some(Value::Object(patch)) => Ok(SettingsChange::of_patch(patch)),
        Some(_) => {
            let detail = format!("{what} is not of the form {{\"name\": value}}");
            Err(Problem::new(Kind::BadJson, detail))
        }
    }
}

/// The body as JSON of this form. An empty body is the default.
pub(super) fn read_json<T: DeserializeOwned + Default>(
    bytes: &[u8],
    form: &str,
) -> Result<T, Problem> {
    let Some(value) = parsed(bytes, "the body")? else {
        return Ok(T::default());
    };
    serde_json::from_value(value).map_err(|error| {
        let detail = format!("the body is not of the form {form}: {error}");
        Problem::new(Kind::BadJson, detail)
    })
}

/// A JSON text as it is read everywhere (see [`json`]); `None` if it is empty.
fn parsed(bytes: &[u8], what: &str) -> Result<Option<Value>, Problem> {
    let bad = |reason: String| Problem::new(Kind::BadJson, format!("{what} {reason}"));
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| bad(format!("is not UTF-8: {error}")))?;
    saga_contract::json::parse(text).map(Some).map_err(bad)
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
