//! Records that a participant passes over because it does not subscribe to their event type.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The label of all types without a series of their own.
const OTHER: &str = "other";

/// Longest type with a series of its own, in bytes.
const TYPE_BYTES: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PassedLabels {
    participant: Arc<str>,
    topic: String,
    event_type: String,
}

pub(super) fn register(registry: &mut Registry) -> Family<PassedLabels, Counter> {
    let passed = Family::default();
    registry.register(
        "records_passed_over",
        "Records of event types that the participant does not take",
        passed.clone(),
    );
    passed
}

/// The records that a participant passes over. Counts nothing if metrics are off.
#[derive(Clone, Default)]
pub struct PassedCounters(Option<(Family<PassedLabels, Counter>, Arc<str>)>);

impl PassedCounters {
    pub(super) fn new(family: &Family<PassedLabels, Counter>, participant: &str) -> Self {
        Self(Some((family.clone(), participant.into())))
    }

    /// The counter for records of a topic and a type; `None` stands for all further types. Types
    /// come from records: the caller bounds their number.
    #[must_use]
    pub fn counter(&self, topic: &str, event_type: Option<&str>) -> Counter {
        let Some((family, participant)) = &self.0 else {
            return Counter::default();
        };
        let is_plain = |name: &&str| {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
            name.len() <= TYPE_BYTES && name.bytes().all(is_plain)
        };
        let labels = PassedLabels {
            participant: participant.clone(),
            topic: topic.to_owned(),
            event_type: event_type.filter(is_plain).unwrap_or(OTHER).to_owned(),
        };
        family.get_or_create_owned(&labels)
    }
}
