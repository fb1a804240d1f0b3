//! The entries that a worker hands over to be written.

use super::Worker;
use super::action::{Action, Commit, End, TurnEnd};
use super::attempt::Decided;
use super::given_up::GivenUp;
use super::host::{ActiveRules, HostTypes};
use super::outgoing;
use crate::commit::{Entry, Link, Parked, Write};
use crate::identity::Identity;
use crate::message::{Message, Origin};
use crate::outcome::StateChange;

use crate::commit::Verdict;

/// Usual number of items in an entry besides events and rare items: offset, identity, state,
/// timers, journal, tally.
const USUAL_WRITES: usize = 6;

impl<H: HostTypes> Worker<H> {
    /// The next link in the chain of an aggregate; without a key, a link of its own.
    fn next_link(&mut self, key: Option<&str>) -> Link {
        self.ticket += 1;
        let base = key.map_or(0, |key| {
            let ticket = self.ticket;
            let known = self.cache.get_mut(key).map(|known| &mut known.last);
            let known = known.map_or(0, |last| std::mem::replace(last, ticket));
            let held = self.held.get(key).map(|held| &mut held.ticket);
            known.max(held.map_or(0, |last| std::mem::replace(last, ticket)))
        });
        Link {
            worker: self.settings.number,
            ticket: self.ticket,
            base: if base > self.settled { base } else { 0 },
            noticed: self.settled,
        }
    }

    /// An empty entry with the next ticket. `identity` is the one that it will record.
    pub(super) fn commit(&mut self, key: Option<String>, identity: Option<Identity>) -> Commit<H> {
        let link = self.next_link(key.as_deref());
        self.flight.hand_over(link.ticket, link.base, identity);
        self.bare_commit(link, key, USUAL_WRITES)
    }

    fn bare_commit(&self, link: Link, key: Option<String>, writes: usize) -> Commit<H> {
        let (generation, version) = (
            self.active.generation(),
            self.active.description().state.version,
        );
        let mut entry = Entry::empty(self.settings.participant, generation, version);
        let is_parked = |key: &String| self.held.holds(key) || self.held.passes_over(key);
        entry.is_beside_parked = key.as_ref().is_some_and(is_parked);
        entry.key = key;
        entry.writes = Vec::with_capacity(writes);
        Commit {
            entry,
            link,
            taken: None,
            client: None,
            over: None,
            place: None,
            leaves: None,
            end: None,
        }
    }

    /// An entry with a decision; the aggregate is cached as the decision leaves it. `first` is its
    /// guard.
    pub(super) fn decided_commit(
        &mut self,
        decided: Decided,
        identity: Option<Identity>,
        first: Option<Write>,
    ) -> Commit<H> {
        let link = self.next_link(Some(&decided.settlement.key));
        self.remember(&decided, link.ticket);
        self.flight.hand_over(link.ticket, link.base, identity);
        let Decided {
            mut settlement,
            migrated,
        } = decided;
        let lifts = (self.quarantined).lifts(&settlement.key, link.ticket, self.settled);
        let capacity = USUAL_WRITES + 2 + settlement.events.len();
        let key = std::mem::take(&mut settlement.key);
        let mut commit = self.bare_commit(link, Some(key), capacity);
        let writes = &mut commit.entry.writes;
        writes.extend(first);
        let time = settlement.journal.time;
        writes.extend((settlement.inbox.take()).map(|identity| Write::Inbox(identity, time)));
        let state = std::mem::replace(&mut settlement.state, StateChange::Unchanged);
        let (revision, correlation) = (
            settlement.revision,
            std::mem::take(&mut settlement.correlation),
        );
        writes.extend(match (state, migrated) {
            (StateChange::Put(state), _) => Some(Write::State(Some(state), revision, correlation)),
            (StateChange::Remove, _) => Some(Write::State(None, revision, correlation)),
            (StateChange::Unchanged, migrated) => {
                migrated.map(|state| Write::Migrated(state, settlement.journal.revision_before))
            }
        });
        writes.extend(outgoing::outbox(&self.active, &mut settlement));
        if !settlement.timers.is_empty() {
            writes.push(Write::Timers(settlement.timers, settlement.cause));
        }
        writes.push(Write::Journal(settlement.journal));
        if lifts {
            writes.push(Write::QuarantineLifted);
        }
        commit
    }

    /// Settles a record that changes nothing: the entry only records that it was consumed. `base`
    /// is the ticket of an entry in flight that this relies on.
    pub(super) fn pass(
        &mut self,
        taken: H::Taken,
        base: u64,
        end: Option<TurnEnd<H::Since>>,
        actions: &mut Vec<Action<H>>,
    ) {
        self.ticket += 1;
        let link = Link {
            worker: self.settings.number,
            ticket: self.ticket,
            base,
            noticed: self.settled,
        };
        self.flight.hand_over(link.ticket, link.base, None);
        let mut commit = self.bare_commit(link, None, 1);
        commit.taken = Some(taken);
        commit.end = end;
        actions.push(Action::Commit(commit));
    }

    /// The end of a turn on a message.
    pub(super) fn end(
        message: &Message,
        end: End,
        verdict: Option<Verdict>,
        since: H::Since,
    ) -> TurnEnd<H::Since> {
        TurnEnd {
            origin: message.origin,
            name: message.name.clone(),
            time: message.time,
            end,
            verdict,
            dead_letter: None,
            since,
        }
    }

    /// The end of a turn on a message that is given up. A record that can't be read has no name.
    pub(super) fn given_up_end(
        message: Option<Message>,
        given_up: &GivenUp,
        since: H::Since,
    ) -> TurnEnd<H::Since> {
        let is_fault = given_up.is_fault && message.is_some();
        let (origin, name, time) = message.map_or((Origin::Event, String::new(), 0), |message| {
            (message.origin, message.name, message.time)
        });
        TurnEnd {
            origin,
            name,
            time,
            end: given_up.end(),
            verdict: is_fault.then_some(Verdict::Fault),
            dead_letter: Some(given_up.reason),
            since,
        }
    }

    /// Marks a parked message as settled by the entry with this ticket: the next one of its key is
    /// ready.
    pub(super) fn parked_settled(&mut self, key: &str, id: i64, ticket: u64) {
        if let Some(held) = self.held.get(key) {
            held.settled(id, ticket);
        }
        self.held.wait(key, super::held::Until::Ready);
    }

    /// The item that quarantines an aggregate.
    pub(super) fn quarantine(&self, detail: &str) -> Write {
        Write::Quarantine(detail.to_owned(), self.now.unix_ms)
    }

    /// The item that parks a message.
    pub(super) fn parking(&self, message: Parked, bytes: usize) -> Write {
        Write::Park(Box::new(crate::commit::Parking {
            message,
            bytes,
            time: self.now.unix_ms,
        }))
    }
}
