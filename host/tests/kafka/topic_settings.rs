//! How the broker keeps a topic, where that is not what the host relies on: what it says of it at the start, and of what it
//! never got.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use saga_testkit::broker::{Broker, Settings};
use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::{figure, health};
use crate::peer::{Listener, Speaker};
use crate::readiness_and_log::lines;
use crate::saga::{Saga, left, register};
use crate::support::PATIENCE;

const LIMIT: u64 = 1_000;

pub fn tests() -> Vec<Test> {
    tests![
        own: a_compacted_topic_is_warned_of_and_so_is_what_it_lost;
        any: a_topic_that_keeps_events_for_longer_than_they_are_recognised_is_warned_of,
            a_first_reading_that_does_not_begin_at_the_first_record_is_said_once_and_counted,
    ]
}

fn order(customer: u64, id: u64) -> String {
    json!({"id": 70_000 + id, "state": "PENDING",
        "orderDetails": {"customerId": customer, "orderTotal": {"amount": 10}}})
    .to_string()
}

/// Creates a topic of one partition with these settings.
fn create(cluster: &Cluster, topic: &str, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = cluster.config().create().unwrap();
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(-1));
    let new = (settings.iter()).fold(new, |new, (name, value)| new.set(name, value));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let created = runtime.block_on(admin.create_topics(&[new], &AdminOptions::new()));
    created.unwrap()[0].as_ref().unwrap();
    until("the topic is there", || cluster.partitions(topic) == 1);
}

/// Says a value with a key.
fn say_with_key(cluster: &Cluster, topic: &str, key: &str, value: &str) {
    let producer: BaseProducer = cluster.config().create().unwrap();
    let record = BaseRecord::to(topic).key(key).payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}

/// Offsets that are there in partition 0.
fn offsets(cluster: &Cluster, topic: &str) -> Vec<i64> {
    let reader: BaseConsumer = (cluster.config())
        .set("group.id", format!("look-at-{topic}"))
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)
        .unwrap();
    reader.assign(&from).unwrap();
    let last = cluster.ends(topic)[0] - 1;
    let mut found = Vec::new();
    while found.last() != Some(&last) {
        let message = reader.poll(PATIENCE).expect("a record comes").unwrap();
        found.push(rdkafka::Message::offset(&message));
    }
    found
}

fn a_compacted_topic_is_warned_of_and_so_is_what_it_lost() {
    let settings = Settings {
        properties: vec![("log.cleaner.backoff.ms".into(), "100".into())]
            .into_iter()
            .collect(),
        ..Settings::default()
    };
    let broker = Broker::start(&settings).unwrap();
    let cluster = Cluster::at(broker.bootstrap());
    let saga = Saga::without_topics(&cluster);
    let topic = &saga.order_topic;
    let compacted = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
    ];
    create(&cluster, topic, &compacted);
    create(&cluster, &saga.customer_topic, &[]);
    let [customers, orders] = ["customer", "order"].map(|name| saga.start(name));
    let warning = format!("topic {topic} is compacted (cleanup.policy)");
    for host in [&customers, &orders] {
        until("both hosts warn of it at the start", || {
            lines(host, &warning).len() == 1
        });
        let remedy = format!("--entity-name {topic} --add-config cleanup.policy=delete");
        assert!(lines(host, &warning)[0].contains(&remedy));
    }
    assert!(orders.stop().success());
    let ann = register(&customers, json!(LIMIT));
    say_with_key(&cluster, topic, "ann", &order(ann, 0));
    until("the first order is decided", || {
        left(&customers, ann) == json!(LIMIT - 10)
    });
    assert!(customers.stop().success());
    for id in 1..6 {
        say_with_key(&cluster, topic, "ann", &order(ann, id));
    }
    let mut next = 6;
    until(
        "the broker has deleted earlier orders of the customer",
        || {
            // What is compacted is all but the segment that is written.
            say_with_key(&cluster, topic, "other", &order(0, next));
            next += 1;
            !offsets(&cluster, topic).contains(&2)
        },
    );
    let customers = saga.start("customer");
    let gap = format!("topic {topic}, partition 0: the records from offset 1 up to ");
    until("what it lost is said", || {
        let transport = health(&customers).transport;
        transport.contains(&gap) && transport.contains("the topic is compacted")
    });
    assert_eq!(lines(&customers, &gap).len(), 1, "{}", customers.log());
    let missed = figure(
        &customers,
        "saga_records_missed_total",
        &["compacted", topic],
    );
    assert!(missed >= Some(4.0), "{missed:?}");
    assert!(customers.stop().success());
}

fn a_topic_that_keeps_events_for_longer_than_they_are_recognised_is_warned_of(cluster: &Cluster) {
    let saga = Saga::without_topics(cluster);
    create(
        cluster,
        &saga.order_topic,
        &[("retention.ms", "1209600000")],
    );
    create(cluster, &saga.customer_topic, &[("retention.ms", "-1")]);
    let customers = saga.start("customer");
    let warned = format!(
        "topic {} keeps records for 336 hours (retention.ms = 1209600000), and this host recognises an event that comes again for 168 \
         hours",
        saga.order_topic
    );
    customers.log_until(&warned);
    customers.log_until("partitions assigned");
    let log = customers.log_path();
    assert!(customers.stop().success());
    let before = std::fs::read_to_string(log).unwrap().len();
    let customers = (saga.service("customer"))
        .setting("store.retention_hours", 336)
        .start();
    // They are looked at before they are read.
    until("the topic is read again", || {
        customers.log()[before..].contains("partitions assigned")
    });
    assert_eq!(
        lines(&customers, "keeps records").len(),
        1,
        "{}",
        customers.log()
    );
    assert!(customers.stop().success());
}

fn a_first_reading_that_does_not_begin_at_the_first_record_is_said_once_and_counted(
    cluster: &Cluster,
) {
    let saga = Saga::new(cluster, 1).session(cluster.shortest_session());
    let topic = &saga.order_topic;
    let speaker = Speaker::new(cluster, "none");
    for id in 0..3 {
        speaker.say(topic, &order(1, id));
    }
    let before = Listener::new(cluster, topic, &saga.order_group);
    before.hear_all(2);
    before.commit();
    let customers = saga.start("customer");
    let said = "is read by this host for the first time, from offset 2 on";
    customers.log_until(said);
    let line = lines(&customers, said).remove(0);
    assert!(
        line.contains("2 record(s) from offset 0 on are not read"),
        "{line}"
    );
    assert!(line.contains(" WARN "), "{line}");
    until("it is counted", || {
        figure(&customers, "saga_records_missed_total", &["before-first"]) == Some(2.0)
    });
    assert!(customers.stop().success());
}
