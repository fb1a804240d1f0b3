//! What is read, and one reading of it.
//!
//! Transports make sessions and deliver records in them; the store settles records in them. Neither
//! knows the other's side. How many records of a partition, and how many bytes of a source, are in flight is bounded
//! here (invariant 9).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use saga_core::commit::Proof;
use saga_core::window::Window;

use crate::base::notify::Notify;

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

/// Bytes of records of one source that may be in flight at once, before no further one is delivered: 64 MiB. Records may have 1 MiB
/// each, and a partition a thousand of them.
pub const IN_FLIGHT_BYTES: usize = 64 << 20;

/// Where a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Partition.
    pub partition: i32,
    /// Offset of the first record that is there.
    pub begin: i64,
    /// Offset that the next record will get.
    pub end: i64,
    /// Offset up to which the reader has come, where all that it was given before is committed: what is below it and was not
    /// given is no record of anybody's (markers of transactions, records that were taken back, rows that were deleted).
    pub reached: Option<i64>,
    /// Offset of the open transaction up to which the reader has come, and beyond which nothing is given out.
    pub transaction: Option<i64>,
}

impl Extent {
    /// An extent of which no more is known.
    #[must_use]
    pub fn new(partition: i32, begin: i64, end: i64) -> Self {
        Self {
            partition,
            begin,
            end,
            reached: None,
            transaction: None,
        }
    }

    /// The offset below which nothing is left to be settled, where this is stored.
    #[must_use]
    pub fn settled(&self, stored: Option<i64>) -> i64 {
        let stored = stored.unwrap_or(self.begin);
        self.reached.map_or(stored, |reached| reached.max(stored))
    }
}

/// The readings of a source that go on. They don't tell one source from another.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    sessions: Arc<Mutex<Vec<Weak<Session>>>>,
    in_flight: Arc<InFlight>,
}

/// What is in flight of a source, in all its readings.
#[derive(Debug, Default)]
struct InFlight {
    bytes: AtomicUsize,
    /// Whether somebody waits until nothing is.
    is_end_awaited: AtomicBool,
}

impl Readings {
    /// Ends all of them: what is in flight is void, and comes again when the source is read on from the stored
    /// offsets.
    pub fn cancel(&self) {
        let readings = std::mem::take(&mut *self.lock());
        (readings.iter().filter_map(Weak::upgrade)).for_each(|session| session.cancel());
    }

    /// How many more bytes may be delivered. A record may have more than that, as long as it is not 0.
    #[must_use]
    pub fn room(&self) -> usize {
        IN_FLIGHT_BYTES.saturating_sub(self.bytes())
    }

    /// Bytes in flight: delivered, and neither committed nor void.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.in_flight.bytes.load(Ordering::Acquire)
    }

    /// From now on, there is a notification when the last record in flight is committed or void. Whoever asks for it delivers no
    /// more.
    pub fn notify_at_the_end(&self) {
        self.in_flight.is_end_awaited.store(true, Ordering::Release);
    }

    fn add(&self, session: &Arc<Session>) {
        // It delivers again.
        self.in_flight
            .is_end_awaited
            .store(false, Ordering::Release);
        let mut readings = self.lock();
        readings.retain(|known| known.strong_count() > 0);
        readings.push(Arc::downgrade(session));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A record's share of the bytes that may be in flight. It is given back when it is dropped, whatever became of the record.
#[derive(Debug, Default)]
pub struct Share {
    of: Arc<InFlight>,
    bytes: usize,
    changed: Notify,
}

impl Drop for Share {
    fn drop(&mut self) {
        let before = self.of.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        let left = before.saturating_sub(self.bytes);
        let has_room_again = before >= IN_FLIGHT_BYTES && left < IN_FLIGHT_BYTES;
        let is_end = left == 0 && self.of.is_end_awaited.load(Ordering::Acquire);
        if has_room_again || is_end {
            self.changed.notify();
        }
    }
}

/// The records of one reading that are in flight.
#[derive(Debug)]
struct InOrder {
    window: Window,
    /// What they were, where that is of interest.
    proofs: VecDeque<(i64, Proof)>,
    /// What the last record below the offset that may be stored was.
    last: Option<Proof>,
}

/// One reading of a partition: from when it was assigned until it is taken away or has to start again
/// from the stored offset.
#[derive(Debug)]
pub struct Session {
    /// What is read.
    pub source: Arc<Source>,
    /// Partition.
    pub partition: i32,
    in_flight: Mutex<InOrder>,
    /// Records that may have been settled in an earlier reading, above the offset that was stored:
    /// as many as can be in flight at once.
    to_come_again: AtomicUsize,
    cancelled: AtomicBool,
    changed: Notify,
}

impl Session {
    /// A reading that starts at `next` and has at most `bound` records in flight. `changed` is notified when
    /// there is room again or when it is cancelled.
    #[must_use]
    pub fn new(
        source: Arc<Source>,
        partition: i32,
        next: i64,
        bound: usize,
        changed: Notify,
    ) -> Arc<Self> {
        Self::after(source, partition, (next, None), bound, changed)
    }

    /// The same, where it is known what the last record before `next` was.
    #[must_use]
    pub fn after(
        source: Arc<Source>,
        partition: i32,
        (next, last): (i64, Option<Proof>),
        bound: usize,
        changed: Notify,
    ) -> Arc<Self> {
        let session = Arc::new(Self {
            source,
            partition,
            in_flight: Mutex::new(InOrder {
                window: Window::new(next, bound),
                proofs: VecDeque::new(),
                last,
            }),
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
        self.in_flight().window.room()
    }

    /// Notes that a record of so many bytes is about to be delivered, and what it is; says whether an earlier reading may have settled
    /// it. What is given is to be kept until it is committed or void.
    pub fn take(&self, offset: i64, bytes: usize, proof: Option<Proof>) -> (bool, Share) {
        let mut in_flight = self.in_flight();
        in_flight.window.take(offset);
        (in_flight.proofs).extend(proof.map(|proof| (offset, proof)));
        drop(in_flight);
        let left = |left: usize| left.checked_sub(1);
        let may_repeat = self
            .to_come_again
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .is_ok();
        let of = self.source.readings.in_flight.clone();
        of.bytes.fetch_add(bytes, Ordering::AcqRel);
        let changed = self.changed.clone();
        (may_repeat, Share { of, bytes, changed })
    }

    /// Notes that a record is being committed; gives the offset that may be stored with it, and what the last record before that was.
    #[must_use]
    pub fn settle(&self, offset: i64) -> (i64, Option<Proof>) {
        let mut in_flight = self.in_flight();
        let had_room = in_flight.window.has_room();
        let next = in_flight.window.settle(offset);
        while in_flight.proofs.front().is_some_and(|(at, _)| *at < next) {
            in_flight.last = in_flight.proofs.pop_front().map(|(_, proof)| proof);
        }
        if !had_room && in_flight.window.has_room() {
            self.changed.notify();
        }
        (next, in_flight.last)
    }

    /// Ends the reading: what is in flight is void, and everything from the stored offset on comes again.
    pub fn cancel(&self) {
        if !self.cancelled.swap(true, Ordering::AcqRel) {
            self.changed.notify();
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    fn in_flight(&self) -> std::sync::MutexGuard<'_, InOrder> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(notify: &Notify) -> Arc<Session> {
        let source = Source {
            consumer: "kafka:order/group".into(),
            group: "group".into(),
            topic: "t".into(),
            declared_topic: "t".into(),
            topic_row: 1,
            readings: Readings::default(),
        };
        Session::new(Arc::new(source), 0, 0, 10, notify.clone())
    }

    #[test]
    fn invariant_9_the_bytes_of_a_source_are_bounded_over_all_its_readings() {
        let notify = Notify::default();
        let first = session(&notify);
        let second = Session::new(first.source.clone(), 1, 0, 10, notify.clone());
        let readings = &first.source.readings;
        let (_, half) = first.take(0, IN_FLIGHT_BYTES / 2, None);
        assert_eq!(readings.room(), IN_FLIGHT_BYTES / 2);
        let (_, more) = second.take(0, IN_FLIGHT_BYTES, None);
        assert_eq!(readings.room(), 0);
        let seen = notify.count();
        drop(half);
        assert_eq!((readings.room(), notify.count()), (0, seen), "still full");
        drop(more);
        assert_eq!(readings.room(), IN_FLIGHT_BYTES);
        assert_eq!(notify.count(), seen + 1, "there is room again");
    }

    #[test]
    fn the_end_of_what_is_in_flight_notifies_only_where_it_is_awaited() {
        let notify = Notify::default();
        let session = session(&notify);
        let take = |offset| session.take(offset, 1, None).1;
        let seen = notify.count();
        drop(take(0));
        assert_eq!(notify.count(), seen);
        let (first, last) = (take(1), take(2));
        session.source.readings.notify_at_the_end();
        drop(last);
        assert_eq!(notify.count(), seen, "one is in flight");
        drop(first);
        assert_eq!(notify.count(), seen + 1);
    }

    #[test]
    fn an_offset_is_stored_with_what_the_last_record_before_it_was() {
        let source = session(&Notify::default()).source.clone();
        let proof = |print| Proof { time: 5, print };
        let session = Session::after(source, 0, (7, Some(proof(6))), 10, Notify::default());
        for offset in [7, 8, 11] {
            let _ = session.take(offset, 1, Some(proof(offset as u64)));
        }
        let settled = |offset| session.settle(offset);
        assert_eq!(
            settled(8),
            (7, Some(proof(6))),
            "an earlier one is in flight"
        );
        assert_eq!(settled(7), (9, Some(proof(8))));
        assert_eq!(settled(11), (12, Some(proof(11))));
    }
}
