//! A program on the topics that is none of ours: what it hears, and what it says.
//!
//! librdkafka underneath, as any client may be. Must not know the host.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::support::PATIENCE;

/// A record that was heard.
#[derive(Debug)]
pub struct Heard {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub value: Value,
    headers: Vec<(String, String)>,
}

impl Heard {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(header, _)| header == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert_eq!(found.next(), None, "{name} is there twice");
        value
    }
}

/// A consumer in a group of its own.
pub struct Listener(BaseConsumer);

impl Listener {
    /// Listens to a topic in this group, from the beginning.
    pub fn new(cluster: &Cluster, topic: &str, group: &str) -> Self {
        let mut config = cluster.config();
        let consumer: BaseConsumer = config
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        consumer.subscribe(&[topic]).unwrap();
        Self(consumer)
    }

    /// The next record.
    pub fn hear(&self) -> Heard {
        let start = Instant::now();
        loop {
            // Each call serves one event of the client, a rebalance for example.
            if let Some(message) = self.0.poll(Duration::from_millis(100)) {
                return heard(&message.unwrap().detach());
            }
            assert!(start.elapsed() < PATIENCE, "no record came");
        }
    }

    /// The next records.
    pub fn hear_all(&self, count: usize) -> Vec<Heard> {
        (0..count).map(|_| self.hear()).collect()
    }

    /// Commits what was heard, and leaves the group.
    pub fn commit(self) {
        self.0.commit_consumer_state(CommitMode::Sync).unwrap();
    }
}

fn heard(message: &OwnedMessage) -> Heard {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let headers = message
        .headers()
        .into_iter()
        .flat_map(|headers| headers.iter());
    Heard {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(text),
        value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
        headers: headers
            .map(|header| (header.key.to_owned(), text(header.value.unwrap())))
            .collect(),
    }
}

/// A producer that publishes as the reference's services do: without a key.
pub struct Speaker(BaseProducer);

impl Speaker {
    /// With this compression: `none`, `gzip`, `zstd`, ...
    pub fn new(cluster: &Cluster, compression: &str) -> Self {
        let mut config = cluster.config();
        Self(
            config
                .set("compression.codec", compression)
                .create()
                .unwrap(),
        )
    }

    /// With this compression, of values of so many bytes.
    pub fn of_large(cluster: &Cluster, compression: &str, bytes: usize) -> Self {
        let mut config = cluster.config();
        let limit = (bytes + 1_024).to_string();
        Self(
            config
                .set("compression.codec", compression)
                .set("message.max.bytes", limit)
                .create()
                .unwrap(),
        )
    }

    /// Says a value and nothing else.
    pub fn say(&self, topic: &str, value: &str) {
        self.send(BaseRecord::to(topic).payload(value));
    }

    /// Says it with the time of so long ago.
    pub fn say_of(&self, topic: &str, value: &str, ago: Duration) {
        let time = (SystemTime::now() - ago)
            .duration_since(UNIX_EPOCH)
            .unwrap();
        let time = i64::try_from(time.as_millis()).unwrap();
        self.send(BaseRecord::to(topic).payload(value).timestamp(time));
    }

    /// Says it as an event with this id.
    pub fn say_as(&self, topic: &str, value: &str, id: &str) {
        let headers = OwnedHeaders::new().insert(Header {
            key: "ce_id",
            value: Some(id),
        });
        self.send(BaseRecord::to(topic).payload(value).headers(headers));
    }

    /// Says it with a Java type header.
    pub fn say_typed(&self, topic: &str, value: &str) {
        let headers = OwnedHeaders::new().insert(Header {
            key: "__TypeId__",
            value: Some("com.example.OrderCreatedEvent"),
        });
        self.send(BaseRecord::to(topic).payload(value).headers(headers));
    }

    fn send(&self, record: BaseRecord<'_, (), str>) {
        self.0.send(record).map_err(|(error, _)| error).unwrap();
        self.0.flush(PATIENCE).unwrap();
    }
}
