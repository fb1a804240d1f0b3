//! Where records come from and where they go.
//!
//! # Layout
//!
//! - this file: the interface that the pipeline sees
//! - [`embedded`]: the committed outbox is the log; for one process, with nothing installed
//! - [`kafka`]: Apache Kafka through librdkafka
//!
//! Both keep where they read on in the store, in the transaction of the turn (invariant 1). Must not
//! know: components, HTTP, what a participant is about.

#[cfg(test)]
mod conformance;
pub mod embedded;
pub mod kafka;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use saga_core::record::Record;
use saga_core::window::Window;
use tokio_util::sync::CancellationToken;

/// What a participant reads: one topic in one consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The name under which the store keeps where it reads on.
    pub consumer: Arc<str>,
    /// Consumer group.
    pub group: Arc<str>,
    /// Topic, as it is called on the broker.
    pub topic: Arc<str>,
    /// The same topic, as the participant calls it.
    pub declared_topic: Arc<str>,
    /// Row of the topic in the store.
    pub topic_row: i64,
}

/// One reading of a partition: from when it was assigned until it is taken away or has to start again
/// from the stored offset.
#[derive(Debug)]
pub struct Session {
    /// What is read.
    pub source: Arc<Source>,
    /// Partition.
    pub partition: i32,
    window: Mutex<Window>,
    /// Records that may have been settled in an earlier reading, above the offset that was stored:
    /// as many as can be under way at once.
    to_come_again: AtomicUsize,
    cancelled: AtomicBool,
    changed: crate::signal::Signal,
}

impl Session {
    /// A reading that starts at `next` and has at most `bound` records under way. `changed` is rung when
    /// there is room again or when it is cancelled.
    #[must_use]
    pub fn new(
        source: Arc<Source>,
        partition: i32,
        next: i64,
        bound: usize,
        changed: crate::signal::Signal,
    ) -> Self {
        Self {
            source,
            partition,
            window: Mutex::new(Window::new(next, bound)),
            to_come_again: AtomicUsize::new(bound),
            cancelled: AtomicBool::new(false),
            changed,
        }
    }

    /// How many more records may be delivered.
    #[must_use]
    pub fn room(&self) -> usize {
        self.window().room()
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.window().is_empty()
    }

    /// Notes that a record is about to be delivered; says whether an earlier reading may have settled it.
    pub fn take(&self, offset: i64) -> bool {
        self.window().take(offset);
        let left = |left: usize| left.checked_sub(1);
        self.to_come_again
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .is_ok()
    }

    /// Notes that a record is being committed; gives the offset that may be stored with it.
    #[must_use]
    pub fn settle(&self, offset: i64) -> i64 {
        let mut window = self.window();
        let had_room = window.has_room();
        let next = window.settle(offset);
        if !had_room && window.has_room() {
            self.changed.ring();
        }
        next
    }

    /// Ends the reading: what is under way is void, and everything from the stored offset on comes again.
    pub fn cancel(&self) {
        if !self.cancelled.swap(true, Ordering::AcqRel) {
            self.changed.ring();
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A record on its way to the rules.
pub struct Delivery {
    /// The reading that it belongs to.
    pub session: Arc<Session>,
    /// Whether an earlier reading may have settled it.
    pub may_repeat: bool,
    /// The record.
    pub record: Record,
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

    /// How many partitions of the outbox a topic gets.
    fn partitions(&self, topic: &str) -> i32;

    /// Begins to read a source, on a thread of its own, until `stop`.
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

    /// Why records don't flow at the moment, if they don't.
    fn trouble(&self) -> Option<String>;
}

/// Records of one partition that may be under way at once.
pub const WINDOW: usize = 1_024;
