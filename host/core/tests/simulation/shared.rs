//! The writer of a host on a shared store, in steps between which anything may happen.
//!
//! As in the host's writer for PostgreSQL: entries with frequent writes are one call. If it is
//! refused because of one of its rows, each half is tried by itself, down to the entry that is to
//! blame. An entry with rare writes has a transaction of its own. If the connection is lost during a
//! call, the number of the commit in the host's row tells if it took place.

use std::cell::Cell;
use std::rc::Rc;

use saga_core::commit::{Batch, CommitOutcome, Ended, Fate, Write};

use crate::apply::apply;
use crate::call::{CommitNumber, Refusal, guards, may_commit, number};
use crate::checker::must;
use crate::hosts::{Member, OpenTransaction, STALL};
use crate::process::Process;
use crate::rules::SagaRules;
use crate::scene::{Broken, Scene};
use crate::store::Store;
use crate::writer::{Activation, Entry, Handed, Request};

/// Entries to be written by one commit.
pub(crate) struct Group {
    handed: Vec<Entry>,
    /// In a transaction of its own.
    is_alone: bool,
}

/// A commit in progress.
pub(crate) enum Calling {
    /// A transaction of several statements is open.
    Begun(Group),
    /// It is over, and is to be reported.
    Over(Batch<Entry>, CommitOutcome),
    /// The connection was lost during the call.
    Lost(Batch<Entry>, Arrival),
    /// An activation is committed.
    Activated(Rc<Cell<Option<Activation>>>),
}

/// Where a call is whose connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is over.
    Over,
    /// The server is still at it.
    Late,
}

impl Process {
    /// Makes the next step of the writer; returns false if there was none.
    pub(crate) fn write_shared(&mut self, scene: &mut Scene) -> bool {
        match self.calling.take() {
            Some(Calling::Over(batch, outcome)) => {
                // A commit of unknown outcome never comes here.
                if let Ended::Over(entries) = batch.end(&mut self.chains, outcome) {
                    self.tell(entries, scene);
                }
            }
            Some(Calling::Lost(batch, arrival)) => self.resolve(batch, arrival, scene),
            Some(Calling::Begun(group)) => self.write_alone(group, scene),
            Some(Calling::Activated(result)) => {
                result.set(Some(Activation::Committed));
                self.activations_told += 1;
            }
            None => match self.groups.pop() {
                Some(group) => return self.attempt(group, scene),
                None => return self.take_shared_request(scene),
            },
        }
        true
    }

    fn take_shared_request(&mut self, scene: &mut Scene) -> bool {
        match self.queue.pop_front() {
            Some(Request::Commit(first)) => {
                self.gather(first, scene);
                let group = self.groups.pop().expect("it has the first entry");
                self.attempt(group, scene)
            }
            Some(Request::Activate {
                build,
                result,
                replaces,
                is_checked,
            }) => self.activate_for_all((build, replaces, is_checked), result, scene),
            Some(other) => {
                self.queue.push_front(other);
                self.take_request(scene)
            }
            None => false,
        }
    }

    fn gather(&mut self, first: Box<Handed>, scene: &mut Scene) {
        let most = 1 + scene.random.index(6);
        let mut groups = vec![Group::of(first)];
        for _ in 1..most {
            if !matches!(self.queue.front(), Some(Request::Commit(_))) {
                break;
            }
            let Some(Request::Commit(next)) = self.queue.pop_front() else {
                break;
            };
            let next = Group::of(next);
            match groups.last_mut() {
                Some(last) if !last.is_alone && !next.is_alone => last.handed.extend(next.handed),
                _ => groups.push(next),
            }
        }
        self.groups.extend(groups.into_iter().rev());
    }

    fn commit_number(&self) -> CommitNumber {
        CommitNumber {
            me: self.me,
            epoch: self.epoch,
            number: self.number_of_commit,
        }
    }

    /// Learns what is active.
    pub(crate) fn learn(&mut self) {
        self.epoch = self.store.epoch();
        self.allowed = Some(self.store.active().clone());
    }

    /// Tries to write a group; returns false if it has to wait for rows.
    fn attempt(&mut self, group: Group, scene: &mut Scene) -> bool {
        let is_of = |Entry(handed): &Entry, open: &OpenTransaction| {
            open.key.is_some() && handed.commit.entry.key == open.key
        };
        let conflicts = |open: &OpenTransaction| {
            let is_begun = open.of.row == self.me.row || group.is_alone;
            is_begun || group.handed.iter().any(|handed| is_of(handed, open))
        };
        if waits(&mut self.store, self.me, conflicts, scene) {
            self.groups.push(group);
            return false;
        }
        self.number_of_commit += 1;
        if group.is_alone {
            self.begin_alone(group, scene);
            return true;
        }
        let mut batch = Batch::with_capacity(group.handed.len());
        let (allowed, broken) = (self.allowed.clone(), scene.broken);
        for handed in group.handed {
            let added = batch.add(&mut self.chains, handed, |Entry(handed)| {
                Ok::<_, ()>(consumed(handed, &allowed, broken))
            });
            added.expect("nothing is written yet");
        }
        if self.fails(scene) {
            scene.note("commit-failed", format_args!("{}", batch.items().len()));
            self.calling = Some(Calling::Over(batch, CommitOutcome::Failed));
            return true;
        }
        if scene.random.percent(5) && !scene.dice.calm.get() {
            let arrival = match scene.random.below(3) {
                0 => Arrival::Late,
                _ => Arrival::Over,
            };
            let mut what = "unknown-failed";
            if arrival == Arrival::Over && scene.random.percent(60) {
                let called = self.call(&batch, scene);
                what = if called.is_ok() {
                    "unknown-happened"
                } else {
                    "unknown-refused"
                };
            } else if arrival == Arrival::Late {
                what = "unknown-late";
            }
            scene.note(what, format_args!("number {}", self.number_of_commit));
            self.calling = Some(Calling::Lost(batch, arrival));
            return true;
        }
        match self.call(&batch, scene) {
            Ok(()) => {
                scene.note("commit", format_args!("{}", batch.items().len()));
                self.has_committed(batch);
            }
            Err(refusal) => self.refused(batch, refusal, scene),
        }
        true
    }

    fn has_committed(&mut self, batch: Batch<Entry>) {
        self.committed = self.number_of_commit;
        self.calling = Some(Calling::Over(batch, CommitOutcome::Committed));
    }

    fn refused(&mut self, batch: Batch<Entry>, refusal: Refusal, scene: &mut Scene) {
        scene.note("call-refused", format_args!("{refusal:?}"));
        match refusal {
            Refusal::Taken => {
                self.is_gone = true;
                self.calling = Some(Calling::Over(batch, CommitOutcome::Failed));
            }
            Refusal::OtherRules => {
                let handed = batch.take_back();
                self.learn();
                self.groups.push(Group {
                    handed,
                    is_alone: false,
                });
            }
            Refusal::OneRow | Refusal::Stale | Refusal::Replied => {
                let mut handed = batch.take_back();
                let is_alone = handed.len() == 1;
                let behind = handed.split_off(handed.len().div_ceil(2));
                for handed in [behind, handed] {
                    if !handed.is_empty() {
                        self.groups.push(Group { handed, is_alone });
                    }
                }
            }
        }
    }

    /// One call: writes the entries of a batch, or nothing.
    fn call(&mut self, batch: &Batch<Entry>, scene: &mut Scene) -> Result<(), Refusal> {
        let entries = || {
            let written = (batch.items().iter()).filter(|(_, fate)| *fate == Fate::Written);
            written.map(|(Entry(handed), _)| &**handed)
        };
        let (commit, broken) = (self.commit_number(), scene.broken);
        may_commit(&self.store, commit, broken)?;
        guards(&self.store, entries(), true, broken)?;
        number(&mut self.store, commit, scene.now, broken)?;
        for handed in entries() {
            write(&mut self.store, handed, scene);
        }
        Ok(())
    }

    /// Finds out if a call took place whose connection was lost.
    fn resolve(&mut self, batch: Batch<Entry>, arrival: Arrival, scene: &mut Scene) {
        let is_awaited = !scene.is_broken(Broken::OutcomeNotAwaited);
        if arrival == Arrival::Late && is_awaited {
            // The row of this host is locked until the server has ended the call.
            let called = self.call(&batch, scene);
            scene.note("late", format_args!("{called:?}"));
        }
        if !self.store.is_member(self.me, scene.broken) {
            self.is_gone = true;
            return;
        }
        let last = self.store.shared.hosts[self.me.row].batch;
        let number = self.number_of_commit;
        let happened = match () {
            () if scene.is_broken(Broken::UnknownTakenForFailed) => false,
            () if scene.is_broken(Broken::UnknownTakenForCommitted) => true,
            () => last == number,
        };
        scene.note("resolved", format_args!("happened: {happened}"));
        scene.check(must(last == number || last == self.committed, 10, || {
            format!("the store is at commit {last}, this host at {number}")
        }));
        if arrival == Arrival::Late && !is_awaited {
            let called = self.call(&batch, scene);
            scene.note("late", format_args!("{called:?}"));
        }
        match happened {
            true => self.has_committed(batch),
            // The same call again.
            false => self.groups.push(Group {
                handed: batch.take_back(),
                is_alone: false,
            }),
        }
    }

    /// Begins a transaction of several statements, which locks the row of this host and those of the
    /// entry.
    fn begin_alone(&mut self, group: Group, scene: &mut Scene) {
        let mut may = may_commit(&self.store, self.commit_number(), scene.broken);
        if may == Err(Refusal::OtherRules) {
            self.learn();
            may = may_commit(&self.store, self.commit_number(), scene.broken);
        }
        if may.is_err() {
            self.is_gone = true;
        }
        let key = (group.handed.first()).and_then(|first| first.0.commit.entry.key.clone());
        self.store.shared.open = Some(OpenTransaction {
            of: self.me,
            number: self.number_of_commit,
            key,
            since: scene.now,
        });
        self.calling = Some(Calling::Begun(group));
    }

    /// Writes an entry in its open transaction, and commits.
    fn write_alone(&mut self, group: Group, scene: &mut Scene) {
        let (me, number_of_commit) = (self.me, self.number_of_commit);
        let is_it = |open: &mut OpenTransaction| open.of == me && open.number == number_of_commit;
        let is_open = self.store.shared.open.take_if(is_it).is_some();
        let fails = !is_open || self.fails(scene);
        let (allowed, broken) = (self.allowed.clone(), scene.broken);
        let mut batch = Batch::with_capacity(1);
        let mut open = self.store.clone();
        let begun = number(&mut open, self.commit_number(), scene.now, broken);
        for handed in group.handed {
            let added = batch.add(&mut self.chains, handed, |Entry(handed)| {
                if consumed(handed, &allowed, broken) == Fate::Refused {
                    return Ok::<_, ()>(Fate::Refused);
                }
                let (fate, is_replied) = write_entry(&mut open, handed, scene);
                let client = handed.commit.client.as_ref().filter(|_| is_replied);
                self.replied.extend(client.map(|(call, _)| *call));
                Ok(fate)
            });
            added.expect("a refused entry is undone by itself");
        }
        if begun.is_err() || fails {
            scene.note("commit-failed", format_args!("alone, open: {is_open}"));
            self.calling = Some(Calling::Over(batch, CommitOutcome::Failed));
            return;
        }
        scene.note("commit", format_args!("alone"));
        self.store = open;
        self.has_committed(batch);
    }

    /// Activates a build on all hosts. No commit of any host is under way meanwhile.
    fn activate_for_all(
        &mut self,
        (build, replaces, is_checked): (Rc<SagaRules>, Rc<SagaRules>, bool),
        result: Rc<Cell<Option<Activation>>>,
        scene: &mut Scene,
    ) -> bool {
        if waits(&mut self.store, self.me, |_| true, scene) {
            self.queue.push_front(Request::Activate {
                build,
                result,
                replaces,
                is_checked,
            });
            return false;
        }
        self.learn();
        if !self.store.is_member(self.me, scene.broken) {
            self.is_gone = true;
            return true;
        }
        let is_next = *self.store.active() == replaces;
        let is_next = is_next || scene.is_broken(Broken::ActivationNotCompared);
        if !is_next || is_checked && !self.store.is_readable_by(&build) {
            scene.note("states-unreadable", format_args!("by {}", build.digest));
            result.set(Some(Activation::Refused));
            return true;
        }
        if self.fails(scene) {
            scene.note("activation-failed", format_args!(""));
            result.set(Some(Activation::Failed));
            return true;
        }
        let back = build.shape.version < self.store.active().shape.version;
        let what = if back { "older-states" } else { "activate" };
        scene.note(what, format_args!("{}", build.digest));
        self.store.activate(&build);
        self.store.release_timers();
        for host in &mut self.store.shared.hosts {
            host.epoch += 1;
        }
        self.number_of_commit += 1;
        self.learn();
        let host = &mut self.store.shared.hosts[self.me.row];
        host.batch = self.number_of_commit;
        self.committed = self.number_of_commit;
        scene.check(must(self.store.is_readable_by(&build), 6, || {
            format!("{} is active, but can't read all states", build.digest)
        }));
        self.calling = Some(Calling::Activated(result));
        true
    }
}

impl Group {
    fn of(handed: Box<Handed>) -> Self {
        let is_alone = !handed.commit.entry.writes.iter().all(is_frequent);
        Self {
            handed: vec![Entry(handed)],
            is_alone,
        }
    }
}

fn is_frequent(write: &Write) -> bool {
    matches!(
        write,
        Write::Offset(_)
            | Write::Inbox(..)
            | Write::State(..)
            | Write::Migrated(..)
            | Write::Timers(..)
            | Write::Fired(_)
            | Write::Journal(_)
            | Write::Reply(_)
            | Write::GeneratedKey(_)
            | Write::Tally(_)
            | Write::Publish(_)
    )
}

/// Adds the offset of its record to an entry, unless other rules are active than those that decided
/// it.
fn consumed(handed: &mut Handed, allowed: &Option<Rc<SagaRules>>, broken: Option<Broken>) -> Fate {
    let is_allowed = allowed
        .as_ref()
        .is_none_or(|allowed| **allowed == *handed.build);
    if !is_allowed && broken != Some(Broken::RulesNotCompared) {
        return Fate::Refused;
    }
    if let Some(taken) = &handed.commit.taken {
        if broken == Some(Broken::OffsetTakenAnew) {
            let writes = &mut handed.commit.entry.writes;
            writes.retain(|write| !matches!(write, Write::Offset(_)));
        }
        handed.commit.entry.consumes(|| taken.settle());
    }
    Fate::Written
}

/// Writes an entry, as a whole or not at all. True if another host has replied under its
/// idempotency key.
fn write_entry(store: &mut Store, handed: &Handed, scene: &mut Scene) -> (Fate, bool) {
    let mut after = store.clone();
    let fate = apply(&mut after, handed, scene.broken);
    let only = |write: &Write| !matches!(write, Write::Offset(_));
    let guarded = match fate {
        // Only its consumption is written.
        Fate::Duplicate => match handed.commit.entry.writes.iter().all(only) {
            true => Ok(()),
            false => guards_of_offset(store, handed, scene),
        },
        _ => guards(store, std::iter::once(handed), false, scene.broken),
    };
    if let Err(refusal) = guarded {
        scene.note("stale", format_args!("{} {refusal:?}", handed.place()));
        return (Fate::Refused, refusal == Refusal::Replied);
    }
    if fate == Fate::Duplicate {
        scene.note("duplicate-refused", format_args!("{}", handed.place()));
    }
    *store = after;
    checked(store, handed, fate, scene);
    (fate, false)
}

fn guards_of_offset(store: &Store, handed: &Handed, scene: &Scene) -> Result<(), Refusal> {
    let claimed = handed.commit.taken.as_ref().is_none_or(|taken| {
        let session = &taken.session;
        store.epochs.get(&session.partition) == Some(&session.epoch)
    });
    match claimed || scene.is_broken(Broken::EpochNotCompared) {
        true => Ok(()),
        false => Err(Refusal::Stale),
    }
}

fn write(store: &mut Store, handed: &Handed, scene: &mut Scene) {
    let fate = apply(store, handed, scene.broken);
    let worker = handed.commit.link.worker;
    let ticket = handed.commit.link.ticket;
    scene.note(
        "write",
        format_args!(
            "{} worker {worker} ticket {ticket}: {fate:?}",
            handed.place()
        ),
    );
    checked(store, handed, fate, scene);
}

fn checked(store: &Store, handed: &Handed, fate: Fate, scene: &mut Scene) {
    if fate == Fate::Written && handed.commit.entry.changes_state() {
        let (active, version) = (store.active(), handed.commit.entry.state_version);
        scene.check(must(active.shape.reads(version), 6, || {
            let digest = &active.digest;
            format!("a state of version {version} came to be, which {digest} can't read")
        }));
    }
}

/// True if a writer has to wait for rows that another host's open transaction has locked: those of
/// this key, or all. The server ends one that waits for its host for too long.
fn waits(
    store: &mut Store,
    me: Member,
    conflicts: impl Fn(&OpenTransaction) -> bool,
    scene: &mut Scene,
) -> bool {
    let Some(open) = store
        .shared
        .open
        .as_ref()
        .filter(|open| open.of != me && conflicts(open))
    else {
        return false;
    };
    let age = scene.now - open.since;
    if age > STALL && !scene.is_broken(Broken::LocksKept) {
        scene.note("stalled", format_args!("{:?}", open.key));
        store.shared.open = None;
        return false;
    }
    scene.note("locked", format_args!("{:?} for {age}", open.key));
    scene.check(must(age <= 3 * STALL, 8, || {
        "hosts wait for one that is asleep".into()
    }));
    true
}
