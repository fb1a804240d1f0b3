//! One thread with one instance of the rules: the turn loop.
//!
//! A worker has all turns of the keys that fall to it, one after the other. It does not wait for
//! commits: it hands an entry to the store and goes on with the next message, on the state that it
//! has just decided. If a commit fails it is sent back; see [`Progress`]. Clients are answered and
//! offsets move only after the commit.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use saga_core::identity::{self, Identity};
use saga_core::message::Envelope;
use saga_core::record::Record;
use saga_core::retry::Next;
use saga_core::rules::{Fault, FaultKind};
use saga_core::settle::Settlement;

use super::decide::{Decider, Undecided};
use super::parked::Parked;
use super::participant::Shared;
use super::turn::{Answer, CommandTurn, EventTurn, TimerTurn, Turn};
use crate::generation::Generation;
use crate::store::{DeadLetter, Entry, Progress, Reader, StoreFault, Taken};

/// Wait before the store is asked again after it failed.
const STORE_RETRY: Duration = Duration::from_millis(200);

/// The turn loop of one thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    generation: Generation,
    decider: Decider,
    turns: Receiver<Turn>,
    parked: Parked,
    /// Identities of events whose entries are not yet committed, with their tickets in order.
    recent: HashSet<Identity>,
    recent_tickets: VecDeque<(u64, Identity)>,
    progress: Arc<Progress>,
    ticket: u64,
    run: u64,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        generation: Generation,
        reader: Reader,
        turns: Receiver<Turn>,
    ) -> Self {
        let progress = Arc::<Progress>::default();
        Self {
            decider: Decider::new(shared.clone(), generation.clone(), reader, progress.clone()),
            shared,
            generation,
            turns,
            parked: Parked::default(),
            recent: HashSet::new(),
            recent_tickets: VecDeque::new(),
            progress,
            ticket: 0,
            run: 0,
        }
    }

    /// Runs until nobody can give it turns any more.
    pub(super) fn run(mut self) {
        loop {
            while let Some(turns) = self.parked.take_due(Instant::now()) {
                for turn in turns {
                    self.offer(turn);
                }
            }
            let turn = match self.parked.next_due() {
                None => self
                    .turns
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => self.turns.recv_deadline(due),
            };
            match turn {
                Ok(turn) => self.offer(turn),
                Err(RecvTimeoutError::Timeout) => {}
                // What is parked comes again after the next start.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn offer(&mut self, turn: Turn) {
        self.catch_up();
        if let Some(key) = turn.key()
            && self.parked.holds(key)
        {
            let key = key.to_owned();
            match turn {
                Turn::Command(turn) => {
                    reply(
                        *turn,
                        Answer::TryLater(format!(
                            "an earlier message for {key} waits for another attempt"
                        )),
                    );
                    return;
                }
                Turn::Read(_) => {}
                turn => {
                    self.parked.queue(&key, turn);
                    return;
                }
            }
        }
        match turn {
            Turn::Command(turn) => self.command(*turn),
            Turn::Read(turn) => self.read(*turn),
            Turn::Event(turn) => self.event(turn),
            Turn::Timer(turn) => self.timer(turn),
            Turn::Unreadable {
                taken,
                record,
                reason,
            } => self.unreadable(taken, *record, reason),
            Turn::Passed(taken) if taken.session.is_cancelled() => {}
            Turn::Passed(taken) => self.pass(taken),
        }
    }

    /// Takes notice of what the writer did meanwhile.
    fn catch_up(&mut self) {
        let run = self.progress.run();
        if run != self.run {
            self.run = run;
            self.decider.forget();
            self.recent.clear();
            self.recent_tickets.clear();
        }
        let committed = self.progress.committed();
        while let Some((ticket, _)) = self.recent_tickets.front()
            && *ticket <= committed
        {
            if let Some((_, identity)) = self.recent_tickets.pop_front() {
                self.recent.remove(&identity);
            }
        }
    }

    fn command(&mut self, turn: CommandTurn) {
        match self.decider.decide(&turn.envelope) {
            Ok(mut settlement) => {
                let key = settlement.key.clone();
                let reply = settlement.reply.take();
                let generated_key = turn.generated_key;
                let answer = turn.answer;
                let entry = self.entry(Some(settlement));
                self.commit(Entry {
                    generated_key,
                    done: Box::new(move |result| {
                        let answer_with = match (result, reply) {
                            (Ok(()), Some(reply)) => Answer::Replied(reply, key),
                            (Ok(()), None) => {
                                Answer::Broke(Fault::new(FaultKind::BadOutput, "no reply"))
                            }
                            (Err(fault), _) => Answer::StoreFailed(fault),
                        };
                        // A client that has gone needs no answer.
                        let _ = answer.send(answer_with);
                    }),
                    ..entry
                });
            }
            Err(undecided) => {
                let why = self.explain(&turn.envelope, undecided);
                reply(turn, why);
            }
        }
    }

    /// Reads; a state that is not yet committed is shown only when it is.
    fn read(&mut self, turn: CommandTurn) {
        let message = &turn.envelope.message;
        let answer = self.decider.read(message);
        match answer {
            Ok((body, ticket)) => {
                let answer = Answer::Replied(body, message.key.clone());
                if ticket <= self.progress.committed() && self.run == self.progress.run() {
                    reply(turn, answer);
                } else {
                    self.shared
                        .store
                        .after(self.progress.clone(), self.run, move |result| {
                            reply(turn, result.map_or_else(Answer::StoreFailed, |()| answer));
                        });
                }
            }
            Err(undecided) => {
                let why = self.explain(&turn.envelope, undecided);
                reply(turn, why);
            }
        }
    }

    fn event(&mut self, mut turn: Box<EventTurn>) {
        if turn.taken.session.is_cancelled() {
            return;
        }
        let message = &turn.envelope.message;
        let identity = Identity {
            source: message.source.clone(),
            id: message.id.clone(),
        };
        turn.attempts += 1;
        let was_settled = self.was_applied(&identity).and_then(|was_applied| {
            Ok(was_applied || self.was_put_aside(&turn.taken, &turn.record)?)
        });
        let decided = match was_settled {
            Ok(true) => return self.pass(turn.taken),
            Ok(false) => self.decider.decide(&turn.envelope),
            Err(error) => Err(error.into()),
        };
        match decided {
            Ok(settlement) => {
                let entry = self.entry(Some(settlement));
                self.note(entry.ticket, identity);
                self.commit(Entry {
                    taken: Some(turn.taken),
                    ..entry
                });
            }
            Err(Undecided::Store(fault)) => self.store_failed(&turn.taken, &fault),
            Err(undecided) => match self.what_next(undecided, turn.attempts) {
                Failure::Retry(delay) => {
                    let key = turn.envelope.message.key.clone();
                    self.parked
                        .park(key, Turn::Event(turn), Instant::now() + delay);
                }
                Failure::GiveUp { reason, detail } => {
                    let EventTurn {
                        taken,
                        record,
                        attempts,
                        ..
                    } = *turn;
                    self.put_aside(taken, record, reason, detail, attempts);
                }
            },
        }
    }

    fn timer(&mut self, mut turn: Box<TimerTurn>) {
        turn.attempts += 1;
        if self.decider.is_unsettled(&turn.envelope.message.key) {
            // It may just have been cancelled: only the store can tell, once that is on disk.
            self.shared.store.settle_up();
            self.catch_up();
        }
        // Where the store can't be read it is offered again.
        if !self.decider.timer_is_set(&turn.fired).unwrap_or(false) {
            return;
        }
        let key = turn.envelope.message.key.clone();
        match self.decider.decide(&turn.envelope) {
            Ok(settlement) => {
                let entry = self.entry(Some(settlement));
                let over = turn.over;
                self.commit(Entry {
                    fired: Some(turn.fired),
                    done: Box::new(move |_| drop(over)),
                    ..entry
                });
            }
            Err(Undecided::Store(_)) => {}
            Err(undecided) => match self.what_next(undecided, turn.attempts) {
                Failure::Retry(delay) => {
                    self.parked
                        .park(key, Turn::Timer(turn), Instant::now() + delay)
                }
                Failure::GiveUp { reason, detail } => {
                    let letter = self
                        .shared
                        .dead_timer(&turn, reason, detail, &self.generation);
                    let TimerTurn { fired, over, .. } = *turn;
                    let entry = self.entry(None);
                    let done = Box::new(move |_| drop(over));
                    self.bury(
                        Entry {
                            fired: Some(fired),
                            done,
                            ..entry
                        },
                        letter,
                    );
                }
            },
        }
    }

    fn was_applied(&self, identity: &Identity) -> rusqlite::Result<bool> {
        Ok(self.recent.contains(identity) || self.decider.was_applied(identity)?)
    }

    /// An entry with the next ticket; what it leaves of the aggregate is remembered.
    fn entry(&mut self, settlement: Option<Settlement>) -> Entry {
        self.ticket += 1;
        let state_version = self.generation.description().state.version;
        if let Some(settlement) = &settlement {
            self.decider.remember(settlement, self.ticket, self.run);
        }
        let outbox = settlement
            .as_ref()
            .map(|settlement| self.shared.outbox(settlement))
            .unwrap_or_default();
        Entry {
            participant: self.shared.row,
            generation: self.generation.id,
            state_version,
            settlement,
            outbox,
            generated_key: None,
            taken: None,
            fired: None,
            put_aside: None,
            dead_letter: None,
            progress: self.progress.clone(),
            ticket: self.ticket,
            run: self.run,
            done: Box::new(|_| {}),
        }
    }

    fn commit(&self, entry: Entry) {
        self.shared.store.commit(Box::new(entry));
    }

    fn unreadable(&mut self, taken: Taken, record: Record, reason: String) {
        if taken.session.is_cancelled() {
            return;
        }
        match self.was_put_aside(&taken, &record) {
            Ok(true) => self.pass(taken),
            Ok(false) => self.put_aside(taken, record, "malformed", reason, 1),
            Err(error) => self.store_failed(&taken, &StoreFault(error.to_string().into())),
        }
    }

    /// Settles a record that changes nothing.
    fn pass(&mut self, taken: Taken) {
        let entry = self.entry(None);
        self.commit(Entry {
            taken: Some(taken),
            ..entry
        });
    }

    /// Makes a record a dead letter, and remembers its place: when it comes again, after those that
    /// followed it were decided, it is not tried again. To redrive it is to publish it anew.
    fn put_aside(
        &mut self,
        taken: Taken,
        record: Record,
        reason: &str,
        detail: String,
        attempts: u32,
    ) {
        let place = identity::of_position(&record.position);
        let letter =
            self.shared
                .dead_record(&taken, &record, reason, detail, attempts, &self.generation);
        let outbox = self
            .shared
            .dead_letter_record(record, &letter)
            .into_iter()
            .collect();
        let entry = self.entry(None);
        self.note(entry.ticket, place.clone());
        self.bury(
            Entry {
                taken: Some(taken),
                put_aside: Some(place),
                outbox,
                ..entry
            },
            letter,
        );
    }

    fn bury(&self, entry: Entry, letter: DeadLetter) {
        tracing::warn!(
            participant = %self.shared.name, topic = %letter.topic, partition = letter.partition,
            offset = letter.offset, reason = %letter.reason, detail = %letter.detail, "dead letter"
        );
        self.commit(Entry {
            dead_letter: Some(letter),
            ..entry
        });
    }

    fn was_put_aside(&self, taken: &Taken, record: &Record) -> rusqlite::Result<bool> {
        Ok(taken.may_repeat && self.was_applied(&identity::of_position(&record.position))?)
    }

    /// Notes an identity that is on its way to disk.
    fn note(&mut self, ticket: u64, identity: Identity) {
        self.recent.insert(identity.clone());
        self.recent_tickets.push_back((ticket, identity));
    }

    fn what_next(&self, undecided: Undecided, attempts: u32) -> Failure {
        let retry = |reason: &'static str, detail: String| match self.shared.retry.after(attempts) {
            Next::RetryAfter(ms) => Failure::Retry(Duration::from_millis(ms)),
            Next::GiveUp => Failure::GiveUp { reason, detail },
        };
        match undecided {
            Undecided::Malformed(detail) => Failure::GiveUp {
                reason: "malformed",
                detail,
            },
            Undecided::RetryLater(detail) => retry("retries-exhausted", detail),
            Undecided::Broke(fault) if fault.may_pass() => retry("deadline", fault.detail),
            // The same input would break it again.
            Undecided::Broke(fault) => Failure::GiveUp {
                reason: fault_word(fault.kind),
                detail: fault.detail,
            },
            // Says nothing of the message: it is never given up for it (invariant 5).
            Undecided::Store(_) => Failure::Retry(STORE_RETRY),
        }
    }

    fn explain(&self, envelope: &Envelope, undecided: Undecided) -> Answer {
        match undecided {
            Undecided::Malformed(reason) => Answer::Malformed(reason),
            Undecided::RetryLater(reason) => Answer::TryLater(reason),
            Undecided::Store(fault) => Answer::StoreFailed(fault),
            Undecided::Broke(fault) => {
                tracing::error!(
                    participant = %self.shared.name, command = %envelope.message.name, id = %envelope.message.id,
                    digest = %self.generation.build.digest(), %fault, "the rules broke on a command; nothing was changed"
                );
                Answer::Broke(fault)
            }
        }
    }

    /// The store can't be read: what was taken comes again when it can.
    fn store_failed(&self, taken: &Taken, fault: &StoreFault) {
        tracing::error!(participant = %self.shared.name, %fault, "the store can't be read; records are read again");
        taken.session.cancel();
        std::thread::sleep(STORE_RETRY);
    }
}

enum Failure {
    Retry(Duration),
    GiveUp {
        reason: &'static str,
        detail: String,
    },
}

fn reply(turn: CommandTurn, answer: Answer) {
    // A client that has gone needs no answer.
    let _ = turn.answer.send(answer);
}

fn fault_word(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Trap => "trap",
        FaultKind::OutOfFuel => "out-of-fuel",
        FaultKind::Deadline => "deadline",
        FaultKind::OutOfMemory => "out-of-memory",
        FaultKind::OutputTooLarge => "output-too-large",
        FaultKind::BadOutput => "bad-output",
        FaultKind::Migration => "migration",
    }
}
