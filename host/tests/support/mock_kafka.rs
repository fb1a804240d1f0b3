//! librdkafka's MockCluster, in the test's process: it speaks the protocol over TCP and keeps nothing on disk.

use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::Value;

use crate::support::{Host, Start};

pub type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A cluster with the topics of the saga, three partitions each.
pub fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("orderTopic", 3, 1).unwrap();
    cluster.create_topic("customerTopic", 3, 1).unwrap();
    cluster
}

/// Starts the host of one participant over it.
pub fn start(name: &str, data: &tempfile::TempDir, cluster: &Cluster) -> Host {
    Start::new(&[name], &data.path().join(name))
        .arguments(&["--kafka", &cluster.bootstrap_servers()])
        .start()
}

/// State of an order once it is decided.
pub fn decided(host: &Host, id: &str) -> Value {
    let path = format!("/orders/{id}");
    host.get_until("order", &path, |response| {
        response.json()["orderState"] != "PENDING"
    })
    .json()["orderState"]
        .clone()
}

/// A header that is text.
pub fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m str> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}
