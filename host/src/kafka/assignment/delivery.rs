//! Records from the queues of the partitions to the sink: in turn, as far as there is room, and never for long, for the client's
//! events wait meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use saga_core::record::{Position, Record};
use tokio_util::sync::CancellationToken;

use super::earlier::Earlier;
use super::place::{Reading, Start, Step};
use super::print::proof;
use super::same_log::{Contradiction, SameLog, Verdict};
use super::{Assignment, NOBODY, Place, QUESTION, RETRY};
use crate::kafka::headers;
use crate::transport::{Delivery, Proof, Session, Sink, WINDOW};

/// Records of one partition that are delivered before the next has its turn.
const PAGE: usize = 256;

/// Longest time that records are delivered before events are served, but for the record that the sink is at.
const ROUND: Duration = Duration::from_millis(200);

/// How often it is asked, at most, why offsets of a partition are missing.
const LOOK: Duration = Duration::from_secs(1);

/// Time in which a partition can't be fetched from another offset before it is said.
const UNSOUGHT: Duration = Duration::from_secs(5);

/// To whom, until when, and of which topic records are delivered in one round.
struct Round<'r> {
    client: &'r BaseConsumer<Assignment>,
    sink: &'r dyn Sink,
    stop: &'r CancellationToken,
    until: Instant,
    incarnation: Option<Arc<str>>,
}

/// Where a partition is, and what is known of its records.
struct Progress<'p> {
    reading: &'p mut Reading,
    earlier: &'p mut Earlier,
    log: &'p mut SameLog,
}

impl Round<'_> {
    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || Instant::now() >= self.until
    }
}

impl Assignment {
    /// Delivers what is there, as far as there is room, until `stop`, and not for long; says whether anything was.
    pub(in super::super) fn deliver(
        &self,
        client: &BaseConsumer<Self>,
        sink: &dyn Sink,
        stop: &CancellationToken,
    ) -> bool {
        let round = Round {
            client,
            sink,
            stop,
            until: Instant::now() + ROUND,
            incarnation: self.recognition().incarnation(),
        };
        let mut any = false;
        let mut places = self.places();
        if self.is_log_doubtful.swap(false, Ordering::Relaxed) {
            for place in places.values_mut() {
                place.log.doubt();
                place.quiet.is_doubtful();
            }
        }
        // The one that had no turn the last time is the first.
        let first = self.first.load(Ordering::Relaxed);
        let turns = places.range(first..).chain(places.range(..first));
        let turns: Vec<i32> = turns.map(|(partition, _)| *partition).collect();
        for partition in turns {
            if round.is_over() || self.recognition().is_doubtful() {
                self.first.store(partition, Ordering::Relaxed);
                // There may be more.
                return true;
            }
            if let Some(place) = places.get_mut(&partition)
                && !place.log.is_held()
            {
                self.prepare(client, partition, place);
                any |= self.deliver_page(&round, partition, place);
            }
        }
        any
    }

    /// Delivers a record that came by the common queue. None should; if one does it must not be lost.
    pub(in super::super) fn deliver_stray(
        &self,
        client: &BaseConsumer<Self>,
        message: &BorrowedMessage<'_>,
        sink: &dyn Sink,
    ) {
        let round = Round {
            client,
            sink,
            stop: &CancellationToken::new(),
            until: Instant::now(),
            incarnation: self.recognition().incarnation(),
        };
        if let Some(place) = self.places().get_mut(&message.partition()) {
            let progress = Progress {
                reading: &mut place.reading,
                earlier: &mut place.earlier,
                log: &mut place.log,
            };
            self.hand_over(&round, progress, message);
        }
    }

    /// Sees to it that a partition is read, if it is time.
    pub(super) fn prepare(&self, client: &BaseConsumer<Self>, partition: i32, place: &mut Place) {
        if let Reading::Runs { session, start, .. } = &place.reading
            && session.is_cancelled()
        {
            place.reading = Reading::Begins {
                at: Instant::now() + RETRY,
                fallback: Some(*start),
            };
        }
        if let Reading::Begins { at, fallback } = place.reading
            && Instant::now() >= at
        {
            place.reading = self.begin(client, partition, fallback, place);
        } else if let Some(offset) = place.log.to_seek()
            && self.seek(client, partition, Offset::Offset(offset), place)
        {
            place.log.sought();
        }
    }

    fn deliver_page(&self, round: &Round<'_>, partition: i32, place: &mut Place) -> bool {
        let room = match &place.reading {
            Reading::Begins { .. } => 0,
            Reading::Awaits { .. } => PAGE,
            Reading::Runs { session, .. } => session.room().min(PAGE),
        };
        let mut any = false;
        for _ in 0..room {
            // The sink may block for each record.
            let is_cancelled = (place.reading.session()).is_some_and(|one| one.is_cancelled());
            let has_room = self.source.readings.room() > 0 && !place.earlier.is_full();
            if round.is_over() || is_cancelled || !has_room || place.log.is_held() {
                break;
            }
            self.polled.store(partition, Ordering::Relaxed);
            let polled = place.queue.poll(Duration::ZERO);
            self.polled.store(NOBODY, Ordering::Relaxed);
            match polled {
                Some(Ok(message)) => {
                    any = true;
                    let progress = Progress {
                        reading: &mut place.reading,
                        earlier: &mut place.earlier,
                        log: &mut place.log,
                    };
                    self.hand_over(round, progress, &message);
                }
                // Was told to `error`.
                Some(Err(error)) => {
                    place.is_failing = true;
                    tracing::debug!(topic = %self.source.topic, partition, %error, "partition error");
                }
                None => break,
            }
        }
        // What came from where it was before is dropped, and says nothing.
        if any && place.log.to_seek().is_none() {
            self.is_readable(partition, place);
        }
        any
    }

    /// Records of a partition have come: what stood in the way is over.
    fn is_readable(&self, partition: i32, place: &mut Place) {
        place.quiet.is_broken();
        if std::mem::take(&mut place.is_failing) {
            self.troubles.clear(&self.part_of(partition));
        }
        self.troubles.clear(&self.part);
        self.has_rights();
    }

    fn hand_over(&self, round: &Round<'_>, at: Progress<'_>, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        let step = at.reading.next(offset);
        if step == Step::Ignore {
            return;
        }
        let (attributes, made_at) = headers::read(message.headers());
        let millis = message.timestamp().to_millis();
        let proof = proof(millis, message.key(), message.payload(), &attributes);
        match at.log.judge(offset, proof) {
            Verdict::Read => {}
            Verdict::Ignore => return,
            // It may be another topic. That is looked up first.
            Verdict::Contradicts => return self.recognition().doubt(),
        }
        let session = match (step, at.reading) {
            (
                Step::Deliver | Step::Gap { .. },
                Reading::Runs {
                    session,
                    last,
                    looked,
                    ..
                },
            ) => {
                *last = offset;
                let session = session.clone();
                if let Step::Gap { expected } = step {
                    // Offsets may have gaps that are no loss, and each look is a question to a broker.
                    if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                        *looked = Some(Instant::now());
                        self.starts_elsewhere(round.client, partition, expected, offset);
                    }
                }
                session
            }
            (Step::Begin { next }, reading) => {
                if matches!(reading, Reading::Awaits { stored: None }) {
                    self.begins_at(round.client, partition, offset);
                }
                if next != offset {
                    self.starts_elsewhere(round.client, partition, next, offset);
                }
                self.start(reading, partition, (next, at.log.proof()), offset)
            }
            (Step::Back { expected }, reading) => {
                return self.goes_back(round, reading, at.log, partition, (expected, offset));
            }
            // Only what runs goes on.
            (Step::Ignore | Step::Deliver | Step::Gap { .. }, _) => return,
        };
        let incarnation = (at.earlier).incarnation(round.incarnation.as_ref(), offset, proof);
        at.earlier.note(offset, proof);
        at.log.note(offset, proof);
        let record = Record {
            position: Position {
                topic: self.source.topic.clone(),
                incarnation: at.log.incarnation(incarnation),
                partition,
                offset,
            },
            // A record that waited long was sent later than it was made, and may be sent again at another time.
            timestamp: (made_at.or(millis.and_then(|millis| u64::try_from(millis).ok())))
                .unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            attributes,
        };
        round
            .sink
            .deliver(Delivery::of(session, record, Some(proof)));
    }

    /// A record has come from before the one that was `expected`.
    fn goes_back(
        &self,
        round: &Round<'_>,
        reading: &mut Reading,
        log: &mut SameLog,
        partition: i32,
        (expected, offset): (i64, i64),
    ) {
        // It may be the first one of another topic, and would pass for the one that had its place. That is looked up first.
        self.recognition().doubt();
        if log.doubt() {
            return;
        }
        if self.recognition().was_known() {
            return log.contradict(Contradiction::Short { expected });
        }
        self.starts_elsewhere(round.client, partition, expected, offset);
        if self.go_back(reading, partition, offset) {
            *reading = Reading::Begins {
                at: Instant::now(),
                fallback: Some(offset),
            };
        }
    }

    /// Ends a reading whose offsets have gone back, and writes down where it goes on: what is still under way of it must not store a
    /// higher one, from which a restart would go on. Says whether that is done; if not, the partition begins anew.
    pub(super) fn go_back(&self, reading: &mut Reading, partition: i32, offset: i64) -> bool {
        if let Some(session) = reading.session() {
            session.cancel();
        }
        let (consumer, row) = (&self.source.consumer, self.source.topic_row);
        let written = (self.store).write_offset(consumer, row, partition, offset);
        if let Err(error) = &written {
            tracing::error!(topic = %self.source.topic, partition, offset, %error, "where to read on can't be stored; it is tried again");
            *reading = Reading::Begins {
                at: Instant::now() + RETRY,
                fallback: Some(offset),
            };
        }
        written.is_ok()
    }

    /// A new session that begins with the record `first`. Until it has settled that, it may store the offset `after` which it comes, with what
    /// the record before that was.
    pub(super) fn start(
        &self,
        reading: &mut Reading,
        partition: i32,
        after: (i64, Option<Proof>),
        first: i64,
    ) -> Arc<Session> {
        let session = Session::after(
            self.source.clone(),
            partition,
            after,
            WINDOW,
            self.bell.clone(),
        );
        *reading = Reading::Runs {
            session: session.clone(),
            start: first,
            last: first,
            looked: None,
        };
        session
    }

    /// Goes back to where the partition begins to be read.
    fn begin(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        fallback: Option<i64>,
        place: &mut Place,
    ) -> Reading {
        let again = Reading::Begins {
            at: Instant::now() + RETRY,
            fallback,
        };
        let stored = match self.stored(partition) {
            Ok(stored) => stored,
            Err(error) => {
                let condition = self.store.condition();
                condition.report("where to read on can't be read from the store", &error);
                return again;
            }
        };
        place.log = SameLog::of(stored.as_ref());
        let next = stored.map(|place| place.next);
        let start = Start::of(next, fallback, self.recognition().is_known());
        let offset = match start {
            Start::At(next) => Offset::Offset(place.log.fetch_from(next)),
            Start::Beginning => Offset::Beginning,
            // It was assigned there, and nothing was taken since.
            Start::Group => return start.awaits(),
        };
        if self.seek(client, partition, offset, place) {
            start.awaits()
        } else {
            again
        }
    }

    /// Says whether the partition is fetched from there now.
    fn seek(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        offset: Offset,
        place: &mut Place,
    ) -> bool {
        let (topic, group) = (&self.source.topic, &self.source.group);
        let Err(error) = client.seek(topic, partition, offset, QUESTION) else {
            place.unsought = None;
            return true;
        };
        tracing::debug!(%topic, partition, ?offset, %error, "the partition can't be sought; it is tried again");
        let since = *place.unsought.get_or_insert_with(Instant::now);
        if since.elapsed() >= UNSOUGHT {
            place.is_failing = true;
            let from = match offset {
                Offset::Offset(offset) => format!("offset {offset}"),
                _ => "its beginning".into(),
            };
            self.troubles.warn(
                &self.part_of(partition),
                format!(
                    "topic {topic}, partition {partition}, can't be fetched from {from} on in group {group}: {error}; nothing \
                     of it is read until it can be, and it is tried again"
                ),
            );
        }
        false
    }
}
