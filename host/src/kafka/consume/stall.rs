//! Partitions of which nothing comes: what brokers say of them is compared with what was read and with what the client has heard.
//!
//! Records that were all deleted before they were read show in nothing that comes, until the next record. And a client may take a
//! topic that was made anew for an older state of the one that it knows, and never ask for it again: it is silent then, which
//! does not mean that there is nothing to read.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::assignment::{Assignment, Place, QUESTION};
use super::extents::heard;
use super::reading::Reading;
use crate::transport::WINDOW;

/// Silence of a partition after which brokers are asked about it, and time between two such questions.
const SILENCE: Duration = Duration::from_secs(30);

/// Time after which a log is looked at again that ends too early, or of which brokers did not tell where it ends.
const SHORTLY: Duration = Duration::from_secs(1);

/// Time that a client has, once brokers say that there is more than it has heard of, to hear of it too. A fetch is answered within half a
/// second, even where there is nothing.
const BEHIND: Duration = Duration::from_secs(15);

/// Longest time that partitions are asked about before events are served, but for one question.
const ROUND: Duration = Duration::from_millis(200);

/// What is known of a partition of which nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Not whether there is anything to read.
    Nothing,
    /// All that there is was read, or comes.
    Fine,
    /// The client knows no such partition.
    Unknown,
    /// It goes on beyond where it ended when the client last heard of it; none where it never has.
    Behind { heard: Option<i64> },
}

/// The silence of one partition.
#[derive(Debug)]
pub(crate) struct Quiet {
    known: Known,
    look_from: Instant,
}

impl Quiet {
    /// Of a partition that was just assigned: it is looked at soon.
    pub(crate) fn new() -> Self {
        Self {
            known: Known::Nothing,
            look_from: Instant::now(),
        }
    }

    /// Records have come.
    pub(crate) fn is_broken(&mut self) {
        self.note(Known::Fine, SILENCE);
    }

    /// Brokers could not be reached: the log may end earlier now.
    pub(crate) fn is_doubtful(&mut self) {
        self.note(Known::Nothing, SHORTLY);
    }

    /// The client knows no such partition. Gives whether it did not at the last look either: brokers that were restored from an older
    /// snapshot tell of older leaders, and a client that knows later ones does not take that in.
    fn is_unknown(&mut self) -> bool {
        let was_unknown = self.known == Known::Unknown;
        self.note(Known::Unknown, SHORTLY);
        was_unknown
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.look_from
    }

    fn is_fine(&self) -> bool {
        self.known == Known::Fine
    }

    /// Brokers say that the partition ends at `end`, of which the client has `heard`. `has_more` says whether that is beyond what was
    /// read. Gives whether the client has not heard of it for too long.
    fn compare(&mut self, end: i64, heard: Option<i64>, has_more: bool) -> bool {
        if !has_more || heard.is_some_and(|heard| heard >= end) {
            self.note(Known::Fine, SILENCE);
            return false;
        }
        let behind = Known::Behind { heard };
        let is_stuck = self.known == behind;
        self.note(behind, BEHIND);
        is_stuck
    }

    fn note(&mut self, known: Known, pause: Duration) {
        self.known = known;
        self.look_from = Instant::now() + pause;
    }
}

impl Assignment {
    /// Asks about partitions of which nothing has come for a while. Says what was deleted of them unread, and reads on behind it. Gives
    /// whether the client does not hear of what there is.
    pub(crate) fn look_into_silence(&self, client: &BaseConsumer<Self>) -> bool {
        let until = Instant::now() + ROUND;
        let mut is_stuck = false;
        for (partition, place) in self.places().iter_mut() {
            if Instant::now() >= until {
                break;
            }
            if place.quiet.is_due() && self.has_nothing_under_way(place) {
                is_stuck |= self.look_at(client, *partition, place);
            }
        }
        // Whom brokers do not let read hears nothing either.
        is_stuck && !self.lacks_rights()
    }

    /// Whether, by what brokers say, nothing is missing of any partition.
    pub(crate) fn is_all_read(&self) -> bool {
        self.places().values().all(|place| place.quiet.is_fine())
    }

    /// Whether a partition would be read on if anything came.
    fn has_nothing_under_way(&self, place: &Place) -> bool {
        let is_settled = match &place.reading {
            Reading::Begins { .. } => false,
            Reading::Awaits { .. } => true,
            Reading::Runs { session, .. } => !session.is_cancelled() && session.room() == WINDOW,
        };
        is_settled && !place.log.is_held() && self.source.readings.room() > 0
    }

    fn look_at(&self, client: &BaseConsumer<Self>, partition: i32, place: &mut Place) -> bool {
        let topic = &self.source.topic;
        let (begin, end) = match client.fetch_watermarks(topic, partition, QUESTION) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%topic, partition, %error, "where the partition ends is not known");
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition) {
                    let is_there = self.topics.exists(topic);
                    // Whether it is gone is looked up by another client, before the next look.
                    self.topics.doubt_topic(topic);
                    return place.quiet.is_unknown() && is_there;
                }
                place.quiet.note(Known::Nothing, SHORTLY);
                return false;
            }
        };
        let expected = place.reading.expected();
        if let Some(expected) = expected.filter(|expected| end < *expected)
            && self.knows_the_log(place)
        {
            let pause = if place.log.is_short(expected) {
                self.recognition().doubt();
                SILENCE
            } else {
                SHORTLY
            };
            place.quiet.note(Known::Nothing, pause);
            return false;
        }
        if let Some(expected) = expected.filter(|expected| *expected < begin) {
            self.say_deleted(partition, expected, begin);
            // What is written down is not found missing again.
            if self.go_back(&mut place.reading, partition, begin) {
                place.reading = Reading::Begins {
                    at: Instant::now(),
                    fallback: Some(begin),
                };
            }
        }
        let heard = heard(client.client(), topic, &[(partition, Some(begin))]);
        let heard = heard.first().map(|extent| extent.end);
        let has_more = end > expected.unwrap_or(begin).max(begin);
        place.quiet.compare(end, heard, has_more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_knows_no_such_partition_is_asked_twice() {
        let mut quiet = Quiet::new();
        assert!(!quiet.is_unknown() && !quiet.is_fine());
        assert!(quiet.is_unknown());
        quiet.is_broken();
        assert!(!quiet.is_unknown(), "records have come in between");
    }

    #[test]
    fn a_client_is_stuck_that_hears_no_more_between_two_looks_though_there_is_more() {
        let mut quiet = Quiet::new();
        assert!(quiet.is_due() && !quiet.is_fine());
        assert!(
            !quiet.compare(9, Some(5), true),
            "it has time to hear of it"
        );
        assert!(!quiet.is_due() && !quiet.is_fine());
        assert!(!quiet.compare(9, Some(7), true), "it has heard more by now");
        assert!(quiet.compare(9, Some(7), true));
        // One that has heard of all there is gets it, or says why not.
        assert!(!quiet.compare(9, Some(9), true));
        assert!(quiet.is_fine());
        assert!(!quiet.compare(9, None, true));
        assert!(quiet.compare(9, None, true));
        quiet.is_broken();
        assert!(quiet.is_fine() && !quiet.is_due());
        quiet.is_doubtful();
        assert!(!quiet.is_fine() && quiet.look_from <= Instant::now() + SHORTLY);
        quiet.is_broken();
        for _ in 0..3 {
            assert!(!quiet.compare(9, None, false), "all of it was read");
        }
    }
}
