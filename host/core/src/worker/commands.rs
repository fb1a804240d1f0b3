//! The turns of clients, commands and reads: their decisions and answers.

use super::action::{Action, End, ReadAnswer, Replied, WorkerAnswer, WorkerReport};
use super::attempt::{Decided, ReadReply, Undecided};
use super::host::{ActiveRules, Defect, HostTypes};
use super::turn::CommandTurn;
use super::{TurnSubject, Worker};
use crate::commit::{Blocks, KeptReply, Link, Verdict, Write};
use crate::message::Message;
use crate::outcome::Reply;
use saga_contract::compatibility;
use saga_contract::description::CommandKind;

impl<H: HostTypes> Worker<H> {
    /// True if the check of a command still holds. The rules may have been swapped since.
    fn is_checked(&self, turn: &CommandTurn<H>) -> bool {
        let name = &turn.envelope.message.name;
        let (under, active) = (turn.under.description(), self.active.description());
        turn.under.generation() == self.active.generation()
            || compatibility::is_same_command(under, active, name)
            || H::is_broken(Defect::AdmissionNotCompared)
    }

    /// True if a command would overtake a dead letter of its aggregate. A command that creates the
    /// aggregate may: earlier messages for its key may have failed because it did not exist.
    fn is_blocked(&self, turn: &CommandTurn<H>) -> bool {
        let Message { key, name, .. } = &turn.envelope.message;
        let makes = || {
            let command = self.active.description().command(name);
            command.is_some_and(|command| matches!(command.kind, CommandKind::Create(_)))
        };
        self.held.blocks(key) == Some(Blocks::All) && !makes()
    }

    /// Begins a command or a read.
    pub(super) fn asked(
        &mut self,
        mut turn: Box<CommandTurn<H>>,
        is_read: bool,
        actions: &mut Vec<Action<H>>,
    ) {
        if !is_read && self.is_blocked(&turn) {
            let end = Self::end(&turn.envelope.message, End::Blocked, None, turn.since);
            return actions.push(Action::Answer(
                turn.client,
                WorkerAnswer::Blocked,
                Some(end),
            ));
        }
        if self.is_checked(&turn) {
            let subject = match is_read {
                true => TurnSubject::Read(turn),
                false => TurnSubject::Command(turn),
            };
            return self.begin_attempt(subject, None, actions);
        }
        let body = std::mem::take(&mut turn.envelope.message.body);
        actions.push(Action::Answer(
            turn.client,
            WorkerAnswer::CheckAgain(body),
            None,
        ));
    }

    pub(super) fn command_decided(
        &mut self,
        turn: CommandTurn<H>,
        mut decided: Decided,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = turn.envelope.message;
        let reply = decided.settlement.reply.take();
        let (verdict, end) = match reply {
            Some(Reply::Refused(_)) => (Verdict::Refused, End::Refused),
            _ => (Verdict::Decided, End::Decided),
        };
        let mut commit = self.decided_commit(decided, None, None);
        commit.end = Some(Self::end(&message, end, Some(verdict), turn.since));
        let writes = &mut commit.entry.writes;
        writes.extend(turn.generated_key.map(Write::GeneratedKey));
        // Settlement has ensured that a command has a reply.
        if let Some(reply) = reply {
            writes.extend(turn.repeatable.map(|(key, fingerprint)| {
                Write::Reply(KeptReply {
                    key,
                    fingerprint,
                    // Strings always serialize to JSON.
                    reply: serde_json::to_string(&reply).unwrap_or_default(),
                    correlation: message.correlation.clone(),
                    time: message.time,
                })
            }));
            let answer = WorkerAnswer::Replied(Replied {
                reply,
                key: message.key.clone(),
                correlation: message.correlation,
                seen: None,
            });
            commit.client = Some((turn.client, answer));
        }
        let changed = commit.entry.changes_state();
        actions.push(Action::Commit(commit));
        if changed {
            self.wake(&message.key);
        }
    }

    /// Answers a read. If it saw a state that is not committed yet, it is answered after the
    /// commit.
    pub(super) fn read_decided(
        &mut self,
        turn: CommandTurn<H>,
        read: ReadReply,
        actions: &mut Vec<Action<H>>,
    ) {
        let ReadReply {
            reply,
            seen,
            ticket,
        } = read;
        let message = turn.envelope.message;
        let end = match reply {
            Reply::Refused(_) => End::Refused,
            _ => End::Decided,
        };
        let verdict = self.counts_read(&message);
        let end = Self::end(&message, end, verdict, turn.since);
        let answer = WorkerAnswer::Replied(Replied {
            reply,
            key: message.key,
            correlation: message.correlation,
            seen,
        });
        if ticket <= self.settled {
            actions.push(Action::Answer(turn.client, answer, Some(end)));
            return;
        }
        let link = Link {
            worker: self.settings.number,
            ticket: 0,
            base: ticket,
            noticed: self.settled,
        };
        let client = turn.client;
        let then = Box::new(ReadAnswer {
            client,
            answer,
            end,
        });
        actions.push(Action::AnswerAfter(then, link));
    }

    /// The verdict if a read is to be counted in the store; the rate of these counts is limited.
    fn counts_read(&mut self, message: &Message) -> Option<Verdict> {
        let now = self.now.uptime;
        let last = self.reads.get_mut(&message.name);
        match last {
            Some(last) if now.saturating_sub(*last) < self.settings.waits.reads => return None,
            Some(last) => *last = now,
            None => drop(self.reads.insert(message.name.clone(), now)),
        }
        Some(Verdict::Read)
    }

    /// Answers a client whose message was not decided.
    pub(super) fn unanswered(
        &mut self,
        turn: CommandTurn<H>,
        undecided: Undecided<H>,
        actions: &mut Vec<Action<H>>,
    ) {
        let message = &turn.envelope.message;
        let (end, verdict, answer) = match undecided {
            Undecided::Malformed(reason) => (End::Malformed, None, WorkerAnswer::Malformed(reason)),
            Undecided::RetryLater(reason) => (End::Retry, None, WorkerAnswer::TryLater(reason)),
            Undecided::Store(fault) => (End::Void, None, WorkerAnswer::StoreFailed(fault)),
            Undecided::Machine(fault) => {
                let reason = format!("the machine lacks {}; nothing was changed", fault.detail);
                (End::Retry, None, WorkerAnswer::TryLater(reason))
            }
            Undecided::Broke(fault) => {
                let (name, id) = (message.name.clone(), message.id.clone());
                let answer = WorkerAnswer::Broke(fault.clone(), id.clone());
                actions.push(Action::Report(WorkerReport::Broke(name, id, fault)));
                (End::Fault, Some(Verdict::Fault), answer)
            }
            Undecided::NotMigrated(fault) => (
                End::Fault,
                Some(Verdict::Fault),
                WorkerAnswer::Quarantined(fault),
            ),
        };
        // A migration has no name, and is not counted.
        let end = (!message.name.is_empty()).then(|| Self::end(message, end, verdict, turn.since));
        actions.push(Action::Answer(turn.client, answer, end));
    }
}
