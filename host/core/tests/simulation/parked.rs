//! A worker's messages that are parked in the store: put there behind those of their key, and offered again, one by one.

use std::rc::Rc;

use saga_core::admit::{self, Admission};
use saga_core::identity::{self, Identity};
use saga_core::message::{Envelope, Message};
use saga_core::record::Record;

use crate::attempt::{Decided, LIMITS, Undecided, what_next};
use crate::entry::{Entry, Over, Taken, Turn};
use crate::scene::{Broken, Scene};
use crate::store::{Fired, Parked, ParkedRow};
use crate::worker::{Bench, Worker, hand_over};

/// A message that waits for longer is parked in the store.
pub(crate) const MOMENT: u64 = 40;

/// A key of which messages are parked.
pub(crate) struct Held {
    /// Number of the last message that was settled in this run.
    after: u64,
    /// Ticket of the last entry that parked or settled one.
    ticket: u64,
    /// Ticket of the entry that parked its first one, or settled one last.
    changed: u64,
    attempts: u32,
    /// Whether a message stays parked, for the rules don't take it.
    has_passed_over: bool,
    pub(crate) until: Until,
}

/// A parked timer whose aggregate was changed by what is on its way to disk.
pub(crate) struct Settling {
    row: Rc<ParkedRow>,
    fired: Fired,
    /// Ticket of that.
    ticket: u64,
    run: u64,
}

/// What a key waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Ready,
    Offered,
    Time(u64),
    Generation,
}

impl Worker {
    /// Messages of this key are parked.
    pub(crate) fn hold(&mut self, key: &str) {
        let held = Held {
            after: 0,
            ticket: 0,
            changed: 0,
            attempts: 0,
            has_passed_over: false,
            until: Until::Ready,
        };
        self.parked.entry(key.to_owned()).or_insert(held);
    }

    /// What was parked first or settled last did not come to be: that of these keys is offered again.
    pub(crate) fn begin_parked_anew(&mut self, scene: &Scene) {
        let committed = self.progress.committed.get();
        for held in self.parked.values_mut() {
            // The last one that is told as committed may have been a duplicate.
            if held.changed > 0 && held.changed >= committed {
                held.after = 0;
                held.until = Until::Time(scene.now + 5);
            }
        }
    }

    /// All keys are ready: another build decides.
    pub(crate) fn offer_all_parked(&mut self) {
        for key in std::mem::take(&mut self.passed_over) {
            self.parked.remove(&key);
            self.hold(&key);
        }
        for held in self.parked.values_mut() {
            if std::mem::take(&mut held.has_passed_over) {
                held.after = 0;
                held.attempts = 0;
            }
            match held.until {
                Until::Generation => held.attempts = 0,
                Until::Time(_) => held.attempts = held.attempts.saturating_sub(1),
                Until::Ready | Until::Offered => {}
            }
            held.until = Until::Ready;
        }
    }

    /// A command has changed the aggregate: what waits for it is offered again.
    pub(crate) fn wake(&mut self, key: &str, scene: &mut Scene) {
        if let Some((until, turns)) = self.waiting.get_mut(key) {
            scene.note("woken", format_args!("key {key}"));
            *until = scene.now;
            if let Some(Turn::Event { attempts, .. } | Turn::Timer { attempts, .. }) =
                turns.front_mut()
            {
                *attempts = attempts.saturating_sub(1);
            }
        }
        if let Some(held) = self.parked.get_mut(key) {
            scene.note("woken", format_args!("key {key}"));
            held.until = Until::Ready;
            held.attempts = held.attempts.saturating_sub(1);
        }
    }

    /// Puts a record or a timer behind those of its key that wait; gives back what need not wait.
    pub(crate) fn in_its_place(&mut self, turn: Turn, bench: &mut Bench<'_>) -> Option<Turn> {
        let (Turn::Event { .. } | Turn::Timer { .. }, Some(key)) = (&turn, turn.key()) else {
            return Some(turn);
        };
        let key = key.to_owned();
        if let Some((_, turns)) = self.waiting.get_mut(&key)
            && !bench.scene.is_broken(Broken::KeyNotHeldBack)
        {
            bench.scene.note("held-back", format_args!("key {key}"));
            turns.push_back(turn);
            return None;
        }
        if !self.parked.contains_key(&key) || bench.scene.is_broken(Broken::ParkedOvertaken) {
            return Some(turn);
        }
        match turn {
            Turn::Event {
                envelope,
                taken,
                record,
                ..
            } => {
                if taken.0.cancelled.get() {
                    return None;
                }
                let place = identity::of_position(&record.position);
                if self.was_seen(&identity_of(&envelope.message), bench.store)
                    || self.was_seen(&place, bench.store)
                {
                    let entry = self.entry(None, bench);
                    let taken = Some(taken);
                    hand_over(bench, Entry { taken, ..entry });
                    return None;
                }
                self.park_event((envelope, taken, record), 0, Until::Ready, bench);
            }
            Turn::Timer { fired, over, .. } if self.is_still_set(&fired, bench) => {
                self.park_timer((fired, over), 0, Until::Ready, bench);
            }
            _ => {}
        }
        None
    }

    /// A turn that is not yet committed may have cancelled a timer: it is offered again after that.
    fn is_still_set(&self, fired: &Fired, bench: &Bench<'_>) -> bool {
        let committed = self.progress.committed.get();
        let known = self.known.get(&fired.key);
        known.is_none_or(|known| known.ticket <= committed)
            && (bench.store.timers.values()).any(|timer| timer.fired == *fired)
    }

    pub(crate) fn park_event(
        &mut self,
        (envelope, taken, record): (Envelope, Taken, Record),
        attempts: u32,
        until: Until,
        bench: &mut Bench<'_>,
    ) {
        let key = envelope.message.key.clone();
        bench
            .scene
            .note("parked", format_args!("{key} {}", record.position));
        let identity = identity_of(&envelope.message);
        let entry = self.entry(None, bench);
        self.remember_seen(identity.clone());
        self.behind(&key, attempts, until);
        let record = Box::new(record);
        hand_over(
            bench,
            Entry {
                taken: Some(taken),
                parking: Some((key, Parked::Event { identity, record })),
                ..entry
            },
        );
    }

    pub(crate) fn park_timer(
        &mut self,
        (fired, over): (Fired, Over),
        attempts: u32,
        until: Until,
        bench: &mut Bench<'_>,
    ) {
        bench
            .scene
            .note("timer-placed", format_args!("{}", fired.key));
        let entry = self.entry(None, bench);
        self.behind(&fired.key, attempts, until);
        hand_over(
            bench,
            Entry {
                parking: Some((fired.key.clone(), Parked::Timer(fired.clone()))),
                parked_timer: Some(fired),
                over: Some(over),
                ..entry
            },
        );
    }

    fn behind(&mut self, key: &str, attempts: u32, until: Until) {
        let ticket = self.ticket;
        let held = Held {
            after: 0,
            ticket,
            changed: ticket,
            attempts,
            has_passed_over: false,
            until,
        };
        self.parked.entry(key.to_owned()).or_insert(held).ticket = ticket;
    }

    /// Offers the first message of a key that is ready; says whether there was one.
    pub(crate) fn offer_parked(&mut self, bench: &mut Bench<'_>) -> bool {
        self.catch_up(bench.scene);
        let now = bench.scene.now;
        let is_ready = |held: &Held| match held.until {
            Until::Ready => true,
            Until::Time(at) => at <= now,
            Until::Offered | Until::Generation => false,
        };
        let Some((key, held)) = self.parked.iter().find(|(_, held)| is_ready(held)) else {
            return false;
        };
        let (key, ticket) = (key.clone(), held.ticket);
        let Some(row) = bench.store.next_parked(&key, held.after).cloned() else {
            // What was parked last may be on its way to disk.
            if ticket > self.progress.committed.get() {
                return false;
            }
            if (self.parked.remove(&key)).is_some_and(|held| held.has_passed_over) {
                self.passed_over.insert(key);
            }
            return true;
        };
        bench
            .scene
            .note("offered-again", format_args!("{key} {}", row.id));
        match &row.what {
            Parked::Event { record, .. } => {
                let record = (**record).clone();
                self.offer_event(&row, record, bench);
            }
            Parked::Timer(fired) => {
                let fired = fired.clone();
                return self.offer_timer(&row, &fired, bench);
            }
        }
        true
    }

    fn offer_event(&mut self, row: &Rc<ParkedRow>, record: Record, bench: &mut Bench<'_>) {
        let description = bench.build.description.clone();
        let topic = bench.build.role.listens_to();
        let admission = admit::record(&record, topic, &description, &LIMITS, bench.scene.now);
        let envelope = match admission {
            Admission::Offer(envelope) if envelope.message.key == row.key => envelope,
            Admission::Skip => {
                bench.scene.note("passed-over", format_args!("{}", row.key));
                if let Some(held) = self.parked.get_mut(&row.key) {
                    held.after = row.id;
                    held.has_passed_over = true;
                    held.until = Until::Ready;
                }
                return;
            }
            Admission::Offer(_) | Admission::Malformed(_) => {
                return self.bury(row, record, "malformed", bench);
            }
        };
        match self.decide(&envelope, bench) {
            Ok(mut decided) => {
                decided.settlement.inbox = None;
                self.settle_parked(row, decided, None, bench);
            }
            Err(undecided) => {
                if let Some(reason) = self.failed(&row.key, undecided, bench) {
                    self.bury(row, record, reason, bench);
                }
            }
        }
    }

    fn offer_timer(&mut self, row: &Rc<ParkedRow>, fired: &Fired, bench: &mut Bench<'_>) -> bool {
        let committed = self.progress.committed.get();
        if let Some(known) = self.known.get(&fired.key)
            && known.ticket > committed
        {
            let ticket = known.ticket;
            bench
                .scene
                .note("timer-settles", format_args!("{} {}", fired.key, row.id));
            self.set_until(&fired.key, Until::Offered);
            self.settling = Some(Settling {
                row: row.clone(),
                fired: fired.clone(),
                ticket,
                run: self.run,
            });
            return true;
        }
        self.decide_parked_timer(row, fired, bench)
    }

    /// Decides a parked timer once what came before it is on disk; says whether it is. Where it did not come to be, it is
    /// offered again in its turn.
    pub(crate) fn go_on_with_timer(&mut self, bench: &mut Bench<'_>) -> bool {
        let is_settled = |settling: &mut Settling| {
            self.progress.committed.get() >= settling.ticket
                || self.progress.run.get() != settling.run
        };
        let Some(Settling { row, fired, .. }) = self.settling.take_if(is_settled) else {
            return false;
        };
        self.catch_up(bench.scene);
        let is_offered =
            (self.parked.get(&row.key)).is_some_and(|held| held.until == Until::Offered);
        if !is_offered && !bench.scene.is_broken(Broken::ParkedTimerGoesOn) {
            bench
                .scene
                .note("timer-put-back", format_args!("{} {}", row.key, row.id));
            return true;
        }
        self.decide_parked_timer(&row, &fired, bench)
    }

    fn decide_parked_timer(
        &mut self,
        row: &Rc<ParkedRow>,
        fired: &Fired,
        bench: &mut Bench<'_>,
    ) -> bool {
        let mut set = bench.store.timers.values();
        let Some(timer) = set.find(|timer| timer.fired == *fired).cloned() else {
            let entry = self.entry(None, bench);
            self.settled(row);
            let unparked = Some(row.clone());
            hand_over(bench, Entry { unparked, ..entry });
            return true;
        };
        let envelope = timer.envelope(bench.build.role.name(), bench.scene.now);
        match self.decide(&envelope, bench) {
            Ok(decided) => self.settle_parked(row, decided, Some(fired.clone()), bench),
            Err(undecided) => {
                if self.failed(&row.key, undecided, bench).is_some() {
                    bench
                        .scene
                        .note("timer-parked", format_args!("{}", row.key));
                    let entry = self.entry(None, bench);
                    self.settled(row);
                    hand_over(
                        bench,
                        Entry {
                            unparked: Some(row.clone()),
                            parked_timer: Some(fired.clone()),
                            ..entry
                        },
                    );
                }
            }
        }
        true
    }

    fn settle_parked(
        &mut self,
        row: &Rc<ParkedRow>,
        decided: Decided,
        fired: Option<Fired>,
        bench: &mut Bench<'_>,
    ) {
        bench
            .scene
            .note("unparked", format_args!("{} {}", row.key, row.id));
        let entry = self.entry(Some(decided), bench);
        self.settled(row);
        hand_over(
            bench,
            Entry {
                fired,
                unparked: Some(row.clone()),
                ..entry
            },
        );
    }

    fn settled(&mut self, row: &ParkedRow) {
        let ticket = self.ticket;
        if let Some(held) = self.parked.get_mut(&row.key) {
            held.after = row.id;
            held.ticket = ticket;
            held.changed = ticket;
            held.attempts = 0;
            held.until = Until::Ready;
        }
    }

    /// Makes a dead letter of a parked record.
    fn bury(
        &mut self,
        row: &Rc<ParkedRow>,
        record: Record,
        reason: &'static str,
        bench: &mut Bench<'_>,
    ) {
        let entry = self.entry(None, bench);
        self.remember_seen(identity::of_position(&record.position));
        self.settled(row);
        hand_over(
            bench,
            Entry {
                unparked: Some(row.clone()),
                dead: Some((reason, record.value)),
                ..entry
            },
        );
    }

    /// What follows a parked message that was not decided: it waits on, or gives the reason why it is given up.
    fn failed(
        &mut self,
        key: &str,
        undecided: Undecided,
        bench: &mut Bench<'_>,
    ) -> Option<&'static str> {
        let now = bench.scene.now;
        if let Undecided::Store = undecided {
            // That was no attempt.
            self.set_until(key, Until::Time(now + 5));
            return None;
        }
        let attempts = self.parked.get_mut(key).map_or(1, |held| {
            held.attempts += 1;
            held.attempts
        });
        let until = match undecided {
            Undecided::NotMigrated => Until::Generation,
            undecided => match what_next(undecided, attempts, bench.scene) {
                Ok(delay) => Until::Time(now + delay),
                Err(reason) => return Some(reason),
            },
        };
        self.set_until(key, until);
        None
    }

    fn set_until(&mut self, key: &str, until: Until) {
        if let Some(held) = self.parked.get_mut(key) {
            held.until = until;
        }
    }
}

fn identity_of(message: &Message) -> Identity {
    Identity {
        source: message.source.clone(),
        id: message.id.clone(),
    }
}
