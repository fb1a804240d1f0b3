//! Records that reach the broker long after they were made, because it was away: brokers delete by the time of a record, and may refuse
//! one that lies far off theirs. So a record has the time at which it is sent; `ce_time` keeps the other.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::broker_faults::broker_with;
use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::{until_degraded, until_ready};
use crate::peer::Speaker;
use crate::saga::{Saga, decided, place, register};

/// How long the topics keep records.
const RETENTION: Duration = Duration::from_secs(20);

const ORDERS: usize = 5;

pub fn tests() -> Vec<Test> {
    tests![
        own: what_waited_for_longer_than_its_topic_keeps_records_is_read;
        tools: a_time_that_the_topic_does_not_take_is_said_and_goes_through_later,
    ]
}

fn what_waited_for_longer_than_its_topic_keeps_records_is_read() {
    let broker = broker_with(&[
        ("log.retention.check.interval.ms", "200"),
        ("log.initial.task.delay.ms", "200"),
    ]);
    let cluster = Cluster::at(broker.bootstrap());
    let saga = Saga::new(&cluster, 1);
    cluster.create("control", 1);
    for topic in [&*saga.order_topic, &*saga.customer_topic, "control"] {
        let retention = format!("retention.ms={}", RETENTION.as_millis());
        configure(&cluster, topic, &["--add-config", &retention]);
    }
    let customers = saga.start("customer");
    let ann = register(&customers, json!(1_000));
    let orders = saga.start("order");
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");
    assert!(customers.stop().success());

    broker.stop().unwrap();
    let placed: Vec<u64> = (0..ORDERS)
        .map(|_| place(&orders, ann, json!(10)))
        .collect();
    let since = Instant::now();
    until_degraded(&orders, &["can't be reached"]);
    // Nothing tells that it has been away for long.
    std::thread::sleep((RETENTION + Duration::from_secs(2)).saturating_sub(since.elapsed()));
    broker.start_again().unwrap();
    until("they are sent", || {
        cluster.ends(&saga.order_topic) == [1 + ORDERS as i64]
    });
    // Whatever is old by then is deleted.
    let speaker = Speaker::new(&cluster, "none");
    speaker.say_of("control", "old", Duration::from_secs(60));
    until("an old record is deleted", || {
        cluster.begins("control") == [1]
    });
    let customers = saga.start("customer");
    for id in placed {
        assert_eq!(decided(&orders, id), "APPROVED", "order {id}");
    }
    until_ready(&[&customers, &orders]);
}

fn a_time_that_the_topic_does_not_take_is_said_and_goes_through_later(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let [customers, orders] = ["customer", "order"].map(|name| saga.start(name));
    let ann = register(&customers, json!(1_000));
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");
    // As if its clock were ahead: whatever arrives was sent before.
    let name = "message.timestamp.before.max.ms";
    let none = format!("{name}=0");
    configure(cluster, &saga.order_topic, &["--add-config", &none]);
    let placed: Vec<u64> = (0..ORDERS)
        .map(|_| place(&orders, ann, json!(10)))
        .collect();
    let words = [
        "InvalidTimestamp",
        "which is that of sending",
        "set the clocks",
        name,
        "it then goes through by itself",
    ];
    until_degraded(&orders, &words);
    configure(cluster, &saga.order_topic, &["--delete-config", name]);
    for id in placed {
        assert_eq!(decided(&orders, id), "APPROVED", "order {id}");
    }
    until_ready(&[&customers, &orders]);
}

/// Changes the configuration of a topic.
fn configure(cluster: &Cluster, topic: &str, change: &[&str]) {
    let topic = ["--alter", "--entity-type", "topics", "--entity-name", topic];
    cluster.tool("kafka-configs", &[&topic[..], change].concat(), "");
}
