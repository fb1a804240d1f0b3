//! What a participant says of itself: the mirror of `record description` in `wit/participant.wit`.
//!
//! Owns the types and what can be looked up in them; what is wrong with a description is for [`crate::check`].

use serde::{Deserialize, Serialize};

/// Paths below each participant's base path at which, and below which, the host serves what can be read about it.
pub const RESERVED: [&str; 4] = [
    "/asyncapi.json",
    "/openapi.json",
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
                let location = path_shape(location);
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

/// A path template without the names of its parameters: templates of one shape match the same URLs.
#[must_use]
pub fn path_shape(path: &str) -> String {
    let mut shape = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        shape.push_str(before);
        // `{*rest}` takes all segments that follow, `{name}` one.
        shape.push_str(if name.starts_with('*') { "{*}" } else { "{}" });
        rest = behind;
    }
    shape.push_str(rest);
    shape
}

/// The path of the host's own that holds this one, if one does.
#[must_use]
pub fn reserved(path: &str) -> Option<&'static str> {
    RESERVED.iter().copied().find(|reserved| {
        path.strip_prefix(reserved)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Whether a text can be the prefix of all paths of a participant: empty, or `/like/this`.
#[must_use]
pub fn is_base_path(text: &str) -> bool {
    // The unreserved characters of RFC 3986: what needs no encoding can't be encoded in two ways.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && text.bytes().all(plain))
}

#[cfg(test)]
#[path = "description_tests.rs"]
mod tests;
