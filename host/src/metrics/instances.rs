//! Instances of the rules: their memory, and the reasons of their renewal.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use saga_core::rules::Renewal;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstanceLabels {
    participant: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RenewalLabels {
    participant: Arc<str>,
    reason: &'static str,
}

/// The metrics of the instances of all participants.
#[derive(Clone)]
pub(super) struct InstanceFamilies {
    memory: Family<InstanceLabels, Gauge>,
    renewed: Family<RenewalLabels, Counter>,
}

impl InstanceFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            memory: Family::default(),
            renewed: Family::default(),
        };
        registry.register(
            "instance_memory_bytes",
            "Memory of the instances of the rules, all together",
            families.memory.clone(),
        );
        registry.register(
            "instances_renewed",
            "Instances that were thrown away, by reason: the rules broke, or much was left in memory or in handles",
            families.renewed.clone(),
        );
        families
    }
}

/// The instances of one participant. Does nothing if metrics are off.
#[derive(Clone, Default)]
pub struct Instances(Option<InstanceCounters>);

#[derive(Clone)]
struct InstanceCounters {
    memory: Gauge,
    renewed: [Counter; Renewal::ALL.len()],
}

impl Instances {
    pub(super) fn new(families: &InstanceFamilies, participant: &str) -> Self {
        let participant: Arc<str> = participant.into();
        let labels = InstanceLabels {
            participant: participant.clone(),
        };
        let renewed = Renewal::ALL.map(|reason| {
            families.renewed.get_or_create_owned(&RenewalLabels {
                participant: participant.clone(),
                reason: reason.word(),
            })
        });
        Self(Some(InstanceCounters {
            memory: families.memory.get_or_create_owned(&labels),
            renewed,
        }))
    }

    /// Counts the upkeep after a call: the instance's memory in bytes before and now, and the
    /// number of renewals, indexed like [`Renewal::ALL`].
    pub fn upkeep(&self, (before, now): (usize, usize), renewed: &[u32; Renewal::ALL.len()]) {
        let Some(own) = &self.0 else {
            return;
        };
        if before != now {
            own.memory.inc_by(now as i64 - before as i64);
        }
        for (counter, count) in own.renewed.iter().zip(renewed) {
            if *count > 0 {
                counter.inc_by(u64::from(*count));
            }
        }
    }
}
