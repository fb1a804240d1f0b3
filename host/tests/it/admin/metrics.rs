//! Metrics: the figures equal what was done, in both formats, whatever goes wrong; and their series are bounded.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::builds::Build;
use crate::chameleon::{self, Chameleon, count};
use crate::expect::{connect, path_of, problem, until};
use crate::exposition::{Exposition, scrape};
use crate::store_file::{publish, record, until_consumed};
use crate::support::{Host, Start, component, request, signal};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn place(host: &Host, customer: u64, amount: u64) -> String {
    let order = json!({"customerId": customer, "orderTotal": {"amount": amount}});
    let placed = host.post("order", "/orders", &order);
    assert_eq!(placed.status, 201, "{}", placed.text());
    placed.json()["orderId"].to_string()
}

/// Turns of a participant, by origin, message and outcome, whichever generation decided.
fn turns(told: &Exposition, participant: &str, of: [&str; 3]) -> f64 {
    let [origin, message, outcome] = of;
    let labels = [
        ("participant", participant),
        ("origin", origin),
        ("message", message),
        ("outcome", outcome),
    ];
    told.sum("saga_turns_total", &labels)
}

fn requests(told: &Exposition, participant: &str, of: [&str; 3]) -> f64 {
    let [route, method, status] = of;
    let labels = [
        ("participant", participant),
        ("route", route),
        ("method", method),
        ("status", status),
    ];
    told.sum("saga_http_requests_total", &labels)
}

#[test]
fn figures_equal_what_was_done() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path()).start();
    let (customers, orders) = (
        "/customer-order/customer-service/customers",
        "/customer-order/order-service/orders",
    );
    for name in ["Ann", "Ben", "Cid"] {
        let customer = json!({"name": name, "creditLimit": {"amount": 1000}});
        assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    }
    // Five are approved; two are too much, and one is of nobody.
    let placed = [
        (1, 100),
        (1, 100),
        (2, 100),
        (2, 100),
        (3, 1000),
        (3, 1),
        (1, 5000),
        (99, 1),
    ];
    let ids = placed.map(|(customer, amount)| place(&host, customer, amount));
    until_consumed(data.path(), "orderTopic");
    until_consumed(data.path(), "customerTopic");
    let states =
        ids.map(|id| host.get("order", &format!("/orders/{id}")).json()["orderState"].clone());
    let approved = states.iter().filter(|state| *state == "APPROVED").count();
    assert_eq!(approved, 5, "{states:?}");
    for id in ["77", "78"] {
        assert_eq!(host.get("order", &format!("/orders/{id}")).status, 404);
    }
    for (method, path, body, status) in [
        ("POST", "/orders", r#"{"customerId": 1}"#, 422),
        ("POST", "/orders", r#"{"orderTotal": {"amount": 1}}"#, 422),
        ("POST", "/orders", "no json", 400),
        ("DELETE", "/orders", "", 405),
        ("GET", "/nothing/here", "", 404),
        ("GET", "/orders/1/2/3", "", 404),
    ] {
        let answer = host.send("order", method, path, body);
        assert_eq!(answer.status, status, "{method} {path}");
    }

    let told = scrape(&host);
    for (participant, of, expected) in [
        ("customer", ["command", "register-customer", "decided"], 3.0),
        ("customer", ["event", "saga.order.created", "decided"], 8.0),
        ("order", ["command", "place-order", "decided"], 8.0),
        (
            "order",
            ["event", "saga.customer.credit-answered", "decided"],
            8.0,
        ),
        ("order", ["read", "get-order", "decided"], 8.0),
        ("order", ["read", "get-order", "refused"], 2.0),
    ] {
        assert_eq!(turns(&told, participant, of), expected, "{of:?}");
    }
    assert_eq!(told.sum("saga_turns_total", &[]), 37.0, "and nothing else");
    for (participant, decided, committed) in [("customer", 11.0, 11.0), ("order", 26.0, 16.0)] {
        let stage = |stage| {
            let labels = [("participant", participant), ("stage", stage)];
            told.one("saga_turn_stage_seconds_count", &labels)
        };
        assert_eq!(
            [stage("queue"), stage("decide"), stage("commit")],
            [decided, decided, committed]
        );
        let own = [("participant", participant)];
        assert_eq!(told.sum("saga_turn_seconds_count", &own), decided);
        assert_eq!(told.one("saga_turn_fuel_count", &own), decided);
        assert!(told.one("saga_turn_fuel_sum", &own) > 1_000.0 * decided);
        let build = Build::new(participant, std::fs::read(component(participant)).unwrap());
        let active = [own[0], ("digest", &build.digest[..12])];
        assert_eq!(told.one("saga_generation_info", &active), 1.0);
        assert_eq!(told.sum("saga_faults_total", &own), 0.0);
        assert_eq!(
            told.all("saga_faults_total", &own).len(),
            7,
            "told before the first"
        );
        assert_eq!(told.sum("saga_dead_letters_total", &own), 0.0);
        assert_eq!(told.one("saga_quarantined_aggregates", &own), 0.0);
        assert_eq!(told.one("saga_turns_queued", &own), 0.0);
        assert!(told.one("saga_instances", &own) >= 1.0);
    }
    let one_order = "/customer-order/order-service/orders/{orderId}";
    for (participant, of, expected) in [
        ("customer", [customers, "POST", "201"], 3.0),
        ("order", [orders, "POST", "201"], 8.0),
        ("order", [orders, "POST", "422"], 2.0),
        ("order", [orders, "POST", "400"], 1.0),
        ("order", [one_order, "GET", "200"], 8.0),
        ("order", [one_order, "GET", "404"], 2.0),
        ("order", ["other", "DELETE", "405"], 1.0),
        ("order", ["other", "GET", "404"], 2.0),
    ] {
        assert_eq!(requests(&told, participant, of), expected, "{of:?}");
    }
    assert_eq!(
        told.sum("saga_http_requests_total", &[]),
        27.0,
        "and nothing else"
    );
    assert_eq!(told.sum("saga_http_request_seconds_count", &[]), 27.0);
    for (topic, group) in [("orderTopic", "order"), ("customerTopic", "customer")] {
        let of = [("topic", topic)];
        assert_eq!(told.one("saga_records_published_total", &of), 8.0);
        assert_eq!(told.one("saga_outbox_depth", &of), 0.0);
        assert_eq!(told.one("saga_outbox_oldest_age_seconds", &of), 0.0);
        let of = [("topic", topic), ("partition", "0"), ("group", group)];
        assert_eq!(told.one("saga_consumer_lag_records", &of), 0.0);
    }
    assert!(told.one("saga_commit_entries_sum", &[]) >= 27.0);
    let commits = told.one("saga_commit_seconds_count", &[]);
    assert_eq!(told.one("saga_commit_entries_count", &[]), commits);
    assert_eq!(told.one("saga_commits_failed_total", &[]), 0.0);
    assert!(told.one("saga_store_bytes", &[("file", "db")]) > 10_000.0);
    assert_eq!(
        told.one("saga_http_connections", &[("participant", "admin")]),
        1.0
    );
    assert!(told.one("process_resident_memory_bytes", &[]) > 1e6);
    assert!(told.one("process_open_fds", &[]) > 3.0);
    assert!(told.one("process_start_time_seconds", &[]) > 1.6e9);
    assert!(host.stop().success());
}

#[test]
fn faults_are_counted_once_for_each_attempt() {
    let data = tempfile::tempdir().unwrap();
    Start::new(&["mischief"], data.path()).run_once();
    let act = |act: &str| record(json!({"key": "r", "do": act}).to_string());
    publish(
        data.path(),
        "mischiefTopic",
        &[
            act("count").id("same"),
            act("count").id("same"),
            record("no json"),
            act("trap"),
            act("malformed"),
            act("retry-later"),
            act("count"),
        ],
    );
    let host = Start::new(&["mischief"], data.path())
        .setting("retry.attempts", 3)
        .setting("retry.then", "skip")
        .setting("retry.first_delay_ms", 1)
        .start();
    let command = |body: Value| host.post("mischief", "/acts/k", &body).status;
    // A timer of its own: the one before must not be set anew.
    let later = json!({"do": "timer", "then": "spin"});
    assert_eq!(host.post("mischief", "/acts/other", &later).status, 200);
    assert_eq!(command(json!({"do": "count"})), 200);
    assert_eq!(command(json!({"do": "refuse"})), 409);
    assert_eq!(command(json!({"do": "malformed"})), 400);
    assert_eq!(command(json!({"do": "retry-later"})), 503);
    assert_eq!(command(json!({"do": "trap"})), 500);
    assert_eq!(command(json!({"do": "undeclared-event"})), 500);
    assert_eq!(command(json!({"do": "timer"})), 200);
    assert_eq!(host.get("mischief", "/acts/k/count").status, 500);
    until_consumed(data.path(), "mischiefTopic");
    let mut told = scrape(&host);
    let all = [
        (["command", "act", "decided"], 3.0),
        (["command", "act", "refused"], 1.0),
        (["command", "act", "malformed"], 1.0),
        (["command", "act", "retry"], 1.0),
        (["command", "act", "fault"], 2.0),
        (["read", "look", "fault"], 1.0),
        (["event", "mischief", "decided"], 2.0),
        (["event", "mischief", "duplicate"], 1.0),
        (["event", "mischief", "malformed"], 1.0),
        (["event", "mischief", "fault"], 1.0),
        (["event", "mischief", "retry"], 2.0),
        (["event", "mischief", "dead-letter"], 1.0),
        (["event", "other", "malformed"], 1.0),
        (["timer", "mischief", "decided"], 1.0),
        (["timer", "mischief", "parked"], 1.0),
    ];
    let sum: f64 = all.iter().map(|(_, count)| count).sum();
    until("the timers are over too", || {
        told = scrape(&host);
        told.sum("saga_turns_total", &[]) >= sum
    });
    for (of, expected) in all {
        assert_eq!(turns(&told, "mischief", of), expected, "{of:?}");
    }
    assert_eq!(told.sum("saga_turns_total", &[]), sum, "and nothing else");
    for (kind, expected) in [("trap", 2.0), ("out-of-fuel", 1.0), ("bad-output", 2.0)] {
        assert_eq!(
            told.one("saga_faults_total", &[("kind", kind)]),
            expected,
            "{kind}"
        );
    }
    assert_eq!(told.sum("saga_faults_total", &[]), 5.0);
    for (reason, expected) in [
        ("malformed", 2.0),
        ("trap", 1.0),
        ("retries-exhausted", 1.0),
        ("out-of-fuel", 0.0),
    ] {
        let of = [("reason", reason)];
        assert_eq!(
            told.one("saga_dead_letters_total", &of),
            expected,
            "{reason}"
        );
    }
    assert_eq!(told.sum("saga_dead_letters_total", &[]), 4.0);
    let dead = [("topic", "mischiefTopic.mischief.dlq")];
    assert_eq!(
        told.one("saga_records_published_total", &dead),
        4.0,
        "timers have none, for they are parked"
    );
    assert_eq!(
        told.one("saga_records_published_total", &[("topic", "noiseTopic")]),
        4.0
    );
    assert!(host.stop().success());
}

#[test]
fn swaps_are_counted_and_series_of_what_is_gone_go() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    let first = Chameleon::new();
    first.write(&path);
    let host = chameleon::start(&path, data.path())
        .setting("reload.watch_ms", 0)
        .start();
    count(&host, "k");
    let other_route = json!({"commands": [
        {"name": "count", "method": "POST", "path": "/counters/{key}"},
        {"name": "touch", "method": "POST", "path": "/touched/{key}"},
    ]});
    let second = Chameleon::new().version("2.0.0").with(other_route);
    chameleon::look(&host, "k");
    let url = format!(
        "{}/participants/chameleon/component?drop-used=true",
        host.admin()
    );
    let swapped = request("PUT", &url, &[], &second.bytes());
    assert_eq!(swapped.status, 200, "{}", swapped.text());
    count(&host, "k");
    let digests = |told: &Exposition| told.values("saga_turns_total", "digest");
    let short = |build: &Chameleon| build.digest()[..12].to_owned();
    let told = scrape(&host);
    assert_eq!(digests(&told), [short(&first), short(&second)].into());
    let counted = ["command", "count", "decided"];
    assert_eq!(turns(&told, "chameleon", counted), 2.0, "one by each");
    let routes = told.values("saga_http_requests_total", "route");
    assert_eq!(routes, ["/chameleon/counters/{key}".to_owned()].into());
    assert!(
        told.all("saga_http_requests_total", &[("method", "GET")])
            .is_empty()
    );

    let third = Chameleon::new().version("3.0.0");
    chameleon::swap(&host, &third);
    chameleon::apply(&host, &third);
    assert_eq!(chameleon::offer(&host, b"no component").status, 422);
    count(&host, "k");
    let told = scrape(&host);
    assert_eq!(digests(&told), [short(&second), short(&third)].into());
    assert_eq!(
        told.values("saga_generation_info", "version"),
        ["3.0.0".to_owned()].into()
    );
    for (way, result, expected) in [
        ("apply", "swapped", 2.0),
        ("apply", "unchanged", 1.0),
        ("apply", "refused", 1.0),
    ] {
        let of = [
            ("participant", "chameleon"),
            ("way", way),
            ("result", result),
        ];
        assert_eq!(
            told.one("saga_swaps_total", &of),
            expected,
            "{way} {result}"
        );
    }
    let rolled_back = chameleon::rollback_with(&host, "drop-used=true");
    assert_eq!(rolled_back.status, 200, "{}", rolled_back.text());
    count(&host, "k");
    let told = scrape(&host);
    let back = [("way", "rollback"), ("result", "swapped")];
    assert_eq!(told.one("saga_swaps_total", &back), 1.0);
    let of = [
        ("digest", &*short(&second)),
        ("message", "count"),
        ("outcome", "decided"),
    ];
    assert_eq!(told.one("saga_turns_total", &of), 2.0, "it counts on");
    assert!(host.stop().success());
}

#[test]
fn requests_of_clients_create_no_series() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path()).start();
    assert_eq!(host.get("customer", "/nothing").status, 404);
    assert_eq!(host.get("customer", "/customer/1").status, 404);
    let before = scrape(&host).all("saga_http_requests_total", &[]).len();
    for number in 0..200 {
        for path in ["/nothing/", "/customer/"] {
            let path = format!("{path}{number}%20%22x%0A");
            host.get("customer", &path);
        }
        let method = format!("M{number}");
        host.send("customer", &method, "/customers", "");
    }
    let told = scrape(&host);
    let other = [("route", "other"), ("method", "other")];
    assert_eq!(told.sum("saga_http_requests_total", &other), 200.0);
    let series = told.all("saga_http_requests_total", &[]).len();
    assert!(series <= before + 4, "{before} series, then {series}");
    assert!(host.stop().success());
}

#[test]
fn authorized_scrapers_get_their_format_until_the_end_of_the_drain() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    chameleon::taking_bodies().write(&path);
    let host = chameleon::start(&path, data.path())
        .setting("admin.token", TOKEN)
        .setting("drain_seconds", 600)
        .start();
    let url = format!("{}/metrics", host.admin());
    problem(&request("GET", &url, &[], b""), 401, "unauthorized");
    let bearer = format!("Bearer {TOKEN}");
    let ask = |accept: &str| {
        let headers = [("authorization", &*bearer), ("accept", accept)];
        request("GET", &url, &headers, b"")
    };
    for (accept, media_type) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let response = ask(accept);
        assert_eq!(response.header("content-type"), Some(media_type));
        let is_openmetrics = media_type.starts_with("application");
        let told = Exposition::read(&response.text(), is_openmetrics);
        assert_eq!(told.one("saga_draining", &[]), 0.0);
        assert!(told.names().contains("saga_turns_total"));
    }
    let response = request("POST", &url, &[("authorization", &*bearer)], b"");
    problem(&response, 405, "method-not-allowed");

    let slow = format!("{}/counters/k", host.url("chameleon"));
    let mut stream = connect(&slow);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n",
        path_of(&slow)
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 25]).unwrap();
    signal(host.id(), "TERM");
    until("the metrics say that it drains", || {
        let told = Exposition::read(&ask("*/*").text(), false);
        told.one("saga_draining", &[]) == 1.0
            && told.one("saga_http_connections", &[("participant", "chameleon")]) == 1.0
    });
    stream.write_all(b"{}").unwrap();
    let answer = crate::expect::rest(stream);
    assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
    assert!(host.wait().success());
}

#[test]
fn disabled_metrics_are_not_served() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer"], data.path())
        .setting("metrics.enabled", false)
        .start();
    let customer = json!({"name": "Ann", "creditLimit": {"amount": 1}});
    assert_eq!(host.post("customer", "/customers", &customer).status, 201);
    let response = request("GET", &format!("{}/metrics", host.admin()), &[], b"");
    let detail = problem(&response, 404, "metrics-off");
    assert!(detail.contains("metrics.enabled"), "{detail}");
    assert!(host.stop().success());
}

#[test]
fn a_store_without_commits_is_reported_and_its_turns_count_as_void() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    Chameleon::new().write(&path);
    let host = chameleon::start(&path, data.path())
        .setting("store.max_bytes", 400_000)
        .start();
    let mut answered = [0.0, 0.0];
    // A small commit may still fit where a larger one did not: it is full when nothing does.
    let mut refused_in_a_row = 0;
    for number in 0..100_000 {
        let path = format!("/counters/{number}");
        match host.post("chameleon", &path, &json!({})).status {
            200 => (answered[0], refused_in_a_row) = (answered[0] + 1.0, 0),
            503 => (answered[1], refused_in_a_row) = (answered[1] + 1.0, refused_in_a_row + 1),
            other => panic!("{other}"),
        }
        if refused_in_a_row == 5 {
            break;
        }
    }
    let told = scrape(&host);
    let of = |outcome| turns(&told, "chameleon", ["command", "count", outcome]);
    assert_eq!([of("decided"), of("void")], answered);
    assert!(told.one("saga_commits_failed_total", &[]) >= 5.0);
    assert_eq!(told.one("saga_store_failing", &[]), 1.0);
    assert_eq!(told.one("saga_store_limit_bytes", &[]), 400_000.0);
}

#[test]
fn the_page_on_operation_and_the_alerts_name_exactly_the_metrics() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path())
        .setting("store.max_bytes", 1 << 30)
        .setting("rollout.audit_one_in", 1)
        .start();
    place(&host, 1, 1);
    let active = Build::new("order", std::fs::read(component("order")).unwrap());
    active.apply(&host);
    until_consumed(data.path(), "orderTopic");
    let told = scrape(&host).names();
    assert!(host.stop().success());

    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let page = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<String> = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.starts_with("saga_") || name.starts_with("process_"))
        .collect();
    assert_eq!(listed, told);

    let alerts = std::fs::read_to_string(root.join("demo/prometheus/alerts.yaml")).unwrap();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = alerts.split(|c| !is_name(c));
    let used: BTreeSet<_> = words.filter(|word| word.starts_with("saga_")).collect();
    assert!(used.len() > 5, "{used:?}");
    for name in used {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let is_told = told.contains(name) || family.is_some_and(|family| told.contains(family));
        assert!(is_told, "{name} of an alert is not told");
    }
}
