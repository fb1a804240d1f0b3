//! The queries of [`ReadStore`], each run on a session.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saga_core::commit::{FiredTimer, LetterPlace};
use saga_core::identity::Identity;
use saga_core::message::Origin;
use saga_core::record::Record;
use saga_core::worker::Ahead;

use super::row::unsigned;
use super::{
    PostgresReader, aggregates, changes, history, hosts, journal, letters, listed, offsets, outbox,
    parked, sample, timers,
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
use crate::store::postgres::error::SqlResult;
use crate::store::postgres::session::Sql;
use crate::store::read::{
    ReadAggregates, ReadStore, SharedAggregate, StoreResult, StoredAggregate, StoredTimer,
};
use crate::store::sample::{Keyed, PendingTimer, ReadSamples, Recorded, SampledTopic};
use crate::store::streams::{Backlog, OutboxReaders, ReadPartition, ReadStreams, StoredPlace};
use crate::store::waiting::{ParkedRecord, ReadWaiting, SetTimer, TopicReader};

impl<C: Borrow<Sql>> ReadStore for PostgresReader<C> {
    fn is_sound(&self) -> bool {
        self.session().is_sound()
    }

    fn report(&self, what: &'static str, fault: &StoreFault) {
        self.condition.report(what, fault);
    }

    /// The server's clock counts, not the one of this host.
    fn trusted_now(&self, _wall: u64) -> StoreResult<u64> {
        self.ask(|sql| {
            let text = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
            unsigned(&sql.one(text, &[])?, 0)
        })
    }
}

impl<C: Borrow<Sql>> PostgresReader<C> {
    fn ask<T>(&self, question: impl FnOnce(&Sql) -> SqlResult<T>) -> StoreResult<T> {
        question(self.session()).map_err(Into::into)
    }
}

impl<C: Borrow<Sql>> ReadAggregates for PostgresReader<C> {
    fn shared_aggregate(&self, participant: i64, key: &str) -> StoreResult<SharedAggregate> {
        self.ask(|sql| aggregates::shared(sql, participant, key))
    }

    fn aggregate(&self, participant: i64, key: &str) -> StoreResult<StoredAggregate> {
        self.ask(|sql| aggregates::aggregate(sql, participant, key))
    }

    fn was_applied(&self, participant: i64, identity: &Identity) -> StoreResult<bool> {
        self.ask(|sql| aggregates::was_applied(sql, participant, identity))
    }

    fn load_ahead(&self, participant: i64, ahead: &mut Ahead) -> StoreResult<()> {
        self.ask(|sql| aggregates::load_ahead(sql, participant, ahead))
    }

    fn is_quarantined(&self, participant: i64, key: &str) -> StoreResult<bool> {
        self.ask(|sql| aggregates::is_quarantined(sql, participant, key))
    }

    fn first_reply(&self, participant: i64, key: &str) -> StoreResult<Option<FirstReply>> {
        self.ask(|sql| aggregates::first_reply(sql, participant, key))
    }

    fn first_replies(
        &self,
        participant: i64,
        keys: &[&str],
    ) -> StoreResult<Vec<Option<FirstReply>>> {
        self.ask(|sql| aggregates::first_replies(sql, participant, keys))
    }

    fn timer_is_set(&self, participant: i64, timer: &FiredTimer) -> StoreResult<bool> {
        self.ask(|sql| timers::is_set(sql, participant, timer))
    }

    fn timer(&self, participant: i64, timer: &FiredTimer) -> StoreResult<Option<StoredTimer>> {
        self.ask(|sql| timers::timer(sql, participant, timer))
    }

    fn due_timers(
        &self,
        participant: i64,
        now: u64,
        most: usize,
    ) -> StoreResult<(Vec<StoredTimer>, Option<u64>)> {
        self.ask(|sql| timers::due(sql, participant, now, most))
    }

    fn first_timer(&self, participant: i64) -> StoreResult<Option<(u64, String, String)>> {
        self.ask(|sql| timers::first(sql, participant))
    }

    fn page(&self, wanted: &Wanted) -> StoreResult<Page> {
        listed::page(self.session(), wanted)
    }

    fn compare_indexes(&self, participant: i64, wanted: &[Index]) -> StoreResult<(bool, bool)> {
        self.ask(|sql| listed::compare(sql, participant, wanted))
    }
}

impl<C: Borrow<Sql>> ReadStreams for PostgresReader<C> {
    fn offset(&self, consumer: &str, topic: i64, partition: i32) -> StoreResult<Option<i64>> {
        self.ask(|sql| offsets::offset(sql, consumer, topic, partition))
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
        self.ask(|sql| outbox::partitions(sql, topic))
    }

    fn extents(&self, topic: i64, consumer: &str) -> StoreResult<Vec<Extent>> {
        self.ask(|sql| outbox::extents(sql, topic, consumer))
    }

    fn records_within(
        &self,
        topic: &(i64, Arc<str>),
        partition: i32,
        from: i64,
        most: usize,
        bytes: usize,
    ) -> StoreResult<Vec<Record>> {
        let place = (topic, partition, from);
        self.ask(|sql| outbox::records_within(sql, &self.authors, place, (most, bytes)))
    }

    fn waiting_topics(&self) -> StoreResult<Vec<(Arc<str>, i64)>> {
        self.ask(outbox::waiting_topics)
    }

    fn backlogs(&self, readers: OutboxReaders) -> StoreResult<BTreeMap<String, Backlog>> {
        self.ask(|sql| offsets::backlogs(sql, readers))
    }

    fn read_partitions(&self) -> StoreResult<Vec<ReadPartition>> {
        self.ask(offsets::read_partitions)
    }

    fn topic_id(&self, consumer: &str, topic: i64) -> StoreResult<Option<String>> {
        self.ask(|sql| offsets::topic_id(sql, consumer, topic))
    }

    fn unread(&self, consumer: &str, topic: i64, event_type: &str) -> StoreResult<u64> {
        self.ask(|sql| outbox::unread(sql, consumer, topic, event_type))
    }
}

impl<C: Borrow<Sql>> ReadParked for PostgresReader<C> {
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
        self.ask(|sql| timers::parked_up_to(sql, participant, most))
    }

    fn parked_timers(&self, participant: i64, most: usize) -> StoreResult<Vec<ParkedTimerRow>> {
        self.ask(|sql| timers::parked(sql, participant, most))
    }
}

impl<C: Borrow<Sql>> ReadLetters for PostgresReader<C> {
    fn dead_letters(
        &self,
        participant: i64,
        filter: &LetterFilter,
        after: i64,
        most: usize,
    ) -> StoreResult<Vec<StoredLetter>> {
        self.ask(|sql| letters::list(sql, participant, filter, (after, most)))
    }

    fn open_dead_letters_up_to(&self, participant: i64, most: usize) -> StoreResult<(u64, u64)> {
        self.ask(|sql| letters::open_up_to(sql, participant, most))
    }

    fn is_letter_requested(&self, participant: i64, letter: i64) -> StoreResult<Option<bool>> {
        self.ask(|sql| letters::is_requested(sql, participant, letter))
    }

    fn dead_letter_reasons(&self, participant: i64) -> StoreResult<Vec<(String, u64)>> {
        self.ask(|sql| letters::reasons(sql, participant))
    }

    fn dead_letter(
        &self,
        participant: i64,
        letter: i64,
    ) -> StoreResult<Option<(StoredLetter, Vec<LetterAct>)>> {
        self.ask(|sql| letters::one(sql, participant, letter))
    }

    fn parked_letter(
        &self,
        participant: i64,
        identity: &Identity,
    ) -> StoreResult<Option<LetterPlace>> {
        self.ask(|sql| letters::parked_as(sql, participant, identity))
    }
}

impl<C: Borrow<Sql>> ReadHistory for PostgresReader<C> {
    fn participant(&self, name: &str) -> StoreResult<Option<i64>> {
        self.ask(|sql| history::participant(sql, name))
    }

    fn participants(&self) -> StoreResult<Vec<String>> {
        self.ask(history::participants)
    }

    fn topic(&self, name: &str) -> StoreResult<Option<i64>> {
        self.ask(|sql| history::topic(sql, name))
    }

    fn generation(&self, participant: i64, digest: &str) -> StoreResult<Option<GenerationRow>> {
        self.ask(|sql| history::generation(sql, participant, digest))
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
        self.ask(|sql| timers::set(sql, participant, name))
    }

    fn holds_states(&self, participant: i64) -> StoreResult<bool> {
        self.ask(|sql| history::holds_states(sql, participant))
    }

    fn state_versions_outside(
        &self,
        participant: i64,
        oldest: u32,
        newest: u32,
    ) -> StoreResult<Option<(u32, u32)>> {
        self.ask(|sql| history::state_versions_outside(sql, participant, oldest, newest))
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
        self.ask(|sql| history::releases(sql, participant))
    }

    fn quarantined_up_to(&self, participant: i64, most: usize) -> StoreResult<u64> {
        self.ask(|sql| history::quarantined_up_to(sql, participant, most))
    }

    fn quarantined_keys(&self, participant: i64, most: usize) -> StoreResult<Vec<String>> {
        self.ask(|sql| history::quarantined_keys(sql, participant, most))
    }
}

impl<C: Borrow<Sql>> ReadListChanges for PostgresReader<C> {
    fn journal_end(&self) -> StoreResult<JournalPosition> {
        self.ask(changes::journal_end)
    }

    fn list_changes(&self, wanted: &ChangesWanted) -> StoreResult<Option<ListChanges>> {
        self.ask(|sql| changes::read(sql, wanted))
    }
}

impl<C: Borrow<Sql>> ReadDecisionPages for PostgresReader<C> {
    fn decisions(
        &self,
        wanted: &DecisionRange,
        span: JournalSpan,
        most: usize,
    ) -> StoreResult<DecisionPage> {
        self.ask(|sql| journal::page(sql, wanted, span, most))
    }
}

impl<C: Borrow<Sql>> ReadDecisions for PostgresReader<C> {
    fn decisions_span(&self, wanted: &DecisionRange) -> StoreResult<Option<JournalSpan>> {
        self.ask(|sql| journal::span(sql, wanted))
    }

    fn deciding_generations(
        &self,
        wanted: &DecisionRange,
        span: JournalSpan,
    ) -> StoreResult<BTreeSet<String>> {
        self.ask(|sql| journal::generations_in(sql, wanted, span))
    }
}

impl<C: Borrow<Sql>> ReadWaiting for PostgresReader<C> {
    fn topic_readers(&self, topic: i64) -> StoreResult<Vec<TopicReader>> {
        self.ask(|sql| offsets::readers(sql, topic))
    }

    fn timers_after(
        &self,
        participant: i64,
        after: (&str, &str),
        most: usize,
    ) -> StoreResult<Vec<SetTimer>> {
        self.ask(|sql| timers::after(sql, participant, after, most))
    }

    fn parked_after(
        &self,
        participant: i64,
        after: i64,
        most: usize,
    ) -> StoreResult<Vec<ParkedRecord>> {
        self.ask(|sql| parked::after(sql, participant, after, most))
    }
}

impl<C: Borrow<Sql>> ReadHosts for PostgresReader<C> {
    fn hosts(&self) -> StoreResult<Vec<HostRow>> {
        self.ask(hosts::all)
    }
}

impl<C: Borrow<Sql>> ReadSamples for PostgresReader<C> {
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
        self.ask(|sql| sample::waiting::pending(sql, participant, most))
    }

    fn sample_parked(&self, participant: i64, most: usize) -> StoreResult<Vec<ParkedEvent>> {
        self.ask(|sql| sample::waiting::parked_events(sql, participant, most))
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
