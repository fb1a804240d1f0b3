//! Turns: what became of them, how long each stage took, what the rules used and where they broke.
//!
//! A participant has one [`Turns`], each worker the [`Generation`] that decides for it. Series that name a digest go when
//! another generation than the one that followed it decides: those of the active one and of the one before it stay, so that what
//! it counted last is still collected, and a step back counts on. Names that a description does not list, or lists beyond
//! the bound, are told as `other`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use saga_contract::description::{CommandKind, Description};
use saga_core::message::Origin;
use saga_core::rules::FaultKind;
pub use saga_core::worker::End;

use super::histogram::{FUEL, Histogram, SECONDS};

/// Generations of a participant that have series.
const GENERATIONS: usize = 2;

/// Names of one generation that have series of their own. A component could list as many as it likes.
const NAMES: usize = 200;

/// Bytes of a name that has series of its own.
const NAME_BYTES: usize = 128;

/// Characters of a digest that tell generations apart.
const DIGEST: usize = 12;

/// What stands for all other names.
const OTHER: &str = "other";

/// The beginning of a digest, as it is told.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..DIGEST).unwrap_or(digest)
}

const ENDS: [End; 9] = [
    End::Decided,
    End::Refused,
    End::Malformed,
    End::Retry,
    End::DeadLetter,
    End::Fault,
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
        End::Duplicate => "duplicate",
        End::Parked => "parked",
        End::Void => "void",
    }
}

/// Whether turns of this kind can end so: what can't be has no series.
fn can_end(sort: Sort, end: End) -> bool {
    match end {
        End::Refused => matches!(sort, Sort::Command | Sort::Read),
        End::DeadLetter => sort == Sort::Event,
        End::Parked => matches!(sort, Sort::Event | Sort::Timer),
        End::Duplicate => sort == Sort::Event,
        _ => true,
    }
}

/// The origins of messages; a command that only reads is told apart.
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

/// Reasons of dead letters that are no faults.
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
struct StageLabels {
    participant: Arc<str>,
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OriginLabels {
    participant: Arc<str>,
    origin: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    participant: Arc<str>,
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    participant: Arc<str>,
    reason: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics of turns, of all participants.
#[derive(Clone)]
pub(super) struct Families {
    turns: Family<TurnLabels, Counter>,
    stages: Histograms<StageLabels>,
    total: Histograms<OriginLabels>,
    fuel: Histograms<ParticipantLabels>,
    faults: Family<KindLabels, Counter>,
    dead_letters: Family<ReasonLabels, Counter>,
}

impl Families {
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

/// When something began; never, where nothing is measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Since(Option<Instant>);

/// The turns of one participant. Does nothing where metrics are off.
#[derive(Clone, Default)]
pub struct Turns(Option<Arc<Own>>);

struct Own {
    shared: Arc<Shared>,
    families: Families,
    participant: Arc<str>,
    /// The latest last.
    generations: Mutex<Vec<Arc<OfGeneration>>>,
}

/// What turns of all generations are counted by.
struct Shared {
    queue: Histogram,
    decide: Histogram,
    commit: Histogram,
    total: [Histogram; SORTS.len()],
    fuel: Histogram,
    faults: [Counter; FAULTS.len()],
    /// By their reasons.
    dead_letters: Vec<(String, Counter)>,
}

/// What decides, as far as it is counted. Does nothing where metrics are off.
#[derive(Clone, Default)]
pub struct Generation(Option<Arc<OfGeneration>>);

struct OfGeneration {
    digest: Arc<str>,
    kinds: Vec<Arc<Kind>>,
    labels: Vec<TurnLabels>,
}

/// One kind of message, offered to one generation.
struct Kind {
    sort: Sort,
    name: Arc<str>,
    ends: [Option<Counter>; ENDS.len()],
    shared: Arc<Shared>,
}

impl Turns {
    pub(super) fn new(families: &Families, participant: &str) -> Self {
        let participant: Arc<str> = participant.into();
        let stage = |stage| {
            let labels = StageLabels {
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
            let labels = KindLabels {
                participant: participant.clone(),
                kind: kind.to_string(),
            };
            families.faults.get_or_create_owned(&labels)
        });
        let reasons = REASONS.map(str::to_owned).into_iter();
        let dead_letters = reasons.chain(FAULTS.map(|kind| kind.to_string()));
        let dead_letters = dead_letters.map(|reason| {
            let labels = ReasonLabels {
                participant: participant.clone(),
                reason: reason.clone(),
            };
            (reason, families.dead_letters.get_or_create_owned(&labels))
        });
        let labels = ParticipantLabels {
            participant: participant.clone(),
        };
        let shared = Shared {
            queue: stage("queue"),
            decide: stage("decide"),
            commit: stage("commit"),
            total,
            fuel: families.fuel.get_or_create_owned(&labels),
            faults,
            dead_letters: dead_letters.collect(),
        };
        Self(Some(Arc::new(Own {
            shared: Arc::new(shared),
            families: families.clone(),
            participant,
            generations: Mutex::default(),
        })))
    }

    /// When something begins.
    #[must_use]
    pub fn now(&self) -> Since {
        Since(self.0.as_ref().map(|_| Instant::now()))
    }

    /// A turn that was offered then is taken up by its worker.
    pub fn taken_up(&self, since: Since) {
        if let (Some(own), Some(since)) = (&self.0, since.0) {
            own.shared.queue.observe_duration(since.elapsed());
        }
    }

    /// The rules were called then and have come back, having used this much fuel; none where they broke.
    pub fn called(&self, since: Since, fuel: Option<u64>) {
        if let (Some(own), Some(since)) = (&self.0, since.0) {
            own.shared.decide.observe_duration(since.elapsed());
            if let Some(fuel) = fuel {
                own.shared.fuel.observe(fuel);
            }
        }
    }

    /// The rules broke.
    pub fn broke(&self, kind: FaultKind) {
        let faults = self.0.as_ref().map(|own| &own.shared.faults);
        let place = FAULTS.iter().position(|known| *known == kind);
        if let Some(counter) = faults.zip(place).and_then(|(faults, at)| faults.get(at)) {
            counter.inc();
        }
    }

    /// What the turns of the build with this digest are counted by. The series of those that decided long before go.
    #[must_use]
    pub fn generation(&self, digest: &str, description: &Description) -> Generation {
        Generation(
            self.0
                .as_ref()
                .map(|own| own.generation(digest, description)),
        )
    }
}

impl Own {
    fn generation(&self, digest: &str, description: &Description) -> Arc<OfGeneration> {
        let digest: Arc<str> = short(digest).into();
        let mut known = (self.generations.lock()).unwrap_or_else(PoisonError::into_inner);
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

    fn register(&self, digest: Arc<str>, description: &Description) -> OfGeneration {
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
        // Last: a name that is listed goes before.
        named.extend(SORTS.map(|sort| (sort, OTHER)));
        let mut generation = OfGeneration {
            digest,
            kinds: Vec::new(),
            labels: Vec::new(),
        };
        for (sort, name) in named {
            let name: Arc<str> = name.into();
            let ends = ENDS.map(|end| {
                // Records may be unreadable, and timers those of rules that are gone.
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
            generation.kinds.push(Arc::new(Kind {
                sort,
                name,
                ends,
                shared: self.shared.clone(),
            }));
        }
        generation
    }
}

impl Generation {
    /// A turn that was offered then is over. Nothing of it is to be committed.
    pub fn ended(&self, origin: Origin, name: &str, end: End, since: Since) {
        if let Some((kind, since)) = self.kind(origin, name).zip(since.0) {
            kind.count(end);
            kind.over(since, Instant::now());
        }
    }

    /// A turn on a message will be tried again: this attempt is over, the turn is not.
    pub fn tried(&self, origin: Origin, name: &str) {
        if let Some(kind) = self.kind(origin, name) {
            kind.count(End::Retry);
        }
    }

    /// A turn that was offered then will end so when it is committed. `dead_letter` is the reason, where it becomes one.
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

    fn kind(&self, origin: Origin, name: &str) -> Option<&Arc<Kind>> {
        let kinds = &self.0.as_ref()?.kinds;
        let is_of = |kind: &&Arc<Kind>| kind.sort.origin() == origin;
        (kinds.iter().filter(is_of))
            .find(|kind| *kind.name == *name)
            .or_else(|| kinds.iter().rfind(is_of))
    }
}

impl Kind {
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

/// A turn on its way to disk.
pub struct Measured {
    kind: Arc<Kind>,
    end: End,
    dead_letter: Option<&'static str>,
    since: Instant,
    handed_over: Instant,
}

impl Measured {
    /// It is committed, since `now`; none where the time is not known.
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

    /// It changes nothing, and is answered now that what it saw is committed.
    pub fn answered(self) {
        self.kind.count(self.end);
        self.kind.over(self.since, Instant::now());
    }

    /// It was committed before, and only that it came again was.
    pub fn was_committed_before(self) {
        self.kind.count(End::Duplicate);
    }

    /// It is not committed, and will not be.
    pub fn is_void(self) {
        self.kind.count(End::Void);
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
