//! Consumer groups on a real broker, and where a host reads on: what its store says, whatever the broker says.
//!
//! - The groups have the names of the contract (or of the settings). A new group reads from the beginning.
//! - An offset in the store wins over the one that the group has committed: moved to the end, nothing is left out; moved to
//!   the beginning, nothing is read again. That nothing was read again is seen with the inbox emptied, which would let
//!   each repetition through.
//! - Where the store knows nothing, the group's committed offset counts: what another program has dealt with, under the
//!   same group, is not dealt with again.
//! - A store that was put back from a backup reads again what came since, and decides it again from the same state, so
//!   alike. The events that it publishes again have the ids that they had, so that the other service drops them: books
//!   hold, no order is decided otherwise, nobody is charged twice. What came by HTTP since the backup is gone.
//! - An emptied store of the customer service: the customers are gone, and with them their reservations. The group goes
//!   on at its committed offset, so that old orders are not decided again, which would reject them; new ones of the old
//!   customers are rejected. Ids begin at 1 again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::peer::{Listener, Speaker};
use crate::saga::{Saga, back_up, decided, left, place, register, state};
use crate::store_file::{execute, number, rows};
use crate::support::{Host, PATIENCE};

pub fn tests() -> Vec<Test> {
    tests![
        any: new_groups_have_their_names_and_read_from_the_beginning,
            a_group_that_another_program_left_is_read_on,
            a_customer_store_from_a_backup_reads_again_and_charges_nobody_twice,
            an_order_store_from_a_backup_publishes_again_and_doubles_nothing,
            a_store_from_a_backup_reads_partitions_of_which_it_had_read_nothing,
            an_emptied_customer_store_goes_on_at_the_offset_of_the_group,
            a_group_is_told_of_all_that_a_host_decided_before_it_was_stopped;
        tools: the_offset_in_the_store_wins_over_the_one_of_the_group,
    ]
}

/// Waits until the group has committed all of the topic.
fn until_committed(cluster: &Cluster, group: &str, topic: &str) {
    let start = Instant::now();
    loop {
        let ends = (0..).zip(cluster.ends(topic));
        let ends: BTreeMap<i32, i64> = ends.filter(|(_, end)| *end > 0).collect();
        let mut committed = cluster.committed(group, topic);
        committed.retain(|_, offset| *offset > 0);
        if committed == ends {
            return;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{group} has committed {committed:?} of {topic}, which ends at {ends:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until a topic holds so many records.
fn until_published(cluster: &Cluster, topic: &str, count: i64) {
    until(&format!("{topic} holds {count} records"), || {
        cluster.ends(topic).iter().sum::<i64>() == count
    });
}

/// Stops a host and waits until its group has no members: they are static, so they last as long as a session.
fn stop_and_leave(host: Host, cluster: &Cluster, group: &str) {
    assert!(host.stop().success());
    until(&format!("{group} has no members"), || {
        cluster.members(group).is_empty()
    });
}

fn new_groups_have_their_names_and_read_from_the_beginning(cluster: &Cluster) {
    let saga = Saga::new(cluster, 2);
    let orders = saga.start("order");
    // Before anybody has ever read there.
    let ids = [place(&orders, 1, json!(1)), place(&orders, 1, json!(2))];
    until_published(cluster, &saga.order_topic, 2);
    let customers = saga.start("customer");
    for id in ids {
        assert_eq!(decided(&orders, id), "REJECTED", "nobody had registered");
    }
    for group in [&saga.order_group, &saga.customer_group] {
        assert_eq!(cluster.members(group).len(), 1, "{group}");
    }
    // What monitors of lag look at.
    until_committed(cluster, &saga.order_group, &saga.order_topic);
    until_committed(cluster, &saga.customer_group, &saga.customer_topic);
    assert_eq!(decided(&orders, place(&orders, 1, json!(3))), "REJECTED");
    until_committed(cluster, &saga.order_group, &saga.order_topic);
    until_committed(cluster, &saga.customer_group, &saga.customer_topic);
    drop(customers);
}

fn the_offset_in_the_store_wins_over_the_one_of_the_group(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1).session(cluster.shortest_session());
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ann = register(&customers, json!(100));
    for _ in 0..3 {
        assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");
    }
    until_committed(cluster, &saga.order_group, &saga.order_topic);
    stop_and_leave(customers, cluster, &saga.order_group);
    let move_to = |place: &str| {
        let arguments = [
            "--group",
            &saga.order_group,
            "--topic",
            &saga.order_topic,
            "--reset-offsets",
            place,
            "--execute",
        ];
        cluster.tool("kafka-consumer-groups", &arguments, "");
        cluster.committed(&saga.order_group, &saga.order_topic)
    };

    let missed: Vec<_> = (0..3).map(|_| place(&orders, ann, json!(10))).collect();
    until("the orders are published", || {
        cluster.ends(&saga.order_topic) == [6]
    });
    assert_eq!(move_to("--to-latest"), BTreeMap::from([(0, 6)]));
    let customers = saga.start("customer");
    for id in missed {
        assert_eq!(decided(&orders, id), "APPROVED", "it was left out");
    }
    assert_eq!(left(&customers, ann), json!(40));
    stop_and_leave(customers, cluster, &saga.order_group);

    assert_eq!(move_to("--to-earliest"), BTreeMap::from([(0, 0)]));
    let data = saga.data("customer");
    assert_eq!(execute(&data, "DELETE FROM inbox"), 6);
    let decisions = number(&data, "SELECT count(*) FROM journal");
    let customers = saga.start("customer");
    assert_eq!(decided(&orders, place(&orders, ann, json!(40))), "APPROVED");
    assert_eq!(left(&customers, ann), json!(0));
    assert_eq!(
        number(&data, "SELECT count(*) FROM journal"),
        decisions + 1,
        "read again"
    );
    assert_eq!(number(&data, "SELECT count(*) FROM inbox"), 1, "read again");
    assert_eq!(cluster.ends(&saga.customer_topic), [7], "answered again");
    // The group is told where the store is.
    until_committed(cluster, &saga.order_group, &saga.order_topic);
}

fn a_group_is_told_of_all_that_a_host_decided_before_it_was_stopped(cluster: &Cluster) {
    const ORDERS: u64 = 200;
    let saga = Saga::new(cluster, 3);
    let speaker = Speaker::new(cluster, "none");
    for id in 1..=ORDERS {
        let value = json!({"id": id, "state": "PENDING", "orderDetails": {"customerId": id, "orderTotal": {"amount": 10}}});
        speaker.say_typed(&saga.order_topic, &value.to_string());
    }
    let customers = saga.start("customer");
    let data = saga.data("customer");
    until("some are decided", || {
        number(&data, "SELECT count(*) FROM journal") > 0
    });
    assert!(customers.stop().success());
    let stored: BTreeMap<i32, i64> = rows(
        &data,
        "SELECT partition, next_offset FROM offsets WHERE consumer LIKE 'kafka:customer/%' AND next_offset > 0",
    )
    .iter()
    .map(|row| (row[0].parse().unwrap(), row[1].parse().unwrap()))
    .collect();
    let mut committed = cluster.committed(&saga.order_group, &saga.order_topic);
    committed.retain(|_, offset| *offset > 0);
    assert_eq!(
        committed, stored,
        "who takes the group over decides them again"
    );
    let decided = number(&data, "SELECT count(*) FROM journal");
    assert_eq!(stored.values().sum::<i64>(), decided);
}

fn a_group_that_another_program_left_is_read_on(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let record = |id: u64, customer: u64| {
        json!({"id": id, "state": "PENDING", "orderDetails": {"customerId": customer, "orderTotal": {"amount": 10}}}).to_string()
    };
    let speaker = Speaker::new(cluster, "none");
    (1..=3).for_each(|id| speaker.say_typed(&saga.order_topic, &record(id, 1)));
    // The other program has dealt with two of three.
    let other = Listener::new(cluster, &saga.order_topic, &saga.order_group);
    other.hear_all(2);
    other.commit();
    assert_eq!(
        cluster.committed(&saga.order_group, &saga.order_topic),
        BTreeMap::from([(0, 2)])
    );

    let customers = saga.start("customer");
    let answers = Listener::new(cluster, &saga.customer_topic, &saga.customer_group);
    let heard = answers.hear();
    assert_eq!(
        (&heard.value["id"], heard.offset),
        (&json!(3), 0),
        "the first answer is for the third order"
    );
    let ann = register(&customers, json!(10));
    speaker.say_typed(&saga.order_topic, &record(4, ann));
    let heard = answers.hear();
    assert_eq!(
        (&heard.value["id"], &heard.value["state"]),
        (&json!(4), &json!("APPROVED"))
    );
}

fn a_customer_store_from_a_backup_reads_again_and_charges_nobody_twice(cluster: &Cluster) {
    let saga = Saga::new(cluster, 3).session(cluster.shortest_session());
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ids = [
        register(&customers, json!(100)),
        register(&customers, json!(35)),
    ];
    let mut placed = Vec::new();
    let mut place_some = |count: usize| {
        for customer in ids.repeat(count) {
            placed.push(place(&orders, customer, json!(10)));
        }
        let states = placed.iter().map(|id| (*id, decided(&orders, *id)));
        states.collect::<BTreeMap<_, _>>()
    };
    place_some(2);
    assert!(customers.stop().success());
    let (data, backup) = (saga.data("customer"), saga.data("backup"));
    back_up(&data, &backup);
    let customers = saga.start("customer");
    let before = place_some(4);
    let books = |host: &Host| ids.map(|id| left(host, id));
    assert_eq!(books(&customers), [json!(40), json!(5)]);
    let answers: i64 = cluster.ends(&saga.customer_topic).iter().sum();
    until_committed(cluster, &saga.order_group, &saga.order_topic);
    assert!(customers.stop().success());

    put_back(&backup, &data);
    let customers = saga.start("customer");
    // It is done with the old orders once it has decided a new one of each customer.
    let after = place_some(1);
    assert_eq!(books(&customers), [json!(30), json!(5)]);
    for (id, decision) in before {
        assert_eq!(after[&id], decision, "order {id} was decided otherwise");
    }
    // Eight answers were published again, under their old ids, and two are new.
    until_published(cluster, &saga.customer_topic, answers + 10);
    until_committed(cluster, &saga.customer_group, &saga.customer_topic);
    for (id, decision) in after {
        assert_eq!(
            state(&orders, id),
            decision,
            "order {id} was decided otherwise"
        );
    }
    assert_eq!(
        number(&saga.data("order"), "SELECT count(*) FROM dead_letters"),
        0
    );
}

/// Puts a backup in the place of a data directory.
fn put_back(backup: &Path, data: &Path) {
    std::fs::remove_dir_all(data).unwrap();
    back_up(backup, data);
}

fn an_order_store_from_a_backup_publishes_again_and_doubles_nothing(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1).session(cluster.shortest_session());
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ann = register(&customers, json!(26));
    assert_eq!(decided(&orders, place(&orders, ann, json!(1))), "APPROVED");
    assert!(orders.stop().success());
    // With no broker there (port 1 is reserved), the orders stay in the outbox, and in the backup.
    let orders = saga
        .service("order")
        .arguments(&["--kafka", "127.0.0.1:1"])
        .start();
    let ids: Vec<_> = (0..4).map(|_| place(&orders, ann, json!(10))).collect();
    assert!(orders.stop().success());
    let (data, backup) = (saga.data("order"), saga.data("backup"));
    back_up(&data, &backup);

    let decide_all = || {
        let orders = saga.start("order");
        let states: Vec<_> = ids.iter().map(|id| decided(&orders, *id)).collect();
        assert_eq!(states, ["APPROVED", "APPROVED", "REJECTED", "REJECTED"]);
        orders
    };
    assert!(decide_all().stop().success());
    assert_eq!(cluster.ends(&saga.order_topic), [5]);
    put_back(&backup, &data);
    let orders = decide_all();
    until("they are published again", || {
        cluster.ends(&saga.order_topic) == [9]
    });
    until_committed(cluster, &saga.order_group, &saga.order_topic);
    assert_eq!(left(&customers, ann), json!(5), "charged twice");
    assert_eq!(cluster.ends(&saga.customer_topic), [5], "answered twice");
    // It goes on as ever.
    assert_eq!(decided(&orders, place(&orders, ann, json!(5))), "APPROVED");
}

fn a_store_from_a_backup_reads_partitions_of_which_it_had_read_nothing(cluster: &Cluster) {
    let saga = Saga::new(cluster, 3).session(cluster.shortest_session());
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ann = register(&customers, json!(10));
    stop_and_leave(customers, cluster, &saga.order_group);
    let ids = [
        place(&orders, ann, json!(10)),
        place(&orders, ann, json!(1)),
    ];
    until_published(cluster, &saga.order_topic, 2);
    orders.log_until("partitions assigned");
    assert!(orders.stop().success());
    let (data, backup) = (saga.data("order"), saga.data("backup"));
    back_up(&data, &backup);

    let _customers = saga.start("customer");
    let expected = ["APPROVED", "REJECTED"];
    let orders = saga.start("order");
    assert_eq!(ids.map(|id| decided(&orders, id)), expected);
    until_committed(cluster, &saga.customer_group, &saga.customer_topic);
    assert!(orders.stop().success());
    put_back(&backup, &data);
    let orders = saga.start("order");
    assert_eq!(
        ids.map(|id| decided(&orders, id)),
        expected,
        "the answers were not read again"
    );
}

fn an_emptied_customer_store_goes_on_at_the_offset_of_the_group(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1).session(cluster.shortest_session());
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ann = register(&customers, json!(100));
    let old = [
        place(&orders, ann, json!(60)),
        place(&orders, ann, json!(60)),
    ];
    assert_eq!(old.map(|id| decided(&orders, id)), ["APPROVED", "REJECTED"]);
    until_committed(cluster, &saga.order_group, &saga.order_topic);
    stop_and_leave(customers, cluster, &saga.order_group);
    std::fs::remove_dir_all(saga.data("customer")).unwrap();

    let customers = saga.start("customer");
    assert_eq!(
        customers
            .get("customer", &format!("/customer/{ann}"))
            .status,
        404
    );
    assert_eq!(decided(&orders, place(&orders, ann, json!(1))), "REJECTED");
    assert_eq!(
        cluster.ends(&saga.customer_topic),
        [3],
        "the old orders were not decided again"
    );
    assert_eq!(old.map(|id| state(&orders, id)), ["APPROVED", "REJECTED"]);
    assert_eq!(register(&customers, json!(5)), ann, "ids begin anew");
    assert_eq!(decided(&orders, place(&orders, ann, json!(5))), "APPROVED");
    assert_eq!(left(&customers, ann), json!(0));
}
