//! The reading of a partition, and the meaning of a record for it.
//!
//! The log of a topic may lose its end and grow again: its broker is restored from an older
//! snapshot, or a broker without all records becomes leader (unclean election). Offsets then name
//! other records, and nothing in the offsets shows it: records appended below the stored offset
//! would never be read. So the store has a proof of the last record next to the offset. A reading
//! begins by reading that record again. After brokers were unreachable, the last record is read
//! again too; records in flight stay valid meanwhile. Another record at its offset, or a log that
//! ends before it, means another log.
//!
//! No record at its offset proves nothing: retention or compaction may have removed it, or there is
//! a gap.
//!
//! Pure, except for the clock. Must not know: librdkafka, the store, the sink.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::kafka::health::condition::LogChange;
use crate::transport::{Proof, Session};

pub(super) enum Reading {
    /// Begins at the stored offset, not before the time `at`; without a stored offset, at
    /// `fallback`.
    Begins { at: Instant, fallback: Option<i64> },
    /// Awaits the record at `next`, or any, after the one before it (`last`) has come again.
    Awaits {
        next: Option<i64>,
        last: Option<Proof>,
    },
    /// Runs since the record `start`; `last` is the last one taken.
    Runs {
        session: Arc<Session>,
        start: i64,
        last: (i64, Proof),
        check: LogCheck,
    },
    /// Halted since then: this is not the log that was read.
    Halted { change: LogChange, since: Instant },
}

/// The check of a running reading's log: its last record is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogCheck {
    /// The log is not doubtful.
    Done,
    /// The last record must be sought.
    Due,
    /// The last record comes next.
    Sought,
}

/// The meaning of a record for the reading of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OffsetStep {
    /// Ignored: it was read before, or comes again.
    Ignore,
    /// The `expected` record, or a later one: records in between may be lost.
    Take { expected: i64 },
    /// Offsets have gone back: the log is doubtful.
    Doubt,
    /// The log is another one.
    Halt(LogChange),
}

impl Reading {
    /// Begins after a wait, at the stored offset or at `fallback`.
    pub(super) fn begins_after(wait: Duration, fallback: Option<i64>) -> Self {
        let at = Instant::now() + wait;
        Self::Begins { at, fallback }
    }

    /// Halts: this is not the log that was read. Records in flight may still settle.
    pub(super) fn halt(&mut self, change: LogChange) {
        let since = Instant::now();
        *self = Self::Halted { change, since };
    }

    /// Doubts the log: the last record is read again before any other one is taken.
    pub(super) fn doubt(&mut self) {
        match self {
            Self::Runs { check, .. } => *check = LogCheck::Due,
            _ => self.restart(Duration::ZERO),
        }
    }

    /// The offset to seek for a check of the log.
    pub(super) fn to_check(&self) -> Option<i64> {
        match self {
            Self::Runs {
                last: (offset, _),
                check: LogCheck::Due,
                ..
            } => Some(*offset),
            _ => None,
        }
    }

    /// Notes that this offset was sought.
    pub(super) fn sought(&mut self) {
        if let Self::Runs { check, .. } = self {
            *check = LogCheck::Sought;
        }
    }

    /// Begins again at the stored offset, unless it is halted. Records in flight are void.
    pub(super) fn restart(&mut self, wait: Duration) {
        if let Self::Runs { session, .. } = self {
            session.cancel();
        }
        if !matches!(self, Self::Halted { .. }) {
            *self = Self::begins_after(wait, self.first());
        }
    }

    /// The meaning of a record with this offset and proof.
    pub(super) fn step(&mut self, offset: i64, proof: Proof) -> OffsetStep {
        match self {
            Self::Begins { .. } | Self::Halted { .. } => OffsetStep::Ignore,
            Self::Awaits { next: None, .. } => OffsetStep::Take { expected: offset },
            Self::Awaits {
                next: Some(next), ..
            } if offset >= *next => OffsetStep::Take { expected: *next },
            Self::Awaits {
                next: Some(next),
                last: Some(last),
            } => compare((offset, proof), (*next - 1, *last)),
            Self::Awaits {
                next: Some(next),
                last: None,
            } => OffsetStep::Halt(LogChange::Short { expected: *next }),
            Self::Runs { last, check, .. } => match *check {
                LogCheck::Due => OffsetStep::Ignore,
                LogCheck::Done if offset <= last.0 => OffsetStep::Doubt,
                _ => {
                    *check = LogCheck::Done;
                    match offset > last.0 {
                        true => OffsetStep::Take {
                            expected: last.0 + 1,
                        },
                        false => compare((offset, proof), *last),
                    }
                }
            },
        }
    }

    /// True if the record before the expected offset is known to have been read.
    pub(super) fn has_read(&self) -> bool {
        matches!(self, Self::Runs { .. } | Self::Awaits { last: Some(_), .. })
    }

    /// The next expected offset, if known.
    pub(super) fn expected(&self) -> Option<i64> {
        match self {
            Self::Begins { .. } | Self::Halted { .. } => None,
            Self::Awaits { next, .. } => *next,
            Self::Runs { last, .. } => Some(last.0 + 1),
        }
    }

    /// The first offset of the reading, if known.
    pub(super) fn first(&self) -> Option<i64> {
        match self {
            Self::Begins { fallback, .. } => *fallback,
            Self::Awaits { next, .. } => *next,
            Self::Runs { start, .. } => Some(*start),
            Self::Halted { .. } => None,
        }
    }

    /// True if a record would be taken now.
    pub(super) fn has_room(&self) -> bool {
        match self {
            Self::Begins { .. } | Self::Halted { .. } => false,
            Self::Awaits { .. } => true,
            Self::Runs { session, check, .. } => {
                *check != LogCheck::Due && !session.is_cancelled() && session.room() > 0
            }
        }
    }
}

/// The meaning of a record that is not after the last one that was read.
fn compare((offset, found): (i64, Proof), (last, read): (i64, Proof)) -> OffsetStep {
    if offset < last {
        let expected = last + 1;
        return OffsetStep::Halt(LogChange::Short { expected });
    }
    if found == read {
        return OffsetStep::Ignore;
    }
    let (found, read) = (found.time, read.time);
    OffsetStep::Halt(LogChange::Replaced {
        offset,
        found,
        read,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::notify::Notify;
    use crate::transport::{ReadingStart, WINDOW};

    fn proof(print: u64) -> Proof {
        Proof { time: 5, print }
    }

    fn runs(last: i64) -> Reading {
        let source = crate::kafka::tests::source("t", "group");
        Reading::Runs {
            session: Session::new(
                Arc::new(source),
                0,
                ReadingStart::default(),
                WINDOW,
                Notify::default(),
            ),
            start: 0,
            last: (last, proof(9)),
            check: LogCheck::Done,
        }
    }

    fn awaits(next: Option<i64>, last: Option<Proof>) -> Reading {
        Reading::Awaits { next, last }
    }

    #[test]
    fn an_offset_says_how_the_reading_goes_on() {
        let begins = || Reading::begins_after(Duration::ZERO, Some(5));
        let take = |expected| OffsetStep::Take { expected };
        let short = OffsetStep::Halt(LogChange::Short { expected: 5 });
        for (mut reading, offset, expected) in [
            (begins(), 5, OffsetStep::Ignore),
            (awaits(None, None), 5, take(5)),
            (awaits(Some(5), None), 5, take(5)),
            (awaits(Some(5), None), 9, take(5)),
            (awaits(Some(5), None), 4, short),
            (awaits(Some(5), None), 0, short),
            (runs(4), 5, take(5)),
            (runs(4), 9, take(5)),
            (runs(4), 4, OffsetStep::Doubt),
            (runs(4), 0, OffsetStep::Doubt),
        ] {
            assert_eq!(reading.step(offset, proof(1)), expected);
        }
    }

    #[test]
    fn the_last_record_that_was_read_is_read_again_and_not_taken() {
        let mut reading = awaits(Some(100), Some(proof(9)));
        assert_eq!(reading.step(99, proof(9)), OffsetStep::Ignore);
        assert_eq!(
            reading.step(100, proof(1)),
            OffsetStep::Take { expected: 100 }
        );
        // What is not there any more says nothing.
        assert_eq!(
            reading.step(120, proof(1)),
            OffsetStep::Take { expected: 100 }
        );
    }

    #[test]
    fn another_record_in_its_place_and_a_log_that_ends_before_it_halt_the_reading() {
        let replaced = |found| LogChange::Replaced {
            offset: 99,
            found,
            read: 5,
        };
        let later = Proof { time: 6, print: 9 };
        for (offset, found, expected) in [
            (99, proof(8), replaced(5)),
            (99, later, replaced(6)),
            (0, proof(0), LogChange::Short { expected: 100 }),
        ] {
            let mut reading = awaits(Some(100), Some(proof(9)));
            let step = reading.step(offset, found);
            assert_eq!(step, OffsetStep::Halt(expected));
            reading.halt(expected);
            reading.restart(Duration::ZERO);
            assert_eq!(reading.step(100, proof(10)), OffsetStep::Ignore);
        }
    }

    #[test]
    fn what_is_in_flight_of_a_reading_is_void_when_it_begins_again() {
        let mut reading = runs(7);
        let Reading::Runs { session, .. } = &reading else {
            unreachable!()
        };
        let session = session.clone();
        reading.restart(Duration::ZERO);
        assert!(session.is_cancelled());
        assert_eq!((reading.first(), reading.expected()), (Some(0), None));
    }

    #[test]
    fn a_doubtful_log_is_checked_while_records_in_flight_stay_valid() {
        let mut reading = runs(7);
        reading.doubt();
        assert_eq!(reading.to_check(), Some(7));
        assert!(!reading.has_room(), "nothing is taken before the check");
        assert_eq!(reading.step(8, proof(1)), OffsetStep::Ignore);
        reading.sought();
        assert_eq!(reading.to_check(), None);
        assert_eq!(reading.step(7, proof(9)), OffsetStep::Ignore);
        let Reading::Runs { session, .. } = &reading else {
            unreachable!()
        };
        assert!(!session.is_cancelled());
        assert_eq!(reading.step(8, proof(1)), OffsetStep::Take { expected: 8 });
    }

    #[test]
    fn a_check_finds_another_record_and_a_log_that_ends_before_the_last_one() {
        let replaced = LogChange::Replaced {
            offset: 7,
            found: 5,
            read: 5,
        };
        for (offset, expected) in [
            (7, OffsetStep::Halt(replaced)),
            (3, OffsetStep::Halt(LogChange::Short { expected: 8 })),
            // A record that retention or compaction removed proves nothing.
            (9, OffsetStep::Take { expected: 8 }),
        ] {
            let mut reading = runs(7);
            reading.doubt();
            reading.sought();
            assert_eq!(reading.step(offset, proof(8)), expected);
        }
    }
}
