//! Offers messages that are parked in the store again: one by one, in the order of their key.

use super::action::{Action, End, Input, Loaded, WorkerReport};
use super::attempt::{Decided, Undecided};
use super::given_up::{AfterFailure, GivenUp};
use super::held::Until;
use super::host::{ActiveRules, Defect, HostTypes};
use super::{TurnStage, TurnSubject, Worker};
use crate::admit::{self, Admission};
use crate::commit::{
    FiredTimer, LetterEnd, LetterRequest, Parked, ParkedEvent, ParkedLetter, ParkedRow, Verdict,
    Write,
};
use crate::message::{Envelope, Message};
use crate::record::Record;
use crate::rules::Fault;

/// A parked message that is retried.
pub(super) struct ParkedTurn<H: HostTypes> {
    pub(super) envelope: Envelope,
    /// Its number and its bytes.
    row: (i64, usize),
    /// The dead letter that it became, and the request by which it is decided again.
    letter: Option<Redrive>,
    of: ParkedOf,
    since: H::Since,
}

/// A dead letter that is decided again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Redrive {
    /// Its number, and that of the request.
    pub(super) of: (i64, i64),
    /// It held nothing back before.
    pub(super) is_aside: bool,
}

enum ParkedOf {
    Event(Box<ParkedEvent>),
    Timer(FiredTimer),
}

impl<H: HostTypes> ParkedTurn<H> {
    pub(super) fn record(&self) -> Option<&Record> {
        match &self.of {
            ParkedOf::Event(event) => Some(&event.record),
            ParkedOf::Timer(_) => None,
        }
    }
}

impl<H: HostTypes> Worker<H> {
    /// Offers the next message of a key that is ready.
    pub(super) fn offer_parked(&mut self, since: H::Since) {
        if self.held.is_empty() {
            return;
        }
        if let Some(key) = self.held.next(self.now.uptime) {
            self.ask(
                TurnSubject::Key(key, since),
                TurnStage::Next { is_again: false },
            );
        }
    }

    /// Goes on with the next message of a key.
    pub(super) fn go_on_parked(
        &mut self,
        (key, since): (String, H::Since),
        stage: TurnStage<H>,
        answer: Input<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        let is_offered = self.held.is_offered(&key);
        match (stage, answer) {
            (TurnStage::ParkedTimer { row, fired, .. }, Input::Synced)
                if is_offered || H::is_broken(Defect::ParkedTimerGoesOn) =>
            {
                let stage = TurnStage::ParkedTimer {
                    row,
                    fired,
                    is_synced: true,
                };
                self.ask(TurnSubject::Key(key, since), stage);
            }
            (TurnStage::ParkedTimer { row, fired, .. }, Input::Loaded(loaded)) => {
                self.parked_timer((key, since), row, fired, loaded, actions);
            }
            // An earlier decision was void, or the rules were swapped: another message may be the
            // first now.
            _ if !is_offered => {}
            (TurnStage::SyncNext, Input::Synced) => {
                self.ask(
                    TurnSubject::Key(key, since),
                    TurnStage::Next { is_again: true },
                );
            }
            (TurnStage::Next { is_again }, Input::Loaded(Ok(Loaded { parked, .. }))) => {
                // The last parked message, or the result for a dead letter, may be in flight.
                let is_coming = self.held.ticket(&key) > self.settled && !is_again;
                match parked {
                    Some(_) if is_coming && self.held.is_blocked(&key) => {
                        self.ask(TurnSubject::Key(key, since), TurnStage::SyncNext);
                    }
                    Some(row) => self.parked_found((key, since), row, actions),
                    None if is_coming => {
                        self.ask(TurnSubject::Key(key, since), TurnStage::SyncNext)
                    }
                    None => {
                        self.held.remove(&key);
                        self.waiting.release(&key, self.now.uptime);
                    }
                }
            }
            (TurnStage::Next { .. }, Input::Loaded(Err(_))) => self.wait_for_store(&key),
            _ => {}
        }
    }

    fn parked_found(
        &mut self,
        (key, since): (String, H::Since),
        row: ParkedRow,
        actions: &mut Vec<Action<H>>,
    ) {
        let place = (row.id, row.bytes);
        let holds = |letter: &ParkedLetter| (!letter.is_aside).then(|| letter.blocks());
        self.held.found(&key, row.letter.as_ref().and_then(holds));
        let letter = match row.letter {
            None => None,
            Some(letter) => match letter.request {
                None => return self.held.block(&key, letter.blocks()),
                Some((_, LetterRequest::Discard)) => {
                    return self.discard_parked((&key, place), letter.id, row.message, actions);
                }
                Some((request, LetterRequest::Redrive)) => Some(Redrive {
                    of: (letter.id, request),
                    is_aside: letter.is_aside,
                }),
            },
        };
        match row.message {
            Parked::Event(event) => {
                self.parked_event((key, since), (place, letter), event, actions);
            }
            Parked::Timer(name, due) => {
                let is_synced = !self.is_unsettled(&key);
                let fired = FiredTimer {
                    key: key.clone(),
                    name,
                    due,
                };
                let stage = TurnStage::ParkedTimer {
                    row: place,
                    fired,
                    is_synced,
                };
                self.ask(TurnSubject::Key(key, since), stage);
            }
        }
    }

    fn parked_event(
        &mut self,
        (key, since): (String, H::Since),
        (row, letter): ((i64, usize), Option<Redrive>),
        event: Box<ParkedEvent>,
        actions: &mut Vec<Action<H>>,
    ) {
        // The rules may have been swapped since.
        let admission = admit::record(
            &event.record,
            &event.declared_topic,
            self.active.description(),
            &self.settings.limits,
            self.now.unix_ms,
        );
        let reason = match admission {
            Admission::Offer(envelope) if envelope.message.key == key => {
                let turn = ParkedTurn {
                    envelope: *envelope,
                    row,
                    letter,
                    of: ParkedOf::Event(event),
                    since,
                };
                return self.begin_attempt(TurnSubject::Parked(Box::new(turn)), None, actions);
            }
            Admission::Skip if letter.is_some() => format!(
                "the active rules don't subscribe to `{}` on {}",
                event.name, event.declared_topic
            ),
            // Not lost: later rules may take such events again.
            Admission::Skip => {
                if let Some(held) = self.held.get(&key) {
                    held.pass_over(row.0);
                }
                return self.held.wait(&key, Until::Ready);
            }
            Admission::Offer(envelope) => format!(
                "was parked for the key `{key}`, but the active rules find the key `{}` in it",
                envelope.message.key
            ),
            Admission::Malformed(reason) => reason,
        };
        self.count_attempt(&key);
        let given_up = GivenUp::malformed(reason);
        self.give_up_parked_event((key, row, letter), *event, None, given_up, since, actions);
    }

    fn parked_timer(
        &mut self,
        (key, since): (String, H::Since),
        row: (i64, usize),
        fired: FiredTimer,
        loaded: Result<Loaded, H::StoreFault>,
        actions: &mut Vec<Action<H>>,
    ) {
        let Ok(Loaded {
            timer, aggregate, ..
        }) = loaded
        else {
            return self.wait_for_store(&key);
        };
        let Some(timer) = timer else {
            // It was cancelled or reset.
            let mut commit = self.commit(Some(key.clone()), None);
            commit.entry.writes.push(Write::Unpark(row.0));
            commit.leaves = Some(row.1);
            self.parked_settled(&key, row.0, commit.link.ticket);
            actions.push(Action::Commit(commit));
            return;
        };
        let turn = Box::new(ParkedTurn {
            envelope: admit::timer(&self.settings.name, &timer, self.now.unix_ms),
            row,
            letter: None,
            of: ParkedOf::Timer(fired),
            since,
        });
        match self.unlisted(&turn.envelope) {
            Some(undecided) => self.parked_undecided(turn, undecided, actions),
            None => self.begin_attempt(TurnSubject::Parked(turn), aggregate, actions),
        }
    }

    pub(super) fn parked_decided(
        &mut self,
        turn: ParkedTurn<H>,
        mut decided: Decided,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = &turn.envelope.message;
        let end = Self::end(message, End::Decided, Some(Verdict::Decided), turn.since);
        // Parking it has recorded it in the inbox.
        decided.settlement.inbox = None;
        let time = decided.settlement.journal.time;
        let last = match turn.of {
            // Repeats are detected for as long as those of a record that was decided at once.
            ParkedOf::Event(event) => Some(Write::InboxKept(event.identity, time)),
            ParkedOf::Timer(fired) if decided.sets_timer(&fired.name) => None,
            ParkedOf::Timer(fired) => Some(Write::Fired(fired)),
        };
        let mut commit = self.decided_commit(decided, None, Some(Write::Unpark(turn.row.0)));
        commit.entry.writes.extend(last);
        let ended = |letter: Redrive| Write::LetterEnded(letter.of.0, LetterEnd::Decided, time);
        commit.entry.writes.extend(turn.letter.map(ended));
        commit.leaves = Some(turn.row.1);
        commit.end = Some(end);
        self.parked_settled(&message.key, turn.row.0, commit.link.ticket);
        actions.push(Action::Commit(commit));
    }

    /// Handles a parked message that was not decided: it goes on waiting, or is given up.
    pub(super) fn parked_undecided(
        &mut self,
        turn: Box<ParkedTurn<H>>,
        undecided: Undecided<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        let key = &turn.envelope.message.key;
        self.count_attempt(key);
        let mut trial = (self.held.get(key)).map_or_else(Default::default, |held| held.trial);
        let next = self.failure(undecided, &mut trial);
        if let Some(held) = self.held.get(key) {
            held.trial = trial;
        }
        match next {
            AfterFailure::Store => {
                let end = Self::end(&turn.envelope.message, End::Void, None, turn.since);
                actions.push(Action::Ended(end));
                self.wait_for_store(key);
            }
            AfterFailure::Retry(delay) => {
                let Message { origin, name, .. } = &turn.envelope.message;
                actions.push(Action::Tried(*origin, name.clone()));
                let until = Until::Time(self.now.uptime + delay);
                self.held.wait(key, until);
            }
            AfterFailure::Quarantine(fault) => {
                self.ask(TurnSubject::Parked(turn), TurnStage::Quarantined(fault));
            }
            AfterFailure::GiveUp(given_up) => self.give_up_parked(*turn, given_up, actions),
        }
    }

    fn give_up_parked(
        &mut self,
        turn: ParkedTurn<H>,
        given_up: GivenUp,
        actions: &mut Vec<Action<H>>,
    ) {
        let (row, since, message) = (turn.row, turn.since, turn.envelope.message);
        let fired = match turn.of {
            ParkedOf::Event(event) => {
                let place = (message.key.clone(), row, turn.letter);
                let message = Some(message);
                self.give_up_parked_event(place, *event, message, given_up, since, actions);
                return;
            }
            ParkedOf::Timer(fired) => fired,
        };
        let key = &message.key;
        let attempts = (self.held.get(key)).map_or(1, |held| held.trial.attempts);
        let verdict = given_up.is_fault.then_some(Verdict::Fault);
        let mut commit = self.commit(Some(key.clone()), None);
        commit.end = Some(Self::end(&message, End::Parked, verdict, since));
        commit.leaves = Some(row.1);
        self.parked_settled(key, row.0, commit.link.ticket);
        let timer = given_up.of_timer(fired, (attempts, self.now.unix_ms), &self.active);
        let told = WorkerReport::TimerParked(Box::new(timer.clone()));
        actions.push(Action::Report(told));
        commit.entry.writes.push(Write::Unpark(row.0));
        commit.entry.writes.push(Write::ParkTimer(Box::new(timer)));
        actions.push(Action::Commit(commit));
    }

    /// Quarantines the aggregate of a parked message, whose state can't be read: the message waits
    /// for another generation.
    pub(super) fn quarantine_parked(
        &mut self,
        turn: ParkedTurn<H>,
        fault: &Fault,
        is_known: bool,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = &turn.envelope.message;
        let key = &message.key;
        self.tell_quarantined(key, fault, is_known, actions);
        self.held.wait(key, Until::Generation);
        // Messages that wait behind it in memory now wait for another generation instead of an
        // attempt.
        self.waiting.release(key, self.now.uptime);
        let mut commit = self.commit(Some(key.clone()), None);
        if let Some(held) = self.held.get(key) {
            held.changed = commit.link.ticket;
        }
        commit.entry.writes.push(self.quarantine(&fault.detail));
        commit.end = Some(Self::end(
            message,
            End::Parked,
            Some(Verdict::Fault),
            turn.since,
        ));
        actions.push(Action::Commit(commit));
    }

    fn count_attempt(&mut self, key: &str) {
        if let Some(held) = self.held.get(key) {
            held.trial.attempts += 1;
        }
    }

    fn wait_for_store(&mut self, key: &str) {
        let until = self.now.uptime + self.settings.waits.store;
        self.held.wait(key, Until::Time(until));
    }
}
