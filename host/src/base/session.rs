//! Sessions: readings of a partition, and the records that are in flight in them.
//!
//! Transports make sessions and deliver records in them; the store settles records in them. Neither
//! knows the other. The records in flight of a partition, and the bytes in flight of a source, are
//! bounded here (invariant 9).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

pub use saga_core::commit::Proof;
use saga_core::window::Window;

use crate::base::notify::Notify;

/// A source of records: one topic, read in one consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The name under which the store keeps its offsets.
    pub consumer: Arc<str>,
    /// Consumer group.
    pub group: Arc<str>,
    /// The topic's name on the broker.
    pub topic: Arc<str>,
    /// The topic's name in the participant's description.
    pub declared_topic: Arc<str>,
    /// Row of the topic in the store.
    pub topic_row: i64,
    /// Its open readings.
    pub readings: Readings,
}

/// Most bytes of a source in flight, 64 MiB. A record may have 1 MiB, and a partition a thousand
/// records in flight.
pub const IN_FLIGHT_BYTES: usize = 64 << 20;

/// The offsets at which a partition begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Partition.
    pub partition: i32,
    /// Offset of its first record.
    pub begin: i64,
    /// Offset of the next record that is written.
    pub end: i64,
    /// The reader's position if all delivered records are committed: offsets before it that were
    /// not delivered hold no records (transaction markers, aborted records, deleted rows).
    pub reached: Option<i64>,
    /// Offset of the open transaction at which the reader waits.
    pub transaction: Option<i64>,
}

impl Extent {
    /// An extent without a position of the reader.
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

    /// The offset below which everything is settled, if this offset is stored.
    #[must_use]
    pub fn settled(&self, stored: Option<i64>) -> i64 {
        let stored = stored.unwrap_or(self.begin);
        self.reached.map_or(stored, |reached| reached.max(stored))
    }
}

/// The open readings of a source. All values are equal, so that sources compare by their other
/// fields.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    sessions: Arc<Mutex<Vec<Weak<Session>>>>,
    in_flight: Arc<InFlight>,
}

/// The records in flight of a source, in all its readings.
#[derive(Debug, Default)]
struct InFlight {
    bytes: AtomicUsize,
    /// True if a notification is wanted when none is in flight.
    is_end_awaited: AtomicBool,
}

impl Readings {
    /// Cancels all readings: their records in flight are void, and are delivered again when the
    /// source is read from the stored offsets.
    pub fn cancel(&self) {
        let readings = std::mem::take(&mut *self.sessions.lock());
        (readings.iter().filter_map(Weak::upgrade)).for_each(|session| session.cancel());
    }

    /// Bytes that may still be delivered. If it is not 0, one record of any size may be delivered.
    #[must_use]
    pub fn room(&self) -> usize {
        IN_FLIGHT_BYTES.saturating_sub(self.bytes())
    }

    /// Bytes in flight: delivered, and neither committed nor void.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.in_flight.bytes.load(Ordering::Acquire)
    }

    /// Requests a notification for when no record is in flight. The caller must deliver no more.
    pub fn notify_at_the_end(&self) {
        self.in_flight.is_end_awaited.store(true, Ordering::Release);
    }

    fn add(&self, session: &Arc<Session>) {
        // A new reading delivers again, so nothing waits for the end.
        self.in_flight
            .is_end_awaited
            .store(false, Ordering::Release);
        let mut readings = self.sessions.lock();
        readings.retain(|known| known.strong_count() > 0);
        readings.push(Arc::downgrade(session));
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

/// A record's share of the bytes in flight. It is released on drop, whatever the record's fate.
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

/// The records in flight of one reading.
#[derive(Debug)]
struct InOrder {
    window: Window,
    /// Their proofs, if they are needed.
    proofs: VecDeque<(i64, Proof)>,
    /// The proof of the last record below the offset that may be stored.
    last: Option<Proof>,
}

/// Where a reading of a partition begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadingStart {
    /// The offset of the first record.
    pub next: i64,
    /// The proof of the last record before it.
    pub last: Option<Proof>,
    /// The epoch that its offsets carry.
    pub epoch: i64,
}

/// One reading of a partition: from its assignment until it is revoked or restarts at the stored
/// offset.
#[derive(Debug)]
pub struct Session {
    /// The source.
    pub source: Arc<Source>,
    /// Partition.
    pub partition: i32,
    /// The epoch that its offsets carry.
    pub epoch: i64,
    in_flight: Mutex<InOrder>,
    /// Number of records above the stored offset that an earlier reading may have settled: as many
    /// as can be in flight.
    to_come_again: AtomicUsize,
    cancelled: AtomicBool,
    changed: Notify,
}

impl Session {
    /// A reading that starts there, with at most `bound` records in flight. `changed` is notified
    /// when there is room again, and when it is cancelled.
    #[must_use]
    pub fn new(
        source: Arc<Source>,
        partition: i32,
        start: ReadingStart,
        bound: usize,
        changed: Notify,
    ) -> Arc<Self> {
        let ReadingStart { next, last, epoch } = start;
        let session = Arc::new(Self {
            source,
            partition,
            epoch,
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

    /// Number of records that may still be delivered.
    #[must_use]
    pub fn room(&self) -> usize {
        self.in_flight.lock().window.room()
    }

    /// Notes that a record of this size is about to be delivered, with its proof. Returns true if
    /// an earlier reading may have settled it, and its share, to be kept until it is committed or
    /// void.
    pub fn take(&self, offset: i64, bytes: usize, proof: Option<Proof>) -> (bool, Share) {
        let mut in_flight = self.in_flight.lock();
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

    /// Notes that a record is being committed. Returns the offset that may be stored with it, and
    /// the proof of the last record before that offset.
    #[must_use]
    pub fn settle(&self, offset: i64) -> (i64, Option<Proof>) {
        let mut in_flight = self.in_flight.lock();
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

    /// Cancels the reading: records in flight are void, and all records from the stored offset on
    /// are delivered again.
    pub fn cancel(&self) {
        if !self.cancelled.swap(true, Ordering::AcqRel) {
            self.changed.notify();
        }
    }

    /// True once it is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
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
        Session::new(
            Arc::new(source),
            0,
            ReadingStart::default(),
            10,
            notify.clone(),
        )
    }

    #[test]
    fn invariant_9_the_bytes_of_a_source_are_bounded_over_all_its_readings() {
        let notify = Notify::default();
        let first = session(&notify);
        let start = ReadingStart::default();
        let second = Session::new(first.source.clone(), 1, start, 10, notify.clone());
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
        let start = ReadingStart {
            next: 7,
            last: Some(proof(6)),
            epoch: 0,
        };
        let session = Session::new(source, 0, start, 10, Notify::default());
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
