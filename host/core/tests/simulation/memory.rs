//! What a worker remembers between turns: the aggregates and events of turns that are not yet committed, and
//! how far its commits have come.

use std::rc::Rc;

use saga_core::identity::Identity;
use saga_core::outcome::StateChange;

use crate::attempt::Decided;
use crate::entry::Entry;
use crate::scene::Scene;
use crate::store::{Store, StoredAggregate};
use crate::worker::{Bench, Known, Worker};

impl Worker {
    /// Takes notice of what the writer did meanwhile.
    pub(crate) fn catch_up(&mut self, scene: &mut Scene) {
        let run = self.progress.run.get();
        if run != self.run {
            scene.note("sent-back", format_args!("to run {run}"));
            self.run = run;
            self.known.clear();
            self.recent.clear();
            self.recent_tickets.clear();
            self.begin_parked_anew(scene);
        }
        let committed = self.progress.committed.get();
        while self
            .recent_tickets
            .front()
            .is_some_and(|(ticket, _)| *ticket <= committed)
        {
            if let Some((_, identity)) = self.recent_tickets.pop_front() {
                self.recent.remove(&identity);
            }
        }
        // What is committed may be forgotten at any time.
        if scene.random.percent(20) {
            self.known.retain(|_, known| known.ticket > committed);
        }
    }

    /// Whether this was applied or given up, on disk or on its way there.
    pub(crate) fn was_seen(&self, identity: &Identity, store: &Store) -> bool {
        self.recent.contains(identity) || store.inbox.contains(identity)
    }

    /// Notes what the last entry takes care of, until it is committed.
    pub(crate) fn remember_seen(&mut self, identity: Identity) {
        self.recent.insert(identity.clone());
        self.recent_tickets.push_back((self.ticket, identity));
    }

    /// An entry with the next ticket; what it leaves of the aggregate is remembered.
    pub(crate) fn entry(&mut self, decided: Option<Decided>, bench: &Bench<'_>) -> Entry {
        self.ticket += 1;
        if let Some(decided) = &decided {
            self.remember(decided, bench.build.shape.version);
        }
        let (settlement, migrated) = decided
            .map(|decided| (decided.settlement, decided.migrated))
            .unzip();
        Entry {
            build: bench.build.clone(),
            settlement,
            migrated: migrated.flatten(),
            generated_key: None,
            taken: None,
            fired: None,
            over: None,
            dead: None,
            parking: None,
            unparked: None,
            parked_timer: None,
            answer: None,
            progress: self.progress.clone(),
            ticket: self.ticket,
            run: self.run,
        }
    }

    fn remember(&mut self, decided: &Decided, version: u32) {
        let (settlement, ticket) = (&decided.settlement, self.ticket);
        let state: Option<Rc<str>> = match (&settlement.state, &decided.migrated) {
            (StateChange::Unchanged, None) => {
                // Its timers may have changed.
                if let Some(known) = self.known.get_mut(&settlement.key)
                    && !settlement.timers.is_empty()
                {
                    known.ticket = ticket;
                }
                return;
            }
            (StateChange::Unchanged, Some(state)) => Some(state.clone()),
            (StateChange::Put(state), _) => Some(state.as_str().into()),
            (StateChange::Remove, _) => None,
        };
        let stored = StoredAggregate {
            state,
            revision: settlement.revision,
            version,
        };
        self.known
            .insert(settlement.key.clone(), Known { stored, ticket });
    }
}
