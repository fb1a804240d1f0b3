//! Records that can't be decided become dead letters, and what operators ask for these is done.
//!
//! A dead letter stays parked as the first message of its aggregate, so that later ones wait behind
//! it, or is put aside and blocks nothing: by the settings, and where there is no aggregate.

use super::action::{Action, Commit, End, Loaded, TurnEnd, WorkerReport};
use super::given_up::{GivenUp, Undecidable};
use super::held::Until;
use super::host::{HostTypes, TakenRecord};
use super::outgoing;
use super::parked::Redrive;
use super::turn::{EventTurn, Turn};
use super::{TurnStage, TurnSubject, Worker};
use crate::commit::rows::parked_bytes;
use crate::commit::{
    DeadLetter, FailedRedrive, LetterEnd, LetterPlace, Parked, ParkedEvent, ReturnedRecord, Write,
};
use crate::identity::{self, Identity};
use crate::message::Message;
use crate::record::Record;
use crate::retry::AfterDeadLetter;

impl<H: HostTypes> Worker<H> {
    /// Makes a record that can't be decided a dead letter. If the settings say so, it is parked, so
    /// that later messages of its aggregate wait behind it.
    pub(super) fn give_up_event(
        &mut self,
        mut turn: Box<EventTurn<H>>,
        identity: Identity,
        given_up: GivenUp,
        actions: &mut Vec<Action<H>>,
    ) {
        if self.settings.retry.then == AfterDeadLetter::Skip {
            return self.put_event_aside(*turn, given_up, actions);
        }
        let key = &turn.envelope.message.key;
        let bytes = parked_bytes(key, Some(&turn.record));
        match self.place(key, bytes, actions) {
            Some(place) => self.block_behind(*turn, identity, (place, bytes), given_up, actions),
            // Its partition waits until there is room.
            None => {
                turn.trial.spare();
                let key = key.clone();
                self.wait_for_room(key, Turn::Event(turn));
            }
        }
    }

    /// Makes a record a dead letter that is parked as the first message of its key.
    pub(super) fn block_behind(
        &mut self,
        turn: EventTurn<H>,
        identity: Identity,
        (place, bytes): (H::Place, usize),
        given_up: GivenUp,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = turn.envelope.message.clone();
        let (attempts, since) = (turn.trial.attempts, turn.since);
        let (mut commit, event) = self.start_parking(turn, identity, Until::Operator);
        self.held.block(&message.key, given_up.blocks());
        commit.end = Some(Self::given_up_end(Some(message), &given_up, since));
        let letter = self.letter_of(&event, given_up, attempts);
        let record = event.record.clone();
        let parking = self.parking(Parked::Event(Box::new(event)), bytes);
        commit.entry.writes.push(parking);
        self.add_letter(&mut commit, record, letter, actions);
        commit.place = Some(place);
        actions.push(Action::Commit(commit));
    }

    /// Makes a record that can't be decided a dead letter that holds nothing back.
    pub(super) fn put_event_aside(
        &mut self,
        turn: EventTurn<H>,
        given_up: GivenUp,
        actions: &mut Vec<Action<H>>,
    ) {
        let EventTurn {
            envelope,
            taken,
            record,
            trial,
            since,
            ..
        } = turn;
        let (message, tried) = (Some(envelope.message), (trial.attempts, since));
        self.put_aside(taken, record, message, given_up, tried, actions);
    }

    /// Makes a parked record that can't be decided a dead letter, unless it is one already. If the
    /// settings say so, it stays parked, so that later messages of its aggregate wait behind it.
    pub(super) fn give_up_parked_event(
        &mut self,
        (key, row, letter): (String, (i64, usize), Option<Redrive>),
        event: ParkedEvent,
        message: Option<Message>,
        given_up: GivenUp,
        since: H::Since,
        actions: &mut Vec<Action<H>>,
    ) {
        if letter.is_none() && self.settings.retry.then == AfterDeadLetter::Skip {
            return self.bury_parked((key, row), event, message, given_up, since, actions);
        }
        let attempts = (self.held.get(&key)).map_or(1, |held| held.trial.attempts);
        let mut commit = self.commit(Some(key.clone()), None);
        let end = Self::given_up_end(message, &given_up, since);
        let blocks = given_up.blocks();
        match letter {
            Some(redrive) => {
                // It is the dead letter that it was.
                commit.end = Some(TurnEnd {
                    dead_letter: None,
                    ..end
                });
                let tried = (attempts, self.now.unix_ms);
                let failed = Box::new(given_up.of_redrive(redrive.of, tried, &self.active));
                let told = WorkerReport::FailedRedrive(key.clone(), failed.clone());
                actions.push(Action::Report(told));
                if redrive.is_aside {
                    return self.set_aside_again((key, row), event, failed, commit, actions);
                }
                commit.entry.writes.push(Write::FailedRedrive(failed));
            }
            None => {
                commit.end = Some(end);
                let letter = self.letter_of(&event, given_up, attempts);
                self.add_letter(&mut commit, event.record, letter, actions);
            }
        }
        self.held.block(&key, blocks);
        self.held.first_changed(&key, commit.link.ticket);
        actions.push(Action::Commit(commit));
    }

    /// Unparks a dead letter that was parked only to be redriven. If another redrive was requested
    /// meanwhile, the entry is not written, and the letter is tried again.
    pub(super) fn set_aside_again(
        &mut self,
        (key, row): (String, (i64, usize)),
        event: ParkedEvent,
        failed: Box<FailedRedrive>,
        mut commit: Commit<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        let writes = &mut commit.entry.writes;
        writes.push(Write::FailedAside(failed));
        writes.push(Write::Unpark(row.0));
        // A record without an id is known by its place, which stays noted.
        if event.identity != identity::of_position(&event.record.position) {
            writes.push(Write::InboxForgotten(event.identity));
        }
        commit.leaves = Some(row.1);
        self.parked_settled(&key, row.0, commit.link.ticket);
        actions.push(Action::Commit(commit));
    }

    /// Ends a parked message whose dead letter an operator has discarded.
    pub(super) fn discard_parked(
        &mut self,
        (key, row): (&str, (i64, usize)),
        letter: i64,
        message: Parked,
        actions: &mut Vec<Action<H>>,
    ) {
        let now = self.now.unix_ms;
        let mut commit = self.commit(Some(key.to_owned()), None);
        let writes = &mut commit.entry.writes;
        writes.push(Write::Unpark(row.0));
        if let Parked::Event(event) = message {
            writes.push(Write::InboxKept(event.identity, now));
        }
        writes.push(Write::LetterEnded(letter, LetterEnd::Discarded, now));
        commit.leaves = Some(row.1);
        self.parked_settled(key, row.0, commit.link.ticket);
        actions.push(Action::Commit(commit));
    }

    /// Goes on with a record that has the identity of a parked dead letter but is not the letter's
    /// own record: it takes the letter's place if the letter blocks its aggregate.
    pub(super) fn event_of_letter(
        &mut self,
        turn: Box<EventTurn<H>>,
        identity: Identity,
        letter: Box<LetterPlace>,
        actions: &mut Vec<Action<H>>,
    ) {
        let key = &turn.envelope.message.key;
        if letter.key == *key && self.held.is_blocked(key) {
            let place = identity::of_position(&turn.record.position);
            let letter = letter.letter;
            let stage = TurnStage::Returned { place, letter };
            return self.ask(TurnSubject::Event(turn, identity), stage);
        }
        let (key, position) = (key.clone(), turn.record.position.clone());
        let told = WorkerReport::DroppedForLetter(key, position, letter);
        actions.push(Action::Report(told));
        self.repeated(*turn, 0, actions);
    }

    /// Replaces the record of a dead letter, unless this record has done so before.
    pub(super) fn event_returned(
        &mut self,
        turn: EventTurn<H>,
        (place, letter): (Identity, i64),
        loaded: Result<Loaded, H::StoreFault>,
        actions: &mut Vec<Action<H>>,
    ) {
        match loaded {
            Ok(Loaded { is_known: true, .. }) => return self.repeated(turn, 0, actions),
            Ok(_) => {}
            Err(_) => return self.store_failed(&turn.taken, actions),
        }
        let message = turn.envelope.message;
        let mut commit = self.commit(Some(message.key.clone()), Some(place.clone()));
        let returned = ReturnedRecord {
            letter,
            record: turn.record,
            time: self.now.unix_ms,
        };
        let writes = &mut commit.entry.writes;
        writes.push(Write::Inbox(place, self.now.unix_ms));
        writes.push(Write::ReturnedRecord(Box::new(returned)));
        commit.end = Some(Self::end(&message, End::Parked, None, turn.since));
        commit.taken = Some(turn.taken);
        self.held.requested(&message.key, false);
        self.held.first_changed(&message.key, commit.link.ticket);
        actions.push(Action::Commit(commit));
    }

    /// Makes a record a dead letter and remembers its position: if it is read again, after later
    /// records were decided, it is not retried. It can be redriven by publishing it anew.
    pub(super) fn put_aside(
        &mut self,
        taken: H::Taken,
        record: Record,
        message: Option<Message>,
        given_up: GivenUp,
        (attempts, since): (u32, H::Since),
        actions: &mut Vec<Action<H>>,
    ) {
        let key = message.as_ref().map(|message| message.key.clone());
        let place = identity::of_position(&record.position);
        let mut commit = self.commit(key, Some(place.clone()));
        let identity = message.as_ref().map(super::turns::identity_of);
        commit.end = Some(Self::given_up_end(message, &given_up, since));
        let lost = Undecidable {
            group: taken.group(),
            declared_topic: taken.declared_topic(),
            record: &record,
            identity: identity.as_ref(),
            is_parked: false,
        };
        let letter = self.letter(lost, given_up, attempts);
        commit.taken = Some(taken);
        self.bury((place, record, letter), commit, actions);
    }

    /// Makes a parked record a dead letter. As for any dead letter, its identity may be published
    /// again.
    pub(super) fn bury_parked(
        &mut self,
        (key, row): (String, (i64, usize)),
        event: ParkedEvent,
        message: Option<Message>,
        given_up: GivenUp,
        since: H::Since,
        actions: &mut Vec<Action<H>>,
    ) {
        let attempts = (self.held.get(&key)).map_or(1, |held| held.trial.attempts);
        let place = identity::of_position(&event.record.position);
        let mut commit = self.commit(Some(key.clone()), Some(place.clone()));
        commit.end = Some(Self::given_up_end(message, &given_up, since));
        commit.entry.writes.push(Write::Unpark(row.0));
        commit.leaves = Some(row.1);
        self.parked_settled(&key, row.0, commit.link.ticket);
        let mut letter = self.letter_of(&event, given_up, attempts);
        letter.is_parked = false;
        (commit.entry.writes).push(Write::InboxForgotten(event.identity));
        self.bury((place, event.record, letter), commit, actions);
    }

    fn bury(
        &self,
        (place, record, letter): (Identity, Record, DeadLetter),
        mut commit: Commit<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        (commit.entry.writes).push(Write::Inbox(place, letter.time));
        self.add_letter(&mut commit, record, letter, actions);
        actions.push(Action::Commit(commit));
    }

    /// The dead letter of a parked event that stays parked.
    pub(super) fn letter_of(
        &self,
        event: &ParkedEvent,
        given_up: GivenUp,
        attempts: u32,
    ) -> DeadLetter {
        let lost = Undecidable {
            group: &event.group,
            declared_topic: &event.declared_topic,
            record: &event.record,
            identity: Some(&event.identity),
            is_parked: true,
        };
        self.letter(lost, given_up, attempts)
    }

    fn letter(&self, lost: Undecidable<'_>, given_up: GivenUp, attempts: u32) -> DeadLetter {
        let tried = (attempts, self.now.unix_ms);
        given_up.of_record(lost, tried, &self.settings.limits, &self.active)
    }

    /// Adds the dead letter of a record to an entry, for the store and for the dead-letter topic,
    /// and reports it.
    pub(super) fn add_letter(
        &self,
        commit: &mut Commit<H>,
        record: Record,
        letter: DeadLetter,
        actions: &mut Vec<Action<H>>,
    ) {
        let limits = &self.settings.limits;
        let published = outgoing::dead_letter(limits, &self.active, record, &letter);
        actions.push(Action::Report(WorkerReport::DeadLetter(Box::new(
            letter.clone(),
        ))));
        let writes = &mut commit.entry.writes;
        writes.push(Write::DeadLetter(Box::new(letter)));
        writes.extend(published.map(|row| Write::Publish(Box::new(row))));
    }
}
