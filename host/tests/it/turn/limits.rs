//! Every bound, set small, bites just beyond it and not before (invariant 9); and a store that is full loses
//! nothing that was acknowledged (invariant 10).

use serde_json::{Value, json};

use crate::expect::{broke, problem};
use crate::store_file::{number, publish, record, rows, until_consumed};
use crate::support::{Host, Response, Start};

fn act(host: &Host, body: &Value) -> Response {
    host.post("mischief", "/acts/k", body)
}

fn mischief(data: &tempfile::TempDir, setting: &str, value: u64) -> Host {
    Start::new(&["mischief"], data.path())
        .setting(setting, value)
        .start()
}

/// Checks that `within` is taken, that one more of the same is the fault `kind`, and that the host goes on.
fn bites(setting: &str, value: u64, word: &str, within: u64, kind: &str) {
    let data = tempfile::tempdir().unwrap();
    let host = mischief(&data, setting, value);
    let taken = act(&host, &json!({"do": word, "size": within}));
    assert!(
        taken.status == 200 || taken.status == 409,
        "{setting} {within}: {}",
        taken.text()
    );
    let detail = broke(&act(&host, &json!({"do": word, "size": within + 1})), kind);
    assert!(
        detail.contains(&format!("over the limit of {value}")),
        "{detail}"
    );
    assert_eq!(act(&host, &json!({"do": "count"})).status, 200);
}

#[test]
fn leftovers_of_a_turn_are_bounded() {
    // A JSON string has two quotes.
    bites("turn.state_bytes", 100, "big-state", 98, "output-too-large");
    bites("turn.event_bytes", 100, "big-event", 98, "output-too-large");
    bites("turn.reply_bytes", 100, "big-reply", 98, "output-too-large");
    // Detail and code (`no`) count.
    bites(
        "turn.reply_bytes",
        100,
        "long-refusal",
        98,
        "output-too-large",
    );
    bites("turn.events", 3, "many-events", 3, "output-too-large");
    bites("turn.timers", 3, "many-timers", 3, "output-too-large");
    bites("turn.key_bytes", 10, "long-key", 10, "bad-output");
}

#[test]
fn the_test_kit_of_the_sdk_enforces_the_default_limits() {
    let config = saga_host::config::Config::load(None, Vec::new(), std::iter::empty()).unwrap();
    // Those of the attributes bound what other producers send; a test has no say in it.
    let saga_core::limits::TurnLimits {
        record_bytes,
        key_bytes,
        attribute_bytes: _,
        state_bytes,
        event_bytes,
        reply_bytes,
        events,
        timers,
        check_outputs: _,
    } = config.turn;
    let expected = [
        ("turn.record_bytes", record_bytes),
        ("http.body_bytes", config.http.body_bytes),
        ("turn.key_bytes", key_bytes),
        ("turn.state_bytes", state_bytes),
        ("turn.event_bytes", event_bytes),
        ("turn.reply_bytes", reply_bytes),
        ("turn.events", events),
        ("turn.timers", timers),
    ];
    let kit = saga_sdk::testing::Limits::default();
    for (setting, limit) in expected {
        assert_eq!(kit.with(setting, limit), kit, "{setting}");
    }
}

#[test]
fn a_bound_of_zero_allows_nothing() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path())
        .setting("turn.events", 0)
        .setting("turn.timers", 0)
        .start();
    broke(&act(&host, &json!({"do": "count"})), "output-too-large");
    broke(&act(&host, &json!({"do": "timer"})), "output-too-large");
    assert_eq!(act(&host, &json!({"do": "remove"})).status, 200);
}

#[test]
fn keys_are_bounded_wherever_they_come_from() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["booking"], data.path())
        .setting("turn.key_bytes", 8)
        .start();
    let put = |code: &str| {
        host.send(
            "booking",
            "PUT",
            "/rooms",
            &json!({"code": code, "seats": 1}).to_string(),
        )
    };
    assert_eq!(put("12345678").status, 201);
    let long = put("123456789");
    assert!(
        problem(&long, 422, "invalid-body").contains("limit of 8"),
        "{}",
        long.text()
    );
    assert_eq!(long.json()["errors"][0]["pointer"], "/code");
    assert_eq!(host.get("booking", "/rooms/12345678").status, 200);
    // Bytes, not characters: eight of these are sixteen.
    assert_eq!(put(&"ü".repeat(4)).status, 201);
    problem(&put(&"ü".repeat(8)), 422, "invalid-body");
    let long = host.get("booking", "/rooms/123456789");
    assert!(
        problem(&long, 400, "bad-path").contains("limit of 8"),
        "{}",
        long.text()
    );
    assert!(host.stop().success());
    publish(
        data.path(),
        "roomEvents",
        &[
            record(r#"{"code":"123456789"}"#),
            record(r#"{"code":"12345678"}"#),
        ],
    );
    let host = Start::new(&["booking"], data.path())
        .setting("turn.key_bytes", 8)
        .start();
    until_consumed(data.path(), "roomEvents");
    assert_eq!(
        host.get("booking", "/rooms/12345678").json()["cleanings"],
        1
    );
    let letters = rows(data.path(), "SELECT detail FROM dead_letters").concat();
    assert!(
        letters.len() == 1 && letters[0].contains("limit of 8"),
        "{letters:?}"
    );
}

#[test]
fn records_are_bounded_in_bytes() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["mischief"], data.path()).start();
    assert!(host.stop().success());
    let body = r#"{"key":"k","do":"count"}"#;
    publish(
        data.path(),
        "mischiefTopic",
        &[record(body), record(format!("{body} "))],
    );
    let host = mischief(&data, "turn.record_bytes", body.len() as u64);
    until_consumed(data.path(), "mischiefTopic");
    assert_eq!(host.get("mischief", "/acts/k/look").json()["count"], 1);
    assert_eq!(
        rows(data.path(), "SELECT offset, reason FROM dead_letters"),
        [["1", "malformed"]]
    );
}

#[test]
fn fuel_is_bounded() {
    let data = tempfile::tempdir().unwrap();
    let host = mischief(&data, "guest.fuel", 3_000_000);
    assert_eq!(act(&host, &json!({"do": "count"})).status, 200);
    assert_eq!(
        act(&host, &json!({"do": "many-events", "size": 60})).status,
        200
    );
    let detail = broke(
        &act(&host, &json!({"do": "many-events", "size": 100_000})),
        "out-of-fuel",
    );
    assert!(detail.contains("3000000"), "{detail}");
    assert_eq!(act(&host, &json!({"do": "count"})).json()["count"], 3);
    assert!(host.stop().success());
    let used = rows(data.path(), "SELECT fuel FROM journal").concat();
    assert!(
        used.iter()
            .all(|fuel| (1..3_000_000).contains(&fuel.parse::<u64>().unwrap())),
        "{used:?}"
    );
}

#[test]
fn memory_of_a_guest_is_bounded() {
    let data = tempfile::tempdir().unwrap();
    let host = mischief(&data, "guest.memory_bytes", 3 << 20);
    assert_eq!(
        act(&host, &json!({"do": "big-reply", "size": 200_000})).status,
        200
    );
    let detail = broke(
        &act(&host, &json!({"do": "big-reply", "size": 4_000_000})),
        "out-of-memory",
    );
    assert!(detail.contains("3145728"), "{detail}");
    assert_eq!(act(&host, &json!({"do": "count"})).json()["count"], 1);
}

#[test]
fn the_bytes_of_one_answer_are_bounded_for_each_answer_by_itself() {
    let data = tempfile::tempdir().unwrap();
    let host = mischief(&data, "guest.answer_bytes", 100_000);
    for _ in 0..5 {
        assert_eq!(
            act(&host, &json!({"do": "big-reply", "size": 90_000})).status,
            200,
            "a bound of each, not of all"
        );
    }
    let detail = broke(
        &act(&host, &json!({"do": "big-reply", "size": 110_000})),
        "output-too-large",
    );
    assert!(detail.contains("100000"), "{detail}");
    assert_eq!(act(&host, &json!({"do": "count"})).json()["count"], 1);
}

#[test]
fn bodies_are_bounded_in_bytes() {
    let data = tempfile::tempdir().unwrap();
    let body = r#"{"do":"count"}"#;
    let host = mischief(&data, "http.body_bytes", body.len() as u64);
    assert_eq!(host.send("mischief", "POST", "/acts/k", body).status, 200);
    let long = host.send("mischief", "POST", "/acts/k", &format!("{body} "));
    assert!(
        problem(&long, 413, "body-too-large").contains("limit of 14 bytes"),
        "{}",
        long.text()
    );
    assert_eq!(act(&host, &json!({"do": "count"})).json()["count"], 2);
}

#[test]
fn bodies_that_are_not_checked_are_for_the_rules_to_refuse() {
    let without_limit = r#"{"name":"Ann"}"#;
    for (are_checked, status, word) in [(true, 422, "invalid-body"), (false, 400, "malformed")] {
        let data = tempfile::tempdir().unwrap();
        let host = Start::new(&["customer"], data.path())
            .setting("http.check_bodies", are_checked)
            .start();
        let refused = host.send("customer", "POST", "/customers", without_limit);
        problem(&refused, status, word);
        let ann = json!({"name": "Ann", "creditLimit": {"amount": 1}});
        assert_eq!(host.post("customer", "/customers", &ann).status, 201);
    }
}

#[test]
fn a_full_store_refuses_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let limit = 1_000_000;
    let host = Start::new(&["customer", "order"], data.path())
        .setting("store.max_bytes", 400_000)
        .start();
    let ann = host.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": limit}}),
    );
    assert_eq!(ann.status, 201);
    let place = |host: &Host| {
        host.post(
            "order",
            "/orders",
            &json!({"customerId": 1, "orderTotal": {"amount": 1}}),
        )
    };
    let mut placed = Vec::new();
    let full = loop {
        let answer = place(&host);
        if answer.status != 201 {
            break answer;
        }
        placed.push(answer.json()["orderId"].as_u64().unwrap());
        assert!(
            placed.len() < 2_000,
            "400,000 bytes hold more than 2,000 orders"
        );
    };
    // Its own commit found no room, or that of a record just before it.
    assert!(
        problem(&full, 503, "store-failed").contains("nothing was changed"),
        "{}",
        full.text()
    );
    assert_eq!(full.header("retry-after"), Some("1"));
    assert!(placed.len() > 10);
    // Reading goes on, and what was acknowledged is there.
    for id in &placed {
        assert_eq!(host.get("order", &format!("/orders/{id}")).status, 200);
    }
    assert_eq!(host.get("customer", "/customer/1").status, 200);
    let log = host.log();
    assert!(
        log.contains("a commit failed and was undone") && log.contains("database or disk is full"),
        "{log}"
    );
    assert!(
        host.stop().success(),
        "a full store does not hold up the end"
    );
    assert!(
        std::fs::metadata(data.path().join("saga.db"))
            .unwrap()
            .len()
            <= 400_000
    );

    let host = Start::new(&["customer", "order"], data.path())
        .setting("store.max_bytes", 40_000_000)
        .start();
    for id in &placed {
        let decided = host.get_until("order", &format!("/orders/{id}"), |response| {
            response.json()["orderState"] != "PENDING"
        });
        assert_eq!(decided.json()["orderState"], "APPROVED");
    }
    let next = place(&host);
    assert_eq!(next.status, 201, "{}", next.text());
    host.get_until(
        "order",
        &format!("/orders/{}", next.json()["orderId"]),
        |response| response.json()["orderState"] == "APPROVED",
    );
    let left = host.get("customer", "/customer/1").json()["creditLimit"]
        .as_u64()
        .unwrap();
    assert_eq!(
        left,
        limit - placed.len() as u64 - 1,
        "each was paid once, and nothing that was refused was paid"
    );
    assert!(host.stop().success());
    assert_eq!(
        number(data.path(), "SELECT count(*) FROM aggregates"),
        placed.len() as i64 + 2
    );
    assert_eq!(
        number(data.path(), "SELECT count(*) FROM dead_letters"),
        0,
        "a full store says nothing about a record"
    );
}
