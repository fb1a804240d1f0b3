//! The hosts on a shared store: their rows, as the server keeps them, and what may happen to them.
//!
//! A host may be paused anywhere and wake up, be evicted meanwhile, die, and come back. Partitions
//! are moved between hosts, and now and then a command has a store alone.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::broker::PARTITIONS;
use crate::checker::must;
use crate::rules::{Role, SagaRules};
use crate::scene::Broken;
use crate::store::Store;
use crate::world::World;

/// Time without a sign of life after which a host counts as gone, in milliseconds.
const SILENCE: u64 = 60;

/// Time without a sign of life after which another host may get its row.
const ROW_KEPT: u64 = 120;

/// Longest time for which a transaction may wait for its host.
pub(crate) const STALL: u64 = 30;

/// What only a shared store has.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) hosts: Vec<HostRow>,
    /// The bytes of builds.
    pub(crate) components: BTreeMap<Rc<str>, Rc<SagaRules>>,
    pub(crate) proposal: Option<Proposal>,
    pub(crate) proposals: u64,
    /// The open transaction of several statements.
    pub(crate) open: Option<OpenTransaction>,
    pub(crate) alone: Option<Alone>,
}

/// A host's row.
#[derive(Clone, Copy, Default)]
pub(crate) struct HostRow {
    pub(crate) incarnation: u64,
    /// When it last gave a sign of life.
    pub(crate) seen: u64,
    /// Number of activations.
    pub(crate) epoch: u64,
    /// Number of its last commit.
    pub(crate) batch: u64,
}

/// A host's row, as long as no other process has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) row: usize,
    pub(crate) incarnation: u64,
}

/// The build that a host is about to activate, and the rows of those that are ready for it.
#[derive(Clone)]
pub(crate) struct Proposal {
    pub(crate) number: u64,
    pub(crate) by: Member,
    pub(crate) ready: BTreeSet<usize>,
}

/// A transaction that holds rows: that of its host, and those of a key.
#[derive(Clone)]
pub(crate) struct OpenTransaction {
    pub(crate) of: Member,
    pub(crate) number: u64,
    pub(crate) key: Option<String>,
    pub(crate) since: u64,
}

/// A command has the store alone: until then, and what was there when it began.
#[derive(Clone, Copy)]
pub(crate) struct Alone {
    until: u64,
    sequence: u64,
}

impl Store {
    /// Gives a process a row. None while a command has the store alone, or the row is locked.
    pub(crate) fn join(&mut self, now: u64) -> Option<Member> {
        if self.shared.alone.is_some() {
            return None;
        }
        let epoch = self.epoch();
        let hosts = &mut self.shared.hosts;
        let is_free = |host: &HostRow| host.seen + ROW_KEPT < now;
        let row = (hosts.iter().position(is_free)).unwrap_or(hosts.len());
        let is_locked = |open: &OpenTransaction| open.of.row == row;
        if self.shared.open.as_ref().is_some_and(is_locked) {
            return None;
        }
        let incarnation = hosts.get(row).map_or(0, |host| host.incarnation) + 1;
        let host = HostRow {
            incarnation,
            seen: now,
            epoch,
            batch: 0,
        };
        match hosts.get_mut(row) {
            Some(old) => *old = host,
            None => hosts.push(host),
        }
        Some(Member { row, incarnation })
    }

    /// The number of activations.
    pub(crate) fn epoch(&self) -> u64 {
        (self.shared.hosts.iter().map(|host| host.epoch))
            .max()
            .unwrap_or(0)
    }

    /// True if this process has its row still.
    pub(crate) fn is_member(&self, me: Member, broken: Option<Broken>) -> bool {
        self.shared.hosts[me.row].incarnation == me.incarnation
            || broken == Some(Broken::IncarnationNotCompared)
    }

    /// True if others count on this host.
    pub(crate) fn is_seen(&self, me: Member, now: u64) -> bool {
        let host = self.shared.hosts[me.row];
        host.incarnation == me.incarnation && host.seen + SILENCE >= now
    }

    /// Gives the store to a command, unless a host is there. Hosts that are asleep get nothing more.
    fn hold_alone(&mut self, now: u64, until: u64) -> bool {
        let hosts = &mut self.shared.hosts;
        if hosts.iter().any(|host| host.seen + SILENCE >= now) || self.shared.open.is_some() {
            return false;
        }
        for host in hosts {
            host.incarnation += 1;
            host.seen = 0;
        }
        let sequence = self.sequence;
        self.shared.alone = Some(Alone { until, sequence });
        true
    }
}

impl World {
    /// What happens to the hosts of a shared store; false if this one can do nothing now.
    pub(crate) fn tend_hosts(&mut self, who: usize) -> bool {
        let now = self.scene.now;
        match self.scene.random.below(1000) {
            0..12 => self.pause(who, 160),
            12..16 => self.pause(who, 500),
            16..19 => self.die(who),
            19..31 => self.move_partition(who),
            31..33 => {
                // All hosts of a participant stand still, which is what a command waits for.
                for other in self.of_role(who % Role::ALL.len()) {
                    self.pause(other, 400);
                }
                self.wanted_alone[who % Role::ALL.len()] = true;
            }
            _ => {}
        }
        self.hand_store(who);
        self.tend_alone(who);
        let process = &mut self.processes[who];
        if process.is_dead {
            return self.start_again(who);
        }
        if process.paused_until > now {
            return false;
        }
        if self.scene.random.percent(60) {
            process.show(&mut self.scene);
        }
        if process.is_gone {
            self.scene.note("evicted", format_args!("{who}"));
            self.die(who);
            return false;
        }
        if self.scene.random.percent(20) {
            self.processes[who].answer_proposal();
        }
        if self.scene.random.percent(10) {
            self.processes[who].follow_parked(&self.scene);
        }
        true
    }

    /// The same once the faults have ended: all hosts are there, and give signs of life. True if
    /// something happened.
    pub(crate) fn tend_hosts_at_rest(&mut self, who: usize) -> bool {
        self.wanted_alone = Default::default();
        self.tend_alone(who);
        if self.processes[who].is_dead {
            return self.start_again(who);
        }
        let process = &mut self.processes[who];
        process.paused_until = 0;
        process.show(&mut self.scene);
        if std::mem::take(&mut process.is_gone) {
            self.die(who);
            return true;
        }
        if self.scene.now.is_multiple_of(50) {
            process.follow_parked(&self.scene);
        }
        process.answer_proposal()
    }

    fn of_role(&self, role: usize) -> impl Iterator<Item = usize> + use<> {
        (role..self.processes.len()).step_by(Role::ALL.len())
    }

    fn pause(&mut self, who: usize, most: u64) {
        let until = self.scene.now + self.scene.random.below(most);
        self.processes[who].paused_until = until;
        self.scene
            .note("pause", format_args!("{who} until {until}"));
    }

    /// A process ends without a word. Its clients get no answer.
    pub(crate) fn die(&mut self, who: usize) {
        self.hand_store(who);
        let process = &mut self.processes[who];
        if process.is_dead {
            return;
        }
        self.scene.note("die", format_args!("{who}"));
        // The server sees that the connection is gone.
        let me = process.me;
        process.store.shared.open.take_if(|open| open.of == me);
        process.die();
        process.paused_until = self.scene.now + self.scene.random.below(200);
        self.scene.lose_calls(who);
    }

    /// A process starts again, once it is time; returns false if it did not.
    pub(crate) fn start_again(&mut self, who: usize) -> bool {
        self.hand_store(who);
        let now = self.scene.now;
        let process = &mut self.processes[who];
        let is_due = process.paused_until <= now || self.scene.dice.calm.get();
        if !is_due || !process.join(now) {
            return false;
        }
        self.scene
            .note("start", format_args!("{who} as {:?}", process.me));
        process.start_again(&mut self.scene);
        true
    }

    /// Kafka moves a partition to another host, which claims it. The host that had it may learn of
    /// this late.
    fn move_partition(&mut self, who: usize) {
        let role = who % Role::ALL.len();
        let partition = self.scene.random.below(PARTITIONS.unsigned_abs().into()) as i32;
        let hosts: Vec<usize> = (self.of_role(role))
            .filter(|host| !self.processes[*host].is_dead)
            .collect();
        if hosts.is_empty() {
            return;
        }
        let to = hosts[self.scene.random.index(hosts.len())];
        for host in self.of_role(role) {
            let owned = &mut self.processes[host].owned;
            owned.retain(|owned| *owned != partition);
        }
        self.scene
            .note("moved", format_args!("{partition} of {role} to {to}"));
        let to = &mut self.processes[to];
        to.owned.push(partition);
        to.claims.remove(&partition);
        // What was delivered before may still be settled.
        to.sessions.retain(|session| session.partition != partition);
    }

    /// A command takes the store, keeps it for a while, and gives it back. Nothing may change
    /// meanwhile: it may be moving it elsewhere.
    fn tend_alone(&mut self, who: usize) {
        let role = who % Role::ALL.len();
        let now = self.scene.now;
        let store = &mut self.processes[who].store;
        if let Some(alone) = store.shared.alone {
            let (before, after) = (alone.sequence, store.sequence);
            self.scene.check(must(before == after, 10, || {
                "a host wrote while a command had the store alone".into()
            }));
            if alone.until <= now || self.scene.dice.calm.get() {
                store.shared.alone = None;
            }
        } else if self.wanted_alone[role] {
            let until = now + 20 + self.scene.random.below(80);
            if store.hold_alone(now, until) {
                self.wanted_alone[role] = false;
                self.scene.note("alone", format_args!("{role}"));
            }
        }
    }
}
