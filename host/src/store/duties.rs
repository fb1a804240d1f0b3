//! What one host at a time does for all on a store: reading a partition of the embedded log,
//! offering timers, publishing to Kafka.
//!
//! A duty only saves work. What makes a second one harmless, as of a host that was paused, is
//! refused by the commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::hosts::HostPartition;

/// The duty to delete old rows.
pub(super) const PRUNING: &str = "pruning";

/// The duty to offer the timers of a participant. Its candidates are the hosts that run it.
#[must_use]
pub fn timers_of(participant: &str) -> String {
    format!("{TIMERS}{participant}")
}

/// How the duties of [`timers_of`] begin.
pub(super) const TIMERS: &str = "timers ";

/// The duty to publish a topic to Kafka.
#[must_use]
pub fn relay_of(topic: &str) -> String {
    format!("{RELAY}{topic}")
}

/// True if a duty is to publish a topic to Kafka.
#[must_use]
pub fn is_relay(duty: &str) -> bool {
    duty.starts_with(RELAY)
}

const RELAY: &str = "relay ";

/// The duty to read a partition of the embedded log.
#[must_use]
pub fn reading_of(consumer: &str, topic: &str, partition: i32) -> String {
    format!("{consumer} {topic} {partition}")
}

/// True if a duty is to read a partition.
pub(super) fn is_reading(duty: &str) -> bool {
    partition_of(duty).is_some()
}

/// The partition that a duty is to read.
#[must_use]
pub fn partition_of(duty: &str) -> Option<HostPartition> {
    let mut parts = duty.strip_prefix("log:").map(|_| duty.split(' '))?;
    Some(HostPartition {
        consumer: parts.next()?.to_owned(),
        topic: parts.next()?.to_owned(),
        partition: parts.next()?.parse().ok()?,
    })
}

/// The duties of a host; clones are one table.
#[derive(Clone)]
pub struct Duties(Arc<Table>);

struct Table {
    /// False if there are no other hosts on the store: everything is this one's.
    is_shared: bool,
    wanted: Mutex<BTreeMap<Arc<str>, Wanted>>,
}

struct Wanted {
    is_mine: Arc<AtomicBool>,
    /// Number of handles.
    handles: usize,
}

/// A duty that this host would do. It is left to others when the last handle is dropped.
pub struct Duty {
    name: Arc<str>,
    is_mine: Arc<AtomicBool>,
    of: Duties,
}

impl Duties {
    /// The duties of a host; of the only one on its store unless `is_shared`.
    #[must_use]
    pub fn new(is_shared: bool) -> Self {
        Self(Arc::new(Table {
            is_shared,
            wanted: Mutex::default(),
        }))
    }

    /// Offers to do this duty.
    #[must_use]
    pub fn offer(&self, name: &str) -> Duty {
        let name: Arc<str> = name.into();
        let mut wanted = self.0.wanted.lock();
        let one = wanted.entry(name.clone()).or_insert_with(|| Wanted {
            is_mine: Arc::new(AtomicBool::new(!self.0.is_shared)),
            handles: 0,
        });
        one.handles += 1;
        Duty {
            name,
            is_mine: one.is_mine.clone(),
            of: self.clone(),
        }
    }

    /// The duties that this host would do.
    #[must_use]
    pub fn offered(&self) -> Vec<Arc<str>> {
        self.0.wanted.lock().keys().cloned().collect()
    }

    /// The duties that this host does.
    #[must_use]
    pub fn held(&self) -> Vec<Arc<str>> {
        let wanted = self.0.wanted.lock();
        let held = wanted
            .iter()
            .filter(|(_, one)| one.is_mine.load(Ordering::Acquire));
        held.map(|(name, _)| name.clone()).collect()
    }

    /// True if this host does this duty now.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let wanted = self.0.wanted.lock();
        let known = wanted.get(name);
        known.map_or(!self.0.is_shared, |one| one.is_mine.load(Ordering::Acquire))
    }

    /// Takes in which duties this host does; true if these are others than before.
    pub(super) fn set(&self, is_mine: impl Fn(&str) -> bool) -> bool {
        let mut has_changed = false;
        for (name, one) in &*self.0.wanted.lock() {
            let mine = is_mine(name);
            has_changed |= one.is_mine.swap(mine, Ordering::AcqRel) != mine;
        }
        has_changed
    }
}

impl Duty {
    /// True while this host does it.
    #[must_use]
    pub fn is_mine(&self) -> bool {
        self.is_mine.load(Ordering::Acquire)
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        let mut wanted = self.of.0.wanted.lock();
        if let Some(one) = wanted.get_mut(&self.name) {
            one.handles -= 1;
            if one.handles == 0 {
                wanted.remove(&self.name);
            }
        }
    }
}

/// Who should do which duty: of the hosts that would (`candidates`, by host and duty), each as many
/// as the others, give or take one. Every host computes the same.
#[must_use]
pub(super) fn spread<'a>(candidates: &[(i64, &'a str)]) -> BTreeMap<&'a str, i64> {
    let mut hosts_of: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (host, duty) in candidates {
        hosts_of.entry(duty).or_default().push(*host);
    }
    let mut given: BTreeMap<Vec<i64>, usize> = BTreeMap::new();
    let mut spread = BTreeMap::new();
    for (duty, mut hosts) in hosts_of {
        hosts.sort_unstable();
        let nth = given.entry(hosts.clone()).or_default();
        if let Some(host) = hosts.get(*nth % hosts.len()) {
            spread.insert(duty, *host);
        }
        *nth += 1;
    }
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_host_does_everything_and_others_what_they_are_given() {
        assert!(Duties::new(false).offer("a").is_mine());
        let duties = Duties::new(true);
        let (a, b) = (duties.offer("a"), duties.offer("b"));
        assert!(!a.is_mine() && !b.is_mine());
        assert!(duties.set(|name| name == "a"));
        assert!(a.is_mine() && !b.is_mine());
        assert_eq!(duties.held(), ["a".into()]);
        assert!(duties.has("a") && !duties.has("b") && !duties.has("c"));
        assert!(!duties.set(|name| name == "a"), "nothing has changed");
        let again = duties.offer("a");
        drop(a);
        assert!(again.is_mine());
        drop((again, b));
        assert!(duties.offered().is_empty());
    }

    #[test]
    fn a_duty_to_read_names_its_partition() {
        let duty = reading_of("log:order/orders", "customerTopic", 3);
        let read = partition_of(&duty).unwrap();
        assert_eq!((read.participant(), read.group()), ("order", "orders"));
        assert_eq!((read.topic.as_str(), read.partition), ("customerTopic", 3));
        assert_eq!(partition_of("timers order"), None);
        assert_eq!(partition_of(&relay_of("t")), None);
    }

    #[test]
    fn duties_are_spread_over_the_hosts_that_would_do_them() {
        let duties = ["p0", "p1", "p2", "p3", "p4"];
        let both = duties.iter().flat_map(|duty| [(1, *duty), (2, *duty)]);
        let own = [(2, "own"), (3, "other")];
        let candidates: Vec<_> = both.chain(own).collect();
        let spread = spread(&candidates);
        let of = |host| spread.values().filter(|of| **of == host).count();
        assert_eq!((spread["own"], spread["other"]), (2, 3));
        assert_eq!((of(1), of(2), of(3)), (3, 3, 1));
    }
}
