//! Dead letters over the admin interface: lists, shows, redrives and discards them.
//!
//! A request is stored first. Its answer is the letter after it was decided, discarded or has
//! failed again, or as it is after [`PATIENCE`].

use std::sync::Arc;
use std::time::Duration;

use saga_core::commit::{LetterEnd, LetterRequest};
use serde::Deserialize;

use super::access::Operator;
use super::letter_report::{AllLetters, Letter, LetterDetail, LetterPage};
use crate::apidocs::problems::Kind;
use crate::http::paging;
use crate::http::problem::Problem;
use crate::http::reply::store_failed;
use crate::store::dead_letters::{LetterAnswer, LetterFilter};
use crate::store::{ReadStore, StoreFault, StoreResult};
use crate::turn::Participant;
use crate::turn::dead_letters::{LetterProblem, OperatorRequest};

/// Letters on a page, unless the query has a limit.
const PAGE: usize = 100;

/// Most letters on a page.
const LONGEST_PAGE: usize = 1_000;

/// Longest wait for the outcome of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Interval at which the outcome is polled.
const POLL: Duration = Duration::from_millis(20);

/// The body of a request for a letter.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LetterRequestBody {
    /// The author of the request.
    by: Option<String>,
    /// The value to redrive instead of the record's own.
    value: Option<String>,
}

/// The query of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LetterQuery {
    /// The filter.
    pub filter: LetterFilter,
    /// The page begins after the letter of this number.
    pub after: i64,
    /// Most letters on the page.
    pub limit: usize,
}

impl LetterQuery {
    /// Reads `key=17&reason=trap&older-than=3600&ended=true&after=12&limit=10`.
    pub(super) fn of(query: Option<&str>) -> Result<Self, Problem> {
        let mut wanted = Self {
            limit: PAGE,
            ..Self::default()
        };
        for (name, value) in paging::pairs(query.unwrap_or_default())? {
            let unknown = || {
                let detail = format!(
                    "the query `{name}={value}` is not known; there are key=TEXT, reason=WORD, older-than=SECONDS, ended=true, \
                     after=NUMBER and limit=1 to {LONGEST_PAGE}"
                );
                Problem::new(Kind::BadQuery, detail)
            };
            let number = || value.parse::<u64>().map_err(|_| unknown());
            match &*name {
                "key" => wanted.filter.aggregate = Some(value),
                "reason" => wanted.filter.reason = Some(value),
                "older-than" => wanted.filter.before = Some(LetterFilter::before(number()?)),
                "ended" => wanted.filter.with_ended = value.parse().map_err(|_| unknown())?,
                "after" => wanted.after = value.parse().map_err(|_| unknown())?,
                "limit" => match usize::try_from(number()?) {
                    Ok(limit @ 1..=LONGEST_PAGE) => wanted.limit = limit,
                    _ => return Err(unknown()),
                },
                _ => return Err(unknown()),
            }
        }
        Ok(wanted)
    }
}

/// A page of the dead letters of a participant, by its row.
///
/// # Errors
/// The store's error.
pub fn page(
    reading: &dyn ReadStore,
    (name, row): (&str, i64),
    query: &LetterQuery,
) -> Result<LetterPage, StoreFault> {
    let found = reading.dead_letters(row, &query.filter, query.after, query.limit)?;
    let next = found.last().filter(|_| found.len() == query.limit);
    Ok(LetterPage {
        participant: name.to_owned(),
        by_reason: reading.dead_letter_reasons(row)?.into_iter().collect(),
        next: next.map(|last| last.id),
        letters: found.iter().map(Letter::of).collect(),
    })
}

/// One dead letter of a participant, by its row.
///
/// # Errors
/// The store's error.
pub fn one(
    reading: &dyn ReadStore,
    row: i64,
    letter: i64,
) -> Result<Option<LetterDetail>, StoreFault> {
    let found = reading.dead_letter(row, letter)?;
    Ok(found.map(|(stored, acts)| LetterDetail::of(&stored, acts)))
}

/// A page of the dead letters of a participant.
pub(super) async fn list(
    participant: Arc<Participant>,
    query: LetterQuery,
) -> Result<LetterPage, Problem> {
    let listing = move || {
        let (reader, row) = participant.reading()?;
        page(&*reader, (participant.name(), row), &query)
    };
    of_store(listing).await
}

/// A page of the dead letters of these participants.
pub(super) async fn list_all(
    participants: Vec<Arc<Participant>>,
    query: LetterQuery,
) -> Result<AllLetters, Problem> {
    let listing = move || {
        let pages = participants.iter().map(|participant| {
            let (reader, row) = participant.reading()?;
            page(&*reader, (participant.name(), row), &query)
        });
        Ok(AllLetters::of(
            pages.collect::<Result<_, _>>()?,
            query.limit,
        ))
    };
    of_store(listing).await
}

/// One dead letter of a participant.
pub(super) async fn show(
    participant: Arc<Participant>,
    letter: i64,
) -> Result<LetterDetail, Problem> {
    let name = participant.name().to_owned();
    let looking = move || {
        let (reader, row) = participant.reading()?;
        one(&*reader, row, letter)
    };
    let found = of_store(looking).await?;
    found.ok_or_else(|| unknown(&name, letter))
}

/// Requests a redrive or discard of a letter, and waits for its outcome.
pub(super) async fn ask(
    participant: Arc<Participant>,
    letter: i64,
    (request, wish): (LetterRequest, LetterRequestBody),
    operator: &Operator,
) -> Result<LetterDetail, Problem> {
    let ask = OperatorRequest {
        request,
        by: operator.name(wish.by),
        corrected: wish.value.map(String::into_bytes),
    };
    if ask.corrected.is_some() && request == LetterRequest::Discard {
        let detail = "a letter is discarded as it is: leave `value` out";
        return Err(Problem::new(Kind::BadJson, detail));
    }
    let asking = participant.clone();
    let asked = blocking(move || asking.request_for_letter(letter, ask)).await?;
    match asked.map_err(problem)? {
        LetterAnswer::Unknown => return Err(unknown(participant.name(), letter)),
        LetterAnswer::Ended(end) => return Err(ended(letter, end)),
        LetterAnswer::NotParked
        | LetterAnswer::Discarded
        | LetterAnswer::DecidedMeanwhile
        | LetterAnswer::Requested { .. } => {}
    }
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        let looking = participant.clone();
        let look = move || {
            let (reader, row) = looking.reading()?;
            reader.is_letter_requested(row, letter)
        };
        let is_requested = of_store(look).await?;
        if is_requested != Some(true) || tokio::time::Instant::now() >= until {
            return show(participant, letter).await;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Runs a function that uses the store, on a thread that may block.
pub(super) async fn of_store<T: Send + 'static>(
    work: impl FnOnce() -> StoreResult<T> + Send + 'static,
) -> Result<T, Problem> {
    let result = blocking(work).await?;
    result.map_err(|fault| store_failed(&fault))
}

/// Runs a blocking function on a thread for such.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let result = tokio::task::spawn_blocking(work).await;
    result.map_err(|error| Problem::new(Kind::AnswerFailed, error.to_string()))
}

pub(super) fn unknown(participant: &str, letter: i64) -> Problem {
    let detail = format!(
        "{participant} has no dead letter {letter}; `saga dead-letters list {participant}` has them"
    );
    Problem::new(Kind::UnknownDeadLetter, detail)
}

fn ended(letter: i64, end: LetterEnd) -> Problem {
    let how = match end {
        LetterEnd::Decided => "was decided",
        LetterEnd::Discarded => "was discarded",
    };
    let detail = format!("dead letter {letter} {how} before; nothing was changed");
    Problem::new(Kind::DeadLetterEnded, detail)
}

fn problem(problem: LetterProblem) -> Problem {
    let kind = match &problem {
        LetterProblem::NotAdmitted(_) | LetterProblem::NoValue => Kind::DeadLetterRefused,
        LetterProblem::NoRoom(_) | LetterProblem::Changing => Kind::TryLater,
        LetterProblem::Store(fault) => return store_failed(fault),
    };
    Problem::new(kind, problem.to_string())
}
