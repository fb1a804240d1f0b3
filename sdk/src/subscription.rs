//! [`Subscription`]: an event that a participant listens to, and the function that decides on it.
//!
//! Owns the older versions of the event, which are brought up to the present one before the handler
//! sees them.

use crate::bindings::saga::participant::types as wit;
use crate::decision::{IntoDecision, NoReply};
use crate::event::EventType;
use crate::key::Key;
use crate::migration::{Migration, Migrations};
use crate::router::{Handler, TurnVerdict, body, state};
use crate::schema;
use crate::turn::{Offer, Turn};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// An event that a participant with state `S` and keys of type `K` listens to, and the function that
/// decides on it.
pub struct Subscription<S, K = String> {
    /// The description without its schemas, which are generated on demand.
    description: wit::Subscription,
    schema: schema::Source,
    older: Vec<OlderVersion>,
    upcasts: Migrations,
    handler: Handler,
    #[cfg(not(target_family = "wasm"))]
    problems: fn(&Migrations, &str, u32) -> Vec<String>,
    types: PhantomData<fn() -> (S, K)>,
}

struct OlderVersion {
    version: u32,
    key: Option<String>,
    schema: schema::Source,
}

impl<S: Serialize + DeserializeOwned + 'static, K: Key> Subscription<S, K> {
    /// Listens to `event` in this consumer group (one per topic and participant). `key` is the
    /// JSON pointer to the string or whole number in the body that is the key of the aggregate.
    ///
    /// The handler gets no state where there is no such aggregate.
    pub fn to<B, D>(
        event: EventType<B>,
        group: &str,
        key: &str,
        handler: impl Fn(Option<S>, B, &Turn<K>) -> D + Send + Sync + 'static,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + 'static,
        D: IntoDecision<State = S, Reply = NoReply>,
    {
        Self {
            description: wit::Subscription {
                event_type: event.name().to_owned(),
                topic: event.topic().to_owned(),
                group: group.to_owned(),
                key: key.to_owned(),
                untyped: false,
                schema: String::new(),
                version: event.body_version(),
                older: Vec::new(),
            },
            schema: schema::of_input::<B>,
            older: Vec::new(),
            upcasts: Migrations::default(),
            handler: Box::new(move |present, offer| {
                let state = state(present);
                let (turn, text) = Turn::split(offer)?;
                let body = body(&text)?;
                handler(state, body, &turn).into_decision().into_verdict()
            }),
            #[cfg(not(target_family = "wasm"))]
            problems: Migrations::problems::<B>,
            types: PhantomData,
        }
    }

    /// Takes records on the topic that name no event type for this event too. At most one
    /// subscription of a topic may.
    #[must_use]
    pub fn untyped(mut self) -> Self {
        self.description.untyped = true;
        self
    }

    /// Reads events of this older `version` too, by making their bodies those of the next version. A
    /// chain of them (1 → 2, 2 → 3), oldest first, ends with the body of the present version
    /// ([`EventType::version`]).
    #[must_use]
    pub fn upcast<Old, New>(
        mut self,
        version: u32,
        step: impl Fn(Old) -> New + Send + Sync + 'static,
    ) -> Self
    where
        Old: DeserializeOwned + JsonSchema + 'static,
        New: Serialize + 'static,
    {
        self.upcasts.push(Migration::new(version, step));
        self.older.push(OlderVersion {
            version,
            key: None,
            schema: schema::of_input::<Old>,
        });
        self
    }

    /// The JSON pointer to the key in bodies of the version of the last [`upcast`](Self::upcast), where it is
    /// not that of the present version.
    #[must_use]
    pub fn with_key_at(mut self, key: &str) -> Self {
        if let Some(older) = self.older.last_mut() {
            older.key = Some(key.to_owned());
        }
        self
    }

    pub(crate) fn describe(&self) -> wit::Subscription {
        let older = self.older.iter().map(|older| wit::OlderVersion {
            version: older.version,
            key: older.key.as_ref().unwrap_or(&self.description.key).clone(),
            schema: (older.schema)(),
        });
        wit::Subscription {
            schema: (self.schema)(),
            older: older.collect(),
            ..self.description.clone()
        }
    }

    pub(crate) fn event_type(&self) -> &str {
        &self.description.event_type
    }

    pub(crate) fn handle(&self, state: Option<&str>, mut offer: Offer) -> TurnVerdict {
        let (version, present) = (offer.message.version, self.description.version);
        if version != present {
            let body = std::mem::take(&mut offer.message.body);
            let what = format!("the event {}", self.description.event_type);
            offer.message.body = (self.upcasts)
                .run(&what, version, present, body)
                .map_err(wit::Disposition::Malformed)?;
        }
        (self.handler)(state, offer)
    }

    /// The description without its schemas.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn description(&self) -> &wit::Subscription {
        &self.description
    }

    /// Mistakes in the chain of older versions.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn problems(&self) -> Vec<String> {
        (self.problems)(&self.upcasts, self.event_type(), self.description.version)
    }
}
