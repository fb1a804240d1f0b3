//! `saga replay`: makes recorded decisions again, and prints which would be others.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::arguments::{RuleSettingsArguments, SelectionArguments, load};
use super::data_argument::DataArgument;
use super::operate::DATA;
use super::options::participant;
use super::recorded::RecordedThere;
use super::reply::CommandFailure;
use super::report_file::ReportFile;
use super::terminal::ProgressLine;
use super::verify::{print, refuse};
use super::{complain, exit, replay_page, replay_text, say};
use crate::app;
use crate::config::Config;
use crate::logging;
use crate::rollout::replay::report::ReplayReport;
use crate::rollout::replay::{self, Elsewhere, NotReplayed, Replay, ReplayProgress, ReplayedRules};
use crate::rollout::verify::NotVerified;
use crate::store::DecisionRange;

/// Time between two states of the progress line.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// The command line of `saga replay`.
#[derive(Debug, Clone, Args)]
pub(super) struct ReplayArguments {
    /// The participant
    #[arg(value_name = "NAME", value_parser = participant)]
    participant: String,
    /// The component that decides again
    #[arg(long, value_name = "PATH", required_unless_present = "own")]
    candidate: Option<PathBuf>,
    /// Let each decision be made again by the rules that made it
    #[arg(long = "self", conflicts_with_all = ["candidate", "counterfactual", "set", "unset"])]
    own: bool,
    /// Decide on the states to which the candidate's own decisions lead
    #[arg(long)]
    counterfactual: bool,
    #[command(flatten)]
    selection: SelectionArguments,
    #[command(flatten)]
    rules: RuleSettingsArguments,
    /// Write the report as a page (HTML) to this file too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The data directory of the host, or the postgres:// URL of its store
    #[arg(long, value_name = "DIR|URL", default_value = DATA)]
    data: DataArgument,
    /// The URL of the admin interface of a running host, instead of its data directory: its decisions
    /// are fetched from there, and made again here
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    admin: Option<String>,
    /// A file with the token of the admin interface [default: SAGA__ADMIN__TOKEN in the environment]
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
}

/// The decisions to replay, and the path of the report.
pub(crate) struct ReplayOperation {
    config: Config,
    request: Replay,
    /// The host whose decisions they are, instead of those in the data directory of the request.
    host: Option<Host>,
    report: Option<PathBuf>,
    json: bool,
}

/// A running host: the URL of its admin interface, and a file with its token.
struct Host {
    url: String,
    token_file: Option<PathBuf>,
}

impl ReplayArguments {
    pub(super) fn operation(self) -> Result<ReplayOperation, CommandFailure> {
        let rules = match self.candidate {
            Some(path) => ReplayedRules::Candidate {
                path,
                settings: self.rules.change()?,
                is_counterfactual: self.counterfactual,
            },
            None => ReplayedRules::Recorded,
        };
        Ok(ReplayOperation {
            config: load(self.config.as_deref(), Vec::new())?,
            request: Replay {
                participant: self.participant,
                data: self.data.location(self.config.as_deref())?,
                rules,
                selection: self.selection.into(),
            },
            host: self.admin.map(|url| Host {
                url,
                token_file: self.token_file,
            }),
            report: self.report,
            json: self.json,
        })
    }
}

/// Replays, prints the report and returns the exit code.
pub(super) fn replay(operation: &ReplayOperation) -> u8 {
    let file = match operation
        .report
        .as_deref()
        .map(ReportFile::open)
        .transpose()
    {
        Ok(file) => file,
        Err(why) => {
            complain(&format!("the report can't be written: {why}"));
            return exit::STORE;
        }
    };
    let report = match replayed(operation) {
        Ok(report) => report,
        Err(error) => {
            if let Some(file) = file {
                file.abandon();
            }
            return match error {
                Failure::Here(error) => not_replayed(error, operation.json),
                Failure::There(failure) => failure.report(),
            };
        }
    };
    let written = file.map(|file| file.write(&replay_page::page(&report)));
    let code = match written.transpose() {
        Ok(_) => code(&report),
        Err(why) => {
            complain(&format!("the report can't be written: {why}"));
            exit::STORE
        }
    };
    if operation.json {
        return print(&report, code);
    }
    say(&replay_text::text(&report));
    code
}

/// The reason why nothing was replayed: of the replay, or of the host that was asked.
enum Failure {
    Here(NotReplayed),
    There(CommandFailure),
}

impl From<NotReplayed> for Failure {
    fn from(error: NotReplayed) -> Self {
        Self::Here(error)
    }
}

impl From<CommandFailure> for Failure {
    fn from(failure: CommandFailure) -> Self {
        Self::There(failure)
    }
}

fn replayed(operation: &ReplayOperation) -> Result<ReplayReport, Failure> {
    logging::die_on_panic(exit::INTERNAL);
    let request = &operation.request;
    let host = operation.host.as_ref();
    let origin = host.map_or_else(|| request.data.to_string(), |host| host.url.clone());
    let mut progress = shown_progress(format!(
        "decisions of {} in {} are made again",
        request.participant, origin
    ));
    let settings = operation.config.rollout();
    let Some(host) = host else {
        let report = replay::replay(&settings, request, app::check_routes, &mut progress);
        return Ok(report?);
    };
    let token_file = host.token_file.as_deref();
    let there = RecordedThere::at(&host.url, token_file, &request.participant)?;
    let found = there.span(&request.selection)?;
    let wanted = DecisionRange {
        since: found.since,
        last: request.selection.last,
        key: request.selection.key.clone(),
        ..DecisionRange::default()
    };
    let from = Elsewhere {
        participant: &request.participant,
        reading: &there,
        wanted: &wanted,
        span: found.span(),
        settings: &found.settings,
        rules: &there,
        origin: &origin,
    };
    let report = replay::replay_elsewhere(
        &settings,
        from,
        &request.rules,
        app::check_routes,
        &mut progress,
    );
    report.map_err(|error| match error {
        // The host was there before.
        NotReplayed::Failed(reason) => CommandFailure::new(exit::UNAVAILABLE, reason).into(),
        error => error.into(),
    })
}

/// Shows how far the reading of the journal has come, on a terminal.
pub(super) fn shown_progress(what: String) -> impl FnMut(ReplayProgress) {
    let mut line = ProgressLine::of(&what);
    let mut told = Instant::now();
    move |progress| {
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            line.show(&percent(&what, progress));
        }
    }
}

fn percent(what: &str, ReplayProgress { read, all }: ReplayProgress) -> String {
    let percent = read.saturating_mul(100).checked_div(all).unwrap_or(100);
    format!("{what}: {percent} %")
}

fn code(report: &ReplayReport) -> u8 {
    if report.is_unchanged() {
        exit::DONE
    } else if report.is_impure() {
        exit::COMPONENT
    } else {
        exit::FOUND
    }
}

pub(super) fn not_replayed(error: NotReplayed, json: bool) -> u8 {
    let mut said = error.to_string();
    let code = match &error {
        NotReplayed::Refused(refused) => {
            return refuse(NotVerified::Refused(refused.clone()), json);
        }
        NotReplayed::Failed(_) => exit::STORE,
        NotReplayed::UnknownParticipant(_) | NotReplayed::Refusal(_) => exit::USAGE,
        NotReplayed::BadPointer(_) => {
            said.insert_str(0, "--redact ");
            exit::USAGE
        }
        NotReplayed::TooMuch(_) => {
            said.push_str("; replay less, with --since, --last or --key");
            exit::USAGE
        }
        NotReplayed::NoInstance(_) => exit::INTERNAL,
        NotReplayed::Over => exit::TRY_AGAIN,
    };
    complain(&said);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_in_percent_of_the_journal() {
        for (read, all, expected) in [
            (0, 3, "0 %"),
            (2, 3, "66 %"),
            (3, 3, "100 %"),
            (0, 0, "100 %"),
        ] {
            let said = percent("of order", ReplayProgress { read, all });
            assert_eq!(said, format!("of order: {expected}"));
        }
    }
}
