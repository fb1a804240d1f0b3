//! The state of one aggregate as it changes, as server-sent events (`text/event-stream`, WHATWG
//! HTML).
//!
//! A read that is requested as events first sends its present answer, then a new one whenever it
//! differs. A slow client misses states in between: the newest state is complete, and nothing is
//! queued for any client.
//!
//! # When a stream ends
//!
//! If the client has seen the saga undecided (the read answered `pending`), the stream ends with
//! the decision. Rules whose read is never pending describe something ongoing, and the stream goes
//! on until the client leaves. The ids of events, `TAG-PHASE`, say what a client has seen; it sends
//! the last one as `Last-Event-ID` when it reconnects: if that was the decision, and it still
//! holds, the answer is 204, which ends the reconnecting. A stream also ends with the host's drain,
//! and if the read can't be answered any more; a client that reconnects then gets the reason.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::time::Instant;

use super::answer::{AnswerBody, Answered, too_many_bytes, whole};
use super::body;
use super::conditional;
use super::problem::Problem;
use super::waiting::{PresentState, WatchedRead};
use crate::base::budget::{Budget, Reserved};

/// Media type of server-sent events.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// The id of the last event that a client has seen.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Tells buffering proxies, nginx above all, to pass on each event.
const NO_GATHERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A comment line, which clients ignore.
const HEARTBEAT: &[u8] = b":\n\n";

/// The phase of the saga in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SagaPhase {
    /// Undecided.
    Pending,
    /// Decided, after the client has seen it undecided.
    Decided,
    /// Nothing to decide, as far as the client has seen.
    Current,
}

impl SagaPhase {
    const ALL: [Self; 3] = [Self::Pending, Self::Decided, Self::Current];

    fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Decided => "decided",
            Self::Current => "current",
        }
    }
}

/// True if a request prefers events to JSON.
pub(super) fn are_wanted(method: &Method, headers: &HeaderMap) -> bool {
    let (events, json) = (
        quality(headers, MEDIA_TYPE),
        quality(headers, "application/json"),
    );
    *method == Method::GET && events > 0.0 && events > json
}

/// The quality of a media type that is listed by name, from 0 to 1.
fn quality(headers: &HeaderMap, media_type: &str) -> f32 {
    let lists = headers.get_all(header::ACCEPT).iter();
    let ranges = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    let wanted = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next()?.eq_ignore_ascii_case(media_type);
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        is_it.then(|| quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
    });
    wanted.fold(0.0, f32::max)
}

/// Opens a stream. Errors of the first read are answered like those of any other read.
pub(super) async fn open(
    mut reading: WatchedRead,
    headers: &HeaderMap,
    heartbeat: std::time::Duration,
    budget: Budget,
) -> Result<Answered, Problem> {
    let seen = reading.ask().await?;
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let mut stream = EventStream {
        reading,
        heartbeat,
        budget,
        has_pended: last
            .and_then(phase)
            .is_some_and(|phase| phase != SagaPhase::Current),
        shown: last.unwrap_or_default().to_owned(),
        is_over: false,
    };
    let first = match stream.event(&seen) {
        Some(event) => (stream.charged(event)).ok_or_else(|| too_many_bytes(&stream.budget))?,
        None if stream.is_over => return Ok(no_more()),
        // The client has seen this already; the comment shows that the stream is open.
        None => sign_of_life(),
    };
    Ok(response(first, stream))
}

/// The response with these bytes and the stream after them.
pub(super) fn response(first: EventBytes, stream: impl Follow) -> Answered {
    let mut response = Answered::new(AnswerBody::stream(Events::begin(first, stream)));
    for (name, value) in [
        (header::CONTENT_TYPE, MEDIA_TYPE),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
        (NO_GATHERING, "no"),
    ] {
        (response.headers_mut()).insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The answer that makes a browser end its `EventSource`.
fn no_more() -> Answered {
    let mut response = Answered::new(whole(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The phase in an event's id; `None` for an id of other origin.
fn phase(id: &str) -> Option<SagaPhase> {
    let (_, word) = id.rsplit_once('-')?;
    SagaPhase::ALL
        .into_iter()
        .find(|phase| phase.word() == word)
}

/// A stream between two events.
struct EventStream {
    reading: WatchedRead,
    heartbeat: std::time::Duration,
    budget: Budget,
    /// Id of the client's latest event.
    shown: String,
    /// True if the client has seen the saga undecided.
    has_pended: bool,
    /// True if the client's latest event is the last one.
    is_over: bool,
}

impl EventStream {
    /// The event for this read; `None` if the client has it already.
    fn event(&mut self, seen: &PresentState) -> Option<Bytes> {
        self.has_pended |= seen.is_pending;
        let phase = match (seen.is_pending, self.has_pended) {
            (true, _) => SagaPhase::Pending,
            (false, true) => SagaPhase::Decided,
            (false, false) => SagaPhase::Current,
        };
        self.is_over = phase == SagaPhase::Decided;
        let id = format!("{}-{}", conditional::tag(&seen.body), phase.word());
        if self.shown == id {
            return None;
        }
        // A line end in JSON text is white space between tokens, and can't occur within one.
        let data = seen.body.replace(['\n', '\r'], " ");
        let event = format!("event: state\nid: {id}\ndata: {data}\n\n");
        self.shown = id;
        Some(event.into())
    }

    /// An event with its reservation; `None` if the budget is used up.
    fn charged(&self, event: Bytes) -> Option<EventBytes> {
        let reserved = self.budget.try_reserve(event.len())?;
        Some((event, Some(reserved)))
    }
}

impl Follow for EventStream {
    async fn next(mut self) -> Option<(EventBytes, Self)> {
        if self.is_over {
            return None;
        }
        let silent_until = Instant::now() + self.heartbeat;
        loop {
            tokio::select! {
                is_so = self.reading.changed() => if !is_so { return None },
                () = tokio::time::sleep_until(silent_until) => {
                    return Some((sign_of_life(), self));
                }
            }
            let seen = self.reading.ask().await.ok()?;
            if let Some(event) = self.event(&seen) {
                return Some((self.charged(event)?, self));
            }
        }
    }
}

/// Bytes to send at once, with their reservation.
pub(super) type EventBytes = (Bytes, Option<Reserved>);

/// A stream of events between two pieces.
pub(super) trait Follow: Sized + Send + 'static {
    /// The next piece, and the stream after it. `None` at the end, and if the budget has no room
    /// for it: a client that reconnects gets the reason.
    fn next(self) -> impl Future<Output = Option<(EventBytes, Self)>> + Send;
}

/// The future of the next piece.
type NextEvent<S> = Pin<Box<dyn Future<Output = Option<(EventBytes, S)>> + Send>>;

pub(super) fn sign_of_life() -> EventBytes {
    (Bytes::from_static(HEARTBEAT), None)
}

/// The body of a stream. The next event is read only after the client has taken the last one.
struct Events<S> {
    next: Option<NextEvent<S>>,
}

impl<S: Follow> Events<S> {
    fn begin(first: EventBytes, stream: S) -> Self {
        Self {
            next: Some(Box::pin(std::future::ready(Some((first, stream))))),
        }
    }
}

impl<S: Follow> body::PieceStream for Events<S> {
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<EventBytes>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let come = ready!(next.as_mut().poll(context));
        let (part, next) = come
            .map(|(part, stream)| (part, Box::pin(stream.next()) as NextEvent<S>))
            .unzip();
        self.next = next;
        Poll::Ready(part)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn wanted(accept: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for list in accept {
            headers.append(header::ACCEPT, list.parse().unwrap());
        }
        are_wanted(&Method::GET, &headers)
    }

    #[test]
    fn events_are_for_those_who_prefer_them_to_json() {
        for accept in [
            vec!["text/event-stream"],
            vec!["Text/Event-Stream; charset=utf-8"],
            vec!["text/event-stream, */*;q=0.1"],
            vec!["application/json;q=0.5, text/event-stream"],
            vec!["text/html", "text/event-stream;q=0.1"],
        ] {
            assert!(wanted(&accept), "{accept:?}");
        }
        for accept in [
            vec![],
            vec!["*/*"],
            vec!["text/*"],
            vec!["application/json"],
            vec!["application/json, text/event-stream"],
            vec!["text/event-stream;q=0"],
            vec!["text/event-stream;q=x"],
            vec!["text/event-streams"],
        ] {
            assert!(!wanted(&accept), "{accept:?}");
        }
    }

    #[test]
    fn only_event_ids_of_this_host_are_understood() {
        let tag = conditional::tag("1");
        for of in SagaPhase::ALL {
            assert_eq!(phase(&format!("{tag}-{}", of.word())), Some(of));
        }
        for other in ["", "17", "-", &tag, "decided", "x-Decided", "x-decided-"] {
            assert_eq!(phase(other), None, "{other}");
        }
    }
}
