//! `saga explain` and `saga stuck`: what a store knows of sagas, even while a host runs on it.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::data_argument::DataArgument;
use super::operate::DATA;
use super::reply::{CommandFailure, json_line};
use super::terminal::ProgressLine;
use super::verify::refuse;
use super::{exit, explain_text, say, time_span};
use crate::base::clock::now_ms;
use crate::config::Config;
use crate::explain::other_rules::{OtherRules, other_rules};
use crate::explain::read::{Explained, NotExplained, SagaQuestion, find};
use crate::explain::stuck::stuck;
use crate::logging;
use crate::store::{ReadStore, StoreLocation, StoreResult};

/// The saga to explain.
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The participant
    #[arg(
        value_name = "PARTICIPANT",
        requires = "key",
        required_unless_present = "correlation"
    )]
    participant: Option<String>,
    /// Key of its aggregate
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// The saga with this correlation
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    correlation: Option<String>,
    /// All sagas in which the aggregate took part [default: the latest]
    #[arg(long)]
    all: bool,
    /// Other rules: what they would have decided differently
    #[arg(long, value_name = "PATH")]
    with: Option<PathBuf>,
    /// The data directory of the host, or the postgres:// URL of its store
    #[arg(long, value_name = "DIR|URL", default_value = DATA)]
    data: DataArgument,
    /// Settings file (TOML), for the limits of --with
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
}

/// The sagas to list.
#[derive(Debug, Args)]
pub(crate) struct StuckArguments {
    /// How long a saga has waited: 90s, 5m, 2h, 1d
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time_span::milliseconds)]
    older_than: u64,
    /// Only those in which this participant has to go on
    #[arg(long, value_name = "NAME")]
    participant: Option<String>,
    /// The data directory of the host, or the postgres:// URL of its store
    #[arg(long, value_name = "DIR|URL", default_value = DATA)]
    data: DataArgument,
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
}

/// Explains, and returns the exit code.
pub(super) fn run(asked: &ExplainArguments, config: &Config) -> u8 {
    explained(asked, config).unwrap_or_else(CommandFailure::report)
}

/// The JSON of `saga explain`.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    explained: &'a Explained,
    #[serde(skip_serializing_if = "Option::is_none")]
    with: &'a Option<OtherRules>,
}

fn explained(asked: &ExplainArguments, config: &Config) -> Result<u8, CommandFailure> {
    logging::die_on_panic(exit::INTERNAL);
    let data = asked.data.location(asked.config.as_deref())?;
    let reading = open(&data)?;
    let question = SagaQuestion {
        aggregate: asked.participant.clone().zip(asked.key.clone()),
        correlation: asked.correlation.clone(),
        all: asked.all,
    };
    let progress = ProgressLine::of(&format!("{} is read", data));
    let found = find(&*reading, &question);
    drop(progress);
    let found = found.map_err(|error| {
        let code = match error {
            NotExplained::Unreadable(_) => exit::STORE,
            _ => exit::USAGE,
        };
        CommandFailure::new(code, error.to_string())
    })?;
    let mut with = None;
    if let Some(path) = &asked.with {
        let _progress = ProgressLine::of(&format!("{} is tried", path.display()));
        match other_rules(&config.rollout(), &data, path, &found) {
            Ok(other) => with = Some(other),
            Err(error) => return Ok(refuse(error, asked.json)),
        }
    }
    let explained = found.explained();
    say(&match asked.json {
        true => json_line(&Answer {
            explained: &explained,
            with: &with,
        })?,
        false => explain_text::explained(&question, &explained, with.as_ref(), now_ms()),
    });
    Ok(exit::DONE)
}

/// Lists the sagas that wait, and returns the exit code.
pub(super) fn run_stuck(asked: &StuckArguments) -> u8 {
    listed(asked).unwrap_or_else(CommandFailure::report)
}

fn listed(asked: &StuckArguments) -> Result<u8, CommandFailure> {
    logging::die_on_panic(exit::INTERNAL);
    let data = asked.data.location(None)?;
    let reading = open(&data)?;
    let now = now_ms();
    if let Some(wanted) = &asked.participant {
        let names = reading.participants().map_err(super::operate::unreadable)?;
        if !names.contains(wanted) {
            let error = NotExplained::UnknownParticipant(wanted.clone(), names.join(", "));
            return Err(CommandFailure::new(exit::USAGE, error.to_string()));
        }
    }
    let progress = ProgressLine::of(&format!("{} is read", data));
    let before = now.saturating_sub(asked.older_than);
    let found: StoreResult<_> = stuck(&*reading, before, asked.participant.as_deref());
    drop(progress);
    let found = found.map_err(super::operate::unreadable)?;
    say(&match asked.json {
        true => json_line(&found)?,
        false => explain_text::stuck(&found, asked.older_than, now),
    });
    Ok(match found.sagas.is_empty() {
        true => exit::DONE,
        false => exit::FOUND,
    })
}

fn open(data: &StoreLocation) -> Result<Box<dyn ReadStore>, CommandFailure> {
    let found =
        (data.look()).map_err(|error| CommandFailure::new(exit::STORE, error.to_string()))?;
    found.ok_or_else(|| CommandFailure::no_store(data))
}
