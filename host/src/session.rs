//! What is read, and one reading of it.
//!
//! Transports make sessions and deliver records in them; the store settles records in them. Neither
//! knows the other's side.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use saga_core::window::Window;

use crate::signal::Signal;

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
    /// The readings of it that go on.
    pub readings: Readings,
}

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Partition.
    pub partition: i32,
    /// Offset of the first record that is there.
    pub begin: i64,
    /// Offset that the next record will get.
    pub end: i64,
}

/// The readings of a source that go on. They don't tell one source from another.
#[derive(Debug, Clone, Default)]
pub struct Readings(Arc<Mutex<Vec<Weak<Session>>>>);

impl Readings {
    /// Ends all of them: what is under way is void, and comes again when the source is read on from the stored
    /// offsets.
    pub fn cancel(&self) {
        let readings = std::mem::take(&mut *self.lock());
        (readings.iter().filter_map(Weak::upgrade)).for_each(|session| session.cancel());
    }

    fn add(&self, session: &Arc<Session>) {
        let mut readings = self.lock();
        readings.retain(|known| known.strong_count() > 0);
        readings.push(Arc::downgrade(session));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Readings {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Readings {}

impl std::hash::Hash for Readings {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
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
    changed: Signal,
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
        changed: Signal,
    ) -> Arc<Self> {
        let session = Arc::new(Self {
            source,
            partition,
            window: Mutex::new(Window::new(next, bound)),
            to_come_again: AtomicUsize::new(bound),
            cancelled: AtomicBool::new(false),
            changed,
        });
        session.source.readings.add(&session);
        session
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
