//! Which topic a consumer reads, and from where for the first time.
//!
//! A topic that was deleted and made anew is another one (see `topic_id`): what is stored of the first is put aside, and it is
//! read from its beginning.
//!
//! Where the group was when this host first read, or where the partitions began, is written down then, for each of them. So
//! a store that is restored from a backup never takes an offset from the broker that is ahead of it, and a
//! partition of which it knows nothing was added later.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::Parts;
use super::assignment::Assignment;
use super::topic_id::{NoId, topic_id};
use crate::store::topic_ids::{KnownTopic, first_topic, next_topic};
use crate::transport::Source;

/// Longest time that the brokers have to say which topic it is.
const QUESTION: Duration = Duration::from_millis(300);

/// Longest time that the brokers have to say where the group was.
const OFFSETS: Duration = Duration::from_secs(2);

/// Makes sure that the topic is the one that was read before.
pub(super) fn recognise(client: &BaseConsumer<Assignment>, parts: &Parts, source: &Source) {
    let assignment = client.context();
    if parts.topics.is_unreachable() || !assignment.may_ask() {
        return;
    }
    let id = match topic_id(client.client(), &source.topic, QUESTION) {
        Ok(id) => id,
        Err(reason) => {
            tracing::debug!(topic = %source.topic, %reason, "the topic's id is not known");
            // A topic that is gone may be back, as another one, at the next question.
            let is_never_told = match reason {
                NoId::Said(code) => code == RDKafkaErrorCode::UnsupportedFeature,
                NoId::NoneGiven => true,
                // Where brokers answer others, it is this question that they don't answer, and each costs time.
                NoId::Unanswered => {
                    client.fetch_metadata(Some(&source.topic), QUESTION).is_ok()
                        && assignment.is_unanswered_again()
                }
                NoId::NotAsked(_) => false,
            };
            if is_never_told {
                assignment.ask_later();
            }
            return;
        }
    };
    assignment.is_answered();
    let known = assignment.known();
    let result = match known {
        Some(known) if known.id == id => return,
        Some(_) => note_next(parts, source, &id),
        None => note_first(client, parts, source, &id),
    };
    match result {
        Ok(is_first) => {
            assignment.know(KnownTopic { id, is_first });
            if !is_first {
                say(assignment, parts, source);
            }
        }
        Err(reason) => {
            tracing::warn!(topic = %source.topic, reason, "which topic is read can't be written down; it is tried again");
        }
    }
}

/// Writes down the first topic of this name, and where its partitions are read from. Gives true.
fn note_first(
    client: &BaseConsumer<Assignment>,
    parts: &Parts,
    source: &Source,
    id: &str,
) -> Result<bool, String> {
    let starts = starts(client, &source.topic).map_err(|error| error.to_string())?;
    let (consumer, row, id) = (source.consumer.clone(), source.topic_row, id.to_owned());
    parts
        .store
        .run(move |sql| first_topic(sql, &consumer, row, &id, &starts))
        .map(|()| true)
        .map_err(|error| error.to_string())
}

/// Writes down that it is another topic now. Gives false.
fn note_next(parts: &Parts, source: &Source, id: &str) -> Result<bool, String> {
    // What was read of the first must not be stored as read of this one.
    source.readings.cancel();
    let (consumer, row, id) = (source.consumer.clone(), source.topic_row, id.to_owned());
    parts
        .store
        .run(move |sql| next_topic(sql, &consumer, row, &id))
        .map(|()| false)
        .map_err(|error| error.to_string())
}

/// Where the group is in each partition, by the brokers; where it was never, the beginning.
fn starts(client: &BaseConsumer<Assignment>, topic: &str) -> KafkaResult<Vec<(i32, i64)>> {
    let metadata = client.fetch_metadata(Some(topic), OFFSETS)?;
    let mut partitions = TopicPartitionList::new();
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        partitions.add_partition(topic, partition.id());
    }
    let committed = client.committed_offsets(partitions, OFFSETS)?;
    let elements = committed.elements();
    let starts = elements.iter().map(|element| {
        let partition = element.partition();
        Ok(match element.offset() {
            Offset::Offset(offset) => (partition, offset),
            _ => (
                partition,
                client.fetch_watermarks(topic, partition, OFFSETS)?.0,
            ),
        })
    });
    starts.collect()
}

fn say(assignment: &Assignment, parts: &Parts, source: &Source) {
    parts.troubles.error(
        &format!("{}, another topic", assignment.part()),
        format!(
            "topic {} is another one than the one that was read before in group {}: it was deleted and made anew, or \
             this is another cluster. It is read from its beginning; events that were applied are known by their ids \
             and not applied again. What was in the first and had not been read is gone: find out who waits for it",
            source.topic, source.group
        ),
    );
}
