//! Reading and writing records, as any Kafka client does.
//!
//! Owns: reading the new records of topics, waiting for one record, and writing one without key and
//! headers, as the services of the article do.
//!
//! Must not know: the meaning of a record.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::topics::Ends;
use super::{ANSWERED_WITHIN, client, off_thread};

/// Longest single wait for a record, after which the time is checked.
const POLL: Duration = Duration::from_millis(100);

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Its time in milliseconds since the Unix epoch; the topic determines whose clock that is.
    pub timestamp: i64,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Headers in their order; invalid UTF-8 is shown with replacement characters.
    pub headers: Vec<(String, String)>,
    /// Value.
    pub value: Vec<u8>,
}

impl TopicRecord {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The key as text; `-` for none.
    pub fn key_text(&self) -> String {
        self.key.as_ref().map_or_else(
            || "-".to_owned(),
            |key| String::from_utf8_lossy(key).into_owned(),
        )
    }

    /// The value as text.
    pub fn value_text(&self) -> String {
        String::from_utf8_lossy(&self.value).into_owned()
    }

    /// Copies a record.
    pub fn of(message: &BorrowedMessage<'_>) -> Self {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            (header.key.to_owned(), value.into_owned())
        };
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            headers: message
                .headers()
                .map(|headers| headers.iter().map(header).collect())
                .unwrap_or_default(),
            value: message.payload().unwrap_or_default().to_vec(),
        }
    }
}

/// Errors of records that the broker did not accept.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Option<String>>);

impl Refusals {
    /// The first error; None if all were accepted.
    pub fn first(&self) -> Option<String> {
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone()
    }
}

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.to_string());
        }
    }
}

/// Reads the records from `from` up to `until`, each with `of`; those of one partition in their
/// order.
///
/// # Errors
/// The broker does not answer, or records are missing.
pub async fn read<T: Send + 'static>(
    bootstrap: &str,
    from: Ends,
    until: Ends,
    of: impl Fn(&BorrowedMessage<'_>) -> T + Send + 'static,
) -> Result<Vec<T>> {
    let bootstrap = bootstrap.to_owned();
    off_thread(move || {
        let mut records = Vec::new();
        for ((topic, partition), end) in until {
            let key = (topic, partition);
            let start = from.get(&key).copied().unwrap_or(0);
            if start >= end {
                continue;
            }
            let consumer = reader(&bootstrap, &Ends::from([(key, start)]))?;
            let mut next = start;
            while next < end {
                let within = Instant::now() + ANSWERED_WITHIN;
                let read = poll(&consumer, within, |message| (message.offset(), of(message)))?;
                let (offset, record) =
                    read.context("records that were there can't be read any more")?;
                next = offset + 1;
                records.push(record);
            }
        }
        Ok(records)
    })
    .await
}

/// Waits for the first record from `from` on that `is_wanted`; None after ten seconds.
///
/// # Errors
/// The broker does not answer.
pub async fn find(
    bootstrap: &str,
    from: Ends,
    is_wanted: impl Fn(&TopicRecord) -> bool + Send + 'static,
) -> Result<Option<TopicRecord>> {
    let bootstrap = bootstrap.to_owned();
    off_thread(move || {
        let consumer = reader(&bootstrap, &from)?;
        let until = Instant::now() + ANSWERED_WITHIN;
        while let Some(record) = poll(&consumer, until, TopicRecord::of)? {
            if is_wanted(&record) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    })
    .await
}

/// Writes a value without key and headers.
///
/// # Errors
/// The broker does not accept it within ten seconds.
pub async fn write(bootstrap: &str, topic: &str, value: String) -> Result<()> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    off_thread(move || {
        let producer: BaseProducer<Refusals> = client(&bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "0")
            .create_with_context(Refusals::default())?;
        let record: BaseRecord<'_, (), String> = BaseRecord::to(&topic).payload(&value);
        producer.send(record).map_err(|(error, _)| error)?;
        let flushed = producer.flush(ANSWERED_WITHIN);
        flushed.with_context(|| format!("Kafka does not take a record for {topic}"))?;
        if let Some(reason) = producer.context().first() {
            bail!("Kafka does not take a record for {topic}: {reason}");
        }
        Ok(())
    })
    .await
}

/// A consumer without a group for these partitions, from these offsets on.
///
/// # Errors
/// The client can't be made.
pub fn reader(bootstrap: &str, from: &Ends) -> Result<BaseConsumer> {
    // The client requires a group name, but does not join the group.
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", "saga-testkit")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    for ((topic, partition), start) in from {
        partitions.add_partition_offset(topic, *partition, Offset::Offset(*start))?;
    }
    consumer.assign(&partitions)?;
    Ok(consumer)
}

/// The next record, read with `of`; None if there is none until then. Available records are
/// returned even if `until` is over.
///
/// # Errors
/// The broker refuses the topic. A broker that is away for a moment is no error.
pub fn poll<T>(
    consumer: &BaseConsumer,
    until: Instant,
    of: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Result<Option<T>> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match consumer.poll(POLL.min(left)) {
            Some(Ok(message)) => return Ok(Some(of(&message))),
            Some(Err(KafkaError::MessageConsumption(code))) if is_passing(code) => {}
            Some(Err(error)) => bail!("can't read from Kafka: {error}"),
            None if left.is_zero() => return Ok(None),
            None => {}
        }
    }
}

fn is_passing(code: rdkafka::types::RDKafkaErrorCode) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::Resolve
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::super::topics;
    use super::*;

    #[tokio::test]
    async fn a_hand_written_record_has_no_key_and_no_headers() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let bootstrap = cluster.bootstrap_servers();
        let before = topics::ends(&bootstrap, &["t"]).await.unwrap();
        for value in ["one", "two"] {
            write(&bootstrap, "t", value.to_owned()).await.unwrap();
        }
        let after = topics::ends(&bootstrap, &["t"]).await.unwrap();
        let records = read(&bootstrap, before.clone(), after.clone(), TopicRecord::of)
            .await
            .unwrap();
        let values: Vec<_> = records.iter().map(TopicRecord::value_text).collect();
        assert_eq!(values, ["one", "two"]);
        let last = records.last().unwrap();
        assert_eq!((last.offset, last.key_text().as_str()), (1, "-"));
        assert_eq!((last.headers.len(), last.header("ce_id")), (0, None));

        let is_two = |record: &TopicRecord| record.value == b"two";
        let found = find(&bootstrap, before, is_two).await.unwrap();
        assert_eq!(found.as_ref(), Some(last));
        let none = read(&bootstrap, after.clone(), after, TopicRecord::of)
            .await
            .unwrap();
        assert_eq!(none, []);
    }
}
