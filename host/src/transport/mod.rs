//! Where records come from and where they go.
//!
//! # Layout
//!
//! - this file: the interface that the pipeline sees
//!
//! Sources and published topics come and go while the rest runs on: each source has a thread, and on Kafka a
//! member of its group, of its own, so that none notices what becomes of another. Both keep where they read on in the store, in the transaction of the turn (invariant 1). Must not
//! know: components, HTTP, what a participant is about.

#[cfg(test)]
pub(crate) mod conformance;

use std::sync::Arc;
use std::thread::JoinHandle;

use saga_core::record::Record;
use tokio_util::sync::CancellationToken;

pub use crate::base::session::{Extent, IN_FLIGHT_BYTES, Proof, Readings, Session, Share, Source};
use crate::store::{Answer, ReadStore};

/// A record on its way to the rules.
pub struct Delivery {
    /// The reading that it belongs to.
    pub session: Arc<Session>,
    /// Whether an earlier reading may have settled it.
    pub may_repeat: bool,
    /// Its share of what may be in flight: to be kept until it is committed or void.
    pub share: Share,
    /// The record.
    pub record: Record,
}

impl Delivery {
    /// Takes a record that is read in a session; `proof` is what it is known again by, where that is of interest.
    pub(crate) fn of(session: Arc<Session>, record: Record, proof: Option<Proof>) -> Self {
        let (may_repeat, share) = session.take(record.position.offset, weight(&record), proof);
        Self {
            session,
            may_repeat,
            share,
            record,
        }
    }
}

/// Bytes that a record counts for while it is in flight.
fn weight(record: &Record) -> usize {
    let attributes = &record.attributes;
    let texts = [
        &attributes.id,
        &attributes.source,
        &attributes.event_type,
        &attributes.correlation,
        &attributes.causation,
        &attributes.digest,
        &attributes.traceparent,
    ];
    let texts = texts.into_iter().flatten().map(String::len);
    let bytes = [&record.key, &record.value];
    let bytes = bytes.into_iter().flatten().map(Vec::len);
    RECORD_BYTES + texts.chain(bytes).sum::<usize>()
}

/// Who takes deliveries. May block: that is the back-pressure.
pub trait Sink: Send + Sync {
    /// Takes a record. Records of one partition come in the order of their offsets.
    fn deliver(&self, delivery: Delivery);
}

/// Where records come from and where they go.
pub trait Transport: Send + Sync {
    /// Prefix of the names under which the store keeps offsets: the same group reads elsewhere on
    /// another transport.
    fn offset_namespace(&self) -> &'static str;

    /// Why a topic can't have this name, in words that follow it; none where it can.
    fn name_problem(&self, _topic: &str) -> Option<String> {
        None
    }

    /// How many partitions of the outbox a topic gets.
    fn partitions(&self, topic: &str) -> i32;

    /// Makes sure, before anything is read, that nobody who has another store reads these sources in their groups: the state of a
    /// participant would be split. Waits for as long as one who has just ended may still count as a member. Brokers
    /// that can't be reached say nothing against it; it is looked at again before the first record.
    ///
    /// # Errors
    /// Who reads there, and what to do.
    fn claim(&self, sources: &[Arc<Source>]) -> Result<(), String>;

    /// Begins to read a source, on a thread of its own, until `stop` or a parent of it is cancelled; nobody
    /// has to notify anybody. The thread then delivers nothing beyond the record that it is at, and lets its partitions go: on
    /// Kafka when what is in flight is settled, as long as that goes on, so that who takes the group over is told of it. What was
    /// delivered may still be settled afterwards. The same source may be read again later, and goes on
    /// from the offset in the store; what was not settled by then comes again.
    ///
    /// Readings of other sources are not disturbed. On Kafka, though, sources of one *group* are members of one
    /// group, whatever their topics: one that comes or goes causes a rebalance for the others.
    ///
    /// # Errors
    /// When the thread or the client can't be made. A broker that can't be reached is no error: it
    /// is said and tried again.
    fn consume(
        &self,
        source: Arc<Source>,
        sink: Arc<dyn Sink>,
        stop: CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>>;

    /// Begins to publish what the outbox holds for these topics (name and row), until `stop`; ends when all that
    /// was committed before `stop` is published or the time for it is over.
    ///
    /// # Errors
    /// As [`Transport::consume`].
    fn publish(
        &self,
        topics: Vec<(Arc<str>, i64)>,
        stop: CancellationToken,
    ) -> anyhow::Result<Option<JoinHandle<()>>>;

    /// Publishes these topics (name and row) too: first what the outbox already holds for them, then what comes. Topics
    /// that are published already are left alone. May be called at any time: what comes before
    /// [`Transport::publish`], or after its thread has ended, counts from the next call of it.
    fn publish_too(&self, topics: Vec<(Arc<str>, i64)>);

    /// Where the partitions of a source that are read here begin and end, as far as that is known without asking a
    /// broker. May be some seconds old.
    ///
    /// # Errors
    /// What the store said.
    fn extents(&self, reading: &dyn ReadStore, source: &Source) -> Answer<Vec<Extent>>;

    /// Why the records of a partition that reaches so far don't come, and what to do, where that is known.
    fn obstacle(&self, _source: &Source, _extent: &Extent) -> Option<String> {
        None
    }

    /// Records that were there and were never given to this host, as far as that is known, since the start.
    fn missed(&self) -> Vec<Missed> {
        Vec::new()
    }

    /// Why records don't flow at the moment, if they don't.
    fn trouble(&self) -> Option<String>;

    /// What stands still until an operator acts, if anything does.
    fn halted(&self) -> Option<String> {
        None
    }
}

/// Why records were never given to a host, in stable words.
pub const WHY_MISSED: [&str; 3] = ["deleted", "compacted", "before-first"];

/// Records of a topic that were never given to this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Topic.
    pub topic: Arc<str>,
    /// Consumer group.
    pub group: Arc<str>,
    /// Why, in a stable word.
    pub why: &'static str,
    /// How many.
    pub records: u64,
}

/// Records of one partition that may be in flight at once.
pub const WINDOW: usize = 1_024;

/// Bytes that a record counts for besides what is in it.
const RECORD_BYTES: usize = 256;
