//! Several hosts on one PostgreSQL server, as their clients and operators see them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use saga_testkit::postgres::can_start;
use serde_json::json;
use tempfile::TempDir;

use crate::expect::until;
use crate::orders::{ann, decided};
use crate::server_store::ServerStore;
use crate::support::{Host, PATIENCE, component, request, signal, try_request};

const BOTH: [&str; 2] = ["customer", "order"];

/// Orders that each client places of the amount 1.
const ORDERS: usize = 25;

/// Hosts of both participants on one store.
struct Cluster {
    store: ServerStore,
    hosts: Vec<Host>,
    data: Vec<TempDir>,
}

impl Cluster {
    /// None if no server can be started here.
    fn of(hosts: usize) -> Option<Self> {
        if !can_start() {
            return None;
        }
        let mut cluster = Self {
            store: ServerStore::new(),
            hosts: Vec::new(),
            data: Vec::new(),
        };
        (0..hosts).for_each(|_| cluster.joins());
        Some(cluster)
    }

    fn joins(&mut self) {
        let data = tempfile::tempdir().unwrap();
        let host = self.store.host(&BOTH, data.path()).start();
        self.hosts.push(host);
        self.data.push(data);
    }

    /// Credit of the first customer, as this host tells it.
    fn credit(&self, host: usize) -> String {
        let told = self.hosts[host].get("customer", "/customer/1").json();
        told["creditLimit"].to_string()
    }

    /// Every order was placed once and answered once, and what was approved was taken from the
    /// credit of 1000.
    fn check(&self, orders: i64) {
        let of_orders =
            "FROM aggregates a JOIN participants p ON p.id = a.participant WHERE p.name = 'order'";
        let count = |condition: &str| {
            let query = format!("SELECT count(*) {of_orders} {condition}");
            self.store.number(&query)
        };
        assert_eq!((count(""), count("AND a.revision <> 2")), (orders, 0));
        let approved = count(r#"AND a.state LIKE '%APPROVED%'"#);
        for host in 0..self.hosts.len() {
            let left: f64 = self.credit(host).parse().unwrap();
            assert!((left - (1000 - approved) as f64).abs() < 0.001, "{left}");
        }
        let twice = "SELECT count(*) FROM (SELECT event_id FROM outbox GROUP BY event_id HAVING count(*) > 1) t";
        assert_eq!(self.store.number(twice), 0, "no event is published twice");
    }

    fn end(self) {
        for host in self.hosts {
            assert!(host.stop().success());
        }
    }
}

/// Ends the clients when it is dropped, whatever happens.
struct Stops<'s>(&'s AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Places orders of the amount 1 at these base URLs in turn; gives the path of each.
fn place(urls: &[String], orders: usize) -> Vec<String> {
    let body = json!({"customerId": 1, "orderTotal": {"amount": 1}}).to_string();
    (urls.iter().cycle().take(orders))
        .map(|url| {
            let placed = request("POST", &format!("{url}/orders"), &[], body.as_bytes());
            assert_eq!(placed.status, 201, "{}", placed.text());
            format!("/orders/{}", placed.json()["orderId"])
        })
        .collect()
}

#[test]
fn any_host_takes_any_command_and_each_reads_what_another_has_acknowledged() {
    let Some(cluster) = Cluster::of(3) else {
        return;
    };
    ann(&cluster.hosts[0]);
    for (host, other) in [(1, 2), (2, 0), (0, 1)] {
        assert_eq!(cluster.credit(other), "1000", "{host}");
    }
    let urls: Vec<String> = (cluster.hosts.iter())
        .map(|host| host.url("order").to_owned())
        .collect();
    let paths: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let mut urls = urls.clone();
                urls.rotate_left(client % 3);
                scope.spawn(move || place(&urls, ORDERS))
            })
            .collect();
        let placed = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        placed.collect()
    });
    for (number, path) in paths.iter().enumerate() {
        assert_eq!(decided(&cluster.hosts[number % 3], path), "APPROVED");
    }
    cluster.check(4 * ORDERS as i64);
    // What one has acknowledged the others read, whatever they knew before.
    for (number, path) in paths.iter().enumerate().take(10) {
        let at = &cluster.hosts[number % 3];
        let cancelled = at.post("order", &format!("{path}/cancel"), &json!({}));
        assert!(cancelled.status < 300, "{}", cancelled.text());
        for host in &cluster.hosts {
            let state = host.get("order", path).json()["orderState"].clone();
            assert_ne!(state, "APPROVED");
        }
    }
    let duties = "SELECT host, count(*) FROM duties GROUP BY host";
    let spread: BTreeMap<String, i64> = (cluster.store.rows(duties).into_iter())
        .map(|row| (row[0].clone(), row[1].parse().unwrap()))
        .collect();
    let (least, most) = (
        spread.values().min().unwrap(),
        spread.values().max().unwrap(),
    );
    assert!(spread.len() == 3 && most - least <= 1, "{spread:?}");
    cluster.end();
}

#[test]
fn the_others_go_on_when_one_is_killed_and_one_that_comes_takes_part() {
    let Some(mut cluster) = Cluster::of(3) else {
        return;
    };
    ann(&cluster.hosts[0]);
    let urls: Vec<String> = (cluster.hosts.iter().skip(1))
        .map(|host| host.url("order").to_owned())
        .collect();
    let paths = std::thread::scope(|scope| {
        let client = scope.spawn(|| place(&urls, 2 * ORDERS));
        cluster.hosts.remove(0).kill();
        client.join().unwrap()
    });
    let began = Instant::now();
    for path in &paths {
        assert_eq!(decided(&cluster.hosts[0], path), "APPROVED");
    }
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    cluster.check(2 * ORDERS as i64);
    cluster.joins();
    let new = [cluster.hosts[2].url("order").to_owned()];
    let more = place(&new, ORDERS);
    for path in &more {
        assert_eq!(decided(&cluster.hosts[0], path), "APPROVED");
    }
    cluster.check(3 * ORDERS as i64);
    cluster.end();
}

#[test]
fn a_host_that_was_paused_goes_on_and_what_it_brings_is_refused_where_others_were_first() {
    let Some(cluster) = Cluster::of(2) else {
        return;
    };
    ann(&cluster.hosts[0]);
    let urls: Vec<String> = (cluster.hosts.iter())
        .map(|host| host.url("order").to_owned())
        .collect();
    let before = place(&urls, ORDERS);
    // In the middle of its work.
    signal(cluster.hosts[0].id(), "STOP");
    let during = place(&urls[1..], ORDERS);
    for path in before.iter().chain(&during) {
        assert_eq!(decided(&cluster.hosts[1], path), "APPROVED");
    }
    signal(cluster.hosts[0].id(), "CONT");
    let after = place(&urls, ORDERS);
    for path in before.iter().chain(&during).chain(&after) {
        assert_eq!(decided(&cluster.hosts[0], path), "APPROVED");
    }
    cluster.check(3 * ORDERS as i64);
    cluster.end();
}

#[test]
fn rules_that_one_host_applies_decide_on_all_and_no_request_fails() {
    let Some(mut cluster) = Cluster::of(3) else {
        return;
    };
    ann(&cluster.hosts[0]);
    let (stop, failed) = (AtomicBool::new(false), AtomicBool::new(false));
    let body = json!({"customerId": 1, "orderTotal": {"amount": 1}}).to_string();
    std::thread::scope(|scope| {
        for host in &cluster.hosts {
            let (url, body) = (format!("{}/orders", host.url("order")), &body);
            let (stop, failed) = (&stop, &failed);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let placed = try_request("POST", &url, &[], body.as_bytes());
                    if !placed.is_ok_and(|answer| answer.status == 201) {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
        let _stops = Stops(&stop);
        for (at, name) in [(0, "customer_cautious"), (2, "customer")] {
            let bytes = std::fs::read(component(name)).unwrap();
            let url = format!(
                "{}/participants/customer/component",
                cluster.hosts[at].admin()
            );
            let applied = request("PUT", &url, &[], &bytes);
            assert_eq!(applied.status, 200, "{}", applied.text());
            let digest = applied.json()["digest"].clone();
            for host in &cluster.hosts {
                let url = format!("{}/generations", host.admin());
                let told = request("GET", &url, &[], b"").json();
                assert_eq!(told["participants"][0]["active"], digest, "{told}");
            }
        }
    });
    assert!(!failed.load(Ordering::Relaxed), "a request failed");
    cluster.joins();
    cluster.end();
}

#[test]
fn a_host_that_can_t_take_the_rules_stops_a_swap_and_is_named() {
    let Some(cluster) = Cluster::of(2) else {
        return;
    };
    let (asked, other) = (&cluster.hosts[0], &cluster.hosts[1]);
    // It answers nothing by itself, and counts as there.
    signal(other.id(), "STOP");
    let silent = cluster.store.rows(
        "UPDATE hosts SET seen = clock_timestamp() + interval '1 hour' WHERE name LIKE '%:' || (
             SELECT max(split_part(name, ':', 2)::integer) FROM hosts) RETURNING name",
    );
    assert!(silent[0][0].ends_with(&format!(":{}", other.id())));
    let url = format!("{}/participants/customer/component", asked.admin());
    let bytes = std::fs::read(component("customer_cautious")).unwrap();
    let applied = std::thread::scope(|scope| {
        let applies = scope.spawn(|| request("PUT", &url, &[], &bytes));
        until("it is proposed", || {
            let refuses = "INSERT INTO answers SELECT p.number, h.id, h.incarnation, 'no room' FROM proposal p
                           JOIN hosts h ON h.id <> p.host AND p.participant IS NOT NULL RETURNING 1";
            !cluster.store.rows(refuses).is_empty()
        });
        applies.join().unwrap()
    });
    assert_eq!(applied.status, 500);
    let said = applied.text();
    for part in [
        silent[0][0].as_str(),
        " can't take it: no room; nothing was changed",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(
        cluster
            .store
            .number("SELECT count(*) FROM proposal WHERE participant IS NOT NULL"),
        0
    );
    let activations = "SELECT count(*) FROM activations a JOIN participants p ON p.id = a.participant WHERE p.name = 'customer'
                       AND a.way = 'apply'";
    assert_eq!(cluster.store.number(activations), 0);
    signal(other.id(), "CONT");
    cluster.end();
}

#[test]
fn a_host_whose_place_another_one_has_ends_and_commits_nothing() {
    let Some(mut cluster) = Cluster::of(1) else {
        return;
    };
    ann(&cluster.hosts[0]);
    let host = cluster.hosts.remove(0);
    // As a host does that starts a minute after the last sign of life of this one.
    cluster
        .store
        .rows("UPDATE hosts SET incarnation = incarnation + 1 RETURNING id");
    let body = json!({"name": "c", "creditLimit": {"amount": 1}}).to_string();
    let url = format!("{}/customers", host.url("customer"));
    if let Ok(answer) = try_request("POST", &url, &[], body.as_bytes()) {
        assert!(answer.status >= 500, "{}", answer.text());
    }
    host.log_until("the others go on without it");
    assert_eq!(host.wait().code(), Some(73));
    let customers = "SELECT count(*) FROM aggregates";
    assert_eq!(cluster.store.number(customers), 1);
}

/// Orders at hosts in turn until each is acknowledged, under the same idempotency key. Gives the
/// paths of the orders.
fn persist(client: usize, urls: &Mutex<Vec<String>>, stop: &AtomicBool) -> Vec<String> {
    let body = json!({"customerId": 1, "orderTotal": {"amount": 1}}).to_string();
    let mut placed = Vec::new();
    let mut turn = client;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{client}-{}", placed.len());
        let began = Instant::now();
        let answer = loop {
            turn += 1;
            let url = {
                let urls = urls.lock().unwrap();
                format!("{}/orders", urls[turn % urls.len()])
            };
            match try_request("POST", &url, &[("idempotency-key", &key)], body.as_bytes()) {
                Ok(answer) if answer.status == 201 => break answer,
                // It may be in flight at a host that was paused, or the store at another server.
                Ok(answer) if answer.status < 500 && answer.status != 409 => {
                    panic!("{} {}", answer.status, answer.text())
                }
                _ => assert!(began.elapsed() < PATIENCE, "{key} is not taken"),
            }
        };
        placed.push(format!("/orders/{}", answer.json()["orderId"]));
    }
    placed
}

/// `SAGA_CLUSTER_ROUNDS` sets how many faults there are, `SAGA_CLUSTER_SEED` repeats a run's choices.
#[test]
fn after_random_faults_every_acknowledged_order_was_decided_once() {
    let Some(mut cluster) = Cluster::of(3) else {
        return;
    };
    ann(&cluster.hosts[0]);
    let given = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = given("SAGA_CLUSTER_ROUNDS").unwrap_or(12);
    let seed = given("SAGA_CLUSTER_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SAGA_CLUSTER_SEED={seed} SAGA_CLUSTER_ROUNDS={rounds}");
    let mut random = Rng::with_seed(seed);
    let url = |host: &Host| host.url("order").to_owned();
    let urls = Mutex::new(cluster.hosts.iter().map(url).collect::<Vec<_>>());
    let stop = AtomicBool::new(false);
    let paths: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let (urls, stop) = (&urls, &stop);
                scope.spawn(move || persist(client, urls, stop))
            })
            .collect();
        let stops = Stops(&stop);
        for _ in 0..rounds {
            let at = random.usize(..cluster.hosts.len());
            std::thread::sleep(Duration::from_millis(random.u64(..400)));
            match random.u8(..4) {
                0 => {
                    cluster.hosts.remove(at).kill();
                    urls.lock().unwrap().remove(at);
                    let data = cluster.data[at].path().to_owned();
                    let host = cluster.store.host(&BOTH, &data).start();
                    let data = cluster.data.remove(at);
                    cluster.data.push(data);
                    urls.lock().unwrap().push(url(&host));
                    cluster.hosts.push(host);
                }
                1 => {
                    let id = cluster.hosts[at].id();
                    signal(id, "STOP");
                    std::thread::sleep(Duration::from_millis(random.u64(100..7_000)));
                    signal(id, "CONT");
                }
                _ => {
                    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                               AND application_name LIKE 'saga %' AND random() < 0.5";
                    cluster.store.rows(cut);
                }
            }
        }
        drop(stops);
        let placed = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        placed.collect()
    });
    for (number, path) in paths.iter().enumerate() {
        let state = decided(&cluster.hosts[number % 3], path);
        assert!(
            ["APPROVED", "REJECTED"].contains(&&*state),
            "{path} {state}"
        );
    }
    cluster.check(paths.len() as i64);
    cluster.end();
}
