//! Given, when, then: tests of rules, natively, with plain `cargo test`.
//!
//! A scenario goes through the same code as the exported component: the state is encoded, routed
//! and decoded, the outcome encoded, so a field that serde can't read back fails here and not in
//! production. Before the message, the contract is checked for mistakes. After it, the outcome is
//! checked as a host checks it: the state, events, timers and reply against their schemas, a refusal
//! against those that the command declares, and all of it against the host's default limits ([`Limits`]).
//! The kit and the host share the code of these checks.
//!
//! A command's body is not checked against its schema, so that a test can show how a rule answers a body
//! that a host would refuse (422). [`together`] checks it.
//!
//! The feature `schema-checks`, which is on by default, has the JSON Schema validator of the host. Without
//! it, the kit checks only that values are JSON.
//!
//! Every assertion panics with what was expected and what came, like `assert_eq!`. Values are
//! compared as JSON, so types need neither `PartialEq` nor `Debug`; numbers digit by digit.
//!
//! [`together`] tests whole sagas of several participants. [`replay!`](crate::replay) makes decisions again
//! that a host recorded.
//!
//! ```
//! # use saga_sdk::{Command, Contract, Decision, EventType, Method, Participant, Turn};
//! # use schemars::JsonSchema;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize, JsonSchema)]
//! # struct Book { on_loan: bool }
//! # #[derive(Serialize, Deserialize, JsonSchema)]
//! # struct Lent { reader: String }
//! # const LENT: EventType<Lent> = EventType::new("library.book.lent", "loans");
//! # struct Shelf;
//! # impl Participant for Shelf {
//! #     type State = Book;
//! #     type Key = String;
//! #     fn contract() -> Contract<Book> {
//! #         Contract::new("shelf", "1.0.0", "Lends books.")
//! #             .command(Command::change("lend", Method::Post, "/books/{book}/loan",
//! #                 |_: Book, lent: Lent, turn: &Turn| Decision::put(Book { on_loan: true })
//! #                     .publish(LENT, turn.key(), &lent).reply(()))
//! #                 .summary("Lends a book."))
//! #             .publishes(LENT)
//! #     }
//! # }
//! use saga_sdk::testing::given;
//!
//! let ann = Lent { reader: "Ann".into() };
//! given::<Shelf>(Book { on_loan: false })
//!     .key("42")
//!     .when_command("lend", &ann)
//!     .state(&Book { on_loan: true })
//!     .published(LENT, "42", &ann)
//!     .published_no_more()
//!     .replied(&());
//! ```

mod limits;
mod outcome;
mod replay;
mod then;
pub mod together;

pub use limits::Limits;
pub use replay::{Replayed, replay};
pub use then::Then;

use crate::bindings::saga::participant::types::{
    Command, Description, Header, KeySource, Message, Origin, Parameter, Subscription,
};
use crate::check::Declared;
use crate::codec;
use crate::command::parameters;
use crate::event::{EventType, Timer};
use crate::participant::Participant;
use crate::router::Rules;
use crate::turn::Caller;
use serde::Serialize;

/// Starts a scenario with an aggregate in this state.
///
/// # Panics
/// Where the contract of `P` has mistakes.
#[must_use = "a scenario tests nothing before `when_…`"]
#[track_caller]
pub fn given<P: Participant>(state: P::State) -> Scenario<P> {
    Scenario::new(Some(codec::encode(&state, "the given state")))
}

/// Starts a scenario in which the aggregate does not exist.
///
/// # Panics
/// Where the contract of `P` has mistakes.
#[must_use = "a scenario tests nothing before `when_…`"]
#[track_caller]
pub fn given_nothing<P: Participant>() -> Scenario<P> {
    Scenario::new(None)
}

/// All mistakes in the contract of `P`, one sentence each.
pub fn contract_problems<P: Participant>() -> Vec<String> {
    Rules::<P>::new().problems()
}

/// Reads a stored state of this version, older or present, as JSON text, as the host does before it
/// accepts a component. Keep a state of each released version in a test: a change of `P::State`
/// that can't read it then fails.
///
/// # Panics
/// Where the state can't be read.
#[track_caller]
pub fn migrated<P: Participant>(version: u32, state: &str) -> P::State {
    let rules = Rules::<P>::new();
    assert_in_order(&rules.problems());
    let new = match rules.migrate(version, state.to_owned()) {
        Ok(new) => new,
        Err(undecided) => fail(&format!("the stored state can't be read: {undecided:?}")),
    };
    match codec::decode(&new) {
        Ok(state) => state,
        Err(error) => fail(&format!("the migrated state can't be read: {error}\n{new}")),
    }
}

/// An aggregate that waits for a message.
pub struct Scenario<P: Participant> {
    rules: Rules<P>,
    description: Description,
    declared: Declared,
    state: Option<String>,
    key: Option<String>,
    time: u64,
    parameters: Vec<Parameter>,
    turns: u64,
    limits: Limits,
    settings: String,
    id: Option<String>,
    source: String,
    correlation: String,
    caller: Option<Caller>,
    metadata: Vec<Header>,
}

impl<P: Participant> Scenario<P> {
    #[track_caller]
    fn new(state: Option<String>) -> Self {
        let rules = Rules::<P>::new();
        assert_in_order(&rules.problems());
        let description = rules.describe();
        Self {
            settings: default_settings(&description),
            declared: Declared::of(&description),
            description,
            rules,
            state,
            key: None,
            time: 0,
            parameters: Vec::new(),
            turns: 0,
            limits: Limits::default(),
            id: None,
            source: "/test".to_owned(),
            correlation: "test-saga".to_owned(),
            caller: None,
            metadata: Vec::new(),
        }
    }

    /// Key of the aggregate. By default the key that the contract finds in the body, or `1`.
    #[must_use]
    pub fn key(mut self, key: impl ToString) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// Time of the next turns, in milliseconds since 1970-01-01T00:00:00Z. Unless given: 0.
    #[must_use]
    pub fn time(mut self, millis: u64) -> Self {
        self.time = millis;
        self
    }

    /// The limits of the hosts that will run the rules, if they are not the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The settings that the operator gave, if they are not the default ones.
    #[must_use]
    #[track_caller]
    pub fn settings<T: Serialize>(mut self, settings: &T) -> Self {
        self.settings = codec::encode(settings, "the settings");
        self
    }

    /// Id of the next message. Unless given: one that no other message of the test has.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Source of the next messages, a URI reference.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// Id of the saga of the next messages.
    #[must_use]
    pub fn correlation(mut self, correlation: impl Into<String>) -> Self {
        self.correlation = correlation.into();
        self
    }

    /// Sets the sender of the next commands, whom the rules see only if it is set. A command that requires a
    /// permission which [`Caller::with_permissions`] leaves out fails the test: a host answers 403.
    #[must_use]
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// A header of the next requests and records.
    ///
    /// # Panics
    /// Where the contract does not ask for it: a host would not pass it on.
    #[must_use]
    #[track_caller]
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        let asked = &self.description.metadata;
        assert!(
            asked.iter().any(|one| one == name),
            "the contract does not ask for the header {name:?}: add it to .metadata(…)"
        );
        self.metadata.retain(|header| header.name != name);
        self.metadata.push(Header {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self
    }

    /// A parameter in the path of the next commands, besides the key.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.retain(|parameter| parameter.name != name);
        self.parameters.push(Parameter {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self
    }

    /// A client sends this command. `&()` where it takes no body.
    #[track_caller]
    pub fn when_command<B: Serialize + ?Sized>(self, name: &str, body: &B) -> Then<P> {
        let body = codec::encode(body, "the command's body");
        self.when_command_json(name, &body)
    }

    /// A client sends this command with this text as its body.
    #[track_caller]
    pub fn when_command_json(self, name: &str, body: &str) -> Then<P> {
        let Some(command) = self
            .description
            .commands
            .iter()
            .find(|one| one.name == name)
        else {
            let names: Vec<_> = self
                .description
                .commands
                .iter()
                .map(|one| &one.name)
                .collect();
            fail(&format!("there is no command {name:?}, only {names:?}"));
        };
        let key = match &command.key {
            KeySource::Body(pointer) => self.key_in(body, pointer),
            _ => self.key_or_default(),
        };
        if let Some(why) = lacking(&self.declared, name, self.caller.as_ref()) {
            fail(&format!("a host would not offer the message: {why}"));
        }
        let parameters = parameters_of(command, &key, &self.parameters);
        let caller = self.caller.clone().map(Caller::into_wit);
        let message = Message {
            caller,
            parameters,
            ..self.message(Origin::Command, name, key, body)
        };
        self.run(message)
    }

    /// This event arrives, in the version that `event` says.
    #[track_caller]
    pub fn when_event<B: Serialize>(self, event: EventType<B>, body: &B) -> Then<P> {
        let body = codec::encode(body, event.name());
        self.when_event_json(event, &body)
    }

    /// This event arrives with this text as its body.
    #[track_caller]
    pub fn when_event_json<B>(self, event: EventType<B>, body: &str) -> Then<P> {
        let name = event.name();
        let mut subscriptions = self.description.subscriptions.iter();
        let subscription =
            subscriptions.find(|one| one.event_type == name && one.topic == event.topic());
        let Some(subscription) = subscription else {
            let topic = event.topic();
            fail(&format!(
                "there is no subscription to {name:?} on {topic:?}"
            ));
        };
        let version = event.body_version();
        let Some(pointer) = key_pointer(subscription, version) else {
            fail(&format!(
                "the subscription to {name:?} does not read version {version}: a host would make a dead letter of it"
            ));
        };
        let key = self.key_in(body, pointer);
        let message = Message {
            version,
            ..self.message(Origin::Event, name, key, body)
        };
        self.run(message)
    }

    /// This timer is due.
    #[track_caller]
    pub fn when_timer<B: Serialize>(self, timer: Timer<B>, body: &B) -> Then<P> {
        let key = self.key_or_default();
        let body = codec::encode(body, timer.name());
        let message = Message {
            metadata: Vec::new(),
            ..self.message(Origin::Timer, timer.name(), key, &body)
        };
        self.run(message)
    }

    fn message(&self, origin: Origin, name: &str, key: String, body: &str) -> Message {
        let next = || format!("test-{}", self.turns + 1);
        Message {
            id: self.id.clone().unwrap_or_else(next),
            source: self.source.clone(),
            origin,
            name: name.to_owned(),
            key,
            time: self.time,
            correlation: self.correlation.clone(),
            causation: None,
            caller: None,
            metadata: self.metadata.clone(),
            version: 1,
            parameters: Vec::new(),
            body: body.to_owned(),
        }
    }

    #[track_caller]
    fn run(mut self, message: Message) -> Then<P> {
        self.turns += 1;
        self.id = None;
        let (origin, name) = (message.origin, message.name.clone());
        let beyond = self.limits.of_message(self.state.as_deref(), &message);
        assert!(
            beyond.is_empty(),
            "a host would not offer the message:\n{}",
            beyond.join("\n")
        );
        let verdict = (self.rules).handle(self.state.clone(), message, self.settings.clone());
        if let Ok(outcome) = &verdict {
            let beyond = self.limits.of_outcome(outcome);
            assert!(
                beyond.is_empty(),
                "the outcome is beyond the host's limits, so nothing of it would take effect:\n{}",
                beyond.join("\n")
            );
            let terms = (&self.description, &self.declared);
            let problems = outcome::problems(terms, origin, &name, outcome);
            assert!(
                problems.is_empty(),
                "the outcome breaks the contract:\n{}",
                problems.join("\n")
            );
        }
        Then::new(self, verdict)
    }

    fn key_or_default(&self) -> String {
        self.key.clone().unwrap_or_else(|| "1".to_owned())
    }

    /// The key as the host finds it in a body: a string, or a whole number.
    fn key_in(&self, body: &str, pointer: &str) -> String {
        if self.key.is_some() {
            return self.key_or_default();
        }
        let body: Option<serde_json::Value> = codec::decode(body).ok();
        match body.as_ref().and_then(|body| body.pointer(pointer)) {
            Some(serde_json::Value::String(key)) => key.clone(),
            Some(serde_json::Value::Number(key)) => key.to_string(),
            _ => self.key_or_default(),
        }
    }
}

/// The settings of rules for which the operator gave none.
fn default_settings(description: &Description) -> String {
    let settings = description.settings.as_ref();
    settings.map_or_else(|| "{}".to_owned(), |settings| settings.default.clone())
}

/// The JSON pointer to the key in bodies of this version; none if the rules don't read it.
fn key_pointer(subscription: &Subscription, version: u32) -> Option<&str> {
    if version == subscription.version {
        return Some(&subscription.key);
    }
    let mut older = subscription.older.iter();
    older
        .find(|one| one.version == version)
        .map(|one| &*one.key)
}

/// Why a host would answer 403 to this caller; none if it would not, or if the caller's permissions are
/// not known.
fn lacking(declared: &Declared, command: &str, caller: Option<&Caller>) -> Option<String> {
    let lacking = declared.lacking(command, caller?.permissions()?);
    (!lacking.is_empty()).then(|| format!("the caller lacks the permission {}", lacking.join(", ")))
}

/// The parameters in the path of a command to the aggregate of this key.
#[track_caller]
fn parameters_of(command: &Command, key: &str, given: &[Parameter]) -> Vec<Parameter> {
    let value = |name: &str| match &command.key {
        KeySource::PathParameter(parameter) if parameter == name => key.to_owned(),
        _ => match given.iter().find(|one| one.name == name) {
            Some(parameter) => parameter.value.clone(),
            None => fail(&format!(
                "say .parameter({name:?}, …) for the path {:?}",
                command.path
            )),
        },
    };
    let names = parameters(&command.path).into_iter();
    let parameter = |name: &str| Parameter {
        name: name.to_owned(),
        value: value(name),
    };
    names.map(parameter).collect()
}

#[track_caller]
fn assert_in_order(problems: &[String]) {
    assert!(
        problems.is_empty(),
        "the contract has mistakes:\n{}",
        problems.join("\n")
    );
}

/// Fails the calling test.
#[allow(
    clippy::panic,
    reason = "a test kit says no by panicking, as assert_eq! does"
)]
#[track_caller]
fn fail(why: &str) -> ! {
    panic!("{why}")
}
