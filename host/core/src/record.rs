//! What a transport delivers and takes: a record of a topic, with the attributes that travel in its
//! headers.
//!
//! The attributes are CloudEvents 1.0 context attributes in Kafka binary mode and W3C trace
//! context; [`Attributes`] names the headers. The value is the event's body and nothing else.

use serde::{Deserialize, Serialize};

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it was read.
    pub position: Position,
    /// When it was made, in milliseconds since the Unix epoch; 0 where the broker does not say.
    pub timestamp: u64,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value; none for a tombstone.
    pub value: Option<Vec<u8>>,
    /// What its headers say.
    pub attributes: Attributes,
}

/// A place in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Topic.
    pub topic: std::sync::Arc<str>,
    /// Which topic of this name, by the id that the brokers gave it; none for the first one that was read. In another one, the
    /// same offset is another record.
    pub incarnation: Option<std::sync::Arc<str>>,
    /// Partition, from 0.
    pub partition: i32,
    /// Offset, from 0.
    pub offset: i64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// What the headers of a record say. Every one may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// `ce_id`.
    pub id: Option<String>,
    /// `ce_source`.
    pub source: Option<String>,
    /// `ce_type`.
    pub event_type: Option<String>,
    /// `ce_correlationid`.
    pub correlation: Option<String>,
    /// `ce_causationid`: id of the message that caused this event.
    pub causation: Option<String>,
    /// `ce_sagadigest`: digest of the component that decided.
    pub digest: Option<String>,
    /// `traceparent`.
    pub traceparent: Option<String>,
    /// What a dead letter says of itself, as further headers.
    pub extra: Vec<(String, String)>,
}

/// Header names, in one place.
pub mod header {
    /// CloudEvents id.
    pub const ID: &str = "ce_id";
    /// CloudEvents source.
    pub const SOURCE: &str = "ce_source";
    /// CloudEvents type.
    pub const TYPE: &str = "ce_type";
    /// CloudEvents specification version.
    pub const SPEC_VERSION: &str = "ce_specversion";
    /// CloudEvents time (RFC 3339).
    pub const TIME: &str = "ce_time";
    /// Id that all messages of a saga share.
    pub const CORRELATION: &str = "ce_correlationid";
    /// Id of the message that caused this one.
    pub const CAUSATION: &str = "ce_causationid";
    /// Digest of the component that decided.
    pub const DIGEST: &str = "ce_sagadigest";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// Media type of the value.
    pub const CONTENT_TYPE: &str = "content-type";
}
