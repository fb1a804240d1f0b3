//! Writers that use transactions: what their markers and what they have taken back does to the lag, and what one that is left
//! open does to readers.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::{lag, reason};
use crate::peer::Speaker;
use crate::saga::{Saga, left, register};
use crate::support::PATIENCE;

const LIMIT: u64 = 1_000;

pub fn tests() -> Vec<Test> {
    tests![
        any: what_a_transactional_writer_leaves_behind_is_no_lag,
            an_open_transaction_before_which_a_partition_stands_is_named_with_the_remedy,
    ]
}

/// A writer whose records count when they are committed.
struct Writer(BaseProducer);

impl Writer {
    fn new(cluster: &Cluster, id: &str) -> Self {
        let producer: BaseProducer = (cluster.config())
            .set("transactional.id", id)
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        Self(producer)
    }

    /// Begins a transaction, and says so many orders in it.
    fn say(&self, topic: &str, orders: &[String]) {
        self.0.begin_transaction().unwrap();
        for order in orders {
            let record = BaseRecord::<(), str>::to(topic).payload(order);
            self.0.send(record).map_err(|(error, _)| error).unwrap();
        }
        self.0.flush(PATIENCE).unwrap();
    }

    fn commit(&self) {
        self.0.commit_transaction(PATIENCE).unwrap();
    }

    fn take_back(&self) {
        self.0.abort_transaction(PATIENCE).unwrap();
    }
}

fn orders(customer: u64, ids: std::ops::Range<u64>) -> Vec<String> {
    let order = |id| {
        json!({"id": 60_000 + id, "state": "PENDING",
            "orderDetails": {"customerId": customer, "orderTotal": {"amount": 10}}})
        .to_string()
    };
    ids.map(order).collect()
}

fn what_a_transactional_writer_leaves_behind_is_no_lag(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let topic = &saga.order_topic;
    let customers = saga.start("customer");
    let ann = register(&customers, json!(LIMIT));
    let writer = Writer::new(cluster, topic);
    writer.say(topic, &orders(ann, 0..1));
    writer.commit();
    until("the record and its marker are there", || {
        cluster.ends(topic) == [2]
    });
    let is_zero = || lag(&customers, topic) == Some(0.0);
    until("the lag behind a marker is 0", is_zero);
    assert_eq!(left(&customers, ann), json!(LIMIT - 10));
    writer.say(topic, &orders(ann, 1..10));
    writer.take_back();
    until("nine records and their marker are there", || {
        cluster.ends(topic) == [12]
    });
    until("the lag behind what was taken back is 0", is_zero);
    // Monitors that ask the broker see the same.
    until("the group is at the end", || {
        cluster.committed(&saga.order_group, topic).get(&0) == Some(&12)
    });
    // What comes then is read, now and after a restart.
    Speaker::new(cluster, "none").say(topic, &orders(ann, 20..21)[0]);
    until("the next order is decided", || {
        left(&customers, ann) == json!(LIMIT - 20)
    });
    assert!(customers.stop().success());
    Speaker::new(cluster, "none").say(topic, &orders(ann, 21..22)[0]);
    let customers = saga.start("customer");
    until("the last order is decided", || {
        left(&customers, ann) == json!(LIMIT - 30)
    });
    assert!(customers.stop().success());
}

fn an_open_transaction_before_which_a_partition_stands_is_named_with_the_remedy(cluster: &Cluster) {
    let saga = Saga::new(cluster, 1);
    let topic = &saga.order_topic;
    let customers = (saga.service("customer"))
        .setting("progress.record_seconds", 2)
        .start();
    let ann = register(&customers, json!(LIMIT));
    let speaker = Speaker::new(cluster, "none");
    speaker.say(topic, &orders(ann, 0..1)[0]);
    until("an order is decided", || {
        left(&customers, ann) == json!(LIMIT - 10)
    });
    let writer = Writer::new(cluster, topic);
    writer.say(topic, &orders(ann, 1..2));
    speaker.say(topic, &orders(ann, 2..3)[0]);
    let words = [
        format!("stage record stands still: the oldest message of topic {topic}, partition 0"),
        "a transaction of a writer is open from offset 1 on".into(),
        format!("abort --topic {topic} --partition 0 --start-offset 1`"),
    ];
    until("the open transaction is named", || {
        let said = reason(&customers);
        words.iter().all(|word| said.contains(word))
    });
    assert_eq!(lag(&customers, topic), Some(2.0));
    assert_eq!(left(&customers, ann), json!(LIMIT - 10));
    writer.commit();
    until("both orders are decided", || {
        left(&customers, ann) == json!(LIMIT - 30)
    });
    until("the host is ready again", || reason(&customers).is_empty());
    assert!(customers.stop().success());
}
