//! One turn of each kind but those of clients: what is asked, what is decided, and what becomes of
//! it.

use super::action::{Action, End, Loaded, Report};
use super::attempt::{Attempted, Decided, Undecided};
use super::given_up::{Failure, GivenUp, what_next};
use super::host::{Active, Defect, Host, Taken};
use super::turn::{EventTurn, TimerTurn, UnreadableTurn};
use super::{Stage, Subject, Worker};
use crate::commit::{Verdict, Write};
use crate::identity::{self, Identity};
use crate::message::{Envelope, Message};
use crate::rules::Fault;
use saga_contract::compatibility;

impl<H: Host> Worker<H> {
    /// Whether what a record was admitted under still holds: the rules may have been swapped since.
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

    /// An event, to be decided, or to be parked behind others.
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
            // It is read again, and admitted under what decides then.
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
            Subject::Event(turn, identity),
            Stage::Known { place, is_behind },
        );
    }

    /// A record that was settled before.
    fn repeated(&mut self, turn: EventTurn<H>, base: u64, actions: &mut Vec<Action<H>>) {
        let end = Self::end(&turn.envelope.message, End::Duplicate, None, turn.since);
        self.pass(turn.taken, base, Some(end), actions);
    }

    /// What is stored of an event is known.
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
            Ok(Loaded { is_known: true, .. }) => self.repeated(*turn, 0, actions),
            Ok(_) if is_behind => self.park_behind(turn, identity, actions),
            Ok(Loaded { aggregate, .. }) => {
                self.begin_attempt(Subject::Event(turn, identity), aggregate, actions);
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
            Failure::Store => {
                let end = Self::end(&turn.envelope.message, End::Void, None, turn.since);
                actions.push(Action::Ended(end));
                self.store_failed(&turn.taken, actions);
            }
            Failure::Retry(delay) => self.event_waits(turn, identity, delay, actions),
            Failure::Quarantine(fault) => {
                self.ask(Subject::Event(turn, identity), Stage::Quarantined(fault))
            }
            Failure::GiveUp(given_up) => self.give_up_event(*turn, given_up, actions),
        }
    }

    /// What follows a message that was not decided, after these attempts.
    pub(super) fn failure(
        &self,
        undecided: Undecided<H>,
        trial: &mut super::trial::Trial,
    ) -> Failure {
        let policy = (&self.settings.retry, &self.settings.waits);
        what_next(policy, undecided, trial, self.now.uptime)
    }

    /// A timer, to be decided, or to be parked behind others.
    pub(super) fn timer(&mut self, mut turn: Box<TimerTurn<H>>, is_behind: bool) {
        if !is_behind {
            turn.trial.attempts += 1;
        }
        // It may just have been cancelled: only the store can tell, once that is on disk.
        let stage = match self.is_unsettled(&turn.envelope.message.key) {
            true => Stage::SyncTimer { is_behind },
            false => Stage::Set { is_behind },
        };
        self.ask(Subject::Timer(turn), stage);
    }

    /// Whether a change of the aggregate is on its way to disk.
    pub(super) fn is_unsettled(&self, key: &str) -> bool {
        (self.cache.peek(key)).is_some_and(|known| known.ticket > self.settled)
    }

    /// What is stored of a timer is known. Where the store can't be read it is offered again.
    pub(super) fn timer_known(
        &mut self,
        turn: Box<TimerTurn<H>>,
        is_behind: bool,
        loaded: Result<Loaded, H::StoreFault>,
        actions: &mut Vec<Action<H>>,
    ) {
        let Ok(Loaded {
            timer: Some(_),
            aggregate,
            ..
        }) = loaded
        else {
            return;
        };
        if is_behind {
            return self.park_timer_behind(turn, actions);
        }
        if let Some(undecided) = self.unlisted(&turn.envelope) {
            return self.timer_undecided(turn, undecided, actions);
        }
        self.begin_attempt(Subject::Timer(turn), aggregate, actions);
    }

    /// Why a timer can't be decided that the active rules don't list: those that were active before
    /// have set it.
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
            Failure::Store => {
                let end = Self::end(&turn.envelope.message, End::Void, None, turn.since);
                actions.push(Action::Ended(end));
            }
            Failure::Retry(delay) => self.timer_waits(turn, delay, actions),
            Failure::Quarantine(fault) => {
                self.ask(Subject::Timer(turn), Stage::Quarantined(fault));
            }
            Failure::GiveUp(given_up) => self.give_up_timer(*turn, given_up, actions),
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
        let stage = Stage::Known {
            place: Some(place),
            is_behind: false,
        };
        self.ask(Subject::Unreadable(turn), stage);
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

    /// The store can't be read: what was taken comes again when it can.
    fn store_failed(&self, taken: &H::Taken, actions: &mut Vec<Action<H>>) {
        taken.cancel();
        actions.push(Action::Pause(self.settings.waits.store));
    }

    /// An attempt has come to its end.
    pub(super) fn attempted(
        &mut self,
        subject: Subject<H>,
        attempted: Attempted<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        let undecided = match attempted {
            Attempted::Decided(decided) => {
                return match subject {
                    Subject::Command(turn) => self.command_decided(*turn, *decided, actions),
                    Subject::Event(turn, identity) => {
                        self.event_decided(*turn, identity, *decided, actions);
                    }
                    Subject::Timer(turn) => self.timer_decided(*turn, *decided, actions),
                    Subject::Parked(parked) => self.parked_decided(*parked, *decided, actions),
                    // Nothing is decided on these.
                    Subject::Read(_) | Subject::Unreadable(_) | Subject::Key(..) => {}
                };
            }
            Attempted::Read(reply, ticket) => {
                if let Subject::Read(turn) = subject {
                    self.read_decided(*turn, (reply, ticket), actions);
                }
                return;
            }
            Attempted::Undecided(undecided) => undecided,
        };
        if let Some(kind) = undecided.fault_kind() {
            actions.push(Action::Report(Report::Fault(kind)));
        }
        match subject {
            Subject::Command(_) | Subject::Read(_)
                if let Undecided::NotMigrated(fault) = undecided =>
            {
                self.ask(subject, Stage::Quarantined(fault));
            }
            Subject::Command(turn) | Subject::Read(turn) => {
                self.unanswered(*turn, undecided, actions);
            }
            Subject::Event(turn, identity) => {
                self.event_undecided(turn, identity, undecided, actions);
            }
            Subject::Timer(turn) => self.timer_undecided(turn, undecided, actions),
            Subject::Parked(parked) => self.parked_undecided(parked, undecided, actions),
            Subject::Unreadable(_) | Subject::Key(..) => {}
        }
    }

    /// Whether the aggregate of a message that can't be read is quarantined is known; where the
    /// store can't be read, it is taken for so.
    pub(super) fn quarantine_known(
        &mut self,
        subject: Subject<H>,
        fault: Fault,
        loaded: Result<Loaded, H::StoreFault>,
        actions: &mut Vec<Action<H>>,
    ) {
        let is_known = loaded.map_or(true, |loaded| loaded.is_quarantined);
        match subject {
            Subject::Command(turn) | Subject::Read(turn) => {
                self.note_quarantine(&turn.envelope.message.key, &fault, is_known, actions);
                self.unanswered(*turn, Undecided::NotMigrated(fault), actions);
            }
            Subject::Event(turn, identity) => {
                self.quarantine_event(turn, identity, &fault, is_known, actions);
            }
            Subject::Timer(turn) => self.quarantine_timer(*turn, fault, is_known, actions),
            Subject::Parked(parked) => self.quarantine_parked(*parked, &fault, is_known, actions),
            Subject::Unreadable(_) | Subject::Key(..) => {}
        }
    }
}

/// What tells the message of an event from others.
pub(super) fn identity_of(message: &Message) -> Identity {
    Identity {
        source: message.source.clone(),
        id: message.id.clone(),
    }
}
