//! Kafka on librdkafka's MockCluster: a broker in this process that speaks the protocol and stores
//! nothing. Runs the conformance suite, and tests of what only a broker can do: be unavailable,
//! answer with errors, hold the offsets of others, lose a topic. Tests of swaps are in [`swap`].

mod same_log;
mod swap;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

use saga_core::record::Attributes;

use super::*;
use crate::transport::conformance::{
    Consuming, DEADLINE, LATER, PROMPTLY, TransportRig, suite, value,
};

/// A mock cluster of one broker, within the client that made it.
struct Cluster(BaseProducer);

impl Cluster {
    fn mock(&self) -> MockCluster<'_, DefaultProducerContext> {
        self.0.client().mock_cluster().unwrap()
    }
}

fn cluster(topic: &str, partitions: i32) -> Arc<Cluster> {
    let client: BaseProducer = ClientConfig::new()
        .set("test.mock.num.brokers", "1")
        .create()
        .unwrap();
    // Otherwise the first member of each group would wait three seconds for others.
    let native = client.client().native_ptr();
    #[allow(unsafe_code, reason = "the client library has no safe call for it")]
    // SAFETY: the client lives, and owns the mock cluster that it was made with.
    unsafe {
        rdkafka::bindings::rd_kafka_mock_group_initial_rebalance_delay_ms(
            rdkafka::bindings::rd_kafka_handle_mock_cluster(native),
            50,
        );
    }
    let cluster = Cluster(client);
    cluster.mock().create_topic(topic, partitions, 1).unwrap();
    Arc::new(cluster)
}

fn settings(bootstrap: &str) -> KafkaSettings {
    // The mock broker lets a rebalance wait almost as long as the session timeout.
    let quick = [
        ("session.timeout.ms", "2500"),
        ("heartbeat.interval.ms", "200"),
    ];
    let properties = quick
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    KafkaSettings {
        bootstrap: bootstrap.into(),
        properties,
        ..KafkaSettings::default()
    }
}

fn with(cluster: &Cluster, name: &str, value: &str) -> KafkaSettings {
    let mut settings = settings(&cluster.mock().bootstrap_servers());
    settings.properties.insert(name.into(), value.into());
    settings
}

fn rig_on(cluster: &Arc<Cluster>, topic: &str) -> TransportRig {
    rig_with(
        topic,
        settings(&cluster.mock().bootstrap_servers()),
        cluster.clone(),
    )
}

fn rig_with(topic: &str, settings: KafkaSettings, broker: impl std::any::Any) -> TransportRig {
    let make = |store| -> Box<dyn Transport> {
        let mut kafka = Kafka::new(store, settings).unwrap();
        kafka.0.retry = Duration::from_millis(100);
        Box::new(kafka)
    };
    TransportRig::new(topic, crate::store::OutboxReaders::Relay, make, broker)
}

fn rig(partitions: i32) -> TransportRig {
    let cluster = cluster("t", partitions);
    cluster.mock().create_topic(LATER, 1, 1).unwrap();
    rig_on(&cluster, "t")
}

suite!(rig);

/// A source of which only the names matter.
pub(super) fn source(topic: &str, group: &str) -> Source {
    Source {
        consumer: format!("kafka:order/{group}").into(),
        group: group.into(),
        topic: topic.into(),
        declared_topic: topic.into(),
        topic_row: 1,
        readings: crate::transport::Readings::default(),
    }
}

/// A login with a password.
pub(super) fn login(mechanism: &str) -> settings::security::SaslSettings {
    settings::security::SaslSettings::Password(settings::security::PasswordLogin {
        mechanism: mechanism.into(),
        username: "ann".into(),
        password_file: None,
        password: crate::base::secret::Secret::new("hunter2"),
    })
}

/// A rig whose broker is unreachable, and its parts.
pub(crate) fn nobody() -> (TransportRig, Parts) {
    let parts = Arc::new(parking_lot::Mutex::new(None));
    let kept = parts.clone();
    let make = move |store| -> Box<dyn Transport> {
        let kafka = Kafka::new(store, settings("127.0.0.1:1")).unwrap();
        *kept.lock() = Some(kafka.0.clone());
        Box::new(kafka)
    };
    let rig = TransportRig::new("t", crate::store::OutboxReaders::Relay, make, ());
    let parts = parts.lock().take().unwrap();
    (rig, parts)
}

/// Waits until a condition holds that no event announces.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn trouble(rig: &TransportRig) -> String {
    rig.transport.trouble().unwrap_or_default()
}

fn producer(cluster: &Cluster) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", cluster.mock().bootstrap_servers())
        .create()
        .unwrap()
}

#[test]
fn a_pause_ends_when_the_thread_has_to_end() {
    let stop = CancellationToken::new();
    assert!(pause(&stop, Duration::ZERO));
    let ends = stop.clone();
    let thread = std::thread::spawn(move || pause(&ends, DEADLINE));
    stop.cancel();
    assert!(!thread.join().unwrap() && !pause(&stop, DEADLINE));
}

#[test]
fn records_without_our_headers_are_accepted() {
    let cluster = cluster("t", 1);
    let theirs = producer(&cluster);
    let type_id = OwnedHeaders::new().insert(Header {
        key: "__TypeId__",
        value: Some("com.example.OrderDto"),
    });
    theirs
        .send(
            BaseRecord::<(), str>::to("t")
                .payload("java")
                .headers(type_id),
        )
        .unwrap();
    theirs
        .send(BaseRecord::<(), str>::to("t").payload("bare"))
        .unwrap();
    theirs.flush(DEADLINE).unwrap();

    let rig = rig_on(&cluster, "t");
    let consumer = rig.consuming();
    let java = ("__TypeId__".to_owned(), "com.example.OrderDto".to_owned());
    for (expected, extra) in [("java", vec![java]), ("bare", Vec::new())] {
        let record = consumer.next().record;
        assert_eq!((value(&record).as_str(), record.key), (expected, None));
        let attributes = Attributes {
            extra,
            ..Attributes::default()
        };
        assert_eq!(record.attributes, attributes);
    }
}

#[test]
fn the_wire_is_the_value_and_cloud_events_headers() {
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    let _relay = rig.publishing();
    let mut row = rig.row("7", r#"{"id":7}"#);
    row.time = 1_700_000_000_000;
    row.attributes.extra = vec![("dlq_reason".into(), "malformed".into())];
    rig.publish(vec![row]);

    let theirs: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.mock().bootstrap_servers())
        .set("group.id", "theirs")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    theirs.subscribe(&["t"]).unwrap();
    // A poll also ends, with nothing, when the group is joined.
    let message = theirs.iter().next().unwrap().unwrap();
    assert_eq!(
        (message.key(), message.payload()),
        (Some(&b"7"[..]), Some(&br#"{"id":7}"#[..]))
    );
    let headers: BTreeMap<&str, &str> = message
        .headers()
        .unwrap()
        .iter()
        .map(|header| {
            (
                header.key,
                std::str::from_utf8(header.value.unwrap()).unwrap(),
            )
        })
        .collect();
    let expected = BTreeMap::from([
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", r#"id-7-{"id":7}"#),
        ("ce_source", "/saga/order"),
        ("ce_time", "2023-11-14T22:13:20.000Z"),
        ("ce_sagadigest", "digest"),
        ("dlq_reason", "malformed"),
    ]);
    assert_eq!(headers, expected);
}

#[test]
fn a_group_that_a_java_service_left_is_read_on_where_it_was() {
    let cluster = cluster("t", 1);
    let theirs = producer(&cluster);
    for number in 0..5 {
        theirs
            .send(BaseRecord::<(), str>::to("t").payload(&number.to_string()))
            .unwrap();
    }
    theirs.flush(DEADLINE).unwrap();
    let left: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.mock().bootstrap_servers())
        .set("group.id", "group")
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("t", 0, Offset::Offset(3))
        .unwrap();
    left.commit(&offsets, CommitMode::Sync).unwrap();
    drop(left);

    let rig = rig_on(&cluster, "t");
    let consumer = rig.consuming();
    let (third, fourth) = (consumer.next(), consumer.next());
    assert_eq!(
        (value(&third.record), value(&fourth.record)),
        ("3".into(), "4".into())
    );
    // Settled out of order: the stored offset must not go back before the start.
    rig.settle(&fourth);
    assert_eq!(rig.stored(0), Some(3));
    // That the first records are not read is counted, of a topic without an id too.
    let missed = rig.transport.missed();
    let missed: Vec<_> = (missed.iter()).map(|one| (one.why, one.records)).collect();
    assert_eq!(missed, [("before-first", 3)]);
}

#[test]
fn what_is_settled_after_the_stop_is_told_to_kafka() {
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    let _relay = rig.publishing();
    rig.publish(
        (0..10)
            .map(|number| rig.row("k", &number.to_string()))
            .collect(),
    );
    let consumer = rig.consuming();
    let deliveries: Vec<_> = (0..10).map(|_| consumer.next()).collect();
    rig.stop.cancel();
    for delivery in deliveries {
        rig.settle(&delivery);
    }
    let took = consumer.stop();
    assert!(took < DEADLINE / 10, "{took:?}");

    let theirs: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.mock().bootstrap_servers())
        .set("group.id", "group")
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition("t", 0);
    let committed = theirs.committed_offsets(offsets, DEADLINE).unwrap();
    assert_eq!(committed.elements()[0].offset(), Offset::Offset(10));
}

#[test]
fn a_topic_without_an_id_that_ends_before_the_stored_offset_is_not_read_on() {
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    (rig.store)
        .write_offset(&rig.source.consumer, rig.source.topic_row, 0, 1_000)
        .unwrap();
    let _relay = rig.publishing();
    let _consumer = rig.consuming();
    rig.publish(vec![rig.row("k", "0"), rig.row("k", "1")]);
    until("it is said", || rig.transport.halted().is_some());
    let said = rig.transport.halted().unwrap();
    for expected in [
        "it ends before offset 1000, up to which it was read",
        "created again: then read on from offset 0",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(rig.stored(0), Some(1_000));
}

#[test]
fn progress_of_the_relay_is_kept_and_nothing_is_published_twice() {
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    let relay = rig.publishing();
    let progress = || {
        rig.store
            .reader()
            .unwrap()
            .offset(produce::RELAY, rig.source.topic_row, 0)
            .unwrap()
    };
    until("the first progress is written, for the pruner", || {
        progress() == Some(0)
    });
    rig.publish(
        (0..100)
            .map(|number| rig.row("k", &number.to_string()))
            .collect(),
    );
    relay.stop();
    assert_eq!(
        progress(),
        Some(100),
        "what was committed before the stop is published"
    );

    let _relay = rig.publishing();
    rig.publish(vec![rig.row("k", "last")]);
    let consumer = rig.consuming();
    let values = consumer.values(101);
    assert_eq!((values[99].as_str(), values[100].as_str()), ("99", "last"));
}

#[test]
fn errors_that_pass_do_not_change_order_or_lose_anything() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TRANSPORT as DISCONNECT,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS as TOO_FEW,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as NOT_LEADER,
    };
    let cluster = cluster("t", 2);
    let rig = rig_on(&cluster, "t");
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    rig.publish(vec![rig.row("a", "0")]);
    assert_eq!(consumer.values(1), ["0"]);
    cluster.mock().request_errors(
        RDKafkaApiKey::Produce,
        &[NOT_LEADER, DISCONNECT, TOO_FEW, DISCONNECT],
    );
    cluster
        .mock()
        .request_errors(RDKafkaApiKey::Fetch, &[NOT_LEADER, DISCONNECT, NOT_LEADER]);
    cluster
        .mock()
        .request_errors(RDKafkaApiKey::Heartbeat, &[DISCONNECT]);
    for number in 1..=300 {
        rig.publish(vec![rig.row("a", &number.to_string())]);
    }
    without_a_gap(&consumer, 300);
}

/// Takes records numbered from 1 to `last`. Some may come again, but none before its predecessor.
fn without_a_gap(consumer: &Consuming, last: i32) {
    let mut highest = 0;
    while highest < last {
        let number: i32 = value(&consumer.next().record).parse().unwrap();
        assert!(
            number <= highest + 1,
            "{number} came after {highest}: one was passed over"
        );
        highest = highest.max(number);
    }
}

#[test]
fn a_record_that_kafka_refuses_blocks_its_topic_loudly_and_only_that() {
    let cluster = cluster("t", 1);
    cluster.mock().create_topic("other", 1, 1).unwrap();
    let rig = rig_with(
        "t",
        with(&cluster, "message.max.bytes", "2000"),
        cluster.clone(),
    );
    let other = rig.store.register_topic("other").unwrap();
    let _relay = rig.publishing_to(vec![
        (rig.source.topic.clone(), rig.source.topic_row),
        ("other".into(), other),
    ]);
    let consumer = rig.consuming();
    rig.publish(vec![
        rig.row("k", "before"),
        rig.row("k", &"x".repeat(5_000)),
        rig.row("k", "after"),
    ]);
    assert_eq!(consumer.values(1), ["before"]);
    until("it is said", || trouble(&rig).contains("message.max.bytes"));
    assert!(
        trouble(&rig).contains("offset 1 of the outbox of topic t"),
        "{}",
        trouble(&rig)
    );

    let progress = |row| {
        rig.store
            .reader()
            .unwrap()
            .offset(produce::RELAY, row, 0)
            .unwrap()
    };
    rig.publish(vec![crate::store::OutboxRow {
        topic: other,
        ..rig.row("k", "elsewhere")
    }]);
    until("the other topic flows", || progress(other) == Some(1));
    assert_eq!(
        progress(rig.source.topic_row),
        Some(1),
        "what comes after it is held back"
    );
}

#[test]
fn invariant_4_a_refusal_by_the_broker_is_not_passed_by_what_follows() {
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    rig.publish(vec![rig.row("k", "0")]);
    assert_eq!(consumer.values(1), ["0"]);
    // Many requests are in flight when one of them is refused for good.
    cluster.mock().request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD,
        ],
    );
    for number in 1..=200 {
        rig.publish(vec![rig.row("k", &number.to_string())]);
    }
    without_a_gap(&consumer, 200);
    until("it is over", || rig.transport.trouble().is_none());
}

#[test]
fn invariant_5_a_broker_that_is_away_is_said_and_waited_for() {
    let cluster = cluster("t", 1);
    let rig = rig_on(&cluster, "t");
    let relay = rig.publishing();
    let consumer = rig.consuming();
    rig.publish(vec![rig.row("k", "before")]);
    rig.settle(&consumer.next());

    cluster.mock().broker_down(-1).unwrap();
    until("it is said", || trouble(&rig).contains("can't be reached"));
    rig.publish(vec![rig.row("k", "meanwhile")]);
    cluster.mock().broker_up(-1).unwrap();
    assert_eq!(consumer.values(1), ["meanwhile"]);
    until("it is over", || rig.transport.trouble().is_none());

    cluster.mock().broker_down(-1).unwrap();
    until("it is said again", || {
        trouble(&rig).contains("can't be reached")
    });
    rig.publish(vec![rig.row("k", "kept")]);
    let took = (consumer.stop(), relay.stop());
    assert!(took.0 < PROMPTLY && took.1 < PROMPTLY, "{took:?}");
}

#[test]
fn an_unreachable_broker_at_start_is_no_error() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let rig = rig_with("t", settings(&format!("127.0.0.1:{port}")), ());
    let relay = rig.publishing();
    let consumer = rig.consuming();
    rig.publish(vec![rig.row("k", "kept")]);
    until("it is said", || trouble(&rig).contains("can't be reached"));
    let text = trouble(&rig);
    assert!(
        text.contains(&format!("127.0.0.1:{port}")) && text.contains("nothing is lost"),
        "{text}"
    );
    let took = (consumer.stop(), relay.stop());
    assert!(took.0 < PROMPTLY && took.1 < PROMPTLY, "{took:?}");
}

#[test]
fn a_topic_that_can_not_be_created_is_said_and_waited_for() {
    // The mock broker can't create topics.
    let cluster = cluster("some", 1);
    let rig = rig_on(&cluster, "t");
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    rig.publish(vec![rig.row("k", "early")]);
    until("it is said", || {
        trouble(&rig).contains("topic t does not exist")
    });
    cluster.mock().create_topic("t", 1, 1).unwrap();
    assert_eq!(consumer.values(1), ["early"]);
    until("it is over", || rig.transport.trouble().is_none());
}

#[test]
fn partitions_are_shared_within_a_group_and_taken_over() {
    let cluster = cluster("t", 4);
    // Each reader has its own store: two readings of one store would have the same name in the
    // group.
    let settings = KafkaSettings {
        allow_split_state: true,
        ..settings(&cluster.mock().bootstrap_servers())
    };
    let rig = rig_with("t", settings.clone(), cluster.clone());
    let other = rig_with("t", settings, cluster.clone());
    let _relay = rig.publishing();
    let first = rig.consuming();
    let second = other.consuming();
    let readers = [(&rig, &first), (&other, &second)];
    let mut sent = 0;
    let start = Instant::now();
    // Until the group has settled, one member may have all partitions.
    while round(&rig, &mut sent, &readers).contains(&0) {
        assert!(start.elapsed() < DEADLINE, "both should have partitions");
    }
    second.stop();
    assert!(
        round(&rig, &mut sent, &[(&rig, &first)])[0] >= 80,
        "it has all of them"
    );
}

/// Publishes 80 records and settles those that arrive until all have; returns the number for each
/// consumer.
fn round(
    rig: &TransportRig,
    sent: &mut usize,
    readers: &[(&TransportRig, &Consuming)],
) -> Vec<usize> {
    let start = Instant::now();
    let numbers = *sent..*sent + 80;
    *sent = numbers.end;
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    rig.publish(
        numbers
            .clone()
            .map(|number| rig.row(keys[number % keys.len()], &number.to_string()))
            .collect(),
    );
    let mut missing: BTreeSet<String> = numbers.map(|number| number.to_string()).collect();
    let mut got = vec![0; readers.len()];
    while !missing.is_empty() {
        assert!(start.elapsed() < DEADLINE, "missing: {missing:?}");
        for ((rig, consumer), got) in readers.iter().zip(&mut got) {
            if let Ok(delivery) = consumer.deliveries.recv_timeout(Duration::from_millis(20)) {
                rig.settle(&delivery);
                missing.remove(&value(&delivery.record));
                *got += 1;
            }
        }
    }
    got
}

#[test]
fn another_assignment_strategy_can_be_set() {
    let cluster = cluster("t", 4);
    let rig = rig_with(
        "t",
        with(&cluster, "partition.assignment.strategy", "range"),
        cluster.clone(),
    );
    let _relay = rig.publishing();
    let first = rig.consuming();
    let mut sent = 0;
    assert!(round(&rig, &mut sent, &[(&rig, &first)])[0] >= 80);
    first.stop();
    assert!(round(&rig, &mut sent, &[(&rig, &rig.consuming())])[0] >= 80);
}

/// A slow sink that reports the partition of each record.
struct Slow(crossbeam_channel::Sender<i32>);

impl Sink for Slow {
    fn deliver(&self, delivery: crate::transport::Delivery) {
        std::thread::park_timeout(Duration::from_millis(20));
        // A test that has ended takes no more records.
        let _ = self.0.send(delivery.record.position.partition);
    }
}

#[test]
fn slow_rules_leave_no_partition_and_no_event_waiting_for_a_whole_page() {
    const RECORDS: usize = 60;
    let cluster = cluster("t", 2);
    let theirs = producer(&cluster);
    for number in 0..2 * RECORDS {
        let record = BaseRecord::<(), str>::to("t").payload("x");
        (theirs.send(record.partition(number as i32 % 2))).unwrap();
    }
    theirs.flush(DEADLINE).unwrap();
    let rig = rig_on(&cluster, "t");
    let (give, take) = crossbeam_channel::unbounded();
    let stop = rig.stop.child_token();
    let thread = (rig.transport)
        .consume(rig.source.clone(), Arc::new(Slow(give)), stop.clone())
        .unwrap();
    let next = || take.recv_timeout(DEADLINE).unwrap();
    let first = next();
    let before = (1..RECORDS).take_while(|_| next() == first).count();
    assert!(before < RECORDS / 2, "{before} of one partition came first");
    stop.cancel();
    thread.join().unwrap();
}

#[test]
fn a_consumer_that_kafka_ends_starts_again() {
    let cluster = cluster("t", 1);
    let rig = rig_with(
        "t",
        with(&cluster, "group.instance.id", "host-1"),
        cluster.clone(),
    );
    let _relay = rig.publishing();
    let consumer = rig.consuming();
    rig.publish(vec![rig.row("k", "0")]);
    rig.settle(&consumer.next());
    // Acts like another process that takes the name, repeatedly.
    let fence = || {
        cluster.mock().request_errors(
            RDKafkaApiKey::Heartbeat,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID],
        );
    };
    fence();
    rig.publish(vec![rig.row("k", "1")]);
    let again = consumer.next();
    assert_eq!(value(&again.record), "1");
    rig.settle(&again);
    fence();
    until("it is said", || trouble(&rig).contains("came to its end"));
    rig.publish(vec![rig.row("k", "2")]);
    assert_eq!(consumer.values(1), ["2"]);
    until("it is over", || rig.transport.trouble().is_none());
}

#[test]
fn wrong_settings_are_refused_all_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = crate::store::StoreLocation::Directory(directory.path().into())
        .open(
            crate::store::StoreSettings::default(),
            crate::store::IdempotencySettings::default(),
            crate::store::OutboxReaders::Relay,
            crate::metrics::Commits::default(),
        )
        .unwrap();
    let properties = BTreeMap::from([
        ("acks".to_owned(), "0".to_owned()),
        ("no.such".to_owned(), "1".to_owned()),
    ]);
    let error = Kafka::new(
        store,
        KafkaSettings {
            properties,
            ..KafkaSettings::default()
        },
    )
    .err()
    .unwrap()
    .to_string();
    assert!(
        error.contains("`acks` can't be set") && error.contains("no.such"),
        "{error}"
    );
}
