//! Several hosts of each service on one PostgreSQL server: Kafka spreads the partitions over them.

use std::time::{Duration, Instant};

use saga_testkit::postgres::can_start;
use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::saga::{Saga, decided, left, place, register};
use crate::server_store::ServerStore;
use crate::support::{Host, signal};

/// Orders of a round.
const ORDERS: u64 = 30;

pub fn tests() -> Vec<Test> {
    tests![any: hosts_share_the_partitions_and_those_that_are_left_go_on]
}

/// Hosts of one service on the store.
fn hosts(saga: &Saga, store: &ServerStore, service: &str) -> Vec<Host> {
    let url = store.server.url();
    let start = |number| {
        let directory = format!("{service}-{number}");
        let start = saga.service_at(service, &directory);
        start.arguments(&["--store", &url]).start()
    };
    (0..2).map(start).collect()
}

/// Prints what the hosts logged, and the store's duties and offsets, if the test fails.
struct Told<'a>(Vec<std::path::PathBuf>, &'a ServerStore);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for path in &self.0 {
            let log = std::fs::read_to_string(path).unwrap_or_default();
            let from = log.len().saturating_sub(6_000);
            eprintln!("{}:\n{}", path.display(), log.get(from..).unwrap_or(&log));
        }
        for query in [
            "SELECT id, name, seen > clock_timestamp() - interval '5 s', batch, epoch FROM hosts",
            "SELECT name, host FROM duties",
            "SELECT o.consumer, t.name, o.partition, o.next_offset, o.epoch, o.owner FROM offsets o JOIN topics t ON t.id = o.topic",
            "SELECT t.name, count(*), max(position) FROM outbox o JOIN topics t ON t.id = o.topic GROUP BY 1",
        ] {
            eprintln!("{:?}", self.1.rows(query));
        }
    }
}

/// Places orders of 1 at these hosts in turn.
fn orders(at: &[Host], customer: u64) -> Vec<u64> {
    let turns = at.iter().cycle().take(ORDERS as usize);
    turns.map(|host| place(host, customer, json!(1))).collect()
}

fn all_approved(host: &Host, orders: &[u64]) {
    for order in orders {
        assert_eq!(decided(host, *order), "APPROVED", "{order}");
    }
}

fn hosts_share_the_partitions_and_those_that_are_left_go_on(cluster: &Cluster) {
    if !can_start() {
        return;
    }
    let store = ServerStore::new();
    let saga = Saga::new(cluster, 4).session(Duration::from_secs(6));
    let mut customers = hosts(&saga, &store, "customer");
    let mut placing = hosts(&saga, &store, "order");
    let all = customers.iter().chain(&placing);
    let _told = Told(all.map(Host::log_path).collect(), &store);
    let customer = register(&customers[1], json!(1_000));
    let first = orders(&placing, customer);
    all_approved(&placing[1], &first);
    let readers =
        "SELECT count(DISTINCT owner) FROM offsets WHERE consumer LIKE 'kafka:customer/%'";
    until("both read", || store.number(readers) == 2);

    // One of each is gone without a word.
    customers.remove(0).kill();
    placing.remove(0).kill();
    let began = Instant::now();
    let second = orders(&placing, customer);
    all_approved(&placing[0], &second);
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );

    // One that sleeps for longer than its session, and wakes up.
    customers.extend(hosts(&saga, &store, "customer").pop());
    let sleeper = &customers[0];
    signal(sleeper.id(), "STOP");
    let third = orders(&placing, customer);
    all_approved(&placing[0], &third);
    signal(sleeper.id(), "CONT");
    let fourth = orders(&placing, customer);
    all_approved(&placing[0], &fourth);

    for host in &customers {
        assert_eq!(left(host, customer), json!(1_000 - 4 * ORDERS));
    }
    let twice = "SELECT count(*) FROM aggregates a JOIN participants p ON p.id = a.participant
                 WHERE p.name = 'order' AND a.revision <> 2";
    assert_eq!(store.number(twice), 0);
    for host in customers.into_iter().chain(placing) {
        assert!(host.stop().success());
    }
}
