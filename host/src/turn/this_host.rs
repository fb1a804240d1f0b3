//! The host's data that travels with turns, the calls of a participant, and the answers for
//! clients.

use std::sync::Arc;

use saga_core::message::Caller;
use saga_core::worker::{self, Bound, HostTypes, Room};
use tokio::sync::oneshot;

use super::active::Active;
use crate::base::budget::Reserved;
use crate::metrics::turns::Since;
use crate::store::parked_room::Place;
use crate::store::{Claim, ParkedRoom, StoreFault, Taken};

/// This host, as the workers see it.
pub enum ThisHost {}

impl HostTypes for ThisHost {
    type Active = Arc<Active>;
    type Client = WaitingClient;
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
pub struct WaitingClient {
    /// Receives the answer.
    pub answer: oneshot::Sender<Answer>,
    /// The idempotency key that the client sent, to be released when the turn is over.
    pub claim: Option<Arc<Claim>>,
    /// Bytes charged for its body until the command is committed or refused.
    pub reserved: Option<Reserved>,
}

impl WaitingClient {
    pub(super) fn answer(self, answer: Answer) {
        // Before the client is answered, since it may repeat the command at once.
        drop(self.claim);
        drop(self.reserved);
        // The client may have disconnected.
        let _ = self.answer.send(answer);
    }
}

/// Capacity for the parked messages of a participant.
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

/// Calls back when it is dropped, so that the end of a turn is noticed whatever its result.
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

/// A command of a client, checked against its schema.
#[derive(Clone)]
pub struct CommandCall {
    /// The generation that it was checked against.
    pub under: Arc<Active>,
    /// Name of the command.
    pub command: String,
    /// Path parameters, in the order of the path.
    pub parameters: Vec<(String, String)>,
    /// JSON text of the body; `null` if there is none.
    pub body: String,
    /// Who sends it, if that is known.
    pub caller: Option<Caller>,
    /// The headers that the description names.
    pub metadata: Vec<(String, String)>,
    /// The key; None if the host is to generate one.
    pub key: Option<String>,
    /// The saga that the client named; `None` for that of the aggregate, or for a new one.
    pub correlation: Option<String>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// The idempotency key, if the client sent one.
    pub claim: Option<Arc<Claim>>,
    /// Bytes charged for the body, which may outlive its client.
    pub reserved: Option<Reserved>,
}

/// The result of a command or a read, once its decision is committed.
pub type Answer = worker::WorkerAnswer<StoreFault>;

/// The turn of a command was not over in time, and may take effect later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownOutcome {
    /// The time that the client has waited.
    pub seconds: u64,
    /// True if the client can learn the outcome by its idempotency key.
    pub can_repeat: bool,
}
