//! The reading side of an engine: questions with typed rows, of what is committed.
//!
//! [`ReadStore`] is all of them; they are grouped by what they ask for, each group beside its rows:
//! aggregates and timers here, [`ReadStreams`], [`ReadParked`], [`ReadHistory`], [`ReadSamples`]. A
//! question never waits for a commit. Each is bounded in the rows that it gives, or has a row for
//! each partition, topic or participant (invariant 9). Participants, generations and topics are
//! named by the numbers that the store has for them; times are milliseconds since the Unix epoch.

use saga_core::commit::FiredTimer;
pub use saga_core::commit::{StoredAggregate, StoredTimer};
use saga_core::identity::Identity;

use super::fault::StoreFault;
use super::history::ReadHistory;
use super::idempotency::FirstReply;
use super::index::{Index, Page, Wanted};
use super::parked::ReadParked;
use super::sample::ReadSamples;
use super::streams::ReadStreams;

/// The answer to a question, or why there is none.
pub type Answer<T> = Result<T, StoreFault>;

/// All questions: what one reader of a store answers, for one thread at a time.
pub trait ReadStore: ReadAggregates + ReadStreams + ReadParked + ReadHistory + ReadSamples {
    /// Whether it can be used on: nothing went wrong on its connection so far.
    fn is_sound(&self) -> bool;

    /// Takes in that something could not be read, for the condition of the store.
    fn report(&self, what: &'static str, fault: &StoreFault);

    /// The time by which old rows are deleted, for a store that no host has open, at this reading
    /// of the wall clock.
    fn trusted_now(&self, wall: u64) -> Answer<u64>;
}

/// Questions about aggregates and timers: those of turns and lists.
pub trait ReadAggregates {
    /// The aggregate of this key; an empty one of revision 0 where it never was.
    fn aggregate(&self, participant: i64, key: &str) -> Answer<StoredAggregate>;

    /// Whether an event was applied, or parked: its identity is in the inbox.
    fn was_applied(&self, participant: i64, identity: &Identity) -> Answer<bool>;

    /// Whether an aggregate is quarantined.
    fn is_quarantined(&self, participant: i64, key: &str) -> Answer<bool>;

    /// The reply to the command with this idempotency key; none where it has none, or it was
    /// deleted.
    fn first_reply(&self, participant: i64, key: &str) -> Answer<Option<FirstReply>>;

    /// Whether a timer is set, and for that time.
    fn timer_is_set(&self, participant: i64, timer: &FiredTimer) -> Answer<bool>;

    /// The timer of that name, if it is set for that time.
    fn timer(&self, participant: i64, timer: &FiredTimer) -> Answer<Option<StoredTimer>>;

    /// The timers that are due and not parked, the longest due first, at most `most`; and when the
    /// next one after `now` is due.
    fn due_timers(
        &self,
        participant: i64,
        now: u64,
        most: usize,
    ) -> Answer<(Vec<StoredTimer>, Option<u64>)>;

    /// The first timer that is not parked, in the order of due time, key and name: these three.
    fn first_timer(&self, participant: i64) -> Answer<Option<(u64, String, String)>>;

    /// The keys of a page of a list. A fault where an index that it needs is not there.
    fn page(&self, wanted: &Wanted) -> Answer<Page>;

    /// Whether all of these indexes of the participant are there; and whether others are.
    fn compare_indexes(&self, participant: i64, wanted: &[Index]) -> Answer<(bool, bool)>;
}
