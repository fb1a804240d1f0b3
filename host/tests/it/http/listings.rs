//! Lists of aggregates, page by page, narrowed down by what is in their states.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, apply, count, rollback, serve as start, swap};
use crate::expect::problem;
use crate::store_file::rows;
use crate::support::{Host, Response, Start, request};

fn saga(data: &Path) -> Start {
    Start::new(&["customer", "order"], data)
}

/// Registers a customer with so much credit.
fn register(host: &Host, credit: u32) -> Value {
    let body = json!({"name": "Ann", "creditLimit": {"amount": credit}});
    let registered = host.post("customer", "/customers", &body);
    assert_eq!(registered.status, 201, "{}", registered.text());
    registered.json()["customerId"].clone()
}

/// Places an order; gives its number.
fn order(host: &Host, customer: &Value, total: u32) -> u64 {
    let body = json!({"customerId": customer, "orderTotal": {"amount": total}});
    let placed = host.post("order", "/orders", &body);
    assert_eq!(placed.status, 201, "{}", placed.text());
    placed.json()["orderId"].as_u64().unwrap()
}

fn decided(host: &Host, order: u64) {
    host.get_until("order", &format!("/orders/{order}"), |response| {
        response.json()["orderState"] != "PENDING"
    });
}

/// The members of this name of a page's items.
fn members(page: &Response, name: &str) -> Vec<Value> {
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item[name].clone()).collect()
}

/// Follows the links from this page on; gives each page.
fn pages(host: &Host, participant: &str, path: &str) -> Vec<Response> {
    let mut page = host.get(participant, path);
    let mut pages = Vec::new();
    loop {
        assert_eq!(page.status, 200, "{}", page.text());
        let next = page.json()["next"].clone();
        let link = page.header("link").map(str::to_owned);
        pages.push(page);
        let Some(link) = link else {
            assert_eq!(next, Value::Null);
            return pages;
        };
        let target = link.strip_prefix('<').unwrap();
        let target = target.strip_suffix(">; rel=\"next\"").unwrap();
        assert!(target.contains(next.as_str().unwrap()), "{link}");
        let base = crate::expect::path_of(host.url(participant)).to_owned();
        page = host.get(participant, target.strip_prefix(&base).unwrap());
        assert!(pages.len() < 1_000, "the pages have no end");
    }
}

#[test]
fn orders_are_listed_by_customer_and_by_state() {
    let data = tempfile::tempdir().unwrap();
    let host = saga(data.path()).start();
    let none = host.get("order", "/orders");
    assert_eq!((none.status, none.text()), (200, r#"{"items":[]}"#.into()));
    assert_eq!(none.header("link"), None);

    let (rich, poor) = (register(&host, 1_000), register(&host, 10));
    for total in [300, 10, 800] {
        decided(&host, order(&host, &rich, total));
        decided(&host, order(&host, &poor, total));
    }
    let list = |query: &str| {
        let page = host.get("order", &format!("/orders{query}"));
        assert_eq!(page.header("content-type"), Some("application/json"));
        Value::from(members(&page, "orderId"))
    };
    assert_eq!(list(""), json!([1, 2, 3, 4, 5, 6]));
    assert_eq!(list(&format!("?customerId={rich}")), json!([1, 3, 5]));
    assert_eq!(list("?state=APPROVED"), json!([1, 3, 4]));
    assert_eq!(
        list(&format!("?state=REJECTED&customerId={poor}")),
        json!([2, 6])
    );
    assert_eq!(list("?customerId=77"), json!([]));
    assert_eq!(list("?state=PENDING"), json!([]));
    // An item is what the command that reads one answers.
    let one = host.get("order", "/orders/5").json();
    assert_eq!(host.get("order", "/orders").json()["items"][4], one);

    let customers = host.get("customer", "/customers?limit=1");
    let left = json!([{"id": 1, "name": "Ann", "creditLimit": 690}]);
    assert_eq!(customers.json()["items"], left);
    assert_eq!(pages(&host, "customer", "/customers?limit=1").len(), 2);
}

#[test]
fn a_list_is_read_with_get_and_head_and_with_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let host = saga(data.path()).start();
    let customer = register(&host, 1_000);
    order(&host, &customer, 1);
    for (participant, path) in [("order", "/orders"), ("customer", "/customers")] {
        let refused = host.send(participant, "DELETE", path, "");
        problem(&refused, 405, "method-not-allowed");
        let allow = refused.header("allow").unwrap();
        assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    }
    let raw = format!(
        "HEAD {}/orders HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        crate::expect::path_of(host.url("order"))
    );
    let answer = crate::expect::converse(host.url("order"), raw.as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[test]
fn problems_of_a_query_name_the_parameter() {
    let data = tempfile::tempdir().unwrap();
    let host = saga(data.path()).setting("http.page_items", 20).start();
    for (query, says) in [
        (
            "customer=1",
            "`customer` is none of this list's: customerId, state, limit, cursor",
        ),
        ("customerId=1&customerId=2", "`customerId` is given twice"),
        (
            "customerId=one",
            "`customerId` is not a whole number of 64 bits",
        ),
        (
            "customerId=9223372036854775808",
            "`customerId` is not a whole number of 64 bits",
        ),
        (
            "customerId=1%20OR%201%3D1",
            "`customerId` is not a whole number of 64 bits",
        ),
        (
            "state=LOST",
            "`state` is none of: PENDING, APPROVED, REJECTED",
        ),
        (
            "state=%27%20OR%20%27%27%3D%27",
            "`state` is none of: PENDING",
        ),
        // `/orders/01` is nothing either.
        (
            "customerId=01",
            "`customerId` is not a whole number without leading zeros",
        ),
        (
            "customerId=%2B1",
            "`customerId` is not a whole number without leading zeros",
        ),
        ("limit=02", "`limit` is not a number from 1 to 20"),
        ("limit=%2B2", "`limit` is not a number from 1 to 20"),
        ("limit=21", "`limit` is not a number from 1 to 20"),
    ] {
        let refused = host.get("order", &format!("/orders?{query}"));
        let detail = problem(&refused, 400, "bad-query");
        assert!(detail.contains(says), "{query}: {detail}");
    }
    let refused = host.get("customer", "/customers?name=Ann");
    problem(&refused, 400, "bad-query");
}

#[test]
fn a_cursor_is_of_one_list_and_lives_as_long_as_the_store() {
    let data = tempfile::tempdir().unwrap();
    let host = saga(data.path()).start();
    let customer = register(&host, 1_000);
    for _ in 0..5 {
        order(&host, &customer, 1);
    }
    let first = host.get("order", "/orders?customerId=1&limit=2").json();
    let cursor = first["next"].as_str().unwrap();
    for (path, participant) in [
        (format!("/orders?cursor={cursor}"), "order"),
        (format!("/orders?customerId=2&cursor={cursor}"), "order"),
        (
            format!("/orders?customerId=1&state=PENDING&cursor={cursor}"),
            "order",
        ),
        (format!("/customers?cursor={cursor}"), "customer"),
        ("/orders?cursor=x".to_owned(), "order"),
        ("/orders?cursor=".to_owned(), "order"),
    ] {
        problem(&host.get(participant, &path), 400, "bad-cursor");
    }
    assert!(host.stop().success());
    let host = saga(data.path()).start();
    let rest = host.get(
        "order",
        &format!("/orders?limit=9&cursor={cursor}&customerId=1"),
    );
    assert_eq!(members(&rest, "orderId"), [3, 4, 5]);
}

#[test]
fn pages_show_each_order_once_while_others_are_placed() {
    let data = tempfile::tempdir().unwrap();
    let host = saga(data.path()).start();
    let customer = register(&host, 1_000_000);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..250 {
                    order(&host, &customer, 1);
                }
            });
        }
    });
    let is_over = AtomicBool::new(false);
    let (seen, sizes) = std::thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                order(&host, &customer, 1);
            }
        });
        let mut seen = Vec::new();
        let mut sizes = Vec::new();
        // Whoever reads more slowly than others write does not come to an end.
        let mut path = format!("/orders?customerId={customer}&limit=37");
        while seen.len() < 1_000 {
            let page = host.get("order", &path);
            let ids = members(&page, "orderId");
            sizes.push(ids.len());
            seen.extend(ids.iter().map(|id| id.as_u64().unwrap()));
            let next = page.json()["next"].as_str().unwrap_or_default().to_owned();
            path = format!("/orders?customerId={customer}&limit=37&cursor={next}");
        }
        is_over.store(true, Ordering::Relaxed);
        (seen, sizes)
    });
    let expected: Vec<u64> = (1..=seen.len() as u64).collect();
    assert_eq!(seen, expected, "in order, each once");
    assert!(
        sizes.iter().rev().skip(1).all(|size| *size == 37),
        "{sizes:?}"
    );
}

#[test]
fn a_participant_of_another_domain_is_listed_by_its_own_keys_and_what_is_removed_is_gone() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path()).start();
    let codes = ["B", "A/1 ü", "AA", "A", "C'; DROP TABLE aggregates; --"];
    for (seats, code) in (1..).zip(codes) {
        let body = json!({"code": code, "seats": seats});
        let added = host.send("booking", "PUT", "/rooms", &body.to_string());
        assert_eq!(added.status, 201, "{}", added.text());
    }
    let seats = |query: &str| members(&host.get("booking", &format!("/rooms{query}")), "seats");
    // Shorter keys first, then in the order of their letters.
    assert_eq!(seats(""), [4, 1, 3, 2, 5]);
    assert_eq!(seats("?seats=2"), [2]);
    assert_eq!(seats("?inspector=Eve"), Vec::<Value>::new());
    let hold = json!({"by": "O'Neil", "ttlMillis": 3_600_000});
    assert_eq!(host.post("booking", "/rooms/AA/hold", &hold).status, 202);
    assert_eq!(seats("?heldBy=O%27Neil"), [3]);
    assert_eq!(seats("?heldBy=O%27Neil&seats=3"), [3]);
    assert_eq!(seats("?heldBy=O%27Neil&seats=4"), Vec::<Value>::new());
    assert_eq!(
        host.send("booking", "POST", "/rooms/AA/confirm", "").status,
        200
    );
    assert_eq!(
        seats("?heldBy=O%27Neil"),
        Vec::<Value>::new(),
        "it is booked"
    );
    assert_eq!(host.send("booking", "DELETE", "/rooms/A", "").status, 200);
    assert_eq!(seats(""), [1, 3, 2, 5]);
    let all = pages(&host, "booking", "/rooms?limit=1");
    let all: Vec<_> = all.iter().map(|page| members(page, "seats")).collect();
    assert_eq!(all, [[1], [3], [2], [5]]);
}

/// A build that stores what it is sent (`PUT /things/{key}`) and lists that.
fn keeper(version: &str, filters: Value) -> Chameleon {
    Chameleon::new().version(version).with(json!({
        "commands": [
            {"name": "keep", "method": "PUT", "path": "/things/{key}", "request": true},
            {"name": "drop", "method": "DELETE", "path": "/things/{key}"},
            {"name": "show", "method": "GET", "path": "/things/{key}", "kind": "read"},
        ],
        "handle": {"keep": "store", "drop": "remove"},
        "listings": [{"name": "list", "path": "/things", "item": "show", "filters": filters}],
    }))
}

fn keep(host: &Host, key: &str, state: &str) {
    let kept = host.send("chameleon", "PUT", &format!("/things/{key}"), state);
    assert_eq!(kept.status, 200, "{}", kept.text());
}

/// The items of the one page of a list, as they were written.
fn things(host: &Host, query: &str) -> String {
    let page = host.get("chameleon", &format!("/things{query}"));
    assert_eq!(page.status, 200, "{}", page.text());
    let text = page.text();
    let items = text.strip_prefix(r#"{"items":["#).unwrap();
    items.strip_suffix("]}").expect("one page").to_owned()
}

#[test]
fn numbers_are_found_and_shown_to_the_last_digit_and_names_keep_in_their_quotes() {
    let directory = tempfile::tempdir().unwrap();
    let pointer = r#"/it's "a\b" ~1~0/0/x') OR 1=1 --"#;
    let filters = json!([
        {"parameter": "n", "pointer": "/n", "schema": {"type": "integer"}},
        {"parameter": "odd", "pointer": pointer, "schema": {"type": "string"}},
        {"parameter": "is", "pointer": "/is", "schema": {"type": "boolean"}},
    ]);
    let host = start(directory.path(), &keeper("1.0.0", filters));
    let big = r#"{"n":9007199254740993,"d":12345678901234567890.123456789012345678901}"#;
    let odd = r#"{"it's \"a\\b\" /~":[{"x') OR 1=1 --":"'\"; --"}],"is":true}"#;
    keep(&host, "1", r#"{"n":9007199254740992,"is":false}"#);
    keep(&host, "2", big);
    keep(&host, "3", odd);
    assert_eq!(things(&host, "?n=9007199254740993"), big);
    assert_eq!(things(&host, "?odd=%27%22%3B%20--"), odd);
    assert_eq!(things(&host, "?odd=%27%20OR%20%27%27%3D%27"), "");
    assert_eq!(things(&host, "?is=true"), odd);
    assert_eq!(things(&host, "?n=1"), "");
    assert_eq!(
        host.send("chameleon", "DELETE", "/things/2", "").status,
        200
    );
    assert_eq!(things(&host, "?n=9007199254740993"), "");
}

fn indexes(data: &Path) -> usize {
    rows(
        data,
        "SELECT name FROM sqlite_schema WHERE name GLOB 'listing_*'",
    )
    .len()
}

/// Without and with a listing that can be narrowed down by `by`.
fn counters(version: &str, parameters: &[&str]) -> Chameleon {
    let filters: Vec<_> = (parameters.iter())
        .map(|parameter| {
            json!({"parameter": parameter, "pointer": format!("/{parameter}"), "schema": {"type": "string"}})
        })
        .collect();
    let listings = if parameters.is_empty() {
        json!([])
    } else {
        json!([{"name": "list", "path": "/counters", "filters": filters}])
    };
    Chameleon::new()
        .version(version)
        .with(json!({"listings": listings}))
}

#[test]
fn a_listing_can_be_added_by_a_swap_and_removed_if_unused() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let host = start(data, &counters("1.0.0", &[]));
    for key in ["b", "a", "cc"] {
        count(&host, key);
    }
    problem(&host.get("chameleon", "/counters"), 404, "no-such-route");
    assert_eq!(indexes(data), 0);

    // What was stored before is there too.
    swap(&host, &counters("2.0.0", &["by"]));
    assert_eq!(indexes(data), 2);
    let by = |query: &str| {
        members(
            &host.get("chameleon", &format!("/counters{query}")),
            "count",
        )
    };
    assert_eq!(by(""), [1, 1, 1]);
    count(&host, "a");
    assert_eq!(by("?by=1.0.0"), [1, 1]);
    assert_eq!(by("?by=2.0.0"), [2]);

    let refused = |build: &Chameleon| {
        let refused = apply(&host, build);
        assert_eq!(refused.status, 422, "{}", refused.text());
        refused.text()
    };
    let detail = refused(&counters("3.0.0", &["other"]));
    let lost = "listing at /counters: it can't be narrowed down by `by` any more";
    assert!(detail.contains(lost), "{detail}");
    let detail = refused(&counters("3.0.0", &[]));
    let lost = "listing `list`, or another one at /counters, is missing; it is in use";
    assert!(detail.contains(lost), "{detail}");

    // An index stays for as long as a step back needs it.
    let url = format!(
        "{}/participants/chameleon/component?drop-used=true",
        host.admin()
    );
    let dropped = |build: &Chameleon| {
        let applied = request("PUT", &url, &[], &build.bytes());
        assert_eq!(applied.status, 200, "{}", applied.text());
    };
    dropped(&counters("3.0.0", &[]));
    problem(&host.get("chameleon", "/counters"), 404, "no-such-route");
    assert_eq!(indexes(data), 2);
    assert_eq!(rollback(&host).status, 200);
    assert_eq!(by("?by=2.0.0"), [2]);
    dropped(&counters("4.0.0", &["other"]));
    assert_eq!(indexes(data), 3);
    dropped(&counters("5.0.0", &["other"]));
    assert_eq!(indexes(data), 2);
    assert_eq!(by("?other=x"), Vec::<Value>::new());
    assert!(host.stop().success());

    // And is made where a start finds it missing.
    let names = rows(
        data,
        "SELECT name FROM sqlite_schema WHERE name GLOB 'listing_*'",
    );
    for name in names {
        crate::store_file::execute(data, &format!("DROP INDEX {}", name[0]));
    }
    let host = start(data, &counters("5.0.0", &["other"]));
    let page = host.get("chameleon", "/counters");
    assert_eq!(members(&page, "count"), [2, 1, 1]);
}

#[test]
fn a_page_shows_states_of_older_versions_migrated() {
    let directory = tempfile::tempdir().unwrap();
    let host = start(directory.path(), &counters("1.0.0", &["by"]));
    count(&host, "a");
    let next =
        counters("2.0.0", &["by"]).with(json!({"state": {"version": 2, "oldest_readable": 1}}));
    swap(&host, &next);
    count(&host, "b");
    let page = host.get("chameleon", "/counters");
    assert_eq!(members(&page, "migrated_from"), [json!(1), Value::Null]);
}

#[test]
fn refused_items_are_left_out_of_a_list_and_failed_ones_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let build = |version: &str, look: Value| {
        counters(version, &["by"]).with(json!({"handle": {"look": look}}))
    };
    let path = data.join("chameleon.wasm");
    counters("1.0.0", &["by"]).write(&path);
    // Untried: what breaks on a stored state would be refused.
    let host = chameleon::start(&path, data)
        .setting("reload.watch_ms", 0)
        .setting("reload.probe_inputs", 0)
        .start();
    count(&host, "the-key");
    swap(&host, &build("2.0.0", json!({"refuse": "no"})));
    let page = host.get("chameleon", "/counters");
    assert_eq!((page.status, page.text()), (200, r#"{"items":[]}"#.into()));
    for (version, look) in [
        ("3.0.0", json!("trap")),
        ("4.0.0", json!({"malformed": "no"})),
    ] {
        swap(&host, &build(version, look));
        let detail = problem(&host.get("chameleon", "/counters"), 500, "rules-broke");
        assert!(detail.contains("the item of key `the-key`"), "{detail}");
    }
}

#[test]
fn a_page_of_large_items_ends_early_and_the_next_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let build = counters("1.0.0", &["by"]).with(json!({"handle": {"look": {"huge": 1_000_000}}}));
    let host = start(directory.path(), &build);
    for number in 10..22 {
        count(&host, &number.to_string());
    }
    let pages = pages(&host, "chameleon", "/counters?limit=11");
    let sizes: Vec<_> = (pages.iter())
        .map(|page| page.json()["items"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [5, 5, 2]);
}
