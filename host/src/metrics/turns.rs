//! Turns: their outcomes, the time of each stage, fuel, and faults of the rules.
//!
//! A participant has one [`Turns`], and each worker the [`TurnCounters`] of the generation that
//! decides for it. Series with a digest exist for the active generation and for the one before it,
//! so that the last counts of the former are still scraped, and a rollback counts on. Names that a
//! description does not list, or lists beyond the bound, count as `other`.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use saga_contract::description::{CommandKind, Description};
use saga_core::message::Origin;
use saga_core::rules::FaultKind;
pub use saga_core::worker::End;

use super::histogram::{FUEL, Histogram, SECONDS};
use crate::base::generation::short;

/// Generations of a participant that have series.
const GENERATIONS: usize = 2;

/// Names per generation with series of their own. A component may list any number of names.
const NAMES: usize = 200;

/// Longest name with series of its own, in bytes.
const NAME_BYTES: usize = 128;

/// The label of all other names.
const OTHER: &str = "other";

const ENDS: [End; 10] = [
    End::Decided,
    End::Refused,
    End::Malformed,
    End::Retry,
    End::DeadLetter,
    End::Fault,
    End::Blocked,
    End::Duplicate,
    End::Parked,
    End::Void,
];

fn word(end: End) -> &'static str {
    match end {
        End::Decided => "decided",
        End::Refused => "refused",
        End::Malformed => "malformed",
        End::Retry => "retry",
        End::DeadLetter => "dead-letter",
        End::Fault => "fault",
        End::Blocked => "blocked",
        End::Duplicate => "duplicate",
        End::Parked => "parked",
        End::Void => "void",
    }
}

/// True if turns of this sort can have this outcome; impossible ones have no series.
fn can_end(sort: Sort, end: End) -> bool {
    match end {
        End::Refused => matches!(sort, Sort::Command | Sort::Read),
        End::Blocked => sort == Sort::Command,
        End::DeadLetter => sort == Sort::Event,
        End::Parked => matches!(sort, Sort::Event | Sort::Timer),
        End::Duplicate => sort == Sort::Event,
        _ => true,
    }
}

/// The origins of messages; read-only commands are a sort of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Command,
    Read,
    Event,
    Timer,
}

const SORTS: [Sort; 4] = [Sort::Command, Sort::Read, Sort::Event, Sort::Timer];

impl Sort {
    fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Read => "read",
            Self::Event => "event",
            Self::Timer => "timer",
        }
    }

    fn origin(self) -> Origin {
        match self {
            Self::Command | Self::Read => Origin::Command,
            Self::Event => Origin::Event,
            Self::Timer => Origin::Timer,
        }
    }
}

const FAULTS: [FaultKind; 7] = [
    FaultKind::Trap,
    FaultKind::OutOfFuel,
    FaultKind::Deadline,
    FaultKind::OutOfMemory,
    FaultKind::OutputTooLarge,
    FaultKind::BadOutput,
    FaultKind::Migration,
];

/// Reasons of dead letters other than faults.
const REASONS: [&str; 3] = ["malformed", "retries-exhausted", "parking-full"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnLabels {
    participant: Arc<str>,
    origin: &'static str,
    message: Arc<str>,
    outcome: &'static str,
    digest: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ParticipantLabels {
    participant: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnStageLabels {
    participant: Arc<str>,
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OriginLabels {
    participant: Arc<str>,
    origin: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    participant: Arc<str>,
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeadLetterLabels {
    participant: Arc<str>,
    reason: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics of turns, of all participants.
#[derive(Clone)]
pub(super) struct TurnFamilies {
    turns: Family<TurnLabels, Counter>,
    stages: Histograms<TurnStageLabels>,
    total: Histograms<OriginLabels>,
    fuel: Histograms<ParticipantLabels>,
    faults: Family<FaultLabels, Counter>,
    dead_letters: Family<DeadLetterLabels, Counter>,
}

impl TurnFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            turns: Family::default(),
            stages: Family::new_with_constructor(|| Histogram::new(&SECONDS)),
            total: Family::new_with_constructor(|| Histogram::new(&SECONDS)),
            fuel: Family::new_with_constructor(|| Histogram::new(&FUEL)),
            faults: Family::default(),
            dead_letters: Family::default(),
        };
        registry.register(
            "turns",
            "Turns by what became of them; each attempt is one",
            families.turns.clone(),
        );
        registry.register(
            "turn_stage_seconds",
            "Time of a stage of a turn: in the worker's queue, in the rules, on its way to disk",
            families.stages.clone(),
        );
        registry.register(
            "turn_seconds",
            "Time of a turn, from when it was offered until it is committed or answered",
            families.total.clone(),
        );
        registry.register(
            "turn_fuel",
            "Fuel that a call of the rules used",
            families.fuel.clone(),
        );
        registry.register(
            "faults",
            "Calls on which the rules broke, by the kind of break",
            families.faults.clone(),
        );
        registry.register(
            "dead_letters",
            "Messages that were given up and put aside",
            families.dead_letters.clone(),
        );
        families
    }
}

/// The start time of a measurement; empty if nothing is measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Since(Option<Instant>);

/// The turns of one participant. Does nothing if metrics are off.
#[derive(Clone, Default)]
pub struct Turns(Option<Arc<ParticipantTurns>>);

struct ParticipantTurns {
    shared: Arc<SharedSeries>,
    families: TurnFamilies,
    participant: Arc<str>,
    /// The latest is last.
    generations: Mutex<Vec<Arc<GenerationSeries>>>,
}

/// Counters that all generations of a participant share.
struct SharedSeries {
    queue: Histogram,
    decide: Histogram,
    commit: Histogram,
    total: [Histogram; SORTS.len()],
    fuel: Histogram,
    faults: [Counter; FAULTS.len()],
    /// By reason.
    dead_letters: Vec<(String, Counter)>,
}

/// The turn counters of one generation. Does nothing if metrics are off.
#[derive(Clone, Default)]
pub struct TurnCounters(Option<Arc<GenerationSeries>>);

struct GenerationSeries {
    digest: Arc<str>,
    kinds: Vec<Arc<MessageSeries>>,
    labels: Vec<TurnLabels>,
}

/// One kind of message, as decided by one generation.
struct MessageSeries {
    sort: Sort,
    name: Arc<str>,
    ends: [Option<Counter>; ENDS.len()],
    shared: Arc<SharedSeries>,
}

impl Turns {
    pub(super) fn new(families: &TurnFamilies, participant: &str) -> Self {
        let participant: Arc<str> = participant.into();
        let stage = |stage| {
            let labels = TurnStageLabels {
                participant: participant.clone(),
                stage,
            };
            families.stages.get_or_create_owned(&labels)
        };
        let total = SORTS.map(|sort| {
            let labels = OriginLabels {
                participant: participant.clone(),
                origin: sort.word(),
            };
            families.total.get_or_create_owned(&labels)
        });
        let faults = FAULTS.map(|kind| {
            let labels = FaultLabels {
                participant: participant.clone(),
                kind: kind.to_string(),
            };
            families.faults.get_or_create_owned(&labels)
        });
        let reasons = REASONS.map(str::to_owned).into_iter();
        let dead_letters = reasons.chain(FAULTS.map(|kind| kind.to_string()));
        let dead_letters = dead_letters.map(|reason| {
            let labels = DeadLetterLabels {
                participant: participant.clone(),
                reason: reason.clone(),
            };
            (reason, families.dead_letters.get_or_create_owned(&labels))
        });
        let labels = ParticipantLabels {
            participant: participant.clone(),
        };
        let shared = SharedSeries {
            queue: stage("queue"),
            decide: stage("decide"),
            commit: stage("commit"),
            total,
            fuel: families.fuel.get_or_create_owned(&labels),
            faults,
            dead_letters: dead_letters.collect(),
        };
        Self(Some(Arc::new(ParticipantTurns {
            shared: Arc::new(shared),
            families: families.clone(),
            participant,
            generations: Mutex::default(),
        })))
    }

    /// The start time of a measurement.
    #[must_use]
    pub fn now(&self) -> Since {
        Since(self.0.as_ref().map(|_| Instant::now()))
    }

    /// Counts the time in the queue of a turn that was offered at `since`.
    pub fn taken_up(&self, since: Since) {
        if let (Some(own), Some(since)) = (&self.0, since.0) {
            own.shared.queue.observe_duration(since.elapsed());
        }
    }

    /// Counts a call of the rules that began at `since`, with the fuel it used; `None` if the rules
    /// broke.
    pub fn called(&self, since: Since, fuel: Option<u64>) {
        if let (Some(own), Some(since)) = (&self.0, since.0) {
            own.shared.decide.observe_duration(since.elapsed());
            if let Some(fuel) = fuel {
                own.shared.fuel.observe(fuel);
            }
        }
    }

    /// Counts a fault of the rules.
    pub fn broke(&self, kind: FaultKind) {
        let faults = self.0.as_ref().map(|own| &own.shared.faults);
        let place = FAULTS.iter().position(|known| *known == kind);
        if let Some(counter) = faults.zip(place).and_then(|(faults, at)| faults.get(at)) {
            counter.inc();
        }
    }

    /// The counters for the generation with this digest. Removes the series of generations before
    /// the last one.
    #[must_use]
    pub fn generation(&self, digest: &str, description: &Description) -> TurnCounters {
        TurnCounters(
            self.0
                .as_ref()
                .map(|own| own.generation(digest, description)),
        )
    }
}

impl ParticipantTurns {
    fn generation(&self, digest: &str, description: &Description) -> Arc<GenerationSeries> {
        let digest: Arc<str> = short(digest).into();
        let mut known = self.generations.lock();
        let place = known.iter().position(|known| known.digest == digest);
        let generation = match place {
            Some(place) => known.remove(place),
            None => Arc::new(self.register(digest, description)),
        };
        known.push(generation.clone());
        while known.len() > GENERATIONS {
            for labels in &known.remove(0).labels {
                self.families.turns.remove(labels);
            }
        }
        generation
    }

    fn register(&self, digest: Arc<str>, description: &Description) -> GenerationSeries {
        let commands = description.commands.iter().map(|command| {
            let is_read = matches!(command.kind, CommandKind::Read);
            let sort = if is_read { Sort::Read } else { Sort::Command };
            (sort, command.name.as_str())
        });
        let subscriptions = description.subscriptions.iter();
        let events = subscriptions.map(|subscribed| (Sort::Event, subscribed.event_type.as_str()));
        let timers = description.timers.iter();
        let timers = timers.map(|timer| (Sort::Timer, timer.name.as_str()));
        let mut named: Vec<(Sort, &str)> = Vec::new();
        let mut is_cut = false;
        for name in commands.chain(events).chain(timers) {
            let has_room = named.len() < NAMES && name.1.len() <= NAME_BYTES;
            is_cut |= !has_room;
            if has_room && !named.contains(&name) {
                named.push(name);
            }
        }
        // Last, since a listed name takes precedence.
        named.extend(SORTS.map(|sort| (sort, OTHER)));
        let mut generation = GenerationSeries {
            digest,
            kinds: Vec::new(),
            labels: Vec::new(),
        };
        for (sort, name) in named {
            let name: Arc<str> = name.into();
            let ends = ENDS.map(|end| {
                // Records may be unreadable, and timers may belong to rules that are gone.
                let has_others = is_cut || matches!(sort, Sort::Event | Sort::Timer);
                let may_be = can_end(sort, end) && (*name != *OTHER || has_others);
                may_be.then(|| {
                    let labels = TurnLabels {
                        participant: self.participant.clone(),
                        origin: sort.word(),
                        message: name.clone(),
                        outcome: word(end),
                        digest: generation.digest.clone(),
                    };
                    let counter = self.families.turns.get_or_create_owned(&labels);
                    generation.labels.push(labels);
                    counter
                })
            });
            generation.kinds.push(Arc::new(MessageSeries {
                sort,
                name,
                ends,
                shared: self.shared.clone(),
            }));
        }
        generation
    }
}

impl TurnCounters {
    /// Counts a turn that was offered at `since` and ended without a commit.
    pub fn ended(&self, origin: Origin, name: &str, end: End, since: Since) {
        if let Some((kind, since)) = self.kind(origin, name).zip(since.0) {
            kind.count(end);
            kind.over(since, Instant::now());
        }
    }

    /// Counts an attempt on a message whose turn will be retried.
    pub fn tried(&self, origin: Origin, name: &str) {
        if let Some(kind) = self.kind(origin, name) {
            kind.count(End::Retry);
        }
    }

    /// Prepares the counts of a turn that was offered at `since`, for when it is committed.
    /// `dead_letter` is the reason if it becomes a dead letter.
    #[must_use]
    pub fn to_commit(
        &self,
        origin: Origin,
        name: &str,
        end: End,
        since: Since,
        dead_letter: Option<&'static str>,
    ) -> Option<Measured> {
        let (kind, since) = self.kind(origin, name).zip(since.0)?;
        Some(Measured {
            kind: kind.clone(),
            end,
            dead_letter,
            since,
            handed_over: Instant::now(),
        })
    }

    fn kind(&self, origin: Origin, name: &str) -> Option<&Arc<MessageSeries>> {
        let kinds = &self.0.as_ref()?.kinds;
        let is_of = |kind: &&Arc<MessageSeries>| kind.sort.origin() == origin;
        (kinds.iter().filter(is_of))
            .find(|kind| *kind.name == *name)
            .or_else(|| kinds.iter().rfind(is_of))
    }
}

impl MessageSeries {
    fn count(&self, end: End) {
        if let Some(Some(counter)) = self.ends.get(end as usize) {
            counter.inc();
        }
    }

    fn over(&self, since: Instant, now: Instant) {
        if let Some(total) = self.shared.total.get(self.sort as usize) {
            total.observe_duration(now.saturating_duration_since(since));
        }
    }
}

/// A turn that waits for its commit.
pub struct Measured {
    kind: Arc<MessageSeries>,
    end: End,
    dead_letter: Option<&'static str>,
    since: Instant,
    handed_over: Instant,
}

impl Measured {
    /// Counts the turn as committed at `now`; `None` if the time is not known.
    pub fn committed(self, now: Option<Instant>) {
        let shared = &self.kind.shared;
        self.kind.count(self.end);
        if let Some(now) = now {
            shared
                .commit
                .observe_duration(now.saturating_duration_since(self.handed_over));
            self.kind.over(self.since, now);
        }
        if let Some(reason) = self.dead_letter
            && let Some((_, counter)) = shared.dead_letters.iter().find(|(word, _)| word == reason)
        {
            counter.inc();
        }
    }

    /// Counts a turn that writes nothing and is answered once the state it read is committed.
    pub fn answered(self) {
        self.kind.count(self.end);
        self.kind.over(self.since, Instant::now());
    }

    /// Counts a duplicate: the turn had been committed before, and only the redelivery is recorded.
    pub fn was_committed_before(self) {
        self.kind.count(End::Duplicate);
    }

    /// Counts a turn whose commit failed for good.
    pub fn is_void(self) {
        self.kind.count(End::Void);
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
