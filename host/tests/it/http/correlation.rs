//! `Saga-Correlation`: one saga, one correlation, whoever sends the next message.

use serde_json::{Value, json};

use crate::expect::problem;
use crate::store_file::rows;
use crate::support::{Host, Response, Start, request};

fn send(host: &Host, path: &str, headers: &[(&str, &str)], body: &Value) -> Response {
    let url = format!("{}{path}", host.url("order"));
    let headers = [&[("content-type", "application/json")], headers].concat();
    request("POST", &url, &headers, body.to_string().as_bytes())
}

fn order() -> Value {
    json!({"customerId": 1, "orderTotal": {"amount": 300}})
}

fn saga(response: &Response) -> String {
    response.header("saga-correlation").unwrap().to_owned()
}

/// A host with a customer who has credit.
fn start(data: &std::path::Path) -> Host {
    let host = Start::new(&["customer", "order"], data).start();
    let ann = json!({"name": "Ann", "creditLimit": {"amount": 1000}});
    assert_eq!(host.post("customer", "/customers", &ann).status, 201);
    host
}

#[test]
fn a_later_command_belongs_to_the_saga_of_its_aggregate() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let placed = send(&host, "/orders", &[], &order());
    assert_eq!(placed.status, 201, "{}", placed.text());
    let approved = host.get_until("order", "/orders/1", |seen| {
        seen.json()["orderState"] == "APPROVED"
    });
    assert_eq!(saga(&approved), saga(&placed));
    let cancelled = send(&host, "/orders/1/cancel", &[], &json!(null));
    assert_eq!(cancelled.json()["orderState"], "CANCELLED");
    assert_eq!(saga(&cancelled), saga(&placed));
    // Refusals name it too, and another order is another saga.
    let poor = json!({"customerId": 1, "orderTotal": {"amount": 2000}});
    let second = send(&host, "/orders", &[], &poor);
    assert_ne!(saga(&second), saga(&placed));
    host.get_until("order", "/orders/2", |seen| {
        seen.json()["orderState"] == "REJECTED"
    });
    let refused = send(&host, "/orders/2/cancel", &[], &json!(null));
    assert_eq!((refused.status, saga(&refused)), (409, saga(&second)));
    host.get_until("customer", "/customer/1", |seen| {
        seen.json()["creditLimit"] == 1000
    });
    assert!(host.stop().success());

    let published = "SELECT event_type FROM outbox WHERE correlation = ";
    let events = rows(
        data.path(),
        &format!("{published}'{}' ORDER BY time, topic", saga(&placed)),
    );
    let mut events = events.concat();
    events.sort();
    let expected = [
        "saga.customer.credit-answered",
        "saga.order.cancelled",
        "saga.order.created",
    ];
    assert_eq!(events, expected);
    // Each event names the message that caused it, and rules are told.
    let causes = "SELECT count(*) FROM journal j JOIN journal c
        ON c.message ->> 'id' = j.message ->> 'causation' WHERE j.message ->> 'origin' = 'event'";
    assert_eq!(rows(data.path(), causes), [["5"]]);
}

#[test]
fn a_client_may_name_the_saga() {
    let data = tempfile::tempdir().unwrap();
    let host = start(data.path());
    let (named, key) = (("saga-correlation", "shop-17"), ("idempotency-key", "k"));
    let placed = send(&host, "/orders", &[named, key], &order());
    assert_eq!((placed.status, saga(&placed).as_str()), (201, "shop-17"));
    // A repeat is answered as the first request was.
    let again = send(&host, "/orders", &[key], &order());
    assert_eq!(
        (again.header("idempotency-replayed"), saga(&again).as_str()),
        (Some("true"), "shop-17")
    );
    host.get_until("order", "/orders/1", |seen| {
        seen.json()["orderState"] == "APPROVED"
    });
    let other = ("saga-correlation", "shop-18");
    let cancelled = send(&host, "/orders/1/cancel", &[other], &json!(null));
    assert_eq!(saga(&cancelled), "shop-18");
    let read = host.get("order", "/orders/1");
    assert_eq!(saga(&read), "shop-17");
    for wrong in ["", "two words"] {
        let answer = send(&host, "/orders", &[("saga-correlation", wrong)], &order());
        problem(&answer, 400, "bad-correlation");
    }
    assert!(host.stop().success());
}
