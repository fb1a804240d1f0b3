//! What travels with turns and is the host's own; what is asked of a participant, and what a client
//! is answered.

use std::sync::Arc;

use saga_core::outcome::Reply;
use saga_core::rules::Fault;
use saga_core::worker::{self, Bound, Host, Room};
use tokio::sync::oneshot;

use super::active::Active;
use crate::base::budget::Reserved;
use crate::metrics::turns::Since;
use crate::store::parked_room::Place;
use crate::store::{Claim, ParkedRoom, StoreFault, Taken};

/// This host, as the workers see it.
pub enum ThisHost {}

impl Host for ThisHost {
    type Active = Arc<Active>;
    type Client = Client;
    type Taken = Taken;
    type Over = Over;
    type Since = Since;
    type Room = SharedRoom;
    type Place = Place;
    type StoreFault = StoreFault;
}

/// A turn of this host.
pub type Turn = worker::Turn<ThisHost>;

/// A client that waits for an answer.
pub struct Client {
    /// Where the answer goes.
    pub answer: oneshot::Sender<Answer>,
    /// The idempotency key that the client sent, to be released when the turn is over.
    pub claim: Option<Arc<Claim>>,
    /// Bytes that its body is charged with until it is committed or refused.
    pub reserved: Option<Reserved>,
}

impl Client {
    /// Answers.
    pub(super) fn answer(self, answer: Answer) {
        // Before the client is told: it may repeat the command at once.
        drop(self.claim);
        drop(self.reserved);
        // A client that has gone needs no answer.
        let _ = self.answer.send(answer);
    }
}

/// How much of a participant may be parked.
#[derive(Clone)]
pub struct SharedRoom(pub(super) Arc<ParkedRoom>);

impl Room for SharedRoom {
    type Place = Place;

    fn take(&self, bytes: usize, of_aggregate: usize) -> Result<Place, Bound> {
        self.0.take(bytes, of_aggregate)
    }

    fn has_just_filled(&self) -> bool {
        self.0.has_just_filled()
    }

    fn used(&self) -> (usize, usize) {
        self.0.used()
    }
}

/// Calls back when it is dropped: whatever becomes of a turn, whoever offered it hears of its end.
pub struct Over(Option<Box<dyn FnOnce() + Send>>);

impl Over {
    /// Calls `then` when it is dropped.
    #[must_use]
    pub fn new(then: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(then)))
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        if let Some(then) = self.0.take() {
            then();
        }
    }
}

/// A command as it comes from a client, checked against its schema.
#[derive(Clone)]
pub struct CommandCall {
    /// What it was checked against.
    pub under: Arc<Active>,
    /// Name of the command.
    pub command: String,
    /// Path parameters, in the path's order.
    pub parameters: Vec<(String, String)>,
    /// JSON text of the body; `null` where there is none.
    pub body: String,
    /// The key; none where the host is to generate one.
    pub key: Option<String>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// The idempotency key, where the client sent one.
    pub claim: Option<Arc<Claim>>,
    /// Bytes that the body is charged with, which may outlast its client.
    pub reserved: Option<Reserved>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The rules replied; what they decided is committed. With the key of the aggregate.
    Replied(Reply, String),
    /// The rules say that the request makes no sense.
    Malformed(String),
    /// The rules were swapped, and it has to be checked against the new ones. With the body.
    CheckAgain(String),
    /// Not now; the client may try again.
    TryLater(String),
    /// The rules broke.
    Broke(Fault),
    /// The rules can't read the state of the aggregate.
    Quarantined(Fault),
    /// The store failed; nothing was written.
    StoreFailed(StoreFault),
    /// Its turn was not over in time: it may take effect yet. With the seconds, and whether the
    /// client can learn it by its idempotency key.
    Unknown(u64, bool),
}

impl From<worker::Answer<StoreFault>> for Answer {
    fn from(answer: worker::Answer<StoreFault>) -> Self {
        match answer {
            worker::Answer::Replied(reply, key) => Self::Replied(reply, key),
            worker::Answer::Malformed(reason) => Self::Malformed(reason),
            worker::Answer::CheckAgain(body) => Self::CheckAgain(body),
            worker::Answer::TryLater(reason) => Self::TryLater(reason),
            worker::Answer::Broke(fault) => Self::Broke(fault),
            worker::Answer::Quarantined(fault) => Self::Quarantined(fault),
            worker::Answer::StoreFailed(fault) => Self::StoreFailed(fault),
        }
    }
}
