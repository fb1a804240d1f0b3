//! `saga journal export`: recorded decisions as a file, for tests of rules.

use std::io::{BufWriter, Write as _};

use clap::{Args, Subcommand};

use super::arguments::SelectionArguments;
use super::data_argument::DataArgument;
use super::operate::DATA;
use super::options::participant;
use super::replay::not_replayed;
use super::reply::CommandFailure;
use super::{complain, exit};
use crate::logging;
use crate::rollout::cases::{Export, export};

/// The help of the command, with examples.
pub(super) const HELP: &str = "\
Each line has a decision: the state before it, the message and the outcome. In a test, saga_sdk::replay! makes them
again. --redact replaces strings in states, bodies, events, timers, replies and claims; equal strings have equal markers.
Keys, headers, path parameters, the caller's name and the words of refusals stay as they are.

Nothing is changed, and a host may run on the data directory. Decisions that can't be read are left out; it ends with 1
then.

Examples:
  saga journal export order --key 17 > tests/cases/late.jsonl
  saga journal export order --since 7d --last 1000 --redact /name --redact /lines/*/address > week.jsonl
  saga journal export order --data /var/lib/saga-order > all.jsonl";

/// The command line of `saga journal`.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum JournalCommand {
    /// Write recorded decisions as JSON lines, which a test of the rules makes again
    #[command(after_help = HELP)]
    Export(ExportArguments),
}

#[derive(Debug, Clone, Args)]
pub(super) struct ExportArguments {
    /// The participant
    #[arg(value_name = "NAME", value_parser = participant)]
    participant: String,
    #[command(flatten)]
    selection: SelectionArguments,
    /// Replace the strings at this JSON pointer; * stands for any item of a list; may be repeated
    #[arg(long, value_name = "POINTER")]
    redact: Vec<String>,
    /// The data directory of the host, or the postgres:// URL of its store
    #[arg(long, value_name = "DIR|URL", default_value = DATA)]
    data: DataArgument,
}

impl JournalCommand {
    pub(super) fn export(self) -> Result<Export, CommandFailure> {
        let Self::Export(arguments) = self;
        Ok(Export {
            participant: arguments.participant,
            data: arguments.data.location(None)?,
            selection: arguments.selection.into(),
            redact: arguments.redact,
        })
    }
}

/// Writes the decisions to standard output and returns the exit code.
pub(super) fn write(request: &Export) -> u8 {
    logging::die_on_panic(exit::INTERNAL);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let exported = export(request, &mut out).and_then(|exported| {
        let flushed = out.flush();
        flushed.map(|()| exported).map_err(|error| {
            crate::rollout::replay::NotReplayed::Failed(format!(
                "the decisions can't be written: {error}"
            ))
        })
    });
    let exported = match exported {
        Ok(exported) => exported,
        Err(error) => return not_replayed(error, false),
    };
    if let Some(first) = &exported.first_left_out {
        let number = exported.left_out;
        complain(&format!(
            "{number} decisions were left out, the first: {first}"
        ));
    }
    for pointer in &exported.not_found {
        complain(&format!(
            "--redact {pointer}: none of the decisions has a value there, so nothing was redacted; look for a misspelling"
        ));
    }
    match (exported.not_found.is_empty(), exported.left_out) {
        (false, _) => exit::USAGE,
        (true, 0) => exit::DONE,
        (true, _) => exit::FOUND,
    }
}
