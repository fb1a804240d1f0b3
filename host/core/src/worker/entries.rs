//! What a worker hands over to be written.

use super::Worker;
use super::action::{Action, Commit, End, Report, TurnEnd};
use super::attempt::Decided;
use super::given_up::GivenUp;
use super::host::{Active, Host, Taken};
use super::outgoing;
use crate::commit::{Entry, Link, Parked, Write};
use crate::identity::{self, Identity};
use crate::message::{Message, Origin};
use crate::outcome::StateChange;
use crate::record::Record;

use crate::commit::Verdict;

/// Items that an entry has besides events and what is seldom there: offset, identity, state,
/// timers, journal, tally.
const USUAL_WRITES: usize = 6;

impl<H: Host> Worker<H> {
    /// The next place in the chain of an aggregate, or a place of its own.
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

    /// An entry with the next ticket that writes nothing yet. `identity` is what it notes.
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

    /// An entry with what was decided, and what it leaves of the aggregate is remembered. `first`
    /// guards it.
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
        writes.extend(match (state, migrated) {
            (StateChange::Put(state), _) => Some(Write::State(Some(state), settlement.revision)),
            (StateChange::Remove, _) => Some(Write::State(None, settlement.revision)),
            (StateChange::Unchanged, migrated) => migrated.map(Write::Migrated),
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

    /// Settles a record that changes nothing: only that it was consumed is written. Where that
    /// relies on an entry that is on its way, with its ticket.
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

    /// How a turn on a message is counted.
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

    /// How a turn on a message that is given up is counted. A record that can't be read has no
    /// name.
    fn given_up_end(
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

    /// Makes a record a dead letter, and remembers its place: when it comes again, after those that
    /// followed it were decided, it is not tried again. To redrive it is to publish it anew.
    pub(super) fn put_aside(
        &mut self,
        taken: H::Taken,
        record: Record,
        message: Option<Message>,
        given_up: GivenUp,
        (attempts, since): (u32, H::Since),
        actions: &mut Vec<Action<H>>,
    ) {
        let key = message.as_ref().map(|message| message.key.clone());
        let place = identity::of_position(&record.position);
        let mut commit = self.commit(key, Some(place.clone()));
        commit.end = Some(Self::given_up_end(message, &given_up, since));
        let group = taken.group().to_owned();
        commit.taken = Some(taken);
        self.bury((&group, record), place, given_up, attempts, commit, actions);
    }

    /// Makes a parked record a dead letter. Like that of any dead letter, its identity may be
    /// published anew.
    pub(super) fn bury_parked(
        &mut self,
        (key, row): (String, (i64, usize)),
        event: crate::commit::ParkedEvent,
        message: Option<Message>,
        given_up: GivenUp,
        since: H::Since,
        actions: &mut Vec<Action<H>>,
    ) {
        let attempts = (self.held.get(&key)).map_or(1, |held| held.trial.attempts);
        let place = identity::of_position(&event.record.position);
        let mut commit = self.commit(Some(key.clone()), Some(place.clone()));
        commit.end = Some(Self::given_up_end(message, &given_up, since));
        commit.entry.writes.push(Write::Unpark(row.0));
        (commit.entry.writes).push(Write::InboxForgotten(event.identity));
        commit.leaves = Some(row.1);
        self.parked_settled(&key, row.0, commit.link.ticket);
        let record = (&*event.group, event.record);
        self.bury(record, place, given_up, attempts, commit, actions);
    }

    fn bury(
        &self,
        (group, record): (&str, Record),
        place: Identity,
        given_up: GivenUp,
        attempts: u32,
        mut commit: Commit<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        let limits = &self.settings.limits;
        let tried = (attempts, self.now.unix_ms);
        let letter = given_up.of_record((group, &record), tried, limits, &self.active);
        let published = outgoing::dead_letter(limits, &self.active, record, &letter);
        let told = crate::commit::DeadLetter {
            key: None,
            value: None,
            ..letter.clone()
        };
        actions.push(Action::Report(Report::DeadLetter(Box::new(told))));
        let writes = &mut commit.entry.writes;
        writes.push(Write::Inbox(place, letter.time));
        writes.push(Write::DeadLetter(Box::new(letter)));
        writes.extend(published.map(|row| Write::Publish(Box::new(row))));
        actions.push(Action::Commit(commit));
    }

    /// Notes what a parked message as settled by the entry with this ticket leaves: the next one of
    /// its key is ready.
    pub(super) fn parked_settled(&mut self, key: &str, id: i64, ticket: u64) {
        if let Some(held) = self.held.get(key) {
            held.settled(id, ticket);
        }
        self.held.wait(key, super::held::Until::Ready);
    }

    /// An aggregate is quarantined, with the entry.
    pub(super) fn quarantine(&self, detail: &str) -> Write {
        Write::Quarantine(detail.to_owned(), self.now.unix_ms)
    }

    /// What a parked message is.
    pub(super) fn parking(&self, message: Parked, bytes: usize) -> Write {
        Write::Park(Box::new(crate::commit::Parking {
            message,
            bytes,
            time: self.now.unix_ms,
        }))
    }
}
