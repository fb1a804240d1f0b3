//! The command line of `saga`.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::prelude::*;

use super::operate::{Ask, Host, Operation};
use crate::config::reader::Override;
use crate::config::{Config, ConfigError, LogSettings};
use crate::reload::verify::Verify;

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
  saga verify order.wasm
  saga apply order order.wasm
  saga generations
  saga rollback order

Settings can be given as SAGA__SECTION__KEY in the environment too; `saga config` prints those in
effect.

Exit codes:
   0  ended as asked
  64  bad settings, a bad command line, an unknown participant or generation
  65  a component was refused, or can't be read
  69  an address can't be listened on; another process reads in a consumer group; no host can be reached
  70  a fault of the host itself
  73  the store can't be used
  75  the host can't do it now; try again
  77  the host wants a token, or another one
 130  ended at once by a second SIGINT; 143 by a second SIGTERM"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the participants until SIGINT or SIGTERM; SIGHUP reads their components again
    Run(Run),
    /// Print the settings in effect, as a TOML file
    Config(Settings),
    /// Make a component the active one of a host that runs
    #[command(after_help = "\
Examples:
  saga apply order order.wasm
  saga apply order - < order.wasm
  saga apply order order.wasm --admin http://10.0.0.7:9000 --token-file token")]
    Apply {
        /// The participant
        #[arg(value_name = "NAME", value_parser = participant)]
        participant: String,
        /// The component; - for standard input
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// Take it even if it lacks subscriptions, routes or timers that are in use
        #[arg(long)]
        drop_used: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Check a component without running it
    #[command(after_help = "\
Examples:
  saga verify order.wasm
  saga verify order.wasm --participant order --against released/order.wasm --json
  saga verify order.wasm --data /var/lib/saga-order")]
    Verify {
        /// The component
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// The participant that it must describe
        #[arg(long, value_name = "NAME", value_parser = participant)]
        participant: Option<String>,
        /// Another build, of which it must lack nothing
        #[arg(long, value_name = "PATH")]
        against: Option<PathBuf>,
        /// The data directory of a host: it must lack nothing in use there, and is tried on what is recorded there
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// Settings file (TOML)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print everything, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Go back to a generation that was active before
    #[command(after_help = "\
Examples:
  saga rollback order
  saga rollback order 3f9c21")]
    Rollback {
        /// The participant
        #[arg(value_name = "NAME", value_parser = participant)]
        participant: String,
        /// Digest of the generation, or its beginning [default: the one that the active one replaced]
        #[arg(value_name = "DIGEST")]
        digest: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Show what decides, what has decided and what was refused
    #[command(after_help = "\
Examples:
  saga generations
  saga generations order --json
  saga generations --data /var/lib/saga-order")]
    Generations {
        /// The participant [default: all]
        #[arg(value_name = "NAME", value_parser = participant)]
        participant: Option<String>,
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    settings: Settings,
    /// Take the components at the given paths even where another generation was active before
    #[arg(long)]
    apply: bool,
}

/// Which host is asked, and how it answers.
#[derive(Debug, Args)]
struct Target {
    /// The data directory of the host
    #[arg(long, value_name = "DIR", default_value = "saga-data")]
    data: PathBuf,
    /// The URL of its admin interface, instead of its data directory
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    admin: Option<String>,
    /// A file with the token of the admin interface [default: SAGA__ADMIN__TOKEN in the environment]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
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
    Run(Box<Config>),
    PrintConfig(Box<Config>),
    Operate(Operation),
    Verify {
        config: Box<Config>,
        request: Verify,
        json: bool,
    },
}

impl Cli {
    /// What is to be done, and with which settings.
    pub(crate) fn action(self) -> Result<Action, ConfigError> {
        Ok(match self.command {
            Command::Run(Run { settings, apply }) => {
                let apply =
                    apply.then(|| setting(&["reload", "apply_at_start"], "true", "--apply"));
                Action::Run(settings.load(apply)?.into())
            }
            Command::Config(settings) => Action::PrintConfig(settings.load(None)?.into()),
            Command::Apply {
                participant,
                path,
                drop_used,
                target,
            } => target.operation(Ask::Apply {
                participant,
                path,
                drop_used,
            }),
            Command::Verify {
                path,
                participant,
                against,
                data,
                config,
                json,
            } => Action::Verify {
                config: load(config.as_deref(), Vec::new())?.into(),
                request: Verify {
                    path,
                    participant,
                    against,
                    data,
                },
                json,
            },
            Command::Rollback {
                participant,
                digest,
                target,
            } => target.operation(Ask::Rollback {
                participant,
                digest,
            }),
            Command::Generations {
                participant,
                target,
            } => target.operation(Ask::Generations { participant }),
        })
    }
}

impl Target {
    fn operation(self, ask: Ask) -> Action {
        Action::Operate(Operation {
            ask,
            host: self.admin.map_or(Host::Data(self.data), Host::Url),
            token_file: self.token_file,
            json: self.json,
        })
    }
}

impl Settings {
    fn load(&self, further: Option<Override>) -> Result<Config, ConfigError> {
        let arguments = self.overrides().into_iter().chain(further).collect();
        load(self.config.as_deref(), arguments)
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
            self.kafka
                .as_ref()
                .map(|kafka| setting(&["kafka", "bootstrap"], kafka, "--kafka")),
        );
        overrides
    }
}

fn load(file: Option<&Path>, arguments: Vec<Override>) -> Result<Config, ConfigError> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load(file, arguments, environment)
}

fn setting(path: &[&str], value: &str, origin: &str) -> Override {
    Override {
        path: path.iter().map(|part| (*part).to_owned()).collect(),
        value: value.to_owned(),
        origin: origin.to_owned(),
    }
}

/// A name that a participant can have; it becomes part of a path.
fn participant(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || !text.chars().all(fits) {
        return Err("names of participants have lower-case letters, digits and `-`".into());
    }
    Ok(text.to_owned())
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
        // See <https://no-color.org>.
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = std::io::stderr().is_terminal() && !wants_none;
        tracing_subscriber::registry()
            .with(layer.with_ansi(colour).with_filter(filter))
            .init();
    }
}
