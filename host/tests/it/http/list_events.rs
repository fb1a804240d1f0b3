//! Lists as server-sent events: the items that they have, what changes, and what leaves them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::booking::add_room;
use crate::builds::Build;
use crate::chameleon::{Chameleon, count, serve, swap, swap_with};
use crate::decider::{self, decide};
use crate::expect::problem;
use crate::store_file::execute;
use crate::stream::Stream;
use crate::support::{Host, Start, request, signal};

const ORDER: &str = r#"{"customerId":1,"orderTotal":{"amount":300}}"#;

/// An event of a list.
#[derive(Debug, Clone, PartialEq)]
struct ListEvent {
    name: String,
    id: String,
    data: Value,
}

impl ListEvent {
    fn of(block: &str) -> Self {
        let lines: Vec<_> = block.lines().collect();
        let [name, id, data] = lines[..] else {
            panic!("no event: {block}");
        };
        let data = data.strip_prefix("data: ").unwrap();
        Self {
            name: name.strip_prefix("event: ").unwrap().to_owned(),
            id: id.strip_prefix("id: ").unwrap().to_owned(),
            data: serde_json::from_str(data).unwrap(),
        }
    }

    /// In short: `item 3 PENDING`, `gone 3`, `listed`.
    fn told(&self) -> String {
        let key = self.data["key"].as_str().unwrap_or_default();
        let state = self.data["item"]["orderState"].as_str();
        let parts = [self.name.as_str(), key, state.unwrap_or_default()];
        parts.join(" ").trim_end().to_owned()
    }
}

/// The next event; none at the end of the stream.
fn next(stream: &mut Stream) -> Option<ListEvent> {
    loop {
        let block = stream.block()?;
        if !block.starts_with(':') {
            return Some(ListEvent::of(&block));
        }
    }
}

/// The next events, in short.
fn told(stream: &mut Stream, events: usize) -> Vec<String> {
    let next = || next(stream).expect("the stream goes on").told();
    std::iter::repeat_with(next).take(events).collect()
}

/// The events up to the first one of this name; gives that one.
fn until(stream: &mut Stream, name: &str) -> ListEvent {
    loop {
        let event = next(stream).expect("the stream goes on");
        if event.name == name {
            return event;
        }
    }
}

fn order(host: &Host) {
    assert_eq!(host.send("order", "POST", "/orders", ORDER).status, 201);
}

fn url(host: &Host, query: &str) -> String {
    format!("{}/orders{query}", host.url("order"))
}

/// A host with two orders that wait for the decider, and a stream of those that wait, up to `listed`.
fn two_pending(data: &Path) -> (Host, Stream, ListEvent) {
    let host = decider::start(data).setting("drain_seconds", 600).start();
    order(&host);
    order(&host);
    let mut stream = Stream::open(&url(&host, "?state=PENDING"));
    assert_eq!(
        told(&mut stream, 3),
        ["begin", "item 1 PENDING", "item 2 PENDING"]
    );
    let listed = next(&mut stream).unwrap();
    assert_eq!(listed.told(), "listed");
    (host, stream, listed)
}

#[test]
fn a_list_sends_its_items_then_what_comes_and_what_leaves() {
    let data = tempfile::tempdir().unwrap();
    let (host, mut stream, _) = two_pending(data.path());
    let mut all = Stream::open(&url(&host, ""));
    assert_eq!(until(&mut all, "listed").data, json!({}));
    order(&host);
    let come = next(&mut stream).unwrap();
    assert_eq!(
        (come.told().as_str(), &come.data["item"]),
        ("item 3 PENDING", &host.get("order", "/orders/3").json())
    );
    decide(&host, 2, "APPROVED");
    assert_eq!(next(&mut stream).unwrap().data, json!({"key": "2"}));
    decide(&host, 1, "REJECTED");
    assert_eq!(told(&mut stream, 1), ["gone 1"]);
    // The list of all orders has each change.
    assert_eq!(
        told(&mut all, 3),
        ["item 3 PENDING", "item 2 APPROVED", "item 1 REJECTED"]
    );
    assert!(host.stop().success());
}

#[test]
fn a_client_that_comes_again_gets_what_came_meanwhile_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let (host, stream, listed) = two_pending(data.path());
    drop(stream);
    order(&host);
    decide(&host, 1, "APPROVED");
    let mut again = Stream::ask(&url(&host, "?state=PENDING"), Some(&listed.id));
    let come = next(&mut again).unwrap();
    assert_eq!(come.told(), "item 3 PENDING");
    assert_eq!(told(&mut again, 1), ["gone 1"]);
    drop(again);
    assert!(host.stop().success());

    // The same after a restart, and from the place of each event.
    let host = decider::start(data.path()).start();
    let mut again = Stream::ask(&url(&host, "?state=PENDING"), Some(&listed.id));
    assert_eq!(told(&mut again, 2), ["item 3 PENDING", "gone 1"]);
    let mut later = Stream::ask(&url(&host, "?state=PENDING"), Some(&come.id));
    assert_eq!(told(&mut later, 1), ["gone 1"]);
    order(&host);
    for stream in [&mut again, &mut later] {
        assert_eq!(told(stream, 1), ["item 4 PENDING"]);
    }
    assert!(host.stop().success());
}

#[test]
fn a_client_that_broke_off_between_the_items_gets_the_rest_and_the_changes_since_the_beginning() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path()).start();
    (0..40).for_each(|_| order(&host));
    let mut stream = Stream::open(&url(&host, "?state=PENDING"));
    assert_eq!(next(&mut stream).unwrap().name, "begin");
    let seen: Vec<_> = (0..20).map(|_| next(&mut stream).unwrap()).collect();
    assert_eq!(seen[19].told(), "item 20 PENDING");
    drop(stream);
    decide(&host, 1, "APPROVED");
    decide(&host, 4, "APPROVED");
    let mut again = Stream::ask(&url(&host, "?state=PENDING"), Some(&seen[19].id));
    let rest = told(&mut again, 20);
    let items: Vec<_> = (21..=40).map(|key| format!("item {key} PENDING")).collect();
    assert_eq!(rest, items);
    let mut changes = told(&mut again, 3);
    // Two aggregates may be decided in either order.
    changes[1..].sort();
    assert_eq!(changes, ["listed", "gone 1", "gone 4"]);
    assert!(host.stop().success());
}

#[test]
fn an_id_of_another_list_or_of_a_deleted_place_begins_the_list_again() {
    let data = tempfile::tempdir().unwrap();
    let (host, stream, listed) = two_pending(data.path());
    drop(stream);
    let again = |host: &Host, query: &str, id: &str| {
        let mut stream = Stream::ask(&url(host, query), Some(id));
        assert_eq!(stream.status(), 200);
        next(&mut stream).unwrap().name
    };
    for (query, id) in [
        ("", &*listed.id),
        ("?state=APPROVED", &listed.id),
        ("?state=PENDING&customerId=1", &listed.id),
        ("?state=PENDING", "17"),
        ("?state=PENDING", ""),
    ] {
        assert_eq!(again(&host, query, id), "begin", "{query} {id}");
    }
    assert!(host.stop().success());
    execute(data.path(), "DELETE FROM journal");
    let host = decider::start(data.path()).start();
    assert_eq!(again(&host, "?state=PENDING", &listed.id), "begin");
    assert!(host.stop().success());
}

#[test]
fn requests_that_are_none_for_events_are_problems_and_json_stays_json() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path()).start();
    let events = |query: &str| {
        let accept = [("accept", "text/event-stream")];
        request("GET", &url(&host, query), &accept, b"")
    };
    for (query, says) in [
        ("?limit=5", "`limit` is for pages"),
        ("?cursor=x", "`cursor` is for pages"),
        ("?state=LOST", "`state` is none of"),
        ("?colour=red", "`colour` is none of"),
    ] {
        let detail = problem(&events(query), 400, "bad-query");
        assert!(detail.contains(says), "{query}: {detail}");
    }
    let page = host.get("order", "/orders");
    assert_eq!(page.header("content-type"), Some("application/json"));
    assert_eq!(page.header("vary"), Some("accept"));
    // The document has both, and what an event stream may be refused with.
    let document = host.get("order", "/openapi.json").json();
    let operation = &document["paths"]["/orders"]["get"];
    let content = &operation["responses"]["200"]["content"];
    assert_eq!(content["text/event-stream"]["schema"]["type"], "string");
    let busy = operation["responses"]["503"]["description"].as_str();
    assert!(busy.unwrap().contains("`too-many-wait`"), "{busy:?}");
    let parameters = operation["parameters"].as_array().unwrap();
    assert!((parameters.iter()).any(|parameter| parameter["name"] == "Last-Event-ID"));
}

#[test]
fn invariant_9_streams_of_lists_take_the_places_of_requests_that_wait() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path())
        .setting("http.watchers", 2)
        .start();
    order(&host);
    let first = Stream::open(&url(&host, ""));
    let mut second = Stream::open(&url(&host, "/1"));
    let refused = request(
        "GET",
        &url(&host, ""),
        &[("accept", "text/event-stream")],
        b"",
    );
    problem(&refused, 503, "too-many-wait");
    drop(first);
    decide(&host, 1, "APPROVED");
    assert!(second.next().is_some());
    crate::expect::until("the place is free again", || {
        Stream::ask(&url(&host, ""), None).status() == 200
    });
}

#[test]
fn a_silent_list_sends_heartbeats_and_a_drain_ends_it() {
    let data = tempfile::tempdir().unwrap();
    let host = decider::start(data.path())
        .setting("http.heartbeat_seconds", 1)
        .setting("drain_seconds", 600)
        .start();
    order(&host);
    let query = "?state=APPROVED";
    let mut stream = Stream::open(&url(&host, query));
    let listed = until(&mut stream, "listed");
    assert_eq!(stream.block().as_deref(), Some(":"));
    // A place that moves on without an event is told too.
    order(&host);
    let moved = loop {
        let block = stream.block().unwrap();
        assert!(block.starts_with(':'), "{block}");
        if let Some(id) = block.strip_prefix(":\nid: ") {
            break id.to_owned();
        }
    };
    assert_ne!(moved, listed.id);
    assert_ne!(stream.block(), Some(format!(":\nid: {moved}")), "once");
    decide(&host, 2, "APPROVED");
    assert_eq!(told(&mut stream, 1), ["item 2 APPROVED"]);
    let mut again = Stream::ask(&url(&host, query), Some(&moved));
    assert_eq!(told(&mut again, 1), ["item 2 APPROVED"]);
    signal(host.id(), "TERM");
    assert_eq!(next(&mut stream), None);
    assert_eq!(next(&mut again), None);
    assert_eq!(host.wait().code(), Some(0), "well within 600 s");
}

#[test]
fn a_swap_to_rules_that_describe_the_same_goes_on_with_the_stream() {
    let data = tempfile::tempdir().unwrap();
    let (host, mut stream, _) = two_pending(data.path());
    for mark in ["one", "two"] {
        Build::marked("order", mark).apply(&host);
        order(&host);
    }
    decide(&host, 1, "APPROVED");
    assert_eq!(
        told(&mut stream, 3),
        ["item 3 PENDING", "item 4 PENDING", "gone 1"]
    );
    assert!(host.stop().success());
}

/// A build with a list of counters by the version that counted last.
fn counters(settings: Value) -> Chameleon {
    Chameleon::new().with(settings).with(json!({"listings": [{
        "name": "list", "path": "/counters", "item": "look",
        "filters": [{"parameter": "by", "pointer": "/by", "schema": {"type": "string"}}],
    }]}))
}

fn counters_url(host: &Host, query: &str) -> String {
    format!("{}/counters{query}", host.url("chameleon"))
}

/// A list of what is stored, by a member.
fn by_member(settings: Value) -> Chameleon {
    counters(settings).with(json!({
        "commands": [
            {"name": "put", "method": "PUT", "path": "/counters/{key}", "request": {"type": "object"}},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
        ],
        "handle": {"put": "store"},
    }))
}

fn put(host: &Host, key: usize, by: &str) {
    let path = format!("/counters/{key}");
    let put = host.send("chameleon", "PUT", &path, &json!({"by": by}).to_string());
    assert_eq!(put.status, 200, "{}", put.text());
}

#[test]
fn an_item_that_has_left_the_list_by_the_time_it_is_shown_is_not_shown() {
    const ITEMS: usize = 300;
    let data = tempfile::tempdir().unwrap();
    let host = serve(data.path(), &by_member(json!({})));
    let mut stream = Stream::open(&counters_url(&host, "?by=in"));
    until(&mut stream, "listed");
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for client in 0..4 {
            let (host, enough) = (&host, &enough);
            scope.spawn(move || {
                for number in (0..).take_while(|_| !enough.load(Ordering::Relaxed)) {
                    let key = client * 1_000 + number % 8;
                    put(host, key, "in");
                    put(host, key, "out");
                }
            });
        }
        let mut outside = Vec::new();
        for _ in 0..ITEMS {
            let item = until(&mut stream, "item");
            if item.data["item"]["by"] != "in" {
                outside.push(item);
            }
        }
        enough.store(true, Ordering::Relaxed);
        assert!(
            outside.is_empty(),
            "{} of {ITEMS}: {:?}",
            outside.len(),
            outside[0]
        );
    });
    // What stays is shown, and what has left is told.
    put(&host, 9_999, "in");
    while until(&mut stream, "item").data["key"] != "9999" {}
    put(&host, 9_999, "out");
    while until(&mut stream, "gone").data["key"] != "9999" {}
}

#[test]
fn an_item_that_leaves_the_list_by_its_migration_is_in_no_page_and_no_stream() {
    let data = tempfile::tempdir().unwrap();
    let host = serve(data.path(), &by_member(json!({})));
    for (path, by, old) in [("/counters/k", "in", "out"), ("/counters/l", "in", "in")] {
        let state = json!({"by": by, "old": old}).to_string();
        assert_eq!(host.send("chameleon", "PUT", path, &state).status, 200);
    }
    let renamed = json!({"rename": {"by": "former", "old": "by"}});
    let next = json!({"version": "2.0.0", "state": {"version": 2, "oldest_readable": 1}, "migrate": renamed});
    swap_with(&host, &by_member(next), "allow-breaking=true");
    let page = host.get("chameleon", "/counters?by=in").json();
    assert_eq!(
        page["items"],
        json!([{"former": "in", "by": "in"}]),
        "{page}"
    );
    let mut stream = Stream::open(&counters_url(&host, "?by=in"));
    assert_eq!(told(&mut stream, 3), ["begin", "item l", "listed"]);
}

#[test]
fn rules_that_describe_something_else_begin_the_list_again_or_end_it() {
    let data = tempfile::tempdir().unwrap();
    let host = serve(data.path(), &counters(json!({})));
    count(&host, "k");
    let mut stream = Stream::open(&counters_url(&host, "?by=1.0.0"));
    until(&mut stream, "listed");
    let other = counters(json!({"summary": "Counts otherwise.", "version": "2.0.0"}));
    swap(&host, &other);
    assert_eq!(told(&mut stream, 3), ["begin", "item k", "listed"]);
    count(&host, "k");
    assert_eq!(told(&mut stream, 1), ["gone k"]);
    let url = format!(
        "{}/participants/chameleon/component?drop-used=true",
        host.admin()
    );
    let applied = request("PUT", &url, &[], &Chameleon::new().bytes());
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(next(&mut stream), None);
}

#[test]
fn an_item_on_which_the_rules_break_is_a_fault_and_the_stream_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let host = serve(data.path(), &counters(json!({})));
    let mut stream = Stream::open(&counters_url(&host, ""));
    until(&mut stream, "listed");
    swap(&host, &counters(json!({"handle": {"look": "trap"}})));
    count(&host, "a");
    let fault = next(&mut stream).unwrap();
    assert_eq!(fault.told(), "fault a");
    let problem = &fault.data["problem"];
    assert_eq!(problem["status"], 500);
    assert!(problem["type"].as_str().unwrap().ends_with("/rules-broke"));
    swap(&host, &counters(json!({})));
    count(&host, "a");
    let item = next(&mut stream).unwrap();
    assert_eq!(
        (item.told().as_str(), &item.data["item"]["count"]),
        ("item a", &json!(2))
    );
}

#[test]
fn what_is_removed_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    add_room(&host, "a/1 ü");
    let mut stream = Stream::open(&format!("{}/rooms?seats=4", host.url("booking")));
    let item = until(&mut stream, "item");
    assert_eq!(
        (&item.data["key"], &item.data["item"]["seats"]),
        (&json!("a/1 ü"), &json!(4))
    );
    until(&mut stream, "listed");
    let removed = host.send("booking", "DELETE", "/rooms/a%2F1%20%C3%BC", "");
    assert_eq!(removed.status, 200, "{}", removed.text());
    assert_eq!(next(&mut stream).unwrap().data, json!({"key": "a/1 ü"}));
}

#[test]
fn invariant_9_a_slow_client_gets_the_newest_states_and_nothing_is_queued_for_it() {
    const CHANGES: u64 = 1_600;
    let data = tempfile::tempdir().unwrap();
    // Each event is large, so that the sockets between the two don't hold them all.
    let host = serve(
        data.path(),
        &counters(json!({"version": "x".repeat(6_000)})),
    );
    let mut stream = Stream::open(&counters_url(&host, ""));
    until(&mut stream, "listed");
    for _ in 0..CHANGES {
        count(&host, "k");
    }
    let mut told = Vec::new();
    while told.last() != Some(&CHANGES) {
        let item = next(&mut stream).unwrap();
        told.push(item.data["item"]["count"].as_u64().unwrap());
    }
    assert!(told.is_sorted(), "{told:?}");
    assert!((told.len() as u64) < CHANGES, "everything was gathered");
}

#[test]
fn under_load_a_client_that_breaks_off_again_and_again_ends_with_what_the_list_has() {
    const KEYS: u64 = 60;
    const CHANGES: u64 = 600;
    let data = tempfile::tempdir().unwrap();
    let host = serve(data.path(), &counters(json!({})));
    let url = counters_url(&host, "");
    let seen = std::thread::scope(|threads| {
        for writer in 0..3 {
            let host = &host;
            threads.spawn(move || {
                for change in 0..CHANGES / 3 {
                    count(host, &format!("{}", (change * 3 + writer) % KEYS));
                }
            });
        }
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        let mut last: Option<String> = None;
        let is_complete = |seen: &BTreeMap<String, u64>| {
            seen.len() as u64 == KEYS && seen.values().all(|count| *count == CHANGES / KEYS)
        };
        while !is_complete(&seen) {
            let mut stream = Stream::ask(&url, last.as_deref());
            for _ in 0..25 {
                let event = next(&mut stream).unwrap();
                assert!(last.is_none() || event.name != "begin", "it went on");
                if event.name == "item" {
                    let key = event.data["key"].as_str().unwrap().to_owned();
                    let count = event.data["item"]["count"].as_u64().unwrap();
                    seen.insert(key, count);
                }
                last = Some(event.id);
                if is_complete(&seen) {
                    break;
                }
            }
        }
        seen
    });
    assert_eq!(seen.len() as u64, KEYS);
}
