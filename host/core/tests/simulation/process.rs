//! One participant's process: readings, workers, the relay; and what is left of it after a crash.
//!
//! Only the store, the copies of builds and the file survive [`Process::crash`]. The writer, which
//! commits, is in `writer.rs`, how builds are swapped in `swap.rs`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use saga_core::commit::{Chains, FiredTimer};
use saga_core::identity;
use saga_core::record::Attributes;
use saga_core::window::Window;

use crate::broker::{Broker, Fresh, PARTITIONS};
use crate::checker::must;
use crate::description::Shape;
use crate::generations;
use crate::host::{Session, SmallRoom};
use crate::random::{Random, of_text};
use crate::rules::{Role, SagaRules};
use crate::scene::{Broken, Scene};
use crate::store::{Store, fired_of};
use crate::swap::Swap;
use crate::thread::{Around, Thread};
use crate::writer::{Request, Writing};

pub(crate) const WORKERS: usize = 3;

/// Records of one partition under way at once.
const WINDOW: usize = 5;

/// A process. A crash leaves `store`, `copies` and `file`.
pub(crate) struct Process {
    pub(crate) role: Role,
    /// Its number among the processes of its store.
    pub(crate) number: usize,
    /// The partitions that are its own.
    pub(crate) owned: Vec<i32>,
    /// It does nothing until then.
    pub(crate) paused_until: u64,
    pub(crate) store: Store,
    /// The host's own copies of builds, by digest.
    pub(crate) copies: BTreeMap<Rc<str>, Rc<SagaRules>>,
    /// What lies at the configured path.
    pub(crate) file: Rc<SagaRules>,
    /// The build whose description admits.
    pub(crate) admits: Rc<SagaRules>,
    pub(crate) swap: Option<Swap>,
    /// Readings that ended begin anew only when the swap has changed the description.
    pub(crate) reading_paused: bool,
    pub(crate) sessions: Vec<Rc<Session>>,
    pub(crate) threads: Vec<Thread>,
    pub(crate) queue: VecDeque<Request>,
    pub(crate) writing: Option<Writing>,
    pub(crate) chains: Chains,
    /// Calls that are to be routed anew.
    pub(crate) again: VecDeque<Ask>,
    /// How many activations someone was told of, as the checker knows.
    pub(crate) activations_told: usize,
    /// Up to where the checker has looked at the stored offsets.
    pub(crate) checked: BTreeMap<i32, i64>,
    pub(crate) in_flight: Rc<RefCell<BTreeSet<FiredTimer>>>,
    /// How many threads there ever were.
    numbers: u64,
    /// How many outbox rows this life of the relay has published.
    relayed: usize,
    pub(crate) last_key: i64,
}

/// The worker that has all turns of a key.
pub(crate) fn worker_of(key: &str) -> usize {
    (of_text(1, key) % WORKERS as u64) as usize
}

/// A command as a client gives it.
pub(crate) struct Ask {
    pub(crate) call: usize,
    pub(crate) key: Option<String>,
    pub(crate) body: String,
    pub(crate) read: bool,
}

impl Process {
    pub(crate) fn new(role: Role, scene: &mut Scene) -> Self {
        let mut process = Self::unstarted(role);
        if scene.is_shared {
            process.owned = vec![0];
        }
        process.start(scene);
        process
    }

    /// A second process on the store of the first one, which it is handed for this.
    pub(crate) fn second(first: &mut Self, scene: &mut Scene) -> Self {
        let mut process = Self::unstarted(first.role);
        (process.number, process.owned) = (1, vec![1]);
        std::mem::swap(&mut process.store, &mut first.store);
        process.start(scene);
        first.store = std::mem::take(&mut process.store);
        process
    }

    fn unstarted(role: Role) -> Self {
        let first = Rc::new(SagaRules::new(role, 1, Shape::FIRST));
        let mut store = Store::default();
        store.activate(&first);
        Self {
            role,
            number: 0,
            owned: (0..PARTITIONS).collect(),
            paused_until: 0,
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

    /// Loses everything volatile, and starts again from the store.
    pub(crate) fn crash(&mut self, scene: &mut Scene) {
        scene.note("crash", format_args!("{}", self.role.name()));
        self.queue.clear();
        self.writing = None;
        self.chains = Chains::default();
        self.again.clear();
        self.swap = None;
        self.reading_paused = false;
        self.threads.clear();
        self.start(scene);
        scene.check(generations::after_start(self));
    }

    /// Comes up with the build that is active, from the host's own copy.
    fn start(&mut self, scene: &mut Scene) {
        let active = match self.copies.get(&self.store.active().digest) {
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
        // Limits may be others than when they were parked.
        self.store.release_timers();
        let mut parked: BTreeMap<&String, usize> = BTreeMap::new();
        for row in self.store.parked.values() {
            *parked.entry(&row.0).or_default() += 1;
        }
        let mut threads = Vec::new();
        for worker in 0..WORKERS {
            let own = parked.iter().filter(|(key, _)| worker_of(key) == worker);
            let own = own.map(|(key, count)| ((*key).clone(), *count));
            self.numbers += 1;
            let random = Rc::new(RefCell::new(Random::new(scene.random.next())));
            let room = SmallRoom((!scene.is_shared).then_some(random));
            threads.push(Thread::new(
                self.role,
                self.numbers,
                active.clone(),
                own,
                room,
            ));
        }
        self.threads = threads;
        self.admits = active;
        self.in_flight = Rc::default();
        self.relayed = self.store.relayed;
        self.last_key = self.store.last_key;
        let owned = self.owned.clone();
        self.sessions = (owned.into_iter())
            .map(|partition| self.begin(partition, scene))
            .collect();
    }

    /// Begins to read a partition where the store says.
    fn begin(&mut self, partition: i32, scene: &Scene) -> Rc<Session> {
        let topic = self.role.listens_to();
        let epoch = self.store.epochs.entry(partition).or_default();
        // Who has a store alone commits its entries in the order in which they were decided.
        *epoch += u64::from(scene.is_shared);
        let epoch = *epoch;
        let next = self
            .store
            .offsets
            .get(&(topic, partition))
            .copied()
            .unwrap_or(0);
        Rc::new(Session {
            topic,
            partition,
            window: RefCell::new(Window::new(next, WINDOW)),
            position: Cell::new(next),
            cancelled: Cell::new(false),
            epoch,
        })
    }

    /// Readings that were cancelled begin anew.
    pub(crate) fn begin_again(&mut self, scene: &mut Scene) {
        let owned = self.owned.clone();
        (self.sessions).retain(|session| owned.contains(&session.partition));
        for place in 0..self.sessions.len() {
            if self.sessions[place].cancelled.get() && !self.reading_paused {
                let partition = self.sessions[place].partition;
                self.sessions[place] = self.begin(partition, scene);
                scene.note("read-again", format_args!("{} {place}", self.role.name()));
            }
        }
        for partition in owned {
            let is_read = |session: &Rc<Session>| session.partition == partition;
            if !self.sessions.iter().any(is_read) {
                let session = self.begin(partition, scene);
                self.sessions.push(session);
            }
        }
    }

    /// Has one thread do something; says whether there was something to do.
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

    /// Publishes the next outbox row; says whether there was one.
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

    /// Notes what is published. A transaction of its own: not while another one is open.
    pub(crate) fn note_published(&mut self) {
        if !self.writing.as_ref().is_some_and(Writing::is_open) {
            self.store.relayed = self.relayed.max(self.store.relayed);
        }
    }

    /// Whether nothing is under way or waits to be read or published.
    pub(crate) fn is_at_rest(&self, broker: &Broker) -> bool {
        self.swap.is_none()
            && self.again.is_empty()
            && self.queue.is_empty()
            && self.writing.is_none()
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
