//! The reading side of an engine: queries of committed data, with typed rows.
//!
//! [`ReadStore`] has all of them, grouped by subject, each group next to its rows: aggregates and
//! timers here, [`ReadStreams`], [`ReadParked`], [`ReadLetters`], [`ReadHistory`], [`ReadSamples`],
//! [`ReadListChanges`], [`ReadDecisions`], [`ReadWaiting`], [`ReadHosts`].
//! A query never waits for a commit. Each returns a bounded number of rows, or one row for each
//! partition, topic, participant or host (invariant 9). Participants, generations and topics are named by
//! their row numbers in the store; times are milliseconds since the Unix epoch.

use saga_core::commit::FiredTimer;
pub use saga_core::commit::{SharedAggregate, StoredAggregate, StoredTimer};
use saga_core::identity::Identity;
use saga_core::worker::Ahead;

use super::dead_letters::ReadLetters;
use super::decisions::ReadDecisions;
use super::fault::StoreFault;
use super::history::ReadHistory;
use super::hosts::ReadHosts;
use super::idempotency::FirstReply;
use super::index::{Index, Page, Wanted};
use super::list_changes::ReadListChanges;
use super::parked::ReadParked;
use super::sample::ReadSamples;
use super::streams::ReadStreams;
use super::waiting::ReadWaiting;

/// The result of a query, or its fault.
pub type StoreResult<T> = Result<T, StoreFault>;

/// All queries of one reader of a store, for one thread at a time.
pub trait ReadStore:
    ReadAggregates
    + ReadStreams
    + ReadParked
    + ReadLetters
    + ReadHistory
    + ReadSamples
    + ReadListChanges
    + ReadDecisions
    + ReadWaiting
    + ReadHosts
{
    /// True if it can be reused: its connection has had no error.
    fn is_sound(&self) -> bool;

    /// Reports a failed read to the condition of the store.
    fn report(&self, what: &'static str, fault: &StoreFault);

    /// The time by which old rows are deleted, for a store that no host has open, at this reading
    /// of the wall clock.
    fn trusted_now(&self, wall: u64) -> StoreResult<u64>;
}

/// Queries of turns and lists: aggregates and timers.
pub trait ReadAggregates {
    /// The aggregate of this key; an empty one of revision 0 if it never existed.
    fn aggregate(&self, participant: i64, key: &str) -> StoreResult<StoredAggregate>;

    /// The aggregate of this key, with what other hosts may have parked for it or found of its state.
    fn shared_aggregate(&self, participant: i64, key: &str) -> StoreResult<SharedAggregate> {
        // The only host knows the rest.
        Ok(SharedAggregate {
            aggregate: self.aggregate(participant, key)?,
            ..SharedAggregate::default()
        })
    }

    /// True if an event was applied or parked: its identity is in the inbox.
    fn was_applied(&self, participant: i64, identity: &Identity) -> StoreResult<bool>;

    /// Loads what is not loaded yet, with one question.
    fn load_ahead(&self, participant: i64, ahead: &mut Ahead) -> StoreResult<()> {
        for (identity, was_applied) in &mut ahead.identities {
            *was_applied = Some(self.was_applied(participant, identity)?);
        }
        for (key, aggregate) in &mut ahead.aggregates {
            if aggregate.is_none() {
                *aggregate = Some(self.shared_aggregate(participant, key)?);
            }
        }
        Ok(())
    }

    /// True if an aggregate is quarantined.
    fn is_quarantined(&self, participant: i64, key: &str) -> StoreResult<bool>;

    /// The reply to the command with this idempotency key. None if there is none, or it was
    /// deleted.
    fn first_reply(&self, participant: i64, key: &str) -> StoreResult<Option<FirstReply>>;

    /// The replies to the commands with these idempotency keys, with one question.
    fn first_replies(
        &self,
        participant: i64,
        keys: &[&str],
    ) -> StoreResult<Vec<Option<FirstReply>>> {
        keys.iter()
            .map(|key| self.first_reply(participant, key))
            .collect()
    }

    /// True if a timer is set for that time.
    fn timer_is_set(&self, participant: i64, timer: &FiredTimer) -> StoreResult<bool>;

    /// The timer of that name, if it is set for that time.
    fn timer(&self, participant: i64, timer: &FiredTimer) -> StoreResult<Option<StoredTimer>>;

    /// The due timers that are not parked, longest due first, at most `most`; and the due time of
    /// the next one after `now`.
    fn due_timers(
        &self,
        participant: i64,
        now: u64,
        most: usize,
    ) -> StoreResult<(Vec<StoredTimer>, Option<u64>)>;

    /// The first timer that is not parked, ordered by due time, key and name: these three.
    fn first_timer(&self, participant: i64) -> StoreResult<Option<(u64, String, String)>>;

    /// The keys of a page of a list. A fault if an index that it needs is missing.
    fn page(&self, wanted: &Wanted) -> StoreResult<Page>;

    /// Compares the participant's indexes: true if all of these exist; true if others exist.
    fn compare_indexes(&self, participant: i64, wanted: &[Index]) -> StoreResult<(bool, bool)>;
}
