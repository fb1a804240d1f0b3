//! Participants, their generations, what those did, and what of a participant is in use.

use saga_core::message::Origin;

use super::read::Answer;

/// A generation, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationRow {
    /// Its row.
    pub id: i64,
    /// Its digest.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// Version of the shape of its states.
    pub state_version: u32,
}

/// A generation that was active, and what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastGeneration {
    /// The generation.
    pub generation: GenerationRow,
    /// When it last became active, in milliseconds since the Unix epoch.
    pub since: u64,
    /// By which way.
    pub way: String,
    /// How often it became active.
    pub activations: u64,
    /// Messages that it decided.
    pub decisions: u64,
    /// Commands among them that it refused.
    pub refusals: u64,
    /// Messages on which it broke.
    pub faults: u64,
}

/// An aggregate whose state could not be migrated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since: u64,
}

/// Questions about participants and generations.
pub trait ReadHistory {
    /// The row of a participant that has run on this store.
    fn participant(&self, name: &str) -> Answer<Option<i64>>;

    /// The names of the participants that have run on this store, sorted.
    fn participants(&self) -> Answer<Vec<String>>;

    /// The row of a topic, if it has one.
    fn topic(&self, name: &str) -> Answer<Option<i64>>;

    /// The row of a generation by the digest of its component, if it has one.
    fn generation(&self, participant: i64, digest: &str) -> Answer<Option<i64>>;

    /// The active generation of a participant.
    fn active(&self, participant: i64) -> Answer<Option<GenerationRow>>;

    /// The activations of a participant, the first one first: row of the generation, and the way.
    fn activations(&self, participant: i64) -> Answer<Vec<(i64, String)>>;

    /// The generations that were active, the latest first.
    fn generations(&self, participant: i64) -> Answer<Vec<PastGeneration>>;

    /// The components that were refused lately, the latest first: when, by which way, and why
    /// (JSON).
    fn refused(&self, participant: i64) -> Answer<Vec<(u64, String, String)>>;

    /// When a participant was last asked this, by whichever generation it had.
    fn last_asked(&self, participant: i64, origin: Origin, name: &str) -> Answer<Option<u64>>;

    /// How many timers of this name are set.
    fn timers_set(&self, participant: i64, name: &str) -> Answer<u64>;

    /// Whether any state of a participant is stored.
    fn holds_states(&self, participant: i64) -> Answer<bool>;

    /// The oldest and the newest version among the stored states of a participant that lie outside
    /// these bounds; none where all states lie within.
    fn state_versions_outside(
        &self,
        participant: i64,
        oldest: u32,
        newest: u32,
    ) -> Answer<Option<(u32, u32)>>;

    /// How many aggregates are quarantined, and those that are so longest, at most `most`.
    fn quarantined(&self, participant: i64, most: usize) -> Answer<(u64, Vec<Quarantined>)>;

    /// How many aggregates are quarantined, counted up to `most`.
    fn quarantined_up_to(&self, participant: i64, most: usize) -> Answer<u64>;

    /// The keys of aggregates that are quarantined, at most `most`.
    fn quarantined_keys(&self, participant: i64, most: usize) -> Answer<Vec<String>>;
}
