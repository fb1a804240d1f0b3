//! The arguments of the commands that check rules or make them active.

use std::path::PathBuf;

use clap::Args;

use super::arguments::{OverrideArguments, RuleSettingsArguments, load};
use super::data_argument::DataArgument;
use super::operate::OperatorCommand;
use super::options::{CliAction, HostArguments, participant};
use super::reply::CommandFailure;
use super::stopped::StoppedHost;
use crate::rollout::verify::Verify;

/// Arguments of `saga apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArguments {
    /// The participant
    #[arg(value_name = "NAME", value_parser = participant)]
    participant: String,
    /// The component; - for standard input [default: the active one, with --set or --unset]
    #[arg(value_name = "PATH", required_unless_present_any = ["set", "unset"])]
    path: Option<PathBuf>,
    #[command(flatten)]
    settings: RuleSettingsArguments,
    #[command(flatten)]
    allowed: OverrideArguments,
    /// Take it though it changes recorded decisions: exactly this change set, which its refusal names
    #[arg(long, value_name = "HASH", value_parser = change_set)]
    acknowledge: Option<String>,
    /// Do all checks, print what they show, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    target: HostArguments,
}

/// Arguments of `saga verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// The component
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The participant that it must describe
    #[arg(long, value_name = "NAME", value_parser = participant)]
    participant: Option<String>,
    /// Another build: it must drop nothing that this one has, and understand its messages and
    /// states
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// Another participant: each must understand the other's events; may be repeated
    #[arg(long, value_name = "PATH")]
    with: Vec<PathBuf>,
    /// The data directory of a host, or the postgres:// URL of its store: the component must drop nothing in use there and agree
    /// with the active participants, and is tried on recorded, stored and waiting messages and
    /// states
    #[arg(long, value_name = "DIR|URL")]
    data: Option<DataArgument>,
    /// Exit with 65 if it decides more than N recorded inputs differently [default of N: 0]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "0",
        requires = "data")]
    fail_on_changed: Option<usize>,
    #[command(flatten)]
    rules: RuleSettingsArguments,
    #[command(flatten)]
    allowed: OverrideArguments,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `saga rollback`.
#[derive(Debug, Args)]
pub(super) struct RollbackArguments {
    /// The participant
    #[arg(value_name = "NAME", value_parser = participant)]
    participant: String,
    /// Digest of the generation, or its beginning [default: the one that the active one replaced]
    #[arg(value_name = "DIGEST")]
    digest: Option<String>,
    #[command(flatten)]
    allowed: OverrideArguments,
    /// Do all checks, print what they show, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Settings file (TOML), for a host that is stopped
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    target: HostArguments,
}

impl ApplyArguments {
    pub(super) fn action(self) -> Result<CliAction, CommandFailure> {
        self.target.operation(OperatorCommand::Apply {
            participant: self.participant,
            path: self.path,
            settings: self.settings.change()?,
            flags: self.allowed.flags(self.dry_run),
            acknowledged: self.acknowledge,
        })
    }
}

impl VerifyArguments {
    pub(super) fn action(self) -> Result<CliAction, CommandFailure> {
        let config = self.config.as_deref();
        Ok(CliAction::Verify {
            request: Verify {
                path: self.path,
                participant: self.participant,
                against: self.against,
                with: self.with,
                data: (self.data.map(|data| data.given(config))).transpose()?,
                flags: self.allowed.flags(false),
                settings: self.rules.change()?,
            },
            config: load(config, Vec::new())?.into(),
            may_change: self.fail_on_changed,
            json: self.json,
        })
    }
}

impl RollbackArguments {
    pub(super) fn action(self) -> Result<CliAction, CommandFailure> {
        let config = self.config.as_deref();
        let stopped = StoppedHost {
            store: self.target.data.location(config)?,
            config: load(config, Vec::new())?,
        };
        self.target.operation(OperatorCommand::Rollback {
            participant: self.participant,
            digest: self.digest,
            flags: self.allowed.flags(self.dry_run),
            stopped: stopped.into(),
        })
    }
}

/// Checks a change set: 64 hexadecimal digits.
fn change_set(text: &str) -> Result<String, String> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(
            "a change set has 64 hexadecimal digits; a refusal by the gate names it".into(),
        );
    }
    Ok(text.to_ascii_lowercase())
}
