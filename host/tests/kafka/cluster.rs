//! Where the broker is: the one that KAFKA_BOOTSTRAP names, or one that is started when the first test needs it and
//! ends with the tests.
//!
//! Must not know: topics of tests, the host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use saga_testkit::broker::{Broker, Settings};

use crate::support::PATIENCE;

/// A cluster that others may use at the same time.
#[derive(Clone)]
pub struct Cluster {
    /// `HOST:PORT` of a plain listener, several with commas between.
    pub bootstrap: String,
    /// Asks questions; it reads nothing.
    client: Arc<BaseConsumer>,
}

/// The broker that tests share; it ends with [`end`].
static SHARED: Mutex<Option<Broker>> = Mutex::new(None);

/// Finds or starts a cluster; the error says what is missing.
pub fn find() -> Result<(), String> {
    if is_given() {
        return Ok(());
    }
    saga_testkit::broker::available().map_err(|missing| missing.to_string())
}

/// True if KAFKA_BOOTSTRAP names the cluster.
pub fn is_given() -> bool {
    given().is_some()
}

/// True if Kafka's own tools can be run.
pub fn has_tools() -> bool {
    saga_testkit::broker::available().is_ok()
}

fn given() -> Option<String> {
    std::env::var("KAFKA_BOOTSTRAP")
        .ok()
        .filter(|text| !text.is_empty())
}

/// The cluster for tests that need no other.
pub fn shared() -> Cluster {
    if let Some(bootstrap) = given() {
        return Cluster::at(&bootstrap);
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let broker = shared.get_or_insert_with(|| Broker::start(&Settings::default()).unwrap());
    Cluster::at(broker.bootstrap())
}

/// Ends the shared broker.
pub fn end() {
    drop(SHARED.lock().unwrap_or_else(PoisonError::into_inner).take());
}

impl Cluster {
    /// The cluster at this address.
    pub fn at(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            client: Arc::new(config(bootstrap).create().unwrap()),
        }
    }

    /// Runs one of Kafka's own tools; gives what it says.
    pub fn tool(&self, name: &str, arguments: &[&str], stdin: &str) -> String {
        saga_testkit::broker::tools::run(&self.bootstrap, name, arguments, stdin)
            .unwrap_or_else(|error| panic!("{name} {arguments:?}: {error}"))
    }

    /// Creates a topic.
    pub fn create(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        let created = block_on(self.admin().create_topics(&[new], &AdminOptions::new()));
        created.unwrap()[0].as_ref().unwrap();
        // The broker that answers may learn of it later than the one that made it.
        let start = Instant::now();
        while self.partitions(topic) != partitions as usize {
            assert!(start.elapsed() < PATIENCE, "{topic} does not come to be");
        }
    }

    /// Deletes a topic and creates it again at once, as one program may, and before its readers hear of it.
    pub fn recreate(&self, topic: &str, partitions: i32) {
        let (admin, options) = (self.admin(), AdminOptions::new());
        block_on(admin.delete_topics(&[topic], &options)).unwrap()[0]
            .as_ref()
            .unwrap();
        let start = Instant::now();
        loop {
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
            let created = block_on(admin.create_topics(&[new], &options)).unwrap();
            // The deletion may not be over yet; or a host that misses its topic was the first.
            if created[0].is_ok() {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{topic}: {created:?}");
        }
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str) -> usize {
        let metadata = self.client.fetch_metadata(Some(topic), PATIENCE).unwrap();
        metadata.topics()[0].partitions().len()
    }

    /// Where the next record goes, by partition.
    pub fn ends(&self, topic: &str) -> Vec<i64> {
        let extents = self.extents(topic);
        extents.into_iter().map(|(_, end)| end).collect()
    }

    /// Where the first record is that is there, by partition.
    pub fn begins(&self, topic: &str) -> Vec<i64> {
        let extents = self.extents(topic);
        extents.into_iter().map(|(begin, _)| begin).collect()
    }

    fn extents(&self, topic: &str) -> Vec<(i64, i64)> {
        (0..self.partitions(topic))
            .map(|partition| {
                let partition = i32::try_from(partition).unwrap();
                let start = Instant::now();
                loop {
                    match self.client.fetch_watermarks(topic, partition, PATIENCE) {
                        Ok(extent) => return extent,
                        // Nobody leads the partition yet.
                        Err(error) => assert!(start.elapsed() < PATIENCE, "{topic}: {error}"),
                    }
                }
            })
            .collect()
    }

    /// Where a group has committed that it reads on, by partition; where it has not, none.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(topic, 0, i32::try_from(self.partitions(topic)).unwrap() - 1);
        let found = self
            .consumer(group)
            .committed_offsets(wanted, PATIENCE)
            .unwrap();
        let offsets = found.elements();
        offsets
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(offset) => Some((element.partition(), offset)),
                _ => None,
            })
            .collect()
    }

    /// Client ids of who reads in a group.
    pub fn members(&self, group: &str) -> Vec<String> {
        let groups = self.client.fetch_group_list(Some(group), PATIENCE).unwrap();
        let members = groups.groups().iter().flat_map(|group| group.members());
        members
            .map(|member| member.client_id().to_owned())
            .collect()
    }

    /// Shortest session of a group's member that the brokers allow.
    pub fn shortest_session(&self) -> Duration {
        if is_given() {
            // Kafka's default.
            Duration::from_secs(6)
        } else {
            Duration::from_millis(1_500)
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        self.config().set("group.id", group).create().unwrap()
    }

    /// For a client of this cluster.
    pub fn config(&self) -> ClientConfig {
        config(&self.bootstrap)
    }
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}
