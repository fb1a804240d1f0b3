//! Messages that can't be decided now: they wait a moment in memory, or longer in the store, and
//! hold back the records and timers of their key that come after them (invariant 4).

use std::time::Duration;

use super::Worker;
use super::action::{Action, End, Report, TurnEnd};
use super::given_up::GivenUp;
use super::held::Until;
use super::host::{Bound, Defect, Host, Room, Taken};
use super::turn::{EventTurn, TimerTurn, Turn};
use crate::commit::rows::parked_bytes;
use crate::commit::{Parked, ParkedEvent, Verdict, Write};
use crate::identity::Identity;
use crate::rules::Fault;

/// Why a timer is parked that has not been tried.
const BEHIND: &str = "earlier messages of its aggregate are parked";

/// How a message is parked.
struct How<'f, S> {
    /// What it waits for, where it is the first of its key.
    until: Until,
    /// How its turn is counted; none where it goes on.
    end: Option<TurnEnd<S>>,
    /// Why its aggregate is quarantined.
    fault: Option<&'f Fault>,
}

impl<H: Host> Worker<H> {
    /// Puts a record or a timer behind those of its key that wait; gives back a turn that need not
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
        // What waits in memory came after what is parked.
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
        // Those of a quarantined aggregate may wait for long; where the others only wait for
        // another attempt, so does this one.
        let key = turn.envelope.message.key.clone();
        match self.held.is_unreadable(&key) {
            true => self.give_up_event(*turn, GivenUp::no_room(BEHIND, false), actions),
            false => self.waiting.queue(&key, Turn::Event(turn)),
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
            return self.waiting.queue(&key, Turn::Timer(turn));
        }
        let why = GivenUp::waits(BEHIND);
        self.park_timer(*turn, (Until::Ready, place), why, None, actions);
    }

    /// A command has changed the aggregate: what waits for it is offered again.
    pub(super) fn wake(&mut self, key: &str) {
        self.waiting.wake(key, self.now.uptime);
        self.held.wake(key);
    }

    /// A record is to be tried again after this time.
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

    /// A timer is to be tried again after this time.
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

    /// The state of a record's aggregate can't be read.
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
            self.give_up_event(*turn, given_up, actions);
        }
    }

    /// The state of a timer's aggregate can't be read.
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

    /// A record that can't be decided becomes a dead letter.
    pub(super) fn give_up_event(
        &mut self,
        turn: EventTurn<H>,
        given_up: GivenUp,
        actions: &mut Vec<Action<H>>,
    ) {
        let EventTurn {
            envelope,
            taken,
            record,
            trial,
            since,
            ..
        } = turn;
        let (message, tried) = (Some(envelope.message), (trial.attempts, since));
        self.put_aside(taken, record, message, given_up, tried, actions);
    }

    /// A timer that can't be decided is parked, by itself: it holds nothing back.
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
        let told = Report::TimerParked(Box::new(timer.clone()));
        actions.push(Action::Report(told));
        commit.entry.writes.push(Write::ParkTimer(Box::new(timer)));
        commit.end = Some(end);
        commit.over = Some(over);
        actions.push(Action::Commit(commit));
    }

    /// Puts an aggregate into quarantine, unless it is there: who asks again and again must not
    /// cost a commit each time.
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

    /// Says that an aggregate is quarantined, unless that is known; gives whether it was said.
    pub(super) fn tell_quarantined(
        &mut self,
        key: &str,
        fault: &Fault,
        is_known: bool,
        actions: &mut Vec<Action<H>>,
    ) -> bool {
        if !is_known && !self.held.is_unreadable(key) {
            let told = Report::Quarantined(key.to_owned(), fault.clone());
            actions.push(Action::Report(told));
        }
        self.quarantined.put(key);
        !is_known
    }

    /// Parks a record behind those of its key; gives it back where there is no room.
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
        let EventTurn {
            envelope,
            taken,
            record,
            trial,
            ..
        } = *turn;
        let message = envelope.message;
        let mut commit = self.commit(Some(message.key.clone()), Some(identity.clone()));
        let ticket = commit.link.ticket;
        self.held.park(&message.key, ticket, trial, how.until);
        let event = ParkedEvent {
            identity: identity.clone(),
            name: message.name,
            group: taken.group().to_owned(),
            declared_topic: taken.declared_topic().to_owned(),
            record,
        };
        let writes = &mut commit.entry.writes;
        writes.push(Write::Inbox(identity, self.now.unix_ms));
        writes.push(self.parking(Parked::Event(Box::new(event)), bytes));
        writes.extend(how.fault.map(|fault| self.quarantine(&fault.detail)));
        commit.taken = Some(taken);
        commit.place = Some(place);
        commit.end = how.end;
        actions.push(Action::Commit(commit));
        Ok(())
    }

    /// Parks a timer behind the messages of its key. Without a place it is parked by itself: it is
    /// kept in any case.
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
                let told = Report::TimerParked(Box::new(timer.clone()));
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

    /// A place for one more message of this key; says so where there is none.
    fn place(&mut self, key: &str, bytes: usize, actions: &mut Vec<Action<H>>) -> Option<H::Place> {
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
            actions.push(Action::Report(Report::NoRoom {
                key: key.to_owned(),
                bound,
                messages,
                bytes,
            }));
        }
        None
    }
}
