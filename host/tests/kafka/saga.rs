//! The two services over a cluster, each a process with a store of its own, on topics and in groups that no other
//! test has.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::support::{Host, Start};

/// The names and the directory of one test.
pub struct Saga {
    /// The topic of the order service.
    pub order_topic: String,
    /// The topic of the customer service.
    pub customer_topic: String,
    /// In which the customer service reads.
    pub order_group: String,
    /// In which the order service reads.
    pub customer_group: String,
    /// The topic of cancelled orders.
    pub cancellation_topic: String,
    /// In which the customer service reads cancellations.
    pub cancellation_group: String,
    cluster: Cluster,
    directory: tempfile::TempDir,
    properties: Vec<(String, String)>,
}

impl Saga {
    /// With all topics, of so many partitions.
    pub fn new(cluster: &Cluster, partitions: i32) -> Self {
        let saga = Self::without_topics(cluster);
        for topic in [
            &saga.order_topic,
            &saga.customer_topic,
            &saga.cancellation_topic,
        ] {
            cluster.create(topic, partitions);
        }
        saga
    }

    /// With topics that the first host creates.
    pub fn without_topics(cluster: &Cluster) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // A cluster that was given has seen earlier runs.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let tag = format!(
            "{}-{}",
            since.as_millis(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        Self {
            order_topic: format!("orderTopic-{tag}"),
            customer_topic: format!("customerTopic-{tag}"),
            order_group: format!("order-{tag}"),
            customer_group: format!("customer-{tag}"),
            cancellation_topic: format!("cancellationTopic-{tag}"),
            cancellation_group: format!("cancellation-{tag}"),
            cluster: cluster.clone(),
            directory: tempfile::tempdir().unwrap(),
            properties: Vec::new(),
        }
    }

    /// With a property of librdkafka for both hosts.
    pub fn property(mut self, name: &str, value: impl ToString) -> Self {
        self.properties.push((name.to_owned(), value.to_string()));
        self
    }

    /// With so long until a member of a group that is gone without a word counts as gone: another store than the last one
    /// may take over then.
    pub fn session(self, timeout: Duration) -> Self {
        self.property("session.timeout.ms", timeout.as_millis())
            .property("heartbeat.interval.ms", timeout.as_millis() / 4)
    }

    /// Data directory of a service.
    pub fn data(&self, service: &str) -> PathBuf {
        self.directory.path().join(service)
    }

    /// How a service is started.
    pub fn service(&self, service: &str) -> Start {
        self.service_at(service, service)
    }

    /// The same for a host with a data directory of this name.
    pub fn service_at(&self, service: &str, directory: &str) -> Start {
        let group = match service {
            "customer" => format!(
                "order = {:?}\ncancellation = {:?}",
                self.order_group, self.cancellation_group
            ),
            _ => format!("customer = {:?}", self.customer_group),
        };
        let mut text = format!(
            "[kafka]\nbootstrap = {:?}\n[participants.{service}.groups]\n{group}\n\
             [participants.{service}.topics]\norderTopic = {:?}\ncustomerTopic = {:?}\ncancellationTopic = {:?}\n\
             [kafka.properties]\n",
            self.cluster.bootstrap, self.order_topic, self.customer_topic, self.cancellation_topic
        );
        for (name, value) in &self.properties {
            writeln!(text, "{name:?} = {value:?}").unwrap();
        }
        let config = self.directory.path().join(format!("{service}.toml"));
        std::fs::write(&config, text).unwrap();
        let config = config.display().to_string();
        Start::new(&[service], &self.data(directory)).arguments(&["--config", &config])
    }

    /// Starts a service and waits until it is ready.
    pub fn start(&self, service: &str) -> Host {
        self.service(service).start()
    }
}

/// Registers a customer; gives the id.
pub fn register(customers: &Host, limit: Value) -> u64 {
    let ann = json!({"name": "Ann", "creditLimit": {"amount": limit}});
    let registered = customers.post("customer", "/customers", &ann);
    assert_eq!(registered.status, 201, "{}", registered.text());
    registered.json()["customerId"].as_u64().unwrap()
}

/// Places an order; gives the id.
pub fn place(orders: &Host, customer: u64, amount: Value) -> u64 {
    let order = json!({"customerId": customer, "orderTotal": {"amount": amount}});
    let placed = orders.post("order", "/orders", &order);
    assert_eq!(placed.status, 201, "{}", placed.text());
    placed.json()["orderId"].as_u64().unwrap()
}

/// State of an order as it is now.
pub fn state(orders: &Host, id: u64) -> String {
    let shown = orders.get("order", &format!("/orders/{id}")).json();
    shown["orderState"].as_str().unwrap().to_owned()
}

/// State of an order once it is decided.
pub fn decided(orders: &Host, id: u64) -> String {
    let is_decided =
        |response: &crate::support::Response| response.json()["orderState"] != "PENDING";
    let shown = orders.get_until("order", &format!("/orders/{id}"), is_decided);
    shown.json()["orderState"].as_str().unwrap().to_owned()
}

/// The credit that a customer has left.
pub fn left(customers: &Host, id: u64) -> Value {
    customers.get("customer", &format!("/customer/{id}")).json()["creditLimit"].clone()
}

/// Copies the data directory of a host that is stopped, as a backup is taken.
pub fn back_up(data: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        // Compiled code is a cache, shared by all tests.
        match std::fs::symlink_metadata(&from).unwrap() {
            kind if kind.is_symlink() => {}
            kind if kind.is_dir() => back_up(&from, &to),
            _ => drop(std::fs::copy(from, to).unwrap()),
        }
    }
}
