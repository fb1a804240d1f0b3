//! Sagas that wait for something for long.

use std::collections::BTreeMap;

use serde::Serialize;

use super::waits::{self, Expected, Wait};
use crate::store::{ReadStore, StoreResult};

/// Most sagas that are listed: those that have waited longest. Others are counted (invariant 9).
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

/// Since when a saga has waited. A timer of which that is not known has waited since it was due.
fn since(wait: &Wait) -> u64 {
    match (&wait.what, wait.since) {
        (_, Some(since)) => since,
        (Expected::Timer { due, .. }, None) => *due,
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
        if saga.waits.len() < WAITS {
            saga.waits.push(wait);
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
        for saga in &mut sagas {
            saga.waits.sort_by_key(since);
        }
        Stuck {
            sagas,
            has_more: self.has_more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(correlation: &str, since: Option<u64>, due: u64) -> Wait {
        Wait {
            correlation: correlation.to_owned(),
            participant: "order".to_owned(),
            key: None,
            since,
            what: Expected::Timer {
                name: "late".to_owned(),
                due,
                parked: None,
            },
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
                wait("b", Some(20), 90),
                wait("young", Some(51), 90),
                wait("a", Some(50), 90),
                wait("a", Some(10), 90),
                wait("since when is not known", None, 30),
                wait("not due", None, 60),
            ],
            50,
        );
        let found: Vec<_> = (stuck.sagas.iter())
            .map(|saga| (saga.correlation.as_str(), saga.since, saga.waits.len()))
            .collect();
        let unknown = ("since when is not known", 30, 1);
        assert_eq!(found, [("a", 10, 2), ("b", 20, 1), unknown]);
        assert!(!stuck.has_more);
    }

    #[test]
    fn of_many_the_oldest_are_listed() {
        let many = 3 * LISTED as u64;
        let waits = (0..many).rev();
        let stuck = of(
            waits
                .map(|time| wait(&time.to_string(), Some(time), 0))
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
