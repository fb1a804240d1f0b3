//! The saga, start to end, as the article walks it.

use serde_json::{Value, json};

use crate::expect::until;
use crate::orders::{ann, place};
use crate::support::{Host, Start};

fn order(host: &Host, customer: u64, amount: f64) -> String {
    let placed = host.post(
        "order",
        "/orders",
        &json!({"customerId": customer, "orderTotal": {"amount": amount}}),
    );
    assert_eq!(placed.status, 201, "{}", placed.text());
    let id = placed.json()["orderId"].to_string();
    assert_eq!(
        placed.header("location"),
        Some(format!("/customer-order/order-service/orders/{id}").as_str())
    );
    let path = format!("/orders/{id}");
    let decided = host.get_until("order", &path, |response| {
        response.json()["orderState"] != "PENDING"
    });
    decided.json()["orderState"].as_str().unwrap().to_owned()
}

#[test]
fn orders_are_approved_up_to_the_limit_and_rejected_beyond() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path()).start();
    let ann = host.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": 1000}}),
    );
    assert_eq!(
        (ann.status, ann.json()),
        (201, json!({"customerId": 1, "name": "Ann", "amount": 1000}))
    );
    assert_eq!(
        ann.header("location"),
        Some("/customer-order/customer-service/customer/1")
    );

    assert_eq!(order(&host, 1, 300.0), "APPROVED");
    assert_eq!(order(&host, 1, 689.75), "APPROVED");
    assert_eq!(order(&host, 1, 10.26), "REJECTED", "a cent too much");
    assert_eq!(order(&host, 1, 10.25), "APPROVED", "exactly what is left");
    assert_eq!(order(&host, 999, 1.0), "REJECTED", "no such customer");
    let left = host.get("customer", "/customer/1");
    assert_eq!(
        left.json(),
        json!({"id": 1, "name": "Ann", "creditLimit": 0})
    );
    assert!(host.stop().success());
}

fn until_credit_is(host: &Host, left: u64) {
    until(&format!("{left} of the credit is left"), || {
        host.get("customer", "/customer/1").json()["creditLimit"] == left
    });
}

fn shown(host: &Host, path: &str) -> Value {
    host.get("order", path).json()
}

#[test]
fn a_cancelled_order_gives_its_credit_back_once() {
    let data = tempfile::tempdir().unwrap();
    let host = Start::new(&["customer", "order"], data.path()).start();
    ann(&host);
    assert_eq!(order(&host, 1, 300.0), "APPROVED");
    let second = place(&host, 200);
    let path = format!("{second}/cancel");
    // As soon as it is placed: whether it is approved by then is not known.
    for _ in 0..2 {
        let cancelled = host.send("order", "POST", &path, "");
        assert_eq!(cancelled.status, 200, "{}", cancelled.text());
        assert_eq!(cancelled.json()["orderState"], "CANCELLED");
    }
    until_credit_is(&host, 700);
    let first = host.send("order", "POST", "/orders/1/cancel", "");
    assert_eq!(first.status, 200, "{}", first.text());
    until_credit_is(&host, 1000);
    assert_eq!(order(&host, 1, 2000.0), "REJECTED");
    let rejected = host.send("order", "POST", "/orders/3/cancel", "");
    crate::expect::problem(&rejected, 409, "order-rejected");
    // What is published after all this is decided after it, so nothing more was given back.
    assert_eq!(order(&host, 1, 1000.0), "APPROVED");
    until_credit_is(&host, 0);
    assert!(host.stop().success());
}

#[test]
fn an_order_that_nobody_answers_is_rejected_and_gives_late_credit_back() {
    let data = tempfile::tempdir().unwrap();
    let both = || {
        Start::new(&["customer", "order"], data.path())
            .setting("participants.order.rules.answer_timeout", "\"1s\"")
    };
    let host = both().start();
    ann(&host);
    assert!(host.stop().success());

    let alone = Start::new(&["order"], data.path()).start();
    let orders = [300, 500].map(|amount| place(&alone, amount));
    for order in &orders {
        let ended = alone.get_until("order", order, |response| {
            response.json()["orderState"] != "PENDING"
        });
        assert_eq!(ended.json()["orderState"], "REJECTED");
        let reason = "the customer service did not answer within 1s";
        assert_eq!(ended.json()["reason"], reason);
    }
    assert!(alone.stop().success());

    // The customer service reserves credit for both, is told, and releases it.
    let host = both().start();
    assert_eq!(order(&host, 1, 1.0), "APPROVED");
    until_credit_is(&host, 999);
    for order in &orders {
        assert_eq!(shown(&host, order)["orderState"], "REJECTED");
    }
    assert_eq!(
        crate::store_file::published(data.path(), "cancellationTopic"),
        2
    );
    assert!(host.stop().success());
}
