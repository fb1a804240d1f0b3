//! [`Turn`]: a rule's input besides the state and the body.
//!
//! Owns the split of the host's message into the author's view of it. There is no clock and no
//! random source beside this: a rule that needs either takes the turn's time and id.

use serde::de::DeserializeOwned;

use crate::bindings::saga::participant::types::{Message, Parameter};
use crate::codec;
use crate::decision::Undecided;

/// A message with the settings under which it is to be decided, as the host offers it.
pub(crate) struct Offer {
    pub(crate) message: Message,
    pub(crate) settings: String,
}

/// The circumstances of one message for one aggregate. The same for the same message, always, so
/// a decision made from it can be replayed.
#[derive(Clone, Debug)]
pub struct Turn {
    id: String,
    source: String,
    key: String,
    time: u64,
    correlation: String,
    causation: Option<String>,
    parameters: Vec<Parameter>,
    settings: String,
}

impl Turn {
    /// Identity of the message. The host applies one id at most once.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Source of the message: a URI reference such as `/saga/order`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Key of the aggregate that the message is for.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The key as the number that the host gave the aggregate when a `create` command without a
    /// key of its own made it.
    ///
    /// # Errors
    /// If the key is not such a number: the message is malformed for rules that take all keys for
    /// numbers.
    pub fn number(&self) -> Result<u64, Undecided> {
        let number = self.key.parse();
        number.map_err(|_| {
            Undecided::malformed(format!(
                "the key {:?} is not a number that the host gave",
                self.key
            ))
        })
    }

    /// When the turn takes place, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Id that all messages of one saga share.
    pub fn correlation(&self) -> &str {
        &self.correlation
    }

    /// Id of the message whose decision published this event or set this timer. None for a
    /// command, and for a record that names none.
    pub fn causation(&self) -> Option<&str> {
        self.causation.as_deref()
    }

    /// The settings that the operator gave to these rules, over the default ones.
    ///
    /// # Panics
    /// If they can't be read as an `S`, the type that the contract declares with
    /// [`settings`](crate::Contract::settings). As a component it traps, and the host counts a
    /// fault.
    #[track_caller]
    pub fn settings<S: DeserializeOwned>(&self) -> S {
        match codec::decode(&self.settings) {
            Ok(settings) => settings,
            Err(error) => codec::fault(&format!(
                "the settings can't be read: {error}; declare this type with Contract::settings"
            )),
        }
    }

    /// Value of a parameter in the command's path, percent-decoded. None where the path has no
    /// such parameter, and for events and timers.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
            .map(|parameter| parameter.value.as_str())
    }

    /// The author's view of a message, and its body.
    pub(crate) fn split(Offer { message, settings }: Offer) -> (Self, String) {
        let turn = Self {
            id: message.id,
            source: message.source,
            key: message.key,
            time: message.time,
            correlation: message.correlation,
            causation: message.causation,
            parameters: message.parameters,
            settings,
        };
        (turn, message.body)
    }
}
