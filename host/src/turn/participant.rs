//! One participant: takes commands, records and timers, and routes each to the worker of its key.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError, bounded};
use parking_lot::{Mutex, RwLock};
use saga_contract::description::CommandKind;
use saga_core::admit::{self, Admission, Asked};
use saga_core::identity;
use saga_core::journal::Kept;
use saga_core::limits::TurnLimits;
use saga_core::retry::RetryPolicy;
use saga_core::rules::{Fault, FaultKind, Rules};
use saga_core::worker::{
    CommandTurn, EventTurn, QuarantinedKeys, TimerTurn, Trial, UnreadableTurn, quarantined,
};
use tokio::sync::oneshot;

use super::active::Active;
use super::first_replies::FirstReplies;
use super::generated_keys::GeneratedKeys;
use super::passed::PassedOver;
use super::this_host::{Answer, CommandCall, Over, Turn, UnknownOutcome, WaitingClient};
use super::turnover::Slot;
use super::worker::{Offered, Thread, WorkerPlace};
use crate::base::changes::ChangeWatch;
use crate::base::clock::{now_ms, random_tail};
use crate::base::machine::Machine;
use crate::base::panics;
use crate::metrics::instances::Instances;
use crate::metrics::passed::PassedCounters;
use crate::metrics::turns::Turns;
use crate::stages::Flow;
use crate::store::parked::ParkedKey;
use crate::store::read::StoredTimer;
use crate::store::{
    FiredTimer, ParkedLimits, ParkedRoom, Store, StoreFault, StoreFaultKind, Taken,
};
use crate::transport::{Delivery, Sink};

/// Turns that wait for one worker. Beyond it consumers wait and clients are refused (invariant 9).
const QUEUE: usize = 8_192;

/// Dependencies and settings of a participant.
pub struct ParticipantParts {
    /// Its row in the store.
    pub row: i64,
    /// The last key that was generated for it.
    pub last_key: i64,
    /// Bounds of a turn.
    pub limits: TurnLimits,
    /// What is recorded of each decision.
    pub kept: Kept,
    /// Limits of retries.
    pub retry: RetryPolicy,
    /// Limits of parked messages.
    pub parked: ParkedLimits,
    /// Counters of its turns.
    pub turns: Turns,
    /// Counters of the records that it passes over.
    pub passed: PassedCounters,
    /// Counters of its instances.
    pub instances: Instances,
    /// Shortages of the machine.
    pub machine: Machine,
    /// Longest time that a client waits for its turn and the commit.
    pub answer_time: Duration,
}

/// State that the workers of a participant share.
pub(super) struct Shared {
    pub(super) row: i64,
    pub(super) name: String,
    pub(super) store: Arc<Store>,
    pub(super) limits: TurnLimits,
    pub(super) kept: Kept,
    pub(super) turns: Turns,
    pub(super) instances: Instances,
    pub(super) machine: Machine,
    pub(super) parked: Arc<ParkedRoom>,
}

/// A running participant.
pub struct Participant {
    pub(super) shared: Arc<Shared>,
    pub(super) active: RwLock<Arc<Active>>,
    generated_keys: GeneratedKeys,
    answer_time: Duration,
    pub(super) first_replies: FirstReplies,
    passed: PassedOver,
    /// Emptied when the participant is finished.
    pub(super) workers: RwLock<Vec<Line>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The channels to a worker.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) turns: Sender<Offered>,
    pub(super) turnovers: Arc<Slot>,
    flow: Arc<Flow>,
}

impl Participant {
    /// Starts the participant's workers, one with each of these instances of the active rules.
    ///
    /// # Errors
    /// If a thread can't be started or the store can't be read.
    pub fn start(
        settings: ParticipantParts,
        active: Arc<Active>,
        instances: Vec<Box<dyn Rules + Send>>,
        store: Arc<Store>,
    ) -> anyhow::Result<Self> {
        let reader = store.reader()?;
        let held = reader.parked_keys(settings.row)?;
        let quarantined = reader.quarantined_keys(settings.row, quarantined::MOST + 1)?;
        let shared = Arc::new(Shared {
            row: settings.row,
            name: active.description().name.clone(),
            store,
            limits: settings.limits,
            kept: settings.kept,
            turns: settings.turns,
            instances: settings.instances,
            machine: settings.machine,
            parked: ParkedRoom::new(settings.parked, reader.parked_totals(settings.row)?),
        });
        let count = instances.len().max(1);
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        for (number, rules) in instances.into_iter().enumerate() {
            let (give, take) = bounded(QUEUE);
            let turnovers = Arc::<Slot>::default();
            let flow = Arc::<Flow>::default();
            let own = |parked: &&ParkedKey| place_of(&parked.key, count) == number;
            let place = WorkerPlace {
                turns: take,
                turnovers: turnovers.clone(),
                flow: flow.clone(),
                parked: held.iter().filter(own).cloned().collect(),
                quarantined: QuarantinedKeys::new(&quarantined, |key| {
                    place_of(key, count) == number
                }),
            };
            let reader = shared.store.reader()?;
            let rules = (active.clone(), rules);
            let worker = Thread::new(shared.clone(), settings.retry, rules, reader, place);
            let name = format!("{}-{number}", shared.name);
            threads.push(
                std::thread::Builder::new()
                    .name(name)
                    .stack_size(panics::STACK_BYTES)
                    .spawn(move || worker.run())?,
            );
            workers.push(Line {
                turns: give,
                turnovers,
                flow,
            });
        }
        let generated_keys = GeneratedKeys::new(&*shared.store, settings.last_key);
        Ok(Self {
            shared,
            active: RwLock::new(active),
            generated_keys,
            answer_time: settings.answer_time,
            first_replies: FirstReplies::default(),
            passed: PassedOver::new(settings.passed),
            workers: RwLock::new(workers),
            threads: Mutex::new(threads),
        })
    }

    /// Reports a failed read of the store.
    pub(super) fn report(&self, what: &'static str, fault: StoreFault) {
        self.shared.store.condition().report(what, &fault);
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The active generation. During a swap, some workers may be ahead of it.
    #[must_use]
    pub fn active(&self) -> Arc<Active> {
        self.active.read().clone()
    }

    /// Bounds of its turns.
    #[must_use]
    pub fn limits(&self) -> &TurnLimits {
        &self.shared.limits
    }

    /// Notes that this topic is read from now on.
    pub fn reads(&self, topic: &Arc<str>) {
        self.passed.begin(topic);
    }

    /// Longest time that a client waits for its turn and the commit, or for a read of the store.
    #[must_use]
    pub fn answer_time(&self) -> Duration {
        self.answer_time
    }

    /// Its row in the store.
    #[must_use]
    pub fn row(&self) -> i64 {
        self.shared.row
    }

    /// Number of its parked messages, and their bytes.
    #[must_use]
    pub fn parked(&self) -> (usize, usize) {
        self.shared.parked.used()
    }

    /// Offers its parked timers again, since the rules or limits may have changed since they could
    /// not be decided.
    ///
    /// # Errors
    /// The store's error.
    pub fn release_timers(&self) -> Result<(), StoreFault> {
        let released = self.shared.store.release_timers(self.shared.row)?;
        if released > 0 {
            self.shared.store.timers().notify();
        }
        Ok(())
    }

    /// Watches one of its aggregates.
    #[must_use]
    pub fn watch(&self, key: &str) -> ChangeWatch {
        self.shared.store.changes().watch(self.shared.row, key)
    }

    /// Watches all of its aggregates.
    #[must_use]
    pub fn watch_any(&self) -> ChangeWatch {
        self.shared.store.changes().watch_any(self.shared.row)
    }

    /// Number of instances of its rules, and of the turns that wait for them.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let workers = self.workers.read();
        let queued = workers.iter().map(|line| line.turns.len()).sum();
        (workers.len(), queued)
    }

    /// For each worker, the number of turns it was ever given and the number of those that are
    /// over.
    #[must_use]
    pub fn flows(&self) -> Vec<(u64, u64)> {
        let workers = self.workers.read();
        let flow = |line: &Line| line.flow.counts(|| line.turns.len());
        workers.iter().map(flow).collect()
    }

    /// Performs a command. The answer comes after the commit, or when the time for it is over. If
    /// the caller stops waiting, the turn takes place all the same.
    ///
    /// # Errors
    /// The time is over, and the turn of a command may still take place.
    pub async fn command(&self, call: CommandCall) -> Result<Answer, UnknownOutcome> {
        if !self.shared.store.is_shared() {
            // No copy of the call is needed.
            return self.decide(call).await;
        }
        let began = Instant::now();
        loop {
            let answer = self.decide(call.clone()).await?;
            let is_superseded = matches!(
                &answer, Answer::StoreFailed(fault) if fault.kind() == StoreFaultKind::Superseded
            );
            if !is_superseded || began.elapsed() >= self.answer_time {
                return Ok(answer);
            }
            if let Some(claim) = call.claim.as_ref().filter(|claim| claim.is_kept()) {
                return Ok(self.replied_elsewhere(claim).await);
            }
        }
    }

    /// Has a command decided once.
    async fn decide(&self, call: CommandCall) -> Result<Answer, UnknownOutcome> {
        let Some(command) = call.under.description().command(&call.command) else {
            return Ok(Answer::Malformed(format!(
                "there is no command `{}`",
                call.command
            )));
        };
        let read = matches!(command.kind, CommandKind::Read);
        if !read && let Some(standstill) = self.shared.store.condition().holds_up() {
            return Ok(Answer::StoreFailed(standstill));
        }
        let can_repeat = call.claim.is_some();
        let (key, generated_key) = match call.key {
            Some(key) => (key, None),
            None => match (self.generated_keys)
                .next(&self.shared.store, self.shared.row)
                .await
            {
                Ok(Some(number)) => (number.to_string(), Some(number)),
                Err(fault) => return Ok(Answer::StoreFailed(fault)),
                Ok(None) => {
                    let detail = "all 64-bit keys have been given out";
                    let fault = Fault::new(FaultKind::BadOutput, detail);
                    return Ok(Answer::Broke(fault, String::new()));
                }
            },
        };
        let now = now_ms();
        let tail = random_tail();
        let asked = Asked {
            command: call.command,
            key,
            parameters: call.parameters,
            body: call.body,
            caller: call.caller,
            metadata: call.metadata,
            correlation: call.correlation,
            traceparent: call.traceparent,
        };
        let trace = || Some(identity::traceparent(now, tail));
        let id = identity::uuid_v8(now, tail);
        let envelope = admit::command(&self.shared.name, asked, now, id, trace);
        let (answer, answered) = oneshot::channel();
        let turn = Box::new(CommandTurn {
            envelope,
            under: call.under,
            generated_key,
            repeatable: call.claim.as_ref().map(|claim| claim.request()),
            client: WaitingClient {
                answer,
                claim: call.claim,
                reserved: call.reserved,
            },
            since: self.shared.turns.now(),
        });
        // If the store is lost, reads are not answered from memory.
        if read && let Some(gone) = self.shared.store.condition().loss() {
            return Ok(Answer::StoreFailed(gone));
        }
        let turn = if read {
            Turn::Read(turn)
        } else {
            Turn::Command(turn)
        };
        match self.answer_to(turn, answered).await {
            Some(answer) => Ok(answer),
            None => {
                let seconds = self.answer_time.as_secs();
                match read {
                    true => Ok(Answer::TryLater(format!(
                        "it was not read within {seconds} s"
                    ))),
                    false => Err(UnknownOutcome {
                        seconds,
                        can_repeat,
                    }),
                }
            }
        }
    }

    /// Gives a turn to its worker and waits for the answer; `None` if there is none in time.
    pub(super) async fn answer_to(
        &self,
        turn: Turn,
        answered: oneshot::Receiver<Answer>,
    ) -> Option<Answer> {
        let worker = self.worker_of(turn.key().unwrap_or_default());
        match worker.map(|worker| worker.try_send(Offered::Turn(turn))) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => {
                return Some(Answer::TryLater("too many messages wait already".into()));
            }
            Some(Err(TrySendError::Disconnected(_))) | None => return Some(stopping()),
        }
        let answer = tokio::time::timeout(self.answer_time, answered)
            .await
            .ok()?;
        Some(answer.unwrap_or_else(|_| stopping()))
    }

    /// Offers a timer that is due. `over` is called when the turn is over, whatever its result.
    pub fn fire(&self, timer: StoredTimer, over: Over) {
        let fired = FiredTimer {
            key: timer.key.clone(),
            name: timer.name.clone(),
            due: timer.due,
        };
        self.give(Turn::Timer(Box::new(TimerTurn {
            envelope: admit::timer(&self.shared.name, &timer, now_ms()),
            fired,
            trial: Trial::default(),
            since: self.shared.turns.now(),
            over,
        })));
    }

    /// Lets the workers finish their turns, and ends them. Turns that are offered afterwards are
    /// refused.
    pub fn finish(&self) {
        self.workers.write().clear();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(participant = %self.shared.name, "a worker panicked");
            }
        }
        (self.generated_keys).give_back(&*self.shared.store, self.shared.row);
    }

    fn give(&self, turn: Turn) {
        let worker = self.worker_of(turn.key().unwrap_or_default());
        // A worker ends only after all its senders are gone.
        let _ = worker.map(|worker| worker.send(Offered::Turn(turn)));
    }

    pub(super) fn worker_of(&self, key: &str) -> Option<Sender<Offered>> {
        let workers = self.workers.read();
        let line = workers.get(place_of(key, workers.len()));
        line.map(|line| line.turns.clone())
    }
}

/// The index of the worker, out of this many, that has the turns of a key.
pub(super) fn place_of(key: &str, workers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    (hasher.finish() % workers.max(1) as u64) as usize
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
        // Held until the record is handed over: a swap that changes the admission waits for it.
        let active = self.active.read();
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
            Admission::Malformed(reason) => Turn::Unreadable(Box::new(UnreadableTurn {
                taken,
                record,
                reason,
                since: self.shared.turns.now(),
            })),
        });
    }
}
