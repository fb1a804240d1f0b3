//! What a client is answered once the rules have decided, or could not.

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use saga_core::outcome::Reply;

use super::answer::{Answered, json_response};
use super::problem::{Problem, try_later};
use super::routes::{self, Route};
use crate::pipeline::Answer;
use crate::store::StoreFault;

/// The answer to a command, or what is wrong.
pub(super) fn response(route: &Route, answer: Answer) -> Result<Answered, Problem> {
    let (reply, key) = match answer {
        Answer::Replied(reply, key) => (reply, key),
        Answer::Malformed(reason) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", reason));
        }
        Answer::TryLater(reason) => return Err(try_later(reason)),
        Answer::CheckAgain(_) => return Err(try_later("the rules were swapped".into())),
        Answer::StoreFailed(fault) => return Err(store_failed(&fault)),
        Answer::Broke(fault) => {
            let detail = format!("the rules broke and nothing was changed: {fault}");
            return Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "rules-broke",
                detail,
            ));
        }
    };
    let (body, settled) = match reply {
        Reply::Done(body) => (body, true),
        Reply::Pending(body) => (body, false),
        Reply::Refused(refusal) => return Err(Problem::refused(refusal)),
    };
    let status = match (route.creates, settled) {
        (true, _) => StatusCode::CREATED,
        (false, true) => StatusCode::OK,
        (false, false) if route.method == hyper::Method::GET => StatusCode::OK,
        (false, false) => StatusCode::ACCEPTED,
    };
    let mut response = json_response(status, "application/json", body);
    if let Some(template) = &route.location
        && let Ok(location) = HeaderValue::from_str(&routes::location(template, &key))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The problem of a store that failed.
pub(super) fn store_failed(fault: &StoreFault) -> Problem {
    let detail = format!("the store failed and nothing was changed: {fault}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-failed", detail).retry_after(1)
}
