//! [`Turn`]: a rule's input besides the state and the body.
//!
//! Owns the split of the host's message into the author's view of it. There is no clock and no
//! random source beside this: a rule that needs either takes the turn's time and id.

use crate::bindings::saga::participant::types::{self as wit, Header, Message, Parameter};
use crate::codec;
use crate::decision::Undecided;
use crate::key::{self, Key};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message with the settings under which it is to be decided, as the host offers it.
pub(crate) struct Offer {
    pub(crate) message: Message,
    pub(crate) settings: String,
}

/// The circumstances of one message for one aggregate. The same for the same message, always, so
/// a decision made from it can be replayed.
#[derive(Clone, Debug)]
pub struct Turn<K = String> {
    id: String,
    source: String,
    key: K,
    time: u64,
    correlation: String,
    causation: Option<String>,
    caller: Option<Caller>,
    metadata: Vec<Header>,
    parameters: Vec<Parameter>,
    settings: String,
}

impl<K: Key> Turn<K> {
    /// Identity of the message. The host applies one id at most once.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Source of the message: a URI reference such as `/saga/order`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Key of the aggregate that the message is for, in the type that the participant declares. A
    /// number that the host gave, for a `create` command without a key of its own, is a `u64`.
    pub fn key(&self) -> &K {
        &self.key
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

    /// The sender of the command. None for events and timers, and where the host does not authenticate
    /// callers.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// A header of the request or record that the contract asks for with
    /// [`metadata`](crate::Contract::metadata). None where there was none.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        let mut metadata = self.metadata.iter();
        let header = metadata.find(|header| header.name == name)?;
        Some(&header.value)
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
    pub(crate) fn split(
        Offer { message, settings }: Offer,
    ) -> Result<(Self, String), wit::Disposition> {
        let turn = Self {
            key: key::read(&message.key)?,
            id: message.id,
            source: message.source,
            time: message.time,
            correlation: message.correlation,
            causation: message.causation,
            caller: message.caller.map(Caller::from),
            metadata: message.metadata,
            parameters: message.parameters,
            settings,
        };
        Ok((turn, message.body))
    }
}

/// The sender of a command, as far as the host knows.
#[derive(Clone, Debug)]
pub struct Caller {
    known: wit::Caller,
    /// Its permissions in a test. Rules don't see permissions.
    #[cfg(not(target_family = "wasm"))]
    permissions: Option<Vec<String>>,
}

impl From<wit::Caller> for Caller {
    fn from(known: wit::Caller) -> Self {
        Self {
            known,
            #[cfg(not(target_family = "wasm"))]
            permissions: None,
        }
    }
}

impl Caller {
    /// A caller of this name, for tests.
    pub fn new(subject: impl Into<String>) -> Self {
        Self::from(wit::Caller {
            subject: subject.into(),
            claims: "{}".to_owned(),
        })
    }

    /// The same caller with these claims, for tests: a struct or a map of them.
    #[must_use]
    #[track_caller]
    pub fn with_claims(mut self, claims: &impl Serialize) -> Self {
        self.known.claims = codec::encode(claims, "the claims");
        self
    }

    /// Name of the caller: the subject of the token, or what the proxy says.
    pub fn subject(&self) -> &str {
        &self.known.subject
    }

    /// The claims that the contract asks for with [`claims`](crate::Contract::claims), as a struct or a map.
    /// One that the caller does not have is missing.
    ///
    /// # Errors
    /// If they can't be read as a `C`: the command is malformed for rules that need them.
    pub fn claims<C: DeserializeOwned>(&self) -> Result<C, Undecided> {
        codec::decode(&self.known.claims)
            .map_err(|error| Undecided::malformed(format!("the caller's claims: {error}")))
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn into_wit(self) -> wit::Caller {
        self.known
    }

    /// The same caller with these permissions and no others, for tests. A command that requires another one
    /// ([`Command::requires`](crate::Command::requires)) is then refused as a host refuses it, with 403. Unless
    /// given, permissions are not checked.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn with_permissions(mut self, permissions: &[&str]) -> Self {
        let permissions = permissions.iter().map(|one| (*one).to_owned());
        self.permissions = Some(permissions.collect());
        self
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn permissions(&self) -> Option<&[String]> {
        self.permissions.as_deref()
    }
}
