//! The participants' listeners: what can be set of them.

use serde::Serialize;

use super::in_range;
use super::reader::Reader;
use crate::http::cors;

/// Bounds of the listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpSettings {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Connections of one listener.
    pub connections: usize,
    /// Longest that a request may wait for the decision of the saga (`Prefer: wait`), in seconds; 0 for not at all.
    pub wait_seconds: u64,
    /// Requests of one listener that wait for decisions or follow changes.
    pub watchers: usize,
    /// Seconds after which a stream of events says that it is still there.
    pub heartbeat_seconds: u64,
    /// Origins whose pages may use the API, such as `https://shop.example`; `*` for all, none for no CORS.
    pub cors_origins: Vec<String>,
}

pub(super) fn read_http(reader: &mut Reader) -> HttpSettings {
    HttpSettings {
        body_bytes: reader.get(&["http", "body_bytes"], 1 << 20, in_range(1, 1 << 30)),
        connections: reader.get(&["http", "connections"], 1_024, in_range(1, 1 << 20)),
        wait_seconds: reader.get(&["http", "wait_seconds"], 30, in_range(0, 3_600)),
        watchers: reader.get(&["http", "watchers"], 4_096, in_range(0, 1 << 20)),
        heartbeat_seconds: reader.get(&["http", "heartbeat_seconds"], 15, in_range(1, 3_600)),
        cors_origins: reader.get(&["http", "cors_origins"], Vec::new(), are_origins),
    }
}

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn are_origins(origins: &Vec<String>) -> Result<(), String> {
    for origin in origins {
        cors::check_origin(origin).map_err(|reason| format!("is refused: {origin} {reason}"))?;
    }
    if origins.len() > 1 && origins.iter().any(|origin| origin == "*") {
        return Err("lists `*`, which stands for all, beside others".into());
    }
    Ok(())
}
