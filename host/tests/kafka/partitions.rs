//! Topics of several partitions on a real broker.
//!
//! - With 1, 6 and 50 partitions, orders of one customer are decided in the order in which they were placed, by both
//!   services, while several customers order at the same time. One customer's records are in one partition.
//! - Partitions can be added while both services run: what is published there is read, from its first record on, and
//!   nothing is lost or decided twice. A key may belong to another partition from then on. What was
//!   published of it before may then be read after what is published now, until the old partition has been read to
//!   where it ended: order per key does not hold over that moment, as with any Kafka client. What holds is
//!   each order's decision, once, and the books. Without a pause in what is published, add partitions only when that will do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::peer::Listener;
use crate::saga::{Saga, decided, left, place, register};
use crate::store_file::number;
use crate::support::Host;

/// Customers that order at the same time.
const CUSTOMERS: usize = 12;

/// Orders of each, of 10 each.
const ORDERS: usize = 12;

/// Orders of each for which the credit is enough.
const ENOUGH: usize = 7;

pub fn tests() -> Vec<Test> {
    tests![
        any: order_holds_on_1_partition,
            order_holds_on_6_partitions,
            order_holds_on_50_partitions;
        tools: partitions_that_are_added_are_read_from_their_first_record,
    ]
}

fn order_holds_on_1_partition(cluster: &Cluster) {
    order_holds(cluster, 1);
}

fn order_holds_on_6_partitions(cluster: &Cluster) {
    order_holds(cluster, 6);
}

fn order_holds_on_50_partitions(cluster: &Cluster) {
    order_holds(cluster, 50);
}

/// Each customer places orders one after the other; gives their ids, by customer.
fn place_all(orders: &Host, customers: &[u64], count: usize) -> BTreeMap<u64, Vec<u64>> {
    std::thread::scope(|scope| {
        let placing: Vec<_> = customers
            .iter()
            .map(|customer| {
                scope.spawn(move || {
                    (0..count)
                        .map(|_| place(orders, *customer, json!(10)))
                        .collect()
                })
            })
            .collect();
        let placed = placing.into_iter().map(|thread| thread.join().unwrap());
        customers.iter().copied().zip(placed).collect()
    })
}

fn order_holds(cluster: &Cluster, partitions: i32) {
    let saga = Saga::new(cluster, partitions);
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ids: Vec<_> = (0..CUSTOMERS)
        .map(|_| register(&customers, json!(10 * ENOUGH)))
        .collect();
    let placed = place_all(&orders, &ids, ORDERS);
    for (customer, placed) in &placed {
        for (number, id) in placed.iter().enumerate() {
            let expected = if number < ENOUGH {
                "APPROVED"
            } else {
                "REJECTED"
            };
            assert_eq!(
                decided(&orders, *id),
                expected,
                "order {number} of customer {customer}"
            );
        }
        assert_eq!(left(&customers, *customer), json!(0));
    }
    for topic in [&saga.order_topic, &saga.customer_topic] {
        let listener = Listener::new(cluster, topic, &format!("{topic}-peer"));
        let mut used = BTreeSet::new();
        let mut heard: BTreeMap<u64, (BTreeSet<i32>, Vec<u64>)> = BTreeMap::new();
        for record in listener.hear_all(CUSTOMERS * ORDERS) {
            let customer = record.value["orderDetails"]["customerId"].as_u64().unwrap();
            assert_eq!(record.key, Some(customer.to_string()));
            let (partitions, ids) = heard.entry(customer).or_default();
            partitions.insert(record.partition);
            ids.push(record.value["id"].as_u64().unwrap());
            used.insert(record.partition);
        }
        for (customer, (partitions, ids)) in heard {
            assert_eq!(
                partitions.len(),
                1,
                "{topic}: customer {customer} is in {partitions:?}"
            );
            assert_eq!(ids, placed[&customer], "{topic}: customer {customer}");
        }
        assert!(
            used.len() > 1 || partitions == 1,
            "{topic}: only {used:?} were used"
        );
    }
}

fn partitions_that_are_added_are_read_from_their_first_record(cluster: &Cluster) {
    const PARTITIONS: usize = 4;
    // Clients learn of new partitions when they next ask, which is every 30 seconds otherwise.
    let saga = Saga::new(cluster, 1).property("topic.metadata.refresh.interval.ms", 500);
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ids: Vec<_> = (0..CUSTOMERS)
        .map(|_| register(&customers, json!(100)))
        .collect();
    let mut placed: Vec<u64> = Vec::new();
    let mut place_some = || {
        let new: Vec<u64> = place_all(&orders, &ids, 1)
            .into_values()
            .flatten()
            .collect();
        placed.extend(new);
        placed.len()
    };
    place_some();
    for topic in [&saga.order_topic, &saga.customer_topic] {
        let count = PARTITIONS.to_string();
        cluster.tool(
            "kafka-topics",
            &["--alter", "--topic", topic, "--partitions", &count],
            "",
        );
    }
    // Orders go on, while the clients learn of it at times of their own.
    let are_used = |topic: &str| {
        let ends = cluster.ends(topic);
        ends.len() == PARTITIONS && ends.iter().all(|end| *end > 0)
    };
    let mut count = 0;
    until("records are in all partitions", || {
        count = place_some();
        are_used(&saga.order_topic) && are_used(&saga.customer_topic)
    });
    let approved = placed
        .iter()
        .filter(|id| decided(&orders, **id) == "APPROVED")
        .count();
    let taken: u64 = ids
        .iter()
        .map(|id| 100 - left(&customers, *id).as_u64().unwrap())
        .sum();
    assert_eq!(taken, 10 * u64::try_from(approved).unwrap(), "the books");
    for topic in [&saga.order_topic, &saga.customer_topic] {
        let records = usize::try_from(cluster.ends(topic).iter().sum::<i64>()).unwrap();
        assert_eq!(records, count, "{topic}: each once");
    }
    // Registrations and orders: each decided once.
    let decisions = number(&saga.data("customer"), "SELECT count(*) FROM journal");
    assert_eq!(usize::try_from(decisions).unwrap(), CUSTOMERS + count);
}
