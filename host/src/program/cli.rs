//! The command line of `saga`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::prelude::*;

use crate::config::reader::Override;
use crate::config::{Config, ConfigError, LogSettings};

/// A native host for choreography-based sagas whose rules are WebAssembly components.
#[derive(Debug, Parser)]
#[command(
    name = "saga",
    version,
    after_help = "\
Examples:
  saga run --plugin customer=customer.wasm --plugin order=order.wasm
  saga run --config saga.toml
  saga run --plugin order=order.wasm --kafka broker:9092 --data /var/lib/saga-order
  SAGA__STORE__RETENTION_HOURS=24 saga config --config saga.toml

Settings can be given as SAGA__SECTION__KEY in the environment too; `saga config` prints those in
effect.

Exit codes:
   0  ended as asked
  64  bad settings or a bad command line
  65  a component was refused
  69  an address can't be listened on
  70  a fault of the host itself
  73  the store can't be used
 130  ended at once by a second SIGINT; 143 by a second SIGTERM"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the participants until SIGINT or SIGTERM
    Run(Settings),
    /// Print the settings in effect, as a TOML file
    Config(Settings),
}

#[derive(Debug, Args)]
struct Settings {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A participant and its component; may be repeated
    #[arg(long, value_name = "NAME=PATH", value_parser = pair)]
    plugin: Vec<(String, String)>,
    /// Where a participant listens; may be repeated [default: 127.0.0.1 and the port the component names]
    #[arg(long, value_name = "NAME=ADDRESS:PORT", value_parser = pair)]
    listen: Vec<(String, String)>,
    /// Directory for the store and compiled code [default: saga-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Kafka bootstrap servers [default: none, the embedded log]
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
}

/// What is to be done.
pub(crate) enum Action {
    Run,
    PrintConfig,
}

impl Cli {
    /// What is to be done, and with which settings.
    pub(crate) fn config(self) -> Result<(Action, Config), ConfigError> {
        let (action, settings) = match self.command {
            Command::Run(settings) => (Action::Run, settings),
            Command::Config(settings) => (Action::PrintConfig, settings),
        };
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let config = Config::load(
            settings.config.as_deref(),
            settings.overrides(),
            environment,
        )?;
        Ok((action, config))
    }
}

impl Settings {
    fn overrides(&self) -> Vec<Override> {
        let setting = |path: &[&str], value: &str, origin: String| Override {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            value: value.to_owned(),
            origin,
        };
        let mut overrides = Vec::new();
        for (name, path) in &self.plugin {
            overrides.push(setting(
                &["participants", name, "component"],
                path,
                format!("--plugin {name}"),
            ));
        }
        for (name, address) in &self.listen {
            overrides.push(setting(
                &["participants", name, "listen"],
                address,
                format!("--listen {name}"),
            ));
        }
        overrides.extend(
            self.data
                .as_ref()
                .map(|data| setting(&["data_dir"], data, "--data".into())),
        );
        overrides.extend(
            self.kafka
                .as_ref()
                .map(|kafka| setting(&["kafka", "bootstrap"], kafka, "--kafka".into())),
        );
        overrides
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("is not of the form NAME=VALUE".into()),
    }
}

/// Starts the log, on standard error.
pub(crate) fn start_log(settings: &LogSettings) {
    use std::io::IsTerminal as _;
    // The filter was checked with the other settings.
    let filter: tracing_subscriber::filter::Targets = settings.level.parse().unwrap_or_default();
    // A line that can't be written is lost: to complain of it on the same stream would panic.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    if settings.format == "json" {
        tracing_subscriber::registry()
            .with(layer.json().with_filter(filter))
            .init();
    } else {
        let colour = std::io::stderr().is_terminal();
        tracing_subscriber::registry()
            .with(layer.with_ansi(colour).with_filter(filter))
            .init();
    }
}
