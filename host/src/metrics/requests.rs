//! HTTP requests and connections, by listener.
//!
//! A route is told by its template, never by a request's path: what is no route is `other`, and so are methods and
//! statuses that are not in the lists below. The series of routes that are served no more go.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use hyper::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::histogram::{Histogram, SECONDS};

/// Methods that have series of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Statuses that have series of their own.
const STATUSES: [u16; 28] = [
    200, 201, 202, 204, 206, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 412,
    413, 415, 422, 429, 431, 500, 501, 503, 504,
];

/// Routes of one listener that have series of their own. A component could list as many as it likes.
const ROUTES: usize = 200;

/// Bytes of a template that has series of its own.
const TEMPLATE_BYTES: usize = 256;

/// What stands for all others.
const OTHER: &str = "other";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    participant: Arc<str>,
    route: Arc<str>,
    method: &'static str,
    status: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    participant: Arc<str>,
    route: Arc<str>,
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    participant: Arc<str>,
}

/// The metrics of requests, of all listeners.
#[derive(Clone)]
pub(super) struct Families {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    connections: Family<ListenerLabels, Gauge>,
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(&SECONDS)),
            connections: Family::default(),
        };
        registry.register(
            "http_requests",
            "HTTP requests by what they were answered; `aborted` where the client did not wait for it",
            families.requests.clone(),
        );
        registry.register(
            "http_request_seconds",
            "Time of an HTTP request, from its head until the head of its answer",
            families.seconds.clone(),
        );
        registry.register(
            "http_connections",
            "Open HTTP connections",
            families.connections.clone(),
        );
        families
    }
}

/// The requests of one listener. Does nothing where metrics are off.
#[derive(Clone, Default)]
pub struct Requests(Option<Arc<Own>>);

struct Own {
    families: Families,
    participant: Arc<str>,
    connections: Gauge,
    /// What is no route, by method; the last one is for all other methods.
    other: Vec<Route>,
    routes: Mutex<Vec<Route>>,
}

/// The requests of one route. Cheap to clone.
#[derive(Clone)]
pub struct Route(Arc<OfRoute>);

struct OfRoute {
    families: Families,
    labels: RouteLabels,
    seconds: OnceLock<Histogram>,
    /// One for each status, one for all others, and one for requests without an answer.
    statuses: [OnceLock<Counter>; STATUSES.len() + 2],
    /// Whether its series have gone. Locked while one is made or all are removed, so that none is left behind.
    is_gone: Mutex<bool>,
}

/// A request on its way to its answer. Counts as `aborted` when it is dropped without one.
#[derive(Default)]
pub struct Counted(Option<(Route, Instant)>);

/// An open connection.
#[derive(Default)]
pub struct Open(Option<Gauge>);

impl Requests {
    pub(super) fn new(families: &Families, participant: &str) -> Self {
        let participant: Arc<str> = participant.into();
        let labels = ListenerLabels {
            participant: participant.clone(),
        };
        let other = |method| Route::new(families, &participant, OTHER, method);
        Self(Some(Arc::new(Own {
            connections: families.connections.get_or_create_owned(&labels),
            other: METHODS.into_iter().chain([OTHER]).map(other).collect(),
            families: families.clone(),
            participant,
            routes: Mutex::default(),
        })))
    }

    /// What the requests of a route are counted by. Asked for once for each route and generation.
    #[must_use]
    pub fn route(&self, method: &str, template: &str) -> Option<Route> {
        let own = self.0.as_ref()?;
        let method = METHODS.into_iter().find(|known| *known == method)?;
        let mut routes = own.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = routes.iter().find(|route| route.is(method, template)) {
            return Some(known.clone());
        }
        if routes.len() >= ROUTES || template.len() > TEMPLATE_BYTES {
            return None;
        }
        let route = Route::new(&own.families, &own.participant, template, method);
        routes.push(route.clone());
        Some(route)
    }

    /// The routes that are served from now on: the series of all others go.
    pub fn retain(&self, is_served: impl Fn(&str, &str) -> bool) {
        let Some(own) = &self.0 else { return };
        let mut routes = own.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.retain(|route| {
            let labels = &route.0.labels;
            let stays = is_served(labels.method, &labels.route);
            if !stays {
                route.remove();
            }
            stays
        });
    }

    /// A request has come; none where it leads to no route that has series of its own.
    #[must_use]
    pub fn begin(&self, route: Option<Route>, method: &str) -> Counted {
        Counted(self.0.as_ref().and_then(|own| {
            let route = route.or_else(|| {
                let place = METHODS.iter().position(|known| *known == method);
                own.other.get(place.unwrap_or(METHODS.len())).cloned()
            })?;
            Some((route, Instant::now()))
        }))
    }

    /// A connection is open until what is given here is dropped.
    #[must_use]
    pub fn connection(&self) -> Open {
        Open(self.0.as_ref().map(|own| {
            own.connections.inc();
            own.connections.clone()
        }))
    }
}

impl Counted {
    /// It is answered with this status.
    pub fn answered(mut self, status: StatusCode) {
        if let Some((route, began)) = self.0.take() {
            let status = status.as_u16();
            let place = STATUSES.iter().position(|known| *known == status);
            route.over(place.unwrap_or(STATUSES.len()), began);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some((route, began)) = self.0.take() {
            route.over(STATUSES.len() + 1, began);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(connections) = &self.0 {
            connections.dec();
        }
    }
}

impl Route {
    fn new(
        families: &Families,
        participant: &Arc<str>,
        template: &str,
        method: &'static str,
    ) -> Self {
        let labels = RouteLabels {
            participant: participant.clone(),
            route: template.into(),
            method,
        };
        // What nobody asks for has no series: they are made with the first request.
        Self(Arc::new(OfRoute {
            families: families.clone(),
            labels,
            seconds: OnceLock::new(),
            statuses: [const { OnceLock::new() }; STATUSES.len() + 2],
            is_gone: Mutex::new(false),
        }))
    }

    fn is(&self, method: &str, template: &str) -> bool {
        self.0.labels.method == method && *self.0.labels.route == *template
    }

    /// A request is over, with the status at this place.
    fn over(&self, place: usize, began: Instant) {
        let of = &*self.0;
        let seconds = of.seconds.get_or_init(|| {
            of.unless_gone(
                || of.families.seconds.get_or_create_owned(&of.labels),
                || Histogram::new(&SECONDS),
            )
        });
        seconds.observe_duration(began.elapsed());
        if let Some(status) = of.statuses.get(place) {
            status
                .get_or_init(|| {
                    let labels = of.status(place);
                    of.unless_gone(
                        || of.families.requests.get_or_create_owned(&labels),
                        Counter::default,
                    )
                })
                .inc();
        }
    }

    fn remove(&self) {
        let of = &*self.0;
        let mut is_gone = of.is_gone.lock().unwrap_or_else(PoisonError::into_inner);
        *is_gone = true;
        of.families.seconds.remove(&of.labels);
        for place in 0..of.statuses.len() {
            of.families.requests.remove(&of.status(place));
        }
    }
}

impl OfRoute {
    fn unless_gone<T>(&self, make: impl FnOnce() -> T, otherwise: impl FnOnce() -> T) -> T {
        let is_gone = self.is_gone.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_gone { otherwise() } else { make() }
    }

    /// The labels of the status at this place.
    fn status(&self, place: usize) -> RequestLabels {
        let word = match STATUSES.get(place) {
            Some(status) => status.to_string(),
            None if place == STATUSES.len() => OTHER.to_owned(),
            None => "aborted".to_owned(),
        };
        let RouteLabels {
            participant,
            route,
            method,
        } = self.labels.clone();
        RequestLabels {
            participant,
            route,
            method,
            status: word.into(),
        }
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
