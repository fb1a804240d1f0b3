//! A customer and her orders.

use serde_json::json;

use crate::support::Host;

/// Registers Ann, the first customer, with a credit of 1000.
pub fn ann(host: &Host) {
    let ann = json!({"name": "Ann", "creditLimit": {"amount": 1000}});
    assert_eq!(host.post("customer", "/customers", &ann).status, 201);
}

/// Places an order of the first customer; gives its path.
pub fn place(host: &Host, amount: u64) -> String {
    let order = json!({"customerId": 1, "orderTotal": {"amount": amount}});
    let placed = host.post("order", "/orders", &order);
    assert_eq!(placed.status, 201, "{}", placed.text());
    format!("/orders/{}", placed.json()["orderId"])
}

/// Waits until the order at this path is decided; gives its state.
pub fn decided(host: &Host, path: &str) -> String {
    let answer = host.get_until("order", path, |answer| {
        answer.json()["orderState"] != "PENDING"
    });
    answer.json()["orderState"].as_str().unwrap().to_owned()
}
