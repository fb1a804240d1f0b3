//! One request: route, body, schema, command, answer.
//!
//! Routes belong to a generation of the rules and are swapped with it. A request that was checked
//! against the routes of one generation and reaches the rules of the next, in which its command
//! differs, is checked again: its client sees one answer, of one generation.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request};
use saga_contract::description::Description;
use saga_contract::schema::write_integers;
use saga_core::outcome::Reply;
use tokio::sync::watch;

use super::answer::{
    Answered, method_not_allowed, nothing_at, options, problem_response, resource_response,
    see_other, too_many_bytes,
};
use super::auth::Auth;
use super::auth::request::RequestCaller;
use super::conditional;
use super::correlation;
use super::cors::Cors;
use super::events;
use super::idempotency::{Asked, replayed, replied_before};
use super::large_bodies::LargeBodies;
use super::list_events::{self, ListRequest};
use super::listing::Lists;
use super::metadata;
use super::origin::{self, ServedHosts};
use super::prefer::{self, Waited};
use super::problem::{Problem, try_later};
use super::reply::response;
use super::request::{self, Bodies, Body, checked, key, traceparent};
use super::routes::{self, Route, RouteMatch, Routes};
use super::server::Answers;
use super::target;
use super::waiting::{WaitBounds, WatchedRead};
use crate::apidocs::problems::Kind;
use crate::apidocs::{Configured, Documents};
use crate::metrics::requests::{Open, PendingRequest, RequestMetrics};
use crate::store::Claim;
use crate::turn::{Active, Answer, CommandCall, Participant};

/// Longest time that the routes may lag behind the rules.
pub(super) const FOLLOW: Duration = Duration::from_secs(5);

/// Most checks of one request; the rules may be swapped between them.
pub(super) const CHECKS: usize = 4;

/// Answers the requests of one participant.
pub struct Service {
    participant: Arc<Participant>,
    serving: watch::Sender<Arc<Serving>>,
    /// The same for every generation, until the next start.
    base_path: String,
    bodies: Bodies,
    waiting: WaitBounds,
    hosts: ServedHosts,
    cors: Cors,
    requests: RequestMetrics,
    lists: Lists,
    large_bodies: LargeBodies,
    auth: Option<Arc<Auth>>,
}

/// Routes and documents of one generation.
pub struct Serving {
    pub(super) active: Arc<Active>,
    base_path: String,
    pub(super) routes: Routes,
    documents: Documents,
}

impl Serving {
    /// The routes and documents of this generation, below this base path, with the configured names
    /// of topics and groups.
    ///
    /// # Errors
    /// The command that can't be served, and the reason.
    pub fn new(
        active: Arc<Active>,
        base_path: &str,
        configured: &Configured<'_>,
    ) -> Result<Self, String> {
        let routes = Routes::new(active.description(), base_path)?;
        let documents = Documents::new(active.description(), base_path, configured);
        Ok(Self {
            active,
            base_path: base_path.to_owned(),
            routes,
            documents,
        })
    }

    /// True if the path is the base path itself, which the host prints at its start.
    fn is_base(&self, path: &str) -> bool {
        let below = path.strip_prefix(&self.base_path);
        matches!(below, Some("" | "/"))
    }

    /// The document or page at the path of this request, if there is one.
    fn read(&self, head: &Parts) -> Option<Result<Answered, Problem>> {
        let path = head.uri.path();
        let below = path.strip_prefix(&self.base_path)?;
        let description = self.active.description();
        let resource = self.documents.at(description, &self.base_path, below)?;
        Some(resource_response(resource, &head.method, path))
    }
}

/// If an answer is dropped, a command that was handed over takes place all the same.
impl Answers for Service {
    async fn answer(&self, mut request: Request<Incoming>) -> Answered {
        target::normalize(request.uri_mut());
        let counted = self.begin(&request);
        let (head, body) = request.into_parts();
        let served = match self.check(&head) {
            Ok(()) => self.serve(&head, body).await,
            Err(problem) => Err(problem),
        };
        let served = served.and_then(|response| self.charged(&head, response));
        let response = served.unwrap_or_else(|problem| problem_response(&problem, &self.base_path));
        let response = conditional::answered(&head.method, &head.headers, response);
        let mut response = response.map(|body| match body.unreserved() {
            0 => body,
            bytes => body.reserved(self.bodies.budget.reserve(bytes)),
        });
        let metadata = || self.serving.borrow().active.description().metadata.clone();
        (self.cors).allow(&head.method, &head.headers, metadata, &mut response);
        counted.answered(response.status());
        response
    }

    fn connected(&self) -> Open {
        self.requests.connection()
    }

    fn needs_peer(&self) -> bool {
        self.auth.as_ref().is_some_and(|auth| auth.needs_peer())
    }

    fn base_path(&self) -> &str {
        &self.base_path
    }
}

impl Service {
    /// Creates the service of a participant.
    #[must_use]
    pub fn new(
        participant: Arc<Participant>,
        serving: Serving,
        bodies: Bodies,
        waiting: WaitBounds,
        (hosts, cors, auth): (ServedHosts, Cors, Option<Arc<Auth>>),
        requests: RequestMetrics,
        lists: Lists,
    ) -> Self {
        Self {
            participant,
            base_path: serving.base_path.clone(),
            serving: watch::Sender::new(Arc::new(serving)),
            bodies,
            waiting,
            hosts,
            cors,
            requests,
            lists,
            large_bodies: LargeBodies::new(),
            auth,
        }
    }

    /// Serves these routes from now on; returns the former ones.
    pub fn swap(&self, serving: Serving) -> Arc<Serving> {
        let before = self.serving.send_replace(Arc::new(serving));
        let serving = self.serving.borrow();
        self.requests
            .retain(|method, template| serving.routes.serves(method, template));
        before
    }

    /// Counts a request from its arrival, by its route.
    fn begin(&self, request: &Request<Incoming>) -> PendingRequest {
        let method = request.method();
        let serving = self.serving.borrow();
        let counted = serving.routes.counted(method, request.uri().path());
        let counted = counted.and_then(|counted| {
            let make = || self.requests.route(method.as_str(), &counted.template);
            counted.series.get_or_init(make).clone()
        });
        self.requests.begin(counted, method.as_str())
    }

    /// Checks the head of a request before its body is read.
    fn check(&self, head: &Parts) -> Result<(), Problem> {
        origin::check_target(head, &self.hosts)?;
        origin::check_page(head, &self.cors)?;
        if self.bodies.budget.is_full() {
            return Err(too_many_bytes(&self.bodies.budget));
        }
        Ok(())
    }

    /// Charges the response to a read to the budget. A command's response must be sent in any case.
    fn charged(&self, head: &Parts, response: Answered) -> Result<Answered, Problem> {
        let bytes = response.body().unreserved();
        if bytes == 0 || !is_read(&head.method) {
            return Ok(response);
        }
        let budget = &self.bodies.budget;
        let reserved = budget.try_reserve(bytes);
        let reserved = reserved.ok_or_else(|| too_many_bytes(budget))?;
        Ok(response.map(|body| body.reserved(reserved)))
    }

    async fn serve(&self, head: &Parts, body: Incoming) -> Result<Answered, Problem> {
        let mut body = Body::Unread(body);
        // Kept when the request is checked again, and with the turn when the client disconnects.
        let mut claim = None;
        for _ in 0..CHECKS {
            let serving = self.serving.borrow().clone();
            if let Some(answer) = self
                .serve_under(&serving, head, &mut body, &mut claim)
                .await?
            {
                return Ok(answer);
            }
            let mut swaps = self.serving.subscribe();
            let is_next = |now: &Arc<Serving>| !Arc::ptr_eq(now, &serving);
            // If the routes don't follow, the next check finds that out too.
            let _ = tokio::time::timeout(FOLLOW, swaps.wait_for(is_next)).await;
        }
        let detail = "the rules were swapped several times while the request was checked";
        Err(try_later(detail.into()))
    }

    /// Answers under the routes of one generation; `None` if the rules are of another by now.
    async fn serve_under(
        &self,
        serving: &Serving,
        head: &Parts,
        body: &mut Body,
        claim: &mut Option<Arc<Claim>>,
    ) -> Result<Option<Answered>, Problem> {
        if let Some(read) = serving.read(head) {
            return read.map(Some);
        }
        let path = head.uri.path();
        let asks_methods = head.method == Method::OPTIONS;
        if asks_methods && path == "*" {
            return Ok(Some(options(serving.routes.methods())));
        }
        let (route, parameters) = match serving.routes.find(&head.method, path) {
            RouteMatch::Route(route, parameters) => (route, parameters),
            RouteMatch::Listing(_) if events::are_wanted(&head.method, &head.headers) => {
                return self.followed(head).await.map(Some);
            }
            RouteMatch::Listing(route) => {
                let caller = RequestCaller::of(self.auth.as_ref(), head).await?;
                caller.permit(true, &route.requires)?;
                let (active, budget) = (&serving.active, &self.bodies.budget);
                let asked = (head, &caller);
                return (self.lists)
                    .answer(&self.participant, active, route, asked, budget)
                    .await;
            }
            RouteMatch::OtherMethods(methods) if asks_methods => {
                return Ok(Some(options(&methods)));
            }
            RouteMatch::OtherMethods(methods) => {
                return Err(method_not_allowed(&head.method, path, &methods));
            }
            RouteMatch::Nothing if serving.is_base(path) && is_read(&head.method) => {
                return Ok(Some(see_other(&format!("{}/swagger-ui/", self.base_path))));
            }
            RouteMatch::Nothing => return Err(nothing_at(path)),
            RouteMatch::BadPath(detail) => {
                return Err(Problem::new(Kind::BadPath, detail));
            }
        };
        let asked = (route, parameters);
        self.perform(serving, asked, head, body, claim).await
    }

    /// Performs the command of a route under the rules of one generation; `None` if the rules are of
    /// another by now.
    async fn perform(
        &self,
        serving: &Serving,
        (route, parameters): (&Route, Vec<(String, String)>),
        head: &Parts,
        body: &mut Body,
        claim: &mut Option<Arc<Claim>>,
    ) -> Result<Option<Answered>, Problem> {
        // Before the body is read, and again under each generation of the rules.
        let caller = RequestCaller::of(self.auth.as_ref(), head).await?;
        caller.permit(route.reads, &route.requires)?;
        let correlation = correlation::given(&head.headers)?;
        let limits = self.participant.limits();
        let description = serving.active.description();
        let (names, longest) = (&description.metadata, limits.attribute_bytes);
        let metadata = metadata::given(names, &head.headers, longest)?;
        let read = request::text(route, head, body, (&self.bodies, &self.cors)).await?;
        let (text, reserved) = read;
        // Before the check: a repeated command gets its first answer, whatever the rules demand by
        // now.
        let asked = Asked {
            head,
            caller: caller.subject(),
            names,
            metadata: &metadata,
        };
        if let Some(first) = replied_before(&self.participant, route, asked, &text, claim).await? {
            let again = self.answered(route, (head, &caller), first).await;
            let mut again =
                again.unwrap_or_else(|problem| problem_response(&problem, &self.base_path));
            replayed(&mut again);
            return Ok(Some(again));
        }
        let keyed = || self.keyed(route, &parameters, &text, description);
        let (key, rewritten) = self.large_bodies.with(text.len(), keyed).await?;
        if let Some(key) = &key
            && events::are_wanted(&head.method, &head.headers)
        {
            return self.followed_one((head, &caller), key).await.map(Some);
        }
        let call = CommandCall {
            under: serving.active.clone(),
            command: route.command.clone(),
            parameters,
            body: rewritten.unwrap_or(text),
            caller: caller.told(&description.claims),
            metadata,
            key,
            correlation,
            traceparent: traceparent(&head.headers),
            claim: claim.clone(),
            reserved,
        };
        match self.participant.command(call).await? {
            Answer::CheckAgain(text) => {
                if route.request.is_some() {
                    *body = Body::Read(text);
                }
                Ok(None)
            }
            answer => (self.answered(route, (head, &caller), answer).await).map(Some),
        }
    }

    /// The key of a request and, if its integers were written anew, its body. The value is far larger
    /// than the text, so it is dropped before the turn.
    fn keyed(
        &self,
        route: &Route,
        parameters: &[(String, String)],
        text: &str,
        description: &Description,
    ) -> Result<(Option<String>, Option<String>), Problem> {
        let mut value = checked(route, text, &self.bodies)?;
        let command = description.command(&route.command);
        let schema = command.and_then(|command| command.request.as_deref());
        let is_rewritten = schema.is_some_and(|schema| write_integers(&mut value, schema));
        let key = key(route, parameters, &value, self.participant.limits())?;
        Ok((key, is_rewritten.then(|| value.to_string())))
    }

    /// The aggregate at the path of this request, as events.
    async fn followed_one(
        &self,
        (head, caller): (&Parts, &RequestCaller),
        key: &str,
    ) -> Result<Answered, Problem> {
        let path = head.uri.path().to_owned();
        let reading = self.reading((head, caller), path, key);
        let reading = reading.ok_or_else(too_many_wait)?;
        let (heartbeat, budget) = (self.waiting.heartbeat, self.bodies.budget.clone());
        events::open(reading, &head.headers, heartbeat, budget).await
    }

    /// The list at the path of this request, as events.
    async fn followed(&self, head: &Parts) -> Result<Answered, Problem> {
        let caller = RequestCaller::of(self.auth.as_ref(), head).await?;
        let watch = || self.participant.watch_any();
        let watcher = (self.waiting).watcher(&self.participant, self.serving.subscribe(), watch);
        let watcher = watcher.ok_or_else(too_many_wait)?;
        let request = ListRequest {
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            base_path: self.base_path.clone(),
            heartbeat: self.waiting.heartbeat,
            budget: self.bodies.budget.clone(),
            caller,
        };
        list_events::open(self.lists.clone(), watcher, request, &head.headers).await
    }

    /// The response to a command that took place, now or before; once the saga has decided, if the
    /// client waits for that.
    async fn answered(
        &self,
        route: &Route,
        asked: (&Parts, &RequestCaller),
        answer: Answer,
    ) -> Result<Answered, Problem> {
        let (answer, waited) = self.decided(route, asked, answer).await;
        let mut response = response(route, answer)?;
        if let Some(seconds) = waited {
            prefer::applied(&mut response, seconds);
        }
        Ok(response)
    }

    /// The answer once the saga has decided, if the client waits for that and may; with the number
    /// of seconds granted.
    async fn decided(
        &self,
        route: &Route,
        asked: (&Parts, &RequestCaller),
        answer: Answer,
    ) -> (Answer, Option<u64>) {
        let wanted = prefer::wait(&asked.0.headers).unwrap_or_default();
        let seconds = wanted.min(self.waiting.seconds);
        let (mut replied, read_at) = match (answer, &route.read_at) {
            (Answer::Replied(replied), Some(read_at))
                if seconds > 0 && matches!(replied.reply, Reply::Pending(_)) =>
            {
                (replied, read_at)
            }
            (answer, _) => return (answer, None),
        };
        let path = routes::location(read_at, &replied.key);
        let Some(reading) = self.reading(asked, path, &replied.key) else {
            return (Answer::Replied(replied), None);
        };
        let waited = match prefer::decided(reading, seconds).await {
            Waited::Decided(read) => {
                replied.reply = Reply::Done(read);
                Some(seconds)
            }
            Waited::Undecided => Some(seconds),
            Waited::Unreadable => None,
        };
        (Answer::Replied(replied), waited)
    }

    /// Watches an aggregate; `None` if too many requests do.
    fn reading(
        &self,
        (head, caller): (&Parts, &RequestCaller),
        path: String,
        key: &str,
    ) -> Option<WatchedRead> {
        let (serving, traceparent) = (self.serving.subscribe(), traceparent(&head.headers));
        self.waiting.reading(
            &self.participant,
            serving,
            path,
            key.to_owned(),
            (caller.clone(), traceparent),
        )
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn too_many_wait() -> Problem {
    let detail =
        "too many requests wait for changes already; close some streams, or read without them";
    Problem::new(Kind::TooManyWait, detail).retry_after(5)
}
