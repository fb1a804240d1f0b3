//! Participants, their generations and activity, and the parts of a participant in use.

use saga_core::message::Origin;
use serde::{Deserialize, Serialize};

use super::engine::NewGeneration;
use super::read::StoreResult;
use crate::base::generation::{FuelTerms, RuleSettings};

/// Activations that an engine keeps of a participant.
pub(super) const ACTIVATIONS: i64 = 10_000;

/// Refused components that an engine keeps of a participant.
pub(super) const REFUSED: i64 = 20;

/// Requests to release an aggregate that an engine keeps of a participant.
pub(super) const RELEASES: i64 = 100;

/// A generation as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRow {
    /// Its row.
    pub id: i64,
    /// Its digest.
    pub digest: String,
    /// Digest of its component.
    pub component: String,
    /// The settings that the operator gave to the rules.
    pub settings: Option<RuleSettings>,
    /// The version that it declares.
    pub version: String,
    /// Version of the state shape.
    pub state_version: u32,
    /// What the fuel of its decisions depends on, and since when, oldest first; empty if that is not
    /// known.
    pub fuel_terms: Vec<FuelTermsSince>,
}

/// Most terms of fuel that are kept of a generation: the latest ones.
const FUEL_TERMS: usize = 100;

/// These terms of fuel of a generation with its present ones, if they are not the latest.
pub(super) fn with_fuel_terms(
    mut known: Vec<FuelTermsSince>,
    generation: &NewGeneration,
) -> Option<Vec<FuelTermsSince>> {
    let terms = generation.fuel_terms.as_ref()?;
    if known.last().map(|last| &last.terms) == Some(terms) {
        return None;
    }
    known.push(FuelTermsSince {
        since: generation.now,
        terms: terms.clone(),
    });
    Some(known.split_off(known.len().saturating_sub(FUEL_TERMS)))
}

/// What the fuel of decisions depends on, from a time on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FuelTermsSince {
    /// The time, in milliseconds since the Unix epoch.
    pub since: u64,
    /// The terms.
    #[serde(flatten)]
    pub terms: FuelTerms,
}

impl GenerationRow {
    /// The settings that the operator gave to the rules; empty if there are none.
    #[must_use]
    pub fn given(&self) -> RuleSettings {
        self.settings.clone().unwrap_or_default()
    }

    /// What the fuel of a decision at this time depends on.
    #[must_use]
    pub fn fuel_terms_at(&self, time: u64) -> Option<&FuelTerms> {
        let mut latest = self.fuel_terms.iter().rev();
        let then = latest.find(|one| one.since <= time);
        then.map(|one| &one.terms)
    }
}

/// A generation that was active, and its activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastGeneration {
    /// The generation.
    pub generation: GenerationRow,
    /// The time of its last activation, in milliseconds since the Unix epoch.
    pub since: u64,
    /// The trigger of its last activation.
    pub way: String,
    /// The change that its last activation was, as it was given: a text of the caller.
    pub change: Option<String>,
    /// Number of its activations.
    pub activations: u64,
    /// Messages that it decided.
    pub decisions: u64,
    /// Commands among them that it refused.
    pub refusals: u64,
    /// Messages on which it failed.
    pub faults: u64,
}

/// An aggregate whose state could not be migrated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its key.
    pub key: String,
    /// Reason.
    pub reason: String,
    /// Start, in milliseconds since the Unix epoch.
    pub since: u64,
}

/// A request of an operator to release a quarantined aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// Key of the aggregate.
    pub key: String,
    /// The operator.
    pub by: String,
    /// Time, in milliseconds since the Unix epoch.
    pub time: u64,
    /// The outcome.
    pub outcome: ReleaseOutcome,
}

/// The outcome of a request to release a quarantined aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// It is in flight, or the host ended meanwhile.
    Unknown,
    /// The state was read.
    Released,
    /// The state could not be read, for this reason.
    Failed(String),
}

impl ReleaseOutcome {
    /// The outcome from its stored reason, which is empty if the state was read.
    pub(super) fn of(reason: Option<String>) -> Self {
        match reason {
            None => Self::Unknown,
            Some(reason) if reason.is_empty() => Self::Released,
            Some(reason) => Self::Failed(reason),
        }
    }
}

/// Queries for participants and generations.
pub trait ReadHistory {
    /// The row of a participant that has run on this store.
    fn participant(&self, name: &str) -> StoreResult<Option<i64>>;

    /// The names of the participants that have run on this store, sorted.
    fn participants(&self) -> StoreResult<Vec<String>>;

    /// The row of a topic, if it has one.
    fn topic(&self, name: &str) -> StoreResult<Option<i64>>;

    /// A generation by its digest, if it has a row.
    fn generation(&self, participant: i64, digest: &str) -> StoreResult<Option<GenerationRow>>;

    /// The active generation of a participant.
    fn active(&self, participant: i64) -> StoreResult<Option<GenerationRow>>;

    /// The activations of a participant, oldest first: row of the generation, and trigger.
    fn activations(&self, participant: i64) -> StoreResult<Vec<(i64, String)>>;

    /// The generations that were active, latest first.
    fn generations(&self, participant: i64) -> StoreResult<Vec<PastGeneration>>;

    /// The components that were refused lately, latest first: time, trigger, and reason (JSON).
    fn refused(&self, participant: i64) -> StoreResult<Vec<(u64, String, String)>>;

    /// The last time that a participant got this message, with any generation.
    fn last_asked(&self, participant: i64, origin: Origin, name: &str) -> StoreResult<Option<u64>>;

    /// The number of pending timers of this name.
    fn timers_set(&self, participant: i64, name: &str) -> StoreResult<u64>;

    /// True if any state of a participant is stored.
    fn holds_states(&self, participant: i64) -> StoreResult<bool>;

    /// The oldest and the newest version among the stored states of a participant that lie outside
    /// these bounds. None if all states lie within.
    fn state_versions_outside(
        &self,
        participant: i64,
        oldest: u32,
        newest: u32,
    ) -> StoreResult<Option<(u32, u32)>>;

    /// The number of stored states of a version before this one.
    fn older_states(&self, participant: i64, version: u32) -> StoreResult<u64>;

    /// The keys of stored states of a version before this one, after this key, in the order of
    /// keys, at most `most`.
    fn older_state_keys(
        &self,
        participant: i64,
        version: u32,
        after: &str,
        most: usize,
    ) -> StoreResult<Vec<String>>;

    /// The number of quarantined aggregates, and those that have been quarantined longest, at most
    /// `most`.
    fn quarantined(&self, participant: i64, most: usize) -> StoreResult<(u64, Vec<Quarantined>)>;

    /// The latest requests to release an aggregate, latest first.
    fn releases(&self, participant: i64) -> StoreResult<Vec<ReleaseRequest>>;

    /// The number of quarantined aggregates, counted up to `most`.
    fn quarantined_up_to(&self, participant: i64, most: usize) -> StoreResult<u64>;

    /// The keys of quarantined aggregates, at most `most`.
    fn quarantined_keys(&self, participant: i64, most: usize) -> StoreResult<Vec<String>>;
}
