//! A record of a topic, as transports deliver and publish it, with the attributes in its headers.
//!
//! The attributes are CloudEvents 1.0 context attributes in Kafka binary mode and the W3C trace
//! context; [`Attributes`] names the headers. The value is the event's body and nothing else.

use serde::{Deserialize, Serialize};

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position in the topic.
    pub position: Position,
    /// Its time, in milliseconds since the Unix epoch; 0 if the broker does not provide it.
    pub timestamp: u64,
    /// Record key.
    pub key: Option<Vec<u8>>,
    /// Record value; None for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Attributes from its headers.
    pub attributes: Attributes,
}

/// A position in a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Topic.
    pub topic: std::sync::Arc<str>,
    /// Tells the record from other ones at the same offset, in a recreated topic for example. None
    /// if an offset is never given twice.
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

/// The attributes in the headers of a record. Each may be missing.
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
    /// Further headers: those of a record that the rules may ask for, the version of its event, and
    /// those that describe a dead letter.
    pub extra: Vec<(String, String)>,
}

impl Attributes {
    /// The attributes with the names of their headers, without [`Self::extra`].
    #[must_use]
    pub fn named(&self) -> [(&'static str, &Option<String>); 7] {
        [
            (header::ID, &self.id),
            (header::SOURCE, &self.source),
            (header::TYPE, &self.event_type),
            (header::CORRELATION, &self.correlation),
            (header::CAUSATION, &self.causation),
            (header::DIGEST, &self.digest),
            (header::TRACEPARENT, &self.traceparent),
        ]
    }

    /// The same attributes, mutable.
    pub fn named_mut(&mut self) -> [(&'static str, &mut Option<String>); 7] {
        [
            (header::ID, &mut self.id),
            (header::SOURCE, &mut self.source),
            (header::TYPE, &mut self.event_type),
            (header::CORRELATION, &mut self.correlation),
            (header::CAUSATION, &mut self.causation),
            (header::DIGEST, &mut self.digest),
            (header::TRACEPARENT, &mut self.traceparent),
        ]
    }
}

/// Header names.
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
    /// Id shared by all messages of a saga.
    pub const CORRELATION: &str = "ce_correlationid";
    /// Id of the message that caused this one.
    pub const CAUSATION: &str = "ce_causationid";
    /// Version of the event's body, a whole number from 1; 1 if it is missing. An extension
    /// attribute of CloudEvents.
    pub const DATA_VERSION: &str = "ce_dataversion";
    /// Digest of the component that decided.
    pub const DIGEST: &str = "ce_sagadigest";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// Media type of the value.
    pub const CONTENT_TYPE: &str = "content-type";
}
