//! Where a partition is read, and what the offset of a record means for that.
//!
//! Pure: must not know librdkafka's clients, the store, or the sink.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;

use super::log_identity::LogIdentity;
use crate::transport::Session;

/// Where a partition is read.
pub(super) enum Reading {
    /// From the stored offset, but not before `at`; where there is none, from `fallback`.
    Begins { at: Instant, fallback: Option<i64> },
    /// Its first record is awaited; `stored` says which that should be.
    Awaits { stored: Option<i64> },
    /// Since the record `start`.
    Runs {
        session: Arc<Session>,
        start: i64,
        last: i64,
        /// When it was last asked why offsets are missing.
        looked: Option<Instant>,
    },
}

/// What a record means for the reading of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OffsetStep {
    /// It comes again when the partition is read.
    Ignore,
    /// It is the first of a reading, which may store `next`.
    Begin { next: i64 },
    /// It is the next one.
    Deliver,
    /// It is a later one than `expected`: what was between may be lost.
    Gap { expected: i64 },
    /// It is an earlier one than `expected`: what was read is void.
    Back { expected: i64 },
}

impl Reading {
    /// From the stored offset, or from `fallback`, at once.
    pub(super) fn begins_now(fallback: Option<i64>) -> Self {
        Self::begins_later(Duration::ZERO, fallback)
    }

    /// The same, after a wait.
    pub(super) fn begins_later(wait: Duration, fallback: Option<i64>) -> Self {
        let at = Instant::now() + wait;
        Self::Begins { at, fallback }
    }

    /// What a record with this offset means.
    pub(super) fn next(&self, offset: i64) -> OffsetStep {
        match self {
            Self::Begins { .. } => OffsetStep::Ignore,
            Self::Awaits { stored: None } => OffsetStep::Begin { next: offset },
            Self::Awaits { stored: Some(next) } => match *next {
                expected if offset < expected => OffsetStep::Back { expected },
                next => OffsetStep::Begin { next },
            },
            Self::Runs { last, .. } => match last + 1 {
                expected if offset < expected => OffsetStep::Back { expected },
                expected if offset > expected => OffsetStep::Gap { expected },
                _ => OffsetStep::Deliver,
            },
        }
    }

    /// The next offset that it should get, where that is known.
    pub(super) fn expected(&self) -> Option<i64> {
        match self {
            Self::Begins { .. } => None,
            Self::Awaits { stored } => *stored,
            Self::Runs { last, .. } => Some(last + 1),
        }
    }

    /// The reading that goes on, if one does.
    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Runs { session, .. } => Some(session),
            Self::Begins { .. } | Self::Awaits { .. } => None,
        }
    }
}

/// Where a partition begins to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartAt {
    /// At this offset.
    At(i64),
    /// Where it begins.
    Beginning,
    /// Where the group is on Kafka; where it never was, at its beginning.
    Group,
}

impl StartAt {
    /// By the store, else by the first record that was read; in a topic that is known, a partition of which nothing is stored was
    /// not there when the others were written down, or is that of another topic.
    pub(super) fn of(stored: Option<i64>, fallback: Option<i64>, is_topic_known: bool) -> Self {
        match stored.or(fallback) {
            Some(offset) => Self::At(offset),
            None if is_topic_known => Self::Beginning,
            None => Self::Group,
        }
    }

    /// From where it is fetched; none where the client does so by itself.
    pub(super) fn fetched_from(self, log: &LogIdentity) -> Option<Offset> {
        match self {
            Self::At(next) => Some(Offset::Offset(log.fetch_from(next))),
            Self::Beginning => Some(Offset::Beginning),
            Self::Group => None,
        }
    }

    /// What is awaited from there.
    pub(super) fn awaits(self) -> Reading {
        let stored = match self {
            Self::At(offset) => Some(offset),
            Self::Beginning | Self::Group => None,
        };
        Reading::Awaits { stored }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::notify::Notify;
    use crate::transport::WINDOW;

    fn runs(last: i64) -> Reading {
        let source = crate::kafka::tests::source("t", "group");
        Reading::Runs {
            session: Session::new(Arc::new(source), 0, 0, WINDOW, Notify::default()),
            start: 0,
            last,
            looked: None,
        }
    }

    #[test]
    fn an_offset_says_how_the_reading_goes_on() {
        let begins = Reading::Begins {
            at: Instant::now(),
            fallback: Some(5),
        };
        let awaits = |stored| Reading::Awaits { stored };
        let table = [
            (&begins, 5, OffsetStep::Ignore),
            (&awaits(None), 5, OffsetStep::Begin { next: 5 }),
            (&awaits(Some(5)), 5, OffsetStep::Begin { next: 5 }),
            (&awaits(Some(5)), 9, OffsetStep::Begin { next: 5 }),
            (&awaits(Some(5)), 0, OffsetStep::Back { expected: 5 }),
            (&runs(4), 5, OffsetStep::Deliver),
            (&runs(4), 9, OffsetStep::Gap { expected: 5 }),
            (&runs(4), 4, OffsetStep::Back { expected: 5 }),
            (&runs(4), 0, OffsetStep::Back { expected: 5 }),
        ];
        for (reading, offset, expected) in table {
            assert_eq!(reading.next(offset), expected);
        }
    }

    #[test]
    fn a_partition_begins_where_the_store_says_and_in_a_known_topic_never_where_the_group_is() {
        for (stored, fallback, is_known, expected) in [
            (Some(7), Some(3), true, StartAt::At(7)),
            (Some(7), None, false, StartAt::At(7)),
            (None, Some(3), true, StartAt::At(3)),
            (None, None, true, StartAt::Beginning),
            (None, None, false, StartAt::Group),
        ] {
            assert_eq!(StartAt::of(stored, fallback, is_known), expected);
        }
    }
}
