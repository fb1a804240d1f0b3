//! Records that no turn has decided.

use saga_core::commit::OutboxRow;
use saga_core::record::{Attributes, header};
use saga_core::worker::partition_of;

use crate::store::{Store, StoreResult};

/// A record to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Row of the topic.
    pub topic: i64,
    /// Record key.
    pub key: Vec<u8>,
    /// Record value.
    pub value: Vec<u8>,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its time, in milliseconds since the Unix epoch.
    pub time: u64,
}

/// Publishes a record to the partition of its key, out of this many; returns the partition and the
/// offset once it is durable. Blocks.
///
/// # Errors
/// The store's error.
pub fn append(store: &Store, record: NewRecord, partitions: i32) -> StoreResult<(i32, i64)> {
    let NewRecord {
        topic,
        key,
        value,
        mut attributes,
        time,
    } = record;
    // The source of a turn's record follows from its generation, so no column has it.
    let source = attributes.source.take();
    let source = source.map(|source| (header::SOURCE.to_owned(), source));
    attributes.extra.extend(source);
    let partition = partition_of(&key, partitions);
    let offset = store.append(OutboxRow {
        topic,
        partition,
        key: Some(key),
        value: Some(value),
        attributes,
        from_generation: false,
        time,
    })?;
    Ok((partition, offset))
}
