//! The settings of the host: one TOML file, the environment, the command line.
//!
//! Every setting has a default; a host runs on `--plugin` alone. The command line takes precedence
//! over the environment (`SAGA__SECTION__KEY`), the environment over the file. Unknown settings and
//! invalid values are refused, all at once. `saga config` prints the settings in effect.
//!
//! # Layout
//!
//! - this file: the settings and their defaults
//! - [`http`]: the participants' listeners; `auth`: their callers
//! - `memory`: available memory, from which some defaults follow
//! - `kafka`: the connection to the brokers; `store`: the store, and the server it is on
//! - [`operator`]: the admin interface, and the swap of rules
//! - `section`: reads a section as its struct declares it
//! - [`reader`]: reads single settings and collects all problems
//! - `explained`: the printed form

mod auth;
mod explained;
pub mod http;
mod kafka;
mod memory;
pub mod operator;
pub mod reader;
mod section;
pub mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use saga_contract::description;
use saga_core::journal::Kept;
use saga_core::limits::TurnLimits;
use saga_core::retry::RetryPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kafka::KafkaSettings;
use crate::plugin::{CompileLimits, GuestLimits};
use crate::rollout::rule_settings::{self, RuleSettings};
use crate::rollout::settings::{
    GateSettings, ParticipantSettings, ReloadSettings, RolloutSettings,
};
use crate::stages::ProgressSettings;
use crate::store::ParkedLimits;
pub use http::HttpSettings;
pub use operator::{AdminSettings, Token};
use reader::{Override, Setting, SettingsReader};
use section::{choice, section, section_with};
pub use store::StoreSection;

/// The settings in effect.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Config {
    /// Directory with the store and the compiled code.
    pub data_dir: PathBuf,
    /// Threads of each participant, each with one instance of its rules.
    pub instances: usize,
    /// Seconds for the work in flight when the host is asked to stop; if clients take all of them,
    /// the store gets two more.
    pub drain_seconds: u64,
    /// The log output.
    pub log: LogSettings,
    /// The listeners.
    pub http: HttpSettings,
    /// The admin interface.
    pub admin: AdminSettings,
    /// The swap of rules.
    pub reload: ReloadSettings,
    /// What a change of rules must show first, and what is shown of rules that decide.
    pub rollout: GateSettings,
    /// The metrics.
    pub metrics: MetricsSettings,
    /// Seconds that the oldest message of a stage may wait before the host becomes unready; 0 for
    /// no bound.
    pub progress: ProgressSettings,
    /// The store.
    pub store: StoreSection,
    /// The embedded log.
    pub embedded: EmbeddedSettings,
    /// Bounds of a turn.
    pub turn: TurnLimits,
    /// Bounds of a guest.
    pub guest: GuestLimits,
    /// Limits of compiling a component. It is done in a separate process, which is killed beyond
    /// them.
    pub compile: CompileLimits,
    /// Further attempts at a record or a timer if the rules ask to get it later, or exceeded their
    /// time. Meanwhile records and timers of its aggregate wait in order, and commands pass.
    pub retry: RetryPolicy,
    /// Messages that wait in the store: for another attempt, or because the state of their
    /// aggregate can't be read.
    pub parked: ParkedLimits,
    /// Kafka; none for the embedded log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaSettings>,
    /// The participants, by name.
    pub participants: BTreeMap<String, ParticipantSettings>,
}

/// The log output: level and format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogSettings {
    /// A level, or directives such as `info,saga_host::kafka=debug`.
    pub level: String,
    /// `text` for people, `json` for machines.
    #[schemars(extend("enum" = ["text", "json"]))]
    pub format: String,
}

/// The metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MetricsSettings {
    /// Collect metrics, and serve them at `/metrics` of the admin interface.
    pub enabled: bool,
}

/// The embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmbeddedSettings {
    /// Partitions of each topic.
    #[schemars(range(min = 1, max = 1_000))]
    pub partitions: i32,
}

/// All problems of the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Prefix of the environment variables.
const ENVIRONMENT: &str = "SAGA__";

impl Config {
    /// Reads the settings: the command line's overrides, the environment's variables, the file.
    ///
    /// # Errors
    /// A [`ConfigError`] with all problems.
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
        let mut reader = SettingsReader::new(table, overrides);
        let config = read(&mut reader);
        let problems = [twice, reader.finish()].concat();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }

    /// The settings that the choice and the swap of rules depend on.
    #[must_use]
    pub fn rollout(&self) -> RolloutSettings {
        RolloutSettings {
            data_dir: self.data_dir.clone(),
            store: self.store.location(&self.data_dir),
            instances: self.instances,
            page_items: self.http.page_items,
            security: self.http.auth.security(),
            reload: self.reload,
            gate: self.rollout,
            retention_hours: self.store.bounds.retention_hours,
            turn: self.turn,
            guest: self.guest,
            compile: self.compile,
            has_kafka: self.kafka.is_some(),
            participants: self.participants.clone(),
        }
    }

    /// The settings as a TOML file, each explained, without secrets.
    ///
    /// # Errors
    /// A value has no TOML form.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        explained::explained(self)
    }
}

/// The problem of a file that is not valid TOML, and its position. The line is not quoted: it may
/// hold a secret.
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
        // Variable names have no `-`, participant names no `_`.
        *participant = participant.replace('_', "-");
    }
    Some(Override {
        path,
        value,
        origin: name,
    })
}

fn read(reader: &mut SettingsReader) -> Config {
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
        rollout: section(reader, &["rollout"], GateSettings::default()),
        metrics: section(reader, &["metrics"], MetricsSettings { enabled: true }),
        progress: section(reader, &["progress"], ProgressSettings::default()),
        store: store::read_store(reader),
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

fn read_log(reader: &mut SettingsReader) -> LogSettings {
    let default = LogSettings {
        level: "info".into(),
        format: "text".into(),
    };
    section_with(reader, &["log"], default, |name, value| match name {
        "level" => is_log_filter(value.as_str().unwrap_or_default()),
        _ => Ok(()),
    })
}

fn read_compile(reader: &mut SettingsReader) -> CompileLimits {
    let default = CompileLimits::default();
    let memory_bytes = memory::to_compile(default.memory_bytes);
    let default = CompileLimits {
        memory_bytes,
        ..default
    };
    section(reader, &["compile"], default)
}

fn read_participants(
    reader: &mut SettingsReader,
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
        let fresh_instances = reader.get(&at("fresh_instances"), false, |_| Ok(()));
        let journal = choice(reader, &at("journal"), Kept::default());
        let rules = read_rules(reader, &at("rules"));
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
                    fresh_instances,
                    journal,
                    rules,
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

/// The settings of the rules. Which there are is known once the component is loaded.
fn read_rules(reader: &mut SettingsReader, path: &[&str]) -> RuleSettings {
    let names = reader.names(path);
    let find = |name: String| {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        let RuleValue(value) = reader.find(&path, |_| Ok(()))?;
        Some((name, value))
    };
    names.into_iter().filter_map(find).collect()
}

/// The value of a setting of rules.
struct RuleValue(serde_json::Value);

impl Setting for RuleValue {
    const EXPECTED: &'static str = rule_settings::VALUES;

    fn from_text(text: &str) -> Option<Self> {
        rule_settings::value(text).map(Self)
    }

    fn from_toml(value: &toml::Value) -> Option<Self> {
        rule_settings::from_toml(value.clone()).map(Self)
    }
}

fn read_texts(reader: &mut SettingsReader, path: &[&str]) -> BTreeMap<String, String> {
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
