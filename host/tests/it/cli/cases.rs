//! `saga journal export` and `saga repair`, beside a host that runs.

use std::path::Path;

use saga_contract::cases::{self, Case, Header};
use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon, count};
use crate::commands::{asks, call, fails};
use crate::store_file::execute;
use crate::support::{Host, Start, component};

/// A host with a customer and orders of these totals, all answered.
fn host_with_orders(data: &Path, totals: &[&str]) -> Host {
    let host = Start::new(&["customer", "order"], data).start();
    let ann = r#"{"name": "Ann", "creditLimit": {"amount": 100000.00}}"#;
    assert_eq!(host.send("customer", "POST", "/customers", ann).status, 201);
    for total in totals {
        let body = format!(r#"{{"customerId": 1, "orderTotal": {{"amount": {total}}}}}"#);
        let placed = host.send("order", "POST", "/orders", &body);
        assert_eq!(placed.status, 201, "{}", placed.text());
        let path = format!("/orders/{}", placed.json()["orderId"]);
        host.get_until("order", &path, |response| {
            response.json()["orderState"] != "PENDING"
        });
    }
    host
}

fn exported(data: &Path, arguments: &[&str]) -> (String, Header, Vec<Case>) {
    let (code, out, err) = call(asks(data, &["journal", "export"]).args(arguments));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (header, cases) = cases::read(&out).unwrap();
    (out, header, cases)
}

#[test]
fn recorded_decisions_are_written_beside_a_running_host() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = host_with_orders(data, &["300.00", "0.50"]);

    let (text, header, all) = exported(data, &["order"]);
    assert!(text.contains("300.00"), "digits are lost: {text}");
    assert_eq!(header.participant, "order");
    assert_eq!(header.generations.len(), 1);
    assert_eq!(all.len(), 4, "two orders, placed and answered");
    assert!(all.is_sorted_by_key(|case| case.seq));
    let placed = &all[0];
    assert_eq!(placed.message.origin, "command");
    assert_eq!(placed.state, None);
    assert_eq!(placed.message.body["customerId"], 1);
    assert_eq!(placed.outcome["events"][0]["key"], "1");
    assert!(placed.outcome["reply"].is_object());
    let (.., last) = exported(data, &["order", "--last", "1"]);
    assert_eq!(last, all[3..]);
    let (.., of_first) = exported(data, &["order", "--key", "1"]);
    assert!(of_first.iter().all(|case| case.message.key == "1"));
    assert_eq!(of_first.len(), 2);
    let (.., recent) = exported(data, &["order", "--since", "1h"]);
    assert_eq!(recent, all);

    let (text, header, redacted) = exported(data, &["customer", "--redact", "/name"]);
    assert_eq!(header.redacted, ["/name"]);
    assert!(!text.contains("Ann"), "{text}");
    let body = &redacted[0].message.body["name"];
    assert!(body.as_str().unwrap().starts_with("redacted-"));
    assert_eq!(&redacted[1].state.as_ref().unwrap()["name"], body);

    let (code, err) = fails(&mut asks(data, &["journal", "export", "clerk"]));
    assert_eq!(code, 64);
    assert!(
        err.contains("there is no participant `clerk`") && err.contains("customer, order"),
        "{err}"
    );
    let (code, _, err) = call(&mut asks(
        data,
        &["journal", "export", "customer", "--redact", "/nmae"],
    ));
    assert_eq!(code, 64);
    assert!(
        err.contains("--redact /nmae: none of the decisions has a value there"),
        "{err}"
    );
    let (code, _, err) = call(&mut asks(
        data,
        &["journal", "export", "order", "--redact", "/customerId"],
    ));
    assert_eq!(code, 64);
    assert!(
        err.contains("a number at /customerId, and only strings can be redacted"),
        "{err}"
    );
    assert!(host.stop().success());
}

#[test]
fn decisions_that_fixed_rules_make_otherwise_are_listed() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let host = host_with_orders(data, &["300.00", "20000.00"]);
    let (_, header, all) = exported(data, &["customer"]);
    let digest = &header.generations[0].digest;
    let repair = |generation: &str, with: &str| {
        let with = component(with);
        let mut command = asks(data, &["repair", "customer", "--generation", generation]);
        command.arg("--with").arg(with);
        command
    };

    let (code, out, err) = call(repair(&digest[..12], "customer").arg("--json"));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["affected"], json!([]));
    assert_eq!(list["decisions"], all.len());

    let (code, out, err) = call(repair(&digest[..12], "customer_cautious").arg("--json"));
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    let list: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(list["generation"], json!(digest));
    let affected = list["affected"].as_array().unwrap();
    assert!(!affected.is_empty(), "{list}");
    for one in affected {
        let case = all.iter().find(|case| one["seq"] == case.seq).unwrap();
        assert_eq!(one["key"], json!(case.message.key));
        assert_eq!(one["recorded"], case.outcome);
        assert_ne!(one["corrected"], case.outcome);
        assert_ne!(one["parts"], json!([]));
    }
    let (code, out, _) = call(&mut repair(digest, "customer_cautious"));
    assert_eq!(code, 1);
    assert!(
        out.contains("recorded:") && out.contains("corrected:"),
        "{out}"
    );

    let (code, err) = fails(&mut repair("xyz", "customer_cautious"));
    assert_eq!(code, 64);
    assert!(err.contains("has a digest that begins with `xyz`"), "{err}");
    let (code, err) = fails(&mut repair(digest, "order"));
    assert_eq!(code, 65, "{err}");
    let (.., after) = exported(data, &["customer"]);
    assert_eq!(after, all, "nothing is decided");
    assert!(host.stop().success());
}

#[test]
fn decisions_that_can_not_be_read_count_for_their_generation_only() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let (first, second) = (Chameleon::new(), chameleon::second());
    let host = chameleon::serve(data, &first);
    let ask = |build: &Chameleon, with: &str, json: bool| {
        let (digest, with) = (build.digest(), data.join(with));
        let with = with.to_str().unwrap();
        let repair = ["repair", "chameleon", "--generation", &digest];
        let mut command = asks(data, &[&repair[..], &["--with", with]].concat());
        if json {
            command.arg("--json");
        }
        call(&mut command)
    };
    let list = |build: &Chameleon, with: &str| -> (i32, Value) {
        let (code, out, err) = ask(build, with, true);
        assert_eq!(err, "", "{out}");
        (code, serde_json::from_str(&out).unwrap())
    };
    count(&host, "a");
    count(&host, "a");
    chameleon::swap(&host, &second);
    count(&host, "b");
    assert!(host.stop().success());
    first.write(&data.join("first.wasm"));
    second.write(&data.join("second.wasm"));
    execute(
        data,
        "UPDATE journal SET decision = x'00ff' WHERE seq = (SELECT min(seq) FROM journal)",
    );

    let (code, told) = list(&second, "second.wasm");
    assert_eq!((code, &told["decisions"]), (0, &json!(1)), "{told}");
    assert_eq!(told["not_compared"], 0, "{told}");
    let (code, told) = list(&first, "first.wasm");
    assert_eq!((code, &told["decisions"]), (1, &json!(2)), "{told}");
    assert_eq!(
        (&told["not_compared"], &told["affected"]),
        (&json!(1), &json!([])),
        "{told}"
    );
    let (code, out, err) = call(&mut asks(data, &["journal", "export", "chameleon"]));
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("1 decisions were left out, the first: decision "),
        "{err}"
    );
    assert_eq!(cases::read(&out).unwrap().1.len(), 2);

    // Long values are cut in the text. Rules that don't take the message are told.
    let long = Chameleon::new().with(json!({"handle": {"count": [
        {"count": 1}, {"set": ["note", "x".repeat(1_000)]},
    ]}}));
    long.write(&data.join("long.wasm"));
    let (code, out, _) = ask(&second, "long.wasm", false);
    assert_eq!(code, 1, "{out}");
    let corrected = out.lines().find(|line| line.contains("corrected:"));
    let corrected = corrected.unwrap();
    assert!(
        corrected.ends_with('…') && corrected.len() < 200,
        "{corrected}"
    );
    let without = Chameleon::new().with(json!({"commands": [
        {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
    ]}));
    without.write(&data.join("without.wasm"));
    let (code, told) = list(&second, "without.wasm");
    assert_eq!((code, &told["not_compared"]), (1, &json!(0)), "{told}");
    let why = told["affected"][0]["not_decided"].as_str().unwrap();
    assert!(why.contains("don't take the command `count`"), "{why}");
}
