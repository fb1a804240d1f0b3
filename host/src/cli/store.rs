//! `saga store`: copies a store to another place, and checks one.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::data_argument::{DataArgument, StoreArguments};
use super::reply::{CommandFailure, json_line};
use super::terminal::ProgressLine;
use super::{exit, say};
use crate::base::printable::Lines;
use crate::logging;
use crate::rollout::moving::{Copied, check, copy};
use crate::store::StoreLocation;
use crate::store::check::{CheckError, Checked};
use crate::store::copy::CopyError;

/// Examples of both commands.
pub(super) const HELP: &str = "\
Examples:
  saga store copy --from /var/lib/saga --to postgres://saga@db.example.com/saga
  saga store copy --from postgres://saga@db.example.com/saga --to /var/lib/saga
  saga store check --data /var/lib/saga";

/// The command line of `saga store`.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum StoreCommand {
    /// Copy a store to another place: from a data directory to a PostgreSQL server, or back
    #[command(after_help = "\
No host may run on either of them. The target must be empty: a data directory without a store, or a schema without
tables or with empty ones. Everything goes along: states, events with their offsets, what consumers have read, timers,
parked messages and dead letters with their numbers, recorded decisions, generations with their components. What was
written is read back and compared before it is committed; a copy that ends early leaves no rows in the target. The
source stays as it is: do not start a host on it again, or its sagas go on twice.

Examples:
  saga store copy --from /var/lib/saga --to postgres://saga@db.example.com/saga
  saga store copy --from postgres://saga@db.example.com/saga --to /var/lib/saga --config saga.toml
  saga store copy --from /var/lib/saga --to postgres://saga@db.example.com/saga --json")]
    Copy(CopyArguments),
    /// Check a store: its tables, what refers to what, offsets, recorded decisions, components
    #[command(after_help = "\
Nothing is changed, and a host may run on the store. All of it is read, as of one moment; meanwhile the log of a store in
a data directory grows. It ends with 0 if nothing is wrong, and with 1 otherwise.

Examples:
  saga store check
  saga store check --data /var/lib/saga
  saga store check --data postgres://saga@db.example.com/saga --json")]
    Check(CheckArguments),
}

#[derive(Debug, Clone, Args)]
pub(super) struct CopyArguments {
    /// The data directory with the store, or its postgres:// URL
    #[arg(long, value_name = "DIR|URL")]
    from: DataArgument,
    /// The data directory or postgres:// URL of the copy
    #[arg(long, value_name = "DIR|URL")]
    to: DataArgument,
    /// Settings file (TOML), for the password, authorities and schema of a URL
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print what was copied, as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Print what was checked, as JSON
    #[arg(long)]
    json: bool,
}

/// The operation of the command.
pub(crate) enum StoreOperation {
    Copy {
        from: StoreLocation,
        to: StoreLocation,
        json: bool,
    },
    Check {
        data: StoreLocation,
        json: bool,
    },
}

impl StoreCommand {
    pub(super) fn operation(self) -> Result<StoreOperation, CommandFailure> {
        Ok(match self {
            Self::Copy(arguments) => {
                let file = arguments.config.as_deref();
                StoreOperation::Copy {
                    from: arguments.from.given(file)?,
                    to: arguments.to.given(file)?,
                    json: arguments.json,
                }
            }
            Self::Check(arguments) => StoreOperation::Check {
                data: arguments.store.location()?,
                json: arguments.json,
            },
        })
    }
}

/// Runs the command, prints its result and returns the exit code.
pub(super) fn run(operation: &StoreOperation) -> u8 {
    logging::die_on_panic(exit::INTERNAL);
    let done = match operation {
        StoreOperation::Copy { from, to, json } => copied(from, to, *json),
        StoreOperation::Check { data, json } => checked(data, *json),
    };
    match done {
        Ok((text, code)) => {
            say(&text);
            code
        }
        Err(failure) => failure.report(),
    }
}

fn copied(
    from: &StoreLocation,
    to: &StoreLocation,
    json: bool,
) -> Result<(String, u8), CommandFailure> {
    let mut line = ProgressLine::of(&format!("{from} is opened"));
    let made = copy(from, to, &mut |work, done, all| {
        line.show(&match (done, all) {
            (0, 0) => work.to_owned(),
            (done, 0) => format!("{work}: {done} rows"),
            (done, all) => format!("{work}: {done} of {all} rows"),
        });
    });
    drop(line);
    let made = made.map_err(|error| {
        let code = match error {
            CopyError::NoStore(_) | CopyError::Same(_) => exit::USAGE,
            _ => exit::STORE,
        };
        CommandFailure::new(code, error.to_string())
    })?;
    let text = match json {
        true => json_line(&made)?,
        false => told_copy(&made),
    };
    Ok((text, exit::DONE))
}

fn told_copy(made: &Copied) -> String {
    let mut lines = Lines::default();
    lines.add(format_args!("{} → {}", made.from, made.to));
    for kind in &made.kinds {
        lines.add(format_args!("{:>12}  {}", kind.rows, kind.name));
    }
    lines.add(format_args!("{:>12}  components", made.components.len()));
    lines.add(format_args!(
        "All were compared, in {}.{:03} s. Do not start a host on {} again, or its sagas go on twice.",
        made.ms / 1_000,
        made.ms % 1_000,
        made.from
    ));
    for digest in &made.missing {
        lines.add(format_args!(
            "the active component {digest} is not in it: the source has no whole copy of it; keep its file"
        ));
    }
    lines.text()
}

fn checked(data: &StoreLocation, json: bool) -> Result<(String, u8), CommandFailure> {
    let mut line = ProgressLine::of(&format!("{data} is opened"));
    let all = check(data, &mut |what| line.show(&format!("checking {what}")));
    drop(line);
    let all = all.map_err(|error| {
        let code = match error {
            CheckError::NoStore(_) => exit::USAGE,
            CheckError::Open(_) => exit::STORE,
        };
        CommandFailure::new(code, error.to_string())
    })?;
    let code = match all.iter().any(|checked| checked.wrong > 0) {
        true => exit::FOUND,
        false => exit::DONE,
    };
    let text = match json {
        true => json_line(&serde_json::json!({ "checked": all }))?,
        false => told_check(data, &all),
    };
    Ok((text, code))
}

fn told_check(data: &StoreLocation, all: &[Checked]) -> String {
    let mut lines = Lines::default();
    for checked in all {
        let looked_at = checked.looked_at.map(|rows| rows.to_string());
        let looked_at = looked_at.unwrap_or_default();
        let found = match checked.wrong {
            0 => "right".to_owned(),
            wrong => format!("{wrong} WRONG"),
        };
        lines.add(format_args!("{looked_at:>12}  {}: {found}", checked.what));
        for named in &checked.named {
            lines.add(format_args!("              {named}"));
        }
        let more = checked.wrong.saturating_sub(checked.named.len() as u64);
        if more > 0 {
            lines.add(format_args!("              and {more} more"));
        }
    }
    let wrong: u64 = all.iter().map(|checked| checked.wrong).sum();
    lines.add(format_args!(
        "{data}: {}",
        match wrong {
            0 => "nothing is wrong".to_owned(),
            wrong => format!(
                "{wrong} wrong; stop the host and restore a backup from before, or ask for help with this list"
            ),
        }
    ));
    lines.text()
}
