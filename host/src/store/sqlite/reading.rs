//! The queries of [`ReadStore`], each run on a connection.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::Connection;
use saga_core::commit::{FiredTimer, LetterPlace};
use saga_core::identity::Identity;
use saga_core::message::Origin;
use saga_core::record::Record;

use super::read::SqliteReader;
use super::{
    backlog, decisions, history, index, letter_queries, list_changes, offsets, parked, quarantine,
    registry, sample, topic_ids, trusted_time, waiting,
};
use crate::base::session::Extent;
use crate::store::dead_letters::{LetterAct, LetterFilter, ReadLetters, StoredLetter};
use crate::store::decisions::{
    DecisionPage, DecisionRange, JournalSpan, ReadDecisionPages, ReadDecisions,
};
use crate::store::fault::StoreFault;
use crate::store::history::{
    GenerationRow, PastGeneration, Quarantined, ReadHistory, ReleaseRequest,
};
use crate::store::hosts::{HostRow, ReadHosts};
use crate::store::idempotency::FirstReply;
use crate::store::index::{Index, Page, Wanted};
use crate::store::list_changes::{ChangesWanted, JournalPosition, ListChanges, ReadListChanges};
use crate::store::parked::{ParkedEvent, ParkedKey, ParkedRow, ParkedTimerRow, ReadParked};
use crate::store::read::{ReadAggregates, ReadStore, StoreResult, StoredAggregate, StoredTimer};
use crate::store::sample::{Keyed, PendingTimer, ReadSamples, Recorded, SampledTopic};
use crate::store::streams::{Backlog, OutboxReaders, ReadPartition, ReadStreams, StoredPlace};
use crate::store::waiting::{ParkedRecord, ReadWaiting, SetTimer, TopicReader};

impl<C: Borrow<Connection>> ReadStore for SqliteReader<C> {
    fn is_sound(&self) -> bool {
        self.is_sound.get()
    }

    fn report(&self, what: &'static str, fault: &StoreFault) {
        self.condition.report(what, fault);
    }

    fn trusted_now(&self, wall: u64) -> StoreResult<u64> {
        self.ask(|sql| trusted_time::trusted_now(sql, wall))
    }
}

impl<C: Borrow<Connection>> SqliteReader<C> {
    fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> StoreResult<T> {
        self.answer(question(self.connection()))
    }

    fn answer<T>(&self, result: rusqlite::Result<T>) -> StoreResult<T> {
        result.map_err(|error| {
            self.is_sound.set(false);
            error.into()
        })
    }
}

impl<C: Borrow<Connection>> ReadAggregates for SqliteReader<C> {
    fn aggregate(&self, participant: i64, key: &str) -> StoreResult<StoredAggregate> {
        self.answer(SqliteReader::aggregate(self, participant, key))
    }

    fn was_applied(&self, participant: i64, identity: &Identity) -> StoreResult<bool> {
        self.answer(SqliteReader::was_applied(self, participant, identity))
    }

    fn is_quarantined(&self, participant: i64, key: &str) -> StoreResult<bool> {
        self.answer(SqliteReader::is_quarantined(self, participant, key))
    }

    fn first_reply(&self, participant: i64, key: &str) -> StoreResult<Option<FirstReply>> {
        self.answer(SqliteReader::first_reply(self, participant, key))
    }

    fn timer_is_set(&self, participant: i64, timer: &FiredTimer) -> StoreResult<bool> {
        self.answer(SqliteReader::timer_is_set(self, participant, timer))
    }

    fn timer(&self, participant: i64, timer: &FiredTimer) -> StoreResult<Option<StoredTimer>> {
        self.ask(|sql| parked::timer(sql, participant, timer))
    }

    fn due_timers(
        &self,
        participant: i64,
        now: u64,
        most: usize,
    ) -> StoreResult<(Vec<StoredTimer>, Option<u64>)> {
        self.answer(SqliteReader::due_timers(self, participant, now, most))
    }

    fn first_timer(&self, participant: i64) -> StoreResult<Option<(u64, String, String)>> {
        self.answer(SqliteReader::first_timer(self, participant))
    }

    fn page(&self, wanted: &Wanted) -> StoreResult<Page> {
        self.answer(SqliteReader::page(self, wanted))
    }

    fn compare_indexes(&self, participant: i64, wanted: &[Index]) -> StoreResult<(bool, bool)> {
        self.ask(|sql| index::compare(sql, participant, wanted))
    }
}

impl<C: Borrow<Connection>> ReadStreams for SqliteReader<C> {
    fn offset(&self, consumer: &str, topic: i64, partition: i32) -> StoreResult<Option<i64>> {
        self.answer(SqliteReader::offset(self, consumer, topic, partition))
    }

    fn place(
        &self,
        consumer: &str,
        topic: i64,
        partition: i32,
    ) -> StoreResult<Option<StoredPlace>> {
        self.ask(|sql| offsets::place(sql, consumer, topic, partition))
    }

    fn partitions(&self, topic: i64) -> StoreResult<i32> {
        self.answer(SqliteReader::partitions(self, topic))
    }

    fn extents(&self, topic: i64, consumer: &str) -> StoreResult<Vec<Extent>> {
        self.answer(SqliteReader::extents(self, topic, consumer))
    }

    fn records_within(
        &self,
        topic: &(i64, Arc<str>),
        partition: i32,
        from: i64,
        most: usize,
        bytes: usize,
    ) -> StoreResult<Vec<Record>> {
        self.answer(SqliteReader::records_within(
            self, topic, partition, from, most, bytes,
        ))
    }

    fn waiting_topics(&self) -> StoreResult<Vec<(Arc<str>, i64)>> {
        self.ask(registry::waiting_topics)
    }

    fn backlogs(&self, readers: OutboxReaders) -> StoreResult<BTreeMap<String, Backlog>> {
        self.ask(|sql| backlog::backlogs(sql, readers))
    }

    fn read_partitions(&self) -> StoreResult<Vec<ReadPartition>> {
        self.ask(offsets::read_partitions)
    }

    fn topic_id(&self, consumer: &str, topic: i64) -> StoreResult<Option<String>> {
        self.ask(|sql| topic_ids::topic_id(sql, consumer, topic))
    }

    fn unread(&self, consumer: &str, topic: i64, event_type: &str) -> StoreResult<u64> {
        self.ask(|sql| history::unread(sql, consumer, topic, event_type))
    }
}

impl<C: Borrow<Connection>> ReadParked for SqliteReader<C> {
    fn parked_totals(&self, participant: i64) -> StoreResult<(usize, usize)> {
        self.ask(|sql| parked::totals(sql, participant))
    }

    fn parked_keys(&self, participant: i64) -> StoreResult<Vec<ParkedKey>> {
        self.ask(|sql| parked::keys(sql, participant))
    }

    fn next_parked(
        &self,
        participant: i64,
        key: &str,
        after: i64,
    ) -> StoreResult<Option<ParkedRow>> {
        self.ask(|sql| parked::next(sql, participant, key, after))
    }

    fn oldest_retried(
        &self,
        participant: i64,
        taken: &[(&str, &str)],
    ) -> StoreResult<Option<(String, u64)>> {
        self.ask(|sql| parked::oldest_retried(sql, participant, taken))
    }

    fn parked_events(&self, participant: i64, event_type: &str) -> StoreResult<u64> {
        self.ask(|sql| parked::of_name(sql, participant, event_type))
    }

    fn parked_timers_up_to(&self, participant: i64, most: usize) -> StoreResult<u64> {
        self.ask(|sql| parked::timers_up_to(sql, participant, most))
    }

    fn parked_timers(&self, participant: i64, most: usize) -> StoreResult<Vec<ParkedTimerRow>> {
        self.ask(|sql| parked::timers(sql, participant, most))
    }
}

impl<C: Borrow<Connection>> ReadLetters for SqliteReader<C> {
    fn dead_letters(
        &self,
        participant: i64,
        filter: &LetterFilter,
        after: i64,
        most: usize,
    ) -> StoreResult<Vec<StoredLetter>> {
        self.ask(|sql| letter_queries::list(sql, participant, filter, (after, most)))
    }

    fn open_dead_letters_up_to(&self, participant: i64, most: usize) -> StoreResult<(u64, u64)> {
        self.ask(|sql| letter_queries::open_up_to(sql, participant, most))
    }

    fn is_letter_requested(&self, participant: i64, letter: i64) -> StoreResult<Option<bool>> {
        self.ask(|sql| letter_queries::is_requested(sql, participant, letter))
    }

    fn dead_letter_reasons(&self, participant: i64) -> StoreResult<Vec<(String, u64)>> {
        self.ask(|sql| letter_queries::reasons(sql, participant))
    }

    fn dead_letter(
        &self,
        participant: i64,
        letter: i64,
    ) -> StoreResult<Option<(StoredLetter, Vec<LetterAct>)>> {
        self.ask(|sql| letter_queries::one(sql, participant, letter))
    }

    fn parked_letter(
        &self,
        participant: i64,
        identity: &Identity,
    ) -> StoreResult<Option<LetterPlace>> {
        self.ask(|sql| letter_queries::parked_as(sql, participant, identity))
    }
}

impl<C: Borrow<Connection>> ReadHistory for SqliteReader<C> {
    fn participant(&self, name: &str) -> StoreResult<Option<i64>> {
        self.ask(|sql| history::participant(sql, name))
    }

    fn participants(&self) -> StoreResult<Vec<String>> {
        self.ask(history::participants)
    }

    fn topic(&self, name: &str) -> StoreResult<Option<i64>> {
        self.ask(|sql| registry::known_topic(sql, name))
    }

    fn generation(&self, participant: i64, digest: &str) -> StoreResult<Option<GenerationRow>> {
        self.ask(|sql| registry::known_generation(sql, participant, digest))
    }

    fn active(&self, participant: i64) -> StoreResult<Option<GenerationRow>> {
        self.ask(|sql| history::active(sql, participant))
    }

    fn activations(&self, participant: i64) -> StoreResult<Vec<(i64, String)>> {
        self.ask(|sql| history::activations(sql, participant))
    }

    fn generations(&self, participant: i64) -> StoreResult<Vec<PastGeneration>> {
        self.ask(|sql| history::generations(sql, participant))
    }

    fn refused(&self, participant: i64) -> StoreResult<Vec<(u64, String, String)>> {
        self.ask(|sql| history::refused(sql, participant))
    }

    fn last_asked(&self, participant: i64, origin: Origin, name: &str) -> StoreResult<Option<u64>> {
        self.ask(|sql| history::last_asked(sql, participant, origin, name))
    }

    fn timers_set(&self, participant: i64, name: &str) -> StoreResult<u64> {
        self.ask(|sql| history::timers_set(sql, participant, name))
    }

    fn holds_states(&self, participant: i64) -> StoreResult<bool> {
        self.ask(|sql| registry::holds_states(sql, participant))
    }

    fn state_versions_outside(
        &self,
        participant: i64,
        oldest: u32,
        newest: u32,
    ) -> StoreResult<Option<(u32, u32)>> {
        self.ask(|sql| registry::state_versions_outside(sql, participant, oldest, newest))
    }

    fn older_states(&self, participant: i64, version: u32) -> StoreResult<u64> {
        self.ask(|sql| history::older_states(sql, participant, version))
    }

    fn older_state_keys(
        &self,
        participant: i64,
        version: u32,
        after: &str,
        most: usize,
    ) -> StoreResult<Vec<String>> {
        self.ask(|sql| history::older_state_keys(sql, participant, version, after, most))
    }

    fn quarantined(&self, participant: i64, most: usize) -> StoreResult<(u64, Vec<Quarantined>)> {
        self.ask(|sql| history::quarantined(sql, participant, most))
    }

    fn releases(&self, participant: i64) -> StoreResult<Vec<ReleaseRequest>> {
        self.ask(|sql| quarantine::releases(sql, participant))
    }

    fn quarantined_up_to(&self, participant: i64, most: usize) -> StoreResult<u64> {
        self.ask(|sql| history::quarantined_up_to(sql, participant, most))
    }

    fn quarantined_keys(&self, participant: i64, most: usize) -> StoreResult<Vec<String>> {
        self.ask(|sql| history::quarantined_keys(sql, participant, most))
    }
}

impl<C: Borrow<Connection>> ReadListChanges for SqliteReader<C> {
    fn journal_end(&self) -> StoreResult<JournalPosition> {
        self.ask(list_changes::journal_end)
    }

    fn list_changes(&self, wanted: &ChangesWanted) -> StoreResult<Option<ListChanges>> {
        self.ask(|sql| list_changes::read(sql, wanted))
    }
}

impl<C: Borrow<Connection>> ReadDecisionPages for SqliteReader<C> {
    fn decisions(
        &self,
        wanted: &DecisionRange,
        span: JournalSpan,
        most: usize,
    ) -> StoreResult<DecisionPage> {
        self.ask(|sql| decisions::page(sql, wanted, span, most))
    }
}

impl<C: Borrow<Connection>> ReadDecisions for SqliteReader<C> {
    fn decisions_span(&self, wanted: &DecisionRange) -> StoreResult<Option<JournalSpan>> {
        self.ask(|sql| decisions::span(sql, wanted))
    }

    fn deciding_generations(
        &self,
        wanted: &DecisionRange,
        span: JournalSpan,
    ) -> StoreResult<BTreeSet<String>> {
        self.ask(|sql| decisions::generations_in(sql, wanted, span))
    }
}

impl<C: Borrow<Connection>> ReadWaiting for SqliteReader<C> {
    fn topic_readers(&self, topic: i64) -> StoreResult<Vec<TopicReader>> {
        self.ask(|sql| waiting::readers(sql, topic))
    }

    fn timers_after(
        &self,
        participant: i64,
        after: (&str, &str),
        most: usize,
    ) -> StoreResult<Vec<SetTimer>> {
        self.ask(|sql| waiting::timers(sql, participant, after, most))
    }

    fn parked_after(
        &self,
        participant: i64,
        after: i64,
        most: usize,
    ) -> StoreResult<Vec<ParkedRecord>> {
        self.ask(|sql| waiting::parked(sql, participant, after, most))
    }
}

impl<C: Borrow<Connection>> ReadHosts for SqliteReader<C> {
    fn hosts(&self) -> StoreResult<Vec<HostRow>> {
        Ok(Vec::new())
    }
}

impl<C: Borrow<Connection>> ReadSamples for SqliteReader<C> {
    fn sample_journal(&self, participant: i64, most: usize) -> StoreResult<Vec<Recorded>> {
        self.ask(|sql| sample::journal::recorded(sql, participant, most))
    }

    fn sample_states(&self, participant: i64, most: usize) -> StoreResult<Vec<Keyed>> {
        self.ask(|sql| sample::states::stored(sql, participant, most))
    }

    fn sample_quarantined(&self, participant: i64, most: usize) -> StoreResult<Vec<Keyed>> {
        self.ask(|sql| sample::states::quarantined(sql, participant, most))
    }

    fn sample_timers(&self, participant: i64, most: usize) -> StoreResult<Vec<PendingTimer>> {
        self.ask(|sql| sample::waiting::timers(sql, participant, most))
    }

    fn sample_parked(&self, participant: i64, most: usize) -> StoreResult<Vec<ParkedEvent>> {
        self.ask(|sql| sample::waiting::parked(sql, participant, most))
    }

    fn sample_unread(
        &self,
        participant: i64,
        topic: SampledTopic<'_>,
        most: usize,
    ) -> StoreResult<Vec<Record>> {
        self.ask(|sql| sample::waiting::unread(sql, participant, topic, most))
    }
}
