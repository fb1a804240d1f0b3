//! The turn loop of one worker, as the host has it: it runs ahead of the commits on what it has just decided,
//! and is sent back when a commit fails.
//!
//! Everything here is volatile. The decisions themselves are `saga_core`'s: admission, settlement, retry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use saga_core::identity::{self, Identity};
use saga_core::message::Envelope;
use saga_core::outcome::StateChange;
use saga_core::record::Record;
use saga_core::settle;

use crate::attempt::{LIMITS, Undecided, invoke, what_next};
use crate::entry::{Answer, Entry, Progress, Request, Taken, Turn};
use crate::parked::{Held, MOMENT, Settling, Until};
use crate::process::Ask;
use crate::rules::SagaRules;
use crate::scene::{Broken, Scene};
use crate::store::{Store, StoredAggregate};

/// An aggregate as the last turn left it.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) stored: StoredAggregate,
    /// Ticket of the entry that changed it last; 0 where it was read.
    pub(crate) ticket: u64,
}

/// One worker.
pub(crate) struct Worker {
    /// The build that decides.
    pub(crate) build: Rc<SagaRules>,
    /// The build that is to decide from the next turn on.
    pub(crate) handed: Option<Rc<SagaRules>>,
    /// It takes no turn until it is handed a build, or let go.
    pub(crate) held: bool,
    /// Its last turn takes until then.
    pub(crate) busy_until: u64,
    pub(crate) turns: VecDeque<Turn>,
    pub(crate) known: BTreeMap<String, Known>,
    /// The keys that wait for another attempt: until when, and what waits.
    pub(crate) waiting: BTreeMap<String, (u64, VecDeque<Turn>)>,
    /// The keys of which messages are parked in the store.
    pub(crate) parked: BTreeMap<String, Held>,
    /// Keys of which only messages are parked that the build does not take.
    pub(crate) passed_over: BTreeSet<String>,
    /// The parked timer for which it waits until the writer has come to the end.
    pub(crate) settling: Option<Settling>,
    pub(crate) recent: BTreeSet<Identity>,
    pub(crate) recent_tickets: VecDeque<(u64, Identity)>,
    pub(crate) progress: Rc<Progress>,
    pub(crate) ticket: u64,
    pub(crate) run: u64,
}

/// What a worker works with during one turn: one build, the store as it is committed.
pub(crate) struct Bench<'a> {
    pub(crate) build: Rc<SagaRules>,
    pub(crate) store: &'a Store,
    pub(crate) queue: &'a mut VecDeque<Request>,
    /// Calls that are to be routed anew.
    pub(crate) again: &'a mut VecDeque<Ask>,
    pub(crate) scene: &'a mut Scene,
}

impl Worker {
    pub(crate) fn new(build: Rc<SagaRules>) -> Self {
        Self {
            build,
            handed: None,
            held: false,
            busy_until: 0,
            turns: VecDeque::new(),
            known: BTreeMap::new(),
            waiting: BTreeMap::new(),
            parked: BTreeMap::new(),
            passed_over: BTreeSet::new(),
            settling: None,
            recent: BTreeSet::new(),
            recent_tickets: VecDeque::new(),
            progress: Rc::default(),
            ticket: 0,
            run: 0,
        }
    }

    /// When the next key has waited long enough.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.waiting.values().map(|(until, _)| *until).min()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.turns.is_empty()
            && self.waiting.is_empty()
            && self.parked.is_empty()
            && self.settling.is_none()
    }

    /// Offers again what has waited long enough.
    pub(crate) fn offer_due(&mut self, bench: &mut Bench<'_>) {
        let now = bench.scene.now;
        let due = self
            .waiting
            .iter()
            .find(|(_, (until, _))| *until <= now)
            .map(|(key, _)| key.clone());
        if let Some((_, turns)) = due.and_then(|key| self.waiting.remove(&key)) {
            for turn in turns {
                self.offer(turn, bench);
            }
        }
    }

    pub(crate) fn offer(&mut self, turn: Turn, bench: &mut Bench<'_>) {
        self.catch_up(bench.scene);
        let Some(turn) = self.admitted_alike(turn, bench) else {
            return;
        };
        let Some(turn) = self.in_its_place(turn, bench) else {
            return;
        };
        match turn {
            Turn::Command {
                envelope,
                generated_key,
                call,
                ..
            } => self.command(&envelope, generated_key, call, bench),
            Turn::Read { envelope, call, .. } => self.read(&envelope, call, bench),
            Turn::Event { .. } => self.event(turn, bench),
            Turn::Timer { .. } => self.timer(turn, bench),
            Turn::Unreadable { taken, record, .. } if !taken.0.cancelled.get() => {
                self.give_up(taken, record, "malformed", bench);
            }
            Turn::Passed { taken } if !taken.0.cancelled.get() => {
                let entry = self.entry(None, bench);
                hand_over(
                    bench,
                    Entry {
                        taken: Some(taken),
                        ..entry
                    },
                );
            }
            Turn::Unreadable { .. } | Turn::Passed { .. } => {}
        }
    }

    fn command(
        &mut self,
        envelope: &Envelope,
        generated_key: Option<i64>,
        call: usize,
        bench: &mut Bench<'_>,
    ) {
        match self.decide(envelope, bench) {
            Ok(mut decided) => {
                let key = decided.settlement.key.clone();
                let changed = decided.settlement.state != StateChange::Unchanged;
                let reply = decided
                    .settlement
                    .reply
                    .take()
                    .expect("settlement has checked that a command has a reply");
                if bench.scene.is_broken(Broken::AnswerBeforeCommit) {
                    bench.scene.answer(call, Answer::Replied(reply.clone()));
                }
                let entry = self.entry(Some(decided), bench);
                hand_over(
                    bench,
                    Entry {
                        generated_key,
                        answer: Some((call, reply)),
                        ..entry
                    },
                );
                if changed {
                    self.wake(&key, bench.scene);
                }
            }
            Err(undecided) => bench.scene.answer(call, undecided.answer()),
        }
    }

    /// Reads; a state that is not yet committed is shown only when it is.
    fn read(&mut self, envelope: &Envelope, call: usize, bench: &mut Bench<'_>) {
        let read = self
            .aggregate(&envelope.message.key, bench)
            .and_then(|(known, _)| {
                let outcome = invoke(&known, envelope, bench)?.0;
                Ok((
                    settle::read_reply(&LIMITS, outcome).map_err(Undecided::Broke)?,
                    known.ticket,
                ))
            });
        match read {
            Ok((reply, ticket)) if ticket <= self.progress.committed.get() => {
                bench.scene.answer(call, Answer::Replied(reply));
            }
            Ok((reply, _)) => {
                bench
                    .scene
                    .note("read-waits", format_args!("{}", envelope.message.id));
                let (progress, run) = (self.progress.clone(), self.run);
                bench.queue.push_back(Request::Answer {
                    call,
                    reply,
                    progress,
                    run,
                });
            }
            Err(undecided) => bench.scene.answer(call, undecided.answer()),
        }
    }

    fn event(&mut self, turn: Turn, bench: &mut Bench<'_>) {
        let Turn::Event {
            envelope,
            taken,
            record,
            attempts,
            admitted,
        } = turn
        else {
            return;
        };
        if taken.0.cancelled.get() {
            return;
        }
        let attempts = attempts + 1;
        let message = &envelope.message;
        let identity = Identity {
            source: message.source.clone(),
            id: message.id.clone(),
        };
        let place = identity::of_position(&record.position);
        let repeated = self.was_seen(&identity, bench.store)
            && !bench.scene.is_broken(Broken::InboxNotConsulted);
        let given_up = self.was_seen(&place, bench.store)
            && !bench.scene.is_broken(Broken::DeadLetterForgotten);
        if repeated || given_up {
            bench
                .scene
                .note("repeated", format_args!("{} {}", message.key, message.id));
            let entry = self.entry(None, bench);
            return hand_over(
                bench,
                Entry {
                    taken: Some(taken),
                    ..entry
                },
            );
        }
        match self.decide(&envelope, bench) {
            Ok(decided) => {
                let entry = self.entry(Some(decided), bench);
                self.remember_seen(identity);
                hand_over(
                    bench,
                    Entry {
                        taken: Some(taken),
                        ..entry
                    },
                );
            }
            Err(Undecided::Store) => taken.0.cancelled.set(true),
            Err(Undecided::NotMigrated) => {
                self.park_event((envelope, taken, record), 0, Until::Generation, bench);
            }
            Err(undecided) => match what_next(undecided, attempts, bench.scene) {
                // Where there is no room it waits in memory.
                Ok(delay) if delay >= MOMENT && bench.scene.random.percent(50) => {
                    let until = Until::Time(bench.scene.now + delay);
                    self.park_event((envelope, taken, record), attempts, until, bench);
                }
                Ok(delay) => {
                    let key = envelope.message.key.clone();
                    self.wait(
                        key,
                        Turn::Event {
                            envelope,
                            taken,
                            record,
                            attempts,
                            admitted,
                        },
                        bench.scene.now + delay,
                    );
                }
                Err(reason) => self.give_up(taken, record, reason, bench),
            },
        }
    }

    fn timer(&mut self, turn: Turn, bench: &mut Bench<'_>) {
        let Turn::Timer {
            envelope,
            fired,
            attempts,
            over,
        } = turn
        else {
            return;
        };
        let attempts = attempts + 1;
        let key = envelope.message.key.clone();
        // A turn that is not yet committed may have cancelled it: it is offered again after that.
        let settled = self
            .known
            .get(&key)
            .is_none_or(|known| known.ticket <= self.progress.committed.get());
        let is_set = bench
            .store
            .timers
            .values()
            .any(|timer| timer.fired == fired);
        if !settled || !is_set {
            return;
        }
        match self.decide(&envelope, bench) {
            Ok(decided) => {
                let entry = self.entry(Some(decided), bench);
                hand_over(
                    bench,
                    Entry {
                        fired: Some(fired),
                        over: Some(over),
                        ..entry
                    },
                );
            }
            Err(Undecided::Store) => {}
            Err(Undecided::NotMigrated) => {
                self.park_timer((fired, over), 0, Until::Generation, bench);
            }
            Err(undecided) => match what_next(undecided, attempts, bench.scene) {
                Ok(delay) => self.wait(
                    key,
                    Turn::Timer {
                        envelope,
                        fired,
                        attempts,
                        over,
                    },
                    bench.scene.now + delay,
                ),
                // By itself it holds nothing back.
                Err(_) => {
                    bench.scene.note("timer-parked", format_args!("{key}"));
                    let entry = self.entry(None, bench);
                    hand_over(
                        bench,
                        Entry {
                            parked_timer: Some(fired),
                            over: Some(over),
                            ..entry
                        },
                    );
                }
            },
        }
    }

    /// Makes a dead letter of a record. It is remembered by its place, for it may be read again before the
    /// stored offset passes it, and what came after it has been decided by then.
    fn give_up(
        &mut self,
        taken: Taken,
        record: Record,
        reason: &'static str,
        bench: &mut Bench<'_>,
    ) {
        let place = identity::of_position(&record.position);
        let known = self.was_seen(&place, bench.store)
            && !bench.scene.is_broken(Broken::DeadLetterForgotten);
        let entry = self.entry(None, bench);
        self.remember_seen(place);
        let dead = (!known).then_some((reason, record.value));
        let taken = Some(taken);
        hand_over(
            bench,
            Entry {
                taken,
                dead,
                ..entry
            },
        );
    }

    fn wait(&mut self, key: String, turn: Turn, until: u64) {
        let waiting = self.waiting.entry(key).or_default();
        waiting.0 = until;
        waiting.1.push_front(turn);
    }
}

pub(crate) fn hand_over(bench: &mut Bench<'_>, entry: Entry) {
    let what = if entry.settlement.is_some() {
        "decide"
    } else {
        "pass"
    };
    let Entry {
        ticket, run, build, ..
    } = &entry;
    let at = entry.at().map(|at| at.to_string()).unwrap_or_default();
    bench.scene.note(
        what,
        format_args!("{at} ticket {ticket} run {run} of {}", build.digest),
    );
    bench.queue.push_back(Request::Commit(Box::new(entry)));
}
