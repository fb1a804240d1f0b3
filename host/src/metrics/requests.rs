//! HTTP requests and connections, by listener.
//!
//! A route is labelled by its template, never by a request's path. Requests without a route count
//! as `other`, and so do methods and statuses outside the lists below. The series of a route go
//! when it is not served any more.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hyper::StatusCode;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::histogram::{Histogram, SECONDS};

/// Methods with series of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Statuses with series of their own.
const STATUSES: [u16; 28] = [
    200, 201, 202, 204, 206, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 412,
    413, 415, 422, 429, 431, 500, 501, 503, 504,
];

/// Routes of one listener with series of their own. A component may declare any number of routes.
const ROUTES: usize = 200;

/// Longest template with series of its own, in bytes.
const TEMPLATE_BYTES: usize = 256;

/// The label of all others.
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
pub(super) struct RequestFamilies {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    connections: Family<ListenerLabels, Gauge>,
}

impl RequestFamilies {
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

/// The requests of one listener. Does nothing if metrics are off.
#[derive(Clone, Default)]
pub struct RequestMetrics(Option<Arc<ListenerSeries>>);

struct ListenerSeries {
    families: RequestFamilies,
    participant: Arc<str>,
    connections: Gauge,
    /// Requests without a route, by method; the last entry is for all other methods.
    other: Vec<RouteSeries>,
    routes: Mutex<Vec<RouteSeries>>,
}

/// The requests of one route. Cheap to clone.
#[derive(Clone)]
pub struct RouteSeries(Arc<RouteState>);

struct RouteState {
    families: RequestFamilies,
    labels: RouteLabels,
    seconds: OnceLock<Histogram>,
    /// One per status, one for all others, and one for requests without an answer.
    statuses: [OnceLock<Counter>; STATUSES.len() + 2],
    /// True once its series are removed. Locked while a series is created or all are removed, so
    /// that none is left behind.
    is_gone: Mutex<bool>,
}

/// A request that is not answered yet. Counts as `aborted` if it is dropped before.
#[derive(Default)]
pub struct PendingRequest(Option<(RouteSeries, Instant)>);

/// An open connection.
#[derive(Default)]
pub struct Open(Option<Gauge>);

impl RequestMetrics {
    pub(super) fn new(families: &RequestFamilies, participant: &str) -> Self {
        let participant: Arc<str> = participant.into();
        let labels = ListenerLabels {
            participant: participant.clone(),
        };
        let other = |method| RouteSeries::new(families, &participant, OTHER, method);
        Self(Some(Arc::new(ListenerSeries {
            connections: families.connections.get_or_create_owned(&labels),
            other: METHODS.into_iter().chain([OTHER]).map(other).collect(),
            families: families.clone(),
            participant,
            routes: Mutex::default(),
        })))
    }

    /// The counters for a route. Called once per route and generation.
    #[must_use]
    pub fn route(&self, method: &str, template: &str) -> Option<RouteSeries> {
        let own = self.0.as_ref()?;
        let method = METHODS.into_iter().find(|known| *known == method)?;
        let mut routes = own.routes.lock();
        if let Some(known) = routes.iter().find(|route| route.is(method, template)) {
            return Some(known.clone());
        }
        if routes.len() >= ROUTES || template.len() > TEMPLATE_BYTES {
            return None;
        }
        let route = RouteSeries::new(&own.families, &own.participant, template, method);
        routes.push(route.clone());
        Some(route)
    }

    /// Removes the series of all routes but these, which are served from now on.
    pub fn retain(&self, is_served: impl Fn(&str, &str) -> bool) {
        let Some(own) = &self.0 else { return };
        let mut routes = own.routes.lock();
        routes.retain(|route| {
            let labels = &route.0.labels;
            let stays = is_served(labels.method, &labels.route);
            if !stays {
                route.remove();
            }
            stays
        });
    }

    /// Counts a request from its arrival. `route` is `None` if the request has no route with series
    /// of its own.
    #[must_use]
    pub fn begin(&self, route: Option<RouteSeries>, method: &str) -> PendingRequest {
        PendingRequest(self.0.as_ref().and_then(|own| {
            let route = route.or_else(|| {
                let place = METHODS.iter().position(|known| *known == method);
                own.other.get(place.unwrap_or(METHODS.len())).cloned()
            })?;
            Some((route, Instant::now()))
        }))
    }

    /// Counts an open connection until the returned value is dropped.
    #[must_use]
    pub fn connection(&self) -> Open {
        Open(self.0.as_ref().map(|own| {
            own.connections.inc();
            own.connections.clone()
        }))
    }
}

impl PendingRequest {
    /// Counts the request as answered with this status.
    pub fn answered(mut self, status: StatusCode) {
        if let Some((route, began)) = self.0.take() {
            let status = status.as_u16();
            let place = STATUSES.iter().position(|known| *known == status);
            route.over(place.unwrap_or(STATUSES.len()), began);
        }
    }
}

impl Drop for PendingRequest {
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

impl RouteSeries {
    fn new(
        families: &RequestFamilies,
        participant: &Arc<str>,
        template: &str,
        method: &'static str,
    ) -> Self {
        let labels = RouteLabels {
            participant: participant.clone(),
            route: template.into(),
            method,
        };
        // Series are created with the first request, so that an unused route has none.
        Self(Arc::new(RouteState {
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

    /// Counts a finished request with the status at this index.
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
        let mut is_gone = of.is_gone.lock();
        *is_gone = true;
        of.families.seconds.remove(&of.labels);
        for place in 0..of.statuses.len() {
            of.families.requests.remove(&of.status(place));
        }
    }
}

impl RouteState {
    fn unless_gone<T>(&self, make: impl FnOnce() -> T, otherwise: impl FnOnce() -> T) -> T {
        let is_gone = self.is_gone.lock();
        if *is_gone { otherwise() } else { make() }
    }

    /// The labels of the status at this index.
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
