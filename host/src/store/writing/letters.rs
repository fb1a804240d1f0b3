//! The actions on dead letters: what an operator's request comes to, and what is noted of it.

use saga_core::commit::{Entry, FailedRedrive, LetterEnd, LetterRequest, Parked, Parking};
use saga_core::identity::{self, Identity};

use crate::store::dead_letters::{
    HOST, LetterAnswer, NewLetterRequest, end_of, end_word, request_word,
};

/// The rows of dead letters, as an engine has them, in the open transaction.
pub(in crate::store) trait LetterRows {
    /// An error of the engine.
    type Error;

    /// A letter of a participant, if it has this one; it does not change before the commit.
    fn found(&self, participant: i64, letter: i64) -> Result<Option<FoundLetter>, Self::Error>;

    /// Remembers the identity of an event; returns false if it is known.
    fn remember(
        &self,
        participant: i64,
        identity: &Identity,
        time: u64,
    ) -> Result<bool, Self::Error>;

    /// Parks a message; returns its number, or none if one of its identity is parked.
    fn park(&self, entry: &Entry, parking: &Parking) -> Result<Option<i64>, Self::Error>;

    /// Notes that a letter is parked for its redrive only.
    fn set_aside(&self, letter: i64) -> Result<(), Self::Error>;

    /// Sets the request of a letter that is this parked message, and its other value.
    fn set_request(&self, asked: &NewLetterRequest, parked: i64) -> Result<(), Self::Error>;

    /// Sets the end of a letter.
    fn set_end(&self, letter: i64, end: LetterEnd, time: u64) -> Result<(), Self::Error>;

    /// Notes what was done with a letter: by whom, the act, the detail.
    fn note(
        &self,
        letter: i64,
        time: u64,
        what: (&str, &str, &str),
        value: Option<&[u8]>,
    ) -> Result<(), Self::Error>;
}

/// What a request depends on.
pub(in crate::store) struct FoundLetter {
    /// Key of the aggregate.
    pub(in crate::store) aggregate: Option<String>,
    /// Number of the parked message that it is.
    pub(in crate::store) parked: Option<i64>,
    /// The word of its end.
    pub(in crate::store) ended: Option<String>,
}

/// Stores an operator's request for a letter.
pub(in crate::store) fn request<R: LetterRows>(
    rows: &R,
    asked: &NewLetterRequest,
    trusted: u64,
) -> Result<LetterAnswer, R::Error> {
    let Some(found) = rows.found(asked.participant, asked.letter)? else {
        return Ok(LetterAnswer::Unknown);
    };
    if let Some(end) = found.ended {
        return Ok(LetterAnswer::Ended(end_of(&end)));
    }
    let is_discard = asked.request == LetterRequest::Discard;
    let answer = match (found.parked, &asked.parking) {
        (Some(parked), _) => {
            rows.set_request(asked, parked)?;
            LetterAnswer::Requested {
                key: found.aggregate.unwrap_or_default(),
                is_new: false,
            }
        }
        (None, _) if is_discard => {
            note_request(rows, asked)?;
            end(rows, asked.letter, LetterEnd::Discarded, asked.now)?;
            return Ok(LetterAnswer::Discarded);
        }
        (None, Some((key, parking))) => match park(rows, asked, (key, parking), trusted)? {
            true => LetterAnswer::Requested {
                key: key.clone(),
                is_new: true,
            },
            false => {
                note_request(rows, asked)?;
                end(rows, asked.letter, LetterEnd::Decided, asked.now)?;
                return Ok(LetterAnswer::DecidedMeanwhile);
            }
        },
        (None, None) => return Ok(LetterAnswer::NotParked),
    };
    note_request(rows, asked)?;
    Ok(answer)
}

/// Parks an unparked letter to be redriven; returns false if its identity is known.
fn park<R: LetterRows>(
    rows: &R,
    asked: &NewLetterRequest,
    (key, parking): (&str, &Parking),
    trusted: u64,
) -> Result<bool, R::Error> {
    let Parked::Event(event) = &parking.message else {
        return Ok(false);
    };
    let time = asked.now.max(trusted);
    let is_news = rows.remember(asked.participant, &event.identity, time)?;
    // A record without an id is identified by its position, which was noted when it was given up.
    if !is_news && event.identity != identity::of_position(&event.record.position) {
        return Ok(false);
    }
    let mut entry = Entry::empty(asked.participant, 0, 0);
    entry.key = Some(key.to_owned());
    let Some(id) = rows.park(&entry, parking)? else {
        return Ok(false);
    };
    rows.set_aside(asked.letter)?;
    rows.set_request(asked, id)?;
    Ok(true)
}

fn note_request<R: LetterRows>(rows: &R, asked: &NewLetterRequest) -> Result<(), R::Error> {
    let detail = match &asked.corrected {
        Some(value) => format!("with another value of {} bytes", value.len()),
        None => String::new(),
    };
    let what = (&*asked.by, request_word(asked.request), &*detail);
    let value = asked.corrected.as_deref();
    rows.note(asked.letter, asked.now, what, value)
}

/// Ends a letter.
pub(in crate::store) fn end<R: LetterRows>(
    rows: &R,
    letter: i64,
    end: LetterEnd,
    time: u64,
) -> Result<(), R::Error> {
    rows.set_end(letter, end, time)?;
    rows.note(letter, time, (HOST, end_word(end), ""), None)
}

/// Notes a failed redrive.
pub(in crate::store) fn note_failed<R: LetterRows>(
    rows: &R,
    failed: &FailedRedrive,
) -> Result<(), R::Error> {
    let detail = format!("{}: {}", failed.reason, failed.detail);
    rows.note(failed.letter, failed.time, (HOST, "failed", &detail), None)
}
