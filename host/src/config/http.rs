//! The participants' listeners: what can be set of them.

use serde::Serialize;

use super::in_range;
use super::reader::Reader;
use crate::store::IdempotencySettings;

/// Bounds of the listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpSettings {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Connections of one listener.
    pub connections: usize,
    /// Hours for which a command with an `Idempotency-Key` is answered as it was the first time.
    pub idempotency_hours: u64,
    /// Such keys at most, of all participants.
    pub idempotency_keys: usize,
}

impl HttpSettings {
    /// What the store is to know of it.
    #[must_use]
    pub fn idempotency(&self) -> IdempotencySettings {
        IdempotencySettings {
            hours: self.idempotency_hours,
            keys: self.idempotency_keys,
        }
    }
}

pub(super) fn read_http(reader: &mut Reader) -> HttpSettings {
    let default = IdempotencySettings::default();
    HttpSettings {
        body_bytes: reader.get(&["http", "body_bytes"], 1 << 20, in_range(1, 1 << 30)),
        connections: reader.get(&["http", "connections"], 1_024, in_range(1, 1 << 20)),
        idempotency_hours: reader.get(
            &["http", "idempotency_hours"],
            default.hours,
            in_range(1, 8_760),
        ),
        idempotency_keys: reader.get(
            &["http", "idempotency_keys"],
            default.keys,
            in_range(1, 100_000_000),
        ),
    }
}
