//! Sagas that wait for something for long.

use std::collections::BTreeMap;

use serde::Serialize;

use super::waits::{self, Expected, Wait};
use crate::store::{ReadStore, StoreResult};

/// Most sagas that are listed: those that have waited longest (invariant 9).
pub const LISTED: usize = 1_000;

/// Most waits of one saga that are listed.
const WAITS: usize = 20;

/// The sagas that wait, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stuck {
    /// The sagas.
    pub sagas: Vec<StuckSaga>,
    /// True if more sagas wait than are listed.
    pub has_more: bool,
}

/// A saga that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StuckSaga {
    /// Its correlation.
    pub correlation: String,
    /// Since when it has waited, in milliseconds since the Unix epoch.
    pub since: u64,
    /// For what, the oldest first.
    pub waits: Vec<Wait>,
}

/// The sagas that have waited for something since before a time, in milliseconds since the Unix
/// epoch; with a participant, only those for which that one has to go on.
///
/// # Errors
/// The store can't be read.
pub fn stuck(
    reading: &dyn ReadStore,
    before: u64,
    participant: Option<&str>,
) -> StoreResult<Stuck> {
    let mut found = Found::default();
    waits::each(reading, &mut |wait| {
        if participant.is_none_or(|wanted| wait.participant == wanted) {
            found.add(wait, before);
        }
    })?;
    Ok(found.sorted())
}

/// Since when a saga has waited. A timer is waited for since it was due; a parked one, since it was
/// parked.
fn since(wait: &Wait) -> u64 {
    match (&wait.what, wait.since) {
        (
            Expected::Timer {
                due, parked: None, ..
            },
            _,
        ) => *due,
        (_, Some(since)) => since,
        (_, None) => u64::MAX,
    }
}

#[derive(Default)]
struct Found {
    sagas: BTreeMap<String, StuckSaga>,
    has_more: bool,
}

impl Found {
    fn add(&mut self, wait: Wait, before: u64) {
        let since = since(&wait);
        if since > before {
            return;
        }
        let new = || StuckSaga {
            correlation: wait.correlation.clone(),
            since,
            waits: Vec::new(),
        };
        let saga = (self.sagas.entry(wait.correlation.clone())).or_insert_with(new);
        saga.since = saga.since.min(since);
        // Behind those that are as old.
        let place = (saga.waits).partition_point(|one| self::since(one) <= since);
        if place < WAITS {
            saga.waits.insert(place, wait);
            saga.waits.truncate(WAITS);
        }
        // Twice as many, so that the youngest are not sought for each one.
        if self.sagas.len() > 2 * LISTED {
            self.keep_oldest();
        }
    }

    fn keep_oldest(&mut self) {
        let mut all: Vec<_> = std::mem::take(&mut self.sagas).into_values().collect();
        all.sort_by_key(|saga| saga.since);
        self.has_more |= all.len() > LISTED;
        all.truncate(LISTED);
        let named = all.into_iter().map(|saga| (saga.correlation.clone(), saga));
        self.sagas = named.collect();
    }

    fn sorted(mut self) -> Stuck {
        self.keep_oldest();
        let mut sagas: Vec<_> = self.sagas.into_values().collect();
        sagas.sort_by(|one, other| {
            (one.since, &one.correlation).cmp(&(other.since, &other.correlation))
        });
        Stuck {
            sagas,
            has_more: self.has_more,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::explain::timeline::RecordPlace;

    fn timer(correlation: &str, set: Option<u64>, due: u64, is_parked: bool) -> Wait {
        Wait {
            correlation: correlation.to_owned(),
            participant: "order".to_owned(),
            key: None,
            since: set,
            what: Expected::Timer {
                name: "late".to_owned(),
                due,
                parked: is_parked.then(|| "trap".to_owned()),
            },
        }
    }

    fn wait(correlation: &str, since: Option<u64>) -> Wait {
        Wait {
            what: Expected::Unpublished {
                event_type: None,
                id: None,
                place: RecordPlace {
                    topic: "t".to_owned(),
                    partition: 0,
                    offset: 0,
                },
            },
            ..timer(correlation, since, 0, false)
        }
    }

    fn of(waits: Vec<Wait>, before: u64) -> Stuck {
        let mut found = Found::default();
        waits.into_iter().for_each(|wait| found.add(wait, before));
        found.sorted()
    }

    #[test]
    fn the_oldest_come_first_and_young_ones_are_left_out() {
        let stuck = of(
            vec![
                wait("b", Some(20)),
                wait("young", Some(51)),
                wait("a", Some(50)),
                wait("a", Some(10)),
                wait("since when is not known", None),
            ],
            50,
        );
        let found: Vec<_> = (stuck.sagas.iter())
            .map(|saga| (saga.correlation.as_str(), saga.since, saga.waits.len()))
            .collect();
        assert_eq!(found, [("a", 10, 2), ("b", 20, 1)]);
        assert!(!stuck.has_more);
    }

    #[test]
    fn a_timer_is_waited_for_since_it_was_due_and_a_parked_one_since_then() {
        let stuck = of(
            vec![
                timer("not due", Some(0), 60, false),
                timer("due", Some(0), 30, false),
                timer("set at an unknown time", None, 40, false),
                timer("parked", Some(45), 30, true),
                timer("parked just now", Some(55), 30, true),
            ],
            50,
        );
        let found: Vec<_> = (stuck.sagas.iter())
            .map(|saga| (saga.correlation.as_str(), saga.since))
            .collect();
        let unknown = ("set at an unknown time", 40);
        assert_eq!(found, [("due", 30), unknown, ("parked", 45)]);
    }

    #[test]
    fn of_many_waits_of_a_saga_the_oldest_are_listed() {
        let most = WAITS as u64;
        let waits = (0..2 * most).rev().map(|time| wait("a", Some(time)));
        let stuck = of(waits.collect(), 2 * most);
        let saga = stuck.sagas.first().unwrap();
        let times = saga.waits.iter().map(|wait| wait.since);
        assert!(times.eq((0..most).map(Some)), "{saga:?}");
    }

    #[test]
    fn of_many_the_oldest_are_listed() {
        let many = 3 * LISTED as u64;
        let waits = (0..many).rev();
        let stuck = of(
            waits
                .map(|time| wait(&time.to_string(), Some(time)))
                .collect(),
            many,
        );
        assert_eq!((stuck.sagas.len(), stuck.has_more), (LISTED, true));
        assert!(
            stuck
                .sagas
                .iter()
                .map(|saga| saga.since)
                .eq(0..LISTED as u64)
        );
    }
}
