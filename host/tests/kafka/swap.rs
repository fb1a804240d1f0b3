//! Swaps of rules on a real broker: no consumer group notices one.
//!
//! - Under load, the generation of each group stays what it was, as the brokers have written it down, and so do its members and
//!   their partitions. Nothing is lost, and nothing is decided twice.
//! - A subscription that a swap drops leaves its group to others: whoever reads in it next has all partitions when the
//!   session of the host is over, and goes on where the host was.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::builds::{Build, nothing_decided_before_it_was_active};
use crate::chameleon::{self, Chameleon, look};
use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::{Since, until_ready};
use crate::load::{self, decided_once};
use crate::peer::Speaker;
use crate::saga::Saga;
use crate::store_file::number;
use crate::support::{Host, PATIENCE, component, request};

/// Swaps of each participant.
const SWAPS: usize = 60;

pub fn tests() -> Vec<Test> {
    tests![any:
        swaps_under_load_change_nothing_in_any_group,
        a_dropped_subscription_is_gone_on_with_by_the_next_one_in_its_group,
    ]
}

/// A consumer group as the cluster knows it.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    generation: i32,
    /// Name of each member, and its partitions as they were given to it.
    members: Vec<(String, Vec<u8>)>,
}

impl Group {
    fn of(cluster: &Cluster, name: &str) -> Self {
        let client: BaseConsumer = cluster.config().create().unwrap();
        let found = client.fetch_group_list(Some(name), PATIENCE).unwrap();
        let members = found.groups().iter().flat_map(|group| group.members());
        let given = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
        Self {
            generation: generation(cluster, name),
            members: members
                .map(|member| (member.id().to_owned(), given(member.assignment())))
                .collect(),
        }
    }
}

/// The last generation of a group that the brokers have written down: they keep it in a topic of their own.
fn generation(cluster: &Cluster, group: &str) -> i32 {
    const TOPIC: &str = "__consumer_offsets";
    let reader: BaseConsumer = (cluster.config())
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut partitions = TopicPartitionList::new();
    let count = i32::try_from(cluster.partitions(TOPIC)).unwrap();
    for partition in 0..count {
        (partitions.add_partition_offset(TOPIC, partition, Offset::Beginning)).unwrap();
    }
    reader.assign(&partitions).unwrap();
    let (mut last, mut ends) = (None, 0);
    let start = Instant::now();
    while ends < count {
        assert!(start.elapsed() < PATIENCE, "{TOPIC} has no end");
        match reader.poll(Duration::from_millis(100)) {
            // Each partition says where it ends.
            Some(Err(_)) => ends += 1,
            Some(Ok(record)) => {
                let found = written_generation(record.key(), record.payload(), group);
                last = found.or(last);
            }
            None => {}
        }
    }
    last.unwrap_or_else(|| panic!("the brokers have written down nothing of {group}"))
}

/// The generation, if the record is about this group: the schemas are Kafka's `GroupMetadataKey` and `GroupMetadataValue`.
fn written_generation(key: Option<&[u8]>, value: Option<&[u8]>, group: &str) -> Option<i32> {
    const GROUP: i16 = 2;
    let text = |bytes: &[u8]| -> (usize, Vec<u8>) {
        // A length of -1 is no text.
        let length = usize::try_from(i16::from_be_bytes([bytes[0], bytes[1]])).unwrap_or(0);
        (2 + length, bytes[2..2 + length].to_vec())
    };
    let (key, value) = (key?, value?);
    let version = i16::from_be_bytes([key[0], key[1]]);
    if version != GROUP || text(&key[2..]).1 != group.as_bytes() {
        return None;
    }
    let version = i16::from_be_bytes([value[0], value[1]]);
    assert!(version < 4, "version {version} is written otherwise");
    let (length, _) = text(&value[2..]);
    let generation = value[2 + length..2 + length + 4].try_into().unwrap();
    Some(i32::from_be_bytes(generation))
}

/// Swaps a participant to and fro between two builds.
fn swap_again_and_again(host: &Host, name: &str) {
    let first = std::fs::read(component(name)).unwrap();
    let builds = [Build::marked(name, "swapped"), Build::new(name, first)];
    let swaps = builds.iter().cycle().take(SWAPS);
    swaps.for_each(|build| build.apply(host));
}

fn swaps_under_load_change_nothing_in_any_group(cluster: &Cluster) {
    let saga = Saga::new(cluster, 3);
    let [customers, orders] = ["customer", "order"].map(|name| saga.start(name));
    load::during(&customers, &orders, |load| {
        load.until_decided();
        let groups = [&saga.order_group, &saga.customer_group];
        let before = groups.map(|group| Group::of(cluster, group));
        assert!(
            before.iter().all(|group| group.members.len() == 1),
            "{before:?}"
        );
        let logs = [&customers, &orders].map(Since::now);
        std::thread::scope(|scope| {
            scope.spawn(|| swap_again_and_again(&customers, "customer"));
            scope.spawn(|| swap_again_and_again(&orders, "order"));
        });
        load.until_decided();
        assert_eq!(groups.map(|group| Group::of(cluster, group)), before);
        for log in logs {
            // These would be said of an assignment that changes nothing too.
            let changes = log.count("partitions assigned") + log.count("partitions revoked");
            assert_eq!(changes, 0, "{}", log.text());
        }
    });
    until_ready(&[&customers, &orders]);
    assert!(customers.stop().success() && orders.stop().success());
    let [customer, order] = ["customer", "order"].map(|name| saga.data(name));
    decided_once(&customer, &order);
    for data in [&customer, &order] {
        nothing_decided_before_it_was_active(data);
        let activations = number(data, "SELECT count(*) FROM activations");
        assert_eq!(activations, 1 + SWAPS as i64);
        let deciding = number(data, "SELECT count(DISTINCT generation) FROM journal");
        assert_eq!(deciding, 2, "both builds decided");
    }
}

fn a_dropped_subscription_is_gone_on_with_by_the_next_one_in_its_group(cluster: &Cluster) {
    let directory = tempfile::tempdir().unwrap();
    let tag = directory.path().file_name().unwrap().to_string_lossy();
    let [kept, dropped] = ["kept", "dropped"].map(|name| format!("{name}-{tag}"));
    for topic in [&kept, &dropped] {
        cluster.create(topic, 3);
    }
    let listening = |version: &str, topics: &[&String]| {
        let subscription = |topic: &&String| json!({"event_type": topic, "topic": topic, "group": topic, "untyped": true});
        let subscriptions: Vec<Value> = topics.iter().map(subscription).collect();
        let settings = json!({"subscriptions": subscriptions, "publications": []});
        Chameleon::new().version(version).with(settings)
    };
    let path = directory.path().join("chameleon.wasm");
    listening("1.0.0", &[&kept, &dropped]).write(&path);
    let config = directory.path().join("saga.toml");
    let session = cluster.shortest_session().as_millis();
    let text = format!(
        "[kafka]\nbootstrap = {:?}\n[reload]\nwatch_ms = 0\n[kafka.properties]\n\"session.timeout.ms\" = \"{session}\"\n\
         \"heartbeat.interval.ms\" = \"{}\"\n",
        cluster.bootstrap,
        session / 4
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let start = chameleon::start(&path, &directory.path().join("data"));
    let host = start.arguments(&["--config", &config]).start();
    let speaker = Speaker::new(cluster, "none");
    let say = |topic: &str, from: usize, to: usize| {
        (from..to).for_each(|n| speaker.say(topic, &json!({"key": "k", "n": n}).to_string()));
    };
    let until_counted = |count: u64| {
        until(&format!("{count} are counted"), || {
            look(&host, "k")["count"] == count
        });
    };
    say(&dropped, 0, 6);
    say(&kept, 0, 3);
    until_counted(9);
    let before = Group::of(cluster, &kept);

    let url = format!(
        "{}/participants/chameleon/component?drop-used=true",
        host.admin()
    );
    let applied = request("PUT", &url, &[], &listening("2.0.0", &[&kept]).bytes());
    assert_eq!(applied.status, 200, "{}", applied.text());
    until("the group knows that all were read", || {
        let committed = cluster.committed(&dropped, &dropped);
        committed.values().sum::<i64>() == 6
    });
    // Nobody reads there now, and the other group goes on.
    say(&dropped, 6, 10);
    say(&kept, 3, 4);
    until_counted(10);
    let successor: BaseConsumer = (cluster.config())
        .set("group.id", &dropped)
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .create()
        .unwrap();
    successor.subscribe(&[&dropped]).unwrap();
    let mut heard: Vec<u64> = Vec::new();
    until("the successor has heard what came since", || {
        // Each call serves one event of the client, a rebalance for example.
        if let Some(record) = successor.poll(Duration::from_millis(20)) {
            let value: Value = serde_json::from_slice(record.unwrap().payload().unwrap()).unwrap();
            heard.push(value["n"].as_u64().unwrap());
        }
        heard.len() == 4
    });
    heard.sort_unstable();
    assert_eq!(heard, [6, 7, 8, 9]);
    assert_eq!(successor.assignment().unwrap().count(), 3);
    assert_eq!(Group::of(cluster, &kept), before, "the other group");
    assert_eq!(look(&host, "k")["count"], 10);
    assert!(host.stop().success());
}
