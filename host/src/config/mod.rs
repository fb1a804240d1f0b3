//! The settings of the host: one TOML file, the environment, the command line.
//!
//! Every setting has a default; a host runs on `--plugin` alone. The command line wins over the
//! environment (`SAGA__SECTION__KEY`), the environment over the file. Unknown settings and bad
//! values are refused, all at once. `saga config` prints what is in effect.
//!
//! # Layout
//!
//! - this file: what can be set, and the defaults
//! - [`http`]: the participants' listeners
//! - `memory`: how much memory there is, of which defaults are a share
//! - `kafka`: the way to the brokers
//! - [`operator`]: the admin interface, and how rules are swapped
//! - `section`: reads a section as its struct declares it
//! - [`reader`]: the settings that are given, one by one, and everything that is wrong with them
//! - `explained`: how it is printed

mod explained;
pub mod http;
mod kafka;
mod memory;
pub mod operator;
pub mod reader;
mod section;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use saga_contract::description;
use saga_core::limits::TurnLimits;
use saga_core::retry::RetryPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kafka::KafkaSettings;
use crate::plugin::{CompileLimits, GuestLimits};
use crate::rollout::settings::{ParticipantSettings, ReloadSettings, RolloutSettings};
use crate::stages::ProgressSettings;
use crate::store::{ParkedLimits, StoreSettings};
pub use http::HttpSettings;
pub use operator::{AdminSettings, Token};
use reader::{Override, Reader};
use section::{section, section_with};

/// The settings in effect.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Config {
    /// Directory with the store and the compiled code.
    pub data_dir: PathBuf,
    /// Threads of each participant, each with one instance of its rules.
    pub instances: usize,
    /// Seconds that the work under way gets when the host is asked to stop; where clients take all of them, two more are for the store.
    pub drain_seconds: u64,
    /// What is logged.
    pub log: LogSettings,
    /// The listeners.
    pub http: HttpSettings,
    /// The admin interface.
    pub admin: AdminSettings,
    /// How rules are swapped.
    pub reload: ReloadSettings,
    /// What is counted and measured.
    pub metrics: MetricsSettings,
    /// Seconds that the oldest message of a stage may wait before the host is not ready; 0 for no bound.
    pub progress: ProgressSettings,
    /// The store.
    pub store: StoreSettings,
    /// The embedded log.
    pub embedded: EmbeddedSettings,
    /// Bounds of a turn.
    pub turn: TurnLimits,
    /// Bounds of a guest.
    pub guest: GuestLimits,
    /// What compiling a component may take. It is done in a process of its own, which is ended beyond that.
    pub compile: CompileLimits,
    /// Further attempts at a record or a timer that the rules want to be given later, or on which they took too long. Meanwhile
    /// records and timers of its aggregate wait in their order, and commands are let through.
    pub retry: RetryPolicy,
    /// Messages that wait in the store: for another attempt, or because the state of their aggregate can't be read.
    pub parked: ParkedLimits,
    /// Kafka; none for the embedded log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSettings>,
    /// The participants, by name.
    pub participants: BTreeMap<String, ParticipantSettings>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogSettings {
    /// A level, or directives such as `info,saga_host::transport=debug`.
    pub level: String,
    /// `text` for people, `json` for machines.
    #[schemars(extend("enum" = ["text", "json"]))]
    pub format: String,
}

/// What is counted and measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricsSettings {
    /// Whether anything is, and `/metrics` is served by the admin interface.
    pub enabled: bool,
}

/// The embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmbeddedSettings {
    /// Partitions of each topic.
    #[schemars(range(min = 1, max = 1_000))]
    pub partitions: i32,
}

/// Everything that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Prefix of the environment variables.
const ENVIRONMENT: &str = "SAGA__";

impl Config {
    /// Reads the settings: the command line's overrides, the environment's variables, the file.
    ///
    /// # Errors
    /// A [`ConfigError`] with everything that is wrong.
    pub fn load(
        file: Option<&Path>,
        arguments: Vec<Override>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let table = match file {
            None => toml::Table::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| error.to_string())
                .and_then(|text| text.parse().map_err(|error| misspelt(&text, &error)))
                .map_err(|reason| {
                    ConfigError(vec![format!("{}: {}", path.display(), reason.trim_end())])
                })?,
        };
        let twice: Vec<String> = (arguments.iter().enumerate())
            .filter(|(number, setting)| {
                arguments
                    .iter()
                    .take(*number)
                    .any(|other| other.path == setting.path)
            })
            .map(|(_, setting)| format!("{}: is given twice", setting.origin))
            .collect();
        let mut overrides = arguments;
        let mut variables: Vec<_> = environment.filter_map(variable).collect();
        variables.sort_by(|a, b| a.origin.cmp(&b.origin));
        overrides.extend(variables);
        let mut reader = Reader::new(table, overrides);
        let config = read(&mut reader);
        let problems = [twice, reader.finish()].concat();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }

    /// Those on which the choice and the swap of rules depend.
    #[must_use]
    pub fn rollout(&self) -> RolloutSettings {
        RolloutSettings {
            data_dir: self.data_dir.clone(),
            instances: self.instances,
            page_items: self.http.page_items,
            reload: self.reload,
            retention_hours: self.store.retention_hours,
            turn: self.turn,
            guest: self.guest,
            compile: self.compile,
            has_kafka: self.kafka.is_some(),
            participants: self.participants.clone(),
        }
    }

    /// The settings as a TOML file, each explained, secrets left out.
    ///
    /// # Errors
    /// When a value has no form in TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        explained::explained(self)
    }
}

/// What is wrong with a file that is no TOML, and where. The line itself is not quoted: it may hold a secret.
fn misspelt(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map(|before| {
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!(
            "line {}, column {column}: ",
            before.matches('\n').count() + 1
        )
    });
    format!("{}{}", place.unwrap_or_default(), error.message())
}

/// `SAGA__KAFKA__BOOTSTRAP` → `kafka.bootstrap`.
fn variable((name, value): (String, String)) -> Option<Override> {
    let mut path: Vec<String> = name
        .strip_prefix(ENVIRONMENT)?
        .split("__")
        .map(str::to_ascii_lowercase)
        .collect();
    if let [section, participant, ..] = path.as_mut_slice()
        && section == "participants"
    {
        // Names of variables have no `-`, names of participants no `_`.
        *participant = participant.replace('_', "-");
    }
    Some(Override {
        path,
        value,
        origin: name,
    })
}

fn read(reader: &mut Reader) -> Config {
    let retry = section(reader, &["retry"], RetryPolicy::default());
    Config {
        data_dir: reader
            .get(&["data_dir"], "saga-data".to_owned(), not_empty)
            .into(),
        instances: reader.get(&["instances"], default_instances(), in_range(1, 64)),
        drain_seconds: reader.get(&["drain_seconds"], 10, in_range(0, 3_600)),
        log: read_log(reader),
        http: http::read_http(reader),
        admin: operator::read_admin(reader),
        reload: operator::read_reload(reader),
        metrics: section(reader, &["metrics"], MetricsSettings { enabled: true }),
        progress: section(reader, &["progress"], ProgressSettings::default()),
        store: section(reader, &["store"], StoreSettings::default()),
        embedded: section(reader, &["embedded"], EmbeddedSettings { partitions: 1 }),
        turn: section(reader, &["turn"], TurnLimits::default()),
        guest: section(reader, &["guest"], GuestLimits::default()),
        compile: read_compile(reader),
        retry,
        parked: section(reader, &["parked"], ParkedLimits::default()),
        kafka: kafka::read_kafka(reader),
        participants: read_participants(reader, retry),
    }
}

/// One instance per core up to four: decisions are short, and each costs memory.
fn default_instances() -> usize {
    std::thread::available_parallelism()
        .map_or(2, std::num::NonZero::get)
        .min(4)
}

fn read_log(reader: &mut Reader) -> LogSettings {
    let default = LogSettings {
        level: "info".into(),
        format: "text".into(),
    };
    section_with(reader, &["log"], default, |name, value| match name {
        "level" => is_log_filter(value.as_str().unwrap_or_default()),
        _ => Ok(()),
    })
}

fn read_compile(reader: &mut Reader) -> CompileLimits {
    let default = CompileLimits::default();
    let memory_bytes = memory::to_compile(default.memory_bytes);
    let default = CompileLimits {
        memory_bytes,
        ..default
    };
    section(reader, &["compile"], default)
}

fn read_participants(
    reader: &mut Reader,
    of_all: RetryPolicy,
) -> BTreeMap<String, ParticipantSettings> {
    let mut participants = BTreeMap::new();
    for name in reader.names(&["participants"]) {
        let at = |key| ["participants", name.as_str(), key];
        let component: Option<String> = reader.find(&at("component"), not_empty);
        let listen: Option<String> = reader.find(&at("listen"), is_address);
        let base_path: Option<String> = reader.find(&at("base_path"), is_base_path);
        let tls = http::read_tls(reader, &at("tls"));
        let topics = read_texts(reader, &at("topics"));
        let groups = read_texts(reader, &at("groups"));
        let retry = reader
            .is_given(&at("retry"))
            .then(|| section(reader, &at("retry"), of_all));
        match component {
            Some(component) => {
                let config = ParticipantSettings {
                    component: component.into(),
                    listen: listen.and_then(|listen| listen.parse().ok()),
                    base_path,
                    tls,
                    topics,
                    groups,
                    retry,
                };
                participants.insert(name, config);
            }
            None => reader.problem(format!(
                "participants.{name}.component: is missing; give the path of a component, or --plugin {name}=PATH"
            )),
        }
    }
    participants
}

fn read_texts(reader: &mut Reader, path: &[&str]) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for name in reader.names(path) {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        if let Some(text) = reader.find::<String>(&path, not_empty) {
            texts.insert(name, text);
        }
    }
    texts
}

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn not_empty(text: &String) -> Result<(), String> {
    if text.trim().is_empty() {
        Err("is empty".into())
    } else {
        Ok(())
    }
}

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn is_address(text: &String) -> Result<(), String> {
    text.parse::<SocketAddr>()
        .map(|_| ())
        .map_err(|_| "is not ADDRESS:PORT, such as 127.0.0.1:8081 or [::]:8081".into())
}

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn is_base_path(text: &String) -> Result<(), String> {
    if description::is_base_path(text) {
        return Ok(());
    }
    Err("must be empty or look like `/a/b`, of letters, digits, `-`, `.`, `_` and `~`".into())
}

fn is_log_filter(text: &str) -> Result<(), String> {
    text.parse::<tracing_subscriber::filter::Targets>()
        .map(|_| ())
        .map_err(|error| {
            format!("is not a log filter such as `info` or `info,saga_host::store=debug`: {error}")
        })
}

fn in_range<T: PartialOrd + std::fmt::Display + Copy>(
    least: T,
    most: T,
) -> impl Fn(&T) -> Result<(), String> {
    move |value| {
        if *value < least || *value > most {
            return Err(format!("is not between {least} and {most}"));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
