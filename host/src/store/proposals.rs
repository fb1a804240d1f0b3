//! Swaps over the hosts of a store: one proposes a generation, the others of its participant
//! prepare it and answer; then it is activated, and all of them switch at once.

use super::read::StoreResult;

/// A generation that a host is about to activate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Its number.
    pub number: i64,
    /// Row of the participant.
    pub participant: i64,
    /// Digest of the generation.
    pub digest: String,
}

/// The outcome of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// It stands, with this number.
    Stands(i64),
    /// This host is about to activate something.
    Busy(String),
    /// Another generation is active than the one that it replaces.
    Outdated,
}

/// What a host says to a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAnswer {
    /// The host.
    pub host: String,
    /// Ready, or why it can't; None if it has not answered yet.
    pub answer: Option<Result<(), String>>,
}

/// The proposals of a store with several hosts.
pub trait Proposals: Send + Sync {
    /// Proposes a generation in place of the active one.
    ///
    /// # Errors
    /// The store's error, as for the other calls.
    fn propose(&self, participant: i64, generation: i64, replaces: i64) -> StoreResult<Proposed>;

    /// What the other hosts say to a proposal.
    fn answers(&self, number: i64) -> StoreResult<Vec<HostAnswer>>;

    /// Ends a proposal.
    fn withdraw(&self, number: i64) -> StoreResult<()>;

    /// The proposal of another host that this one has not answered.
    fn open(&self) -> StoreResult<Option<Proposal>>;

    /// Answers a proposal: ready, or why not.
    fn answer(&self, number: i64, answer: Result<(), String>) -> StoreResult<()>;

    /// The number of changes of what is active.
    fn changes(&self) -> StoreResult<i64>;

    /// Notes that this host decides by what was active after this number of changes, or why it
    /// can't take over what is active now.
    fn note_followed(&self, followed: Result<i64, String>) -> StoreResult<()>;
}
