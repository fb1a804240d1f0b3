//! What the server refuses: the commit function of a shared store, with the rows of several entries
//! as columns.
//!
//! As in PostgreSQL's `saga_commit_v4`, all guards of a call hold, or none of it is written.

use std::collections::{BTreeMap, BTreeSet};

use saga_core::commit::{Offset, Write};
use saga_core::identity::Identity;
use saga_core::outcome::TimerChange;

use crate::hosts::Member;
use crate::scene::Broken;
use crate::store::Store;
use crate::writer::Handed;

/// Why a call was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The row of this host is another's by now.
    Taken,
    /// Other rules are active by now.
    OtherRules,
    /// An event was applied before.
    OneRow,
    /// An entry was decided on rows that another host has changed.
    Stale,
    /// Another host has replied under an idempotency key.
    Replied,
}

/// The commit of a host: its row, the activations that it knows of, its number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommitNumber {
    pub(crate) me: Member,
    pub(crate) epoch: u64,
    pub(crate) number: u64,
}

/// Notes the number of a commit in the row of its host.
pub(crate) fn number(
    store: &mut Store,
    commit: CommitNumber,
    now: u64,
    broken: Option<Broken>,
) -> Result<(), Refusal> {
    may_commit(store, commit, broken)?;
    let host = &mut store.shared.hosts[commit.me.row];
    (host.batch, host.seen) = (commit.number, now);
    Ok(())
}

/// Is the host's row still its own, and does it know the active rules?
pub(crate) fn may_commit(
    store: &Store,
    commit: CommitNumber,
    broken: Option<Broken>,
) -> Result<(), Refusal> {
    if !store.is_member(commit.me, broken) {
        return Err(Refusal::Taken);
    }
    let knows = store.shared.hosts[commit.me.row].epoch == commit.epoch;
    match knows || broken == Some(Broken::RulesNotCompared) {
        true => Ok(()),
        false => Err(Refusal::OtherRules),
    }
}

/// The guards of some entries. Rows that several entries write are compared once: the first
/// revision that was decided on, the earliest claim of a partition.
#[derive(Default)]
struct Columns<'e> {
    inbox: Vec<&'e Identity>,
    bases: BTreeMap<&'e str, u64>,
    unparked: BTreeSet<&'e str>,
    removed: BTreeSet<&'e str>,
    set: BTreeMap<(&'e str, &'e str), u64>,
    fired: Vec<&'e saga_core::commit::FiredTimer>,
    replies: Vec<&'e str>,
    claims: BTreeMap<i32, i64>,
}

/// Compares what entries were decided on with what is stored.
pub(crate) fn guards<'e>(
    store: &Store,
    entries: impl Iterator<Item = &'e Handed>,
    with_identities: bool,
    broken: Option<Broken>,
) -> Result<(), Refusal> {
    let mut columns = Columns::default();
    for handed in entries {
        columns.add(handed, broken);
    }
    let is_broken = |step| broken == Some(step);
    let is_known = |id: &&Identity| store.inbox.contains(*id);
    let is_repeated = are_repeated(&columns.inbox) || columns.inbox.iter().any(is_known);
    if with_identities && is_repeated && !is_broken(Broken::InboxNotCompared) {
        return Err(Refusal::OneRow);
    }
    let revision = |key: &str| (store.aggregates.get(key)).map_or(0, |stored| stored.revision);
    let is_same = |(key, base): (&&str, &u64)| revision(key) == *base;
    if !is_broken(Broken::RevisionNotCompared) && !columns.bases.iter().all(is_same) {
        return Err(Refusal::Stale);
    }
    let is_parked = |key: &&str| store.parked.values().any(|row| row.0 == *key);
    if !is_broken(Broken::ParkedNotCompared) && columns.unparked.iter().any(is_parked) {
        return Err(Refusal::Stale);
    }
    let is_set = |fired: &&saga_core::commit::FiredTimer| {
        columns.removed.contains(&*fired.key) || store.timer(fired).is_some()
    };
    if !is_broken(Broken::TimerNotCounted) && !columns.fired.iter().all(is_set) {
        return Err(Refusal::Stale);
    }
    let has_reply = |key: &&str| store.replies.contains_key(*key);
    let is_replied = are_repeated(&columns.replies) || columns.replies.iter().any(has_reply);
    if is_replied && !is_broken(Broken::ReplyNotCompared) {
        return Err(Refusal::Replied);
    }
    let is_claimed = |(partition, epoch): (&i32, &i64)| store.epochs.get(partition) == Some(epoch);
    if !is_broken(Broken::EpochNotCompared) && !columns.claims.iter().all(is_claimed) {
        return Err(Refusal::Stale);
    }
    Ok(())
}

impl<'e> Columns<'e> {
    fn add(&mut self, handed: &'e Handed, broken: Option<Broken>) {
        let entry = &handed.commit.entry;
        let consumes = entry
            .writes
            .iter()
            .any(|write| matches!(write, Write::Fired(_)));
        let is_compared = !consumes || broken != Some(Broken::TimerNotCounted);
        let key = entry.key.as_deref().unwrap_or_default();
        for write in &entry.writes {
            match write {
                Write::Offset(Offset {
                    partition, epoch, ..
                }) => {
                    let claim = self.claims.entry(*partition).or_insert(*epoch);
                    *claim = (*claim).min(*epoch);
                }
                Write::Inbox(identity, _) => self.inbox.push(identity),
                Write::State(state, revision, _) => {
                    if is_compared {
                        self.bases.entry(key).or_insert(revision - 1);
                    }
                    if state.is_none() {
                        self.removed.insert(key);
                        self.set.retain(|(of, _), _| *of != key);
                    }
                }
                Write::Migrated(_, revision) => {
                    self.bases.entry(key).or_insert(*revision);
                }
                Write::Journal(decision) => {
                    if is_compared {
                        let base = decision.revision_before;
                        self.bases.entry(key).or_insert(base);
                    }
                    if !entry.is_beside_parked {
                        self.unparked.insert(key);
                    }
                }
                Write::Timers(changes, _) => {
                    for change in changes {
                        match change {
                            TimerChange::Set(timer) => {
                                self.set.insert((key, &timer.name), timer.due);
                            }
                            TimerChange::Cancel(name) => drop(self.set.remove(&(key, &**name))),
                        }
                    }
                }
                Write::Fired(fired) => {
                    let place = (&*fired.key, &*fired.name);
                    match self.set.get(&place) {
                        Some(due) if *due == fired.due => drop(self.set.remove(&place)),
                        Some(_) => {}
                        None => self.fired.push(fired),
                    }
                }
                Write::Reply(kept) => self.replies.push(&kept.key),
                _ => {}
            }
        }
    }
}

fn are_repeated<T: Ord>(all: &[T]) -> bool {
    all.iter().collect::<BTreeSet<_>>().len() < all.len()
}
