//! The broker's log loses its end and grows again: the broker is restored from an older snapshot of its disk. The topic is the same, and the
//! stored offset is one of other records now, or of none.
//!
//! Nothing is passed over unseen: the reader stops at that partition, says so, and is not ready. An operator chooses where it reads on;
//! then every record is decided once, whether it has an id of its own or is known by its place.

use saga_testkit::broker::Broker;
use serde_json::json;

use crate::broker_faults::broker;
use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::{until_ready, until_unavailable};
use crate::peer::Speaker;
use crate::readiness_and_log::lines;
use crate::saga::{Saga, back_up, left, register};
use crate::store_file::number;
use crate::support::{Host, saga as program};

/// Records that are kept in the snapshot, those that are read and lost, and those that come instead.
const KEPT: u64 = 5;
const LOST: u64 = 5;
const NEW: u64 = 12;

const LIMIT: u64 = 10_000;
const AMOUNT: u64 = 10;

pub fn tests() -> Vec<Test> {
    tests![
        own: a_log_that_has_grown_again_is_not_read_on_until_somebody_says_where,
            a_log_that_is_cut_under_its_reader_is_noticed,
            a_log_that_is_the_same_is_read_on_after_its_broker_was_away,
    ]
}

/// The customer service over a broker of its own, with what it has read kept and lost.
struct Cut {
    broker: Broker,
    saga: Saga,
    ann: u64,
    said: u64,
}

impl Cut {
    /// The service has read what is kept and what will be lost.
    fn new() -> (Self, Host) {
        let broker = broker();
        let saga = Saga::new(&Cluster::at(broker.bootstrap()), 1);
        let customers = saga.start("customer");
        let ann = register(&customers, json!(LIMIT));
        let mut cut = Self {
            broker,
            saga,
            ann,
            said: 0,
        };
        cut.say(KEPT);
        cut.until_decided(&customers, KEPT);
        cut.broker.stop().unwrap();
        back_up(&cut.disk(), &cut.saga.data("snapshot"));
        cut.broker.start_again().unwrap();
        cut.say(LOST);
        cut.until_decided(&customers, KEPT + LOST);
        (cut, customers)
    }

    fn disk(&self) -> std::path::PathBuf {
        self.broker.directory().join("data")
    }

    /// The broker is set back to its snapshot.
    fn restore(&self) {
        self.broker.stop().unwrap();
        std::fs::remove_dir_all(self.disk()).unwrap();
        back_up(&self.saga.data("snapshot"), &self.disk());
        self.broker.start_again().unwrap();
    }

    /// Somebody places so many orders, every other one without an id.
    fn say(&mut self, count: u64) {
        let speaker = Speaker::new(&Cluster::at(self.broker.bootstrap()), "none");
        for _ in 0..count {
            self.said += 1;
            let id = self.said;
            let order = json!({"id": 50_000 + id, "state": "PENDING",
                "orderDetails": {"customerId": self.ann, "orderTotal": {"amount": AMOUNT}}});
            let (topic, order) = (&self.saga.order_topic, order.to_string());
            if id.is_multiple_of(2) {
                speaker.say_as(topic, &order, &format!("order-{id}"));
            } else {
                speaker.say(topic, &order);
            }
        }
    }

    fn decided(&self) -> u64 {
        let query =
            "SELECT count(*) FROM journal WHERE json_extract(message, '$.origin') = 'event'";
        number(&self.saga.data("customer"), query) as u64
    }

    fn until_decided(&self, customers: &Host, count: u64) {
        let what = format!("{count} orders are decided");
        until(&what, || self.decided() >= count);
        self.was_charged(customers, count);
    }

    fn was_charged(&self, customers: &Host, count: u64) {
        assert_eq!(self.decided(), count, "{}", customers.log());
        assert_eq!(left(customers, self.ann), json!(LIMIT - count * AMOUNT));
    }

    /// The report on the log.
    fn complaint(&self) -> String {
        format!(
            "topic {}, partition 0: its log is not the one that was read in group {}",
            self.saga.order_topic, self.saga.order_group
        )
    }

    /// Chooses where the service, which is stopped, reads on; gives what is said of it.
    fn seek(&self, offset: u64) -> String {
        let data = self.saga.data("customer").display().to_string();
        let (topic, offset) = (&self.saga.order_topic, offset.to_string());
        let arguments = ["seek", topic, "0", &offset, "--as-new", "--data", &data];
        let output = program().args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn a_log_that_has_grown_again_is_not_read_on_until_somebody_says_where() {
    let (mut cut, customers) = Cut::new();
    let read = KEPT + LOST;
    assert!(customers.stop().success());
    cut.restore();
    // More than was lost: the offset that is stored is one of this log too.
    cut.say(NEW);

    let customers = cut.saga.start("customer");
    let last = read - 1;
    let at = format!("at offset {last} is a record of ");
    let goes = format!("It now goes from offset 0 to {}.", KEPT + NEW);
    let remedy = format!("saga seek {} 0 OFFSET", cut.saga.order_topic);
    let complaint = cut.complaint();
    until_unavailable(&customers, &[&complaint, &at, &goes, &remedy]);
    // It is not read later either, and what came instead is no less held back than what came behind.
    cut.say(1);
    let orders = cut.saga.start("order");
    until_ready(&[&orders]);
    cut.was_charged(&customers, read);
    let said = lines(&customers, &complaint);
    assert!(said.len() == 1 && said[0].contains("ERROR"), "{said:?}");
    assert!(customers.stop().success());

    let said = cut.seek(KEPT);
    let was = format!("read on from offset {KEPT}; it was {read}.");
    assert!(said.contains(&was), "{said}");
    let customers = cut.saga.start("customer");
    cut.until_decided(&customers, read + NEW + 1);
    until_ready(&[&customers]);
    assert!(orders.stop().success());
    // What was chosen holds for the next start too.
    assert!(customers.stop().success());
    let customers = cut.saga.start("customer");
    cut.say(1);
    cut.until_decided(&customers, read + NEW + 2);
    until_ready(&[&customers]);
}

fn a_log_that_is_cut_under_its_reader_is_noticed() {
    let (mut cut, customers) = Cut::new();
    let read = KEPT + LOST;
    cut.restore();
    let complaint = cut.complaint();
    until_unavailable(&customers, &[&complaint]);
    cut.say(NEW);
    cut.was_charged(&customers, read);
    assert!(customers.stop().success());
    cut.seek(KEPT);
    let customers = cut.saga.start("customer");
    cut.until_decided(&customers, read + NEW);
    until_ready(&[&customers]);
}

fn a_log_that_is_the_same_is_read_on_after_its_broker_was_away() {
    let (mut cut, customers) = Cut::new();
    // From now on its times are those of the broker.
    let topic = [
        "--alter",
        "--entity-type",
        "topics",
        "--entity-name",
        &cut.saga.order_topic,
    ];
    let times = ["--add-config", "message.timestamp.type=LogAppendTime"];
    let arguments = [&topic[..], &times].concat();
    cut.broker.tool("kafka-configs", &arguments, "").unwrap();
    for _ in 0..2 {
        cut.broker.kill();
        cut.broker.start_again().unwrap();
        cut.say(1);
        cut.until_decided(&customers, cut.said);
    }
    assert!(customers.stop().success());
    let customers = cut.saga.start("customer");
    cut.say(1);
    cut.until_decided(&customers, cut.said);
    until_ready(&[&customers]);
    assert!(lines(&customers, "its log is not").is_empty());
}
