//! One turn of each kind: what is decided, and what becomes of it.

use std::sync::Arc;

use saga_contract::compatibility;
use saga_core::identity::{self, Identity};
use saga_core::message::{Envelope, Message, Origin};
use saga_core::outcome::{Reply, StateChange};
use saga_core::record::Record;
use saga_core::rules::{Fault, FaultKind};

use super::super::decide::{Decided, Undecided};
use super::super::given_up::{Failure, GivenUp, STORE_RETRY, what_next};
use super::super::turn::{Answer, CommandTurn, EventTurn, TimerTurn};
use super::Worker;
use crate::metrics::turns::{End, Since};
use crate::store::{Claim, Entry, KeptReply, StoreFault, Taken, Verdict};

impl Worker {
    /// A span for the log: whose turn it is, on what, and which build decides.
    pub(super) fn span(&self, message: &Message) -> tracing::Span {
        tracing::debug_span!(
            "turn",
            participant = %self.shared.name,
            digest = self.active().digest(),
            message = %message.name,
            id = %message.id,
            key = %message.key,
            correlation = %message.correlation,
            topic = tracing::field::Empty,
            partition = tracing::field::Empty,
            offset = tracing::field::Empty,
            attempt = tracing::field::Empty,
        )
    }

    /// Whether what a command was checked against still holds: the rules may have been swapped since.
    pub(super) fn is_checked(&self, turn: &CommandTurn) -> bool {
        let active = self.active();
        let name = &turn.envelope.message.name;
        turn.under.generation.id == active.generation.id
            || compatibility::is_same_command(turn.under.description(), active.description(), name)
    }

    pub(super) fn command(&mut self, turn: CommandTurn) {
        if !self.is_checked(&turn) {
            return check_again(turn);
        }
        let _span = self.span(&turn.envelope.message).entered();
        match self.decider.decide(&turn.envelope) {
            Ok(mut decided) => {
                let key = decided.settlement.key.clone();
                let reply = decided.settlement.reply.take();
                let generated_key = turn.generated_key;
                let (answer, reserved) = (turn.answer, turn.reserved);
                let kept_reply = turn.claim.zip(reply.as_ref()).map(kept);
                let (verdict, end) = match reply {
                    Some(Reply::Refused(_)) => (Verdict::Refused, End::Refused),
                    _ => (Verdict::Decided, End::Decided),
                };
                let tally = self.tally(&turn.envelope.message, verdict);
                let measured = self.measured(&turn.envelope.message, end, turn.since);
                let changed = decided.settlement.state != StateChange::Unchanged;
                let waits = changed && (self.waiting.holds(&key) || self.held.holds(&key));
                let woken = waits.then(|| key.clone());
                let entry = self.decided_entry(decided);
                self.commit(Entry {
                    tally: Some(tally),
                    measured,
                    generated_key,
                    kept_reply,
                    done: Box::new(move |result| {
                        // The entry holds the body until here.
                        drop(reserved);
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
                if let Some(key) = woken {
                    self.wake(&key);
                }
            }
            Err(undecided) => self.undecided(turn, undecided),
        }
    }

    /// Reads; a state that is not yet committed is shown only when it is.
    pub(super) fn read(&mut self, turn: CommandTurn) {
        if !self.is_checked(&turn) {
            return check_again(turn);
        }
        if let Some(gone) = self.shared.store.condition().loss() {
            return reply(turn, Answer::StoreFailed(gone));
        }
        let message = &turn.envelope.message;
        let _span = self.span(message).entered();
        self.count_read(message);
        let answer = self.decider.read(message);
        match answer {
            Ok((body, ticket)) => {
                let end = match body {
                    Reply::Refused(_) => End::Refused,
                    _ => End::Decided,
                };
                let (origin, name, since) = (message.origin, message.name.as_str(), turn.since);
                let answer = Answer::Replied(body, message.key.clone());
                if ticket <= self.progress.committed() && self.run == self.progress.run() {
                    self.counted.ended(origin, name, end, since);
                    reply(turn, answer);
                } else {
                    let measured = self.measured(message, end, since);
                    let after = move |result: Result<(), StoreFault>| {
                        match measured {
                            Some(measured) if result.is_ok() => measured.answered(),
                            Some(measured) => measured.is_void(),
                            None => {}
                        }
                        reply(turn, result.map_or_else(Answer::StoreFailed, |()| answer));
                    };
                    (self.shared.store).after(self.progress.clone(), self.run, after);
                }
            }
            Err(undecided) => self.undecided(turn, undecided),
        }
    }

    /// Answers a client whose message was not decided.
    fn undecided(&mut self, turn: CommandTurn, undecided: Undecided) {
        let end = match undecided {
            Undecided::Malformed(_) => End::Malformed,
            Undecided::RetryLater(_) | Undecided::Machine(_) => End::Retry,
            Undecided::Store(_) => End::Void,
            Undecided::Broke(_) | Undecided::NotMigrated(_) => End::Fault,
        };
        let message = &turn.envelope.message;
        (self.counted).ended(message.origin, &message.name, end, turn.since);
        let why = self.explain(&turn.envelope, undecided);
        reply(turn, why);
    }

    /// Whether what a record was admitted under still holds: the rules may have been swapped since.
    pub(super) fn is_admitted(&self, turn: &EventTurn) -> bool {
        let active = self.active();
        turn.under.generation.id == active.generation.id
            || compatibility::is_same_subscription(
                turn.under.description(),
                active.description(),
                &turn.taken.session.source.declared_topic,
                turn.record.attributes.event_type.as_deref(),
            )
    }

    pub(super) fn event(&mut self, mut turn: Box<EventTurn>) {
        if turn.taken.session.is_cancelled() {
            return;
        }
        if !self.is_admitted(&turn) {
            // It is read again, and admitted under what decides then.
            turn.taken.session.cancel();
            return;
        }
        turn.trial.attempts += 1;
        let message = &turn.envelope.message;
        let span = self.span(message);
        let position = &turn.record.position;
        span.record("topic", &*position.topic);
        span.record("partition", position.partition);
        span.record("offset", position.offset);
        span.record("attempt", turn.trial.attempts);
        let _span = span.entered();
        let was_settled = self.was_settled(&turn);
        let decided = match was_settled {
            Ok(true) => {
                let measured = self.measured(message, End::Duplicate, turn.since);
                return self.pass(turn.taken, measured);
            }
            Ok(false) => self.decider.decide(&turn.envelope),
            Err(error) => Err(error.into()),
        };
        match decided {
            Ok(decided) => {
                let tally = self.tally(&turn.envelope.message, Verdict::Decided);
                let measured = self.measured(&turn.envelope.message, End::Decided, turn.since);
                let entry = self.decided_entry(decided);
                self.recent
                    .note(entry.ticket, identity_of(&turn.envelope.message));
                self.commit(Entry {
                    tally: Some(tally),
                    measured,
                    taken: Some(turn.taken),
                    ..entry
                });
            }
            Err(undecided) => match what_next(&self.shared.retry, undecided, &mut turn.trial) {
                Failure::Store(fault) => {
                    let message = &turn.envelope.message;
                    (self.counted).ended(message.origin, &message.name, End::Void, turn.since);
                    self.store_failed(&turn.taken, &fault);
                }
                Failure::Retry(delay) => self.event_waits(turn, delay),
                Failure::Quarantine(fault) => self.quarantine_event(turn, &fault),
                Failure::GiveUp(given_up) => self.give_up_event(turn, given_up),
            },
        }
    }

    pub(super) fn timer(&mut self, mut turn: Box<TimerTurn>) {
        turn.trial.attempts += 1;
        if !self.is_still_set(&turn) {
            return;
        }
        let span = self.span(&turn.envelope.message);
        span.record("attempt", turn.trial.attempts);
        let _span = span.entered();
        let decided = self.decide_timer(&turn.envelope);
        match decided {
            Ok(decided) => {
                let tally = self.tally(&turn.envelope.message, Verdict::Decided);
                let measured = self.measured(&turn.envelope.message, End::Decided, turn.since);
                let entry = self.decided_entry(decided);
                let over = turn.over;
                self.commit(Entry {
                    tally: Some(tally),
                    measured,
                    fired: Some(turn.fired),
                    done: Box::new(move |_| drop(over)),
                    ..entry
                });
            }
            Err(undecided) => match what_next(&self.shared.retry, undecided, &mut turn.trial) {
                Failure::Store(_) => {
                    let message = &turn.envelope.message;
                    (self.counted).ended(message.origin, &message.name, End::Void, turn.since);
                }
                Failure::Retry(delay) => self.timer_waits(turn, delay),
                Failure::Quarantine(fault) => self.quarantine_timer(turn, fault),
                Failure::GiveUp(given_up) => self.give_up_timer(turn, given_up),
            },
        }
    }

    /// Whether a timer is still set.
    pub(super) fn is_still_set(&mut self, turn: &TimerTurn) -> bool {
        self.settle(&turn.envelope.message.key);
        // Where the store can't be read it is offered again.
        let is_set = self.decider.timer_is_set(&turn.fired);
        self.read_or("a timer can't be read", is_set, false)
    }

    /// A timer of this key may just have been cancelled: only the store can tell, once that is on disk.
    pub(super) fn settle(&mut self, key: &str) {
        if self.decider.is_unsettled(key) {
            self.shared.store.settle_up();
            self.catch_up();
        }
    }

    pub(super) fn decide_timer(&mut self, envelope: &Envelope) -> Result<Decided, Undecided> {
        let name = &envelope.message.name;
        let listed = &self.active().description().timers;
        if listed.iter().any(|timer| timer.name == *name) {
            return self.decider.decide(envelope);
        }
        // Set by rules that were active before.
        let reason = format!("the active rules list no timer `{name}`");
        Err(Undecided::Malformed(reason))
    }

    /// Whether a record was applied, parked or put aside before.
    pub(super) fn was_settled(&self, turn: &EventTurn) -> rusqlite::Result<bool> {
        Ok(self.was_applied(&identity_of(&turn.envelope.message))?
            || self.was_put_aside(&turn.taken, &turn.record)?)
    }

    pub(super) fn was_applied(&self, identity: &Identity) -> rusqlite::Result<bool> {
        Ok(self.recent.holds(identity) || self.decider.was_applied(identity)?)
    }

    pub(super) fn unreadable(
        &mut self,
        taken: Taken,
        record: Record,
        reason: String,
        since: Since,
    ) {
        if taken.session.is_cancelled() {
            return;
        }
        match self.was_put_aside(&taken, &record) {
            Ok(true) => {
                let end = End::Duplicate;
                let measured = (self.counted).to_commit(Origin::Event, "", end, since, None);
                self.pass(taken, measured);
            }
            Ok(false) => {
                let given_up = GivenUp::malformed(reason);
                self.put_aside(taken, record, None, given_up, (1, since));
            }
            Err(error) => self.store_failed(&taken, &error.into()),
        }
    }

    pub(super) fn was_put_aside(&self, taken: &Taken, record: &Record) -> rusqlite::Result<bool> {
        Ok(taken.may_repeat && self.was_applied(&identity::of_position(&record.position))?)
    }

    pub(super) fn explain(&mut self, envelope: &Envelope, undecided: Undecided) -> Answer {
        let message = &envelope.message;
        match undecided {
            Undecided::Malformed(reason) => Answer::Malformed(reason),
            Undecided::RetryLater(reason) => Answer::TryLater(reason),
            Undecided::Store(fault) => Answer::StoreFailed(fault),
            Undecided::Machine(fault) => Answer::TryLater(format!(
                "the machine lacks {}; nothing was changed",
                fault.detail
            )),
            Undecided::Broke(fault) => self.broke(message, fault),
            Undecided::NotMigrated(fault) => {
                self.note_quarantine(message, &fault);
                self.shared.store.count(self.tally(message, Verdict::Fault));
                Answer::Quarantined(fault)
            }
        }
    }

    pub(super) fn broke(&self, message: &Message, fault: Fault) -> Answer {
        tracing::error!(
            participant = %self.shared.name, command = %message.name, id = %message.id,
            digest = %self.active().digest(), %fault, "the rules broke on a command; nothing was changed"
        );
        self.shared.store.count(self.tally(message, Verdict::Fault));
        Answer::Broke(fault)
    }

    /// What was read; this, where the store can't be read, which is reported.
    pub(super) fn read_or<T>(
        &self,
        what: &'static str,
        read: rusqlite::Result<T>,
        otherwise: T,
    ) -> T {
        read.unwrap_or_else(|error| {
            (self.shared.store.condition()).report(what, &error.into());
            otherwise
        })
    }

    /// The store can't be read: what was taken comes again when it can.
    pub(super) fn store_failed(&self, taken: &Taken, fault: &StoreFault) {
        let condition = self.shared.store.condition();
        condition.report("the store can't be read for a record", fault);
        taken.session.cancel();
        std::thread::sleep(STORE_RETRY);
    }
}

/// What tells the message of an event from others.
pub(super) fn identity_of(message: &Message) -> Identity {
    Identity {
        source: message.source.clone(),
        id: message.id.clone(),
    }
}

fn check_again(mut turn: CommandTurn) {
    let body = std::mem::take(&mut turn.envelope.message.body);
    reply(turn, Answer::CheckAgain(body));
}

/// Answers a command.
pub(super) fn reply(turn: CommandTurn, answer: Answer) {
    // Before its client is told: it may repeat the command at once.
    drop(turn.claim);
    // A client that has gone needs no answer.
    let _ = turn.answer.send(answer);
}

fn kept((claim, reply): (Arc<Claim>, &Reply)) -> KeptReply {
    KeptReply {
        claim,
        // Texts always have a form in JSON.
        reply: serde_json::to_string(reply).unwrap_or_default(),
    }
}
