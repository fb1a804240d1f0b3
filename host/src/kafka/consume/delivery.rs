//! Delivery of records from the partitions' queues to the sink: in turn, as far as there is room,
//! and only for a short time, because the client's events wait meanwhile.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::message::{BorrowedMessage, Message as _};
use saga_core::record::{Position, Record};
use tokio_util::sync::CancellationToken;

use super::partition::{Partition, PartitionState};
use super::reading::{LogCheck, OffsetStep, Reading};
use super::record_proof::{incarnation, proof};
use super::{Consumer, QUESTION, ROUND, in_turn};
use crate::kafka::headers;
use crate::kafka::health::condition::unreadable;
use crate::kafka::health::conditions::Aspect;
use crate::kafka::health::probe::code_of;
use crate::transport::{Delivery, Proof, ReadingStart, Session, WINDOW};

/// Records of one partition that are delivered before the next partition's turn.
const PAGE: usize = 256;

/// Shortest interval between look-ups of missing offsets in a partition.
const LOOK: Duration = Duration::from_secs(1);

/// Wait before a partition is started again after a failure.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// Time before a failed seek of a partition is reported.
const UNSOUGHT: Duration = Duration::from_secs(5);

impl Consumer {
    /// Delivers available records, as far as there is room, until `stop`, and not for long; true if
    /// there were any.
    pub(super) fn deliver(&mut self, stop: &CancellationToken) -> bool {
        let until = Instant::now() + ROUND;
        let is_over = || stop.is_cancelled() || Instant::now() >= until;
        let mut any = false;
        // The partition that had no turn in the last round comes first.
        for number in in_turn(&self.partitions, self.first) {
            if is_over() || self.identity.is_doubtful() {
                self.first = number;
                // There may be more records.
                return true;
            }
            if let Some(mut partition) = self.partitions.remove(&number) {
                self.begin_if_due(number, &mut partition.state);
                any |= self.deliver_page(number, &mut partition, is_over);
                self.partitions.insert(number, partition);
            }
        }
        any
    }

    /// Delivers a record from the common queue. None should arrive there, but a record must not be
    /// lost.
    pub(super) fn deliver_stray(&mut self, message: &BorrowedMessage<'_>) {
        let number = message.partition();
        if let Some(mut partition) = self.partitions.remove(&number) {
            self.hand_over(&mut partition.state, message);
            self.partitions.insert(number, partition);
        }
    }

    /// Begins the reading of a partition, or checks its log, if it is time: seeks to the offset
    /// where it starts, or to the last record.
    pub(super) fn begin_if_due(&self, partition: i32, state: &mut PartitionState) {
        if matches!(&state.reading, Reading::Runs { session, .. } if session.is_cancelled()) {
            let is_failing = self.parts.store.condition().is_failing();
            state
                .reading
                .restart(if is_failing { RETRY } else { Duration::ZERO });
        }
        if let Some(last) = state.reading.to_check()
            && self.seek(partition, Offset::Offset(last), state)
        {
            state.reading.sought();
        }
        let Reading::Begins { at, fallback } = state.reading else {
            return;
        };
        if Instant::now() < at {
            return;
        }
        // Without an offset, nothing was taken since the assignment.
        if let Some(from) = self.begin(partition, fallback, state)
            && !self.seek(partition, from, state)
        {
            state.reading = Reading::begins_after(RETRY, fallback);
        }
    }

    /// Seeks; true if the partition is fetched from there now.
    fn seek(&self, partition: i32, from: Offset, state: &mut PartitionState) -> bool {
        let topic = &self.source.topic;
        let Err(error) = self.client.seek(topic, partition, from, QUESTION) else {
            state.unsought = None;
            return true;
        };
        tracing::debug!(%topic, partition, ?from, %error, "the partition can't be sought; it is tried again");
        if state.unsought.get_or_insert_with(Instant::now).elapsed() >= UNSOUGHT {
            let from = from.to_raw().unwrap_or_default();
            let reason = format!("no fetch from offset {from} on: {error}");
            let (settings, code) = (&self.parts.settings, code_of(&error));
            let unreadable = unreadable(settings, &self.source, Some(partition), code, &reason);
            self.parts.conditions.report(unreadable);
        }
        false
    }

    fn deliver_page(
        &mut self,
        number: i32,
        Partition { queue, state }: &mut Partition,
        is_over: impl Fn() -> bool,
    ) -> bool {
        let mut any = false;
        for _ in 0..PAGE {
            // The sink may block on each record.
            if is_over() || !state.reading.has_room() || self.source.readings.room() == 0 {
                break;
            }
            match queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    any |= self.hand_over(state, &message);
                }
                Some(Err(_)) => self.take_events(Some(number)),
                None => break,
            }
        }
        if any {
            state.stall.note_fine();
            self.clear(Some(number), Aspect::Reading);
            self.clear(None, Aspect::Client);
            self.rights_granted();
        }
        any
    }

    /// Delivers a record, if it is the next one; true if it was read before or is the next one.
    fn hand_over(&mut self, state: &mut PartitionState, message: &BorrowedMessage<'_>) -> bool {
        let (partition, offset) = (message.partition(), message.offset());
        let (attributes, made_at) = headers::read(message.headers());
        let millis = message.timestamp().to_millis();
        let proof = proof(millis, message.key(), message.payload(), &attributes);
        let expected = match state.reading.step(offset, proof) {
            OffsetStep::Take { expected } => expected,
            OffsetStep::Ignore => return true,
            // The topic may be another one; its id is looked up first.
            OffsetStep::Doubt => {
                self.identity.doubt();
                state.reading.doubt();
                return false;
            }
            OffsetStep::Halt(change) => {
                self.identity.doubt();
                state.reading.halt(change);
                return false;
            }
        };
        if matches!(state.reading, Reading::Awaits { next: None, .. }) {
            self.begins_at(partition, offset);
        }
        // Within a reading, gaps may be harmless, and each look-up is a request to a broker.
        let is_first = !matches!(state.reading, Reading::Runs { .. });
        let is_due = is_first || state.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if expected != offset && is_due {
            state.looked = (!is_first).then(Instant::now);
            self.records_missing(partition, expected, offset);
        }
        let session = self.session(partition, state, expected, (offset, proof));
        // A delayed record is sent later than it was made, and may be sent again at another time.
        let sent_at = millis.and_then(|millis| u64::try_from(millis).ok());
        let record = Record {
            position: Position {
                topic: self.source.topic.clone(),
                incarnation: Some(incarnation(proof, state.log.as_deref())),
                partition,
                offset,
            },
            timestamp: made_at.or(sent_at).unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            attributes,
        };
        (self.sink).deliver(Delivery::of(session, record, Some(proof)));
        true
    }

    /// The session of a record, which may be the first of its reading. Until that one is settled,
    /// the session may store the expected offset, with the proof of the record before it.
    fn session(
        &self,
        partition: i32,
        state: &mut PartitionState,
        expected: i64,
        record: (i64, Proof),
    ) -> std::sync::Arc<Session> {
        let before = match &mut state.reading {
            Reading::Runs { session, last, .. } => {
                *last = record;
                return session.clone();
            }
            Reading::Awaits { last, .. } => *last,
            Reading::Begins { .. } | Reading::Halted { .. } => None,
        };
        let (source, notify) = (self.source.clone(), self.client.context().notify.clone());
        let start = ReadingStart {
            next: expected,
            last: before,
            epoch: state.epoch.unwrap_or_default(),
        };
        let session = Session::new(source, partition, start, WINDOW, notify);
        state.reading = Reading::Runs {
            session: session.clone(),
            start: record.0,
            last: record,
            check: LogCheck::Done,
        };
        session
    }
}
