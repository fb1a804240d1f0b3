//! Bare clients of Kafka for comparison with a host: they read and write the same records, and
//! store nothing.
//!
//! Owns: a producer of records from memory; a consumer that looks at each record; and a loop that
//! consumes, decides and produces. Both producers are idempotent, with all replicas in sync
//! (`acks=all`), like the relay. The loop commits its offsets when all answers of a batch are
//! acknowledged: at least once, as far as possible without a store. It keeps no credit, and answers
//! a record twice if it reads it twice.
//!
//! Must not know: hosts.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use saga_testkit::kafka::client;
use saga_testkit::kafka::records::{Refusals, TopicRecord, poll, reader};
use saga_testkit::kafka::topics::Ends;

/// The relay's settings that differ from librdkafka's defaults.
pub(super) const AS_THE_RELAY: [(&str, &str); 4] = [
    ("linger.ms", "1"),
    ("max.in.flight.requests.per.connection", "1"),
    ("enable.gapless.guarantee", "true"),
    ("queue.buffering.max.kbytes", "65536"),
];
/// librdkafka's defaults.
pub(super) const DEFAULTS: [(&str, &str); 0] = [];

/// Longest time without any progress.
const PATIENCE: Duration = Duration::from_secs(30);
/// Records of a batch, after which the loop waits for acknowledgements. Larger batches gained
/// nothing.
const BATCH: usize = 4_096;

/// Produces all records to a topic and waits until they are acknowledged.
pub(super) fn produce(
    bootstrap: &str,
    topic: &str,
    records: &[TopicRecord],
    settings: &[(&str, &str)],
) -> Result<()> {
    let producer = producer(bootstrap, settings)?;
    for record in records {
        let headers = record
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers = copied(headers, record.headers.len());
        send(
            &producer,
            topic,
            record.key.as_deref(),
            &record.value,
            headers,
        )?;
    }
    acknowledged(&producer)
}

/// Consumes this many records; returns records per second, from the first to the last.
pub(super) fn consume(bootstrap: &str, topic: &str, records: u32) -> Result<f64> {
    let consumer = from_the_beginning(bootstrap, topic)?;
    let mut first = None;
    let mut bytes = 0;
    for number in 0..records {
        let length = |message: &BorrowedMessage<'_>| message.payload().map_or(0, <[u8]>::len);
        let read = poll(&consumer, Instant::now() + PATIENCE, length)?;
        bytes +=
            read.with_context(|| format!("{number} of {records} records came from {topic}"))?;
        first.get_or_insert_with(Instant::now);
    }
    ensure!(bytes > 0, "the records on {topic} are empty");
    let took = first.map_or(Duration::ZERO, |first| first.elapsed());
    Ok(f64::from(records.saturating_sub(1)) / took.as_secs_f64().max(f64::EPSILON))
}

/// Consumes this many orders and produces an answer to each: consume, decide, produce, commit.
pub(super) fn answer(bootstrap: &str, orders: &str, answers: &str, records: u32) -> Result<()> {
    let consumer = from_the_beginning(bootstrap, orders)?;
    let producer = producer(bootstrap, &DEFAULTS)?;
    // The first commit takes longer, since the group's coordinator must be found.
    commit(&consumer, orders, 0)?;
    let mut left = usize::try_from(records).unwrap_or(usize::MAX);
    while left > 0 {
        let mut wait = PATIENCE;
        let mut last = None;
        let mut taken = 0;
        while taken < BATCH.min(left) {
            let until = Instant::now() + wait;
            let Some(offset) = poll(&consumer, until, |order| {
                approve(&producer, answers, order).map(|()| order.offset())
            })?
            else {
                break;
            };
            last = Some(offset?);
            taken += 1;
            // Everything that is available now belongs to the batch.
            wait = Duration::ZERO;
        }
        let last = last
            .with_context(|| format!("{left} of {records} records did not come from {orders}"))?;
        acknowledged(&producer)?;
        commit(&consumer, orders, last + 1)?;
        left -= taken;
    }
    Ok(())
}

fn commit(consumer: &BaseConsumer, topic: &str, next: i64) -> Result<()> {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, 0, Offset::Offset(next))?;
    consumer.commit(&offsets, CommitMode::Sync)?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct OrderRecord<'a> {
    id: i64,
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(rename = "orderDetails", borrow)]
    details: &'a RawValue,
}

fn approve(
    producer: &BaseProducer<Refusals>,
    topic: &str,
    order: &BorrowedMessage<'_>,
) -> Result<()> {
    let mut answer: OrderRecord<'_> =
        serde_json::from_slice(order.payload().unwrap_or_default()).context("that is no order")?;
    answer.state = Cow::Borrowed("APPROVED");
    let value = serde_json::to_vec(&answer)?;
    let headers = order.headers().map_or_else(
        || OwnedHeaders::new_with_capacity(0),
        |headers| {
            let all = headers.iter();
            copied(
                all.map(|one| (one.key, one.value.unwrap_or_default())),
                headers.count(),
            )
        },
    );
    send(producer, topic, order.key(), &value, headers)
}

fn copied<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>, count: usize) -> OwnedHeaders {
    headers.fold(
        OwnedHeaders::new_with_capacity(count),
        |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        },
    )
}

fn producer(bootstrap: &str, settings: &[(&str, &str)]) -> Result<BaseProducer<Refusals>> {
    let mut config = client(bootstrap);
    config.set("enable.idempotence", "true").set("acks", "all");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    Ok(config.create_with_context(Refusals::default())?)
}

fn from_the_beginning(bootstrap: &str, topic: &str) -> Result<BaseConsumer> {
    reader(bootstrap, &Ends::from([((topic.to_owned(), 0), 0)]))
}

fn send(
    producer: &BaseProducer<Refusals>,
    topic: &str,
    key: Option<&[u8]>,
    value: &[u8],
    headers: OwnedHeaders,
) -> Result<()> {
    let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).headers(headers);
    record.key = key;
    record.payload = Some(value);
    let until = Instant::now() + PATIENCE;
    loop {
        match producer.send(record) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return Ok(());
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if Instant::now() < until =>
            {
                record = back;
                rest(producer);
            }
            Err((error, _)) => bail!("can't produce to {topic}: {error}"),
        }
    }
}

/// Waits until all records are acknowledged. The client library's own wait would take a multiple of
/// 100 ms each time.
fn acknowledged(producer: &BaseProducer<Refusals>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while let Err(error) = producer.flush(Duration::ZERO) {
        ensure!(Instant::now() < until, "Kafka takes no records: {error}");
        rest(producer);
    }
    match producer.context().first() {
        Some(reason) => Err(anyhow!("Kafka did not take a record: {reason}")),
        None => Ok(()),
    }
}

/// Serves acknowledgements, and yields the processor for a moment: the client library's own waits
/// spin at their end.
fn rest(producer: &BaseProducer<Refusals>) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(Duration::from_millis(1));
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use saga_testkit::kafka::{records, topics};

    fn order(id: i64) -> TopicRecord {
        TopicRecord {
            topic: String::new(),
            partition: 0,
            offset: 0,
            timestamp: 0,
            key: Some(b"3".to_vec()),
            headers: vec![("ce_id".to_owned(), format!("event-{id}"))],
            value: format!(
                r#"{{"id":{id},"state":"PENDING","orderDetails":{{"customerId":3,"orderTotal":{{"amount":10.25}}}}}}"#
            )
            .into_bytes(),
        }
    }

    #[tokio::test]
    async fn each_order_is_answered_once_in_order() {
        let cluster = MockCluster::new(1).unwrap();
        for topic in ["orders", "answers"] {
            cluster.create_topic(topic, 1, 1).unwrap();
        }
        let bootstrap = cluster.bootstrap_servers();
        let orders: Vec<TopicRecord> = (1..=5_000).map(order).collect();
        for settings in [&AS_THE_RELAY[..], &DEFAULTS[..]] {
            produce(&bootstrap, "orders", &orders, settings).unwrap();
        }
        assert!(consume(&bootstrap, "orders", 10_000).unwrap() > 0.0);
        answer(&bootstrap, "orders", "answers", 10_000).unwrap();
        let ends = topics::ends(&bootstrap, &["answers"]).await.unwrap();
        let answers = records::read(&bootstrap, Ends::new(), ends, TopicRecord::of);
        let answers = answers.await.unwrap();
        assert_eq!(answers.len(), 10_000);
        for (answer, order) in answers.iter().zip(orders.iter().cycle()) {
            let expected = order.value_text().replace("PENDING", "APPROVED");
            assert_eq!(answer.value_text(), expected);
            assert_eq!((&answer.headers, &answer.key), (&order.headers, &order.key));
        }
    }
}
