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
//! - [`reader`]: how it is read
//! - `explained`: how it is printed

mod explained;
pub mod http;
mod kafka;
mod memory;
pub mod operator;
pub mod reader;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use saga_core::description;
use saga_core::limits::TurnLimits;
use saga_core::retry::RetryPolicy;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::tls::CertificateFiles;
use crate::kafka::KafkaSettings;
use crate::plugin::{CompileLimits, GuestLimits};
use crate::stages::ProgressSettings;
use crate::store::{ParkedLimits, StoreSettings};
pub use http::HttpSettings;
pub use operator::{AdminSettings, ReloadSettings, Token};
use reader::{Override, Reader};

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
    pub participants: BTreeMap<String, ParticipantConfig>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LogSettings {
    /// A level, or directives such as `info,saga_host::kafka=debug`.
    pub level: String,
    /// `text` for people, `json` for machines.
    pub format: String,
}

/// What is counted and measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MetricsSettings {
    /// Whether anything is, and `/metrics` is served by the admin interface.
    pub enabled: bool,
}

/// The embedded log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct EmbeddedSettings {
    /// Partitions of each topic.
    pub partitions: i32,
}

/// One participant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ParticipantConfig {
    /// The component.
    pub component: PathBuf,
    /// Where it listens; none for 127.0.0.1 and the port that the component names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Path prefix; none for the one that the component names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// The certificate that it shows, instead of that of all listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<CertificateFiles>,
    /// Topics that are called otherwise on the broker, by their name in the component.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, String>,
    /// Consumer groups that are called otherwise, by their name in the component.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, String>,
    /// Further attempts at its messages, where they are not those of `[retry]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetryPolicy>,
}

impl ParticipantConfig {
    /// Further attempts at its messages.
    #[must_use]
    pub fn retry(&self, of_all: RetryPolicy) -> RetryPolicy {
        self.retry.unwrap_or(of_all)
    }
}

/// Everything that is wrong with the settings.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// The largest whole number that a TOML file can hold: what is printed must be readable.
const TOML_MOST: u64 = i64::MAX as u64;

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
    let retry = read_retry(reader, &["retry"], RetryPolicy::default());
    Config {
        data_dir: reader
            .get(&["data_dir"], "saga-data".to_owned(), not_empty)
            .into(),
        instances: reader.get(&["instances"], default_instances(), in_range(1, 64)),
        drain_seconds: reader.get(&["drain_seconds"], 10, in_range(0, 3_600)),
        log: LogSettings {
            level: reader.get(&["log", "level"], "info".to_owned(), is_log_filter),
            format: reader.get(
                &["log", "format"],
                "text".to_owned(),
                one_of(&["text", "json"]),
            ),
        },
        http: http::read_http(reader),
        admin: operator::read_admin(reader),
        reload: operator::read_reload(reader),
        metrics: MetricsSettings {
            enabled: reader.get(&["metrics", "enabled"], true, |_| Ok(())),
        },
        progress: read_progress(reader),
        store: read_store(reader),
        embedded: EmbeddedSettings {
            partitions: reader.get(&["embedded", "partitions"], 1, in_range(1, 1_000)),
        },
        turn: read_turn(reader),
        guest: read_guest(reader),
        compile: read_compile(reader),
        retry,
        parked: read_parked(reader),
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

fn read_progress(reader: &mut Reader) -> ProgressSettings {
    let default = ProgressSettings::default();
    let mut at = |key, default| reader.get(&["progress", key], default, in_range(0, 31_536_000));
    ProgressSettings {
        turn_seconds: at("turn_seconds", default.turn_seconds),
        commit_seconds: at("commit_seconds", default.commit_seconds),
        relay_seconds: at("relay_seconds", default.relay_seconds),
        record_seconds: at("record_seconds", default.record_seconds),
        retry_seconds: at("retry_seconds", default.retry_seconds),
        timer_seconds: at("timer_seconds", default.timer_seconds),
    }
}

fn read_store(reader: &mut Reader) -> StoreSettings {
    let default = StoreSettings::default();
    StoreSettings {
        batch: reader.get(&["store", "batch"], default.batch, in_range(1, 100_000)),
        retention_hours: reader.get(
            &["store", "retention_hours"],
            default.retention_hours,
            in_range(1, 876_000),
        ),
        dead_letter_hours: reader.get(
            &["store", "dead_letter_hours"],
            default.dead_letter_hours,
            in_range(1, 876_000),
        ),
        max_bytes: reader.get(
            &["store", "max_bytes"],
            default.max_bytes,
            in_range(0, TOML_MOST),
        ),
        standstill_seconds: reader.get(
            &["store", "standstill_seconds"],
            default.standstill_seconds,
            in_range(1, 3_600),
        ),
    }
}

fn read_turn(reader: &mut Reader) -> TurnLimits {
    let default = TurnLimits::default();
    let mut bytes = |key, default| reader.get(&["turn", key], default, in_range(1, 64 << 20));
    TurnLimits {
        record_bytes: bytes("record_bytes", default.record_bytes),
        key_bytes: bytes("key_bytes", default.key_bytes),
        attribute_bytes: bytes("attribute_bytes", default.attribute_bytes),
        state_bytes: bytes("state_bytes", default.state_bytes),
        event_bytes: bytes("event_bytes", default.event_bytes),
        reply_bytes: bytes("reply_bytes", default.reply_bytes),
        events: reader.get(&["turn", "events"], default.events, in_range(0, 10_000)),
        timers: reader.get(&["turn", "timers"], default.timers, in_range(0, 10_000)),
    }
}

fn read_guest(reader: &mut Reader) -> GuestLimits {
    let default = GuestLimits::default();
    GuestLimits {
        fuel: reader.get(&["guest", "fuel"], default.fuel, in_range(1_000, TOML_MOST)),
        deadline_ms: reader.get(
            &["guest", "deadline_ms"],
            default.deadline_ms,
            in_range(10, 600_000),
        ),
        memory_bytes: reader.get(
            &["guest", "memory_bytes"],
            default.memory_bytes,
            in_range(1 << 16, 4 << 30),
        ),
        answer_bytes: reader.get(
            &["guest", "answer_bytes"],
            default.answer_bytes,
            in_range(1 << 10, 1 << 30),
        ),
    }
}

fn read_compile(reader: &mut Reader) -> CompileLimits {
    let default = CompileLimits::default();
    CompileLimits {
        seconds: reader.get(&["compile", "seconds"], default.seconds, in_range(1, 3_600)),
        memory_bytes: reader.get(
            &["compile", "memory_bytes"],
            memory::to_compile(default.memory_bytes),
            in_range(memory::LEAST_TO_COMPILE, 1 << 40),
        ),
    }
}

fn read_retry(reader: &mut Reader, section: &[&str], default: RetryPolicy) -> RetryPolicy {
    let mut at = |key, default, least, most| {
        let path: Vec<&str> = section.iter().copied().chain([key]).collect();
        reader.get(&path, default, in_range(least, most))
    };
    let attempts = at("attempts", default.attempts.into(), 1, u32::MAX.into());
    RetryPolicy {
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        seconds: at("seconds", default.seconds, 1, 2_592_000),
        first_delay_ms: at("first_delay_ms", default.first_delay_ms, 1, 86_400_000),
        max_delay_ms: at("max_delay_ms", default.max_delay_ms, 1, 86_400_000),
    }
}

fn read_parked(reader: &mut Reader) -> ParkedLimits {
    let default = ParkedLimits::default();
    let mut at = |key, default, most| reader.get(&["parked", key], default, in_range(0, most));
    ParkedLimits {
        messages: at("messages", default.messages, 10_000_000),
        bytes: at("bytes", default.bytes, 1 << 40),
        aggregate_messages: at("aggregate_messages", default.aggregate_messages, 10_000_000),
    }
}

fn read_participants(
    reader: &mut Reader,
    of_all: RetryPolicy,
) -> BTreeMap<String, ParticipantConfig> {
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
            .then(|| read_retry(reader, &at("retry"), of_all));
        match component {
            Some(component) => {
                let config = ParticipantConfig {
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

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn is_log_filter(text: &String) -> Result<(), String> {
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

fn one_of(words: &'static [&'static str]) -> impl Fn(&String) -> Result<(), String> {
    move |text| {
        if words.contains(&text.as_str()) {
            Ok(())
        } else {
            Err(format!("is none of: {}", words.join(", ")))
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
