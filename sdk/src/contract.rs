//! [`Contract`]: the description of a participant, with the functions that decide.
//!
//! Owns the builder that authors write and its description for the host. The description is made
//! from the same values that route messages, so the two can't differ. Schemas are made only when the
//! description is asked for: an instance that only handles messages never pays for them.

use crate::bindings::saga::participant::types as wit;
use crate::codec;
use crate::command::Command;
use crate::decision::{Decision, IntoDecision, NoReply};
use crate::event::{EventType, Timer};
use crate::key::Key;
use crate::listing::{self, Listing};
use crate::migration::{Migration, Migrations};
use crate::router::{Handler, TurnVerdict, body, state, unknown};
use crate::schema;
use crate::subscription::Subscription;
use crate::turn::{Offer, Turn};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The description of a participant with state `S` and keys of type `K`, with its handlers.
///
/// A mistake in it (two commands of one name, say) is not found by the compiler. The test kit finds
/// it as soon as any test of the participant runs; the host refuses to load the component.
pub struct Contract<S, K = String> {
    name: String,
    version: String,
    summary: String,
    endpoint: wit::Endpoint,
    state_version: u32,
    migrations: Migrations,
    commands: Vec<Command<S, K>>,
    subscriptions: Vec<Subscription<S, K>>,
    publications: Vec<Publication>,
    timers: Vec<TimerRoute>,
    listings: Vec<Listing>,
    settings: Option<SettingsSource>,
    metadata: Vec<String>,
    claims: Vec<String>,
}

/// Describes the settings on demand.
type SettingsSource = Box<dyn Fn() -> wit::SettingsDescription + Send + Sync>;

struct Publication {
    event_type: &'static str,
    topic: &'static str,
    version: u32,
    schema: schema::Source,
}

struct TimerRoute {
    name: &'static str,
    schema: schema::Source,
    handler: Handler,
}

impl<S: Serialize + DeserializeOwned + JsonSchema + 'static, K: Key> Contract<S, K> {
    /// A participant of this name (lower-case letters, digits, `-`), the version of its rules
    /// (`env!("CARGO_PKG_VERSION")`) and one sentence for people.
    pub fn new(name: &str, version: &str, summary: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            endpoint: wit::Endpoint {
                base_path: String::new(),
                port: 0,
            },
            state_version: 1,
            migrations: Migrations::default(),
            commands: Vec::new(),
            subscriptions: Vec::new(),
            publications: Vec::new(),
            timers: Vec::new(),
            listings: Vec::new(),
            settings: None,
            metadata: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// The default endpoint of the commands: a prefix of every path (empty, or `/…` without a `/`
    /// at its end) and a TCP port (0: the host chooses). The operator may override both.
    #[must_use]
    pub fn endpoint(mut self, base_path: &str, port: u16) -> Self {
        self.endpoint = wit::Endpoint {
            base_path: base_path.to_owned(),
            port,
        };
        self
    }

    /// Version of the shape of `S`, where it is not 1. It goes up whenever stored states of the
    /// former shape can't be read as an `S`, or would lose something by it: a member that is renamed, say. A host
    /// refuses a component that can't read what it has stored; test it with
    /// [`testing::migrated`](crate::testing::migrated).
    #[must_use]
    pub fn state_version(mut self, version: u32) -> Self {
        self.state_version = version;
        self
    }

    /// Reads states of `version`, by making them the shape of the next version. A chain of them
    /// (1 → 2, 2 → 3), oldest first, ends with one that gives an `S`.
    #[must_use]
    pub fn migrate<Old, New>(
        mut self,
        version: u32,
        step: impl Fn(Old) -> New + Send + Sync + 'static,
    ) -> Self
    where
        Old: DeserializeOwned + 'static,
        New: Serialize + 'static,
    {
        self.migrations.push(Migration::new(version, step));
        self
    }

    /// Takes a command.
    #[must_use]
    pub fn command(mut self, command: Command<S, K>) -> Self {
        self.commands.push(command);
        self
    }

    /// Listens to an event.
    #[must_use]
    pub fn on(mut self, subscription: Subscription<S, K>) -> Self {
        self.subscriptions.push(subscription);
        self
    }

    /// Declares an event that handlers may publish.
    #[must_use]
    pub fn publishes<B: JsonSchema>(mut self, event: EventType<B>) -> Self {
        self.publications.push(Publication {
            event_type: event.name(),
            topic: event.topic(),
            version: event.body_version(),
            schema: schema::of_output::<B>,
        });
        self
    }

    /// Declares a timer that handlers may set, and decides when it is due. A timer of an aggregate
    /// that is gone by then does nothing.
    #[must_use]
    pub fn timer<B, D>(
        mut self,
        timer: Timer<B>,
        handler: impl Fn(S, B, &Turn<K>) -> D + Send + Sync + 'static,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema,
        D: IntoDecision<State = S, Reply = NoReply>,
    {
        self.timers.push(TimerRoute {
            name: timer.name(),
            schema: schema::of_input::<B>,
            handler: Box::new(move |present, offer| {
                let Some(state) = state(present) else {
                    return Decision::<S>::unchanged().into_verdict();
                };
                let (turn, text) = Turn::split(offer)?;
                let body = body(&text)?;
                handler(state, body, &turn).into_decision().into_verdict()
            }),
        });
        self
    }

    /// Takes settings from the operator: `default`, in which the operator may replace values
    /// (`[participants.NAME.rules]`, or `saga apply NAME --set name=value`). Handlers read them
    /// with [`Turn::settings`]. A change of settings is a swap, like one of the component.
    ///
    /// `T` is a struct; each field is a setting, and its doc comment tells the operator about it.
    #[must_use]
    pub fn settings<T>(mut self, default: T) -> Self
    where
        T: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static,
    {
        self.settings = Some(Box::new(move || wit::SettingsDescription {
            schema: schema::of_input::<T>(),
            default: codec::encode(&default, "the default settings"),
        }));
        self
    }

    /// Asks for headers of requests and records by name, in lower case; handlers read them with
    /// [`Turn::metadata`]. They are recorded with each message, so a host refuses those with secrets
    /// (`authorization`, `cookie`, `x-api-key` and the like). It also refuses those of the host and the
    /// connection (`host`, `idempotency-key`, `ce_id`), and those by which a proxy states the caller: use
    /// [`Turn::caller`].
    #[must_use]
    pub fn metadata(mut self, names: &[&str]) -> Self {
        self.metadata
            .extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Asks for claims of callers by name; handlers read them with
    /// [`Caller::claims`](crate::Caller::claims). They are recorded with each command.
    #[must_use]
    pub fn claims(mut self, names: &[&str]) -> Self {
        self.claims
            .extend(names.iter().map(|name| (*name).to_owned()));
        self
    }

    /// Lets clients read the participant's aggregates page by page.
    #[must_use]
    pub fn listing(mut self, listing: Listing) -> Self {
        self.listings.push(listing);
        self
    }

    /// The description for the host. Costs the generation of every schema.
    pub(crate) fn describe(&self) -> wit::Description {
        let publications = self.publications.iter().map(|one| wit::Publication {
            event_type: one.event_type.to_owned(),
            topic: one.topic.to_owned(),
            version: one.version,
            schema: (one.schema)(),
        });
        let timers = self.timers.iter().map(|one| wit::TimerDescription {
            name: one.name.to_owned(),
            schema: (one.schema)(),
        });
        // A filter compares stored values, whereas states of older builds must be readable.
        let written = schema::of_output::<S>();
        wit::Description {
            name: self.name.clone(),
            version: self.version.clone(),
            summary: self.summary.clone(),
            state: wit::StateDescription {
                version: self.state_version,
                oldest_readable: self.migrations.oldest().unwrap_or(self.state_version),
                schema: schema::of_input::<S>(),
            },
            endpoint: self.endpoint.clone(),
            commands: self.commands.iter().map(Command::describe).collect(),
            subscriptions: self
                .subscriptions
                .iter()
                .map(Subscription::describe)
                .collect(),
            publications: publications.collect(),
            timers: timers.collect(),
            listings: listing::describe(&self.listings, &written),
            settings: self.settings.as_ref().map(|settings| settings()),
            metadata: self.metadata.clone(),
            claims: self.claims.clone(),
        }
    }

    /// The verdict of the handler for messages of this origin and name.
    pub(crate) fn handle(&self, state: Option<&str>, offer: Offer) -> TurnVerdict {
        let name = &offer.message.name;
        match offer.message.origin {
            wit::Origin::Command => {
                if let Some(command) = self.commands.iter().find(|one| one.name() == name) {
                    return (command.handler())(state, offer);
                }
            }
            wit::Origin::Event => {
                let mut subscriptions = self.subscriptions.iter();
                if let Some(subscription) = subscriptions.find(|one| one.event_type() == name) {
                    return subscription.handle(state, offer);
                }
            }
            wit::Origin::Timer => {
                if let Some(timer) = self.timers.iter().find(|one| one.name == name) {
                    return (timer.handler)(state, offer);
                }
            }
        }
        Err(unknown(&offer.message))
    }

    /// Reads a stored state, and writes it in the contract's version.
    pub(crate) fn migrated(&self, version: u32, state: String) -> Result<String, String> {
        if version == self.state_version {
            let state: S = codec::decode(&state)
                .map_err(|error| format!("a state of version {version} can't be read: {error}"))?;
            return Ok(codec::encode(&state, "the state"));
        }
        self.migrations
            .run("a state", version, self.state_version, state)
    }

    /// All mistakes in the contract, one sentence each.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = crate::check::problems(self.describe());
        problems.extend((self.migrations).problems::<S>("state", self.state_version));
        problems.extend(self.commands.iter().filter_map(Command::problem));
        problems.extend(self.handled_otherwise());
        problems.extend(self.subscriptions.iter().flat_map(Subscription::problems));
        problems
    }

    /// Subscriptions whose handler is never asked: a message names its event type, and not its topic.
    #[cfg(not(target_family = "wasm"))]
    fn handled_otherwise(&self) -> impl Iterator<Item = String> {
        let subscriptions = || self.subscriptions.iter().map(Subscription::description);
        let others = subscriptions().enumerate().filter(move |(place, one)| {
            let mut before = subscriptions().take(*place);
            before.any(|other| other.event_type == one.event_type && other.topic != one.topic)
        });
        others.map(|(_, one)| {
            format!(
                "subscription {}: another one takes this event from another topic, and its handler is asked for both",
                one.event_type
            )
        })
    }
}
