//! Figures over Kafka: what waits for a broker, and how far a consumer is behind. The broker is librdkafka's MockCluster.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use crate::expect::until;
use crate::exposition::scrape;
use crate::mock_kafka::{Cluster, cluster, decided, start};
use crate::support::{PATIENCE, Start};

fn say(cluster: &Cluster, topic: &str, partition: i32, values: &[String]) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .unwrap();
    for value in values {
        let record = BaseRecord::<(), str>::to(topic)
            .partition(partition)
            .payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

#[test]
fn records_that_are_not_settled_are_the_lag_of_their_partition() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    cluster.create_topic("mischiefTopic", 2, 1).unwrap();
    let act = |key: &str, act: &str| json!({"key": key, "do": act}).to_string();
    // The first asks for a later attempt, which never comes, and can't be parked: what follows it in its partition waits.
    let waits: Vec<_> = ["retry-later", "count", "count"]
        .map(|what| act("waits", what))
        .into();
    say(&cluster, "mischiefTopic", 0, &waits);
    say(
        &cluster,
        "mischiefTopic",
        1,
        &[act("goes", "count"), act("goes", "count")],
    );
    let host = Start::new(&["mischief"], data.path())
        .arguments(&["--kafka", &cluster.bootstrap_servers()])
        .setting("retry.first_delay_ms", 3_600_000)
        .setting("retry.max_delay_ms", 3_600_000)
        .setting("parked.messages", 0)
        .start();
    let lag = |partition: &str| {
        let labels = [
            ("topic", "mischiefTopic"),
            ("partition", partition),
            ("group", "mischief"),
        ];
        scrape(&host).all("saga_consumer_lag_records", &labels)
    };
    until("three wait in one partition, and none in the other", || {
        lag("0") == [3.0] && lag("1") == [0.0]
    });
    say(&cluster, "mischiefTopic", 0, &[act("waits", "count")]);
    until("the fourth is noticed", || lag("0") == [4.0]);
    let retries = [("origin", "event"), ("outcome", "retry")];
    assert_eq!(scrape(&host).sum("saga_turns_total", &retries), 1.0);
    host.kill();
}

#[test]
fn names_that_kafka_does_not_take_are_refused_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("saga.toml");
    let start = |names: &str| {
        let text = format!("[kafka]\nbootstrap = '127.0.0.1:1'\n{names}");
        std::fs::write(&config, text).unwrap();
        let (status, said) = Start::new(&["customer"], &data.path().join("data"))
            .arguments(&["--config", config.to_str().unwrap()])
            .fail();
        assert_eq!(status.code(), Some(64), "{said}");
        said
    };
    let said = start("[participants.customer.groups]\norder = 'shop/prod:orders of today'\n");
    for expected in [
        "participants.customer.groups.order: records that can't be decided go to the topic \"orderTopic.shop/prod:orders of today.dlq\"",
        "which has '/' in it: names of topics in Kafka have ASCII letters, digits, '.', '_' and '-' only",
        "give the group, or the topic, another name",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let long = "x".repeat(240);
    let said = start(&format!(
        "[participants.customer.topics]\norderTopic = '{long}'\ncustomerTopic = 'to customers'\n"
    ));
    for expected in [
        ".order.dlq\", which has 250 characters: names of topics in Kafka have at most 249",
        "participants.customer.topics.customerTopic: the topic \"to customers\" has ' ' in it",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn records_that_wait_for_a_broker_are_the_depth_of_the_outbox() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    cluster.broker_down(1).unwrap();
    let order = start("order", &data, &cluster);
    for _ in 0..3 {
        let body = json!({"customerId": 1, "orderTotal": {"amount": 300}});
        assert_eq!(order.post("order", "/orders", &body).status, 201);
    }
    let of = [("topic", "orderTopic")];
    let mut told = scrape(&order);
    until(
        "three wait for longer than a moment, and it is known why",
        || {
            told = scrape(&order);
            told.all("saga_outbox_depth", &of) == [3.0]
                && told.one("saga_outbox_oldest_age_seconds", &of) > 0.2
                && told.one("saga_transport_trouble", &[]) == 1.0
        },
    );
    assert_eq!(told.one("saga_records_published_total", &of), 0.0);
    cluster.broker_up(1).unwrap();
    let customer = start("customer", &data, &cluster);
    assert_eq!(decided(&order, "3"), "REJECTED");
    until("all is published", || {
        told = scrape(&order);
        told.one("saga_outbox_depth", &of) == 0.0
    });
    assert_eq!(told.one("saga_records_published_total", &of), 3.0);
    assert_eq!(told.one("saga_outbox_oldest_age_seconds", &of), 0.0);
    let answered = [("topic", "customerTopic"), ("group", "customer")];
    until("what was answered is settled", || {
        let lags = scrape(&order).all("saga_consumer_lag_records", &answered);
        !lags.is_empty() && lags.iter().all(|lag| *lag == 0.0)
    });
    assert!(order.stop().success() && customer.stop().success());
}
