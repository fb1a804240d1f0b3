//! Arguments that several commands of `saga` share: settings, and checks to override.

use std::path::{Path, PathBuf};

use clap::Args;

use super::reply::CommandFailure;
use super::{exit, time_span};
use crate::config::reader::Override;
use crate::config::{Config, ConfigError};
use crate::rollout::flags::Flags;
use crate::rollout::rule_settings::{self, SettingsChange};
use crate::rollout::selection::Selection;

/// Checks that an operator overrides.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct OverrideArguments {
    /// Take it even if it drops subscriptions, routes, timers or events that are in use
    #[arg(long)]
    drop_used: bool,
    /// Take it even if others don't understand its events, requests, replies, timers or states, or
    /// it fails on recorded, stored or waiting messages and states
    #[arg(long)]
    allow_breaking: bool,
}

impl OverrideArguments {
    pub(super) fn flags(self, dry_run: bool) -> Flags {
        Flags {
            drop_used: self.drop_used,
            allow_breaking: self.allow_breaking,
            dry_run,
        }
    }
}

/// Changes of the settings of rules.
#[derive(Debug, Clone, Args)]
pub(super) struct RuleSettingsArguments {
    /// Set a setting of its rules, by a TOML value or a text (answer_timeout=30s); may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = value)]
    set: Vec<(String, String)>,
    /// Give a setting of its rules its default value again; may be repeated
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
}

impl RuleSettingsArguments {
    /// The change, or why a value is refused, as the host refuses one that does not fit its schema.
    pub(super) fn change(self) -> Result<SettingsChange, CommandFailure> {
        let set = self.set.into_iter();
        let set = set.map(|(name, text)| match rule_settings::value(&text) {
            Some(value) => Ok((name, value)),
            None => {
                let said = format!("--set {name}: `{text}` is not {}", rule_settings::VALUES);
                Err(CommandFailure::new(exit::COMPONENT, said))
            }
        });
        Ok(SettingsChange {
            set: set.collect::<Result<_, _>>()?,
            unset: self.unset,
        })
    }
}

/// Recorded decisions of a participant.
#[derive(Debug, Clone, Args)]
pub(super) struct SelectionArguments {
    /// Only decisions of this time until now: 30m, 12h, 7d
    #[arg(long, value_name = "TIME", value_parser = time_span::milliseconds)]
    since: Option<u64>,
    /// Only the last N decisions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    last: Option<u64>,
    /// Only decisions on the aggregate of this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

impl From<SelectionArguments> for Selection {
    fn from(SelectionArguments { since, last, key }: SelectionArguments) -> Self {
        Self {
            since_ms: since,
            last,
            key,
        }
    }
}

/// Settings on the command line.
#[derive(Debug, Clone, Args)]
pub(super) struct SettingsArguments {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A participant and its component; may be repeated
    #[arg(long, value_name = "NAME=PATH", value_parser = path)]
    pub(super) plugin: Vec<(String, String)>,
    /// Address of a participant; may be repeated [default: 127.0.0.1 and the port the component
    /// names]
    #[arg(long, value_name = "NAME=ADDRESS:PORT", value_parser = address)]
    pub(super) listen: Vec<(String, String)>,
    /// Directory for the store and compiled code [default: saga-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The PostgreSQL server with the store, postgres://USER@HOST:PORT/DATABASE [default: none, a
    /// file in the data directory]
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Kafka bootstrap servers [default: none, the embedded log]
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
}

impl SettingsArguments {
    pub(super) fn load(
        &self,
        further: impl IntoIterator<Item = Override>,
    ) -> Result<Config, ConfigError> {
        let arguments = self.overrides().into_iter().chain(further).collect();
        load(self.config.as_deref(), arguments)
    }

    /// The settings without those of the command line.
    pub(super) fn load_file(&self) -> Result<Config, ConfigError> {
        load(self.config.as_deref(), Vec::new())
    }

    /// With the settings file and the data directory of a project, where none are given.
    pub(super) fn of_project(self, settings: Option<PathBuf>, data: &str) -> Self {
        Self {
            config: self.config.or(settings),
            data: self.data.or_else(|| Some(data.to_owned())),
            ..self
        }
    }

    /// The data directory, if one is given.
    pub(super) fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// The files that are named: of the settings, and of components.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let components = self.plugin.iter().map(|(_, path)| path.into());
        self.config.iter().cloned().chain(components).collect()
    }

    fn overrides(&self) -> Vec<Override> {
        let mut overrides = Vec::new();
        for (name, path) in &self.plugin {
            overrides.push(setting(
                &["participants", name, "component"],
                path,
                &format!("--plugin {name}"),
            ));
        }
        for (name, address) in &self.listen {
            overrides.push(setting(
                &["participants", name, "listen"],
                address,
                &format!("--listen {name}"),
            ));
        }
        overrides.extend(
            self.data
                .as_ref()
                .map(|data| setting(&["data_dir"], data, "--data")),
        );
        overrides.extend(
            self.store
                .as_ref()
                .map(|url| setting(&["store", "url"], url, "--store")),
        );
        overrides.extend(
            self.kafka
                .as_ref()
                .map(|kafka| setting(&["kafka", "bootstrap"], kafka, "--kafka")),
        );
        overrides
    }
}

pub(super) fn load(file: Option<&Path>, arguments: Vec<Override>) -> Result<Config, ConfigError> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load(file, arguments, environment)
}

pub(super) fn setting(path: &[&str], value: &str, origin: &str) -> Override {
    Override {
        path: path.iter().map(|part| (*part).to_owned()).collect(),
        value: value.to_owned(),
        origin: origin.to_owned(),
    }
}

/// Reads the name of a topic.
pub(super) fn topic(text: &str) -> Result<String, String> {
    match text {
        "" => Err("the topic is empty; name one".into()),
        topic => Ok(topic.to_owned()),
    }
}

/// A setting and its value.
pub(super) fn value(text: &str) -> Result<(String, String), String> {
    pair(text, "NAME=VALUE")
}

/// A participant and its component.
fn path(text: &str) -> Result<(String, String), String> {
    pair(text, "NAME=PATH")
}

/// A participant and its address.
fn address(text: &str) -> Result<(String, String), String> {
    pair(text, "NAME=ADDRESS:PORT")
}

/// Reads a name and a value.
fn pair(text: &str, form: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(format!("is not of the form {form}")),
    }
}
