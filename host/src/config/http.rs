//! The participants' listeners: what can be set of them.

use serde::Serialize;

use super::in_range;
use super::reader::Reader;

/// Bounds of the listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpSettings {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Connections of one listener.
    pub connections: usize,
}

pub(super) fn read_http(reader: &mut Reader) -> HttpSettings {
    HttpSettings {
        body_bytes: reader.get(&["http", "body_bytes"], 1 << 20, in_range(1, 1 << 30)),
        connections: reader.get(&["http", "connections"], 1_024, in_range(1, 1 << 20)),
    }
}
