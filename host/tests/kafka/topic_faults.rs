//! Faults of topics: records that were deleted before they were read, a topic that is deleted, recreated, missing,
//! that takes no record of this size, or can't be created.
//!
//! Each is said in `/readyz` and the log, with what is lost if anything is, and what to do. Orders are taken meanwhile. What can
//! go on goes on by itself, and nothing is decided twice.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::{Since, health, until_degraded, until_ready};
use crate::load::decided_once;
use crate::peer::{Heard, Listener};
use crate::readiness_and_log::lines;
use crate::saga::{Saga, decided, left, place, register, state};
use crate::support::Host;

/// The limit of each customer, and the amount of each order.
const LIMIT: usize = 1_000;
const AMOUNT: usize = 10;

/// Customers, enough for each of two partitions to have some.
const CUSTOMERS: usize = 8;

pub fn tests() -> Vec<Test> {
    tests![
        any: topics_that_are_missing_are_created_with_the_configured_partitions,
            topics_that_cannot_be_created_are_waited_for;
        tools: records_deleted_before_they_were_read_are_said_and_the_rest_is_read,
            records_that_were_all_deleted_are_said_before_the_next_one_comes,
            records_that_were_deleted_before_anything_was_read_are_said_once,
            a_topic_that_is_deleted_is_created_again,
            a_topic_recreated_while_its_reader_was_away_is_read_from_its_beginning,
    ]
}

/// A customer for each of the limits; gives the ids.
fn register_all(customers: &Host) -> Vec<u64> {
    (0..CUSTOMERS)
        .map(|_| register(customers, json!(LIMIT)))
        .collect()
}

/// An order of each of these customers; gives the ids.
fn place_one_each(orders: &Host, customers: &[u64]) -> Vec<u64> {
    let order = |customer: &u64| place(orders, *customer, json!(AMOUNT));
    customers.iter().map(order).collect()
}

fn all_approved(orders: &Host, ids: &[u64]) {
    for id in ids {
        assert_eq!(decided(orders, *id), "APPROVED", "order {id}");
    }
}

/// Both services over topics with this number of partitions, and the ids of customers who have ordered once.
fn with_one_order_each(cluster: &Cluster, partitions: i32) -> (Saga, [Host; 2], Vec<u64>) {
    let saga = Saga::new(cluster, partitions);
    let [customers, orders] = ["customer", "order"].map(|name| saga.start(name));
    let ids = register_all(&customers);
    all_approved(&orders, &place_one_each(&orders, &ids));
    (saga, [customers, orders], ids)
}

/// Stops both, and checks that each has decided as many events, once each.
fn stop_having_decided(saga: &Saga, hosts: [Host; 2], count: usize) {
    assert!(hosts.into_iter().all(|host| host.stop().success()));
    let decided = decided_once(&saga.data("customer"), &saga.data("order"));
    assert_eq!(decided, count);
}

/// Starts both anew; what was said of what is over, and not made good, is said no more.
fn nothing_is_said_after_a_restart(saga: &Saga) {
    let [customers, orders] = ["customer", "order"].map(|name| saga.start(name));
    until_ready(&[&customers, &orders]);
    all_approved(&orders, &place_one_each(&orders, &[1]));
}

/// Waits until a topic holds so many records.
fn until_published(cluster: &Cluster, topic: &str, count: usize) {
    until(&format!("{topic} holds {count} records"), || {
        cluster.ends(topic).iter().sum::<i64>() == count as i64
    });
}

fn records_deleted_before_they_were_read_are_said_and_the_rest_is_read(cluster: &Cluster) {
    let (saga, [customers, orders], ids) = with_one_order_each(cluster, 2);
    let read = cluster.ends(&saga.order_topic);
    assert!(customers.stop().success());
    for _ in 0..3 {
        place_one_each(&orders, &ids);
    }
    until_published(cluster, &saga.order_topic, 4 * CUSTOMERS);
    let ends = cluster.ends(&saga.order_topic);
    let listener = Listener::new(cluster, &saga.order_topic, "nobody");
    let records = listener.hear_all(4 * CUSTOMERS);

    // The last two of one partition are left, and none of the other.
    let begins = [ends[0] - 2, ends[1]];
    delete_until(cluster, &saga, begins);
    let (deleted, left_over): (Vec<&Heard>, Vec<&Heard>) = records
        .iter()
        .filter(|record| record.offset >= read[record.partition as usize])
        .partition(|record| record.offset < begins[record.partition as usize]);
    let customers = saga.start("customer");
    let order_ids = |records: &[&Heard]| -> Vec<u64> {
        let id = |record: &&Heard| record.value["id"].as_u64().unwrap();
        records.iter().map(id).collect()
    };
    all_approved(&orders, &order_ids(&left_over));
    // Each of them is decided, though what came before it in its partition is gone.
    all_approved(&orders, &place_one_each(&orders, &ids));

    for partition in 0..2 {
        let (from, to) = (read[partition], begins[partition]);
        let gone = to - from;
        assert!(gone > 0, "{ends:?} after {read:?}");
        let said = format!(
            "topic {}, partition {partition}: {gone} record(s) from offset {from} on were deleted",
            saga.order_topic
        );
        until_degraded(&customers, &[&said, &format!("read on from offset {to}.")]);
        let log = customers.log();
        let lines = log.lines().filter(|line| line.contains(&said));
        assert_eq!(lines.count(), 1, "{log}");
    }
    // What is lost is lost; nobody was charged for it, and the rest was charged once.
    for id in order_ids(&deleted) {
        assert_eq!(state(&orders, id), "PENDING", "order {id}");
    }
    let approved = records.len() - deleted.len() + CUSTOMERS;
    let spent = ids
        .iter()
        .map(|id| LIMIT as u64 - left(&customers, *id).as_u64().unwrap());
    assert_eq!(spent.sum::<u64>(), (approved * AMOUNT) as u64);
    stop_having_decided(&saga, [customers, orders], approved);
    nothing_is_said_after_a_restart(&saga);
}

fn records_that_were_all_deleted_are_said_before_the_next_one_comes(cluster: &Cluster) {
    let (saga, [customers, orders], ids) = with_one_order_each(cluster, 2);
    let read = cluster.ends(&saga.order_topic);
    assert!(customers.stop().success());
    place_one_each(&orders, &ids);
    until_published(cluster, &saga.order_topic, 2 * CUSTOMERS);
    let ends = cluster.ends(&saga.order_topic);
    delete_until(cluster, &saga, [ends[0], ends[1]]);

    let customers = saga.start("customer");
    let said = |partition: usize| {
        let (from, to) = (read[partition], ends[partition]);
        let gone = to - from;
        assert!(gone > 0, "{ends:?} after {read:?}");
        format!(
            "topic {}, partition {partition}: {gone} record(s) from offset {from} on were deleted",
            saga.order_topic
        )
    };
    for (partition, end) in ends.iter().enumerate() {
        let on = format!("read on from offset {end}.");
        until_degraded(&customers, &[&said(partition), &on]);
    }
    // The next ones are no news, and nothing is missing before them.
    all_approved(&orders, &place_one_each(&orders, &ids));
    for partition in 0..2 {
        let lines = lines(&customers, &said(partition));
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
    let about = lines(&customers, "were deleted (retention");
    assert_eq!(about.len(), 2, "one for each partition: {about:?}");
    stop_having_decided(&saga, [customers, orders], 2 * CUSTOMERS);
    nothing_is_said_after_a_restart(&saga);
}

fn records_that_were_deleted_before_anything_was_read_are_said_once(cluster: &Cluster) {
    let saga = Saga::new(cluster, 2);
    let orders = saga.start("order");
    let ids: Vec<u64> = (1..=CUSTOMERS as u64).collect();
    place_one_each(&orders, &ids);
    until_published(cluster, &saga.order_topic, CUSTOMERS);
    let ends = cluster.ends(&saga.order_topic);
    delete_until(cluster, &saga, [ends[0], 0]);
    let said = format!(
        "topic {}, partition 0, begins at offset {}: what was before was deleted",
        saga.order_topic, ends[0]
    );
    let begins = "begins at offset";
    let customers = saga.start("customer");
    customers.log_until(&said);
    assert_eq!(lines(&customers, begins).len(), 1, "nothing of the other");
    assert!(customers.stop().success());
    let customers = saga.start("customer");
    assert_eq!(decided(&orders, place(&orders, 1, json!(1))), "REJECTED");
    let said = lines(&customers, begins);
    assert_eq!(said.len(), 1, "over both starts: {said:?}");
}

/// Deletes the records of the order topic before these offsets, by partition.
fn delete_until(cluster: &Cluster, saga: &Saga, begins: [i64; 2]) {
    let partition = |(partition, offset): (usize, &i64)| json!({"topic": saga.order_topic, "partition": partition, "offset": offset});
    let partitions: Vec<Value> = begins.iter().enumerate().map(partition).collect();
    let file = saga.data("deleted.json");
    let text = json!({"partitions": partitions, "version": 1}).to_string();
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    cluster.tool("kafka-delete-records", &["--offset-json-file", &file], "");
}

fn delete(cluster: &Cluster, topic: &str) {
    cluster.tool("kafka-topics", &["--delete", "--topic", topic], "");
}

fn a_topic_that_is_deleted_is_created_again(cluster: &Cluster) {
    let saga = Saga::without_topics(cluster);
    let start = |name| saga.service(name).setting("kafka.partitions", 2).start();
    let [customers, orders] = ["customer", "order"].map(start);
    let ids = register_all(&customers);
    all_approved(&orders, &place_one_each(&orders, &ids));
    let logs = [Since::now(&customers), Since::now(&orders)];
    let topics = [
        (&saga.order_topic, &customers),
        (&saga.customer_topic, &orders),
    ];
    for (topic, reader) in topics {
        // Everything is decided, so that nothing was in it that had not been read.
        delete(cluster, topic);
        all_approved(&orders, &place_one_each(&orders, &ids));
        let another = format!("topic {topic} is another one than the one that was read before");
        until_degraded(reader, &[&another, "read from its beginning"]);
        // Either of them may have been the first to miss it, and so the one to create it.
        let deleted =
            format!("topic {topic} was deleted while this host used it; it is created again");
        let is_said = |host: &&Host| health(host).transport.contains(&deleted);
        assert!(
            [&customers, &orders].iter().any(is_said),
            "{}",
            customers.log()
        );
        assert_eq!(cluster.partitions(topic), 2, "as configured");
        all_approved(&orders, &place_one_each(&orders, &ids));
    }
    for log in &logs {
        log.nothing_is_said_again_and_again();
    }
    for id in &ids {
        assert_eq!(left(&customers, *id), json!(LIMIT - 5 * AMOUNT));
    }
    stop_having_decided(&saga, [customers, orders], 5 * CUSTOMERS);
    nothing_is_said_after_a_restart(&saga);
}

fn a_topic_recreated_while_its_reader_was_away_is_read_from_its_beginning(cluster: &Cluster) {
    let (saga, [customers, orders], ids) = with_one_order_each(cluster, 1);
    assert!(customers.stop().success());
    delete(cluster, &saga.order_topic);
    // More than had been read of the first: the offset that is stored is one of the new topic too.
    let mut placed = place_one_each(&orders, &ids);
    placed.extend(place_one_each(&orders, &ids));
    until_published(cluster, &saga.order_topic, placed.len());
    let customers = saga.start("customer");
    all_approved(&orders, &placed);
    let said = format!(
        "topic {} is another one than the one that was read before in group {}",
        saga.order_topic, saga.order_group
    );
    until_degraded(&customers, &[&said, "read from its beginning"]);
    for id in &ids {
        assert_eq!(left(&customers, *id), json!(LIMIT - 3 * AMOUNT));
    }
    stop_having_decided(&saga, [customers, orders], 3 * CUSTOMERS);
    nothing_is_said_after_a_restart(&saga);
}

fn topics_that_are_missing_are_created_with_the_configured_partitions(cluster: &Cluster) {
    let saga = Saga::without_topics(cluster);
    let start = |name| saga.service(name).setting("kafka.partitions", 5).start();
    let [customers, orders] = ["customer", "order"].map(start);
    register(&customers, json!(LIMIT));
    all_approved(&orders, &place_one_each(&orders, &[1]));
    let dead_letters = [
        format!("{}.{}.dlq", saga.order_topic, saga.order_group),
        format!("{}.{}.dlq", saga.customer_topic, saga.customer_group),
    ];
    for topic in [&saga.order_topic, &saga.customer_topic]
        .into_iter()
        .chain(&dead_letters)
    {
        until(&format!("{topic} has 5 partitions"), || {
            cluster.partitions(topic) == 5
        });
    }
    until_ready(&[&customers, &orders]);
}

fn topics_that_cannot_be_created_are_waited_for(cluster: &Cluster) {
    let saga = Saga::without_topics(cluster);
    // No cluster has as many brokers.
    let start = |name| saga.service(name).setting("kafka.replication", 99).start();
    let [customers, orders] = ["customer", "order"].map(start);
    let logs = [Since::now(&customers), Since::now(&orders)];
    register(&customers, json!(LIMIT));
    let placed = place_one_each(&orders, &[1, 1]);
    let topics = [&saga.order_topic, &saga.customer_topic];
    for (host, topic) in [&customers, &orders]
        .into_iter()
        .flat_map(|host| topics.map(|topic| (host, topic)))
    {
        let said = format!(
            "topic {topic} does not exist and can't be created with 1 partition(s) and replication factor 99"
        );
        until_degraded(host, &[&said, "set `replication` to at most that"]);
    }
    assert_eq!(state(&orders, placed[0]), "PENDING");
    // By hand, as whoever sets clusters up would.
    for topic in [
        &saga.order_topic,
        &saga.customer_topic,
        &saga.cancellation_topic,
    ] {
        cluster.create(topic, 1);
    }
    all_approved(&orders, &placed);
    for log in &logs {
        log.nothing_is_said_again_and_again();
    }
    for (topic, group) in [
        (&saga.order_topic, &saga.order_group),
        (&saga.customer_topic, &saga.customer_group),
        (&saga.cancellation_topic, &saga.cancellation_group),
    ] {
        cluster.create(&format!("{topic}.{group}.dlq"), 1);
    }
    until_ready(&[&customers, &orders]);
}
