//! What a worker is made with.

use std::time::Duration;

use super::host::Host;
use crate::limits::TurnLimits;
use crate::retry::RetryPolicy;

/// What a worker is made with.
pub struct Settings<H: Host> {
    /// Number of the worker, which no other worker of the store has.
    pub number: u64,
    /// Row of its participant.
    pub participant: i64,
    /// Name of its participant.
    pub name: String,
    /// Bounds of a turn.
    pub limits: TurnLimits,
    /// How often and how soon to try again.
    pub retry: RetryPolicy,
    /// How long to wait otherwise.
    pub waits: Waits,
    /// How much of its participant may be parked.
    pub room: H::Room,
}

/// How long a worker waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// Longest wait of a message in memory. One that waits for longer is parked in the store, so
    /// that its partition goes on.
    pub moment: Duration,
    /// Wait before the store is asked again after it failed.
    pub store: Duration,
    /// Wait before a message is tried again for which the machine lacked something.
    pub machine: Duration,
    /// Reads of one name are counted in the store no more often than this: each would wake the
    /// writer.
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
