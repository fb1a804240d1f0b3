//! The interface of transports, which deliver and publish records.
//!
//! # Layout
//!
//! - this file: the interface that the pipeline sees
//!
//! Sources and published topics come and go while the rest runs on: each source has its own thread,
//! and on Kafka its own member of its group, so that sources don't affect each other. All
//! transports keep their offsets in the store, in the transaction of the turn (invariant 1). Must
//! not know: components, HTTP, the meaning of participants.

#[cfg(test)]
pub(crate) mod conformance;

use std::sync::Arc;
use std::thread::JoinHandle;

use saga_core::record::Record;
use tokio_util::sync::CancellationToken;

pub use crate::base::session::{
    Extent, IN_FLIGHT_BYTES, Proof, ReadingStart, Readings, Session, Share, Source,
};
use crate::store::{ReadStore, StoreResult};

/// A record on its way to the rules.
pub struct Delivery {
    /// Its session.
    pub session: Arc<Session>,
    /// True if it may have been settled in an earlier session.
    pub may_repeat: bool,
    /// Its share of the bound on records in flight; held until the record is committed or void.
    pub share: Share,
    /// The record.
    pub record: Record,
}

impl Delivery {
    /// Takes a record that is read in a session. `proof` identifies the record later, if that is
    /// needed.
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
    let texts = record.attributes.named().into_iter();
    let texts = texts.filter_map(|(_, text)| text.as_ref().map(String::len));
    let bytes = [&record.key, &record.value];
    let bytes = bytes.into_iter().flatten().map(Vec::len);
    RECORD_BYTES + texts.chain(bytes).sum::<usize>()
}

/// Takes deliveries. May block, which is the back-pressure.
pub trait Sink: Send + Sync {
    /// Takes a record. Records of one partition come in the order of their offsets.
    fn deliver(&self, delivery: Delivery);
}

/// A transport: delivers records of sources, and publishes records of the outbox.
pub trait Transport: Send + Sync {
    /// Prefix of the names under which the store keeps offsets: on another transport, the same
    /// group has other offsets.
    fn offset_namespace(&self) -> &'static str;

    /// The reason why a topic can't have this name, in words that follow the name; None if it can.
    fn name_problem(&self, _topic: &str) -> Option<String> {
        None
    }

    /// Number of partitions of a topic in the outbox.
    fn partitions(&self, topic: &str) -> i32;

    /// Ensures, before anything is read, that no consumer with another store reads these sources in
    /// their groups, which would split the state of a participant. Waits for as long as a consumer
    /// that has just ended may still count as a member. If brokers can't be reached, the check
    /// passes and is repeated before the first record.
    ///
    /// # Errors
    /// The other consumer, and the remedy.
    fn claim(&self, sources: &[Arc<Source>]) -> Result<(), String>;

    /// Begins to read a source, on a thread of its own, until `stop` or a parent of it is
    /// cancelled; no further notification is needed. The thread then delivers nothing beyond its
    /// current record and releases its partitions: on Kafka once the records in flight are settled,
    /// as long as they make progress, so that the next member of the group learns of them.
    /// Delivered records may still be settled afterwards. The same source may be read again later,
    /// from the offset in the store; records that were not settled by then are delivered again.
    ///
    /// Other sources are read without interruption. On Kafka, though, sources of one *group* are
    /// members of one group, whatever their topics: each that comes or goes causes a rebalance for
    /// the others.
    ///
    /// # Errors
    /// If the thread or the client can't be made. A broker that can't be reached is no error: it is
    /// reported and retried.
    fn consume(
        &self,
        source: Arc<Source>,
        sink: Arc<dyn Sink>,
        stop: CancellationToken,
    ) -> anyhow::Result<JoinHandle<()>>;

    /// Begins to publish the outbox records of these topics (name and row), until `stop`; ends when
    /// everything that was committed before `stop` is published, or the time for it is over.
    ///
    /// # Errors
    /// As [`Transport::consume`].
    fn publish(
        &self,
        topics: Vec<(Arc<str>, i64)>,
        stop: CancellationToken,
    ) -> anyhow::Result<Option<JoinHandle<()>>>;

    /// Publishes these topics (name and row) too: first the records already in the outbox, then new
    /// ones. Topics that are already published are not affected. May be called at any time: a call
    /// before [`Transport::publish`], or after its thread has ended, takes effect with the next
    /// call of that.
    fn publish_too(&self, topics: Vec<(Arc<str>, i64)>);

    /// Extents of the partitions of a source that are read here, as far as they are known without
    /// asking a broker. May be some seconds old.
    ///
    /// # Errors
    /// The store's error.
    fn extents(&self, reading: &dyn ReadStore, source: &Source) -> StoreResult<Vec<Extent>>;

    /// The reason why records of a partition with this extent are not delivered, and the remedy, if
    /// known.
    fn obstacle(&self, _source: &Source, _extent: &Extent) -> Option<String> {
        None
    }

    /// Records that existed and were never delivered to this host, as far as known, since the
    /// start.
    fn missed(&self) -> Vec<Missed> {
        Vec::new()
    }

    /// The reason why records don't flow at the moment; None if they do.
    fn trouble(&self) -> Option<String>;

    /// Text on the partitions that are not read until an operator acts; None if there are none.
    fn halted(&self) -> Option<String> {
        None
    }
}

/// Reasons why records were never delivered to a host, in stable words.
pub const WHY_MISSED: [&str; 3] = ["deleted", "compacted", "before-first"];

/// Records of a topic that were never delivered to this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Topic.
    pub topic: Arc<str>,
    /// Consumer group.
    pub group: Arc<str>,
    /// The reason, in a stable word.
    pub why: &'static str,
    /// Their number.
    pub records: u64,
}

/// Records of one partition that may be in flight at once.
pub const WINDOW: usize = 1_024;

/// Bytes that a record counts for in addition to its content.
const RECORD_BYTES: usize = 256;
