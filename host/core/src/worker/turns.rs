//! One turn of each kind except those of clients: its questions, its decision and the result.

use super::action::{Action, End, Loaded, WorkerReport};
use super::attempt::{Attempted, Decided, Undecided};
use super::given_up::{AfterFailure, GivenUp, what_next};
use super::host::{ActiveRules, Defect, HostTypes, TakenRecord};
use super::turn::{EventTurn, TimerTurn, UnreadableTurn};
use super::{TurnStage, TurnSubject, Worker};
use crate::commit::{Verdict, Write};
use crate::identity::{self, Identity};
use crate::message::{Envelope, Message};
use crate::rules::Fault;
use saga_contract::compatibility;

impl<H: HostTypes> Worker<H> {
    /// True if the admission of a record still holds. The rules may have been swapped since.
    pub(super) fn is_admitted(&self, turn: &EventTurn<H>) -> bool {
        turn.under.generation() == self.active.generation()
            || H::is_broken(Defect::AdmissionNotCompared)
            || compatibility::is_same_subscription(
                turn.under.description(),
                self.active.description(),
                turn.taken.declared_topic(),
                turn.record.attributes.event_type.as_deref(),
            )
    }

    /// Begins an event, to be decided, or to be parked behind others.
    pub(super) fn event(
        &mut self,
        mut turn: Box<EventTurn<H>>,
        is_behind: bool,
        actions: &mut Vec<Action<H>>,
    ) {
        if turn.taken.is_cancelled() {
            return;
        }
        if !self.is_admitted(&turn) {
            // It is read again, and admitted under the generation that is active then.
            turn.taken.cancel();
            return;
        }
        if !is_behind {
            turn.trial.attempts += 1;
        }
        let identity = identity_of(&turn.envelope.message);
        let place = (turn.taken.may_repeat()).then(|| identity::of_position(&turn.record.position));
        let in_flight = (self.flight.holds(&identity))
            .or_else(|| place.as_ref().and_then(|place| self.flight.holds(place)));
        if let Some(ticket) = in_flight {
            return self.repeated(*turn, ticket, actions);
        }
        self.ask(
            TurnSubject::Event(turn, identity),
            TurnStage::Known { place, is_behind },
        );
    }

    /// Settles a record that was settled before.
    pub(super) fn repeated(&mut self, turn: EventTurn<H>, base: u64, actions: &mut Vec<Action<H>>) {
        let end = Self::end(&turn.envelope.message, End::Duplicate, None, turn.since);
        self.pass(turn.taken, base, Some(end), actions);
    }

    /// Goes on with the stored data of an event.
    pub(super) fn event_known(
        &mut self,
        turn: Box<EventTurn<H>>,
        identity: Identity,
        is_behind: bool,
        loaded: Result<Loaded, H::StoreFault>,
        actions: &mut Vec<Action<H>>,
    ) {
        match loaded {
            Err(_) => {
                if !is_behind {
                    let end = Self::end(&turn.envelope.message, End::Void, None, turn.since);
                    actions.push(Action::Ended(end));
                }
                self.store_failed(&turn.taken, actions);
            }
            Ok(Loaded {
                is_known: true,
                letter,
                ..
            }) => match letter.filter(|letter| letter.position != turn.record.position) {
                Some(letter) => self.event_of_letter(turn, identity, letter, actions),
                None => self.repeated(*turn, 0, actions),
            },
            Ok(_) if is_behind => self.park_behind(turn, identity, actions),
            Ok(loaded) if self.adopts(&loaded) => {
                self.offer_again(TurnSubject::Event(turn, identity), actions);
            }
            Ok(Loaded { aggregate, .. }) => {
                self.begin_attempt(TurnSubject::Event(turn, identity), aggregate, actions);
            }
        }
    }

    pub(super) fn event_decided(
        &mut self,
        turn: EventTurn<H>,
        identity: Identity,
        decided: Decided,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = &turn.envelope.message;
        let end = Self::end(message, End::Decided, Some(Verdict::Decided), turn.since);
        let mut commit = self.decided_commit(decided, Some(identity), None);
        commit.end = Some(end);
        commit.taken = Some(turn.taken);
        actions.push(Action::Commit(commit));
    }

    pub(super) fn event_undecided(
        &mut self,
        mut turn: Box<EventTurn<H>>,
        identity: Identity,
        undecided: Undecided<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        match self.failure(undecided, &mut turn.trial) {
            AfterFailure::Store => {
                let end = Self::end(&turn.envelope.message, End::Void, None, turn.since);
                actions.push(Action::Ended(end));
                self.store_failed(&turn.taken, actions);
            }
            AfterFailure::Retry(delay) => self.event_waits(turn, identity, delay, actions),
            AfterFailure::Quarantine(fault) => self.ask(
                TurnSubject::Event(turn, identity),
                TurnStage::Quarantined(fault),
            ),
            AfterFailure::GiveUp(given_up) => self.give_up_event(turn, identity, given_up, actions),
        }
    }

    /// The step after a message was not decided, after these attempts.
    pub(super) fn failure(
        &self,
        undecided: Undecided<H>,
        trial: &mut super::trial::Trial,
    ) -> AfterFailure {
        let policy = (&self.settings.retry, &self.settings.waits);
        what_next(policy, undecided, trial, self.now.uptime)
    }

    /// Begins a timer, to be decided, or to be parked behind others.
    pub(super) fn timer(&mut self, mut turn: Box<TimerTurn<H>>, is_behind: bool) {
        if !is_behind {
            turn.trial.attempts += 1;
        }
        // It may just have been cancelled: only the store can tell, once the cancelling entry is
        // settled.
        let stage = match self.is_unsettled(&turn.envelope.message.key) {
            true => TurnStage::SyncTimer { is_behind },
            false => TurnStage::Set { is_behind },
        };
        self.ask(TurnSubject::Timer(turn), stage);
    }

    /// True if a decision on the aggregate is in flight, with or without a change.
    pub(super) fn is_in_flight(&self, key: &str) -> bool {
        (self.cache.peek(key)).is_some_and(|known| known.last > self.settled)
    }

    /// True if a change of the aggregate is in flight.
    pub(super) fn is_unsettled(&self, key: &str) -> bool {
        (self.cache.peek(key)).is_some_and(|known| known.ticket > self.settled)
    }

    /// Goes on with the stored data of a timer. If the store can't be read, it is offered again.
    pub(super) fn timer_known(
        &mut self,
        turn: Box<TimerTurn<H>>,
        is_behind: bool,
        loaded: Result<Loaded, H::StoreFault>,
        actions: &mut Vec<Action<H>>,
    ) {
        let Ok(loaded @ Loaded { timer: Some(_), .. }) = loaded else {
            return;
        };
        if is_behind {
            return self.park_timer_behind(turn, actions);
        }
        if self.adopts(&loaded) {
            return self.offer_again(TurnSubject::Timer(turn), actions);
        }
        let aggregate = loaded.aggregate;
        if let Some(undecided) = self.unlisted(&turn.envelope) {
            return self.timer_undecided(turn, undecided, actions);
        }
        self.begin_attempt(TurnSubject::Timer(turn), aggregate, actions);
    }

    /// The reason why a timer can't be decided that the active rules don't list: an earlier
    /// generation has set it.
    pub(super) fn unlisted(&self, envelope: &Envelope) -> Option<Undecided<H>> {
        let name = &envelope.message.name;
        let listed = &self.active.description().timers;
        let is_listed = listed.iter().any(|timer| timer.name == *name);
        let reason = || format!("the active rules list no timer `{name}`");
        (!is_listed).then(|| Undecided::Malformed(reason()))
    }

    pub(super) fn timer_decided(
        &mut self,
        turn: TimerTurn<H>,
        decided: Decided,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = &turn.envelope.message;
        let end = Self::end(message, End::Decided, Some(Verdict::Decided), turn.since);
        let is_set_anew = decided.sets_timer(&turn.fired.name);
        let mut commit = self.decided_commit(decided, None, None);
        commit.end = Some(end);
        commit.over = Some(turn.over);
        let fired = (!is_set_anew).then_some(Write::Fired(turn.fired));
        commit.entry.writes.extend(fired);
        actions.push(Action::Commit(commit));
    }

    pub(super) fn timer_undecided(
        &mut self,
        mut turn: Box<TimerTurn<H>>,
        undecided: Undecided<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        match self.failure(undecided, &mut turn.trial) {
            AfterFailure::Store => {
                let end = Self::end(&turn.envelope.message, End::Void, None, turn.since);
                actions.push(Action::Ended(end));
            }
            AfterFailure::Retry(delay) => self.timer_waits(turn, delay, actions),
            AfterFailure::Quarantine(fault) => {
                self.ask(TurnSubject::Timer(turn), TurnStage::Quarantined(fault));
            }
            AfterFailure::GiveUp(given_up) => self.give_up_timer(*turn, given_up, actions),
        }
    }

    pub(super) fn unreadable(
        &mut self,
        turn: Box<UnreadableTurn<H>>,
        actions: &mut Vec<Action<H>>,
    ) {
        if turn.taken.is_cancelled() {
            return;
        }
        if !turn.taken.may_repeat() {
            return self.unreadable_known(*turn, Ok(Loaded::default()), actions);
        }
        let place = identity::of_position(&turn.record.position);
        if let Some(base) = self.flight.holds(&place) {
            return self.unreadable_repeated(*turn, base, actions);
        }
        let stage = TurnStage::Known {
            place: Some(place),
            is_behind: false,
        };
        self.ask(TurnSubject::Unreadable(turn), stage);
    }

    fn unreadable_repeated(
        &mut self,
        turn: UnreadableTurn<H>,
        base: u64,
        actions: &mut Vec<Action<H>>,
    ) {
        let end = super::action::TurnEnd {
            origin: crate::message::Origin::Event,
            name: String::new(),
            time: 0,
            end: End::Duplicate,
            verdict: None,
            dead_letter: None,
            since: turn.since,
        };
        self.pass(turn.taken, base, Some(end), actions);
    }

    pub(super) fn unreadable_known(
        &mut self,
        turn: UnreadableTurn<H>,
        loaded: Result<Loaded, H::StoreFault>,
        actions: &mut Vec<Action<H>>,
    ) {
        match loaded {
            Ok(Loaded { is_known: true, .. }) => self.unreadable_repeated(turn, 0, actions),
            Ok(_) => {
                let UnreadableTurn {
                    taken,
                    record,
                    reason,
                    since,
                } = turn;
                let given_up = GivenUp::malformed(reason);
                self.put_aside(taken, record, None, given_up, (1, since), actions);
            }
            Err(_) => self.store_failed(&turn.taken, actions),
        }
    }

    /// Cancels the session of a record because the store can't be read; the record is delivered
    /// again once it can.
    pub(super) fn store_failed(&self, taken: &H::Taken, actions: &mut Vec<Action<H>>) {
        taken.cancel();
        actions.push(Action::Pause(self.settings.waits.store));
    }

    /// Handles the result of an attempt.
    pub(super) fn attempted(
        &mut self,
        subject: TurnSubject<H>,
        attempted: Attempted<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        if let TurnSubject::Parked(parked) = &subject
            && !self.held.is_offered(&parked.envelope.message.key)
            && !H::is_broken(Defect::ParkedTimerGoesOn)
        {
            // An entry of the key was not written meanwhile: another message is the first now.
            return;
        }
        if let Attempted::Undecided(undecided) = &attempted
            && std::mem::take(&mut self.is_from_cache)
            && !matches!(undecided, Undecided::Store(_) | Undecided::Machine(_))
            && let Some(envelope) = subject.envelope()
        {
            // Another host may have changed the aggregate, and no commit verifies this.
            if self.is_in_flight(&envelope.message.key) {
                return self.ask(subject, TurnStage::SyncAttempt);
            }
            self.cache.forget(&envelope.message.key);
            return self.begin_attempt(subject, None, actions);
        }
        let undecided = match attempted {
            Attempted::Decided(decided) => {
                return match subject {
                    TurnSubject::Command(turn) => self.command_decided(*turn, *decided, actions),
                    TurnSubject::Event(turn, identity) => {
                        self.event_decided(*turn, identity, *decided, actions);
                    }
                    TurnSubject::Timer(turn) => self.timer_decided(*turn, *decided, actions),
                    TurnSubject::Parked(parked) => self.parked_decided(*parked, *decided, actions),
                    // Nothing is decided on these.
                    TurnSubject::Read(_)
                    | TurnSubject::Migrate(_)
                    | TurnSubject::Unreadable(_)
                    | TurnSubject::Key(..) => {}
                };
            }
            Attempted::Read(read) => {
                if let TurnSubject::Read(turn) = subject {
                    self.read_decided(*turn, read, actions);
                }
                return;
            }
            Attempted::StateRead(migrated) => {
                if let TurnSubject::Migrate(turn) = subject {
                    self.state_read(*turn, migrated, actions);
                }
                return;
            }
            Attempted::Undecided(undecided) => undecided,
        };
        if let Some(kind) = undecided.fault_kind() {
            actions.push(Action::Report(WorkerReport::Fault(kind)));
        }
        match subject {
            TurnSubject::Command(_) | TurnSubject::Read(_) | TurnSubject::Migrate(_)
                if let Undecided::NotMigrated(fault) = undecided =>
            {
                self.ask(subject, TurnStage::Quarantined(fault));
            }
            TurnSubject::Command(turn) | TurnSubject::Read(turn) | TurnSubject::Migrate(turn) => {
                self.unanswered(*turn, undecided, actions);
            }
            TurnSubject::Event(turn, identity) => {
                self.event_undecided(turn, identity, undecided, actions);
            }
            TurnSubject::Timer(turn) => self.timer_undecided(turn, undecided, actions),
            TurnSubject::Parked(parked) => self.parked_undecided(parked, undecided, actions),
            TurnSubject::Unreadable(_) | TurnSubject::Key(..) => {}
        }
    }

    /// Goes on once it is known if the aggregate with the unreadable state is quarantined. If the
    /// store can't be read, it counts as quarantined.
    pub(super) fn quarantine_known(
        &mut self,
        subject: TurnSubject<H>,
        fault: Fault,
        loaded: Result<Loaded, H::StoreFault>,
        actions: &mut Vec<Action<H>>,
    ) {
        let is_known = loaded.map_or(true, |loaded| loaded.is_quarantined);
        match subject {
            TurnSubject::Command(turn) | TurnSubject::Read(turn) | TurnSubject::Migrate(turn) => {
                self.note_quarantine(&turn.envelope.message.key, &fault, is_known, actions);
                self.unanswered(*turn, Undecided::NotMigrated(fault), actions);
            }
            TurnSubject::Event(turn, identity) => {
                self.quarantine_event(turn, identity, &fault, is_known, actions);
            }
            TurnSubject::Timer(turn) => self.quarantine_timer(*turn, fault, is_known, actions),
            TurnSubject::Parked(parked) => {
                self.quarantine_parked(*parked, &fault, is_known, actions)
            }
            TurnSubject::Unreadable(_) | TurnSubject::Key(..) => {}
        }
    }
}

/// The identity of an event's message.
pub(super) fn identity_of(message: &Message) -> Identity {
    Identity {
        source: message.source.clone(),
        id: message.id.clone(),
    }
}
