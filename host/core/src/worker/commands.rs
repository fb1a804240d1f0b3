//! The turns of clients, commands and reads: what is decided, and what a client is answered.

use super::action::{Action, Answer, End, ReadAnswer, Report};
use super::attempt::{Decided, Undecided};
use super::host::{Active, Defect, Host};
use super::turn::CommandTurn;
use super::{Subject, Worker};
use crate::commit::{KeptReply, Link, Verdict, Write};
use crate::message::Message;
use crate::outcome::Reply;
use saga_contract::compatibility;

impl<H: Host> Worker<H> {
    /// Whether what a command was checked against still holds: the rules may have been swapped
    /// since.
    fn is_checked(&self, turn: &CommandTurn<H>) -> bool {
        let name = &turn.envelope.message.name;
        let (under, active) = (turn.under.description(), self.active.description());
        turn.under.generation() == self.active.generation()
            || compatibility::is_same_command(under, active, name)
            || H::is_broken(Defect::AdmissionNotCompared)
    }

    /// A command or a read.
    pub(super) fn asked(
        &mut self,
        mut turn: Box<CommandTurn<H>>,
        is_read: bool,
        actions: &mut Vec<Action<H>>,
    ) {
        if self.is_checked(&turn) {
            let subject = match is_read {
                true => Subject::Read(turn),
                false => Subject::Command(turn),
            };
            return self.begin_attempt(subject, None, actions);
        }
        let body = std::mem::take(&mut turn.envelope.message.body);
        actions.push(Action::Answer(turn.client, Answer::CheckAgain(body), None));
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
        // Settlement has seen to it that a command has a reply.
        if let Some(reply) = reply {
            writes.extend(turn.repeatable.map(|(key, fingerprint)| {
                Write::Reply(KeptReply {
                    key,
                    fingerprint,
                    // Texts always have a form in JSON.
                    reply: serde_json::to_string(&reply).unwrap_or_default(),
                    time: message.time,
                })
            }));
            let answer = Answer::Replied(reply, message.key.clone());
            commit.client = Some((turn.client, answer));
        }
        let changed = commit.entry.changes_state();
        actions.push(Action::Commit(commit));
        if changed {
            self.wake(&message.key);
        }
    }

    /// A read; a state that is not yet committed is shown only when it is.
    pub(super) fn read_decided(
        &mut self,
        turn: CommandTurn<H>,
        (reply, ticket): (Reply, u64),
        actions: &mut Vec<Action<H>>,
    ) {
        let message = turn.envelope.message;
        let end = match reply {
            Reply::Refused(_) => End::Refused,
            _ => End::Decided,
        };
        let verdict = self.counts_read(&message);
        let end = Self::end(&message, end, verdict, turn.since);
        let answer = Answer::Replied(reply, message.key);
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

    /// Whether a read is counted in the store: seldom enough.
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
            Undecided::Malformed(reason) => (End::Malformed, None, Answer::Malformed(reason)),
            Undecided::RetryLater(reason) => (End::Retry, None, Answer::TryLater(reason)),
            Undecided::Store(fault) => (End::Void, None, Answer::StoreFailed(fault)),
            Undecided::Machine(fault) => {
                let reason = format!("the machine lacks {}; nothing was changed", fault.detail);
                (End::Retry, None, Answer::TryLater(reason))
            }
            Undecided::Broke(fault) => {
                let (name, id) = (message.name.clone(), message.id.clone());
                actions.push(Action::Report(Report::Broke(name, id, fault.clone())));
                (End::Fault, Some(Verdict::Fault), Answer::Broke(fault))
            }
            Undecided::NotMigrated(fault) => {
                (End::Fault, Some(Verdict::Fault), Answer::Quarantined(fault))
            }
        };
        let end = Self::end(message, end, verdict, turn.since);
        actions.push(Action::Answer(turn.client, answer, Some(end)));
    }
}
