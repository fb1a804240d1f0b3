//! The entries of a worker that are in flight: the entry that each was decided on, and the identity
//! that it records, so that repeated events are detected before the first is committed.

use std::collections::{HashMap, VecDeque};

use crate::identity::Identity;

/// The unsettled entries. Their number is bounded by the queue of the writer.
#[derive(Default)]
pub(super) struct Flight {
    /// In the order of their tickets.
    entries: VecDeque<FlightEntry>,
    /// Each with the ticket of its entry.
    identities: HashMap<Identity, u64>,
}

struct FlightEntry {
    ticket: u64,
    base: u64,
    identity: Option<Identity>,
    is_broken: bool,
}

impl Flight {
    /// The ticket of the entry in flight that records this identity.
    pub(super) fn holds(&self, identity: &Identity) -> Option<u64> {
        self.identities.get(identity).copied()
    }

    /// Adds an entry that is handed over. Its ticket is higher than all before.
    pub(super) fn hand_over(&mut self, ticket: u64, base: u64, identity: Option<Identity>) {
        if let Some(identity) = &identity {
            self.identities.insert(identity.clone(), ticket);
        }
        self.entries.push_back(FlightEntry {
            ticket,
            base,
            identity,
            is_broken: false,
        });
    }

    /// Removes all entries up to this ticket, which are settled.
    pub(super) fn settled(&mut self, through: u64) {
        while let Some(first) = self.entries.front()
            && first.ticket <= through
        {
            let identity = (self.entries.pop_front()).and_then(|first| first.identity);
            if let Some(identity) = identity {
                self.identities.remove(&identity);
            }
        }
    }

    /// Removes an entry that was not written, and those that were decided on it. Returns false if
    /// that is done already: later entries were decided on the stored state and remain valid.
    pub(super) fn breaks(&mut self, ticket: u64) -> bool {
        let place = (self.entries).binary_search_by_key(&ticket, |entry| entry.ticket);
        let Ok(place) = place else { return false };
        let mut broken = Vec::new();
        for entry in self.entries.iter_mut().skip(place) {
            if entry.ticket == ticket {
                if entry.is_broken {
                    return false;
                }
            } else if !broken.contains(&entry.base) {
                continue;
            }
            broken.push(entry.ticket);
            entry.is_broken = true;
            if let Some(identity) = entry.identity.take() {
                self.identities.remove(&identity);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> Identity {
        Identity {
            source: "s".into(),
            id: id.into(),
        }
    }

    #[test]
    fn invariant_3_what_breaks_with_an_entry_is_not_taken_for_applied() {
        let mut flight = Flight::default();
        flight.hand_over(1, 0, Some(id("a")));
        flight.hand_over(2, 0, Some(id("other")));
        flight.hand_over(3, 1, None);
        flight.hand_over(4, 3, Some(id("b")));
        assert!(flight.breaks(1));
        assert_eq!(
            (flight.holds(&id("a")), flight.holds(&id("b"))),
            (None, None)
        );
        assert_eq!(flight.holds(&id("other")), Some(2));
        // Decided on the stored state.
        flight.hand_over(5, 0, Some(id("a")));
        assert!(!flight.breaks(4), "it broke with the first one");
        assert_eq!(flight.holds(&id("a")), Some(5));
        flight.settled(4);
        assert_eq!(
            (flight.holds(&id("other")), flight.holds(&id("a"))),
            (None, Some(5))
        );
        flight.settled(5);
        assert_eq!(flight.holds(&id("a")), None);
    }
}
