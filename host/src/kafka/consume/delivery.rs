//! Delivers records from the queues of the partitions to the sink: in turn, as far as there is room, and never for long, because the
//! client's events wait meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use saga_core::record::{Position, Record};
use tokio_util::sync::CancellationToken;

use super::assignment::{Assignment, NO_PARTITION, QUESTION, RETRY};
use super::log_identity::{LogIdentity, Verdict};
use super::partition::{Partition, PartitionState};
use super::reading::{OffsetStep, Reading, StartAt};
use super::record_proof::proof;
use crate::kafka::headers;
use crate::kafka::health::condition::{Aspect, Condition, LogChange};
use crate::transport::{Delivery, Proof, Session, Sink, WINDOW};

/// Records of one partition that are delivered before the next has its turn.
const PAGE: usize = 256;

/// Longest time that records are delivered before events are served, but for the record that the sink is at.
const ROUND: Duration = Duration::from_millis(200);

/// How often it is asked, at most, why offsets of a partition are missing.
const LOOK: Duration = Duration::from_secs(1);

/// Time in which a partition can't be fetched from another offset before it is reported.
const UNSOUGHT: Duration = Duration::from_secs(5);

/// One round of deliveries: the sink, its end, and what sets apart the topic.
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
    pub(super) fn deliver(
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
            incarnation: self.identity().incarnation(),
        };
        let mut any = false;
        let mut partitions = self.partitions();
        if self.is_log_doubtful.swap(false, Ordering::Relaxed) {
            for Partition { state, .. } in partitions.values_mut() {
                state.log.doubt();
                state.stall.is_doubtful();
            }
        }
        // The one that had no turn the last time is the first.
        let first = self.first.load(Ordering::Relaxed);
        let turns = partitions.range(first..).chain(partitions.range(..first));
        let turns: Vec<i32> = turns.map(|(partition, _)| *partition).collect();
        for partition in turns {
            if round.is_over() || self.identity().is_doubtful() {
                self.first.store(partition, Ordering::Relaxed);
                // There may be more.
                return true;
            }
            if let Some(assigned) = partitions.get_mut(&partition)
                && !assigned.state.log.is_held()
            {
                self.prepare(client, partition, &mut assigned.state);
                any |= self.deliver_page(&round, partition, assigned);
            }
        }
        any
    }

    /// Delivers a record that came by the common queue. None should; if one does it must not be lost.
    pub(super) fn deliver_stray(
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
            incarnation: self.identity().incarnation(),
        };
        if let Some(Partition { state, .. }) = self.partitions().get_mut(&message.partition()) {
            self.hand_over(&round, state, message);
        }
    }

    /// Sees to it that a partition is read, if it is time.
    pub(super) fn prepare(
        &self,
        client: &BaseConsumer<Self>,
        partition: i32,
        state: &mut PartitionState,
    ) {
        if let Reading::Runs { session, start, .. } = &state.reading
            && session.is_cancelled()
        {
            state.reading = Reading::begins_later(RETRY, Some(*start));
        }
        if let Reading::Begins { at, fallback } = state.reading
            && Instant::now() >= at
        {
            state.reading = self.begin(client, partition, fallback, state);
        } else if let Some(offset) = state.log.to_seek()
            && self.seek(client, partition, Offset::Offset(offset), state)
        {
            state.log.sought();
        }
    }

    fn deliver_page(&self, round: &Round<'_>, partition: i32, assigned: &mut Partition) -> bool {
        let Partition { queue, state } = assigned;
        let room = match &state.reading {
            Reading::Begins { .. } => 0,
            Reading::Awaits { .. } => PAGE,
            Reading::Runs { session, .. } => session.room().min(PAGE),
        };
        let mut any = false;
        for _ in 0..room {
            // The sink may block for each record.
            let is_cancelled = (state.reading.session()).is_some_and(|one| one.is_cancelled());
            let has_room = self.source.readings.room() > 0 && !state.doubtful.is_full();
            if round.is_over() || is_cancelled || !has_room || state.log.is_held() {
                break;
            }
            self.polled.store(partition, Ordering::Relaxed);
            let polled = queue.poll(Duration::ZERO);
            self.polled.store(NO_PARTITION, Ordering::Relaxed);
            match polled {
                Some(Ok(message)) => {
                    any = true;
                    self.hand_over(round, state, &message);
                }
                // Was told to `error`.
                Some(Err(error)) => {
                    state.is_failing = true;
                    tracing::debug!(topic = %self.source.topic, partition, %error, "partition error");
                }
                None => break,
            }
        }
        // What came from where it was before is dropped, and says nothing.
        if any && state.log.to_seek().is_none() {
            self.is_readable(partition, state);
        }
        any
    }

    /// Records of a partition have come: what stood in the way is over.
    fn is_readable(&self, partition: i32, state: &mut PartitionState) {
        state.stall.is_over();
        if std::mem::take(&mut state.is_failing) {
            self.conditions
                .clear(&self.subject(Aspect::Reading(partition)));
        }
        self.conditions.clear(&self.subject(Aspect::Client));
        self.has_rights();
    }

    fn hand_over(
        &self,
        round: &Round<'_>,
        state: &mut PartitionState,
        message: &BorrowedMessage<'_>,
    ) {
        let (partition, offset) = (message.partition(), message.offset());
        let step = state.reading.next(offset);
        if step == OffsetStep::Ignore {
            return;
        }
        let (attributes, made_at) = headers::read(message.headers());
        let millis = message.timestamp().to_millis();
        let proof = proof(millis, message.key(), message.payload(), &attributes);
        match state.log.judge(offset, proof) {
            Verdict::Read => {}
            Verdict::Ignore => return,
            // It may be another topic. That is looked up first.
            Verdict::Contradicts => return self.identity().doubt(),
        }
        let session = match (step, &mut state.reading) {
            (
                OffsetStep::Deliver | OffsetStep::Gap { .. },
                Reading::Runs {
                    session,
                    last,
                    looked,
                    ..
                },
            ) => {
                *last = offset;
                let session = session.clone();
                if let OffsetStep::Gap { expected } = step {
                    // Offsets may have gaps that are no loss, and each look is a question to a broker.
                    if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                        *looked = Some(Instant::now());
                        self.goes_on_elsewhere(round.client, partition, expected, offset);
                    }
                }
                session
            }
            (OffsetStep::Begin { next }, reading) => {
                if matches!(reading, Reading::Awaits { stored: None }) {
                    self.begins_at(round.client, partition, offset);
                }
                if next != offset {
                    self.goes_on_elsewhere(round.client, partition, next, offset);
                }
                self.start(reading, partition, (next, state.log.proof()), offset)
            }
            (OffsetStep::Back { expected }, _) => {
                return self.goes_back(round, state, partition, (expected, offset));
            }
            // Only what runs goes on.
            (OffsetStep::Ignore | OffsetStep::Deliver | OffsetStep::Gap { .. }, _) => return,
        };
        let incarnation = (state.doubtful).incarnation(round.incarnation.as_ref(), offset, proof);
        state.doubtful.note(offset, proof);
        state.log.note(offset, proof);
        let record = Record {
            position: Position {
                topic: self.source.topic.clone(),
                incarnation: state.log.incarnation(incarnation),
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
        state: &mut PartitionState,
        partition: i32,
        (expected, offset): (i64, i64),
    ) {
        // It may be the first one of another topic, and would pass for the one that had its place. That is looked up first.
        self.identity().doubt();
        if state.log.doubt() {
            return;
        }
        if self.identity().was_known() {
            return state.log.contradict(LogChange::Short { expected });
        }
        self.goes_on_elsewhere(round.client, partition, expected, offset);
        if self.go_back(&mut state.reading, partition, offset) {
            state.reading = Reading::begins_now(Some(offset));
        }
    }

    /// Ends a reading whose offsets have gone back, and writes down where it goes on: what is still in flight of it must not store a
    /// higher one, from which a restart would go on. Says whether that is done; if not, the partition begins again later.
    pub(super) fn go_back(&self, reading: &mut Reading, partition: i32, offset: i64) -> bool {
        if let Some(session) = reading.session() {
            session.cancel();
        }
        let (consumer, row) = (&self.source.consumer, self.source.topic_row);
        let written = (self.store).write_offset(consumer, row, partition, offset);
        if let Err(error) = &written {
            tracing::error!(topic = %self.source.topic, partition, offset, %error, "where to read on can't be stored; it is tried again");
            *reading = Reading::begins_later(RETRY, Some(offset));
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
            self.notify.clone(),
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
        state: &mut PartitionState,
    ) -> Reading {
        let again = Reading::begins_later(RETRY, fallback);
        let stored = match self.stored(partition) {
            Ok(stored) => stored,
            Err(error) => {
                let condition = self.store.condition();
                condition.report("where to read on can't be read from the store", &error);
                return again;
            }
        };
        state.log = LogIdentity::of(stored.as_ref());
        let next = stored.map(|place| place.next);
        let start = StartAt::of(next, fallback, self.identity().is_known());
        let Some(offset) = start.fetched_from(&state.log) else {
            // It was assigned there, and nothing was taken since.
            return start.awaits();
        };
        if self.seek(client, partition, offset, state) {
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
        state: &mut PartitionState,
    ) -> bool {
        let topic = &self.source.topic;
        let Err(error) = client.seek(topic, partition, offset, QUESTION) else {
            state.unsought = None;
            return true;
        };
        tracing::debug!(%topic, partition, ?offset, %error, "the partition can't be sought; it is tried again");
        let since = *state.unsought.get_or_insert_with(Instant::now);
        if since.elapsed() >= UNSOUGHT {
            state.is_failing = true;
            let from = match offset {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let reason = error.to_string();
            self.report(
                Aspect::Reading(partition),
                Condition::Unseekable { from, reason },
            );
        }
        false
    }
}
