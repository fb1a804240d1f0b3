//! Dead letters: records that could not be decided, and the operators' requests for them.
//!
//! A parked dead letter is the first message of its aggregate: later ones wait behind it until it
//! is redriven and decided, or discarded. Its record is kept unchanged, even if an operator
//! redrives it with another value.

use std::ops::ControlFlow;

use saga_core::commit::{DeadLetter, LetterEnd, LetterPlace, LetterRequest, Parking};
use saga_core::identity::Identity;

use super::parked_room::Place;
use super::read::{ReadStore, StoreResult};
use crate::base::clock::now_ms;

/// A dead letter as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    /// Its number.
    pub id: i64,
    /// Key of the aggregate. None if its record could not be admitted.
    pub aggregate: Option<String>,
    /// The letter. `reason`, `detail`, `attempts` and `digest` are those of the last failure.
    pub letter: DeadLetter,
    /// The value with which it is redriven instead of its own.
    pub corrected: Option<Vec<u8>>,
    /// Failed redrives.
    pub failed_redrives: u64,
    /// Later messages of its aggregate that wait behind it.
    pub waiting: u64,
    /// The pending request for it.
    pub request: Option<LetterRequest>,
    /// Its end, with the time in milliseconds since the Unix epoch.
    pub ended: Option<(LetterEnd, u64)>,
}

/// An action on a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterAct {
    /// Time, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Actor: the name of an operator's token, a record, or the host.
    pub by: String,
    /// The action: a stable word.
    pub act: String,
    /// A detail; empty if there is none.
    pub detail: String,
}

/// A filter of dead letters. All given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Letters of this aggregate.
    pub aggregate: Option<String>,
    /// Letters with this reason.
    pub reason: Option<String>,
    /// Letters that were given up before this time, in milliseconds since the Unix epoch.
    pub before: Option<u64>,
    /// Include ended letters.
    pub with_ended: bool,
}

impl LetterFilter {
    /// The bound `before` for letters that were given up longer ago than this.
    #[must_use]
    pub fn before(older_than_seconds: u64) -> u64 {
        now_ms().saturating_sub(older_than_seconds.saturating_mul(1_000))
    }
}

/// An operator's request for a dead letter.
#[derive(Debug)]
pub struct NewLetterRequest {
    /// Row of the participant.
    pub participant: i64,
    /// Number of the letter.
    pub letter: i64,
    /// The request.
    pub request: LetterRequest,
    /// The operator.
    pub by: String,
    /// Time, in milliseconds since the Unix epoch.
    pub now: u64,
    /// The value with which to redrive it instead of its own.
    pub corrected: Option<Vec<u8>>,
    /// For the redrive of a letter that is not parked: the key for which to park it, and the parked
    /// message.
    pub parking: Option<(String, Parking)>,
    /// The place that it then takes.
    pub place: Option<Place>,
}

/// The outcome of a request for a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterAnswer {
    /// No letter has this number.
    Unknown,
    /// It had ended.
    Ended(LetterEnd),
    /// It must be parked to be redriven, and `parking` was not given.
    NotParked,
    /// A record with its identity was decided meanwhile; the letter has ended.
    DecidedMeanwhile,
    /// It was not parked, and is now discarded.
    Discarded,
    /// The worker of this key must be notified; the letter was parked for the request if `is_new`.
    Requested {
        /// Key of the aggregate.
        key: String,
        /// True if the letter was parked for the request.
        is_new: bool,
    },
}

/// The end of a dead letter from its stored word.
pub(super) fn end_of(word: &str) -> LetterEnd {
    match word {
        "discarded" => LetterEnd::Discarded,
        _ => LetterEnd::Decided,
    }
}

/// A request from its stored word.
///
/// # Errors
/// There is no such request.
pub(super) fn request_of(word: Option<&str>) -> Result<Option<LetterRequest>, String> {
    match word {
        None => Ok(None),
        Some("redrive") => Ok(Some(LetterRequest::Redrive)),
        Some("discard") => Ok(Some(LetterRequest::Discard)),
        Some(other) => Err(format!("`{other}` is no request")),
    }
}

/// Queries for dead letters.
pub trait ReadLetters {
    /// The dead letters of a participant after the one of this number, in the order of their
    /// numbers, at most `most`; without the bytes of keys and values.
    fn dead_letters(
        &self,
        participant: i64,
        filter: &LetterFilter,
        after: i64,
        most: usize,
    ) -> StoreResult<Vec<StoredLetter>>;

    /// Open dead letters of a participant, and aggregates that they block; counted up to `most`
    /// letters.
    fn open_dead_letters_up_to(&self, participant: i64, most: usize) -> StoreResult<(u64, u64)>;

    /// The number of open dead letters of a participant, by reason.
    fn dead_letter_reasons(&self, participant: i64) -> StoreResult<Vec<(String, u64)>>;

    /// True if a request for a dead letter is pending; `None` if there is no letter of this number.
    fn is_letter_requested(&self, participant: i64, letter: i64) -> StoreResult<Option<bool>>;

    /// The dead letter of this number, and the actions on it, oldest first.
    fn dead_letter(
        &self,
        participant: i64,
        letter: i64,
    ) -> StoreResult<Option<(StoredLetter, Vec<LetterAct>)>>;

    /// The parked dead letter of this identity.
    fn parked_letter(
        &self,
        participant: i64,
        identity: &Identity,
    ) -> StoreResult<Option<LetterPlace>>;
}

/// The actor if no operator acted.
pub(crate) const HOST: &str = "host";

/// Letters read at once (invariant 9).
const PAGE: usize = 1_000;

/// Passes the dead letters of a participant in the order of their numbers, without the bytes of keys
/// and values, until `on` breaks.
///
/// # Errors
/// The store can't be read.
pub fn each(
    reading: &dyn ReadStore,
    participant: i64,
    filter: &LetterFilter,
    mut on: impl FnMut(StoredLetter) -> ControlFlow<()>,
) -> StoreResult<()> {
    let mut after = 0;
    loop {
        let page = reading.dead_letters(participant, filter, after, PAGE)?;
        let is_last = page.len() < PAGE;
        for stored in page {
            after = stored.id;
            if on(stored).is_break() {
                return Ok(());
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// The stable word of a request.
pub(super) fn request_word(request: LetterRequest) -> &'static str {
    match request {
        LetterRequest::Redrive => "redrive",
        LetterRequest::Discard => "discard",
    }
}

/// The stable word of an end.
pub(super) fn end_word(end: LetterEnd) -> &'static str {
    match end {
        LetterEnd::Decided => "decided",
        LetterEnd::Discarded => "discarded",
    }
}
