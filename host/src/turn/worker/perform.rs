//! Performs the actions of a worker: entries for the writer, answers for clients, counters and
//! logs.

use saga_core::commit::{DeadLetter, LetterPlace, ParkedTimer, Write};
use saga_core::record::Position;
use saga_core::worker::{Action, Bound, Commit, ReadAnswer, TurnEnd, WorkerReport};

use super::super::this_host::{Answer, ThisHost, WaitingClient};
use super::Thread;
use crate::metrics::turns::{Measured, Since};
use crate::store::{Handed, StoreFault};

impl Thread {
    pub(super) fn perform(&mut self, action: Action<ThisHost>) {
        match action {
            Action::Commit(commit) => self.commit(commit),
            Action::Answer(client, answer, end) => {
                if let Some(end) = end {
                    self.ended(end);
                }
                client.answer(answer);
            }
            Action::AnswerAfter(then, link) => {
                let ReadAnswer {
                    client,
                    answer,
                    end,
                } = *then;
                let measured = self.measured(&end);
                self.count(end);
                let done = move |result: Result<(), StoreFault>| {
                    match measured {
                        Some(measured) if result.is_ok() => measured.answered(),
                        Some(measured) => measured.is_void(),
                        None => {}
                    }
                    client.answer(result.map_or_else(Answer::StoreFailed, |()| answer));
                };
                self.shared.store.after(link, Box::new(done));
            }
            Action::Ended(end) => self.ended(end),
            Action::Tried(origin, name) => self.counted.tried(origin, &name),
            Action::Pause(time) => std::thread::sleep(time),
            Action::Report(report) => self.report(report),
        }
    }

    /// Counts a turn that leaves nothing to commit.
    fn ended(&self, end: TurnEnd<Since>) {
        (self.counted).ended(end.origin, &end.name, end.end, end.since);
        self.count(end);
    }

    /// Counts in the store a turn that leaves nothing to commit.
    fn count(&self, end: TurnEnd<Since>) {
        let generation = self.worker.active().generation.id;
        if let Some(tally) = end.into_tally(generation) {
            self.shared.store.count(tally);
        }
    }

    /// The measurement that counts a turn when it is committed.
    fn measured(&self, end: &TurnEnd<Since>) -> Option<Measured> {
        (self.counted).to_commit(end.origin, &end.name, end.end, end.since, end.dead_letter)
    }

    fn commit(&self, commit: Commit<ThisHost>) {
        let Commit {
            mut entry,
            link,
            taken,
            client,
            over,
            place,
            leaves,
            end,
        } = commit;
        if tracing::enabled!(tracing::Level::DEBUG) {
            tell_decided(&entry.writes);
        }
        let measured = end.as_ref().and_then(|end| self.measured(end));
        let tally = end.and_then(|end| end.into_tally(entry.generation));
        entry.writes.extend(tally.map(Write::Tally));
        let claim = client.as_ref().and_then(|(client, _)| client.claim.clone());
        self.shared.store.commit(Box::new(Handed {
            entry,
            link,
            taken,
            place,
            leaves: leaves.map(|bytes| (self.shared.parked.clone(), bytes)),
            claim,
            progress: self.progress.clone(),
            measured,
            done: match (client, over) {
                (Some((client, answer)), _) => answers(client, answer),
                (None, Some(over)) => Box::new(move |_| drop(over)),
                (None, None) => Box::new(|_| {}),
            },
        }));
    }

    fn report(&self, report: WorkerReport) {
        let participant = &self.shared.name;
        match report {
            WorkerReport::Fault(kind) => self.shared.turns.broke(kind),
            WorkerReport::Broke(command, id, fault) => tracing::error!(
                %participant, %command, %id, digest = %self.worker.active().digest(), %fault,
                "the rules broke on a command; nothing was changed"
            ),
            WorkerReport::Quarantined(key, fault) => tracing::warn!(
                %participant, %key, digest = %self.worker.active().digest(), %fault,
                "an aggregate is quarantined: its state can't be read; its messages are parked until other rules, or a restart, can read it"
            ),
            WorkerReport::DeadLetter(letter) => tell_dead_letter(participant, &letter),
            WorkerReport::FailedRedrive(key, failed) => tracing::warn!(
                %participant, %key, letter = failed.letter, reason = %failed.reason, detail = %failed.detail,
                digest = %failed.digest, "a redriven dead letter failed again"
            ),
            WorkerReport::DroppedForLetter(key, position, letter) => {
                tell_dropped(participant, &key, &position, &letter);
            }
            WorkerReport::TimerParked(timer) => tell_parked(participant, &timer),
            WorkerReport::NoRoom {
                key,
                bound: bound @ Bound::AggregateMessages,
                messages,
                ..
            } => tracing::warn!(
                %participant, key, messages, setting = bound.setting(),
                "no further message of this aggregate can be parked; if it is quarantined, its records become dead letters"
            ),
            WorkerReport::NoRoom {
                key,
                bound,
                messages,
                bytes,
            } => tracing::warn!(
                %participant, key, messages, bytes, setting = bound.setting(),
                "no further message can be parked; records of quarantined aggregates become dead letters"
            ),
        }
    }
}

/// Answers a client once the outcome of its entry is known.
fn answers(client: WaitingClient, answer: Answer) -> crate::store::entry::Done {
    Box::new(move |result| {
        client.answer(match result {
            Ok(()) => answer,
            Err(fault) => Answer::StoreFailed(fault),
        });
    })
}

fn tell_decided(writes: &[Write]) {
    let mut journals = writes.iter().filter_map(|write| match write {
        Write::Journal(journal) => Some(journal),
        _ => None,
    });
    if let Some(journal) = journals.next() {
        tracing::debug!(
            fuel = journal.fuel,
            revision_before = journal.revision_before,
            writes = writes.len(),
            "decided"
        );
    }
}

fn tell_dead_letter(participant: &str, letter: &DeadLetter) {
    let position = &letter.record.position;
    tracing::warn!(
        %participant, topic = %position.topic, partition = position.partition, offset = position.offset,
        reason = %letter.reason, detail = %letter.detail, digest = %letter.digest,
        blocks = letter.is_parked, "dead letter"
    );
}

/// Logs that a record with the identity of a dead letter was dropped.
fn tell_dropped(participant: &str, key: &str, position: &Position, letter: &LetterPlace) {
    let advice = match letter.key == key {
        true => "the dead letter is being redriven; if it fails again, publish the record again",
        false => {
            "a record takes the place of a dead letter only if it has the same aggregate key: publish it with an id of its own"
        }
    };
    tracing::warn!(
        %participant, key, topic = %position.topic, partition = position.partition, offset = position.offset,
        letter = letter.letter, letter_key = %letter.key,
        "a record with the id of an open dead letter was dropped as a repetition; {advice}"
    );
}

/// Logs a timer that could not be decided.
fn tell_parked(participant: &str, timer: &ParkedTimer) {
    let fired = &timer.fired;
    tracing::error!(
        %participant, timer = %fired.name, key = %fired.key, reason = %timer.reason, detail = %timer.detail,
        attempts = timer.attempts, digest = %timer.digest,
        "a timer can't be decided; it is parked until other rules decide or the host is started again"
    );
}
