//! Messages that are parked in the store, offered again: one by one and in the order of their key.

use super::action::{Action, End, Input, Loaded, Report};
use super::attempt::{Decided, Undecided};
use super::given_up::{Failure, GivenUp};
use super::held::Until;
use super::host::{Active, Defect, Host};
use super::{Stage, Subject, Worker};
use crate::admit::{self, Admission};
use crate::commit::{FiredTimer, Parked, ParkedEvent, ParkedRow, Verdict, Write};
use crate::message::{Envelope, Message};
use crate::record::Record;
use crate::rules::Fault;

/// A parked message that is tried again.
pub(super) struct ParkedTurn<H: Host> {
    pub(super) envelope: Envelope,
    /// Its number, and its bytes.
    row: (i64, usize),
    of: ParkedOf,
    since: H::Since,
}

enum ParkedOf {
    Event(Box<ParkedEvent>),
    Timer(FiredTimer),
}

impl<H: Host> ParkedTurn<H> {
    pub(super) fn record(&self) -> Option<&Record> {
        match &self.of {
            ParkedOf::Event(event) => Some(&event.record),
            ParkedOf::Timer(_) => None,
        }
    }
}

impl<H: Host> Worker<H> {
    /// Offers the next message of a key that is ready.
    pub(super) fn offer_parked(&mut self, since: H::Since) {
        if self.held.is_empty() {
            return;
        }
        if let Some(key) = self.held.next(self.now.uptime) {
            self.ask(Subject::Key(key, since), Stage::Next { is_again: false });
        }
    }

    /// Goes on with the next message of a key.
    pub(super) fn go_on_parked(
        &mut self,
        (key, since): (String, H::Since),
        stage: Stage<H>,
        answer: Input<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        let is_offered = self.held.is_offered(&key);
        match (stage, answer) {
            (Stage::ParkedTimer { row, fired, .. }, Input::Synced)
                if is_offered || H::is_broken(Defect::ParkedTimerGoesOn) =>
            {
                let stage = Stage::ParkedTimer {
                    row,
                    fired,
                    is_synced: true,
                };
                self.ask(Subject::Key(key, since), stage);
            }
            (Stage::ParkedTimer { row, fired, .. }, Input::Loaded(loaded)) => {
                self.parked_timer((key, since), row, fired, loaded, actions);
            }
            // What was decided before it did not come to be, or the rules were swapped: the first
            // message may be another one.
            _ if !is_offered => {}
            (Stage::SyncNext, Input::Synced) => {
                self.ask(Subject::Key(key, since), Stage::Next { is_again: true });
            }
            (Stage::Next { is_again }, Input::Loaded(Ok(Loaded { parked, .. }))) => {
                // What was parked last may be on its way to disk.
                let is_coming = self.held.ticket(&key) > self.settled && !is_again;
                match parked {
                    Some(row) => self.parked_found((key, since), row, actions),
                    None if is_coming => self.ask(Subject::Key(key, since), Stage::SyncNext),
                    None => {
                        self.held.remove(&key);
                        self.waiting.release(&key, self.now.uptime);
                    }
                }
            }
            (Stage::Next { .. }, Input::Loaded(Err(_))) => self.wait_for_store(&key),
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
        match row.message {
            Parked::Event(event) => self.parked_event((key, since), place, event, actions),
            Parked::Timer(name, due) => {
                let is_synced = !self.is_unsettled(&key);
                let fired = FiredTimer {
                    key: key.clone(),
                    name,
                    due,
                };
                let stage = Stage::ParkedTimer {
                    row: place,
                    fired,
                    is_synced,
                };
                self.ask(Subject::Key(key, since), stage);
            }
        }
    }

    fn parked_event(
        &mut self,
        (key, since): (String, H::Since),
        row: (i64, usize),
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
                    of: ParkedOf::Event(event),
                    since,
                };
                return self.begin_attempt(Subject::Parked(Box::new(turn)), None, actions);
            }
            // Rules that take such events again may follow: it is not lost.
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
        self.bury_parked((key, row), *event, None, given_up, since, actions);
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
            // It was cancelled, or set anew.
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
            of: ParkedOf::Timer(fired),
            since,
        });
        match self.unlisted(&turn.envelope) {
            Some(undecided) => self.parked_undecided(turn, undecided, actions),
            None => self.begin_attempt(Subject::Parked(turn), aggregate, actions),
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
        // It is in the inbox since it was parked.
        decided.settlement.inbox = None;
        let time = decided.settlement.journal.time;
        let last = match turn.of {
            // A repetition is recognised for as long as one of a record that was decided at once.
            ParkedOf::Event(event) => Some(Write::InboxKept(event.identity, time)),
            ParkedOf::Timer(fired) if decided.sets_timer(&fired.name) => None,
            ParkedOf::Timer(fired) => Some(Write::Fired(fired)),
        };
        let mut commit = self.decided_commit(decided, None, Some(Write::Unpark(turn.row.0)));
        commit.entry.writes.extend(last);
        commit.leaves = Some(turn.row.1);
        commit.end = Some(end);
        self.parked_settled(&message.key, turn.row.0, commit.link.ticket);
        actions.push(Action::Commit(commit));
    }

    /// What follows a parked message that was not decided: it waits on, or is given up.
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
            Failure::Store => {
                let end = Self::end(&turn.envelope.message, End::Void, None, turn.since);
                actions.push(Action::Ended(end));
                self.wait_for_store(key);
            }
            Failure::Retry(delay) => {
                let Message { origin, name, .. } = &turn.envelope.message;
                actions.push(Action::Tried(*origin, name.clone()));
                let until = Until::Time(self.now.uptime + delay);
                self.held.wait(key, until);
            }
            Failure::Quarantine(fault) => {
                self.ask(Subject::Parked(turn), Stage::Quarantined(fault));
            }
            Failure::GiveUp(given_up) => self.give_up_parked(*turn, given_up, actions),
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
                let key = message.key.clone();
                let message = Some(message);
                return self.bury_parked((key, row), *event, message, given_up, since, actions);
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
        let told = Report::TimerParked(Box::new(timer.clone()));
        actions.push(Action::Report(told));
        commit.entry.writes.push(Write::Unpark(row.0));
        commit.entry.writes.push(Write::ParkTimer(Box::new(timer)));
        actions.push(Action::Commit(commit));
    }

    /// The state of a parked message's aggregate can't be read: it waits for another generation.
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
        // What waits behind it in memory waits no longer for an attempt, but for another
        // generation.
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
