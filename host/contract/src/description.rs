//! The description of a participant: the mirror of `record description` in `wit/participant.wit`.
//!
//! Owns the types and look-ups in them; problems of a description are for [`crate::check`].

use serde::{Deserialize, Serialize};

/// Paths below each participant's base path at which, and below which, the host serves data about
/// the participant.
pub const RESERVED: [&str; 4] = [
    "/asyncapi.json",
    "/openapi.json",
    "/problems",
    "/swagger-ui",
];

/// The description of a participant.
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
    /// Default endpoint of its commands.
    pub endpoint: Endpoint,
    /// Commands that clients may send.
    pub commands: Vec<Command>,
    /// Events that it subscribes to.
    pub subscriptions: Vec<Subscription>,
    /// Events that it may publish.
    pub publications: Vec<Publication>,
    /// Timers that it may set.
    pub timers: Vec<TimerDescription>,
    /// Lists of its aggregates.
    pub listings: Vec<Listing>,
    /// Settings that it takes from the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsDescription>,
    /// Names of the headers that messages carry, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<String>,
    /// Names of the claims that callers carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// True for rules of contract 0.1: commands list refusals for the API document only, may answer
    /// others, and may describe one code in several ways.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_open_refusals: bool,
}

/// The settings of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsDescription {
    /// JSON Schema text of all settings together.
    pub schema: String,
    /// JSON text of the default settings: an object with every setting.
    pub default: String,
}

/// The shape of the state, and the older shapes that can be migrated.
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

/// A command of clients.
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
    /// Its effect on its aggregate.
    pub kind: CommandKind,
    /// The source of the aggregate's key.
    pub key: KeySource,
    /// JSON Schema text of the request body, if it takes one.
    pub request: Option<String>,
    /// JSON Schema text of the reply.
    pub reply: String,
    /// Refusals that it may answer.
    pub refusals: Vec<RefusalDescription>,
    /// Permissions that a caller needs, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
}

/// The effect of a command on its aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
    /// Creates one; the path template under which it can be read, if it can.
    Create(Option<String>),
    /// May change one.
    Change,
    /// Only reads.
    Read,
}

/// The source of a command's key.
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
    /// Kind.
    pub kind: RefusalKind,
    /// Stable word.
    pub code: String,
    /// One sentence.
    pub summary: String,
}

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// Malformed, according to the rules.
    Invalid,
    /// No such aggregate.
    NotFound,
    /// The state does not allow it.
    Conflict,
    /// The caller may not.
    Forbidden,
}

impl RefusalKind {
    /// Its word in documents and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
        }
    }
}

/// An event that the participant subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Event type.
    pub event_type: String,
    /// Topic, by the participant's name (configuration may map it).
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// JSON pointer to the aggregate's key.
    pub key: String,
    /// True if records without a type are taken for this event.
    pub untyped: bool,
    /// JSON Schema text of the body.
    pub schema: String,
    /// Version of the body that `key` and `schema` describe; counts from 1.
    #[serde(default = "first_version")]
    pub version: u32,
    /// Older versions that are read too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<OlderVersion>,
}

/// An older version of an event's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderVersion {
    /// The version.
    pub version: u32,
    /// JSON pointer to the aggregate's key.
    pub key: String,
    /// JSON Schema text of the body.
    pub schema: String,
}

/// An event that the participant may publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Event type.
    pub event_type: String,
    /// Topic.
    pub topic: String,
    /// JSON Schema text of the body.
    pub schema: String,
    /// Version of the body; counts from 1.
    #[serde(default = "first_version")]
    pub version: u32,
}

fn first_version() -> u32 {
    1
}

/// A timer that the participant may set.
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
    /// Name of the read whose reply shows each aggregate.
    pub item: String,
    /// Its filters, the most selective first.
    pub filters: Vec<Filter>,
}

/// A filter of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Name of the query parameter.
    pub parameter: String,
    /// JSON pointer into the state.
    pub pointer: String,
    /// JSON Schema text of the value.
    pub schema: String,
}

impl Subscription {
    /// The pointer to the key and the schema of a body of this version, if the version is read.
    #[must_use]
    pub fn shape(&self, version: u32) -> Option<(&str, &str)> {
        if version == self.version {
            return Some((&self.key, &self.schema));
        }
        let older = self.older.iter().find(|older| older.version == version)?;
        Some((&older.key, &older.schema))
    }

    /// The versions that are read, from the oldest on.
    #[must_use]
    pub fn versions(&self) -> Vec<u32> {
        let older = self.older.iter().map(|older| older.version);
        let mut versions: Vec<_> = older.chain([self.version]).collect();
        versions.sort_unstable();
        versions
    }
}

impl Description {
    /// The command of this name.
    #[must_use]
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// The subscription that takes a record of this topic and event type. For a record without a
    /// type, `event_type` is None.
    #[must_use]
    pub fn subscription(&self, topic: &str, event_type: Option<&str>) -> Option<&Subscription> {
        let mut of_topic = self
            .subscriptions
            .iter()
            .filter(|subscription| subscription.topic == topic);
        // An empty CloudEvents attribute counts as missing.
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

    /// The read that shows the progress of a command's aggregate: after a create the read at its
    /// location, after a change the only read that takes nothing but a key.
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
                let location = path_shape(location.as_deref()?);
                reads.find(|read| path_shape(&read.path) == location)
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

/// The parameters of a path template, in order.
#[must_use]
pub fn path_parameters(path: &str) -> Vec<&str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .collect()
}

/// A path template without the names of its parameters: templates of the same shape match the same
/// URLs.
#[must_use]
pub fn path_shape(path: &str) -> String {
    let mut shape = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        shape.push_str(before);
        // `{*rest}` matches all segments that follow, `{name}` one.
        shape.push_str(if name.starts_with('*') { "{*}" } else { "{}" });
        rest = behind;
    }
    shape.push_str(rest);
    shape
}

/// The reserved path that contains this one, if there is one.
#[must_use]
pub fn reserved(path: &str) -> Option<&'static str> {
    RESERVED.iter().copied().find(|reserved| {
        path.strip_prefix(reserved)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// True if a text can be the prefix of all paths of a participant: empty, or `/like/this`.
#[must_use]
pub fn is_base_path(text: &str) -> bool {
    // The unreserved characters of RFC 3986. They need no encoding, so each path has one form.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && text.bytes().all(plain))
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod tests;
