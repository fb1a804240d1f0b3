//! The program `saga`: command line, log, signals, exit codes.
//!
//! The source of the rules is its one argument: `saga` loads components; the benchmark has a
//! program with linked rules, to measure the cost of components.
//!
//! # Layout
//!
//! - this file: the choice of the command
//! - [`run`]: a host from its start to its end
//! - [`author`]: `saga new`, `saga test`, `saga doctor`; [`dev`]: `saga dev`, and its [`rounds`]
//! - [`named_participants`]: what the command line of `saga dev` says of participants
//! - [`options`]: the command line; [`arguments`]: arguments that several commands share;
//!   [`rule_arguments`]: those of `saga apply`, `saga verify` and `saga rollback`;
//!   [`named_file`]: files that are named there
//! - [`exit`]: the exit codes
//! - [`terminal`]: the progress line on a terminal
//! - [`signals`]: the signals that the host handles; [`service`]: notifications to the service
//!   manager
//! - [`admin_file`]: the file by which commands find a running host
//! - [`dead_letters`]: `saga dead-letters`; [`letter_table`]: its text
//! - [`hosts`]: `saga hosts`
//! - [`states`]: `saga migrate` and `saga quarantine`
//! - [`tail`] and [`publish`]: the records of a topic
//! - [`operate`]: the commands that use the admin interface, through the [`client`]; [`reply`] and
//!   [`table`] turn its answers into text
//! - [`seek`]: sets the offset at which a stopped host resumes a partition; [`stopped`]: rollback
//!   of a stopped host
//! - [`verify`]: checks a component offline; [`probe_report`]: the report of its probe
//! - [`replay`]: makes recorded decisions again; [`replay_text`], [`replay_page`]: its report as text and as a page; [`report_file`]: its file
//! - [`journal`]: writes recorded decisions as a file; [`repair`]: lists those that fixed rules make otherwise
//! - [`explain`]: `saga explain` and `saga stuck`; [`explain_text`]: their text
//! - [`backup`]: copies a data directory; [`store`]: copies a store to another place, and checks it

mod admin_file;
mod arguments;
mod author;
mod backup;
mod client;
mod data_argument;
mod dead_letters;
mod dev;
mod exit;
mod explain;
mod explain_text;
mod hosts;
mod journal;
mod letter_table;
mod named_file;
mod named_participants;
mod operate;
mod options;
mod probe_report;
mod publish;
mod recorded;
mod repair;
mod replay;
mod replay_page;
mod replay_text;
mod reply;
mod report_file;
mod rounds;
mod rule_arguments;
mod run;
mod seek;
mod service;
mod signals;
mod states;
mod stopped;
mod store;
mod table;
mod tail;
mod terminal;
mod time_span;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use rustix::fs::Mode;

use crate::app::RuleSource;
use crate::config::Config;
use crate::logging;
use crate::plugin::compiler::child;

/// Runs the program to its end.
#[must_use]
pub fn main(rules: RuleSource) -> ExitCode {
    // The host's files hold all data of its aggregates, so no other user may read them, whatever
    // the umask was.
    let usual = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    if let Some(arguments) = as_compiler() {
        return child::run(&arguments);
    }
    let code = command(rules, usual);
    logging::flush();
    code
}

/// Runs the command that the arguments name. `usual` is the user's own umask.
fn command(rules: RuleSource, usual: Mode) -> ExitCode {
    let arguments = match options::Cli::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() => {
            let text = error.render();
            logging::print(match logging::is_coloured() {
                true => text.ansi().to_string(),
                false => text.to_string(),
            });
            return exit::USAGE.into();
        }
        Err(help) => {
            // Help was asked for, so it goes to standard output.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    // The log is not started yet: problems with the settings go to standard error directly.
    let action = match arguments.action() {
        Ok(action) => action,
        Err(failure) => return failure.report().into(),
    };
    match action {
        options::CliAction::PrintConfig { config, json } => print_config(&config, json),
        options::CliAction::Completions(shell) => {
            say(&options::completions(shell));
            ExitCode::SUCCESS
        }
        options::CliAction::Run(config) => run::run(&config, rules),
        options::CliAction::New(request) => as_author(usual, || author::new(&request)),
        options::CliAction::Test { config } => as_author(usual, || author::test(config)),
        options::CliAction::Doctor { lang, fix, json } => {
            as_author(usual, || author::doctor(lang.as_deref(), fix, json))
        }
        options::CliAction::Dev(request) => dev::dev(request, rules, usual).into(),
        options::CliAction::Seek(request) => seek::run(&request).into(),
        options::CliAction::Operate(operation) => operate::operate(&operation).into(),
        options::CliAction::DeadLetters(operation) => dead_letters::operate(&operation).into(),
        options::CliAction::States(operation) => states::operate(&operation).into(),
        options::CliAction::Explain { config, asked } => explain::run(&asked, &config).into(),
        options::CliAction::Stuck(asked) => explain::run_stuck(&asked).into(),
        options::CliAction::Tail(operation) => tail::tail(&operation).into(),
        options::CliAction::Publish(operation) => publish::publish(&operation).into(),
        options::CliAction::Backup { data, target, json } => {
            backup::backup(&data, &target, json).into()
        }
        options::CliAction::Store(operation) => store::run(&operation).into(),
        options::CliAction::Export(request) => journal::write(&request).into(),
        options::CliAction::Repair(request) => repair::list(&request).into(),
        options::CliAction::Replay(request) => replay::replay(&request).into(),
        options::CliAction::Verify {
            config,
            request,
            may_change,
            json,
        } => verify::verify(&config, &request, may_change, json).into(),
    }
}

/// Runs a command that makes an author's files, which hold no data of a host.
fn as_author(usual: Mode, command: impl FnOnce() -> u8) -> ExitCode {
    rustix::process::umask(usual);
    command().into()
}

/// The arguments of the compiler, if a host has started this program as one.
fn as_compiler() -> Option<Vec<String>> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == child::COMMAND).then(|| {
        arguments
            .map(|one| one.to_string_lossy().into_owned())
            .collect()
    })
}

fn print_config(config: &Config, json: bool) -> ExitCode {
    let printed = if json {
        serde_json::to_string(config)
            .map(|text| format!("{text}\n"))
            .map_err(|error| error.to_string())
    } else {
        config.to_toml().map_err(|error| error.to_string())
    };
    match printed {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("the settings can't be printed: {error}"));
            exit::INTERNAL.into()
        }
    }
}

/// Prints to standard output. Not `print!`, which panics if the reader has gone.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints an error to standard error.
fn complain(what: &str) {
    logging::complain(what);
}
