//! The settings: where they stand, and what they may say.
//!
//! Owns the blob that tests patch, and its reading, once per instance. Settings that can't be read are a
//! panic that says why, so that a test with a mistake in its settings sees it in the host's log.

use crate::acts::Act;
use crate::description::Describe;
use crate::migration::Migrate;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::OnceLock;

/// Bytes of the blob, marker included.
pub const LENGTH: usize = 16 * 1024;

const MARKER: &[u8] = b"CHAMELEON-SETTINGS-BEGIN";

static BLOB: [u8; LENGTH] = blob(b"{}\n");

/// The marker, the text, and spaces.
#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of range"
)]
const fn blob(text: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [b' '; LENGTH];
    let mut at = 0;
    while at < MARKER.len() {
        bytes[at] = MARKER[at];
        at += 1;
    }
    while at < MARKER.len() + text.len() {
        bytes[at] = text[at - MARKER.len()];
        at += 1;
    }
    bytes
}

/// The description and the acts of chameleon. Missing members have their defaults.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of the participant. Default `chameleon`.
    pub name: String,
    /// Version of the rules; also what `count` writes into the state. Default `1.0.0`.
    pub version: String,
    /// One sentence for people.
    pub summary: String,
    /// The shape of the state. Default: version 1, and no older one.
    pub state: State,
    /// Prefix of the commands' paths. Default `/chameleon`.
    pub base_path: String,
    /// TCP port. Default 0.
    pub port: u16,
    /// Default: `count` and `look`.
    pub commands: Vec<Command>,
    /// Default: `counted`.
    pub subscriptions: Vec<Subscription>,
    /// Default: `changed` on `changedTopic`.
    pub publications: Vec<Publication>,
    /// Names of the timers. Default: `later`.
    pub timers: Vec<String>,
    /// JSON Schemas of timers, by name. Default: `true` for each.
    pub timer_schemas: BTreeMap<String, serde_json::Value>,
    /// Default: none.
    pub listings: Vec<Listing>,
    /// Headers that it asks for. Default: none.
    pub metadata: Vec<String>,
    /// Claims that it asks for. Default: none.
    pub claims: Vec<String>,
    /// The settings that an operator may give to it. Default: none.
    pub settings: Option<OperatorSettings>,
    /// What is done on a message, by the message's name: an act, or a list of them. A name that is not
    /// here counts by 1, or, where it is the name of a read, looks.
    pub handle: BTreeMap<String, Acts>,
    /// The result of a migration from an older shape. Default `ok`.
    pub migrate: Migrate,
    /// The truth of the description. Default `honest`.
    pub describe: Describe,
    /// Bytes of memory that each call leaves behind in its instance. Default 0.
    pub leak: usize,
}

/// Settings for the operator.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorSettings {
    /// A JSON Schema of all together.
    pub schema: serde_json::Value,
    /// The default ones.
    pub default: serde_json::Value,
}

/// The shape of the state.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Default 1.
    pub version: u32,
    /// Default: the version.
    pub oldest_readable: Option<u32>,
    /// A JSON Schema. Default `true`.
    pub schema: serde_json::Value,
    /// Members without which a state can't be read: a message for it traps. Default: none.
    pub needs: Vec<String>,
    /// Whether `migrate` reads a state of the present shape, or gives it back unread. Default true.
    pub decoded: bool,
}

impl State {
    /// Reads a stored state.
    ///
    /// # Errors
    /// Which member is missing.
    pub(crate) fn read(&self, state: &str) -> Result<(), String> {
        let members: serde_json::Value =
            serde_json::from_str(state).map_err(|error| error.to_string())?;
        match self.needs.iter().find(|name| members.get(name).is_none()) {
            Some(name) => Err(format!("missing field `{name}`")),
            None => Ok(()),
        }
    }
}

/// A command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Name.
    pub name: String,
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Path below the base path.
    pub path: String,
    /// Default `change`.
    #[serde(default)]
    pub kind: Kind,
    /// `{key}` for a path parameter, `/key` for a pointer into the body, `generated`. Default `{key}`.
    #[serde(default = "key_in_path")]
    pub key: String,
    /// A JSON Schema of the body. Default: the command takes none.
    #[serde(default)]
    pub request: Option<serde_json::Value>,
    /// Permissions that a caller needs. Default: none.
    #[serde(default)]
    pub requires: Vec<String>,
    /// A JSON Schema of the reply. Default `true`.
    #[serde(default = "anything")]
    pub reply: serde_json::Value,
}

/// The effect of a command on its aggregate.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It makes one, which is readable at this path, if at any.
    Create(Option<String>),
    /// It may change one.
    #[default]
    Change,
    /// It reads.
    Read,
}

/// An event that is listened to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// Type of the event.
    pub event_type: String,
    /// Topic. Default `chameleonTopic`.
    #[serde(default = "topic")]
    pub topic: String,
    /// Consumer group. Default `chameleon`.
    #[serde(default = "group")]
    pub group: String,
    /// Pointer to the key. Default `/key`.
    #[serde(default = "key_pointer")]
    pub key: String,
    /// True if it takes records without a type. Default false.
    #[serde(default)]
    pub untyped: bool,
    /// A JSON Schema of the body. Default `true`.
    #[serde(default = "anything")]
    pub schema: serde_json::Value,
    /// Version of the body. Default 1.
    #[serde(default = "first_version")]
    pub version: u32,
    /// Older versions. Default: none.
    #[serde(default)]
    pub older: Vec<OlderVersion>,
}

/// An older version of an event that is listened to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OlderVersion {
    /// The version.
    pub version: u32,
    /// Pointer to the key. Default `/key`.
    #[serde(default = "key_pointer")]
    pub key: String,
    /// A JSON Schema of the body. Default `true`.
    #[serde(default = "anything")]
    pub schema: serde_json::Value,
}

fn first_version() -> u32 {
    1
}

/// An event that may be published.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// Type of the event.
    pub event_type: String,
    /// Topic.
    pub topic: String,
    /// A JSON Schema of the body. Default `true`.
    #[serde(default = "anything")]
    pub schema: serde_json::Value,
    /// Version of the body. Default 1.
    #[serde(default = "first_version")]
    pub version: u32,
}

/// A listing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Name.
    pub name: String,
    /// Path below the base path.
    pub path: String,
    /// The read that shows an aggregate. Default `look`.
    #[serde(default = "item")]
    pub item: String,
    /// Default: none.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

/// A filter of a listing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Query parameter.
    pub parameter: String,
    /// Pointer into the state.
    pub pointer: String,
    /// A JSON Schema.
    pub schema: serde_json::Value,
}

/// An act on one message.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Acts {
    /// One act.
    One(Act),
    /// One after the other.
    All(Vec<Act>),
}

impl Settings {
    /// The settings in this build's own bytes.
    pub fn own() -> &'static Self {
        static OWN: OnceLock<Settings> = OnceLock::new();
        // Opaque, so that the compiler can't read the blob before a test has patched it.
        OWN.get_or_init(|| Self::read(black_box(&BLOB).get(MARKER.len()..).unwrap_or_default()))
    }

    /// Reads settings: the first line is JSON.
    #[allow(
        clippy::panic,
        reason = "a mistake in a test's settings must not look like a behaviour"
    )]
    pub fn read(text: &[u8]) -> Self {
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        serde_json::from_slice(line)
            .unwrap_or_else(|error| panic!("chameleon can't read its settings: {error}"))
    }

    /// True if a command of this name reads.
    pub(crate) fn is_read(&self, name: &str) -> bool {
        let command = self.commands.iter().find(|command| command.name == name);
        command.is_some_and(|command| matches!(command.kind, Kind::Read))
    }
}

impl Default for Settings {
    fn default() -> Self {
        let command = |name: &str, method: &str, kind| Command {
            name: name.to_owned(),
            method: method.to_owned(),
            path: "/counters/{key}".to_owned(),
            kind,
            key: key_in_path(),
            request: None,
            requires: vec![],
            reply: anything(),
        };
        Self {
            name: "chameleon".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "Is what its settings say.".to_owned(),
            state: State::default(),
            base_path: "/chameleon".to_owned(),
            port: 0,
            commands: vec![
                command("count", "POST", Kind::Change),
                command("look", "GET", Kind::Read),
            ],
            subscriptions: vec![Subscription {
                event_type: "counted".to_owned(),
                topic: topic(),
                group: group(),
                key: key_pointer(),
                untyped: false,
                schema: anything(),
                version: 1,
                older: vec![],
            }],
            publications: vec![Publication {
                event_type: "changed".to_owned(),
                topic: "changedTopic".to_owned(),
                schema: anything(),
                version: 1,
            }],
            timers: vec!["later".to_owned()],
            timer_schemas: BTreeMap::new(),
            listings: vec![],
            metadata: vec![],
            claims: vec![],
            settings: None,
            handle: BTreeMap::new(),
            migrate: Migrate::default(),
            describe: Describe::default(),
            leak: 0,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: 1,
            oldest_readable: None,
            schema: anything(),
            needs: vec![],
            decoded: true,
        }
    }
}

fn anything() -> serde_json::Value {
    serde_json::Value::Bool(true)
}

fn key_in_path() -> String {
    "{key}".to_owned()
}

fn item() -> String {
    "look".to_owned()
}

fn topic() -> String {
    "chameleonTopic".to_owned()
}

fn group() -> String {
    "chameleon".to_owned()
}

fn key_pointer() -> String {
    "/key".to_owned()
}
