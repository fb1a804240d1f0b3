//! A record that is larger than its topic takes, or than the host may send.
//!
//! It blocks its topic, for what comes after it must not overtake it, and no other. The host says which record of which topic it is
//! and what to do, in `/readyz` and once in the log, and goes on taking requests. When the topic takes it, it goes through by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::chameleon::{self, Chameleon, count};
use crate::cluster::Cluster;
use crate::harness::{Test, tests};
use crate::health::{Since, health, until_degraded, until_ready};
use crate::peer::{Listener, Speaker};
use crate::saga::{Saga, decided, place, register};
use crate::support::{Host, Start};

/// Bytes of a text that is too large.
const LARGE: usize = 5_000;

/// Bytes that are allowed.
const ALLOWED: &str = "2000";

/// Bytes of a value that packs into a few thousand. librdkafka makes room for it in steps of three times, up to 100 MB.
const UNPACKED: usize = 90 << 20;

/// Longer than the wait before a record is tried again.
const TRIES: Duration = Duration::from_secs(6);

pub fn tests() -> Vec<Test> {
    tests![
        any: a_record_above_the_hosts_own_limit_goes_through_after_a_restart,
            a_record_that_unpacks_to_more_than_a_client_takes_goes_through_after_a_restart;
        tools: a_record_that_its_topic_does_not_take_blocks_that_topic_until_it_does,
    ]
}

/// A participant that publishes to two topics.
struct Publisher {
    /// Of the events that every count publishes.
    changed: String,
    /// Of the events that `tell` (large) and `hint` publish.
    told: String,
    component: PathBuf,
    directory: tempfile::TempDir,
}

impl Publisher {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tag = directory.path().file_name().unwrap().to_string_lossy();
        let (changed, told) = (format!("changed-{tag}"), format!("told-{tag}"));
        let publication = |event: &str, topic: &str| json!({"event_type": event, "topic": topic});
        let command = |name: &str| json!({"name": name, "method": "POST", "path": format!("/{name}/{{key}}")});
        let tell = |text: String| json!({"publish": {"event_type": "told", "body": {"key": "k", "text": text}}});
        let component = directory.path().join("chameleon.wasm");
        Chameleon::new()
            .with(json!({
                "commands": [{"name": "count", "method": "POST", "path": "/counters/{key}"}, command("tell"), command("hint")],
                "subscriptions": [],
                "publications": [publication("changed", &changed), publication("told", &told)],
                "handle": {
                    "count": [{"count": 1}, {"publish": {"event_type": "changed"}}],
                    "tell": [{"count": 0}, tell("x".repeat(LARGE))],
                    "hint": [{"count": 0}, tell("psst".into())],
                },
            }))
            .write(&component);
        Self {
            changed,
            told,
            component,
            directory,
        }
    }

    fn data(&self) -> &Path {
        self.directory.path()
    }

    fn host(&self, cluster: &Cluster, settings: &str) -> Start {
        let config = self.data().join("saga.toml");
        let text = format!("[kafka]\nbootstrap = {:?}\n{settings}", cluster.bootstrap);
        std::fs::write(&config, text).unwrap();
        let config = config.display().to_string();
        chameleon::start(&self.component, self.data()).arguments(&["--config", &config])
    }

    /// Has a large record and then a small one published on the one topic, which goes nowhere, and one on the other, which
    /// does.
    fn blocks_one_topic_only(&self, cluster: &Cluster, host: &Host, remedy: &str) {
        let log = Since::now(host);
        for command in ["tell", "hint"] {
            let answer = host.post("chameleon", &format!("/{command}/k"), &json!({}));
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let said = format!(
            "Kafka does not take the record at offset 0 of the outbox of topic {}",
            self.told
        );
        until_degraded(host, &[&said, remedy]);
        let changed = Listener::new(cluster, &self.changed, &self.changed);
        count(host, "k");
        assert_eq!(changed.hear().value["count"], 1);
        // It is tried again and again, and said once.
        std::thread::sleep(TRIES);
        count(host, "k");
        assert_eq!(changed.hear().value["count"], 2);
        assert_eq!(
            cluster.ends(&self.told),
            [0],
            "the small one must not overtake"
        );
        assert_eq!(health(host).status, "degraded");
        log.nothing_is_said_again_and_again();
    }

    /// Both records are there, in their order.
    fn went_through(&self, cluster: &Cluster, host: &Host) {
        let told = Listener::new(cluster, &self.told, &self.told);
        let heard = told.hear_all(2);
        let lengths = heard
            .iter()
            .map(|record| record.value["text"].as_str().unwrap().len());
        assert_eq!(lengths.collect::<Vec<_>>(), [LARGE, "psst".len()]);
        assert_eq!(cluster.ends(&self.told), [2], "once each");
        until_ready(&[host]);
    }
}

fn a_record_that_its_topic_does_not_take_blocks_that_topic_until_it_does(cluster: &Cluster) {
    let publisher = Publisher::new();
    let limit = |bytes: &str| format!("max.message.bytes={bytes}");
    let create = [
        "--create",
        "--topic",
        &publisher.told,
        "--config",
        &limit(ALLOWED),
    ];
    cluster.tool("kafka-topics", &create, "");
    let host = publisher.host(cluster, "").start();
    publisher.blocks_one_topic_only(
        cluster,
        &host,
        "raise `max.message.bytes` of the topic on the broker",
    );
    let topic = ["--entity-type", "topics", "--entity-name", &publisher.told];
    let raise = ["--alter", "--add-config", &limit("100000")];
    cluster.tool("kafka-configs", &[topic.as_slice(), &raise].concat(), "");
    publisher.went_through(cluster, &host);
}

fn a_record_above_the_hosts_own_limit_goes_through_after_a_restart(cluster: &Cluster) {
    let publisher = Publisher::new();
    let small = format!("[kafka.properties]\n\"message.max.bytes\" = {ALLOWED:?}\n");
    let host = publisher.host(cluster, &small).start();
    publisher.blocks_one_topic_only(
        cluster,
        &host,
        "raise the property `message.max.bytes` here",
    );
    assert!(host.stop().success());
    let host = publisher.host(cluster, "").start();
    publisher.went_through(cluster, &host);
}

fn a_record_that_unpacks_to_more_than_a_client_takes_goes_through_after_a_restart(
    cluster: &Cluster,
) {
    let saga = Saga::new(cluster, 1);
    let [customers, orders] = ["customer", "order"].map(|name| saga.start(name));
    let ann = register(&customers, json!(1_000));
    Speaker::of_large(cluster, "zstd", UNPACKED).say(&saga.order_topic, &"0".repeat(UNPACKED));
    let placed = place(&orders, ann, json!(10));
    let topic = format!("topic {}, partition 0,", saga.order_topic);
    until_degraded(
        &customers,
        &[
            &topic,
            "Decompression",
            "raise `\"receive.message.max.bytes\"`",
        ],
    );
    assert!(customers.stop().success());
    let saga = saga.property("receive.message.max.bytes", 4 * UNPACKED);
    let _customers = saga.start("customer");
    assert_eq!(decided(&orders, placed), "APPROVED");
}
