//! One thread with one instance of the rules: the turn loop.
//!
//! A worker has all turns of the keys that fall to it, one after the other. It does not wait for
//! commits: it hands an entry to the store and goes on with the next message, on the state that it
//! has just decided. If a commit fails it is sent back; see [`Progress`]. Clients are answered and
//! offsets move only after the commit. Between two turns it may pass to the next generation of the rules.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use saga_core::compatibility;
use saga_core::identity::{self, Identity};
use saga_core::message::{Envelope, Message};
use saga_core::outcome::Reply;
use saga_core::record::Record;
use saga_core::rules::{Fault, FaultKind};

use super::active::Active;
use super::decide::{Decided, Decider, Undecided};
use super::given_up::{self, Failure, GivenUp, STORE_RETRY, what_next};
use super::outgoing;
use super::parked::Parked;
use super::participant::Shared;
use super::recent::Recent;
use super::turn::{Answer, CommandTurn, EventTurn, TimerTurn, Turn};
use super::turnover::Turnover;
use crate::store::{
    DeadLetter, Entry, Progress, Quarantine, Reader, StoreFault, Taken, Tally, Verdict,
};

/// Reads of one name are counted no more often than this: each would wake the writer.
const READS_COUNTED: Duration = Duration::from_secs(5);

/// The turn loop of one thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    decider: Decider,
    turns: Receiver<Turn>,
    turnovers: Receiver<Turnover>,
    parked: Parked,
    recent: Recent,
    /// When a read was last counted, by its name.
    reads: HashMap<String, Instant>,
    progress: Arc<Progress>,
    ticket: u64,
    run: u64,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        active: Arc<Active>,
        reader: Reader,
        turns: Receiver<Turn>,
        turnovers: Receiver<Turnover>,
    ) -> Self {
        let progress = Arc::<Progress>::default();
        Self {
            decider: Decider::new(shared.clone(), active, reader, progress.clone()),
            shared,
            turns,
            turnovers,
            parked: Parked::default(),
            recent: Recent::default(),
            reads: HashMap::new(),
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
            Turn::Wake => {}
        }
    }

    fn active(&self) -> &Active {
        self.decider.active()
    }

    /// Takes notice of what the writer did meanwhile, and of the next generation.
    fn catch_up(&mut self) {
        // One that is late passes over what is out of date already.
        while let Ok(turnover) = self.turnovers.try_recv() {
            self.decider.turn_over(turnover);
            self.reads.clear();
        }
        let run = self.progress.run();
        if run != self.run {
            self.run = run;
            self.decider.forget();
            self.recent.clear();
        }
        self.recent.committed(self.progress.committed());
    }

    /// Whether what a command was checked against still holds: the rules may have been swapped since.
    fn is_checked(&self, turn: &CommandTurn) -> bool {
        let active = self.active();
        let name = &turn.envelope.message.name;
        turn.under.generation.id == active.generation.id
            || compatibility::is_same_command(turn.under.description(), active.description(), name)
    }

    fn command(&mut self, turn: CommandTurn) {
        if !self.is_checked(&turn) {
            return reply(turn, Answer::CheckAgain);
        }
        match self.decider.decide(&turn.envelope) {
            Ok(mut decided) => {
                let key = decided.settlement.key.clone();
                let reply = decided.settlement.reply.take();
                let generated_key = turn.generated_key;
                let answer = turn.answer;
                let verdict = match reply {
                    Some(Reply::Refused(_)) => Verdict::Refused,
                    _ => Verdict::Decided,
                };
                let tally = self.tally(&turn.envelope.message, verdict);
                let entry = self.decided_entry(decided);
                self.commit(Entry {
                    tally: Some(tally),
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

    fn tally(&self, message: &Message, verdict: Verdict) -> Tally {
        Tally {
            generation: self.active().generation.id,
            origin: message.origin,
            name: message.name.clone(),
            verdict,
            time: message.time,
        }
    }

    fn count_read(&mut self, message: &Message) {
        let now = Instant::now();
        let is_due = (self.reads.get(&message.name))
            .is_none_or(|last| now.duration_since(*last) >= READS_COUNTED);
        if is_due {
            self.reads.insert(message.name.clone(), now);
            self.shared.store.count(self.tally(message, Verdict::Read));
        }
    }

    /// Reads; a state that is not yet committed is shown only when it is.
    fn read(&mut self, turn: CommandTurn) {
        if !self.is_checked(&turn) {
            return reply(turn, Answer::CheckAgain);
        }
        let message = &turn.envelope.message;
        self.count_read(message);
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

    /// Whether what a record was admitted under still holds: the rules may have been swapped since.
    fn is_admitted(&self, turn: &EventTurn) -> bool {
        let active = self.active();
        turn.under.generation.id == active.generation.id
            || compatibility::is_same_subscription(
                turn.under.description(),
                active.description(),
                &turn.taken.session.source.declared_topic,
                turn.record.attributes.event_type.as_deref(),
            )
    }

    fn event(&mut self, mut turn: Box<EventTurn>) {
        if turn.taken.session.is_cancelled() {
            return;
        }
        if !self.is_admitted(&turn) {
            // It is read again, and admitted under what decides then.
            turn.taken.session.cancel();
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
            Ok(decided) => {
                let tally = self.tally(&turn.envelope.message, Verdict::Decided);
                let entry = self.decided_entry(decided);
                self.recent.note(entry.ticket, identity);
                self.commit(Entry {
                    tally: Some(tally),
                    taken: Some(turn.taken),
                    ..entry
                });
            }
            Err(Undecided::Store(fault)) => self.store_failed(&turn.taken, &fault),
            Err(undecided) => match what_next(&self.shared.retry, undecided, turn.attempts) {
                Failure::Retry(delay) => {
                    let key = turn.envelope.message.key.clone();
                    self.parked
                        .park(key, Turn::Event(turn), Instant::now() + delay);
                }
                Failure::GiveUp(given_up) => {
                    let EventTurn {
                        envelope,
                        taken,
                        record,
                        attempts,
                        ..
                    } = *turn;
                    self.put_aside(taken, record, Some(&envelope.message), given_up, attempts);
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
            Ok(decided) => {
                let tally = self.tally(&turn.envelope.message, Verdict::Decided);
                let entry = self.decided_entry(decided);
                let over = turn.over;
                self.commit(Entry {
                    tally: Some(tally),
                    fired: Some(turn.fired),
                    done: Box::new(move |_| drop(over)),
                    ..entry
                });
            }
            Err(Undecided::Store(_)) => {}
            Err(undecided) => match what_next(&self.shared.retry, undecided, turn.attempts) {
                Failure::Retry(delay) => {
                    self.parked
                        .park(key, Turn::Timer(turn), Instant::now() + delay)
                }
                Failure::GiveUp(given_up) => {
                    let entry = self.given_up_entry(Some(&turn.envelope.message), &given_up);
                    let letter = given_up.of_timer(&turn, self.active());
                    let TimerTurn { fired, over, .. } = *turn;
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
        Ok(self.recent.holds(identity) || self.decider.was_applied(identity)?)
    }

    /// An entry with what was decided, and what it leaves of the aggregate is remembered.
    fn decided_entry(&mut self, decided: Decided) -> Entry {
        self.ticket += 1;
        self.decider.remember(&decided, self.ticket, self.run);
        let outbox = outgoing::outbox(self.active(), &decided.settlement);
        let lift =
            (decided.migrated.as_ref()).map(|_| Quarantine::Lift(decided.settlement.key.clone()));
        Entry {
            settlement: Some(decided.settlement),
            migrated: decided.migrated,
            quarantine: lift,
            outbox,
            ..self.bare_entry()
        }
    }

    /// An entry for a message that is given up.
    fn given_up_entry(&mut self, message: Option<&Message>, given_up: &GivenUp) -> Entry {
        self.ticket += 1;
        let tally = (message.filter(|_| given_up.is_fault))
            .map(|message| self.tally(message, Verdict::Fault));
        let quarantine = (message.filter(|_| given_up.is_not_migrated))
            .map(|message| given_up::quarantine(message, &given_up.detail));
        Entry {
            tally,
            quarantine,
            ..self.bare_entry()
        }
    }

    /// An entry with the current ticket that does nothing yet.
    fn bare_entry(&self) -> Entry {
        let active = self.active();
        Entry {
            participant: self.shared.row,
            generation: active.generation.id,
            state_version: active.description().state.version,
            settlement: None,
            migrated: None,
            quarantine: None,
            tally: None,
            outbox: Vec::new(),
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
            Ok(false) => {
                self.put_aside(taken, record, None, GivenUp::malformed(reason), 1);
            }
            Err(error) => self.store_failed(&taken, &StoreFault(error.to_string().into())),
        }
    }

    /// Settles a record that changes nothing.
    fn pass(&mut self, taken: Taken) {
        self.ticket += 1;
        self.commit(Entry {
            taken: Some(taken),
            ..self.bare_entry()
        });
    }

    /// Makes a record a dead letter, and remembers its place: when it comes again, after those that
    /// followed it were decided, it is not tried again. To redrive it is to publish it anew.
    fn put_aside(
        &mut self,
        taken: Taken,
        record: Record,
        message: Option<&Message>,
        given_up: GivenUp,
        attempts: u32,
    ) {
        let place = identity::of_position(&record.position);
        let entry = self.given_up_entry(message, &given_up);
        let active = self.active();
        let letter = given_up.of_record(&taken, &record, attempts, active);
        let published = outgoing::dead_letter(&self.shared.limits, active, record, &letter);
        let outbox = published.into_iter().collect();
        self.recent.note(entry.ticket, place.clone());
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
            offset = letter.offset, reason = %letter.reason, detail = %letter.detail, digest = %letter.digest,
            "dead letter"
        );
        self.commit(Entry {
            dead_letter: Some(letter),
            ..entry
        });
    }

    fn was_put_aside(&self, taken: &Taken, record: &Record) -> rusqlite::Result<bool> {
        Ok(taken.may_repeat && self.was_applied(&identity::of_position(&record.position))?)
    }

    fn explain(&mut self, envelope: &Envelope, undecided: Undecided) -> Answer {
        let message = &envelope.message;
        match undecided {
            Undecided::Malformed(reason) => Answer::Malformed(reason),
            Undecided::RetryLater(reason) => Answer::TryLater(reason),
            Undecided::Store(fault) => Answer::StoreFailed(fault),
            Undecided::Broke(fault) => self.broke(message, fault),
            Undecided::NotMigrated(fault) => {
                self.ticket += 1;
                self.commit(Entry {
                    quarantine: Some(given_up::quarantine(message, &fault.detail)),
                    ..self.bare_entry()
                });
                self.broke(message, fault)
            }
        }
    }

    fn broke(&self, message: &Message, fault: Fault) -> Answer {
        tracing::error!(
            participant = %self.shared.name, command = %message.name, id = %message.id,
            digest = %self.active().digest(), %fault, "the rules broke on a command; nothing was changed"
        );
        self.shared.store.count(self.tally(message, Verdict::Fault));
        Answer::Broke(fault)
    }

    /// The store can't be read: what was taken comes again when it can.
    fn store_failed(&self, taken: &Taken, fault: &StoreFault) {
        tracing::error!(participant = %self.shared.name, %fault, "the store can't be read; records are read again");
        taken.session.cancel();
        std::thread::sleep(STORE_RETRY);
    }
}

fn reply(turn: CommandTurn, answer: Answer) {
    // A client that has gone needs no answer.
    let _ = turn.answer.send(answer);
}
