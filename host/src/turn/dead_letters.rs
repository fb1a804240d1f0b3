//! Operators' requests for the dead letters of a participant.
//!
//! A request is written before its worker is told, so it survives a crash. A letter that is not
//! parked is parked for the redrive, behind the messages of its aggregate that are parked already.

use saga_contract::description::Description;
use saga_core::admit::{self, Admission};
use saga_core::commit::LetterRequest;
use saga_core::commit::rows::parked_bytes;
use saga_core::identity::Identity;
use saga_core::limits::TurnLimits;
use saga_core::message::Message;
use saga_core::record::Record;

use super::participant::Participant;
use super::worker::Offered;
use crate::base::clock::now_ms;
use crate::store::dead_letters::{LetterAnswer, NewLetterRequest, StoredLetter};
use crate::store::parked::{Parked, ParkedEvent, Parking};
use crate::store::parked_room::Place;
use crate::store::{Reader, StoreFault};

/// Attempts at a request whose letter is unparked between the look at it and the request.
const ATTEMPTS: usize = 3;

/// A request of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorRequest {
    /// Redrive or discard.
    pub request: LetterRequest,
    /// The operator.
    pub by: String,
    /// Replacement of the value for the redrive.
    pub corrected: Option<Vec<u8>>,
}

/// The reason why a request for a dead letter was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LetterProblem {
    /// The active rules can't be offered the letter. With the reason.
    #[error("the rules can't be offered it: {0}")]
    NotAdmitted(String),
    /// Its value was not kept.
    #[error(
        "its value was not kept (a tombstone, or too large): publish the record again, or give a value"
    )]
    NoValue,
    /// There is no room to park it. With the name of the setting.
    #[error("as many messages are parked as may be: raise {0}, or redrive or discard others first")]
    NoRoom(&'static str),
    /// It was unparked while the request was made, again and again.
    #[error("the letter is being changed by others; nothing was requested: ask again")]
    Changing,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl Participant {
    /// A reader of the participant's store, and the participant's row there.
    ///
    /// # Errors
    /// The store's error.
    pub fn reading(&self) -> Result<(Reader, i64), StoreFault> {
        Ok((self.shared.store.reader()?, self.shared.row))
    }

    /// Requests a redrive or discard of the dead letter of this number.
    ///
    /// # Errors
    /// A [`LetterProblem`]; nothing was written then.
    pub fn request_for_letter(
        &self,
        letter: i64,
        ask: OperatorRequest,
    ) -> Result<LetterAnswer, LetterProblem> {
        for _ in 0..ATTEMPTS {
            match self.try_request(letter, ask.clone())? {
                LetterAnswer::NotParked => {}
                answer => return Ok(answer),
            }
        }
        Err(LetterProblem::Changing)
    }

    fn try_request(
        &self,
        letter: i64,
        ask: OperatorRequest,
    ) -> Result<LetterAnswer, LetterProblem> {
        let row = self.shared.row;
        let reader = self.shared.store.reader()?;
        let Some((stored, _)) = reader.dead_letter(row, letter)? else {
            return Ok(LetterAnswer::Unknown);
        };
        if let Some((end, _)) = stored.ended {
            return Ok(LetterAnswer::Ended(end));
        }
        let is_redrive = ask.request == LetterRequest::Redrive;
        let is_new = is_redrive && !stored.letter.is_parked;
        let admitted = match is_new || ask.corrected.is_some() {
            true => Some(self.admit_letter(&stored, ask.corrected.as_deref())?),
            false => None,
        };
        let (parking, place) = match admitted.filter(|_| is_new) {
            Some((key, event)) => {
                let (parking, place) = self.parking(&key, event)?;
                (Some((key, parking)), Some(place))
            }
            None => (None, None),
        };
        let asked = NewLetterRequest {
            participant: row,
            letter,
            request: ask.request,
            by: ask.by,
            now: now_ms(),
            corrected: ask.corrected,
            parking,
            place,
        };
        let answer = self.shared.store.request_letter(asked)?;
        if let LetterAnswer::Requested { key, is_new } = &answer
            && let Some(worker) = self.worker_of(key)
        {
            let (key, is_new) = (key.clone(), *is_new);
            // If the host is stopping, it happens at the next start.
            let _ = worker.send(Offered::Requested { key, is_new });
        }
        Ok(answer)
    }

    /// Admits the record of a letter under the active rules: its key, and the message to park.
    fn admit_letter(
        &self,
        stored: &StoredLetter,
        corrected: Option<&[u8]>,
    ) -> Result<(String, ParkedEvent), LetterProblem> {
        let (letter, active) = (&stored.letter, self.active());
        let topic = &letter.declared_topic;
        let (record, message) =
            admit_to(active.description(), &self.shared.limits, stored, corrected)?;
        if let Some(aggregate) = stored.aggregate.as_ref().filter(|key| **key != message.key) {
            let reason = format!("its key is `{}`, and was `{aggregate}`", message.key);
            return Err(LetterProblem::NotAdmitted(reason));
        }
        let event = ParkedEvent {
            identity: Identity {
                source: message.source,
                id: message.id,
            },
            name: message.name,
            group: letter.group.clone(),
            declared_topic: topic.clone(),
            record,
        };
        Ok((message.key, event))
    }

    fn parking(&self, key: &str, event: ParkedEvent) -> Result<(Parking, Place), LetterProblem> {
        let bytes = parked_bytes(key, Some(&event.record));
        let place = (self.shared.parked.take(bytes, 0))
            .map_err(|bound| LetterProblem::NoRoom(bound.setting()))?;
        let parking = Parking {
            message: Parked::Event(Box::new(event)),
            bytes,
            time: now_ms(),
        };
        Ok((parking, place))
    }
}

/// Admits the record of a letter under a description, with its corrected value if it has one: the
/// record as it is then, and its message.
///
/// # Errors
/// The reason why it can't be admitted.
pub fn admit_to(
    description: &Description,
    limits: &TurnLimits,
    stored: &StoredLetter,
    corrected: Option<&[u8]>,
) -> Result<(Record, Message), LetterProblem> {
    let letter = &stored.letter;
    let record = Record {
        value: corrected
            .map(<[u8]>::to_vec)
            .or_else(|| stored.corrected.clone())
            .or_else(|| letter.record.value.clone()),
        ..letter.record.clone()
    };
    if record.value.is_none() {
        return Err(LetterProblem::NoValue);
    }
    let topic = &letter.declared_topic;
    match admit::record(&record, topic, description, limits, now_ms()) {
        Admission::Offer(envelope) => Ok((record, envelope.message)),
        Admission::Malformed(reason) => Err(LetterProblem::NotAdmitted(reason)),
        Admission::Skip => {
            let event_type = record.attributes.event_type.unwrap_or_default();
            let reason = format!("they don't subscribe to `{event_type}` on {topic}");
            Err(LetterProblem::NotAdmitted(reason))
        }
    }
}
