//! A topic that is deleted and made anew while it is read, too quickly for its reader to miss it. The client library goes over to
//! the new one without a word, at the offset where it was.
//!
//! Every record of the new topic is decided, and once, whether it has an id of its own or is known by its place. What its
//! first records are cannot be told from their offsets: the new topic holds more than had been read of the old one.

use serde_json::json;

use crate::cluster::Cluster;
use crate::expect::until;
use crate::harness::{Test, tests};
use crate::health::until_degraded;
use crate::peer::{Listener, Speaker};
use crate::saga::{Saga, left, register};
use crate::store_file::number;

/// Records that are read of the old topic, and records of the new one.
const OLD: u64 = 5;
const NEW: u64 = 40;

const AMOUNT: u64 = 10;

pub fn tests() -> Vec<Test> {
    tests![
        any: records_without_an_id_are_decided_once,
            records_with_an_id_are_decided_once,
    ]
}

fn records_without_an_id_are_decided_once(cluster: &Cluster) {
    made_anew(cluster, |speaker, topic, value, _| {
        speaker.say(topic, value)
    });
}

fn records_with_an_id_are_decided_once(cluster: &Cluster) {
    made_anew(cluster, |speaker, topic, value, id| {
        speaker.say_as(topic, value, &format!("order-{id}"));
    });
}

fn made_anew(cluster: &Cluster, say: impl Fn(&Speaker, &str, &str, u64)) {
    let saga = Saga::new(cluster, 1);
    let customers = saga.start("customer");
    let ann = register(&customers, json!(10_000));
    let order = |id: u64| {
        json!({"id": id, "state": "PENDING", "orderDetails": {"customerId": ann, "orderTotal": {"amount": AMOUNT}}}).to_string()
    };
    let speaker = Speaker::new(cluster, "none");
    for id in 1..=OLD {
        say(&speaker, &saga.order_topic, &order(id), id);
    }
    let data = saga.data("customer");
    let decisions = || {
        number(
            &data,
            "SELECT count(*) FROM journal WHERE json_extract(message, '$.origin') = 'event'",
        ) as u64
    };
    until("the old ones are decided", || decisions() == OLD);

    cluster.make_anew(&saga.order_topic, 1);
    // A client that knows the old one would ask for it.
    let speaker = Speaker::new(cluster, "none");
    for id in OLD + 1..=OLD + NEW {
        say(&speaker, &saga.order_topic, &order(id), id);
    }
    let another = format!(
        "topic {} is another one than the one that was read before",
        saga.order_topic
    );
    until_degraded(&customers, &[&another, "read from its beginning"]);
    until("the new ones are decided", || decisions() >= OLD + NEW);
    // Whatever comes twice has come when the last one is decided.
    say(
        &speaker,
        &saga.order_topic,
        &order(OLD + NEW + 1),
        OLD + NEW + 1,
    );
    let answers = Listener::new(cluster, &saga.customer_topic, "anybody");
    let mut heard: Vec<u64> = Vec::new();
    while heard.last() != Some(&(OLD + NEW + 1)) {
        heard.push(answers.hear().value["id"].as_u64().unwrap());
    }
    heard.sort_unstable();
    let expected: Vec<u64> = (1..=OLD + NEW + 1).collect();
    assert_eq!(heard, expected, "{}", customers.log());
    assert_eq!(decisions(), OLD + NEW + 1);
    let spent = AMOUNT * (OLD + NEW + 1);
    assert_eq!(left(&customers, ann), json!(10_000 - spent));
}
