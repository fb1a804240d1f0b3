//! What a user may do on a broker that asks (`StandardAuthorizer`): what is missing is said with the ACL to add, orders are
//! taken meanwhile, and all goes on by itself once it is there.
//!
//! The rights that suffice, one user for each service, where the topics are there:
//!
//! | user | operation | on |
//! |---|---|---|
//! | of the order service | `Write` | topics `orderTopic`, `cancellationTopic`, `customerTopic.customer.dlq` |
//! | | `Read` | topic `customerTopic`, group `customer` |
//! | of the customer service | `Write` | topics `customerTopic`, `orderTopic.order.dlq`, `cancellationTopic.cancellation.dlq` |
//! | | `Read` | topics `orderTopic`, `cancellationTopic`, groups `order`, `cancellation` |
//!
//! And `Create` on each topic that the host is to create. Nothing on the cluster: since Kafka 3.0 an idempotent producer
//! needs no more than `Write`.

use std::time::Duration;

use serde_json::json;

use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::{health, until_ready};
use crate::peer::{Listener, Speaker};
use crate::readiness_and_log::{lines, until_said};
use crate::saga::{Saga, decided, place, register, state};
use crate::secured_broker::{Secured, password, shared};
use crate::support::Host;

pub fn tests() -> Vec<Test> {
    tests![
        own: the_rights_of_the_documentation_suffice,
            each_right_that_is_missing_is_said_and_made_good,
            rights_that_are_taken_away_are_said_and_nothing_is_lost,
    ]
}

/// An operation, and the topics and groups on which it is allowed.
type Right<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// Adds (`--add`) or takes away (`--remove`) a right.
fn change(secured: &Secured, what: &str, user: &str, (operation, topics, groups): Right<'_>) {
    let principal = format!("User:{user}");
    let mut arguments = vec![
        what,
        "--force",
        "--allow-principal",
        &principal,
        "--operation",
        operation,
    ];
    for (kind, names) in [("--topic", topics), ("--group", groups)] {
        arguments.extend(names.iter().flat_map(|name| [kind, *name]));
    }
    secured.broker.tool("kafka-acls", &arguments, "").unwrap();
}

/// A service whose user is this one.
fn start(secured: &Secured, saga: &Saga, service: &str, user: &str) -> Host {
    let way = secured.password(false, "SCRAM-SHA-256", user, &password(user));
    way.take(saga.service(service)).start()
}

fn the_rights_of_the_documentation_suffice() {
    let secured = shared();
    let saga = Saga::new(&secured.cluster, 2);
    let dead_orders = format!("{}.{}.dlq", saga.order_topic, saga.order_group);
    let dead_answers = format!("{}.{}.dlq", saga.customer_topic, saga.customer_group);
    let dead_cancellations = format!(
        "{}.{}.dlq",
        saga.cancellation_topic, saga.cancellation_group
    );
    for topic in [&dead_orders, &dead_answers, &dead_cancellations] {
        secured.cluster.create(topic, 1);
    }
    let add = |user, right: Right<'_>| change(&secured, "--add", user, right);
    add(
        "orders",
        (
            "Write",
            &[&saga.order_topic, &saga.cancellation_topic, &dead_answers],
            &[],
        ),
    );
    add(
        "orders",
        ("Read", &[&saga.customer_topic], &[&saga.customer_group]),
    );
    add(
        "customers",
        (
            "Write",
            &[&saga.customer_topic, &dead_orders, &dead_cancellations],
            &[],
        ),
    );
    add(
        "customers",
        (
            "Read",
            &[&saga.order_topic, &saga.cancellation_topic],
            &[&saga.order_group, &saga.cancellation_group],
        ),
    );
    let customers = start(&secured, &saga, "customer", "customers");
    let orders = start(&secured, &saga, "order", "orders");
    let ann = register(&customers, json!(100));
    assert_eq!(decided(&orders, place(&orders, ann, json!(60))), "APPROVED");
    assert_eq!(decided(&orders, place(&orders, ann, json!(60))), "REJECTED");

    let listener = Listener::new(&secured.cluster, &dead_orders, "test-of-rights");
    Speaker::new(&secured.cluster, "none").say(&saga.order_topic, r#"{"not":"an order"}"#);
    assert_eq!(listener.hear().value, json!({"not": "an order"}));
    for host in [&customers, &orders] {
        until_ready(&[host]);
        let said = host.log().to_ascii_lowercase();
        assert!(!said.contains("authorization"), "{said}");
    }
    // What lag monitors see.
    until("the group has committed", || {
        let committed = secured
            .cluster
            .committed(&saga.order_group, &saga.order_topic);
        committed.values().sum::<i64>() == 3
    });
}

fn each_right_that_is_missing_is_said_and_made_good() {
    const USER: &str = "newcomer";
    let secured = shared();
    // The order service has all topics to create but the one that it reads.
    // A host that does not learn at its start who reads waits for so long for them, when it may.
    let saga = Saga::without_topics(&secured.cluster).session(Duration::from_secs(3));
    secured.cluster.create(&saga.customer_topic, 1);
    let dead = format!("{}.{}.dlq", saga.customer_topic, saga.customer_group);
    let add = |right: Right<'_>| change(&secured, "--add", USER, right);
    let acl =
        |operation: &str, kind: &str, name: &str| format!("--operation {operation} {kind} {name}");
    let (writes, writes_dead) = (
        acl("Write", "--topic", &saga.order_topic),
        acl("Write", "--topic", &dead),
    );
    let (creates, creates_dead) = (
        acl("Create", "--topic", &saga.order_topic),
        acl("Create", "--topic", &dead),
    );
    let reads = acl("Read", "--topic", &saga.customer_topic);
    let joins = acl("Read", "--group", &saga.customer_group);

    let orders = start(&secured, &saga, "order", USER);
    let id = place(&orders, 1, json!(1));
    let principal = format!("User:{USER}");
    until_said(&orders, &[&writes, &writes_dead, &reads, &principal]);
    assert_eq!(state(&orders, id), "PENDING");

    let written: [&str; 3] = [&saga.order_topic, &saga.cancellation_topic, &dead];
    add(("Write", &written, &[]));
    let said = until_said(&orders, &[&creates, &creates_dead, &reads]);
    assert!(!said.contains(&writes), "{said}");

    add(("Create", &written, &[]));
    until("only what is read is missing", || {
        let said = health(&orders).transport;
        said.contains(&reads) && !said.contains(&creates) && !said.contains(&creates_dead)
    });
    // What was placed is out, whatever can be read.
    until("the order is published", || {
        secured.cluster.ends(&saga.order_topic) == [1]
    });

    add(("Read", &[&saga.customer_topic], &[]));
    until_said(&orders, &[&joins]);
    until("only the group is missing", || {
        let said = health(&orders).transport;
        said.contains(&joins) && !said.contains(&reads)
    });

    add(("Read", &[], &[&saga.customer_group]));
    until_ready(&[&orders]);
    let customers = secured.tls().take(saga.service("customer")).start();
    assert_eq!(decided(&orders, id), "REJECTED", "nobody had registered");
    drop(customers);
}

fn rights_that_are_taken_away_are_said_and_nothing_is_lost() {
    const USER: &str = "forgotten";
    let secured = shared();
    let saga = Saga::new(&secured.cluster, 1);
    let dead = format!("{}.{}.dlq", saga.customer_topic, saga.customer_group);
    let written: [&str; 3] = [&saga.order_topic, &saga.cancellation_topic, &dead];
    let writes: Right<'_> = ("Write", &written, &[]);
    let reads: Right<'_> = ("Read", &[&saga.customer_topic], &[&saga.customer_group]);
    change(&secured, "--add", USER, ("Create", &[&dead], &[]));
    for right in [writes, reads] {
        change(&secured, "--add", USER, right);
    }
    let customers = secured.tls().take(saga.service("customer")).start();
    let orders = start(&secured, &saga, "order", USER);
    let ann = register(&customers, json!(100));
    let place_one = || place(&orders, ann, json!(1));
    assert_eq!(decided(&orders, place_one()), "APPROVED");

    change(&secured, "--remove", USER, writes);
    let held = place_one();
    let acl = format!("--operation Write --topic {}", saga.order_topic);
    until_said(&orders, &[&acl]);
    assert_eq!(state(&orders, held), "PENDING");
    change(&secured, "--add", USER, writes);
    assert_eq!(decided(&orders, held), "APPROVED");
    until_ready(&[&orders]);

    let only_topic: Right<'_> = ("Read", &[&saga.customer_topic], &[]);
    change(&secured, "--remove", USER, only_topic);
    // The request that waits at the broker may still be answered with this one's record.
    place_one();
    let acl = format!("--operation Read --topic {}", saga.customer_topic);
    until_said(&orders, &[&acl]);
    let held = place_one();
    until("the answer is there", || {
        secured.cluster.ends(&saga.customer_topic) == [4]
    });
    assert_eq!(state(&orders, held), "PENDING");
    change(&secured, "--add", USER, only_topic);
    assert_eq!(decided(&orders, held), "APPROVED");
    until_ready(&[&orders]);
    assert_eq!(lines(&orders, "FATAL"), Vec::<String>::new());
}
