//! An assigned partition, and what is known of it.

use std::time::Instant;

use rdkafka::consumer::base_consumer::PartitionQueue;

use super::assignment::Assignment;
use super::client_position::ClientPosition;
use super::doubtful_records::DoubtfulRecords;
use super::log_identity::LogIdentity;
use super::reading::Reading;
use super::stall::Stall;

/// An assigned partition.
pub(super) struct Partition {
    pub(super) queue: PartitionQueue<Assignment>,
    pub(super) state: PartitionState,
}

/// What is known of an assigned partition; apart from its queue, because the record at hand is borrowed from that.
pub(super) struct PartitionState {
    pub(super) reading: Reading,
    pub(super) doubtful: DoubtfulRecords,
    pub(super) log: LogIdentity,
    pub(super) stall: Stall,
    pub(super) position: ClientPosition,
    /// Whether it was reported that it stands before an open transaction.
    pub(super) is_before_transaction: bool,
    /// Whether it was reported that it can't be read.
    pub(super) is_failing: bool,
    /// Since when it can't be fetched from the offset that is wanted.
    pub(super) unsought: Option<Instant>,
    /// What Kafka has taken last.
    pub(super) committed: Option<i64>,
}

impl PartitionState {
    /// Of a partition that is taken up.
    pub(super) fn new(reading: Reading, doubtful: DoubtfulRecords, log: LogIdentity) -> Self {
        Self {
            reading,
            doubtful,
            log,
            stall: Stall::new(),
            position: ClientPosition::default(),
            is_before_transaction: false,
            is_failing: false,
            unsought: None,
            committed: None,
        }
    }
}
