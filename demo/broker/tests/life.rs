//! A broker's life: it starts, answers Kafka's own tools, and keeps what it has over a crash, a stop and a
//! pause. Left out, in one line, where there is no Java and no Maven; on CI that is a failure.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use saga_broker::{Broker, Error, Settings};

/// Whether the tests can run here; says why not.
fn can_run() -> bool {
    match saga_broker::available() {
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

fn produce(broker: &Broker, line: &str) {
    broker
        .tool("kafka-console-producer", &["--topic", "t"], line)
        .unwrap();
}

fn consume(broker: &Broker, count: &str) -> String {
    let arguments = ["--topic", "t", "--from-beginning", "--max-messages", count];
    broker
        .tool("kafka-console-consumer", &arguments, "")
        .unwrap()
}

#[test]
fn what_it_has_survives_a_crash_a_stop_a_pause_and_another_program() {
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
    broker
        .tool("kafka-topics", &["--create", "--topic", "t"], "")
        .unwrap();
    let described = broker
        .tool("kafka-topics", &["--describe", "--topic", "t"], "")
        .unwrap();
    assert!(described.contains("PartitionCount: 3"), "{described}");
    produce(&broker, "one");
    let first = broker.pid().unwrap();
    broker.kill();
    assert_eq!(broker.pid(), None);
    broker.start_again().unwrap();
    assert_ne!(broker.pid(), Some(first));
    produce(&broker, "two");
    broker.stop().unwrap();
    broker.start_again().unwrap();
    broker.pause();
    broker.resume();
    produce(&broker, "three");
    let address = broker.bootstrap().to_owned();
    drop(broker);
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "it still runs"
    );

    let broker = Broker::start(&settings).unwrap();
    let mut heard: Vec<_> = consume(&broker, "3").lines().map(str::to_owned).collect();
    heard.sort_unstable();
    assert_eq!(heard, ["one", "three", "two"]);
}

#[test]
fn a_tool_that_fails_or_is_unknown_says_so() {
    if !can_run() {
        return;
    }
    let broker = Broker::start(&Settings::default()).unwrap();
    let failed = broker.tool("kafka-topics", &["--describe", "--topic", "none"], "");
    assert!(failed.unwrap_err().to_string().contains("none"));
    let unknown = broker.tool("kafka-unknown", &[], "");
    assert!(matches!(unknown, Err(Error::UnknownTool(_))), "{unknown:?}");
    assert!(matches!(broker.tls(), Err(Error::NotConfigured(_))));
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
