//! Messages that can't be decided now: they wait briefly in memory, or longer in the store, and
//! hold back later records and timers of their key (invariant 4).

use std::time::Duration;

use super::Worker;
use super::action::{Action, Commit, End, TurnEnd, WorkerReport};
use super::given_up::GivenUp;
use super::held::Until;
use super::host::{Bound, Defect, HostTypes, Room, TakenRecord};
use super::turn::{EventTurn, TimerTurn, Turn};
use crate::commit::rows::parked_bytes;
use crate::commit::{Parked, ParkedEvent, Verdict, Write};
use crate::identity::Identity;
use crate::rules::Fault;

/// The reason why a timer is parked without an attempt.
const BEHIND: &str = "earlier messages of its aggregate are parked";

/// The way in which a message is parked.
struct How<'f, S> {
    /// The condition that it waits for, if it is the first of its key.
    until: Until,
    /// The end of its turn; None if the turn goes on.
    end: Option<TurnEnd<S>>,
    /// The fault for which its aggregate is quarantined.
    fault: Option<&'f Fault>,
}

impl<H: HostTypes> Worker<H> {
    /// Queues a record or a timer behind waiting messages of its key; returns a turn that need not
    /// wait.
    pub(super) fn in_its_place(
        &mut self,
        turn: Turn<H>,
        actions: &mut Vec<Action<H>>,
    ) -> Option<Turn<H>> {
        let key = match &turn {
            Turn::Event(turn) => &turn.envelope.message.key,
            Turn::Timer(turn) => &turn.envelope.message.key,
            _ => return Some(turn),
        };
        // Messages that wait in memory came after the parked ones.
        if self.waiting.holds(key) && !H::is_broken(Defect::KeyNotHeldBack) {
            let key = key.clone();
            self.waiting.queue(&key, turn);
            return None;
        }
        if !self.held.holds(key) || H::is_broken(Defect::ParkedOvertaken) {
            return Some(turn);
        }
        match turn {
            Turn::Event(turn) => self.event(turn, true, actions),
            Turn::Timer(turn) => self.timer(turn, true),
            _ => {}
        }
        None
    }

    /// Parks a record behind those of its key.
    pub(super) fn park_behind(
        &mut self,
        turn: Box<EventTurn<H>>,
        identity: Identity,
        actions: &mut Vec<Action<H>>,
    ) {
        let end = Self::end(&turn.envelope.message, End::Parked, None, turn.since);
        let how = How {
            until: Until::Ready,
            end: Some(end),
            fault: None,
        };
        let Err((turn, _)) = self.park_event(turn, identity, how, actions) else {
            return;
        };
        // Messages of a quarantined aggregate may wait for long, so this one becomes a dead letter.
        // Otherwise the others only wait for another attempt, and so does this one.
        let key = turn.envelope.message.key.clone();
        match self.held.is_unreadable(&key) {
            true => self.put_event_aside(*turn, GivenUp::no_room(BEHIND, false), actions),
            false => self.wait_for_room(key, Turn::Event(turn)),
        }
    }

    /// Parks a timer behind the messages of its key.
    pub(super) fn park_timer_behind(
        &mut self,
        turn: Box<TimerTurn<H>>,
        actions: &mut Vec<Action<H>>,
    ) {
        let key = &turn.envelope.message.key;
        let place = self.place(key, parked_bytes(key, None), actions);
        let key = &turn.envelope.message.key;
        if place.is_none() && !self.held.is_unreadable(key) {
            let key = key.clone();
            return self.wait_for_room(key, Turn::Timer(turn));
        }
        let why = GivenUp::waits(BEHIND);
        self.park_timer(*turn, (Until::Ready, place), why, None, actions);
    }

    /// Offers the waiting messages of an aggregate again, since a command has changed it.
    pub(super) fn wake(&mut self, key: &str) {
        self.waiting.wake(key, self.now.uptime);
        self.held.wake(key);
    }

    /// Makes a record wait for another attempt after this time.
    pub(super) fn event_waits(
        &mut self,
        turn: Box<EventTurn<H>>,
        identity: Identity,
        delay: Duration,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = &turn.envelope.message;
        actions.push(Action::Tried(message.origin, message.name.clone()));
        let until = self.now.uptime + delay;
        let parked = match delay < self.settings.waits.moment {
            true => Err((turn, identity)),
            false => {
                let how = How {
                    until: Until::Time(until),
                    end: None,
                    fault: None,
                };
                self.park_event(turn, identity, how, actions)
            }
        };
        if let Err((turn, _)) = parked {
            let key = turn.envelope.message.key.clone();
            self.waiting.wait(key, Turn::Event(turn), until);
        }
    }

    /// Makes a timer wait for another attempt after this time.
    pub(super) fn timer_waits(
        &mut self,
        turn: Box<TimerTurn<H>>,
        delay: Duration,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = &turn.envelope.message;
        actions.push(Action::Tried(message.origin, message.name.clone()));
        let key = message.key.clone();
        let until = self.now.uptime + delay;
        let place = match delay < self.settings.waits.moment {
            true => None,
            false => self.place(&key, parked_bytes(&key, None), actions),
        };
        match place {
            Some(_) => {
                let why = GivenUp::waits("the rules asked for another attempt");
                self.park_timer(*turn, (Until::Time(until), place), why, None, actions);
            }
            None => self.waiting.wait(key, Turn::Timer(turn), until),
        }
    }

    /// Quarantines the aggregate of a record, whose state can't be read.
    pub(super) fn quarantine_event(
        &mut self,
        turn: Box<EventTurn<H>>,
        identity: Identity,
        fault: &Fault,
        is_known: bool,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = &turn.envelope.message;
        self.tell_quarantined(&message.key, fault, is_known, actions);
        let end = Self::end(message, End::Parked, Some(Verdict::Fault), turn.since);
        let how = How {
            until: Until::Generation,
            end: Some(end),
            fault: Some(fault),
        };
        if let Err((turn, _)) = self.park_event(turn, identity, how, actions) {
            self.note_quarantine(&turn.envelope.message.key, fault, is_known, actions);
            let given_up = GivenUp::no_room(&fault.detail, true);
            self.put_event_aside(*turn, given_up, actions);
        }
    }

    /// Quarantines the aggregate of a timer, whose state can't be read.
    pub(super) fn quarantine_timer(
        &mut self,
        turn: TimerTurn<H>,
        fault: Fault,
        is_known: bool,
        actions: &mut Vec<Action<H>>,
    ) {
        let key = &turn.envelope.message.key;
        self.tell_quarantined(key, &fault, is_known, actions);
        let place = self.place(key, parked_bytes(key, None), actions);
        let why = GivenUp::not_migrated(fault.clone());
        let where_to = (Until::Generation, place);
        self.park_timer(turn, where_to, why, Some(&fault), actions);
    }

    /// Parks a timer that can't be decided, by itself: it holds nothing back.
    pub(super) fn give_up_timer(
        &mut self,
        turn: TimerTurn<H>,
        given_up: GivenUp,
        actions: &mut Vec<Action<H>>,
    ) {
        let TimerTurn {
            envelope,
            fired,
            trial,
            since,
            over,
        } = turn;
        let verdict = given_up.is_fault.then_some(Verdict::Fault);
        let end = Self::end(&envelope.message, End::Parked, verdict, since);
        let mut commit = self.commit(Some(envelope.message.key), None);
        let timer = given_up.of_timer(fired, (trial.attempts, self.now.unix_ms), &self.active);
        let told = WorkerReport::TimerParked(Box::new(timer.clone()));
        actions.push(Action::Report(told));
        commit.entry.writes.push(Write::ParkTimer(Box::new(timer)));
        commit.end = Some(end);
        commit.over = Some(over);
        actions.push(Action::Commit(commit));
    }

    /// Quarantines an aggregate, unless it is quarantined: repeated requests must not cost a commit
    /// each.
    pub(super) fn note_quarantine(
        &mut self,
        key: &str,
        fault: &Fault,
        is_known: bool,
        actions: &mut Vec<Action<H>>,
    ) {
        if self.tell_quarantined(key, fault, is_known, actions) {
            let mut commit = self.commit(Some(key.to_owned()), None);
            commit.entry.writes.push(self.quarantine(&fault.detail));
            actions.push(Action::Commit(commit));
        }
    }

    /// Reports that an aggregate is quarantined, unless that is known; returns true if it was not
    /// known.
    pub(super) fn tell_quarantined(
        &mut self,
        key: &str,
        fault: &Fault,
        is_known: bool,
        actions: &mut Vec<Action<H>>,
    ) -> bool {
        if !is_known && !self.held.is_unreadable(key) {
            let told = WorkerReport::Quarantined(key.to_owned(), fault.clone());
            actions.push(Action::Report(told));
        }
        self.quarantined.put(key);
        !is_known
    }

    /// Parks a record behind those of its key; returns it if there is no room.
    fn park_event(
        &mut self,
        turn: Box<EventTurn<H>>,
        identity: Identity,
        how: How<'_, H::Since>,
        actions: &mut Vec<Action<H>>,
    ) -> Result<(), (Box<EventTurn<H>>, Identity)> {
        let key = &turn.envelope.message.key;
        let bytes = parked_bytes(key, Some(&turn.record));
        let Some(place) = self.place(key, bytes, actions) else {
            return Err((turn, identity));
        };
        let (mut commit, event) = self.start_parking(*turn, identity, how.until);
        let writes = &mut commit.entry.writes;
        writes.push(self.parking(Parked::Event(Box::new(event)), bytes));
        writes.extend(how.fault.map(|fault| self.quarantine(&fault.detail)));
        commit.place = Some(place);
        commit.end = how.end;
        actions.push(Action::Commit(commit));
        Ok(())
    }

    /// Starts the commit that parks a record; it still lacks its place, its end and the write that
    /// parks. If the key is not held yet, the record is its first message and waits for `until`.
    pub(super) fn start_parking(
        &mut self,
        turn: EventTurn<H>,
        identity: Identity,
        until: Until,
    ) -> (Commit<H>, ParkedEvent) {
        let EventTurn {
            envelope,
            taken,
            record,
            trial,
            ..
        } = turn;
        let message = envelope.message;
        let mut commit = self.commit(Some(message.key.clone()), Some(identity.clone()));
        (self.held).park(&message.key, commit.link.ticket, trial, until);
        let event = ParkedEvent {
            identity: identity.clone(),
            name: message.name,
            group: taken.group().to_owned(),
            declared_topic: taken.declared_topic().to_owned(),
            record,
        };
        let inbox = Write::Inbox(identity, self.now.unix_ms);
        commit.entry.writes.push(inbox);
        commit.taken = Some(taken);
        (commit, event)
    }

    /// Parks a timer behind the messages of its key. If there is no room it is parked by itself,
    /// since timers are always kept.
    fn park_timer(
        &mut self,
        turn: TimerTurn<H>,
        (until, place): (Until, Option<H::Place>),
        why: GivenUp,
        fault: Option<&Fault>,
        actions: &mut Vec<Action<H>>,
    ) {
        let TimerTurn {
            envelope,
            fired,
            trial,
            since,
            over,
        } = turn;
        let verdict = fault.map(|_| Verdict::Fault);
        let end = Self::end(&envelope.message, End::Parked, verdict, since);
        let key = envelope.message.key;
        let mut commit = self.commit(Some(key.clone()), None);
        let writes = &mut commit.entry.writes;
        if place.is_some() {
            let message = Parked::Timer(fired.name.clone(), fired.due);
            writes.push(self.parking(message, parked_bytes(&key, None)));
        }
        let timer = why.of_timer(fired, (trial.attempts, self.now.unix_ms), &self.active);
        match place {
            Some(_) => self.held.park(&key, commit.link.ticket, trial, until),
            None => {
                let told = WorkerReport::TimerParked(Box::new(timer.clone()));
                actions.push(Action::Report(told));
            }
        }
        writes.push(Write::ParkTimer(Box::new(timer)));
        writes.extend(fault.map(|fault| self.quarantine(&fault.detail)));
        commit.place = place;
        commit.end = Some(end);
        commit.over = Some(over);
        actions.push(Action::Commit(commit));
    }

    /// A message waits in memory until there is room to park it, and holds its partition up.
    pub(super) fn wait_for_room(&mut self, key: String, turn: Turn<H>) {
        let until = self.now.uptime + self.settings.waits.machine;
        self.waiting.wait(key, turn, until);
    }

    /// Takes room for one more message of this key; reports it if there is none.
    pub(super) fn place(
        &mut self,
        key: &str,
        bytes: usize,
        actions: &mut Vec<Action<H>>,
    ) -> Option<H::Place> {
        let bound = match (self.settings.room).take(bytes, self.held.messages(key)) {
            Ok(place) => return Some(place),
            Err(bound) => bound,
        };
        let (mut messages, bytes) = self.settings.room.used();
        let is_news = match (bound, self.held.get(key)) {
            (Bound::AggregateMessages, Some(held)) => held.is_newly_full(),
            _ => self.settings.room.has_just_filled(),
        };
        if bound == Bound::AggregateMessages {
            messages = self.held.messages(key);
        }
        if is_news {
            actions.push(Action::Report(WorkerReport::NoRoom {
                key: key.to_owned(),
                bound,
                messages,
                bytes,
            }));
        }
        None
    }
}
