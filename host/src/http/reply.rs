//! Responses to decisions of the rules, and to turns that failed.

use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use saga_core::outcome::Reply;
use saga_core::rules::Fault;

use super::answer::{Answered, json_response};
use super::conditional;
use super::problem::{Problem, try_later};
use super::routes::{self, Route};
use crate::apidocs::problems::Kind;
use crate::store::{FaultKind, StoreFault};
use crate::turn::Answer;

/// The reply and the key of its aggregate, or the problem.
pub(super) fn replied(answer: Answer) -> Result<(Reply, String), Problem> {
    Err(match answer {
        Answer::Replied(reply, key) => return Ok((reply, key)),
        Answer::Malformed(reason) => Problem::new(Kind::Malformed, reason),
        Answer::TryLater(reason) => try_later(reason),
        Answer::CheckAgain(_) => try_later("the rules were swapped".into()),
        Answer::StoreFailed(fault) => store_failed(&fault),
        Answer::Quarantined(fault) => quarantined(&fault),
        Answer::Unknown(seconds, can_repeat) => outcome_unknown(seconds, can_repeat),
        Answer::Broke(fault) => {
            let detail = format!("the rules broke and nothing was changed: {fault}");
            Problem::new(Kind::RulesBroke, detail)
        }
    })
}

/// The response to a command, or the problem.
pub(super) fn response(route: &Route, answer: Answer) -> Result<Answered, Problem> {
    let (reply, key) = replied(answer)?;
    let (body, settled) = match reply {
        Reply::Done(body) => (body, true),
        Reply::Pending(body) => (body, false),
        Reply::Refused(refusal) => return Err(Problem::refused(refusal)),
    };
    let status = match (route.creates, settled) {
        (true, _) => StatusCode::CREATED,
        (false, true) => StatusCode::OK,
        (false, false) if route.method == Method::GET => StatusCode::OK,
        (false, false) => StatusCode::ACCEPTED,
    };
    let read = (route.method == Method::GET).then(|| conditional::tag(&body));
    let mut response = json_response(status, "application/json", body);
    if let Some(tag) = read {
        conditional::mark(&mut response, &tag);
        // The same path serves events too.
        let vary = HeaderValue::from_static("accept");
        response.headers_mut().insert(header::VARY, vary);
    }
    if let Some(template) = &route.location
        && let Ok(location) = HeaderValue::from_str(&routes::location(template, &key))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The problem of an aggregate whose state can't be read.
pub(super) fn quarantined(fault: &Fault) -> Problem {
    let detail = format!(
        "the rules can't read the state of this aggregate, and nothing was changed: {fault}"
    );
    Problem::new(Kind::Quarantined, detail).retry_after(60)
}

/// The problem of a command whose outcome is unknown. Only a client with an idempotency key is told
/// to retry: without a key, a repeat might take effect a second time.
pub(super) fn outcome_unknown(seconds: u64, can_repeat: bool) -> Problem {
    let advice = if can_repeat {
        "send it again under the same Idempotency-Key to learn the outcome"
    } else {
        "look before you send it again; under an Idempotency-Key it takes effect once however often it is sent"
    };
    let detail = format!(
        "whether the command took effect was not known after {seconds} s, and it may yet: {advice}"
    );
    let problem = Problem::new(Kind::OutcomeUnknown, detail);
    match can_repeat {
        true => problem.retry_after(1),
        false => problem,
    }
}

/// The problem of a store that failed.
pub(super) fn store_failed(fault: &StoreFault) -> Problem {
    match fault.kind() {
        FaultKind::Passing => {
            let detail = format!("the store failed and nothing was changed: {fault}");
            Problem::new(Kind::StoreFailed, detail).retry_after(1)
        }
        // A retry would meet the same error.
        FaultKind::Damaged => {
            let detail = format!("the store is damaged and nothing was changed: {fault}");
            Problem::new(Kind::StoreUnusable, detail)
        }
        FaultKind::Gone => {
            let detail = format!("the store is gone and nothing is kept: {fault}");
            Problem::new(Kind::StoreUnusable, detail)
        }
    }
}
