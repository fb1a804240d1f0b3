//! The state of an aggregate is read, and migrated if it is older, without a message for it: eager
//! migration, and another attempt at a quarantined aggregate.

use std::sync::Arc;

use super::Worker;
use super::action::{Action, WorkerAnswer};
use super::cache::Aggregate;
use super::host::{ActiveRules, HostTypes};
use super::turn::CommandTurn;
use crate::commit::Write;

impl<H: HostTypes> Worker<H> {
    /// Stores a migrated state, lifts the quarantine of an aggregate whose state can be read, and
    /// offers its parked messages again.
    pub(super) fn state_read(
        &mut self,
        turn: CommandTurn<H>,
        migrated: Option<Arc<str>>,
        actions: &mut Vec<Action<H>>,
    ) {
        let key = turn.envelope.message.key;
        let answer = WorkerAnswer::StateRead(migrated.is_some());
        if migrated.is_none() && !self.quarantined.may_hold(&key) {
            return actions.push(Action::Answer(turn.client, answer, None));
        }
        let mut commit = self.commit(Some(key.clone()), None);
        let ticket = commit.link.ticket;
        if let Some(state) = migrated {
            let mut revision = 0;
            if let Some(known) = self.cache.get(&key) {
                revision = known.revision;
                let aggregate = Aggregate {
                    state: Some(state.clone()),
                    state_version: self.active.description().state.version,
                    ticket,
                    last: ticket,
                    ..known
                };
                self.cache.put(&key, aggregate, self.settled);
            }
            commit.entry.writes.push(Write::Migrated(state, revision));
        }
        if self.quarantined.lifts(&key, ticket, self.settled) {
            commit.entry.writes.push(Write::QuarantineLifted);
        }
        commit.client = Some((turn.client, answer));
        actions.push(Action::Commit(commit));
        self.wake(&key);
    }
}
