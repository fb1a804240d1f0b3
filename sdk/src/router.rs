//! [`Rules`]: a contract ready to decide, over the shapes of the WIT world.
//!
//! Owns the way of a message to its handler and back. The exported component and native callers run
//! exactly this, built once per instance. Decoding errors are distinguished here: a bad body is the
//! message's fault (`malformed`); a stored state that the rules can't read ends the turn as a
//! fault, so that the message is neither lost nor answered.

use crate::bindings::saga::participant::types as wit;
use crate::codec;
use crate::contract::Contract;
use crate::participant::Participant;
use crate::turn::Offer;
use serde::de::DeserializeOwned;

/// The answer of a handler at the WIT boundary.
pub(crate) type TurnVerdict = Result<wit::Outcome, wit::Disposition>;

/// A handler without its types: stored state and offer in, verdict out.
pub(crate) type Handler = Box<dyn Fn(Option<&str>, Offer) -> TurnVerdict + Send + Sync + 'static>;

/// The rules of participant `P`, ready to be called.
pub struct Rules<P: Participant> {
    contract: Contract<P::State, P::Key>,
}

impl<P: Participant> Rules<P> {
    /// Builds the contract of `P`, once for many messages.
    pub fn new() -> Self {
        Self {
            contract: P::contract(),
        }
    }

    /// `rules.describe` of the WIT world. Generates every schema on each call: keep the value.
    pub fn describe(&self) -> wit::Description {
        self.contract.describe()
    }

    /// `rules.handle` of the WIT world.
    ///
    /// # Errors
    /// The handler's own `malformed` or `retry-later`; `malformed` for a body that can't be read
    /// and for a message that the contract does not name.
    ///
    /// # Panics
    /// If `state` can't be read as `P::State`. As a component it traps, and the host counts a
    /// fault: the message is not to blame.
    pub fn handle(
        &self,
        state: Option<String>,
        message: wit::Message,
        settings: String,
    ) -> Result<wit::Outcome, wit::Disposition> {
        let offer = Offer { message, settings };
        self.contract.handle(state.as_deref(), offer)
    }

    /// `rules.migrate` of the WIT world.
    ///
    /// # Errors
    /// `malformed` if no step reads that version, or the state does not match its shape: the
    /// present version is decoded too.
    pub fn migrate(&self, version: u32, state: String) -> Result<String, wit::Disposition> {
        self.contract
            .migrated(version, state)
            .map_err(wit::Disposition::Malformed)
    }

    /// All mistakes in the contract, one sentence each.
    #[cfg(not(target_family = "wasm"))]
    pub fn problems(&self) -> Vec<String> {
        self.contract.problems()
    }
}

impl<P: Participant> Default for Rules<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// The stored state as an `S`.
pub(crate) fn state<S: DeserializeOwned>(text: Option<&str>) -> Option<S> {
    match codec::decode(text?) {
        Ok(state) => Some(state),
        Err(error) => codec::fault(&format!(
            "the stored state can't be read by these rules: {error}; raise state_version and add a migration"
        )),
    }
}

/// The message's body as a `B`.
pub(crate) fn body<B: DeserializeOwned>(text: &str) -> Result<B, wit::Disposition> {
    codec::decode(text).map_err(|error| {
        wit::Disposition::Malformed(format!("the body is not of the expected shape: {error}"))
    })
}

/// A message that the contract does not name.
#[cold]
pub(crate) fn unknown(message: &wit::Message) -> wit::Disposition {
    let what = match message.origin {
        wit::Origin::Command => "command",
        wit::Origin::Event => "event",
        wit::Origin::Timer => "timer",
    };
    wit::Disposition::Malformed(format!(
        "these rules know no {what} named {:?}",
        message.name
    ))
}
