//! Responses to decisions of the rules, and to turns that failed.

use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use saga_core::outcome::Reply;
use saga_core::rules::{Fault, FaultKind};

use super::answer::{Answered, json_response};
use super::problem::{Problem, try_later};
use super::routes::{self, Route};
use super::{conditional, correlation};
use crate::apidocs::problems::Kind;
use crate::store::{StoreFault, StoreFaultKind};
use crate::turn::{Answer, Replied, UnknownOutcome};

/// The reply, or the problem.
pub(super) fn replied(answer: Answer) -> Result<Replied, Problem> {
    Err(match answer {
        Answer::Replied(replied) => return Ok(replied),
        Answer::Malformed(reason) => Problem::new(Kind::Malformed, reason),
        Answer::TryLater(reason) => try_later(reason),
        Answer::CheckAgain(_) => try_later("the rules were swapped".into()),
        Answer::StoreFailed(fault) => store_failed(&fault),
        Answer::Quarantined(fault) => quarantined(&fault),
        Answer::Blocked => blocked(),
        // The answer of a migration, which no client can ask for.
        Answer::StateRead(_) => try_later("only the state was read".into()),
        Answer::Broke(fault, id) => {
            let told = broken(&fault, &id);
            let detail = format!("the rules broke and nothing was changed: {told}");
            Problem::new(Kind::RulesBroke, detail)
        }
    })
}

/// The response to a command, or the problem.
pub(super) fn response(route: &Route, answer: Answer) -> Result<Answered, Problem> {
    let Replied {
        reply,
        key,
        correlation,
        seen: _,
    } = replied(answer)?;
    let (body, settled) = match reply {
        Reply::Done(body) => (body, true),
        Reply::Pending(body) => (body, false),
        Reply::Refused(refusal) => {
            return Err(Problem {
                correlation: Some(correlation.into()),
                ..Problem::refused(refusal)
            });
        }
    };
    let status = match (route.creates, settled) {
        (true, _) => StatusCode::CREATED,
        (false, true) => StatusCode::OK,
        (false, false) if route.method == Method::GET => StatusCode::OK,
        (false, false) => StatusCode::ACCEPTED,
    };
    let read = (route.method == Method::GET).then(|| conditional::tag(&body));
    let mut response = json_response(status, "application/json", body);
    correlation::mark(&mut response, &correlation);
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

/// What clients are told of a fault on the message of this id. The text of a trap shows the inside
/// of the rules and perhaps data, so it is for the log.
pub(super) fn broken(fault: &Fault, id: &str) -> String {
    match fault.kind {
        FaultKind::Trap => {
            format!("{}: the host's log has the reason with id={id}", fault.kind)
        }
        _ => fault.to_string(),
    }
}

/// The same where the rules can't read the state of an aggregate.
pub(super) fn unreadable(fault: &Fault) -> String {
    match fault.kind {
        FaultKind::Trap => format!(
            "{}: the host's log has the reason, and its operator is shown it with the quarantined aggregate",
            fault.kind
        ),
        _ => fault.to_string(),
    }
}

/// The problem of an aggregate whose state can't be read.
pub(super) fn quarantined(fault: &Fault) -> Problem {
    let told = unreadable(fault);
    let detail = format!(
        "the rules can't read the state of this aggregate, and nothing was changed: {told}"
    );
    Problem::new(Kind::Quarantined, detail).retry_after(60)
}

/// The problem of a command whose aggregate is blocked by a dead letter.
pub(super) fn blocked() -> Problem {
    let detail = "an earlier message of this aggregate could not be decided, and later ones wait behind it; nothing was changed";
    Problem::new(Kind::Blocked, detail)
}

/// The problem of a command whose outcome is unknown. Only a client with an idempotency key is told
/// to retry: without a key, a repeat might take effect a second time.
impl From<UnknownOutcome> for Problem {
    fn from(unknown: UnknownOutcome) -> Self {
        let advice = if unknown.can_repeat {
            "send it again under the same Idempotency-Key to learn the outcome"
        } else {
            "look before you send it again; under an Idempotency-Key it takes effect once however often it is sent"
        };
        let detail = format!(
            "whether the command took effect was not known after {} s, and it may yet: {advice}",
            unknown.seconds
        );
        let problem = Problem::new(Kind::OutcomeUnknown, detail);
        match unknown.can_repeat {
            true => problem.retry_after(1),
            false => problem,
        }
    }
}

/// The problem of a store that failed.
pub fn store_failed(fault: &StoreFault) -> Problem {
    match fault.kind() {
        StoreFaultKind::Passing | StoreFaultKind::Superseded => {
            let detail = format!("the store failed and nothing was changed: {fault}");
            Problem::new(Kind::StoreFailed, detail).retry_after(1)
        }
        // A retry would meet the same error.
        StoreFaultKind::Damaged => {
            let detail = format!("the store is damaged and nothing was changed: {fault}");
            Problem::new(Kind::StoreUnusable, detail)
        }
        StoreFaultKind::Gone => {
            let detail = format!("the store is gone and nothing is kept: {fault}");
            Problem::new(Kind::StoreUnusable, detail)
        }
    }
}
