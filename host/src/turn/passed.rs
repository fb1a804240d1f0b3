//! Records of event types that the participant does not subscribe to: counted by topic and type,
//! and reported once for each type.
//!
//! Types come from records, so their number is bounded (invariant 9): further ones are counted
//! together.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use saga_contract::description::Description;
use saga_contract::near;

use crate::metrics::passed::PassedCounters;

/// Types with counters of their own, in all topics.
const TYPES: usize = 100;

/// Characters of a type that are logged.
const LOGGED: usize = 128;

/// The records passed over since the start.
pub(super) struct PassedOver {
    counters: PassedCounters,
    known: Mutex<KnownEventType>,
}

#[derive(Default)]
struct KnownEventType {
    topics: HashMap<Arc<str>, HashMap<String, Counter>>,
    types: usize,
    /// Further types, by topic.
    others: HashMap<Arc<str>, Counter>,
    /// True once the log has noted that there are further types.
    is_told: bool,
}

impl PassedOver {
    pub(super) fn new(counters: PassedCounters) -> Self {
        Self {
            counters,
            known: Mutex::default(),
        }
    }

    /// Begins the series of a topic at 0, since it is read from now on.
    pub(super) fn begin(&self, topic: &Arc<str>) {
        let mut known = self.known.lock();
        (known.others.entry(topic.clone())).or_insert_with(|| self.counters.counter(topic, None));
    }

    /// Counts a record that is passed over: its topic, by the transport's name and by the
    /// description's, and its type.
    pub(super) fn note(
        &self,
        (topic, declared_topic): (&Arc<str>, &str),
        event_type: &str,
        description: &Description,
    ) {
        let mut known = self.known.lock();
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
