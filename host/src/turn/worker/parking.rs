//! Messages that can't be decided now: they wait a moment in memory, or longer in the store, and hold back the records and
//! timers of their key that come after them (invariant 4).

use std::time::{Duration, Instant};

use saga_core::message::Message;
use saga_core::rules::Fault;

use super::super::given_up::{self, GivenUp};
use super::super::held::Until;
use super::super::turn::{EventTurn, TimerTurn, Turn};
use super::Worker;
use super::turns::identity_of;
use crate::base::clock::now_ms;
use crate::metrics::turns::{End, Measured};
use crate::store::parked::{self, Parked, ParkedEvent, Parking};
use crate::store::parked_room::{Bound, Place};
use crate::store::{Entry, Tally, Verdict};

/// Longest wait in memory. A message that waits for longer is parked in the store, so that its partition goes on.
const MOMENT: Duration = Duration::from_secs(1);

/// Why a timer is parked that has not been tried.
const BEHIND: &str = "earlier messages of its aggregate are parked";

/// How a message that is parked is counted.
#[derive(Default)]
struct Counted {
    tally: Option<Tally>,
    measured: Option<Measured>,
}

impl Worker {
    /// Puts a record or a timer behind those of its key that wait; gives back a turn that need not wait.
    pub(super) fn in_its_place(&mut self, turn: Turn) -> Option<Turn> {
        let key = match &turn {
            Turn::Event(turn) => &turn.envelope.message.key,
            Turn::Timer(turn) => &turn.envelope.message.key,
            _ => return Some(turn),
        };
        // What waits in memory came after what is parked.
        if self.waiting.holds(key) {
            let key = key.clone();
            self.waiting.queue(&key, turn);
            return None;
        }
        if !self.held.holds(key) {
            return Some(turn);
        }
        match turn {
            Turn::Event(turn) => self.park_behind(turn),
            Turn::Timer(turn) if self.is_still_set(&turn) => self.park_timer_behind(turn),
            _ => {}
        }
        None
    }

    fn park_behind(&mut self, turn: Box<EventTurn>) {
        if turn.taken.session.is_cancelled() {
            return;
        }
        if !self.is_admitted(&turn) {
            turn.taken.session.cancel();
            return;
        }
        let message = &turn.envelope.message;
        match self.was_settled(&turn) {
            Ok(true) => {
                let measured = self.measured(message, End::Duplicate, turn.since);
                self.pass(turn.taken, measured);
            }
            Ok(false) => {
                let counted = Counted {
                    measured: self.measured(message, End::Parked, turn.since),
                    ..Counted::default()
                };
                if let Err(turn) = self.park_event(turn, Until::Ready, counted, None) {
                    self.no_room(turn, BEHIND);
                }
            }
            Err(error) => self.store_failed(&turn.taken, &error),
        }
    }

    fn park_timer_behind(&mut self, turn: Box<TimerTurn>) {
        let key = &turn.envelope.message.key;
        let place = self.place(key, parked::bytes(key, None));
        if place.is_none() && !self.held.is_unreadable(key) {
            let key = key.clone();
            return self.waiting.queue(&key, Turn::Timer(turn));
        }
        let given_up = GivenUp {
            reason: "waits",
            ..GivenUp::malformed(BEHIND.into())
        };
        self.park_timer(turn, Until::Ready, given_up, None, place);
    }

    /// A command has changed the aggregate: what waits for it is offered again.
    pub(super) fn wake(&mut self, key: &str) {
        self.waiting.wake(key, Instant::now());
        self.held.wake(key);
    }

    /// A record is to be tried again after this time.
    pub(super) fn event_waits(&mut self, turn: Box<EventTurn>, delay: Duration) {
        self.counted.tried(&turn.envelope.message);
        let until = Instant::now() + delay;
        let parked = match delay < MOMENT {
            true => Err(turn),
            false => self.park_event(turn, Until::Time(until), Counted::default(), None),
        };
        if let Err(turn) = parked {
            let key = turn.envelope.message.key.clone();
            self.waiting.wait(key, Turn::Event(turn), until);
        }
    }

    /// A timer is to be tried again after this time.
    pub(super) fn timer_waits(&mut self, turn: Box<TimerTurn>, delay: Duration) {
        self.counted.tried(&turn.envelope.message);
        let key = turn.envelope.message.key.clone();
        let until = Instant::now() + delay;
        let place = match delay < MOMENT {
            true => None,
            false => self.place(&key, parked::bytes(&key, None)),
        };
        match place {
            Some(_) => {
                let given_up = GivenUp {
                    reason: "waits",
                    ..GivenUp::malformed("the rules asked for another attempt".into())
                };
                self.park_timer(turn, Until::Time(until), given_up, None, place);
            }
            None => self.waiting.wait(key, Turn::Timer(turn), until),
        }
    }

    /// The state of a record's aggregate can't be read.
    pub(super) fn quarantine_event(&mut self, turn: Box<EventTurn>, fault: &Fault) {
        let message = &turn.envelope.message;
        self.tell_quarantined(message, fault);
        let counted = Counted {
            tally: Some(self.tally(message, Verdict::Fault)),
            measured: self.measured(message, End::Parked, turn.since),
        };
        if let Err(turn) = self.park_event(turn, Until::Generation, counted, Some(fault)) {
            self.note_quarantine(&turn.envelope.message, fault);
            self.give_up_event(turn, GivenUp::no_room(&fault.detail, true));
        }
    }

    /// The state of a timer's aggregate can't be read.
    pub(super) fn quarantine_timer(&mut self, turn: Box<TimerTurn>, fault: Fault) {
        self.tell_quarantined(&turn.envelope.message, &fault);
        let given_up = GivenUp::not_migrated(fault.clone());
        let key = &turn.envelope.message.key;
        let place = self.place(key, parked::bytes(key, None));
        self.park_timer(turn, Until::Generation, given_up, Some(&fault), place);
    }

    /// A record that can't be decided becomes a dead letter.
    pub(super) fn give_up_event(&mut self, turn: Box<EventTurn>, given_up: GivenUp) {
        let EventTurn {
            envelope,
            taken,
            record,
            trial,
            since,
            ..
        } = *turn;
        let message = Some(&envelope.message);
        self.put_aside(taken, record, message, given_up, (trial.attempts, since));
    }

    /// A timer that can't be decided is parked, by itself: it holds nothing back.
    pub(super) fn give_up_timer(&mut self, turn: Box<TimerTurn>, given_up: GivenUp) {
        let TimerTurn {
            envelope,
            fired,
            trial,
            since,
            over,
        } = *turn;
        let entry = self.parked_timer_entry(&envelope.message, given_up.is_fault, since);
        let timer = given_up.of_timer(fired, trial.attempts, self.active());
        self.tell_parked(&timer);
        self.commit(Entry {
            parked_timer: Some(Box::new(timer)),
            done: Box::new(move |_| drop(over)),
            ..entry
        });
    }

    /// Puts an aggregate into quarantine, unless it is there: who asks again and again must not cost a commit each time.
    pub(super) fn note_quarantine(&mut self, message: &Message, fault: &Fault) {
        if self.tell_quarantined(message, fault) {
            self.ticket += 1;
            self.commit(Entry {
                quarantine: Some(given_up::quarantine(message, &fault.detail)),
                ..self.bare_entry()
            });
        }
    }

    /// Says that an aggregate is quarantined, unless that is known; gives whether it was said.
    pub(super) fn tell_quarantined(&mut self, message: &Message, fault: &Fault) -> bool {
        let known = self.decider.is_quarantined(&message.key);
        let is_new = !self.read_or("the quarantine can't be read", known, true);
        if is_new && !self.held.is_unreadable(&message.key) {
            tracing::warn!(
                participant = %self.shared.name, key = %message.key, digest = %self.active().digest(), %fault,
                "an aggregate is quarantined: its state can't be read; its messages are parked until other rules, or a restart, can read it"
            );
        }
        self.quarantined.put(&message.key);
        is_new
    }

    /// Parks a record behind those of its key; gives it back where there is no room. `fault` quarantines its aggregate.
    fn park_event(
        &mut self,
        turn: Box<EventTurn>,
        until: Until,
        counted: Counted,
        fault: Option<&Fault>,
    ) -> Result<(), Box<EventTurn>> {
        let message = &turn.envelope.message;
        let bytes = parked::bytes(&message.key, Some(&turn.record));
        let Some(place) = self.place(&message.key, bytes) else {
            return Err(turn);
        };
        self.ticket += 1;
        let identity = identity_of(message);
        self.recent.note(self.ticket, identity.clone());
        self.held.park(&message.key, self.ticket, turn.trial, until);
        let quarantine = fault.map(|fault| given_up::quarantine(message, &fault.detail));
        let EventTurn {
            envelope,
            taken,
            record,
            ..
        } = *turn;
        let source = &taken.session.source;
        let event = ParkedEvent {
            identity,
            name: envelope.message.name,
            group: source.group.to_string(),
            declared_topic: source.declared_topic.to_string(),
            record,
        };
        self.commit(Entry {
            parking: Some(Box::new(Parking {
                key: envelope.message.key,
                message: Parked::Event(Box::new(event)),
                place,
                time: now_ms(),
            })),
            taken: Some(taken),
            quarantine,
            tally: counted.tally,
            measured: counted.measured,
            ..self.bare_entry()
        });
        Ok(())
    }

    /// Parks a timer behind the messages of its key. Without a place it is parked by itself: it is kept in any case.
    fn park_timer(
        &mut self,
        turn: Box<TimerTurn>,
        until: Until,
        why: GivenUp,
        fault: Option<&Fault>,
        place: Option<Place>,
    ) {
        let TimerTurn {
            envelope,
            fired,
            trial,
            since,
            over,
        } = *turn;
        let message = &envelope.message;
        let entry = self.parked_timer_entry(message, fault.is_some(), since);
        let parking = place.map(|place| {
            Box::new(Parking {
                key: fired.key.clone(),
                message: Parked::Timer(fired.name.clone(), fired.due),
                place,
                time: now_ms(),
            })
        });
        let timer = why.of_timer(fired, trial.attempts, self.active());
        match parking {
            Some(_) => self.held.park(&message.key, entry.ticket, trial, until),
            None => self.tell_parked(&timer),
        }
        let quarantine = fault.map(|fault| given_up::quarantine(message, &fault.detail));
        self.commit(Entry {
            parking,
            parked_timer: Some(Box::new(timer)),
            quarantine,
            done: Box::new(move |_| drop(over)),
            ..entry
        });
    }

    /// There is no room to park a record that comes behind others. Those of a quarantined aggregate may wait for long; where
    /// the others only wait for another attempt, so does this one.
    fn no_room(&mut self, turn: Box<EventTurn>, why: &str) {
        let key = turn.envelope.message.key.clone();
        match self.held.is_unreadable(&key) {
            true => self.give_up_event(turn, GivenUp::no_room(why, false)),
            false => self.waiting.queue(&key, Turn::Event(turn)),
        }
    }

    /// A place for one more message of this key; says so where there is none.
    fn place(&mut self, key: &str, bytes: usize) -> Option<Place> {
        let bound = match (self.shared.parked).take(bytes, self.held.messages(key)) {
            Ok(place) => return Some(place),
            Err(bound) => bound,
        };
        let (messages, bytes) = self.shared.parked.used();
        let is_news = match (bound, self.held.get(key)) {
            (Bound::AggregateMessages, Some(held)) => held.is_newly_full(),
            _ => self.shared.parked.has_just_filled(),
        };
        let participant = &self.shared.name;
        match bound {
            _ if !is_news => {}
            Bound::AggregateMessages => tracing::warn!(
                %participant, key, messages = self.held.messages(key), setting = bound.setting(),
                "no further message of this aggregate can be parked; if it is quarantined, its records become dead letters"
            ),
            Bound::Messages | Bound::Bytes => tracing::warn!(
                %participant, key, messages, bytes, setting = bound.setting(),
                "no further message can be parked; records of quarantined aggregates become dead letters"
            ),
        }
        None
    }
}
