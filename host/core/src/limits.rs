//! Bounds of the input and output of a turn (invariant 9).
//!
//! Each has a unit, a reason and an attacker in mind. The bounds of the running guest (fuel,
//! memory, time) are enforced where it runs; these bound the values on either side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds of one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TurnLimits {
    /// Bytes of a record's value that is offered to rules. A larger one becomes a dead letter.
    #[schemars(range(min = 1, max = 64 << 20))]
    pub record_bytes: usize,
    /// Bytes of an aggregate's key. Keys are in every row, so a long one costs everywhere.
    #[schemars(range(min = 1, max = 64 << 20))]
    pub key_bytes: usize,
    /// Bytes of a record's id, source, correlation and trace context, and of a header that the rules
    /// ask for. They are stored in all rows that the record leads to.
    #[schemars(range(min = 1, max = 64 << 20))]
    pub attribute_bytes: usize,
    /// Bytes of one aggregate's state. It is read and written in full in every turn.
    #[schemars(range(min = 1, max = 64 << 20))]
    pub state_bytes: usize,
    /// Bytes of one event's body. Below the broker's `message.max.bytes` (1 MiB).
    #[schemars(range(min = 1, max = 64 << 20))]
    pub event_bytes: usize,
    /// Bytes of a reply's body.
    #[schemars(range(min = 1, max = 64 << 20))]
    pub reply_bytes: usize,
    /// Events that one turn may publish.
    #[schemars(range(min = 0, max = 10_000))]
    pub events: usize,
    /// Timers that one turn may set or cancel.
    #[schemars(range(min = 0, max = 10_000))]
    pub timers: usize,
    /// Check states, events, timers and replies against the schemas that the rules declare, and
    /// refusals against those of the command. If false, only new rules are checked so, before they
    /// become active.
    pub check_outputs: bool,
}

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            record_bytes: 1 << 20,
            key_bytes: 512,
            attribute_bytes: 1_024,
            state_bytes: 256 << 10,
            event_bytes: 512 << 10,
            reply_bytes: 1 << 20,
            events: 64,
            timers: 16,
            check_outputs: true,
        }
    }
}
