//! One participant: takes commands, records and timers, and gives each to the worker of its key.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};
use saga_core::admit::{self, Admission};
use saga_core::description::CommandKind;
use saga_core::identity;
use saga_core::limits::TurnLimits;
use saga_core::message::{Envelope, Message, Origin};
use saga_core::retry::RetryPolicy;
use saga_core::rules::{Fault, FaultKind, Rules};
use tokio::sync::oneshot;

use super::active::Active;
use super::passed::PassedOver;
use super::quarantined::{self, QuarantinedKeys};
use super::repeats::Lookups;
use super::turn::{Answer, CommandCall, CommandTurn, EventTurn, Over, TimerTurn, Trial, Turn};
use super::turnover::Slot;
use super::worker::{Place, Worker};
use crate::base::changes::AggregateWatch;
use crate::base::clock::{now_ms, random_tail};
use crate::base::machine::Machine;
use crate::metrics::instances::Instances;
use crate::metrics::passed::PassedCounters;
use crate::metrics::turns::Turns;
use crate::stages::Flow;
use crate::store::read::StoredTimer;
use crate::store::{
    FiredTimer, ParkedLimits, ParkedRoom, Store, StoreFault, Taken, history, parked,
};
use crate::transport::{Delivery, Sink};

/// Turns that wait for one worker. Beyond it consumers wait and clients are sent away (invariant 9).
const QUEUE: usize = 8_192;

/// What a participant needs to know of its surroundings.
pub struct ParticipantSettings {
    /// Its row in the store.
    pub row: i64,
    /// The last key that was generated for it.
    pub last_key: i64,
    /// Bounds of a turn.
    pub limits: TurnLimits,
    /// How often and how soon to try again.
    pub retry: RetryPolicy,
    /// How much may be parked.
    pub parked: ParkedLimits,
    /// What its turns are counted by.
    pub turns: Turns,
    /// What the records that it passes over are counted by.
    pub passed: PassedCounters,
    /// What its instances are counted by.
    pub instances: Instances,
    /// What the machine lacks.
    pub machine: Machine,
    /// How long a client waits for its turn and the commit.
    pub answer_time: Duration,
}

/// What the workers of a participant share.
pub(super) struct Shared {
    pub(super) row: i64,
    pub(super) name: String,
    pub(super) store: Arc<Store>,
    pub(super) limits: TurnLimits,
    pub(super) retry: RetryPolicy,
    pub(super) turns: Turns,
    pub(super) instances: Instances,
    pub(super) machine: Machine,
    pub(super) parked: Arc<ParkedRoom>,
}

/// A participant that runs.
pub struct Participant {
    pub(super) shared: Arc<Shared>,
    pub(super) active: RwLock<Arc<Active>>,
    last_key: AtomicI64,
    answer_time: Duration,
    pub(super) lookups: Lookups,
    passed: PassedOver,
    /// Emptied when it is finished.
    pub(super) workers: RwLock<Vec<Line>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The ways to a worker.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) turns: Sender<Turn>,
    pub(super) turnovers: Arc<Slot>,
    flow: Arc<Flow>,
}

impl Participant {
    /// Starts the participant's workers, one with each of these instances of the active rules.
    ///
    /// # Errors
    /// When a thread can't be made or the store can't be read.
    pub fn start(
        settings: ParticipantSettings,
        active: Arc<Active>,
        instances: Vec<Box<dyn Rules + Send>>,
        store: Arc<Store>,
    ) -> anyhow::Result<Self> {
        let reader = store.reader()?;
        let sql = reader.connection();
        let held = parked::keys(sql, settings.row)?;
        let quarantined = history::quarantined_keys(sql, settings.row, quarantined::MOST + 1)?;
        let shared = Arc::new(Shared {
            row: settings.row,
            name: active.description().name.clone(),
            store,
            limits: settings.limits,
            retry: settings.retry,
            turns: settings.turns,
            instances: settings.instances,
            machine: settings.machine,
            parked: ParkedRoom::of(settings.parked, sql, settings.row)?,
        });
        let count = instances.len().max(1);
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        for (number, rules) in instances.into_iter().enumerate() {
            let (give, take) = bounded(QUEUE);
            let turnovers = Arc::<Slot>::default();
            let flow = Arc::<Flow>::default();
            let own = |(key, _): &&(String, usize)| place_of(key, count) == number;
            let place = Place {
                turns: take,
                turnovers: turnovers.clone(),
                flow: flow.clone(),
                parked: held.iter().filter(own).cloned().collect(),
                quarantined: QuarantinedKeys::new(&quarantined, |key| {
                    place_of(key, count) == number
                }),
            };
            let reader = shared.store.reader()?;
            let worker = Worker::new(shared.clone(), (active.clone(), rules), reader, place);
            let name = format!("{}-{number}", shared.name);
            threads.push(
                std::thread::Builder::new()
                    .name(name)
                    .spawn(move || worker.run())?,
            );
            workers.push(Line {
                turns: give,
                turnovers,
                flow,
            });
        }
        Ok(Self {
            shared,
            active: RwLock::new(active),
            last_key: AtomicI64::new(settings.last_key),
            answer_time: settings.answer_time,
            lookups: Lookups::default(),
            passed: PassedOver::new(settings.passed),
            workers: RwLock::new(workers),
            threads: Mutex::new(threads),
        })
    }

    /// Takes in that something could not be read from the store.
    pub(super) fn report(&self, what: &'static str, error: rusqlite::Error) {
        self.shared.store.condition().report(what, &error.into());
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What decides. While a swap is under way, some workers may be ahead of it.
    #[must_use]
    pub fn active(&self) -> Arc<Active> {
        self.active
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Bounds of its turns.
    #[must_use]
    pub fn limits(&self) -> &TurnLimits {
        &self.shared.limits
    }

    /// This topic is read from now on.
    pub fn reads(&self, topic: &Arc<str>) {
        self.passed.begin(topic);
    }

    /// How long a client waits at most for its turn and the commit, and for a read of the store.
    #[must_use]
    pub fn answer_time(&self) -> Duration {
        self.answer_time
    }

    /// Its row in the store.
    #[must_use]
    pub fn row(&self) -> i64 {
        self.shared.row
    }

    /// How many of its messages are parked, and how many bytes they have.
    #[must_use]
    pub fn parked(&self) -> (usize, usize) {
        self.shared.parked.used()
    }

    /// Has its parked timers offered again, for rules or limits are others than those that could not decide them.
    ///
    /// # Errors
    /// What the store said.
    pub fn release_timers(&self) -> Result<(), StoreFault> {
        let row = self.shared.row;
        let released = (self.shared.store).run(move |sql| parked::release_timers(sql, row))?;
        if released > 0 {
            self.shared.store.timers().ring();
        }
        Ok(())
    }

    /// Watches one of its aggregates.
    #[must_use]
    pub fn watch(&self, key: &str) -> AggregateWatch {
        self.shared.store.changes().watch(self.shared.row, key)
    }

    /// How many instances of the rules it has, and how many turns wait for them.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let queued = workers.iter().map(|line| line.turns.len()).sum();
        (workers.len(), queued)
    }

    /// How many turns each of its workers was ever given, and how many of them are over.
    #[must_use]
    pub fn flows(&self) -> Vec<(u64, u64)> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let flow = |line: &Line| line.flow.counts(|| line.turns.len());
        workers.iter().map(flow).collect()
    }

    /// Asks the participant. The answer comes after the commit of what it decided, or when the time for it is over. If the
    /// caller stops waiting, the turn takes place all the same.
    pub async fn command(&self, call: CommandCall) -> Answer {
        let Some(command) = call.under.description().command(&call.command) else {
            return Answer::Malformed(format!("there is no command `{}`", call.command));
        };
        let read = matches!(command.kind, CommandKind::Read);
        if !read && let Some(standstill) = self.shared.store.condition().holds_up() {
            return Answer::StoreFailed(standstill);
        }
        let can_repeat = call.claim.is_some();
        let (key, generated_key) = match call.key {
            Some(key) => (key, None),
            None => match self.next_key() {
                Some(number) => (number.to_string(), Some(number)),
                None => {
                    return Answer::Broke(Fault::new(
                        FaultKind::BadOutput,
                        "all 64-bit keys have been given out",
                    ));
                }
            },
        };
        let now = now_ms();
        let tail = random_tail();
        let id = identity::uuid_v8(now, tail);
        let envelope = Envelope {
            message: Message {
                source: format!("{}/commands", identity::source_of(&self.shared.name)),
                origin: Origin::Command,
                name: call.command,
                key,
                time: now,
                correlation: id.clone(),
                parameters: call.parameters,
                body: call.body,
                id,
            },
            made_at: now,
            traceparent: Some(
                call.traceparent
                    .unwrap_or_else(|| identity::traceparent(now, tail)),
            ),
        };
        let (answer, answered) = oneshot::channel();
        let turn = Box::new(CommandTurn {
            envelope,
            under: call.under,
            generated_key,
            claim: call.claim,
            reserved: call.reserved,
            answer,
            since: self.shared.turns.now(),
        });
        let turn = if read {
            Turn::Read(turn)
        } else {
            Turn::Command(turn)
        };
        match self
            .worker_of(turn.key().unwrap_or_default())
            .map(|worker| worker.try_send(turn))
        {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => {
                return Answer::TryLater("too many messages wait already".into());
            }
            Some(Err(TrySendError::Disconnected(_))) | None => return stopping(),
        }
        match tokio::time::timeout(self.answer_time, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| stopping()),
            Err(_) => {
                let seconds = self.answer_time.as_secs();
                match read {
                    true => Answer::TryLater(format!("it was not read within {seconds} s")),
                    false => Answer::Unknown(seconds, can_repeat),
                }
            }
        }
    }

    /// Offers a timer that is due. `over` is called when the turn is over, whatever became of it.
    pub fn fire(&self, timer: StoredTimer, over: Over) {
        let envelope = timer_envelope(&self.shared.name, &timer);
        let fired = FiredTimer {
            key: timer.key,
            name: timer.name,
            due: timer.due,
        };
        self.give(Turn::Timer(Box::new(TimerTurn {
            envelope,
            fired,
            trial: Trial::default(),
            since: self.shared.turns.now(),
            over,
        })));
    }

    /// Lets the workers finish what they have, and ends them. What is offered afterwards is refused.
    pub fn finish(&self) {
        self.lookups.close();
        self.workers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(participant = %self.shared.name, "a worker panicked");
            }
        }
    }

    /// The next generated key; keys count from 1. A number whose turn does not create is not used again.
    fn next_key(&self) -> Option<i64> {
        self.last_key
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                last.checked_add(1)
            })
            .ok()
            .and_then(|last| last.checked_add(1))
    }

    fn give(&self, turn: Turn) {
        let worker = self.worker_of(turn.key().unwrap_or_default());
        // A worker ends only after everybody who gives it turns.
        let _ = worker.map(|worker| worker.send(turn));
    }

    fn worker_of(&self, key: &str) -> Option<Sender<Turn>> {
        let workers = self.workers.read().unwrap_or_else(PoisonError::into_inner);
        let line = workers.get(place_of(key, workers.len()));
        line.map(|line| line.turns.clone())
    }
}

/// Which of so many workers has the turns of a key.
fn place_of(key: &str, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % workers.max(1) as u64) as usize
}

/// The message that a timer of a participant is.
pub(super) fn timer_envelope(participant: &str, timer: &StoredTimer) -> Envelope {
    let source = format!("{}/timers/{}", identity::source_of(participant), timer.name);
    // Aggregates may set the same timer on one message: the key tells them apart.
    let cause = identity::Identity {
        source: source.clone(),
        id: format!("{}/{}", timer.key, timer.set_by),
    };
    Envelope {
        message: Message {
            id: identity::event_id(participant, &cause, timer.due, 0),
            source,
            origin: Origin::Timer,
            name: timer.name.clone(),
            key: timer.key.clone(),
            time: now_ms(),
            correlation: timer.correlation.clone(),
            parameters: Vec::new(),
            body: timer.body.clone(),
        },
        made_at: timer.due,
        traceparent: timer.traceparent.clone(),
    }
}

fn stopping() -> Answer {
    Answer::TryLater("the host is stopping".into())
}

impl Sink for Participant {
    fn deliver(&self, delivery: Delivery) {
        let Delivery {
            session,
            may_repeat,
            share,
            record,
        } = delivery;
        let topic = session.source.declared_topic.clone();
        let offset = record.position.offset;
        // Held until the record is handed over: a swap that admits otherwise waits for it.
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        let admission = admit::record(
            &record,
            &topic,
            active.description(),
            &self.shared.limits,
            now_ms(),
        );
        let taken = Taken {
            session,
            offset,
            may_repeat,
            share,
        };
        self.give(match admission {
            Admission::Offer(envelope) => Turn::Event(Box::new(EventTurn {
                envelope: *envelope,
                under: active.clone(),
                taken,
                record,
                trial: Trial::default(),
                since: self.shared.turns.now(),
            })),
            Admission::Skip => {
                let event_type = record.attributes.event_type.as_deref();
                let topics = (&taken.session.source.topic, &*topic);
                self.passed
                    .note(topics, event_type.unwrap_or_default(), active.description());
                Turn::Passed(taken)
            }
            Admission::Malformed(reason) => Turn::Unreadable {
                taken,
                record: Box::new(record),
                reason,
                since: self.shared.turns.now(),
            },
        });
    }
}
