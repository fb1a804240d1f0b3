//! Requests are counted by route, and requests without a route create no series.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use prometheus_client::encoding::text::encode;

use super::*;

fn told(registry: &Registry) -> String {
    let mut told = String::new();
    encode(&mut told, registry).unwrap();
    told
}

fn start() -> (Registry, RequestMetrics) {
    let mut registry = Registry::default();
    let families = RequestFamilies::register(&mut registry);
    let requests = RequestMetrics::new(&families, "p");
    (registry, requests)
}

fn series(route: &str, method: &str, status: &str, count: u64) -> String {
    format!(
        "http_requests_total{{participant=\"p\",route=\"{route}\",method=\"{method}\",status=\"{status}\"}} {count}\n"
    )
}

#[test]
fn a_request_counts_with_its_status_or_as_aborted() {
    let (registry, requests) = start();
    let route = requests.route("GET", "/things/{id}");
    for status in [200, 200, 404] {
        let status = StatusCode::from_u16(status).unwrap();
        requests.begin(route.clone(), "GET").answered(status);
    }
    drop(requests.begin(route, "GET"));
    let teapot = StatusCode::from_u16(418).unwrap();
    requests.begin(None, "BREW").answered(teapot);
    let told = told(&registry);
    for expected in [
        series("/things/{id}", "GET", "200", 2),
        series("/things/{id}", "GET", "404", 1),
        series("/things/{id}", "GET", "aborted", 1),
        series("other", "other", "other", 1),
    ] {
        assert!(told.contains(&expected), "{expected}{told}");
    }
    let time =
        "http_request_seconds_count{participant=\"p\",route=\"/things/{id}\",method=\"GET\"} 4\n";
    assert!(told.contains(time), "{told}");
}

#[test]
fn series_of_routes_that_are_served_no_more_go_even_if_a_request_is_late() {
    let (registry, requests) = start();
    let (old, kept) = (
        requests.route("GET", "/old"),
        requests.route("GET", "/kept"),
    );
    requests.begin(old.clone(), "GET").answered(StatusCode::OK);
    requests.begin(kept.clone(), "GET").answered(StatusCode::OK);
    let late = requests.begin(old, "GET");
    requests.retain(|_, template| template == "/kept");
    late.answered(StatusCode::NOT_FOUND);
    let told = told(&registry);
    assert!(!told.contains("/old"), "{told}");
    assert!(told.contains(&series("/kept", "GET", "200", 1)), "{told}");
}

#[test]
fn invariant_9_however_many_routes_there_are_series_are_bounded() {
    let (registry, requests) = start();
    for number in 0..10_000 {
        let route = requests.route("GET", &format!("/{number}"));
        requests.begin(route, "GET").answered(StatusCode::OK);
    }
    let count = told(&registry).matches("http_requests_total{").count();
    assert_eq!(count, ROUTES + 1);
}

#[test]
fn connections_are_open_until_they_are_dropped() {
    let (registry, requests) = start();
    let (one, other) = (requests.connection(), requests.connection());
    assert!(told(&registry).contains("http_connections{participant=\"p\"} 2\n"));
    drop((one, other));
    assert!(told(&registry).contains("http_connections{participant=\"p\"} 0\n"));
}
