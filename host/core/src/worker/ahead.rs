//! Rows that are loaded for several turns at once, before they begin.
//!
//! Where a question of the store is a round trip, a worker loads what its waiting turns will ask
//! with one question. The rows may be out of date when a turn begins. The commit verifies what was
//! decided on them; a read may see an older state, but none from before it was offered.

use std::collections::BTreeMap;

use super::Worker;
use super::host::{HostTypes, TakenRecord};
use super::turn::Turn;
use super::turns::identity_of;
use crate::commit::SharedAggregate;
use crate::identity::{self, Identity};

/// The rows that turns will ask for, and those of them that are loaded. Each answers one question:
/// what is asked again has changed since.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ahead {
    /// Identities of events, with true if they were applied or parked; none while that is not known.
    pub identities: BTreeMap<Identity, Option<bool>>,
    /// Aggregates by key; none while they are not loaded.
    pub aggregates: BTreeMap<String, Option<SharedAggregate>>,
}

impl Ahead {
    /// True if nothing is left to load.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.identities.values().all(Option::is_some)
            && self.aggregates.values().all(Option::is_some)
    }

    /// True if an event was applied or parked; none if that was not loaded.
    pub fn was_applied(&mut self, identity: &Identity) -> Option<bool> {
        self.identities.remove(identity).flatten()
    }

    /// The aggregate of this key; none if it was not loaded.
    pub fn aggregate(&mut self, key: &str) -> Option<SharedAggregate> {
        self.aggregates.remove(key).flatten()
    }
}

impl<H: HostTypes> Worker<H> {
    /// Adds the rows that a turn will ask for, as far as that is known before it begins.
    pub fn foresee(&self, turn: &Turn<H>, ahead: &mut Ahead) {
        let key = match turn {
            // Nothing verifies a read.
            Turn::Read(turn) => Some(&turn.envelope.message.key),
            Turn::Migrate(turn) => {
                let key = &turn.envelope.message.key;
                (!self.is_in_flight(key)).then_some(key)
            }
            // A new key: there is no aggregate.
            Turn::Command(turn) if turn.generated_key.is_some() => {
                let key = turn.envelope.message.key.clone();
                ahead
                    .aggregates
                    .insert(key, Some(SharedAggregate::default()));
                None
            }
            Turn::Command(turn) => self.uncached(&turn.envelope.message.key),
            Turn::Timer(turn) => self.uncached(&turn.envelope.message.key),
            Turn::Event(turn) => {
                let place = turn.taken.may_repeat();
                let place = place.then(|| identity::of_position(&turn.record.position));
                for identity in place
                    .into_iter()
                    .chain([identity_of(&turn.envelope.message)])
                {
                    if self.flight.holds(&identity).is_none() {
                        ahead.identities.entry(identity).or_default();
                    }
                }
                self.uncached(&turn.envelope.message.key)
            }
            Turn::Unreadable(_) | Turn::Passed(_) => None,
        };
        if let Some(key) = key {
            ahead.aggregates.entry(key.clone()).or_default();
        }
    }

    fn uncached<'k>(&self, key: &'k String) -> Option<&'k String> {
        self.cache.peek(key).is_none().then_some(key)
    }
}
