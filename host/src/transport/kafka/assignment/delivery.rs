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

use super::earlier::{Earlier, print};
use super::place::{Reading, Start, Step};
use super::{Assignment, NOBODY, Place, QUESTION, RETRY};
use crate::store::write_offset;
use crate::transport::kafka::headers;
use crate::transport::{Delivery, Session, Sink, WINDOW};

/// Records of one partition that are delivered before the next has its turn.
const PAGE: usize = 256;

/// Longest time that records are delivered before events are served, but for the record that the sink is at.
const ROUND: Duration = Duration::from_millis(200);

/// How often it is asked, at most, why offsets of a partition are missing.
const LOOK: Duration = Duration::from_secs(1);

/// To whom, until when, and of which topic records are delivered in one round.
struct Round<'r> {
    client: &'r BaseConsumer<Assignment>,
    sink: &'r dyn Sink,
    stop: &'r CancellationToken,
    until: Instant,
    incarnation: Option<Arc<str>>,
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
            if let Some(place) = places.get_mut(&partition) {
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
            self.hand_over(&round, &mut place.reading, &mut place.earlier, message);
        }
    }

    /// Sees to it that a partition is read, if it is time.
    fn prepare(&self, client: &BaseConsumer<Self>, partition: i32, place: &mut Place) {
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
            place.reading = self.begin(client, partition, fallback);
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
            if round.is_over() || is_cancelled || !has_room {
                break;
            }
            self.polled.store(partition, Ordering::Relaxed);
            let polled = place.queue.poll(Duration::ZERO);
            self.polled.store(NOBODY, Ordering::Relaxed);
            match polled {
                Some(Ok(message)) => {
                    any = true;
                    let (reading, earlier) = (&mut place.reading, &mut place.earlier);
                    self.hand_over(round, reading, earlier, &message);
                }
                // Was told to `error`.
                Some(Err(error)) => {
                    place.is_failing = true;
                    tracing::debug!(topic = %self.source.topic, partition, %error, "partition error");
                }
                None => break,
            }
        }
        if any {
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

    fn hand_over(
        &self,
        round: &Round<'_>,
        reading: &mut Reading,
        earlier: &mut Earlier,
        message: &BorrowedMessage<'_>,
    ) {
        let (partition, offset) = (message.partition(), message.offset());
        let step = reading.next(offset);
        let session = match (step, &mut *reading) {
            (Step::Ignore, _) => return,
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
                if next != offset {
                    self.starts_elsewhere(round.client, partition, next, offset);
                }
                self.start(reading, partition, next, offset)
            }
            (Step::Back { expected }, reading) => {
                self.starts_elsewhere(round.client, partition, expected, offset);
                // It may be the first one of another topic, and would pass for the one that had its place. That is looked up first.
                self.recognition().doubt();
                if self.go_back(reading, partition, offset) {
                    *reading = Reading::Begins {
                        at: Instant::now(),
                        fallback: Some(offset),
                    };
                }
                return;
            }
            // Only what runs goes on.
            (Step::Deliver | Step::Gap { .. }, _) => return,
        };
        let print = print(
            message.timestamp().to_millis(),
            message.key(),
            message.payload(),
        );
        let incarnation = earlier.incarnation(round.incarnation.as_ref(), offset, print);
        earlier.note(offset, print);
        let record = self.record(message, incarnation);
        round.sink.deliver(Delivery::of(session, record));
    }

    /// Ends a reading whose offsets have gone back, and writes down where it goes on: what is still under way of it must not store a
    /// higher one, from which a restart would go on. Says whether that is done; if not, the partition begins anew.
    pub(super) fn go_back(&self, reading: &mut Reading, partition: i32, offset: i64) -> bool {
        if let Some(session) = reading.session() {
            session.cancel();
        }
        let (consumer, row) = (self.source.consumer.clone(), self.source.topic_row);
        let written =
            (self.store).run(move |sql| write_offset(sql, &consumer, row, partition, offset));
        if let Err(error) = &written {
            tracing::error!(topic = %self.source.topic, partition, offset, %error, "where to read on can't be stored; it is tried again");
            *reading = Reading::Begins {
                at: Instant::now() + RETRY,
                fallback: Some(offset),
            };
        }
        written.is_ok()
    }

    /// A new session that may store `next` and begins with the record `first`.
    pub(super) fn start(
        &self,
        reading: &mut Reading,
        partition: i32,
        next: i64,
        first: i64,
    ) -> Arc<Session> {
        let session = Session::new(
            self.source.clone(),
            partition,
            next,
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
    fn begin(&self, client: &BaseConsumer<Self>, partition: i32, fallback: Option<i64>) -> Reading {
        let again = Reading::Begins {
            at: Instant::now() + RETRY,
            fallback,
        };
        let stored = match self.stored(partition) {
            Ok(stored) => stored,
            Err(error) => {
                let condition = self.store.condition();
                condition.report(
                    "where to read on can't be read from the store",
                    &error.into(),
                );
                return again;
            }
        };
        let start = Start::of(stored, fallback, self.recognition().is_known());
        let offset = match start {
            Start::At(offset) => Offset::Offset(offset),
            Start::Beginning => Offset::Beginning,
            // It was assigned there, and nothing was taken since.
            Start::Group => return start.awaits(),
        };
        match client.seek(&self.source.topic, partition, offset, QUESTION) {
            Ok(()) => start.awaits(),
            Err(error) => {
                tracing::debug!(topic = %self.source.topic, partition, ?offset, %error, "the partition can't be sought; it is tried again");
                again
            }
        }
    }

    fn record(&self, message: &BorrowedMessage<'_>, incarnation: Option<Arc<str>>) -> Record {
        Record {
            position: Position {
                topic: self.source.topic.clone(),
                incarnation,
                partition: message.partition(),
                offset: message.offset(),
            },
            timestamp: message
                .timestamp()
                .to_millis()
                .and_then(|millis| u64::try_from(millis).ok())
                .unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            attributes: headers::read(message.headers()),
        }
    }
}
