//! A broker starts, answers Kafka's own tools, and keeps its data over a crash, a stop and a pause.
//! Skipped with one line if there is no Java or no Maven; on CI that is a failure.

#![allow(clippy::restriction, reason = "a test fails by panicking")]

use std::net::TcpStream;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use saga_testkit::broker::{Broker, Error, Settings};

/// Longest wait for the broker to take a record.
const PATIENCE: Duration = Duration::from_secs(30);

/// True if the tests can run here; otherwise prints the reason.
fn can_run() -> bool {
    match saga_testkit::broker::available() {
        Ok(()) => true,
        Err(missing) => {
            assert!(
                std::env::var_os("CI").is_none(),
                "on CI it must run: {missing}"
            );
            eprintln!("real Kafka: left out ({missing})");
            false
        }
    }
}

/// Publishes a record, and waits until the broker has it.
fn publish(broker: &Broker, value: &str) {
    let mut config = ClientConfig::new();
    let config = config.set("bootstrap.servers", broker.bootstrap());
    let producer: BaseProducer = config.create().unwrap();
    let record = BaseRecord::<(), str>::to("t").payload(value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}

#[test]
fn data_survives_a_crash_a_stop_a_pause_and_another_program() {
    if !can_run() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        directory: Some(directory.path().to_owned()),
        partitions: 3,
        ..Settings::default()
    };
    let broker = Broker::start(&settings).unwrap();
    let topics = |arguments: &[&str]| broker.tool("kafka-topics", arguments, "");
    topics(&["--create", "--topic", "t"]).unwrap();
    let described = topics(&["--describe", "--topic", "t"]).unwrap();
    assert!(described.contains("PartitionCount: 3"), "{described}");
    // What can't be is said.
    let failed = topics(&["--describe", "--topic", "none"]).unwrap_err();
    assert!(failed.to_string().contains("none"), "{failed}");
    let unknown = broker.tool("kafka-unknown", &[], "");
    assert!(matches!(unknown, Err(Error::UnknownTool(_))), "{unknown:?}");
    assert!(matches!(broker.tls(), Err(Error::NotConfigured(_))));

    let producer = ["--topic", "t"];
    broker
        .tool("kafka-console-producer", &producer, "one")
        .unwrap();
    let first = broker.pid().unwrap();
    broker.kill();
    assert_eq!(broker.pid(), None);
    broker.start_again().unwrap();
    assert_ne!(broker.pid(), Some(first));
    publish(&broker, "two");
    broker.stop().unwrap();
    broker.start_again().unwrap();
    broker.pause();
    broker.resume();
    publish(&broker, "three");
    let address = broker.bootstrap().to_owned();
    drop(broker);
    assert!(TcpStream::connect(address).is_err(), "it still runs");

    let broker = Broker::start(&settings).unwrap();
    let consumer = ["--topic", "t", "--from-beginning", "--max-messages", "3"];
    let heard = broker
        .tool("kafka-console-consumer", &consumer, "")
        .unwrap();
    let mut heard: Vec<_> = heard.lines().collect();
    heard.sort_unstable();
    assert_eq!(heard, ["one", "three", "two"]);
}

#[test]
fn a_broker_that_cannot_start_says_why() {
    if !can_run() {
        return;
    }
    let mut settings = Settings::default();
    settings
        .properties
        .insert("node.id".to_owned(), "none".to_owned());
    let error = Broker::start(&settings).unwrap_err().to_string();
    assert!(error.contains("Invalid value none"), "{error}");
}
