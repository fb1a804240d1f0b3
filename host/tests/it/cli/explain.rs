//! `saga explain` and `saga stuck`: the saga as a person or a program sees it, on the store of a
//! stopped host and beside a running one.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count};
use crate::commands::{asks, call, fails, json_of};
use crate::orders::{ann, decided, place};
use crate::store_file::{execute, publish, record, until_consumed};
use crate::support::{Start, component};

fn explained(data: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["explain"], arguments].concat();
    json_of(&mut asks(data, &arguments))
}

fn text(data: &Path, arguments: &[&str]) -> String {
    let (code, out, err) = call(&mut asks(data, arguments));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

/// The decisions, each below its cause.
fn walk(steps: &Value) -> Vec<String> {
    let mut depths = BTreeMap::new();
    let step = |step: &Value| {
        let cause = step["cause"].as_i64();
        let depth = cause.map_or(0, |cause| depths[&cause] + 1);
        depths.insert(step["seq"].as_i64().unwrap(), depth);
        let word = |name: &str| step[name].as_str().unwrap().to_owned();
        format!(
            "{}{} {}",
            "  ".repeat(depth),
            word("participant"),
            word("origin")
        )
    };
    steps.as_array().unwrap().iter().map(step).collect()
}

const ANSWERED: [&str; 3] = ["order command", "  customer event", "    order event"];

#[test]
fn approved_rejected_and_cancelled_orders_are_explained_beside_the_host_and_after_it() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = Start::new(&["customer", "order"], data).start();
    ann(&host);
    assert_eq!(decided(&host, &place(&host, 300)), "APPROVED");
    assert_eq!(decided(&host, &place(&host, 2_000)), "REJECTED");
    let third = place(&host, 100);
    assert_eq!(decided(&host, &third), "APPROVED");
    let cancelled = host.send("order", "POST", &format!("{third}/cancel"), "");
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    until_consumed(data, "cancellationTopic");
    until_consumed(data, "customerTopic");

    for key in ["1", "2"] {
        let told = explained(data, &["order", key]);
        let saga = &told["sagas"][0];
        assert_eq!(walk(&saga["steps"]), ANSWERED, "{told}");
        assert_eq!(saga["pending"], json!([]));
        let event = &saga["steps"][0]["events"][0];
        assert_eq!(event["place"]["topic"], "orderTopic");
        assert_eq!(event["decided_by"], json!(["customer"]));
        assert!(saga["steps"][1]["made"].is_u64(), "{told}");
    }
    let told = explained(data, &["order", "3"]);
    let saga = &told["sagas"][0];
    let mut expected = ANSWERED.to_vec();
    expected.extend(["order command", "  customer event"]);
    assert_eq!(walk(&saga["steps"]), expected, "{told}");
    let path = ["explain", "order", "1"];
    let beside = text(data, &path);
    assert!(beside.contains("Nothing is pending."), "{beside}");
    assert!(beside.contains("What other hosts did"), "{beside}");
    assert!(beside.contains("\"PENDING\" → \"APPROVED\""), "{beside}");
    assert!(beside.contains("timer answer-timeout cancelled") || beside.contains("cancelled"));
    assert!(host.stop().success());
    assert_eq!(text(data, &path), beside, "the same after the host");

    // A customer takes part in several.
    let told = explained(data, &["customer", "1"]);
    assert_eq!(told["others"].as_array().unwrap().len(), 3, "{told}");
    let all = explained(data, &["customer", "1", "--all"]);
    assert_eq!(all["sagas"].as_array().unwrap().len(), 4);
    assert_eq!(all["others"], json!([]));
    let first = explained(data, &["order", "1"])["sagas"][0]["correlation"].clone();
    let one = explained(data, &["--correlation", first.as_str().unwrap()]);
    assert_eq!(walk(&one["sagas"][0]["steps"]), ANSWERED);

    // The same rules decide the same.
    let same = component("order");
    let with = ["order", "1", "--with", same.to_str().unwrap()];
    let told = explained(data, &with);
    assert_eq!(told["with"]["tried"], 2, "{told}");
    assert_eq!(told["with"]["differences"], json!({}));
    let (code, out, err) = call(&mut asks(data, &["stuck", "--older-than", "0s"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
}

#[test]
fn an_event_that_nobody_has_taken_and_a_timer_are_still_expected() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = Start::new(&["customer", "order"], data).start();
    ann(&host);
    assert_eq!(decided(&host, &place(&host, 300)), "APPROVED");
    assert!(host.stop().success());
    // Without the customer service, and killed before anything else happens.
    let alone = Start::new(&["order"], data)
        .setting("participants.order.rules.answer_timeout", "\"1h\"")
        .start();
    let second = place(&alone, 200);
    assert_eq!(alone.get("order", &second).json()["orderState"], "PENDING");
    alone.kill();

    let told = explained(data, &["order", "2"]);
    let saga = &told["sagas"][0];
    assert_eq!(walk(&saga["steps"]), ["order command"]);
    let kinds: Vec<_> = (saga["pending"].as_array().unwrap().iter())
        .map(|wait| {
            let word = |name: &str| wait[name].as_str().unwrap();
            (word("participant"), word("kind"))
        })
        .collect();
    assert!(kinds.contains(&("customer", "event")), "{told}");
    assert!(kinds.contains(&("order", "timer")), "{told}");
    let (code, out, _) = call(&mut asks(data, &["stuck", "--older-than", "0s"]));
    assert_eq!(code, 1, "{out}");
    let correlation = saga["correlation"].as_str().unwrap();
    assert!(out.starts_with(&format!("{correlation}  for ")), "{out}");
    assert!(out.contains("customer has not read event"), "{out}");
    assert!(!out.contains("timer"), "it is not due: {out}");
    let of_customer = ["stuck", "--older-than", "0s", "--participant", "customer"];
    let (code, out, _) = call(&mut asks(data, &of_customer));
    assert_eq!(
        (code, out.contains("customer has not read")),
        (1, true),
        "{out}"
    );
    let of_order = ["stuck", "--older-than", "0s", "--participant", "order"];
    let (code, out, _) = call(&mut asks(data, &of_order));
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = call(&mut asks(data, &["stuck", "--older-than", "1d"]));
    assert_eq!(
        (code, &*out),
        (0, "No saga has waited for longer than 1 d.\n")
    );

    // It goes on when the customer service is back.
    let host = Start::new(&["customer", "order"], data).start();
    assert_eq!(decided(&host, &second), "APPROVED");
    let told = explained(data, &["order", "2"]);
    assert_eq!(told["sagas"][0]["pending"], json!([]), "{told}");
    assert!(host.stop().success());
}

#[test]
fn what_other_rules_would_have_decided_stands_with_the_decision() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let limited = |limit: i64| {
        Chameleon::new().with(json!({"handle": {"count": [
            {"count": 1}, {"publish": {"event_type": "changed"}},
            {"if-state": [{"count": limit}, {"set": ["full", true]}]},
        ]}}))
    };
    let host = chameleon::serve(data, &limited(5));
    count(&host, "a");
    count(&host, "a");
    assert!(host.stop().success());
    let other = data.join("other.wasm");
    limited(2).write(&other);
    let path = other.to_str().unwrap();
    let told = explained(data, &["chameleon", "a", "--all", "--with", path]);
    assert_eq!(told["with"]["tried"], 2, "{told}");
    let differences = told["with"]["differences"].as_object().unwrap();
    let [(_, second)] = &differences.iter().collect::<Vec<_>>()[..] else {
        panic!("{told}");
    };
    let parts = second["differs"].as_array().unwrap();
    let is_full = |part: &Value| part["what"] == "state" && part["pointer"] == "/full";
    assert!(parts.iter().any(is_full), "{told}");
    let out = text(data, &["explain", "chameleon", "a", "--with", path]);
    assert!(
        out.contains("were tried on 2 decisions; they differ on 1."),
        "{out}"
    );
}

#[test]
fn a_timer_that_fired_stands_below_the_decision_that_set_it() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let alone = Start::new(&["order"], data)
        .setting("participants.order.rules.answer_timeout", "\"1s\"")
        .start();
    assert_eq!(decided(&alone, &place(&alone, 300)), "REJECTED");
    assert!(alone.stop().success());
    let told = explained(data, &["order", "1"]);
    let steps = &told["sagas"][0]["steps"];
    assert_eq!(walk(steps), ["order command", "  order timer"], "{told}");
    assert!(steps[1]["made"].is_u64(), "{told}");
    let out = text(data, &["explain", "order", "1"]);
    assert!(out.contains("after it was due"), "{out}");
}

#[test]
fn a_dead_letter_is_shown_with_its_reason_and_is_still_expected() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = Start::new(&["booking"], data).start();
    crate::booking::add_room(&host, "A");
    assert!(host.stop().success());
    let bad = record(r#"{"code":"Z"}"#).key("Z").id("e-1");
    publish(data, "roomEvents", &[bad]);
    let host = Start::new(&["booking"], data).start();
    host.log_until("dead letter");
    assert!(host.stop().success());

    let told = explained(data, &["--correlation", "e-1"]);
    let saga = &told["sagas"][0];
    assert_eq!(saga["dead_letters"][0]["reason"], "malformed", "{told}");
    assert_eq!(saga["pending"][0]["kind"], "dead-letter", "{told}");
    assert_eq!(
        saga["pending"].as_array().unwrap().len(),
        1,
        "told once: {told}"
    );
    let out = text(data, &["explain", "booking", "Z"]);
    assert!(out.contains("there is no room \"Z\" to clean"), "{out}");
    let (code, out, _) = call(&mut asks(data, &["stuck", "--older-than", "0s"]));
    assert!(
        code == 1 && out.contains("dead letter 1 of booking Z"),
        "{out}"
    );
}

#[test]
fn what_is_not_known_is_an_error_that_says_what_is() {
    let data = tempfile::tempdir().unwrap();
    let (code, err) = fails(&mut asks(data.path(), &["explain", "order", "1"]));
    assert_eq!(code, 64);
    assert!(err.contains("there is no store in"), "{err}");
    let (code, err) = fails(&mut asks(data.path(), &["stuck"]));
    assert_eq!(code, 64);
    assert!(err.contains("there is no store in"), "{err}");
    Start::new(&["order"], data.path()).run_once();
    for (arguments, says) in [
        (
            &["explain", "order", "17"][..],
            "order has no aggregate with the key `17`",
        ),
        (
            &["explain", "nobody", "1"],
            "`nobody` never ran on this store; these did: order",
        ),
        (
            &["explain", "--correlation", "c"],
            "nothing in this store has the correlation `c`",
        ),
        (
            &["stuck", "--participant", "nobody"],
            "`nobody` never ran on this store",
        ),
        (&["explain", "order"], "KEY"),
        (&["stuck", "--older-than", "5"], "90s, 30m, 12h, 7d"),
    ] {
        let (code, err) = fails(&mut asks(data.path(), arguments));
        assert_eq!(code, 64, "{err}");
        assert!(err.contains(says), "{err}");
    }
}

#[test]
fn a_decision_that_can_not_be_read_is_counted_and_said() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = chameleon::serve(data, &Chameleon::new());
    for _ in 0..3 {
        count(&host, "a");
    }
    assert!(host.stop().success());
    let out = text(data, &["explain", "chameleon", "a", "--all"]);
    assert!(!out.contains("can't be read"), "{out}");
    execute(data, "UPDATE journal SET decision = x'00ff' WHERE seq = 2");
    let told = explained(data, &["chameleon", "a", "--all"]);
    assert_eq!(told["unreadable"], 1, "{told}");
    assert_eq!(told["sagas"][0]["decisions"], 2, "{told}");
    let out = text(data, &["explain", "chameleon", "a", "--all"]);
    let line =
        "\n1 decision of the journal can't be read; it is not known of which sagas they are.\n";
    assert!(out.contains(line), "{line:?} is not in\n{out}");
}
