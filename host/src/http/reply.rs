//! What a client is answered once the rules have decided, or could not.

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use saga_core::outcome::Reply;

use super::answer::{Answered, json_response};
use super::problem::{Problem, try_later};
use super::routes::{self, Route};
use crate::api::problems::Kind;
use crate::pipeline::Answer;

/// The answer to a command, or what is wrong.
pub(super) fn response(route: &Route, answer: Answer) -> Result<Answered, Problem> {
    let (reply, key) = match answer {
        Answer::Replied(reply, key) => (reply, key),
        Answer::Malformed(reason) => {
            return Err(Problem::new(Kind::Malformed, reason));
        }
        Answer::TryLater(reason) => return Err(try_later(reason)),
        Answer::CheckAgain(_) => return Err(try_later("the rules were swapped".into())),
        Answer::StoreFailed(fault) => {
            let detail = format!("the store failed and nothing was changed: {fault}");
            return Err(Problem::new(Kind::StoreFailed, detail).retry_after(1));
        }
        Answer::Broke(fault) => {
            let detail = format!("the rules broke and nothing was changed: {fault}");
            return Err(Problem::new(Kind::RulesBroke, detail));
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
