//! The settings of a worker.

use std::time::Duration;

use super::host::HostTypes;
use crate::journal::Kept;
use crate::limits::TurnLimits;
use crate::retry::RetryPolicy;

/// The settings of a worker.
pub struct WorkerSettings<H: HostTypes> {
    /// Number of the worker, unique within the store.
    pub number: u64,
    /// Row of its participant.
    pub participant: i64,
    /// Name of its participant.
    pub name: String,
    /// True if other hosts decide on the same aggregates: only what is in flight is trusted without
    /// a commit that verifies it.
    pub is_shared: bool,
    /// Bounds of a turn.
    pub limits: TurnLimits,
    /// What is recorded of each decision.
    pub kept: Kept,
    /// Limits of retries.
    pub retry: RetryPolicy,
    /// Other waits.
    pub waits: Waits,
    /// Capacity for parked messages of its participant.
    pub room: H::Room,
}

/// Waits of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Longest wait of a message in memory. For a longer wait it is parked in the store, so that
    /// its partition goes on.
    pub moment: Duration,
    /// Delay before the next read of the store after a failure.
    pub store: Duration,
    /// Delay before the next attempt at a message after a shortage of the machine.
    pub machine: Duration,
    /// Least interval at which reads of one name are counted in the store, since each count would
    /// wake the writer.
    pub reads: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            moment: Duration::from_secs(1),
            store: Duration::from_millis(200),
            machine: Duration::from_millis(500),
            reads: Duration::from_secs(5),
        }
    }
}
