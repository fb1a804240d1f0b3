//! One request: route, body, schema, command, answer.
//!
//! Routes belong to a generation of the rules and are swapped with it. A request that was checked against
//! the routes of one generation and comes to the rules of the next, where its command is another, is
//! checked again: its client sees one answer, of one generation.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use tokio::sync::watch;

use super::answer::{Answered, method_not_allowed, nothing_at, problem_response};
use super::listing::Lists;
use super::problem::{Problem, try_later};
use super::reply::response;
use super::request::{Body, checked_body, key, traceparent};
use super::routes::{Found, Routes};
use super::server::Answers;
use crate::pipeline::{Active, Answer, CommandCall, Participant};

/// Longest time that the routes may be behind the rules.
const FOLLOW: Duration = Duration::from_secs(5);

/// How often a request is checked again at most, because the rules were swapped meanwhile.
const CHECKS: usize = 4;

/// Answers the requests for one participant.
pub struct Service {
    participant: Arc<Participant>,
    serving: watch::Sender<Arc<Serving>>,
    body_bytes: usize,
    lists: Lists,
}

/// Routes, and the generation whose they are.
pub struct Serving {
    active: Arc<Active>,
    routes: Routes,
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
    pub fn new(
        participant: Arc<Participant>,
        serving: Serving,
        body_bytes: usize,
        lists: Lists,
    ) -> Self {
        Self {
            participant,
            serving: watch::Sender::new(Arc::new(serving)),
            body_bytes,
            lists,
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
            Found::Listing(route) => {
                let active = &serving.active;
                return (self.lists)
                    .answer(&self.participant, active, route, head)
                    .await;
            }
            Found::OtherMethods(methods) => {
                return Ok(Some(method_not_allowed(&head.method, path, &methods)));
            }
            Found::Nothing => return Err(nothing_at(path)),
            Found::BadPath(detail) => {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-path", detail));
            }
        };
        let (text, value) = checked_body(route, head, body, self.body_bytes).await?;
        let key = key(route, &parameters, &value, self.participant.limits())?;
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
}
