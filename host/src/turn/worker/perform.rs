//! What a worker wants done: entries for the writer, answers for clients, what is counted and what
//! is logged.

use saga_core::commit::{DeadLetter, ParkedTimer, Write};
use saga_core::worker::{Action, Bound, Commit, ReadAnswer, Report, TurnEnd};

use super::super::this_host::{Answer, Client, ThisHost};
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
                client.answer(answer.into());
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
                    client.answer(result.map_or_else(Answer::StoreFailed, |()| answer.into()));
                };
                self.shared.store.after(link, Box::new(done));
            }
            Action::Ended(end) => self.ended(end),
            Action::Tried(origin, name) => self.counted.tried(origin, &name),
            Action::Pause(time) => std::thread::sleep(time),
            Action::Report(report) => self.report(report),
        }
    }

    /// A turn is over that leaves nothing to commit.
    fn ended(&self, end: TurnEnd<Since>) {
        (self.counted).ended(end.origin, &end.name, end.end, end.since);
        self.count(end);
    }

    /// Counts a turn in the store that leaves nothing to commit.
    fn count(&self, end: TurnEnd<Since>) {
        let generation = self.worker.active().generation.id;
        if let Some(tally) = end.into_tally(generation) {
            self.shared.store.count(tally);
        }
    }

    /// What counts a turn when it is committed.
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
                (Some((client, answer)), _) => answers(client, answer.into()),
                (None, Some(over)) => Box::new(move |_| drop(over)),
                (None, None) => Box::new(|_| {}),
            },
        }));
    }

    fn report(&self, report: Report) {
        let participant = &self.shared.name;
        match report {
            Report::Fault(kind) => self.shared.turns.broke(kind),
            Report::Broke(command, id, fault) => tracing::error!(
                %participant, %command, %id, digest = %self.worker.active().digest(), %fault,
                "the rules broke on a command; nothing was changed"
            ),
            Report::Quarantined(key, fault) => tracing::warn!(
                %participant, %key, digest = %self.worker.active().digest(), %fault,
                "an aggregate is quarantined: its state can't be read; its messages are parked until other rules, or a restart, can read it"
            ),
            Report::DeadLetter(letter) => tell_dead_letter(participant, &letter),
            Report::TimerParked(timer) => tell_parked(participant, &timer),
            Report::NoRoom {
                key,
                bound: bound @ Bound::AggregateMessages,
                messages,
                ..
            } => tracing::warn!(
                %participant, key, messages, setting = bound.setting(),
                "no further message of this aggregate can be parked; if it is quarantined, its records become dead letters"
            ),
            Report::NoRoom {
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

/// Answers a client when the fate of its entry is known.
fn answers(client: Client, answer: Answer) -> crate::store::entry::Done {
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
    tracing::warn!(
        %participant, topic = %letter.topic, partition = letter.partition, offset = letter.offset,
        reason = %letter.reason, detail = %letter.detail, digest = %letter.digest,
        "dead letter"
    );
}

/// Says that a timer could not be decided.
fn tell_parked(participant: &str, timer: &ParkedTimer) {
    let fired = &timer.fired;
    tracing::error!(
        %participant, timer = %fired.name, key = %fired.key, reason = %timer.reason, detail = %timer.detail,
        attempts = timer.attempts, digest = %timer.digest,
        "a timer can't be decided; it is parked until other rules decide or the host is started again"
    );
}
