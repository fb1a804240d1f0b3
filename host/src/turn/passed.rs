//! Records of event types that the participant does not take: counted by topic and type, and reported once for each type.
//!
//! Types come from records, so their number is bounded (invariant 9): further ones are counted together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use saga_core::description::Description;
use saga_core::near;

use crate::metrics::passed::PassedCounters;

/// Types that are told apart, in all topics.
const TYPES: usize = 100;

/// Characters of a type that are logged.
const LOGGED: usize = 128;

/// What was passed over since the start.
pub(super) struct PassedOver {
    counters: PassedCounters,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    topics: HashMap<Arc<str>, HashMap<String, Counter>>,
    types: usize,
    /// Further types, by topic.
    others: HashMap<Arc<str>, Counter>,
    /// Whether it was logged that there are further types.
    is_told: bool,
}

impl PassedOver {
    pub(super) fn new(counters: PassedCounters) -> Self {
        Self {
            counters,
            known: Mutex::default(),
        }
    }

    /// This topic is read: its series begins at 0.
    pub(super) fn begin(&self, topic: &Arc<str>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        (known.others.entry(topic.clone())).or_insert_with(|| self.counters.counter(topic, None));
    }

    /// A record of this topic, by its name on the transport and that in the description, and of this type is passed over.
    pub(super) fn note(
        &self,
        (topic, declared_topic): (&Arc<str>, &str),
        event_type: &str,
        description: &Description,
    ) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_topic = known.topics.get(topic);
        if let Some(counter) = of_topic.and_then(|types| types.get(event_type)) {
            counter.inc();
            return;
        }
        if known.types < TYPES {
            known.types += 1;
            let counter = self.counters.counter(topic, Some(event_type));
            counter.inc();
            let types = known.topics.entry(topic.clone()).or_default();
            types.insert(event_type.to_owned(), counter);
            drop(known);
            tell(topic, declared_topic, event_type, description);
            return;
        }
        let is_first = !std::mem::replace(&mut known.is_told, true);
        let others = (known.others.entry(topic.clone()))
            .or_insert_with(|| self.counters.counter(topic, None));
        others.inc();
        drop(known);
        if is_first {
            tracing::warn!(
                participant = %description.name, %topic,
                "records of more than {TYPES} event types are passed over; further types are counted together and not logged"
            );
        }
    }
}

fn tell(topic: &str, declared_topic: &str, event_type: &str, description: &Description) {
    let of_topic = (description.subscriptions.iter())
        .filter(|subscription| subscription.topic == declared_topic)
        .map(|subscription| subscription.event_type.as_str());
    let meant = (of_topic.clone()).find(|taken| near::is_near(taken, event_type));
    let participant = &description.name;
    let event_type: String = event_type.chars().take(LOGGED).collect();
    match meant {
        Some(meant) => tracing::warn!(
            %participant, %topic, ?event_type,
            "records of an event type that the participant does not take are passed over; was `{meant}` meant, which it takes?"
        ),
        None => {
            let takes = of_topic.collect::<Vec<_>>().join(", ");
            tracing::info!(
                %participant, %topic, ?event_type, takes,
                "records of an event type that the participant does not take are passed over"
            );
        }
    }
}
