//! Records that a participant passes over, because it does not take events of their type.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What stands for types that have no series of their own.
const OTHER: &str = "other";

/// Bytes of a type that has a series of its own.
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

/// What a participant passes over. Counts nothing where metrics are off.
#[derive(Clone, Default)]
pub struct Passed(Option<(Family<PassedLabels, Counter>, Arc<str>)>);

impl Passed {
    pub(super) fn new(family: &Family<PassedLabels, Counter>, participant: &str) -> Self {
        Self(Some((family.clone(), participant.into())))
    }

    /// What records of a topic and a type are counted by; none stands for all further types. Types come from records: who asks
    /// bounds their number.
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
