//! Whether the log of a partition is still the one that was read.
//!
//! The log of a topic may lose its end and grow again: its broker is restored from an older snapshot, or leads without having had all
//! records (unclean election). Offsets then name other records, and nothing in them shows it: what was appended below the offset that is
//! stored would never be read. So the last record that was read is kept in mind, with the stored offset too, and read again
//! before anything else whenever a partition is taken up and after brokers could not be reached. Another record in its place, or a log
//! that ends before it, is another log.
//!
//! No record in its place says nothing: retention or compaction may have taken it, or it is a gap.
//!
//! Pure, but for the clock: must not know librdkafka, the store, or the sink.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::session::Proof;
use crate::kafka::health::condition::LogChange;
use crate::store::StoredPlace;

/// Time in which brokers have to find out that it is another topic altogether, before a log is held to be another one.
const SETTLED: Duration = Duration::from_secs(1);

/// A record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastRead {
    offset: i64,
    proof: Proof,
}

/// What is to be done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was not read yet.
    Read,
    /// It was read before, or comes again.
    Ignore,
    /// It shows that the log is another one.
    Contradicts,
}

/// Whether the last record that was read is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Reread {
    #[default]
    None,
    /// It has to be sought.
    Due,
    /// It comes first.
    Asked,
}

/// What is known of the log of a partition.
#[derive(Debug, Default)]
pub(super) struct LogIdentity {
    seen: Option<LastRead>,
    reread: Reread,
    change: Option<(LogChange, Instant)>,
    is_reported: bool,
    /// Whether it was found to end too early once: a new leader may not know yet how far its log is certain.
    was_short: bool,
    name: Option<Arc<str>>,
}

impl LogIdentity {
    /// Of a partition that is taken up where the store says.
    pub(super) fn of(stored: Option<&StoredPlace>) -> Self {
        let seen = stored.and_then(|place| {
            let offset = place.next - 1;
            place.last.map(|proof| LastRead { offset, proof })
        });
        Self {
            seen,
            reread: seen.map_or(Reread::None, |_| Reread::Asked),
            name: stored.and_then(|place| place.log.as_deref().map(Arc::from)),
            ..Self::default()
        }
    }

    /// From where a partition has to be fetched that is read on from `next`.
    pub(super) fn fetch_from(&self, next: i64) -> i64 {
        match (self.reread, self.seen) {
            (Reread::Asked, Some(seen)) => seen.offset,
            _ => next,
        }
    }

    /// What sets apart positions in it, given what sets apart those in its topic.
    pub(super) fn incarnation(&self, topic: Option<Arc<str>>) -> Option<Arc<str>> {
        match (&self.name, topic) {
            (None, topic) => topic,
            (Some(name), None) => Some(name.clone()),
            (Some(name), Some(topic)) => Some(format!("{topic}+{name}").into()),
        }
    }

    /// A record was read.
    pub(super) fn note(&mut self, offset: i64, proof: Proof) {
        self.seen = Some(LastRead { offset, proof });
        self.was_short = false;
    }

    /// Whether it is known what the last record was.
    pub(super) fn has_seen(&self) -> bool {
        self.seen.is_some()
    }

    /// What the last record was, if that is known.
    pub(super) fn proof(&self) -> Option<Proof> {
        self.seen.map(|seen| seen.proof)
    }

    /// It may be another one by now. Says whether that can be found out by what was read.
    pub(super) fn doubt(&mut self) -> bool {
        if self.reread == Reread::None && self.seen.is_some() {
            self.reread = Reread::Due;
        }
        self.seen.is_some()
    }

    /// The offset that has to be sought before anything is read, if one has.
    pub(super) fn to_seek(&self) -> Option<i64> {
        let seen = self.seen.filter(|_| self.reread == Reread::Due);
        seen.map(|seen| seen.offset)
    }

    /// That was sought.
    pub(super) fn sought(&mut self) {
        self.reread = Reread::Asked;
    }

    /// What is to be done with a record.
    pub(super) fn judge(&mut self, offset: i64, proof: Proof) -> Verdict {
        let seen = match (self.reread, self.seen) {
            _ if self.change.is_some() => return Verdict::Ignore,
            (Reread::Due, _) => return Verdict::Ignore,
            (Reread::None, _) | (Reread::Asked, None) => return Verdict::Read,
            (Reread::Asked, Some(seen)) => seen,
        };
        let change = if offset < seen.offset {
            LogChange::Short {
                expected: seen.offset + 1,
            }
        } else if offset == seen.offset && proof != seen.proof {
            LogChange::Replaced {
                offset,
                found: proof.time,
                read: seen.proof.time,
            }
        } else {
            self.reread = Reread::None;
            return if offset == seen.offset {
                Verdict::Ignore
            } else {
                Verdict::Read
            };
        };
        self.contradict(change);
        Verdict::Contradicts
    }

    /// It is another one, unless the topic is.
    pub(super) fn contradict(&mut self, change: LogChange) {
        (self.change).get_or_insert((change, Instant::now()));
    }

    /// It ends before `expected`. Says whether it did so before.
    pub(super) fn is_short(&mut self, expected: i64) -> bool {
        if std::mem::replace(&mut self.was_short, true) {
            self.contradict(LogChange::Short { expected });
            return true;
        }
        false
    }

    /// Whether nothing is read of it.
    pub(super) fn is_held(&self) -> bool {
        self.change.is_some()
    }

    /// Whether it may turn out that the topic is another one.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_held() && !self.is_reported
    }

    /// The topic is the same. Gives what is to be reported, once.
    pub(super) fn confirmed(&mut self) -> Option<LogChange> {
        let (change, since) = self.change?;
        if self.is_reported || since.elapsed() < SETTLED {
            return None;
        }
        self.is_reported = true;
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(print: u64) -> Proof {
        Proof { time: 5, print }
    }

    fn stored(last: Option<Proof>) -> StoredPlace {
        StoredPlace {
            next: 100,
            last,
            log: None,
        }
    }

    #[test]
    fn the_last_record_that_was_read_is_read_again_and_not_delivered() {
        let mut log = LogIdentity::of(Some(&stored(Some(proof(9)))));
        assert_eq!(log.fetch_from(100), 99);
        assert_eq!(log.judge(99, proof(9)), Verdict::Ignore);
        assert_eq!(log.judge(100, proof(10)), Verdict::Read);
        assert!(!log.is_held());
    }

    #[test]
    fn another_record_in_its_place_and_a_log_that_ends_before_it_contradict() {
        let later = Proof { time: 6, print: 9 };
        let replaced = |found| LogChange::Replaced {
            offset: 99,
            found,
            read: 5,
        };
        for (offset, found, expected) in [
            (99, proof(8), replaced(5)),
            (99, later, replaced(6)),
            (0, proof(0), LogChange::Short { expected: 100 }),
        ] {
            let mut log = LogIdentity::of(Some(&stored(Some(proof(9)))));
            assert_eq!(log.judge(offset, found), Verdict::Contradicts);
            assert!(log.is_held() && log.is_suspect());
            assert_eq!(log.judge(100, proof(10)), Verdict::Ignore);
            assert_eq!(log.confirmed(), None, "the topic may be another one");
            let (_, since) = log.change.as_mut().unwrap();
            *since -= SETTLED;
            assert_eq!(log.confirmed(), Some(expected));
            assert_eq!(log.confirmed(), None, "it is reported once");
            assert!(log.is_held() && !log.is_suspect());
        }
    }

    #[test]
    fn what_is_not_there_any_more_says_nothing() {
        let mut log = LogIdentity::of(Some(&stored(Some(proof(9)))));
        assert_eq!(log.judge(120, proof(1)), Verdict::Read);
        assert_eq!(log.judge(121, proof(2)), Verdict::Read);
    }

    #[test]
    fn of_what_was_not_read_nothing_is_known() {
        for place in [None, Some(stored(None))] {
            let mut log = LogIdentity::of(place.as_ref());
            assert_eq!(log.fetch_from(100), 100);
            assert!(!log.doubt() && log.to_seek().is_none());
            assert_eq!(log.judge(100, proof(1)), Verdict::Read);
        }
    }

    #[test]
    fn after_a_doubt_nothing_is_read_before_the_last_record_was_read_again() {
        let mut log = LogIdentity::of(None);
        log.note(7, proof(7));
        assert!(log.doubt());
        assert_eq!(log.to_seek(), Some(7));
        assert_eq!(log.judge(8, proof(8)), Verdict::Ignore, "it may be another");
        log.sought();
        assert_eq!((log.to_seek(), log.fetch_from(8)), (None, 7));
        assert_eq!(log.judge(7, proof(7)), Verdict::Ignore);
        assert_eq!(log.judge(8, proof(8)), Verdict::Read);
    }

    #[test]
    fn a_log_that_ends_too_early_is_looked_at_twice() {
        let mut log = LogIdentity::of(None);
        assert!(!log.is_short(100) && !log.is_held());
        log.note(100, proof(1));
        assert!(!log.is_short(101), "it went on in between");
        assert!(log.is_short(101) && log.is_held());
    }

    #[test]
    fn positions_are_set_apart_by_the_topic_and_by_the_log() {
        let log = |name: Option<&str>| LogIdentity {
            name: name.map(Arc::from),
            ..LogIdentity::default()
        };
        for (name, topic, expected) in [
            (None, None, None),
            (None, Some("t"), Some("t")),
            (Some("l"), None, Some("l")),
            (Some("l"), Some("t"), Some("t+l")),
        ] {
            let incarnation = log(name).incarnation(topic.map(Arc::from));
            assert_eq!(incarnation.as_deref(), expected);
        }
    }
}
