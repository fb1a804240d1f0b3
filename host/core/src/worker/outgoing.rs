//! The outbox rows of a turn: events, and dead letters for the dead-letter topic.

use super::host::ActiveRules;
use crate::commit::{DeadLetter, OutboxRow, Write};
use crate::limits::TurnLimits;
use crate::record::{Attributes, Record, header};
use crate::settle::{OutgoingEvent, Settlement};

/// Takes the events out of a settlement, as outbox rows.
pub(super) fn outbox(
    active: &impl ActiveRules,
    settlement: &mut Settlement,
) -> impl Iterator<Item = Write> {
    let events = std::mem::take(&mut settlement.events);
    let (cause, time) = (&settlement.cause, settlement.journal.time);
    let row = move |event: OutgoingEvent| {
        let lane = active.lane(&event.topic)?;
        Some(Write::Publish(Box::new(OutboxRow {
            topic: lane.topic,
            partition: partition_of(event.key.as_bytes(), lane.partitions),
            key: Some(event.key.into_bytes()),
            value: Some(event.body.into_bytes()),
            attributes: Attributes {
                id: Some(event.id),
                event_type: Some(event.event_type),
                correlation: Some(cause.correlation.clone()),
                causation: Some(cause.id.clone()),
                traceparent: cause.traceparent.clone(),
                extra: (event.version != 1)
                    .then(|| (header::DATA_VERSION.to_owned(), event.version.to_string()))
                    .into_iter()
                    .collect(),
                ..Attributes::default()
            },
            from_generation: true,
            time,
        })))
    };
    // Every declared publication has a lane, and settlement has rejected undeclared ones.
    events.into_iter().filter_map(row)
}

/// The record for the dead-letter topic: the original key, value and headers, and the reason. What is
/// too large to be published is left out; the record notes that of the key and the value. The letter
/// in the store has all.
pub(super) fn dead_letter(
    limits: &TurnLimits,
    active: &impl ActiveRules,
    record: Record,
    letter: &DeadLetter,
) -> Option<OutboxRow> {
    let Record {
        position,
        key,
        value,
        mut attributes,
        ..
    } = record;
    let lane = active.dead_letters(&position.topic)?;
    let longest = limits.attribute_bytes;
    for (_, attribute) in attributes.named_mut() {
        *attribute = attribute.take().filter(|text| text.len() <= longest);
    }
    let is_short = |(name, value): &(String, String)| name.len() + value.len() <= longest;
    attributes.extra.retain(is_short);
    let source = attributes.source.take();
    attributes
        .extra
        .extend(source.map(|source| (header::SOURCE.to_owned(), source)));
    let mut publishable = |what: &str, bytes: Option<Vec<u8>>, limit: usize| {
        let length = bytes.as_ref().map_or(0, Vec::len);
        if length > limit {
            let omitted = (format!("dlq-{what}-omitted"), format!("{length} bytes"));
            attributes.extra.push(omitted);
        }
        bytes.filter(|_| length <= limit)
    };
    let key = publishable("key", key, limits.key_bytes);
    let value = publishable("value", value, limits.event_bytes);
    attributes.extra.extend(
        [
            ("dlq-topic", position.topic.to_string()),
            ("dlq-partition", position.partition.to_string()),
            ("dlq-offset", position.offset.to_string()),
            ("dlq-group", letter.group.clone()),
            ("dlq-reason", letter.reason.clone()),
            ("dlq-detail", letter.detail.clone()),
            ("dlq-attempts", letter.attempts.to_string()),
            ("dlq-digest", letter.digest.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Some(OutboxRow {
        topic: lane.topic,
        partition: partition_of(key.as_deref().unwrap_or_default(), lane.partitions),
        key,
        value,
        attributes,
        from_generation: false,
        time: letter.time,
    })
}

/// The partition of a key: FNV-1a, the same on every machine and in every version.
#[must_use]
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let hash = key.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash % partitions.max(1).unsigned_abs()) as i32
}
