//! One participant: takes commands, records and timers, and gives each to the worker of its key.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, TrySendError, bounded};
use saga_core::admit::{self, Admission};
use saga_core::description::{CommandKind, Description};
use saga_core::identity;
use saga_core::limits::TurnLimits;
use saga_core::message::{Envelope, Message, Origin};
use saga_core::record::{Attributes, Record, header};
use saga_core::retry::RetryPolicy;
use saga_core::rules::{Fault, FaultKind};
use saga_core::settle::Settlement;
use tokio::sync::oneshot;

use super::turn::{Answer, CommandCall, CommandTurn, EventTurn, Over, TimerTurn, Turn};
use super::worker::Worker;
use crate::clock::{now_ms, random_tail};
use crate::generation::Generation;
use crate::store::read::StoredTimer;
use crate::store::{DeadLetter, FiredTimer, OutboxRow, Store, Taken};
use crate::transport::{Delivery, Sink};

/// Turns that wait for one worker. Beyond it consumers wait and clients are sent away (invariant 9).
const QUEUE: usize = 8_192;

/// What a participant needs to know of its surroundings.
pub struct ParticipantSettings {
    /// Its row in the store.
    pub row: i64,
    /// The last key that was generated for it.
    pub last_key: i64,
    /// Threads, each with one instance of the rules.
    pub instances: usize,
    /// Bounds of a turn.
    pub limits: TurnLimits,
    /// How often and how soon to try again.
    pub retry: RetryPolicy,
    /// Where its events go, by the topic's name in its description.
    pub topics: HashMap<String, Lane>,
    /// Where its dead letters go, by the topic that they came from.
    pub dead_letters: HashMap<Arc<str>, Lane>,
}

/// A topic of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// Row of the topic.
    pub topic: i64,
    /// Partitions of the outbox.
    pub partitions: i32,
}

/// What the workers of a participant share.
pub(super) struct Shared {
    pub(super) row: i64,
    pub(super) name: String,
    pub(super) store: Arc<Store>,
    pub(super) limits: TurnLimits,
    pub(super) retry: RetryPolicy,
    topics: HashMap<String, Lane>,
    dead_letters: HashMap<Arc<str>, Lane>,
}

/// A participant that runs.
pub struct Participant {
    shared: Arc<Shared>,
    generation: Generation,
    last_key: AtomicI64,
    /// Emptied when it is finished.
    workers: RwLock<Vec<Sender<Turn>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Participant {
    /// Starts the participant's workers.
    ///
    /// # Errors
    /// When a thread can't be made or the store can't be read.
    pub fn start(
        settings: ParticipantSettings,
        generation: Generation,
        store: Arc<Store>,
    ) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            row: settings.row,
            name: generation.description().name.clone(),
            store,
            limits: settings.limits,
            retry: settings.retry,
            topics: settings.topics,
            dead_letters: settings.dead_letters,
        });
        let mut workers = Vec::new();
        let mut threads = Vec::new();
        for number in 0..settings.instances.max(1) {
            let (give, take) = bounded(QUEUE);
            let worker = Worker::new(
                shared.clone(),
                generation.clone(),
                shared.store.reader()?,
                take,
            );
            let name = format!("{}-{number}", shared.name);
            threads.push(
                std::thread::Builder::new()
                    .name(name)
                    .spawn(move || worker.run())?,
            );
            workers.push(give);
        }
        Ok(Self {
            shared,
            generation,
            last_key: AtomicI64::new(settings.last_key),
            workers: RwLock::new(workers),
            threads: Mutex::new(threads),
        })
    }

    /// What the participant says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.generation.description()
    }

    /// Bounds of its turns.
    #[must_use]
    pub fn limits(&self) -> &TurnLimits {
        &self.shared.limits
    }

    /// Its row in the store.
    #[must_use]
    pub fn row(&self) -> i64 {
        self.shared.row
    }

    /// Asks the participant. The answer comes after the commit of what it decided. If the caller
    /// stops waiting, the turn takes place all the same.
    pub async fn command(&self, call: CommandCall) -> Answer {
        let Some(command) = self.description().command(&call.command) else {
            return Answer::Malformed(format!("there is no command `{}`", call.command));
        };
        let read = matches!(command.kind, CommandKind::Read);
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
            generated_key,
            answer,
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
        answered.await.unwrap_or_else(|_| stopping())
    }

    /// Offers a timer that is due. `over` is called when the turn is over, whatever became of it.
    pub fn fire(&self, timer: StoredTimer, over: Over) {
        let source = format!(
            "{}/timers/{}",
            identity::source_of(&self.shared.name),
            timer.name
        );
        // Aggregates may set the same timer on one message: the key tells them apart.
        let cause = identity::Identity {
            source: source.clone(),
            id: format!("{}/{}", timer.key, timer.set_by),
        };
        let envelope = Envelope {
            message: Message {
                id: identity::event_id(&self.shared.name, &cause, timer.due, 0),
                source,
                origin: Origin::Timer,
                name: timer.name.clone(),
                key: timer.key.clone(),
                time: now_ms(),
                correlation: timer.correlation,
                parameters: Vec::new(),
                body: timer.body,
            },
            made_at: timer.due,
            traceparent: timer.traceparent,
        };
        let fired = FiredTimer {
            key: timer.key,
            name: timer.name,
            due: timer.due,
        };
        self.give(Turn::Timer(Box::new(TimerTurn {
            envelope,
            fired,
            attempts: 0,
            over,
        })));
    }

    /// Lets the workers finish what they have, and ends them. What is offered afterwards is refused.
    pub fn finish(&self) {
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
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let number = hasher.finish() % workers.len().max(1) as u64;
        workers.get(number as usize).cloned()
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
            record,
        } = delivery;
        let topic = session.source.declared_topic.clone();
        let offset = record.position.offset;
        let admission = admit::record(
            &record,
            &topic,
            self.description(),
            &self.shared.limits,
            now_ms(),
        );
        let taken = Taken {
            session,
            offset,
            may_repeat,
        };
        self.give(match admission {
            Admission::Offer(envelope) => Turn::Event(Box::new(EventTurn {
                envelope: *envelope,
                taken,
                record,
                attempts: 0,
            })),
            Admission::Skip => Turn::Passed(taken),
            Admission::Malformed(reason) => Turn::Unreadable {
                taken,
                record: Box::new(record),
                reason,
            },
        });
    }
}

impl Shared {
    /// The records that a settlement publishes.
    pub(super) fn outbox(&self, settlement: &Settlement) -> Vec<OutboxRow> {
        let cause = &settlement.cause;
        let row = |event: &saga_core::settle::OutgoingEvent| {
            let lane = self.topics.get(&event.topic)?;
            Some(OutboxRow {
                topic: lane.topic,
                partition: partition_of(event.key.as_bytes(), lane.partitions),
                key: Some(event.key.clone().into_bytes()),
                value: Some(event.body.clone().into_bytes()),
                attributes: Attributes {
                    id: Some(event.id.clone()),
                    event_type: Some(event.event_type.clone()),
                    correlation: Some(cause.correlation.clone()),
                    causation: Some(cause.id.clone()),
                    traceparent: cause.traceparent.clone(),
                    ..Attributes::default()
                },
                from_generation: true,
                time: settlement.journal.time,
            })
        };
        // Every declared publication has a lane, and settlement has refused undeclared ones.
        settlement.events.iter().filter_map(row).collect()
    }

    pub(super) fn dead_record(
        &self,
        taken: &Taken,
        record: &Record,
        reason: &str,
        detail: String,
        attempts: u32,
        generation: &Generation,
    ) -> DeadLetter {
        DeadLetter {
            consumer: taken.session.source.group.to_string(),
            topic: record.position.topic.to_string(),
            partition: record.position.partition,
            offset: record.position.offset,
            key: record.key.clone(),
            value: record.value.clone(),
            reason: reason.into(),
            detail,
            attempts,
            digest: generation.build.digest().into(),
            time: now_ms(),
        }
    }

    pub(super) fn dead_timer(
        &self,
        turn: &TimerTurn,
        reason: &str,
        detail: String,
        generation: &Generation,
    ) -> DeadLetter {
        DeadLetter {
            consumer: "timer".into(),
            topic: turn.fired.name.clone(),
            partition: 0,
            offset: 0,
            key: Some(turn.fired.key.clone().into_bytes()),
            value: Some(turn.envelope.message.body.clone().into_bytes()),
            reason: reason.into(),
            detail,
            attempts: turn.attempts,
            digest: generation.build.digest().into(),
            time: now_ms(),
        }
    }

    /// The record for the dead-letter topic: key, value and attributes as they came, and why. What is too
    /// large to be published once more is left out, and said to be; the letter in the store has key and value.
    pub(super) fn dead_letter_record(
        &self,
        record: Record,
        letter: &DeadLetter,
    ) -> Option<OutboxRow> {
        let lane = self.dead_letters.get(&record.position.topic)?;
        let mut attributes = record.attributes;
        let longest = self.limits.attribute_bytes;
        for attribute in [
            &mut attributes.id,
            &mut attributes.source,
            &mut attributes.event_type,
            &mut attributes.correlation,
            &mut attributes.causation,
            &mut attributes.digest,
            &mut attributes.traceparent,
        ] {
            *attribute = attribute.take().filter(|text| text.len() <= longest);
        }
        let source = attributes.source.take();
        attributes
            .extra
            .extend(source.map(|source| (header::SOURCE.to_owned(), source)));
        let mut publishable = |what: &str, bytes: Option<Vec<u8>>, limit: usize| {
            let length = bytes.as_ref().map_or(0, Vec::len);
            if length > limit {
                let omitted = (format!("dlq-{what}-omitted"), format!("{length} bytes"));
                attributes.extra.push(omitted);
            }
            bytes.filter(|_| length <= limit)
        };
        let key = publishable("key", record.key, self.limits.key_bytes);
        let value = publishable("value", record.value, self.limits.event_bytes);
        attributes.extra.extend(
            [
                ("dlq-topic", letter.topic.clone()),
                ("dlq-partition", letter.partition.to_string()),
                ("dlq-offset", letter.offset.to_string()),
                ("dlq-group", letter.consumer.clone()),
                ("dlq-reason", letter.reason.clone()),
                ("dlq-detail", letter.detail.clone()),
                ("dlq-attempts", letter.attempts.to_string()),
                ("dlq-digest", letter.digest.clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        Some(OutboxRow {
            topic: lane.topic,
            partition: partition_of(key.as_deref().unwrap_or_default(), lane.partitions),
            key,
            value,
            attributes,
            from_generation: false,
            time: letter.time,
        })
    }
}

/// The partition of a key: FNV-1a, the same on every machine and in every version.
fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let hash = key.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash % partitions.max(1).unsigned_abs()) as i32
}
