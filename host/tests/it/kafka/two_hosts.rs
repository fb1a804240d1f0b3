//! Two host processes joined by Kafka, and either of them joined with a program that is none of ours.
//!
//! The broker is librdkafka's MockCluster, in the test's process: it speaks the protocol over TCP and keeps
//! nothing on disk.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::mock_kafka::{Cluster, cluster, decided, header, start};
use crate::support::{Host, PATIENCE, Start};

fn place(host: &Host, customer: u64, amount: Value) -> String {
    let placed = host.post(
        "order",
        "/orders",
        &json!({"customerId": customer, "orderTotal": {"amount": amount}}),
    );
    assert_eq!(placed.status, 201, "{}", placed.text());
    placed.json()["orderId"].to_string()
}

/// A peer that is none of ours.
struct Peer {
    producer: BaseProducer,
    consumer: BaseConsumer,
}

impl Peer {
    fn new(cluster: &Cluster, listens_to: &str) -> Self {
        let servers = cluster.bootstrap_servers();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &servers)
            .create()
            .unwrap();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &servers)
            .set("group.id", "peer")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        consumer.subscribe(&[listens_to]).unwrap();
        Self { producer, consumer }
    }

    fn hear(&self) -> BorrowedMessage<'_> {
        let start = Instant::now();
        loop {
            // Each call serves one event of the client, a rebalance for example.
            if let Some(message) = self.consumer.poll(Duration::from_millis(100)) {
                return message.unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "no record came");
        }
    }

    /// Sends a value as the reference's services do: without a key, with a Java type header.
    fn say(&self, topic: &str, value: &str) {
        let headers = OwnedHeaders::new().insert(Header {
            key: "__TypeId__",
            value: Some("com.example.OrderCreatedEvent"),
        });
        let record = BaseRecord::<(), str>::to(topic)
            .payload(value)
            .headers(headers);
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .unwrap();
        self.producer.flush(PATIENCE).unwrap();
    }
}

/// The hosts of both services, and a customer with this limit.
fn joined(data: &tempfile::TempDir, cluster: &Cluster, limit: Value) -> [Host; 2] {
    let [customer, order] = ["customer", "order"].map(|name| start(name, data, cluster));
    let ann = json!({"name": "Ann", "creditLimit": {"amount": limit}});
    let registered = customer.post("customer", "/customers", &ann);
    assert_eq!(registered.status, 201, "{}", registered.text());
    [customer, order]
}

#[test]
fn two_processes_with_stores_of_their_own_are_joined_by_kafka() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    let [customer, order] = joined(&data, &cluster, json!(10.25));
    assert_eq!(decided(&order, &place(&order, 1, json!(10))), "APPROVED");
    assert_eq!(decided(&order, &place(&order, 1, json!(0.26))), "REJECTED");
    assert_eq!(decided(&order, &place(&order, 1, json!(0.25))), "APPROVED");
    assert_eq!(
        customer.get("customer", "/customer/1").json()["creditLimit"],
        json!(0)
    );
    assert!(order.stop().success() && customer.stop().success());
}

#[test]
fn the_saga_goes_on_where_it_was_when_either_process_is_killed() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    let [customer, order] = joined(&data, &cluster, json!(1000));
    customer.kill();
    let ids: Vec<_> = (0..20).map(|_| place(&order, 1, json!(60))).collect();
    order.kill();
    let customer = start("customer", &data, &cluster);
    let order = start("order", &data, &cluster);
    let approved = ids
        .iter()
        .filter(|id| decided(&order, id) == "APPROVED")
        .count();
    assert_eq!(approved, 16, "1000 is enough for 16 orders of 60");
    assert_eq!(
        customer.get("customer", "/customer/1").json()["creditLimit"],
        json!(40)
    );
}

#[test]
fn a_foreign_customer_service_can_stand_in() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    let order = start("order", &data, &cluster);
    let peer = Peer::new(&cluster, "orderTopic");
    let id = place(&order, 7, json!(300));
    let heard = peer.hear();
    let value: Value = serde_json::from_slice(heard.payload().unwrap()).unwrap();
    let wire = json!({"id": 1, "state": "PENDING", "orderDetails": {"customerId": 7, "orderTotal": {"amount": 300}}});
    assert_eq!(value, wire);
    assert_eq!(
        heard.key(),
        Some(&b"7"[..]),
        "the customer's orders stay in order"
    );
    assert_eq!(header(&heard, "ce_specversion"), Some("1.0"));
    assert_eq!(header(&heard, "ce_type"), Some("saga.order.created"));
    assert_eq!(header(&heard, "ce_source"), Some("/saga/order"));
    assert_eq!(header(&heard, "content-type"), Some("application/json"));
    assert_eq!(header(&heard, "ce_sagadigest").map(str::len), Some(64));
    assert_eq!(header(&heard, "traceparent").map(str::len), Some(55));
    assert!(header(&heard, "ce_id").is_some() && header(&heard, "ce_correlationid").is_some());

    peer.say(
        "customerTopic",
        &wire.to_string().replace("PENDING", "REJECTED"),
    );
    assert_eq!(decided(&order, &id), "REJECTED");
}

#[test]
fn a_foreign_order_service_can_stand_in() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    let customer = start("customer", &data, &cluster);
    customer.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": 1000}}),
    );
    let peer = Peer::new(&cluster, "customerTopic");
    // Amounts as Java writes them; what is no record of an order is put aside and holds nothing up.
    peer.say("orderTopic", "no JSON");
    peer.say("orderTopic", r#"{"id":41,"state":"PENDING","orderDetails":{"customerId":1,"orderTotal":{"amount":300.00}}}"#);
    let heard = peer.hear();
    let value: Value = serde_json::from_slice(heard.payload().unwrap()).unwrap();
    assert_eq!(
        (&value["id"], &value["state"]),
        (&json!(41), &json!("APPROVED")),
        "{value}"
    );
    assert_eq!(value["orderDetails"]["customerId"], json!(1));
    assert_eq!(
        customer.get("customer", "/customer/1").json()["creditLimit"],
        json!(700)
    );
}

#[test]
fn without_a_broker_orders_are_taken_and_decided_when_it_is_back() {
    let (data, cluster) = (tempfile::tempdir().unwrap(), cluster());
    cluster.broker_down(1).unwrap();
    let customer = start("customer", &data, &cluster);
    let order = start("order", &data, &cluster);
    customer.post(
        "customer",
        "/customers",
        &json!({"name": "Ann", "creditLimit": {"amount": 1000}}),
    );
    let id = place(&order, 1, json!(300));
    assert_eq!(
        order.get("order", &format!("/orders/{id}")).json()["orderState"],
        "PENDING"
    );
    cluster.broker_up(1).unwrap();
    assert_eq!(decided(&order, &id), "APPROVED");
}

#[test]
fn an_unreachable_broker_is_reported_and_holds_up_only_records() {
    let data = tempfile::tempdir().unwrap();
    // Port 1 is reserved; nobody listens there.
    let order = Start::new(&["order"], data.path())
        .arguments(&["--kafka", "127.0.0.1:1"])
        .start();
    let id = place(&order, 1, json!(300));
    assert_eq!(
        order.get("order", &format!("/orders/{id}")).json()["orderState"],
        "PENDING"
    );
    order.log_until("127.0.0.1:1");
    assert!(order.stop().success());
}
