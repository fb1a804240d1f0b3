//! A topic that is deleted and created again while it is read, too quickly for its reader to miss it. The client library goes over to
//! the new one without a word, at the offset where it was.
//!
//! Every record of the new topic is decided, and once, whether it has an id of its own or is known by its place. What its
//! first records are cannot be told from their offsets: the new topic holds more than had been read of the old one.

use serde_json::json;

use crate::broker_faults::broker;
use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::until_degraded;
use crate::peer::{Listener, Speaker};
use crate::saga::{Saga, decided, left, place, register};
use crate::store_file::number;
use crate::support::Host;

/// Records that are read of the old topic, and records of the new one.
const OLD: u64 = 5;
const NEW: u64 = 40;

const AMOUNT: u64 = 10;

pub fn tests() -> Vec<Test> {
    tests![
        any: records_without_an_id_are_decided_once,
            records_with_an_id_are_decided_once;
        own: what_a_restarted_broker_has_recreated_is_read_and_written,
            a_broker_that_lost_its_disk_is_read_and_written,
    ]
}

fn records_without_an_id_are_decided_once(cluster: &Cluster) {
    recreated(cluster, |speaker, topic, value, _| {
        speaker.say(topic, value)
    });
}

fn records_with_an_id_are_decided_once(cluster: &Cluster) {
    recreated(cluster, |speaker, topic, value, id| {
        speaker.say_as(topic, value, &format!("order-{id}"));
    });
}

fn recreated(cluster: &Cluster, say: impl Fn(&Speaker, &str, &str, u64)) {
    let saga = Saga::new(cluster, 1);
    let customers = saga.start("customer");
    let ann = register(&customers, json!(10_000));
    let order = |id: u64| {
        json!({"id": id, "state": "PENDING", "orderDetails": {"customerId": ann, "orderTotal": {"amount": AMOUNT}}}).to_string()
    };
    let speaker = Speaker::new(cluster, "none");
    for id in 1..=OLD {
        say(&speaker, &saga.order_topic, &order(id), id);
    }
    let data = saga.data("customer");
    let decisions = || {
        number(
            &data,
            "SELECT count(*) FROM journal WHERE json_extract(message, '$.origin') = 'event'",
        ) as u64
    };
    until("the old ones are decided", || decisions() == OLD);

    cluster.recreate(&saga.order_topic, 1);
    // A client that knows the old one would ask for it.
    let speaker = Speaker::new(cluster, "none");
    for id in OLD + 1..=OLD + NEW {
        say(&speaker, &saga.order_topic, &order(id), id);
    }
    let another = format!(
        "topic {} is another one than the one that was read before",
        saga.order_topic
    );
    until_degraded(&customers, &[&another, "read from its beginning"]);
    until("the new ones are decided", || decisions() >= OLD + NEW);
    // Whatever comes twice has come when the last one is decided.
    say(
        &speaker,
        &saga.order_topic,
        &order(OLD + NEW + 1),
        OLD + NEW + 1,
    );
    let answers = Listener::new(cluster, &saga.customer_topic, "anybody");
    let mut heard: Vec<u64> = Vec::new();
    while heard.last() != Some(&(OLD + NEW + 1)) {
        heard.push(answers.hear().value["id"].as_u64().unwrap());
    }
    heard.sort_unstable();
    let expected: Vec<u64> = (1..=OLD + NEW + 1).collect();
    assert_eq!(heard, expected, "{}", customers.log());
    assert_eq!(decisions(), OLD + NEW + 1);
    let spent = AMOUNT * (OLD + NEW + 1);
    assert_eq!(left(&customers, ann), json!(10_000 - spent));
}

/// Orders of one customer, decided in both directions over whatever the topics are now.
fn orders_are_decided(orders: &Host, customer: u64) {
    let placed: Vec<u64> = (0..NEW)
        .map(|_| place(orders, customer, json!(AMOUNT)))
        .collect();
    for id in placed {
        assert_eq!(decided(orders, id), "APPROVED", "order {id}");
    }
}

/// A partition that was led anew once has an epoch above 0, which clients know; one that is recreated begins at 0 again.
fn what_a_restarted_broker_has_recreated_is_read_and_written() {
    let broker = broker();
    let cluster = Cluster::at(broker.bootstrap());
    let saga = Saga::new(&cluster, 1);
    let [customers, orders] = ["customer", "order"].map(|name| saga.start(name));
    let ann = register(&customers, json!(100_000));
    broker.stop().unwrap();
    broker.start_again().unwrap();
    orders_are_decided(&orders, ann);

    let delete =
        |topic: &str| drop(cluster.tool("kafka-topics", &["--delete", "--topic", topic], ""));
    let recreate = |topic: &str| cluster.recreate(topic, 1);
    for (topic, reader) in [
        (&saga.customer_topic, &orders),
        (&saga.order_topic, &customers),
    ] {
        for change in [&delete as &dyn Fn(&str), &recreate] {
            change(topic);
            orders_are_decided(&orders, ann);
        }
        until_degraded(reader, &[&format!("topic {topic} is another one")]);
    }
    let spent = 5 * NEW * AMOUNT;
    assert_eq!(left(&customers, ann), json!(100_000 - spent));
}

fn a_broker_that_lost_its_disk_is_read_and_written() {
    let broker = broker();
    let saga = Saga::new(&Cluster::at(broker.bootstrap()), 1);
    let [customers, orders] = ["customer", "order"].map(|name| saga.start(name));
    let ann = register(&customers, json!(100_000));
    broker.stop().unwrap();
    broker.start_again().unwrap();
    orders_are_decided(&orders, ann);

    broker.lose_disk().unwrap();
    broker.start_again().unwrap();
    orders_are_decided(&orders, ann);
    for (topic, reader) in [
        (&saga.customer_topic, &orders),
        (&saga.order_topic, &customers),
    ] {
        until_degraded(reader, &[&format!("topic {topic} is another one")]);
    }
    assert_eq!(left(&customers, ann), json!(100_000 - 2 * NEW * AMOUNT));
}
