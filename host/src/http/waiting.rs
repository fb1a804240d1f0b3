//! Requests that wait for changes of an aggregate: their number, their time, and their
//! notification.
//!
//! They are notified of commits (see [`crate::base::changes`]) and of swaps of the rules, and read
//! then; none polls. Each holds one of a bounded number of places (invariant 9) until it is
//! dropped. The drain ends them all at once.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use saga_core::outcome::Reply;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::answer::nothing_at;
use super::auth::request::RequestCaller;
use super::problem::{Problem, try_later};
use super::reply::replied;
use super::request::key;
use super::routes::RouteMatch;
use super::service::{CHECKS, FOLLOW, Serving};
use crate::base::changes::ChangeWatch;
use crate::turn::{Answer, CommandCall, Participant};

/// Bounds of the waiting requests of one listener.
#[derive(Debug, Clone)]
pub struct WaitBounds {
    /// Longest wait that is granted, in seconds; 0 for none.
    pub(super) seconds: u64,
    /// Time between heartbeats of an event stream.
    pub(super) heartbeat: Duration,
    places: Arc<Semaphore>,
    drain: CancellationToken,
}

/// The answer of a read.
pub(super) struct PresentState {
    /// JSON text.
    pub(super) body: String,
    /// True if the saga has yet to decide.
    pub(super) is_pending: bool,
}

/// A request that waits for changes, in its place.
pub(super) struct Watcher {
    pub(super) participant: Arc<Participant>,
    serving: watch::Receiver<Arc<Serving>>,
    watch: ChangeWatch,
    drain: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// A read of one aggregate, repeated whenever its answer may have changed.
pub(super) struct WatchedRead {
    watcher: Watcher,
    /// Path of the read, base path included.
    path: String,
    key: String,
    traceparent: Option<String>,
    caller: RequestCaller,
}

impl WaitBounds {
    /// `watchers` is the number of places; `drain` ends all waits.
    #[must_use]
    pub fn new(
        seconds: u64,
        heartbeat: Duration,
        watchers: usize,
        drain: CancellationToken,
    ) -> Self {
        Self {
            seconds,
            heartbeat,
            places: Arc::new(Semaphore::new(watchers)),
            drain,
        }
    }

    /// Watches the aggregate of this key, which is read at this path; `None` if no place is left.
    pub(super) fn reading(
        &self,
        participant: &Arc<Participant>,
        serving: watch::Receiver<Arc<Serving>>,
        path: String,
        key: String,
        (caller, traceparent): (RequestCaller, Option<String>),
    ) -> Option<WatchedRead> {
        Some(WatchedRead {
            watcher: self.watcher(participant, serving, || participant.watch(&key))?,
            path,
            key,
            traceparent,
            caller,
        })
    }

    /// A watcher of the aggregates that `watch` names; `None` if no place is left.
    pub(super) fn watcher(
        &self,
        participant: &Arc<Participant>,
        serving: watch::Receiver<Arc<Serving>>,
        watch: impl FnOnce() -> ChangeWatch,
    ) -> Option<Watcher> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        Some(Watcher {
            watch: watch(),
            participant: participant.clone(),
            serving,
            drain: self.drain.clone(),
            _place: place,
        })
    }
}

impl Watcher {
    /// Returns true if something may have changed, and false if the host drains. Cancel-safe: no
    /// notification is lost.
    pub(super) async fn changed(&mut self) -> bool {
        tokio::select! {
            () = self.drain.cancelled() => false,
            () = self.watch.changed() => true,
            swap = self.serving.changed() => swap.is_ok(),
        }
    }

    /// True if the host drains.
    pub(super) fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// The routes that are served now.
    pub(super) fn serving(&mut self) -> Arc<Serving> {
        self.serving.borrow_and_update().clone()
    }

    /// Waits until other routes are served, for a bounded time: if they don't follow, the next
    /// check finds that out too.
    pub(super) async fn swapped(&mut self) {
        let _ = tokio::time::timeout(FOLLOW, self.serving.changed()).await;
    }
}

impl WatchedRead {
    /// Reads under the active rules.
    pub(super) async fn ask(&mut self) -> Result<PresentState, Problem> {
        for _ in 0..CHECKS {
            let serving = self.watcher.serving();
            let call = self.call(&serving)?;
            match self.watcher.participant.command(call).await? {
                Answer::CheckAgain(_) => self.watcher.swapped().await,
                answer => {
                    return Ok(match replied(answer)?.reply {
                        Reply::Done(body) => PresentState {
                            body,
                            is_pending: false,
                        },
                        Reply::Pending(body) => PresentState {
                            body,
                            is_pending: true,
                        },
                        Reply::Refused(refusal) => return Err(Problem::refused(refusal)),
                    });
                }
            }
        }
        let detail = "the rules were swapped several times while the aggregate was read";
        Err(try_later(detail.into()))
    }

    /// Returns true if the answer may have changed, and false if the host drains or the caller's
    /// token has expired. Cancel-safe: no notification is lost.
    pub(super) async fn changed(&mut self) -> bool {
        tokio::select! {
            () = self.caller.expired() => false,
            goes_on = self.watcher.changed() => goes_on,
        }
    }

    /// The read as a command, if these routes lead to it and to the same aggregate.
    fn call(&self, serving: &Serving) -> Result<CommandCall, Problem> {
        let gone = || nothing_at(&self.path);
        let RouteMatch::Route(route, parameters) = serving.routes.find(&Method::GET, &self.path)
        else {
            return Err(gone());
        };
        self.caller.permit(route.reads, &route.requires)?;
        let key = key(
            route,
            &parameters,
            &Value::Null,
            self.watcher.participant.limits(),
        )?;
        if key.as_ref() != Some(&self.key) {
            return Err(gone());
        }
        Ok(CommandCall {
            under: serving.active.clone(),
            command: route.command.clone(),
            parameters,
            body: "null".into(),
            caller: (self.caller).told(&serving.active.description().claims),
            metadata: Vec::new(),
            key,
            correlation: None,
            traceparent: self.traceparent.clone(),
            claim: None,
            reserved: None,
        })
    }
}
