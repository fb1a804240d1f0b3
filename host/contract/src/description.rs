//! What a participant says of itself: the mirror of `record description` in `wit/participant.wit`.
//!
//! Owns the types and [`check`], which finds what is wrong with a description before anything is
//! served by it. Knows nothing of how a description is obtained or of what it is used for.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{json, listing};

/// Paths below each participant's base path at which, and below which, the host serves what can be read about it.
pub const RESERVED: [&str; 5] = [
    "/asyncapi.json",
    "/openapi.json",
    "/openapi.yaml",
    "/problems",
    "/swagger-ui",
];

/// What a participant is, takes and gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Name, unique in a host.
    pub name: String,
    /// Version of the rules (semver), for people.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// Shape of the state.
    pub state: StateDescription,
    /// Where its commands are served by default.
    pub endpoint: Endpoint,
    /// What clients may ask.
    pub commands: Vec<Command>,
    /// Which events it listens to.
    pub subscriptions: Vec<Subscription>,
    /// Which events it may publish.
    pub publications: Vec<Publication>,
    /// Which timers it may set.
    pub timers: Vec<TimerDescription>,
    /// Under which paths its aggregates are listed.
    pub listings: Vec<Listing>,
}

/// The shape of the state and which older shapes can be migrated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateDescription {
    /// Version of the shape; counts from 1.
    pub version: u32,
    /// Oldest version that can be migrated to `version`.
    pub oldest_readable: u32,
    /// JSON Schema text.
    pub schema: String,
}

/// Default HTTP endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Path prefix, empty or `/like/this`.
    pub base_path: String,
    /// TCP port, 0 for any.
    pub port: u16,
}

/// HTTP method of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    /// The method's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Something a client may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Unique name in the participant.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// HTTP method.
    pub method: Method,
    /// Path template below the base path.
    pub path: String,
    /// What it does to its aggregate.
    pub kind: CommandKind,
    /// Where the aggregate's key comes from.
    pub key: KeySource,
    /// JSON Schema text of the request body, if it takes one.
    pub request: Option<String>,
    /// JSON Schema text of the reply.
    pub reply: String,
    /// Refusals it may answer.
    pub refusals: Vec<RefusalDescription>,
}

/// What a command does to its aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
    /// Makes one; the path template under which it can be read, or empty.
    Create(String),
    /// May change one.
    Change,
    /// Only reads.
    Read,
}

/// Where a command's key comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// The participant's next number.
    Generated,
    /// A path parameter.
    PathParameter(String),
    /// A JSON pointer into the body.
    Body(String),
}

/// A refusal for the API document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalDescription {
    /// Kind of no.
    pub kind: RefusalKind,
    /// Stable word.
    pub code: String,
    /// One sentence.
    pub summary: String,
}

/// Which kind of business no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// Makes no sense to the rules.
    Invalid,
    /// No such aggregate.
    NotFound,
    /// The state does not allow it.
    Conflict,
    /// The caller may not.
    Forbidden,
}

/// An event the participant listens to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Event type.
    pub event_type: String,
    /// Topic, as the participant names it (configuration may map it).
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// JSON pointer to the aggregate's key.
    pub key: String,
    /// Whether records without a type are taken for this event.
    pub untyped: bool,
    /// JSON Schema text of the body.
    pub schema: String,
}

/// An event the participant may publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Event type.
    pub event_type: String,
    /// Topic.
    pub topic: String,
    /// JSON Schema text of the body.
    pub schema: String,
}

/// A timer the participant may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerDescription {
    /// Name.
    pub name: String,
    /// JSON Schema text of its body.
    pub schema: String,
}

/// A list of the participant's aggregates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Name, unique among listings and commands.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Path below the base path, without parameters.
    pub path: String,
    /// Name of the read whose reply each aggregate is shown as.
    pub item: String,
    /// By what it may be narrowed down, what narrows it most first.
    pub filters: Vec<Filter>,
}

/// What a listing may be narrowed down by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Name of the query parameter.
    pub parameter: String,
    /// JSON pointer into the state.
    pub pointer: String,
    /// JSON Schema text of the value.
    pub schema: String,
}

/// Something wrong with a description: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct DescriptionProblem {
    /// Which part, for example `command register`.
    pub place: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl Description {
    /// The command of this name.
    #[must_use]
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// The subscription that takes a record of this topic and event type; none for a record that names no type.
    #[must_use]
    pub fn subscription(&self, topic: &str, event_type: Option<&str>) -> Option<&Subscription> {
        let mut of_topic = self
            .subscriptions
            .iter()
            .filter(|subscription| subscription.topic == topic);
        // An attribute of CloudEvents that is empty says nothing.
        match event_type.filter(|text| !text.is_empty()) {
            Some(event_type) => of_topic.find(|subscription| subscription.event_type == event_type),
            None => of_topic.find(|subscription| subscription.untyped),
        }
    }

    /// The listing of this name.
    #[must_use]
    pub fn listing(&self, name: &str) -> Option<&Listing> {
        self.listings.iter().find(|listing| listing.name == name)
    }

    /// The read that tells how far a command's aggregate is: for what is made the one at its location, for a change the only
    /// one that takes nothing but a key.
    #[must_use]
    pub fn read_of(&self, command: &Command) -> Option<&Command> {
        let mut reads = self.commands.iter().filter(|read| {
            matches!(read.kind, CommandKind::Read)
                && read.method == Method::Get
                && matches!(read.key, KeySource::PathParameter(_))
                && path_parameters(&read.path).len() == 1
        });
        match &command.kind {
            CommandKind::Read => None,
            CommandKind::Create(location) => {
                let location = without_names(location);
                reads.find(|read| without_names(&read.path) == location)
            }
            CommandKind::Change => {
                let read = reads.next()?;
                reads.next().is_none().then_some(read)
            }
        }
    }

    /// The publication of this event type.
    #[must_use]
    pub fn publication(&self, event_type: &str) -> Option<&Publication> {
        self.publications
            .iter()
            .find(|publication| publication.event_type == event_type)
    }
}

/// Finds everything that is wrong with a description. Empty means that it can be served.
#[must_use]
pub fn check(description: &Description) -> Vec<DescriptionProblem> {
    let mut found = Problems::default();
    check_names(description, &mut found);
    for command in &description.commands {
        check_command(command, &mut found);
    }
    check_commands_together(description, &mut found);
    check_subscriptions(description, &mut found);
    check_schemas(description, &mut found);
    listing::check(description, &mut found);
    found.0
}

#[derive(Default)]
pub(crate) struct Problems(Vec<DescriptionProblem>);

impl Problems {
    pub(crate) fn add(&mut self, place: impl Into<String>, reason: impl Into<String>) {
        self.0.push(DescriptionProblem {
            place: place.into(),
            reason: reason.into(),
        });
    }
}

fn check_names(description: &Description, found: &mut Problems) {
    if !is_name(&description.name) {
        found.add(
            "name",
            format!(
                "`{}` is not a name: use 1 to 64 lower-case letters, digits and `-`",
                description.name
            ),
        );
    }
    let state = &description.state;
    if state.version == 0 {
        found.add("state", "version 0: versions count from 1");
    }
    if state.oldest_readable == 0 || state.oldest_readable > state.version {
        found.add(
            "state",
            format!(
                "oldest readable version {} is not between 1 and the current version {}",
                state.oldest_readable, state.version
            ),
        );
    }
    let base = &description.endpoint.base_path;
    if !is_base_path(base) {
        found.add(
            "endpoint",
            format!("base path `{base}`: must be empty or look like `/a/b`"),
        );
    }
    let mut events = BTreeSet::new();
    for publication in &description.publications {
        if publication.event_type.is_empty() || publication.topic.is_empty() {
            found.add("publication", "has no event type or no topic");
        }
        if !events.insert(&publication.event_type) {
            found.add(
                format!("publication {}", publication.event_type),
                "is listed twice",
            );
        }
    }
    let mut timers = BTreeSet::new();
    for timer in &description.timers {
        if timer.name.is_empty() || !timers.insert(&timer.name) {
            found.add(
                format!("timer {}", timer.name),
                "has no name or is listed twice",
            );
        }
    }
}

fn check_command(command: &Command, found: &mut Problems) {
    let place = format!("command {}", command.name);
    if command.name.is_empty() {
        found.add(&place, "has no name");
    }
    check_free(&command.path, &place, found);
    if !command.path.starts_with('/') {
        found.add(
            &place,
            format!("path `{}` does not start with `/`", command.path),
        );
    }
    let parameters = path_parameters(&command.path);
    match &command.key {
        KeySource::Generated => {
            if !matches!(command.kind, CommandKind::Create(_)) {
                found.add(
                    &place,
                    "only a command that creates can have a generated key",
                );
            }
        }
        KeySource::PathParameter(name) => {
            if !parameters.contains(&name.as_str()) {
                found.add(
                    &place,
                    format!(
                        "key parameter `{name}` is not in the path `{}`",
                        command.path
                    ),
                );
            }
        }
        KeySource::Body(pointer) => {
            if command.request.is_none() {
                found.add(
                    &place,
                    "takes its key from the body but declares no request schema",
                );
            }
            if !is_pointer(pointer) {
                found.add(
                    &place,
                    format!("key `{pointer}` is not a JSON pointer such as `/order/id`"),
                );
            }
        }
    }
    if let CommandKind::Create(location) = &command.kind
        && !location.is_empty()
        && (!location.starts_with('/') || path_parameters(location).len() != 1)
    {
        found.add(
            &place,
            format!("location `{location}` must be a path with one parameter, the key"),
        );
    }
    if command.method == Method::Get && !matches!(command.kind, CommandKind::Read) {
        found.add(&place, "is a GET that is not a read");
    }
}

fn check_commands_together(description: &Description, found: &mut Problems) {
    let mut names = BTreeSet::new();
    let mut routes = BTreeSet::new();
    for command in &description.commands {
        if !names.insert(&command.name) {
            found.add(format!("command {}", command.name), "is listed twice");
        }
        if !routes.insert((command.method, &command.path)) {
            found.add(
                format!("command {}", command.name),
                format!(
                    "{} {} is served by another command too",
                    command.method.as_str(),
                    command.path
                ),
            );
        }
    }
}

fn check_subscriptions(description: &Description, found: &mut Problems) {
    let mut seen: Vec<&Subscription> = Vec::new();
    for subscription in &description.subscriptions {
        let place = format!("subscription {}", subscription.event_type);
        if subscription.event_type.is_empty()
            || subscription.topic.is_empty()
            || subscription.group.is_empty()
        {
            found.add(&place, "has no event type, no topic or no group");
        }
        if !is_pointer(&subscription.key) {
            found.add(
                &place,
                format!("key `{}` is not a JSON pointer", subscription.key),
            );
        }
        for other in seen
            .iter()
            .filter(|other| other.topic == subscription.topic)
        {
            if other.event_type == subscription.event_type {
                found.add(
                    &place,
                    format!("is listed twice for topic {}", subscription.topic),
                );
            }
            if other.group != subscription.group {
                found.add(
                    &place,
                    format!(
                        "topic {} is read by two groups, {} and {}: one group per topic",
                        subscription.topic, other.group, subscription.group
                    ),
                );
            }
            if other.untyped && subscription.untyped {
                found.add(
                    &place,
                    format!(
                        "topic {} has two events for untyped records",
                        subscription.topic
                    ),
                );
            }
        }
        seen.push(subscription);
    }
}

fn check_schemas(description: &Description, found: &mut Problems) {
    let mut schema = |place: String, text: &str| match json::parse(text) {
        Ok(value) if value.is_object() || value.is_boolean() => {}
        Ok(_) => found.add(
            place,
            "schema is JSON but not a JSON Schema (an object or a boolean)",
        ),
        Err(reason) => found.add(place, format!("schema {reason}")),
    };
    schema("state".into(), &description.state.schema);
    for command in &description.commands {
        if let Some(request) = &command.request {
            schema(format!("command {} request", command.name), request);
        }
        schema(format!("command {} reply", command.name), &command.reply);
    }
    for subscription in &description.subscriptions {
        schema(
            format!("subscription {}", subscription.event_type),
            &subscription.schema,
        );
    }
    for publication in &description.publications {
        schema(
            format!("publication {}", publication.event_type),
            &publication.schema,
        );
    }
    for timer in &description.timers {
        schema(format!("timer {}", timer.name), &timer.schema);
    }
}

/// The parameters of a path template, in order.
#[must_use]
pub fn path_parameters(path: &str) -> Vec<&str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .collect()
}

/// A path template, whatever its parameters are called.
fn without_names(template: &str) -> String {
    let names = path_parameters(template).into_iter();
    names.fold(template.to_owned(), |path, name| {
        path.replace(&format!("{{{name}}}"), "{}")
    })
}

/// Finds a path that the host serves itself.
pub(crate) fn check_free(path: &str, place: &str, found: &mut Problems) {
    if let Some(reserved) = reserved(path) {
        let reason = format!(
            "path `{path}` is the host's own: nothing may be served at or below `{reserved}`; take another path"
        );
        found.add(place, reason);
    }
}

/// The path of the host's own that holds this one, if one does.
#[must_use]
pub fn reserved(path: &str) -> Option<&'static str> {
    RESERVED.iter().copied().find(|reserved| {
        path.strip_prefix(reserved)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether a text can be the prefix of all paths of a participant: empty, or `/like/this`.
#[must_use]
pub fn is_base_path(text: &str) -> bool {
    // The unreserved characters of RFC 3986: what needs no encoding can't be encoded in two ways.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && text.bytes().all(plain))
}

pub(crate) fn is_pointer(text: &str) -> bool {
    text.starts_with('/')
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod tests;
