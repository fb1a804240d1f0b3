//! Swaps over Kafka: no consumer group notices one, whatever is published and listened to follows.
//!
//! The broker is librdkafka's MockCluster. What a group notices is what its members are told of: the host logs
//! each assignment, also one that changes nothing, and each partition that it lets go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::builds::{Build, nothing_decided_before_it_was_active};
use crate::chameleon::{self, Chameleon, count, look};
use crate::expect::until;
use crate::mock_kafka::{Cluster, cluster, decided, header, start};
use crate::store_file::{number, rows};
use crate::support::{Host, PATIENCE, Start, component};

/// Swaps of each participant under load.
const SWAPS: usize = 30;
const CLIENTS: usize = 2;

/// How often the log of a host says this of a group.
fn said(host: &Host, what: &str, group: &str) -> usize {
    let group = format!("group={group} ");
    let log = host.log();
    let lines = log.lines();
    lines
        .filter(|line| line.contains(what) && line.contains(&group))
        .count()
}

/// Waits until the group has its partitions, and gives the number of times that the log says what changed: given, and
/// let go.
fn changes(host: &Host, group: &str) -> (usize, usize) {
    until(&format!("{group} has partitions"), || {
        said(host, "partitions assigned", group) > 0
    });
    (
        said(host, "partitions assigned", group),
        said(host, "partitions revoked", group),
    )
}

/// The one group of a host, once it has its partitions.
fn group(host: &Host) -> String {
    host.log_until("partitions assigned");
    let log = host.log();
    let (_, rest) = log.split_once("partitions assigned group=").unwrap();
    rest.split(' ').next().unwrap().to_owned()
}

/// Places an order of 1; gives its id.
fn place(orders: &Host) -> String {
    let order = json!({"customerId": 1, "orderTotal": {"amount": 1}});
    let placed = orders.post("order", "/orders", &order);
    assert_eq!(placed.status, 201, "{}", placed.text());
    placed.json()["orderId"].to_string()
}

/// Places orders of 1 until it is told to stop; gives their ids.
fn place_until(orders: &Host, stop: &AtomicBool) -> Vec<String> {
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        ids.push(place(orders));
    }
    ids
}

#[test]
fn swaps_under_load_cause_no_rebalance_and_lose_and_double_nothing() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    let customer = start("customer", &data, &cluster);
    let order = start("order", &data, &cluster);
    let (customers, orders) = (group(&customer), group(&order));
    let limit = 1_000_000;
    let ann = json!({"name": "Ann", "creditLimit": {"amount": limit}});
    assert_eq!(customer.post("customer", "/customers", &ann).status, 201);
    // From then on records flow in both directions, and swaps meet them.
    let first = place(&order);
    assert_eq!(decided(&order, &first), "APPROVED");

    let builds = |name: &str| {
        let first = std::fs::read(component(name)).unwrap();
        [Build::marked(name, "kafka"), Build::new(name, first)]
    };
    let stop = AtomicBool::new(false);
    let ids = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| place_until(&order, &stop)))
            .collect();
        let swap = |host, name| {
            let builds = builds(name);
            builds
                .iter()
                .cycle()
                .take(SWAPS)
                .for_each(|build| build.apply(host));
        };
        let swapped = std::thread::scope(|scope| {
            let customers = scope.spawn(|| swap(&customer, "customer"));
            let orders = scope.spawn(|| swap(&order, "order"));
            [customers.join(), orders.join()]
        });
        // The clients end in any case.
        stop.store(true, Ordering::Relaxed);
        for swaps in swapped {
            swaps.expect("all swaps take place");
        }
        let ids = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        ids.chain([first]).collect::<Vec<_>>()
    });
    for id in &ids {
        assert_eq!(decided(&order, id), "APPROVED");
    }
    let left = customer.get("customer", "/customer/1").json()["creditLimit"].clone();
    assert_eq!(left, json!(limit - ids.len()), "{} orders", ids.len());
    assert!(ids.len() > SWAPS, "{} orders are no load", ids.len());

    for (host, name, group) in [(customer, "customer", customers), (order, "order", orders)] {
        assert_eq!(changes(&host, &group), (1, 0), "{}", host.log());
        let data = data.path().join(name);
        let log = data.join("log.txt");
        assert!(host.stop().success());
        // It would have said so.
        let log = std::fs::read_to_string(log).unwrap();
        assert!(log.contains("partitions revoked"), "{log}");
        nothing_decided_before_it_was_active(&data);
        let activations = number(&data, "SELECT count(*) FROM activations");
        assert_eq!(activations, 1 + SWAPS as i64, "{name}");
        let deciding = number(&data, "SELECT count(DISTINCT generation) FROM journal");
        assert_eq!(deciding, 2, "{name}: both builds decided");
        let heard = "SELECT count(*), count(DISTINCT json_extract(message, '$.id')) FROM journal
                     WHERE json_extract(message, '$.origin') = 'event'";
        let number = ids.len().to_string();
        assert_eq!(rows(&data, heard), [[number.clone(), number]], "{name}");
    }
}

/// A client of the broker that is none of ours.
struct Peer {
    servers: String,
    producer: BaseProducer,
}

impl Peer {
    fn new(cluster: &Cluster) -> Self {
        let servers = cluster.bootstrap_servers();
        let mut config = ClientConfig::new();
        let producer = config.set("bootstrap.servers", &servers).create().unwrap();
        Self { servers, producer }
    }

    /// Publishes an event of this type for the key `k`.
    fn say(&self, topic: &str, event_type: &str) {
        let headers = OwnedHeaders::new().insert(Header {
            key: "ce_type",
            value: Some(event_type),
        });
        let record = BaseRecord::<str, str>::to(topic)
            .key("k")
            .payload(r#"{"key": "k"}"#)
            .headers(headers);
        let sent = self.producer.send(record);
        sent.map_err(|(error, _)| error).unwrap();
        self.producer.flush(PATIENCE).unwrap();
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .create()
            .unwrap()
    }

    /// Reads a topic from its beginning.
    fn read(&self, topic: &str) -> BaseConsumer {
        let consumer = self.consumer("nobody");
        let mut partitions = TopicPartitionList::new();
        for partition in 0..3 {
            (partitions.add_partition_offset(topic, partition, Offset::Beginning)).unwrap();
        }
        consumer.assign(&partitions).unwrap();
        consumer
    }
}

/// Where the consumer's group reads on, by the broker, in the partitions of which it has read something.
fn read_until(consumer: &BaseConsumer, topic: &str) -> Vec<Offset> {
    let mut partitions = TopicPartitionList::new();
    for partition in 0..3 {
        partitions.add_partition(topic, partition);
    }
    let committed = consumer.committed_offsets(partitions, PATIENCE).unwrap();
    let offsets = committed.elements().into_iter().map(|part| part.offset());
    offsets
        .filter(|offset| *offset != Offset::Invalid)
        .collect()
}

fn hear(consumer: &BaseConsumer) -> BorrowedMessage<'_> {
    let start = Instant::now();
    loop {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            return message.unwrap();
        }
        assert!(start.elapsed() < PATIENCE, "no record came");
    }
}

fn until_counted(host: &Host, number: u64) {
    until(&format!("{number} are counted"), || {
        look(host, "k")["count"].as_u64() >= Some(number)
    });
    assert_eq!(look(host, "k")["count"], number);
}

fn listening_too(version: &str, extra: bool) -> Chameleon {
    let subscription = |event_type: &str, topic: &str| json!({"event_type": event_type, "topic": topic, "group": topic});
    let mut subscriptions = vec![subscription("counted", "chameleonTopic")];
    let mut publications = vec![json!({"event_type": "changed", "topic": "changedTopic"})];
    let mut acts: Vec<Value> = vec![
        json!({"count": 1}),
        json!({"publish": {"event_type": "changed"}}),
    ];
    if extra {
        subscriptions.push(subscription("extra", "extraTopic"));
        publications.push(json!({"event_type": "added", "topic": "addedTopic"}));
        acts.push(json!({"publish": {"event_type": "added"}}));
    }
    Chameleon::new().version(version).with(json!({
        "subscriptions": subscriptions,
        "publications": publications,
        "handle": {"count": acts},
    }))
}

#[test]
fn topics_and_groups_follow_a_swap_and_no_other_group_notices() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    for topic in [
        "chameleonTopic",
        "chameleonTopic.chameleonTopic.dlq",
        "changedTopic",
        "extraTopic",
        "extraTopic.extraTopic.dlq",
        "addedTopic",
    ] {
        // The MockCluster creates none by itself.
        cluster.create_topic(topic, 3, 1).unwrap();
    }
    let peer = Peer::new(&cluster);
    let (first, second, third) = (
        listening_too("1.0.0", false),
        listening_too("2.0.0", true),
        listening_too("3.0.0", false),
    );
    let path = data.path().join("chameleon.wasm");
    first.write(&path);
    let host: Start = chameleon::start(&path, &data.path().join("data"));
    let host = host
        .setting("reload.watch_ms", 0)
        .arguments(&["--kafka", &cluster.bootstrap_servers()])
        .start();
    let changed = peer.read("changedTopic");
    peer.say("chameleonTopic", "counted");
    until_counted(&host, 1);
    // Nobody listens to it yet.
    peer.say("extraTopic", "extra");
    count(&host, "k");
    assert_eq!(
        header(&hear(&changed), "ce_sagadigest"),
        Some(&*first.digest())
    );

    assert_eq!(chameleon::apply(&host, &second).status, 200);
    peer.say("extraTopic", "extra");
    until_counted(&host, 4);
    assert_eq!(changes(&host, "extraTopic"), (1, 0));
    assert_eq!(changes(&host, "chameleonTopic"), (1, 0), "{}", host.log());
    count(&host, "k");
    let added = peer.read("addedTopic");
    let heard = hear(&added);
    assert_eq!(header(&heard, "ce_type"), Some("added"));
    assert_eq!(header(&heard, "ce_sagadigest"), Some(&*second.digest()));
    assert_eq!(
        header(&hear(&changed), "ce_sagadigest"),
        Some(&*second.digest())
    );

    let url = format!("{}/participants/chameleon/component", host.admin());
    let dropped =
        crate::support::request("PUT", &format!("{url}?drop-used=true"), &[], &third.bytes());
    assert_eq!(dropped.status, 200, "{}", dropped.text());
    assert_eq!(changes(&host, "extraTopic"), (1, 1), "{}", host.log());
    // Who reads in its group next, when its session is over, goes on where it was.
    let successor = peer.consumer("extraTopic");
    until("the broker knows that two were read", || {
        read_until(&successor, "extraTopic") == [Offset::Offset(2)]
    });
    peer.say("extraTopic", "extra");
    peer.say("chameleonTopic", "counted");
    until_counted(&host, 6);
    assert_eq!(changes(&host, "chameleonTopic"), (1, 0), "{}", host.log());
    assert_eq!(changes(&host, "extraTopic"), (1, 1), "{}", host.log());
    assert!(host.stop().success());
}

#[test]
fn events_whose_publication_is_gone_are_published_all_the_same() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chameleon.wasm");
    let first = listening_too("1.0.0", false);
    first.write(&path);
    let start = |broker: &str| {
        chameleon::start(&path, &data.path().join("data"))
            .setting("reload.watch_ms", 0)
            .arguments(&["--kafka", broker])
            .start()
    };
    // Nobody listens there: what is published waits.
    let host = start("127.0.0.1:1");
    count(&host, "k");
    let silent = listening_too("2.0.0", false).with(json!({
        "publications": [],
        "handle": {"count": {"count": 1}},
    }));
    chameleon::swap(&host, &silent);
    assert!(host.stop().success());

    let cluster = cluster();
    for topic in ["chameleonTopic", "changedTopic"] {
        cluster.create_topic(topic, 3, 1).unwrap();
    }
    let changed = Peer::new(&cluster).read("changedTopic");
    let host = start(&cluster.bootstrap_servers());
    let heard = hear(&changed);
    assert_eq!(header(&heard, "ce_sagadigest"), Some(&*first.digest()));
    assert_eq!(count(&host, "k")["by"], "2.0.0");
    assert!(host.stop().success());
}
