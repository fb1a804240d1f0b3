//! One host for each participant: two with stores of their own would share the partitions of a group, and each would decide
//! with half of the history.
//!
//! - A data directory is for one process. A group is for one store: a second host waits for the first one to go, for as long as
//!   the group may take to forget one that crashed, and then ends with 69 and says who is there and what to do.
//! - A host that runs already takes requests, and does not read where it would be the second: it says so, and reads as soon as the
//!   other one has ended. Of two the one with the older store reads on, whichever is back first after an outage.
//! - It makes no difference whether the other one is a host or any program that reads in the group.
//! - `allow_split_state` lets the second one in. Hosts of different participants are never in each other's way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use saga_testkit::broker::{Broker, Settings};
use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::{health, until_ready};
use crate::readiness_and_log::{lines, until_said};
use crate::saga::{Saga, decided, left, place, register};
use crate::store_file::rows;
use crate::support::{Host, PATIENCE, Start, output, signal};

/// The report on a group that another process reads in.
const TAKEN: &str = "another process reads in consumer group";

/// The report of a host that waits for the other process to leave.
const WAITS: &str = "waiting for it to go";

pub fn tests() -> Vec<Test> {
    tests![
        // The longest one first: it stops a broker of its own.
        own: who_comes_while_the_broker_is_away_does_not_take_over;
        any: a_data_directory_is_for_one_process,
            a_second_host_of_a_participant_is_refused_and_says_why,
            who_waits_for_another_to_go_ends_when_it_is_asked_to,
            a_store_that_was_thrown_away_is_followed_when_its_session_is_over,
            of_two_that_start_at_once_one_reads_and_no_record_is_decided_by_both,
            a_foreign_reader_is_treated_like_a_second_host,
            a_foreign_reader_of_the_new_protocol_is_seen_too,
            split_state_is_shared_if_it_is_allowed,
            hosts_of_different_participants_are_not_in_each_others_way,
    ]
}

/// The same service with another store.
fn another(saga: &Saga, service: &str) -> Start {
    // It writes the settings, which both have.
    drop(saga.service(service));
    let config = saga.data(&format!("{service}.toml")).display().to_string();
    let data = saga.data(&format!("{service}-2"));
    Start::new(&[service], &data).arguments(&["--config", &config])
}

/// Records that were decided on this store, each with the key that it was decided under.
fn decisions(data: &Path) -> BTreeMap<String, String> {
    let query = "SELECT json_extract(message, '$.id'), key FROM journal
                 WHERE json_extract(message, '$.origin') = 'event'";
    let decided = rows(data, query);
    let count = decided.len();
    let decided: BTreeMap<_, _> = (decided.into_iter())
        .map(|row| (row[0].clone(), row[1].clone()))
        .collect();
    assert_eq!(decided.len(), count, "a record was decided twice");
    decided
}

/// Has a host say what it says of a start that fails, and gives its exit code.
fn refused(start: &Start) -> (Option<i32>, String) {
    // It lays the cache of compiled code out.
    drop(start.program());
    let (status, said) = start.fail();
    (status.code(), said)
}

fn a_data_directory_is_for_one_process(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let orders = saga.start("order");
    let (code, said) = refused(&saga.service("order"));
    assert_eq!(code, Some(73), "{said}");
    for expected in ["another saga process is using it", "stop that one first"] {
        assert!(said.contains(expected), "{said}");
    }
    let customers = saga.start("customer");
    assert_eq!(decided(&orders, place(&orders, 1, json!(1))), "REJECTED");
    drop(customers);
}

fn a_second_host_of_a_participant_is_refused_and_says_why(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1).session(cluster.shortest_session());
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ann = register(&customers, json!(100));
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");
    let first = cluster.members(&saga.order_group);
    let (code, said) = refused(&another(&saga, "customer"));
    assert_eq!(code, Some(69), "{said}");
    for expected in [
        TAKEN,
        &saga.order_group,
        &first[0],
        "Stop the other one",
        "data directory",
        "[participants.NAME.groups]",
        "allow_split_state",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(cluster.members(&saga.order_group), first);
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");
    assert_eq!(left(&customers, ann), json!(80));
    until_ready(&[&customers]);
}

fn who_waits_for_another_to_go_ends_when_it_is_asked_to(cluster: &Cluster) {
    // Longer than any test waits.
    let saga = Saga::new(cluster, 1).session(PATIENCE * 2);
    let orders = saga.start("order");
    // It asks who is there, and there is nobody before that.
    until_reads(&orders);
    let mut second = another(&saga, "order").program();
    let log = saga.data("second.txt");
    let stderr = std::fs::File::create(&log).unwrap();
    let second = second.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
    let is_said = || std::fs::read_to_string(&log).unwrap().contains(WAITS);
    until("the second host waits", is_said);
    let asked = Instant::now();
    signal(second.id(), "TERM");
    let (status, _) = output(second);
    assert!(asked.elapsed() < Duration::from_secs(5), "it took long");
    // What shells make of signal 15.
    assert_eq!(status.code(), Some(128 + 15));
}

/// Waits until a host has been given what it reads.
fn until_reads(host: &Host) {
    host.log_until("partitions assigned");
}

fn a_store_that_was_thrown_away_is_followed_when_its_session_is_over(cluster: &Cluster) {
    // Longer than a start on a busy machine, which compiles the component again.
    let saga = Saga::new(cluster, 1).session(cluster.shortest_session() * 4);
    let customers = saga.start("customer");
    let orders = saga.start("order");
    assert_eq!(decided(&orders, place(&orders, 1, json!(1))), "REJECTED");
    orders.kill();
    let old = cluster.members(&saga.customer_group);
    assert_eq!(old.len(), 1, "members last as long as their session");
    std::fs::remove_dir_all(saga.data("order")).unwrap();
    let orders = saga.start("order");
    assert_eq!(lines(&orders, WAITS).len(), 1, "{}", orders.log());
    // Numbers begin anew, with the store.
    assert_eq!(decided(&orders, place(&orders, 1, json!(1))), "REJECTED");
    let new = cluster.members(&saga.customer_group);
    assert!(new.len() == 1 && new != old, "{old:?}, {new:?}");
    drop(customers);
}

fn of_two_that_start_at_once_one_reads_and_no_record_is_decided_by_both(cluster: &Cluster) {
    const RECORDS: u64 = 50;
    for _ in 0..3 {
        let saga = Saga::new(cluster, 4).session(cluster.shortest_session());
        let orders = saga.start("order");
        let ids: Vec<_> = (1..=RECORDS)
            .map(|customer| place(&orders, customer, json!(1)))
            .collect();
        let starts = [saga.service("customer"), another(&saga, "customer")];
        let data = ["customer", "customer-2"].map(|service| saga.data(service));
        let started: Vec<_> = std::thread::scope(|scope| {
            let begin = |start: Start, data: &Path| {
                let program = start.program();
                let data = data.to_owned();
                scope.spawn(move || Host::try_from_command(program, &data))
            };
            let threads: Vec<_> = (starts.into_iter().zip(&data))
                .map(|(start, data)| begin(start, data))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for id in ids {
            assert_eq!(decided(&orders, id), "REJECTED");
        }
        // Either one is refused at its start, or it says later that it does not read.
        let mut others = 0;
        for (started, data) in started.iter().zip(&data) {
            let Ok(host) = started else {
                others += 1;
                continue;
            };
            let count = || decisions(data).len();
            until("one reads, the other one says that it does not", || {
                let said = health(host).transport;
                said.contains(TAKEN) || said.is_empty() && count() == RECORDS as usize
            });
            others += usize::from(count() == 0);
        }
        assert_eq!(others, 1, "exactly one reads");
        let [first, second] = data.map(|data| decisions(&data));
        assert_eq!(first.len() + second.len(), RECORDS as usize);
    }
}

fn a_foreign_reader_is_treated_like_a_second_host(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1).session(cluster.shortest_session());
    let foreign = Foreign::join(cluster, &saga.customer_topic, &saga.customer_group);
    foreign.until_it_reads();
    let (code, said) = refused(&saga.service("order"));
    assert_eq!(code, Some(69), "{said}");
    for expected in [TAKEN, &saga.customer_group, "`consumer-of-another-kind`"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // While a host waits, the other one leaves.
    let waits = saga.service("order").program();
    let data = saga.data("order");
    let orders = std::thread::scope(|scope| {
        let started = scope.spawn(|| Host::from_command(waits, &data));
        let log = data.join("log.txt");
        until("the host waits", || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains(WAITS))
        });
        foreign.leave();
        started.join().unwrap()
    });
    let customers = saga.start("customer");
    assert_eq!(decided(&orders, place(&orders, 1, json!(1))), "REJECTED");

    // It comes later: it would never give way, so the host does.
    let foreign = Foreign::join(cluster, &saga.customer_topic, &saga.customer_group);
    let said = until_said(&orders, &[TAKEN, "`consumer-of-another-kind`"]);
    assert!(said.contains(&saga.customer_group), "{said}");
    let id = place(&orders, 1, json!(1));
    // The answer is there, and nobody takes it.
    until("the order is answered", || {
        cluster.ends(&saga.customer_topic) == [2]
    });
    foreign.until_it_reads();
    assert!(health(&orders).transport.contains(TAKEN));
    foreign.leave();
    until_ready(&[&orders]);
    assert_eq!(decided(&orders, id), "REJECTED");
    drop(customers);
}

fn a_foreign_reader_of_the_new_protocol_is_seen_too(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1).session(cluster.shortest_session());
    let protocol = [("group.protocol", "consumer".to_owned())];
    let foreign = Foreign::join_with(
        cluster,
        &saga.customer_topic,
        &saga.customer_group,
        &protocol,
    );
    foreign.until_it_reads();
    let (code, said) = refused(&saga.service("order"));
    assert_eq!(code, Some(69), "{said}");
    for expected in [TAKEN, &saga.customer_group, "`consumer-of-another-kind`"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // It says goodbye, and the group is free.
    foreign.leave();
    let orders = saga.start("order");
    let customers = saga.start("customer");
    assert_eq!(decided(&orders, place(&orders, 1, json!(1))), "REJECTED");
    drop(customers);
}

/// A program that reads in a group, and is no host.
struct Foreign {
    consumer: Arc<BaseConsumer>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Foreign {
    /// Joins; it takes part until it leaves.
    fn join(cluster: &Cluster, topic: &str, group: &str) -> Self {
        let session = cluster.shortest_session();
        let properties = [
            ("session.timeout.ms", session.as_millis().to_string()),
            (
                "heartbeat.interval.ms",
                (session.as_millis() / 4).to_string(),
            ),
            // Members of one group must have a way in common to share partitions out.
            (
                "partition.assignment.strategy",
                "cooperative-sticky".to_owned(),
            ),
        ];
        Self::join_with(cluster, topic, group, &properties)
    }

    fn join_with(
        cluster: &Cluster,
        topic: &str,
        group: &str,
        properties: &[(&str, String)],
    ) -> Self {
        let mut config = cluster.config();
        for (name, value) in properties {
            config.set(*name, value);
        }
        let consumer: BaseConsumer = config
            .set("group.id", group)
            .set("client.id", "consumer-of-another-kind")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "latest")
            .create()
            .unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let consumer = Arc::new(consumer);
        let (stop, stopped) = channel();
        let polled = consumer.clone();
        let thread = std::thread::spawn(move || {
            // Who does not poll is thrown out; what comes is of no interest.
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                drop(polled.poll(Duration::from_millis(20)));
            }
        });
        Self {
            consumer,
            stop,
            thread,
        }
    }

    fn until_it_reads(&self) {
        until("the foreign reader reads", || {
            self.consumer.assignment().unwrap().count() > 0
        });
    }

    fn leave(self) {
        drop(self.stop);
        self.thread.join().unwrap();
    }
}

fn split_state_is_shared_if_it_is_allowed(cluster: &Cluster) {
    const CUSTOMERS: u64 = 40;
    let saga = Saga::new(cluster, 6);
    let allowed = |start: Start| start.setting("kafka.allow_split_state", true).start();
    let first = allowed(saga.service("customer"));
    let second = allowed(another(&saga, "customer"));
    let orders = saga.start("order");
    until("both have partitions", || {
        let (first, second) = (
            partitions(&first, &saga.order_topic),
            partitions(&second, &saga.order_topic),
        );
        first.len() == 3 && second.len() == 3 && first.is_disjoint(&second)
    });
    let ids: Vec<_> = (1..=CUSTOMERS * 3)
        .map(|number| place(&orders, 1 + number % CUSTOMERS, json!(1)))
        .collect();
    for id in ids {
        assert_eq!(decided(&orders, id), "REJECTED");
    }
    let [first_data, second_data] =
        ["customer", "customer-2"].map(|service| decisions(&saga.data(service)));
    assert_eq!(
        first_data.len() + second_data.len(),
        3 * CUSTOMERS as usize,
        "each record is decided once"
    );
    assert!(!first_data.is_empty() && !second_data.is_empty());
    for key in first_data.values() {
        assert!(
            second_data.values().all(|other| other != key),
            "customer {key} is decided by both"
        );
    }
    until_ready(&[&first, &second]);
    for host in [&first, &second] {
        assert_eq!(lines(host, TAKEN), Vec::<String>::new());
    }
}

/// Partitions of a topic that a host has by its log, in which each change is a line.
fn partitions(host: &Host, topic: &str) -> BTreeSet<String> {
    let mut partitions = BTreeSet::new();
    let mut lines = lines(host, "partitions=[");
    lines.retain(|line| line.contains(&format!(" topic={topic} ")));
    for line in lines {
        let (_, list) = line.split_once("partitions=[").unwrap();
        let (list, _) = list.split_once(']').unwrap();
        for partition in list.split(", ").filter(|partition| !partition.is_empty()) {
            if line.contains("partitions revoked") {
                partitions.remove(partition);
            } else {
                partitions.insert(partition.to_owned());
            }
        }
    }
    partitions
}

fn hosts_of_different_participants_are_not_in_each_others_way(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let (customers, orders) = std::thread::scope(|scope| {
        let start = |service| {
            scope.spawn({
                let saga = &saga;
                move || saga.start(service)
            })
        };
        let (customers, orders) = (start("customer"), start("order"));
        (customers.join().unwrap(), orders.join().unwrap())
    });
    assert_eq!(decided(&orders, place(&orders, 1, json!(1))), "REJECTED");
    // One that is started again does not wait either: its name in the group is its own.
    assert!(customers.stop().success());
    let customers = saga.start("customer");
    assert_eq!(decided(&orders, place(&orders, 1, json!(1))), "REJECTED");
    until_ready(&[&customers, &orders]);
    for host in [&customers, &orders] {
        for said in [TAKEN, WAITS] {
            assert_eq!(lines(host, said), Vec::<String>::new());
        }
    }
}

fn who_comes_while_the_broker_is_away_does_not_take_over() {
    let broker = Broker::start(&Settings::default()).unwrap();
    let cluster = Cluster::at(broker.bootstrap());
    // The broker is away for longer, so that it has forgotten who was there.
    let saga = Saga::new(&cluster, 1).session(Duration::from_millis(1_500));
    let (customers, orders) = (saga.start("customer"), saga.start("order"));
    let ann = register(&customers, json!(100));
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");

    broker.kill();
    let newcomer = another(&saga, "customer").start();
    until("it is said that the broker is away", || {
        health(&newcomer).status == "degraded"
    });
    let held = place(&orders, ann, json!(10));
    broker.start_again().unwrap();
    assert_eq!(decided(&orders, held), "APPROVED", "by who knows ann");
    let said = until_said(&newcomer, &[TAKEN, &saga.order_group]);
    assert!(said.contains("Stop the other one"), "{said}");
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "APPROVED");
    until_ready(&[&customers]);
    assert_eq!(left(&customers, ann), json!(70));
    assert!(decisions(&saga.data("customer-2")).is_empty());

    // Its turn has come: it does not know ann.
    assert!(customers.stop().success());
    assert_eq!(decided(&orders, place(&orders, ann, json!(10))), "REJECTED");
    until_ready(&[&newcomer]);
    // It goes on where the group was, and does not decide again.
    assert_eq!(decisions(&saga.data("customer-2")).len(), 1);
}
