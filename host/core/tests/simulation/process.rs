//! The process of one participant: readings, workers, relay; and its crash.
//!
//! Only the store, the copies of builds and the file survive [`Process::crash`]. The writer, which
//! commits, is in `writer.rs`; swaps are in `swap.rs`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use saga_core::commit::{Chains, FiredTimer, LetterRequest};
use saga_core::identity;
use saga_core::record::Attributes;
use saga_core::window::Window;

use crate::broker::{Broker, Fresh, PARTITIONS};
use crate::checker::must;
use crate::description::Shape;
use crate::generations;
use crate::host::{Session, SmallRoom};
use crate::hosts::Member;
use crate::random::{Random, of_text};
use crate::rules::{Role, SagaRules};
use crate::scene::{Broken, Scene};
use crate::shared::{Calling, Group};
use crate::store::{OpenLetter, Store, fired_of};
use crate::swap::Swap;
use crate::thread::{Around, Thread};
use crate::writer::{Request, Writing};

pub(crate) const WORKERS: usize = 3;

/// Most records of one partition in flight.
const WINDOW: usize = 5;

/// A process. A crash leaves `store`, `copies` and `file`.
pub(crate) struct Process {
    pub(crate) role: Role,
    /// Its number among the processes of its store.
    pub(crate) number: usize,
    /// Its partitions.
    pub(crate) owned: Vec<i32>,
    /// It stands still until then, or is dead until then.
    pub(crate) paused_until: u64,
    pub(crate) is_dead: bool,
    /// Its row among the hosts of a shared store.
    pub(crate) me: Member,
    /// True if that row is another's by now.
    pub(crate) is_gone: bool,
    /// Number of the last commit that it tried, and of the last that took place.
    pub(crate) number_of_commit: u64,
    pub(crate) committed: u64,
    /// Number of activations that it knows of, and the build that is active as far as it knows.
    pub(crate) epoch: u64,
    pub(crate) allowed: Option<Rc<SagaRules>>,
    /// Entries that the writer has still to write.
    pub(crate) groups: Vec<Group>,
    pub(crate) calling: Option<Calling>,
    /// The epochs under which it reads its partitions.
    pub(crate) claims: BTreeMap<i32, i64>,
    /// Calls whose idempotency key has the reply to another.
    pub(crate) replied: BTreeSet<usize>,
    /// The idempotency keys of calls that it has taken.
    pub(crate) repeatable: BTreeMap<Rc<str>, usize>,
    /// Numbers of generated keys that it may use, in a shared store.
    pub(crate) keys_left: std::ops::Range<i64>,
    pub(crate) store: Store,
    /// The host's own copies of builds, by digest.
    pub(crate) copies: BTreeMap<Rc<str>, Rc<SagaRules>>,
    /// The build at the configured path.
    pub(crate) file: Rc<SagaRules>,
    /// The build whose description is used for admission.
    pub(crate) admits: Rc<SagaRules>,
    pub(crate) swap: Option<Swap>,
    /// True if readings that ended begin again only after the swap has changed the description.
    pub(crate) reading_paused: bool,
    pub(crate) sessions: Vec<Rc<Session>>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) queue: VecDeque<Request>,
    pub(crate) writing: Option<Writing>,
    pub(crate) chains: Chains,
    /// Calls to be routed again.
    pub(crate) again: VecDeque<Ask>,
    /// Number of acknowledged activations, for the checker.
    pub(crate) activations_told: usize,
    /// Stored offsets up to which the checker has looked.
    pub(crate) checked: BTreeMap<i32, i64>,
    pub(crate) in_flight: Rc<RefCell<BTreeSet<FiredTimer>>>,
    /// Number of threads so far.
    numbers: u64,
    /// Number of outbox rows that this run of the relay has published.
    relayed: usize,
    pub(crate) last_key: i64,
}

/// The worker that has all turns of a key.
pub(crate) fn worker_of(key: &str) -> usize {
    (of_text(1, key) % WORKERS as u64) as usize
}

/// A client's command.
pub(crate) struct Ask {
    pub(crate) call: usize,
    pub(crate) key: Option<String>,
    pub(crate) body: String,
    pub(crate) read: bool,
}

impl Process {
    pub(crate) fn new(role: Role, scene: &mut Scene) -> Self {
        let mut process = Self::unstarted(role, scene);
        process.owned = (0..PARTITIONS).collect();
        if scene.is_shared {
            process.join(scene.now);
        }
        process.start(scene);
        process
    }

    /// Another process on the store of the first one, which is passed to it when it runs.
    pub(crate) fn another(first: &mut Self, number: usize, scene: &mut Scene) -> Self {
        let mut process = Self::unstarted(first.role, scene);
        process.number = number;
        std::mem::swap(&mut process.store, &mut first.store);
        process.join(scene.now);
        process.start(scene);
        std::mem::swap(&mut process.store, &mut first.store);
        process
    }

    /// Enters the hosts of a shared store; false if it has to wait.
    pub(crate) fn join(&mut self, now: u64) -> bool {
        let Some(me) = self.store.join(now) else {
            return false;
        };
        self.me = me;
        (self.number_of_commit, self.committed) = (0, 0);
        self.learn();
        true
    }

    /// Gives a sign of life.
    pub(crate) fn show(&mut self, scene: &mut Scene) {
        match self.store.is_member(self.me, scene.broken) {
            true => self.store.shared.hosts[self.me.row].seen = scene.now,
            false => self.is_gone = true,
        }
    }

    fn unstarted(role: Role, scene: &Scene) -> Self {
        let first = Rc::new(SagaRules::new(
            role,
            1,
            Shape {
                flaw: scene.flaw(),
                ..Shape::FIRST
            },
        ));
        let mut store = Store::default();
        store.activate(&first);
        let components = &mut store.shared.components;
        components.insert(first.digest.clone(), first.clone());
        Self {
            role,
            number: 0,
            owned: Vec::new(),
            paused_until: 0,
            is_dead: false,
            me: Member::default(),
            is_gone: false,
            number_of_commit: 0,
            committed: 0,
            epoch: 0,
            allowed: None,
            groups: Vec::new(),
            calling: None,
            claims: BTreeMap::new(),
            replied: BTreeSet::new(),
            repeatable: BTreeMap::new(),
            keys_left: 0..0,
            store,
            copies: BTreeMap::from([(first.digest.clone(), first.clone())]),
            file: first.clone(),
            admits: first,
            swap: None,
            reading_paused: false,
            sessions: Vec::new(),
            threads: Vec::new(),
            queue: VecDeque::new(),
            writing: None,
            chains: Chains::default(),
            again: VecDeque::new(),
            activations_told: 1,
            checked: BTreeMap::new(),
            in_flight: Rc::default(),
            numbers: 0,
            relayed: 0,
            last_key: 0,
        }
    }

    /// Loses all volatile data, and starts again from the store.
    pub(crate) fn crash(&mut self, scene: &mut Scene) {
        scene.note("crash", format_args!("{}", self.role.name()));
        self.die();
        self.start_again(scene);
    }

    /// Loses all volatile data.
    pub(crate) fn die(&mut self) {
        (self.is_dead, self.is_gone) = (true, false);
        self.queue.clear();
        self.writing = None;
        self.calling = None;
        self.groups.clear();
        self.chains = Chains::default();
        self.again.clear();
        self.swap = None;
        self.reading_paused = false;
        self.threads.clear();
        self.sessions.clear();
        self.claims.clear();
        self.replied.clear();
        self.repeatable.clear();
        self.keys_left = 0..0;
    }

    /// Starts from the store.
    pub(crate) fn start_again(&mut self, scene: &mut Scene) {
        (self.is_dead, self.paused_until) = (false, 0);
        self.start(scene);
        scene.check(generations::after_start(self));
    }

    /// Starts with the active build, from the host's own copy.
    fn start(&mut self, scene: &mut Scene) {
        let kept = match scene.is_shared {
            true => &self.store.shared.components,
            false => &self.copies,
        };
        let active = match kept.get(&self.store.active().digest) {
            _ if scene.is_broken(Broken::StartsWithFile) => self.file.clone(),
            Some(copy) => copy.clone(),
            None => {
                let digest = &self.store.active().digest;
                scene.check(must(false, 6, || {
                    format!("{digest} is active, but there is no copy of it")
                }));
                return;
            }
        };
        if scene.is_broken(Broken::TimersLost) {
            self.store.timers.clear();
        }
        // The limits may differ from those when the messages were parked.
        self.store.release_timers();
        let mut parked = self.store.parked_keys();
        if scene.is_broken(Broken::BlockForgotten) {
            parked.iter_mut().for_each(|of_key| of_key.letter = None);
        }
        let mut threads = Vec::new();
        for worker in 0..WORKERS {
            let own = parked
                .iter()
                .filter(|parked| worker_of(&parked.key) == worker);
            self.numbers += 1;
            let random = Rc::new(RefCell::new(Random::new(scene.random.next())));
            let room = SmallRoom(Some(random));
            threads.push(Thread::new(
                self.role,
                self.numbers,
                active.clone(),
                own.cloned(),
                (
                    scene.then,
                    room,
                    scene.is_shared && !scene.is_broken(Broken::MemoryTrusted),
                ),
            ));
        }
        self.threads = threads;
        self.admits = active;
        self.in_flight = Rc::default();
        self.relayed = self.store.relayed;
        self.last_key = self.store.last_key;
        let owned = self.owned.clone();
        self.sessions = (owned.into_iter())
            .filter_map(|partition| self.begin(partition, scene))
            .collect();
    }

    /// Begins to read a partition at the stored offset. None if another host has claimed it.
    fn begin(&mut self, partition: i32, scene: &Scene) -> Option<Rc<Session>> {
        let topic = self.role.listens_to();
        let epoch = match scene.is_shared {
            true => self.claim(partition, scene)?,
            false => 0,
        };
        let next = self.store.offsets.get(&(topic, partition)).copied();
        let next = next.unwrap_or(0);
        Some(Rc::new(Session {
            topic,
            partition,
            window: RefCell::new(Window::new(next, WINDOW)),
            position: Cell::new(next),
            cancelled: Cell::new(false),
            epoch,
        }))
    }

    /// Claims a partition once in each assignment.
    fn claim(&mut self, partition: i32, scene: &Scene) -> Option<i64> {
        let epoch = match self.claims.get(&partition) {
            Some(epoch) => *epoch,
            None if !self.store.is_member(self.me, scene.broken) => return None,
            None => {
                let stored = self.store.epochs.entry(partition).or_default();
                *stored += 1;
                self.claims.insert(partition, *stored);
                *stored
            }
        };
        (self.store.epochs.get(&partition) == Some(&epoch)).then_some(epoch)
    }

    /// Cancelled readings begin again.
    pub(crate) fn begin_again(&mut self, scene: &mut Scene) {
        let owned = self.owned.clone();
        (self.sessions).retain(|session| owned.contains(&session.partition));
        for place in 0..self.sessions.len() {
            if self.sessions[place].cancelled.get() && !self.reading_paused {
                let partition = self.sessions[place].partition;
                if let Some(session) = self.begin(partition, scene) {
                    self.sessions[place] = session;
                    scene.note("read-again", format_args!("{} {place}", self.role.name()));
                }
            }
        }
        for partition in owned {
            let is_read = |session: &Rc<Session>| session.partition == partition;
            if !self.sessions.iter().any(is_read) && !self.reading_paused {
                let session = self.begin(partition, scene);
                self.sessions.extend(session);
            }
        }
    }

    /// Runs one thread; returns false if it had nothing to do.
    pub(crate) fn turn(&mut self, thread: usize, scene: &mut Scene) -> bool {
        let mut around = Around {
            store: &self.store,
            queue: &mut self.queue,
            again: &mut self.again,
            scene,
            process: self.number,
        };
        self.threads[thread].run(&mut around)
    }

    /// Tells the threads what any host has parked.
    pub(crate) fn follow_parked(&mut self, scene: &Scene) {
        if scene.is_broken(Broken::ParkedNotCompared) {
            return;
        }
        let keys = self.store.parked_keys();
        for (worker, thread) in self.threads.iter_mut().enumerate() {
            let own = keys.iter().filter(|key| worker_of(&key.key) == worker);
            thread.parked = Some(own.cloned().collect());
        }
    }

    /// An operator requests something for a dead letter; returns false if there is none. A
    /// transaction of its own: not while another one is open.
    pub(crate) fn operate(&mut self, scene: &mut Scene) -> bool {
        if self.writing.as_ref().is_some_and(Writing::is_open) {
            return false;
        }
        // Now and then another operator requests a discard while a redrive is pending.
        let in_doubt = !scene.dice.calm.get() && scene.random.percent(30);
        let mut open = self.store.letters.iter_mut();
        let is_free = |letter: &OpenLetter| match letter.request {
            None => true,
            Some(LetterRequest::Redrive) => in_doubt,
            Some(LetterRequest::Discard) => false,
        };
        let Some((id, letter)) = open.find(|(_, letter)| is_free(letter)) else {
            return false;
        };
        let is_second = letter.request.is_some();
        let is_lost = letter.is_discarded && !is_second;
        scene.check(must(!is_lost, 10, || {
            format!("dead letter {id} of {} was to be discarded", letter.key)
        }));
        let is_hopeless = scene.dice.calm.get() && letter.failed > 0;
        let request = match is_second || is_hopeless || scene.random.percent(30) {
            true => LetterRequest::Discard,
            false => LetterRequest::Redrive,
        };
        let what = match request {
            LetterRequest::Discard => "discard",
            LetterRequest::Redrive => "redrive",
        };
        scene.note(what, format_args!("{id} of {}", letter.key));
        letter.request = Some(request);
        letter.requests += 1;
        if request == LetterRequest::Discard {
            letter.is_discarded = true;
        }
        let key = letter.key.clone();
        self.threads[worker_of(&key)].requested.push(key);
        true
    }

    /// Publishes the next outbox row; returns false if there is none.
    pub(crate) fn publish(&mut self, broker: &mut Broker, scene: &mut Scene) -> bool {
        let Some(row) = self.store.outbox.get(self.relayed) else {
            return false;
        };
        let attributes = Attributes {
            id: Some(row.id.clone()),
            source: Some(identity::source_of(self.role.name())),
            event_type: Some(row.event_type.clone()),
            correlation: Some(row.correlation.clone()),
            causation: Some(row.causation.clone()),
            digest: Some(row.build.digest.to_string()),
            ..Attributes::default()
        };
        let fresh = Fresh {
            key: Some(row.key.clone().into_bytes()),
            value: Some(row.body.clone().into_bytes()),
            attributes,
            timestamp: row.time,
        };
        let (topic, partition) = (row.topic, Broker::partition_of(&row.key));
        let gap = if scene.random.percent(5) { 2 } else { 0 };
        let offset = broker.append(topic, partition, gap, fresh);
        scene.note(
            "publish",
            format_args!("{topic}/{partition}/{offset} {}", row.body),
        );
        self.relayed += 1;
        true
    }

    /// Stores the number of published rows. A transaction of its own: not while another one is
    /// open.
    pub(crate) fn note_published(&mut self) {
        if !self.writing.as_ref().is_some_and(Writing::is_open) {
            self.store.relayed = self.relayed.max(self.store.relayed);
        }
    }

    /// True if the writer has nothing to do.
    pub(crate) fn is_written(&self) -> bool {
        self.queue.is_empty()
            && self.writing.is_none()
            && self.groups.is_empty()
            && self.calling.is_none()
    }

    /// True if nothing is in flight, or waits to be read or published.
    pub(crate) fn is_at_rest(&self, broker: &Broker) -> bool {
        self.swap.is_none()
            && self.again.is_empty()
            && self.is_written()
            && self.threads.iter().all(Thread::is_idle)
            && self.relayed == self.store.outbox.len()
            && (self.store.timers.values())
                .all(|timer| self.store.parked_timers.contains(&fired_of(timer)))
            && self.sessions.iter().all(|session| {
                !session.cancelled.get()
                    && session.window.borrow().is_empty()
                    && broker
                        .at_or_after(session.topic, session.partition, session.position.get())
                        .is_none()
            })
    }
}
