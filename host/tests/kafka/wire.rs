//! The bytes and headers of published records, on a real broker.
//!
//! - Two host processes, which share nothing but the broker, walk the saga.
//! - Their records are what the contract says: the value, the customer's id as the key, CloudEvents and trace context
//!   in headers.
//! - Either service can be replaced by a program that sends the bare value: without key and headers, with a Java type
//!   header, compressed.
//! - Kafka's own console tools read the topics and write them; what is written by hand is an event like any other.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::harness::{Test, tests};
use crate::peer::{Heard, Listener, Speaker};
use crate::saga::{Saga, decided, left, place, register};

pub fn tests() -> Vec<Test> {
    tests![
        any: two_processes_walk_the_saga,
            topics_that_are_missing_are_created,
            records_are_what_the_contract_says,
            a_foreign_customer_service_can_stand_in,
            a_foreign_order_service_can_stand_in;
        tools: the_console_tools_read_and_write_the_topics,
    ]
}

/// An order as it stands in a record.
fn record(id: u64, state: &str, customer: u64, amount: Value) -> Value {
    json!({"id": id, "state": state, "orderDetails": {"customerId": customer, "orderTotal": {"amount": amount}}})
}

fn two_processes_walk_the_saga(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ann = register(&customers, json!(1000));
    for (amount, state) in [
        (json!(300), "APPROVED"),
        (json!(700.01), "REJECTED"),
        (json!(689.75), "APPROVED"),
        (json!(10.25), "APPROVED"),
        (json!(0.01), "REJECTED"),
    ] {
        let id = place(&orders, ann, amount.clone());
        assert_eq!(decided(&orders, id), state, "{amount}");
    }
    assert_eq!(left(&customers, ann), json!(0), "it is used up exactly");
    assert_eq!(
        decided(&orders, place(&orders, 99, json!(1))),
        "REJECTED",
        "nobody is 99"
    );
    assert!(orders.stop().success() && customers.stop().success());
}

fn topics_that_are_missing_are_created(cluster: &Cluster) {
    let saga = Saga::without_topics(cluster);
    let start = |service| saga.service(service).setting("kafka.partitions", 3).start();
    let (customers, orders) = (start("customer"), start("order"));
    let ann = register(&customers, json!(10));
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");
    for topic in [&saga.order_topic, &saga.customer_topic] {
        assert_eq!(cluster.partitions(topic), 3, "{topic}");
    }
}

/// Checks everything of a record but its value and what it was caused by.
fn check_headers(heard: &Heard, service: &str, event_type: &str) {
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_source", &format!("/saga/{service}")),
        ("ce_type", event_type),
        ("content-type", "application/json"),
    ];
    for (name, value) in expected {
        assert_eq!(heard.header(name), Some(value), "{heard:?}");
    }
    let length = |name: &str| heard.header(name).map(str::len);
    assert_eq!(length("ce_sagadigest"), Some(64), "{heard:?}");
    assert_eq!(length("traceparent"), Some(55), "{heard:?}");
    assert!(
        length("ce_id") > Some(0) && length("ce_time") > Some(0),
        "{heard:?}"
    );
    assert_eq!(
        heard.key.as_deref(),
        Some("1"),
        "the customer's orders stay in order"
    );
}

fn records_are_what_the_contract_says(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let placed = Listener::new(
        cluster,
        &saga.order_topic,
        &format!("{}-peer", saga.order_group),
    );
    let answers = Listener::new(
        cluster,
        &saga.customer_topic,
        &format!("{}-peer", saga.customer_group),
    );
    let ann = register(&customers, json!(300));
    for (amount, state) in [(json!(299.99), "APPROVED"), (json!(0.02), "REJECTED")] {
        let id = place(&orders, ann, amount.clone());
        assert_eq!(decided(&orders, id), state);
        let (order, answer) = (placed.hear(), answers.hear());
        assert_eq!(order.value, record(id, "PENDING", ann, amount.clone()));
        assert_eq!(answer.value, record(id, state, ann, amount));
        check_headers(&order, "order", "saga.order.created");
        check_headers(&answer, "customer", "saga.customer.credit-answered");
        // Both belong to one saga and one trace, and the answer says what it answers.
        let of = |heard: &Heard, name: &str| heard.header(name).unwrap().to_owned();
        assert_eq!(
            of(&order, "ce_correlationid"),
            of(&answer, "ce_correlationid")
        );
        assert_eq!(
            of(&order, "traceparent")[3..35],
            of(&answer, "traceparent")[3..35]
        );
        assert_eq!(of(&answer, "ce_causationid"), of(&order, "ce_id"));
        assert_ne!(of(&answer, "ce_id"), of(&order, "ce_id"));
    }
}

fn a_foreign_customer_service_can_stand_in(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let orders = saga.start("order");
    let listener = Listener::new(cluster, &saga.order_topic, &saga.order_group);
    for (compression, is_typed, state) in [
        ("none", false, "APPROVED"),
        ("none", true, "REJECTED"),
        ("zstd", true, "APPROVED"),
        ("zstd", false, "REJECTED"),
    ] {
        let id = place(&orders, 7, json!(300));
        let heard = listener.hear();
        assert_eq!(heard.value, record(id, "PENDING", 7, json!(300)));
        let answer = record(id, state, 7, json!(300)).to_string();
        let speaker = Speaker::new(cluster, compression);
        if is_typed {
            speaker.say_typed(&saga.customer_topic, &answer);
        } else {
            speaker.say(&saga.customer_topic, &answer);
        }
        assert_eq!(decided(&orders, id), state, "{compression}, {is_typed}");
    }
}

fn a_foreign_order_service_can_stand_in(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let customers = saga.start("customer");
    let ann = register(&customers, json!(1000));
    let listener = Listener::new(cluster, &saga.customer_topic, &saga.customer_group);
    let (plain, zstd) = (Speaker::new(cluster, "none"), Speaker::new(cluster, "zstd"));
    // What is no record of an order is put aside and holds nothing up. Amounts as Java writes them.
    plain.say(&saga.order_topic, "no JSON");
    let java = |id, amount| {
        format!(
            r#"{{"id":{id},"state":"PENDING","orderDetails":{{"customerId":{ann},"orderTotal":{{"amount":{amount}}}}}}}"#
        )
    };
    plain.say(&saga.order_topic, &java(41, "300.00"));
    plain.say_typed(&saga.order_topic, &java(42, "7E+2"));
    zstd.say_typed(&saga.order_topic, &java(43, "0.01"));
    let heard = listener.hear_all(3);
    let states: Vec<_> = heard
        .iter()
        .map(|heard| {
            (
                heard.value["id"].as_u64().unwrap(),
                heard.value["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [(41, "APPROVED"), (42, "APPROVED"), (43, "REJECTED")]
    );
    assert_eq!(left(&customers, ann), json!(0));
}

fn the_console_tools_read_and_write_the_topics(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let customers = saga.start("customer");
    let ann = register(&customers, json!(1000));
    let by_hand = record(500, "PENDING", ann, json!(999.5)).to_string();
    cluster.tool(
        "kafka-console-producer",
        &["--topic", &saga.order_topic],
        &by_hand,
    );
    let arguments = [
        "--topic",
        &saga.customer_topic,
        "--from-beginning",
        "--max-messages",
        "1",
        "--property",
        "print.headers=true",
        "--property",
        "print.key=true",
    ];
    let shown = cluster.tool("kafka-console-consumer", &arguments, "");
    let [headers, key, value] = shown.trim_end().split('\t').collect::<Vec<_>>()[..] else {
        panic!("not three columns: {shown}");
    };
    for header in [
        "ce_specversion:1.0",
        "ce_type:saga.customer.credit-answered",
        "ce_source:/saga/customer",
    ] {
        assert!(
            headers.split(',').any(|shown| shown == header),
            "{header}: {shown}"
        );
    }
    assert_eq!(key, "1");
    let value: Value = serde_json::from_str(value).unwrap();
    assert_eq!(value, record(500, "APPROVED", ann, json!(999.5)));
    assert_eq!(left(&customers, ann), json!(0.5));

    // With the customer service down, only the hand can answer.
    assert!(customers.stop().success());
    let orders = saga.start("order");
    let id = place(&orders, ann, json!(1));
    let answer = record(id, "APPROVED", ann, json!(1)).to_string();
    cluster.tool(
        "kafka-console-producer",
        &["--topic", &saga.customer_topic],
        &answer,
    );
    assert_eq!(decided(&orders, id), "APPROVED");
}
