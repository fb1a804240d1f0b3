//! The saga, start to end, as the article walks it.

use serde_json::json;

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
