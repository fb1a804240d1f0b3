//! The order service with rules in another language than Rust.

use std::path::Path;

use serde_json::json;

use crate::commands::{asks, call, json_of};
use crate::support::{Start, component};

/// Swaps the order's rules in Rust to those of another language and back, with orders in between; then each of them
/// decides as the other did.
pub fn are_swapped_and_replayed(other: &Path) {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let start = Start::new(&["customer", "order"], data).setting("reload.watch_ms", 0);
    let host = start.start();
    let limit = json!({"name": "Ann", "creditLimit": {"amount": 1000}});
    assert_eq!(host.post("customer", "/customers", &limit).status, 201);
    let (other, rust) = (other.to_str().unwrap(), component("order"));
    let rust = rust.to_str().unwrap();
    let mut number = 0;
    let mut round = || {
        // Two that are approved, one that is not, and one of the approved ones is cancelled.
        for (amount, state) in [
            ("250.10", "APPROVED"),
            ("0.10", "APPROVED"),
            ("90000", "REJECTED"),
        ] {
            number += 1;
            let body = format!(r#"{{"customerId":1,"orderTotal":{{"amount":{amount}}}}}"#);
            assert_eq!(host.send("order", "POST", "/orders", &body).status, 201);
            host.get_until("order", &format!("/orders/{number}"), |one| {
                one.json()["orderState"] == state
            });
        }
        let cancel = format!("/orders/{}/cancel", number - 2);
        assert_eq!(host.send("order", "POST", &cancel, "").status, 200);
    };
    round();
    let apply = |path: &str| {
        let applied = json_of(&mut asks(data, &["apply", "order", path]));
        assert_eq!(applied["changed"], true, "{applied}");
    };
    apply(other);
    round();
    apply(rust);
    round();
    assert!(host.stop().success());
    for candidate in [other, rust] {
        let words = ["replay", "order", "--candidate", candidate];
        let (code, out, err) = call(&mut asks(data, &words));
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
    }
}
