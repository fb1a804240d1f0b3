//! Orders that nobody answers in time, and orders that are cancelled meanwhile, give their credit
//! back however late the customer service decides on them.

use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::saga::{Saga, decided, left, place, register, state};

pub fn tests() -> Vec<Test> {
    tests![any: credit_of_orders_that_ended_without_an_answer_is_given_back]
}

fn credit_of_orders_that_ended_without_an_answer_is_given_back(cluster: &Cluster) {
    let saga = Saga::new(cluster, 3);
    let customers = saga.start("customer");
    let service = saga
        .service("order")
        .setting("participants.order.rules.answer_timeout", "\"1s\"");
    let orders = service.start();
    let ann = register(&customers, json!(1000));
    let approved = place(&orders, ann, json!(100));
    assert_eq!(decided(&orders, approved), "APPROVED");
    customers.kill();

    let unanswered = place(&orders, ann, json!(300));
    let cancelled = place(&orders, ann, json!(200));
    let cancel = format!("/orders/{cancelled}/cancel");
    assert_eq!(orders.send("order", "POST", &cancel, "").status, 200);
    assert_eq!(decided(&orders, unanswered), "REJECTED");
    orders.kill();

    // The customer service reserves credit for both orders, and nobody hears its answers.
    let customers = saga.start("customer");
    until("credit is reserved", || left(&customers, ann) == 400);
    let orders = service.start();
    until("credit is given back", || left(&customers, ann) == 900);
    assert_eq!(state(&orders, unanswered), "REJECTED");
    assert_eq!(state(&orders, cancelled), "CANCELLED");
    let last = place(&orders, ann, json!(900));
    assert_eq!(decided(&orders, last), "APPROVED");
    assert_eq!(left(&customers, ann), json!(0));
}
