//! The identities that are on their way to disk, so that a repeated event is known before its first one is committed.

use std::collections::{HashSet, VecDeque};

use saga_core::identity::Identity;

/// Identities whose entries are not yet committed.
#[derive(Default)]
pub(super) struct Recent {
    identities: HashSet<Identity>,
    /// The same, with the tickets of their entries, in order.
    tickets: VecDeque<(u64, Identity)>,
}

impl Recent {
    /// Whether the entry of this identity is on its way.
    pub(super) fn holds(&self, identity: &Identity) -> bool {
        self.identities.contains(identity)
    }

    /// Notes the identity of the entry with this ticket, which is higher than all before.
    pub(super) fn note(&mut self, ticket: u64, identity: Identity) {
        self.identities.insert(identity.clone());
        self.tickets.push_back((ticket, identity));
    }

    /// Forgets those whose entries are committed, up to this ticket.
    pub(super) fn committed(&mut self, ticket: u64) {
        while let Some((noted, _)) = self.tickets.front()
            && *noted <= ticket
        {
            if let Some((_, identity)) = self.tickets.pop_front() {
                self.identities.remove(&identity);
            }
        }
    }

    /// Forgets all: none of it came to be.
    pub(super) fn clear(&mut self) {
        self.identities.clear();
        self.tickets.clear();
    }
}
