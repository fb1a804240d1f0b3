//! The program `saga`: command line, log, signals, exit codes.
//!
//! The source of the rules is its one argument: `saga` loads components; the benchmark has a
//! program with linked rules, to measure the cost of components.
//!
//! # Layout
//!
//! - this file: a host from its start to its end
//! - [`options`]: the command line; [`arguments`]: arguments that several commands share;
//!   [`named_file`]: files that are named there
//! - [`exit`]: the exit codes
//! - [`terminal`]: the progress line on a terminal
//! - [`signals`]: the signals that the host handles; [`service`]: notifications to the service
//!   manager
//! - [`admin_file`]: the file by which commands find a running host
//! - [`dead_letters`]: `saga dead-letters`; [`letter_table`]: its text
//! - [`states`]: `saga migrate` and `saga quarantine`
//! - [`tail`] and [`publish`]: the records of a topic
//! - [`operate`]: the commands that use the admin interface, through the [`client`]; [`reply`] and
//!   [`table`] turn its answers into text
//! - [`seek`]: sets the offset at which a stopped host resumes a partition; [`stopped`]: rollback
//!   of a stopped host
//! - [`verify`]: checks a component offline; [`probe_report`]: the report of its probe
//! - [`backup`]: copies a data directory

mod admin_file;
mod arguments;
mod backup;
mod client;
mod dead_letters;
mod exit;
mod letter_table;
mod named_file;
mod operate;
mod options;
mod probe_report;
mod publish;
mod reply;
mod seek;
mod service;
mod signals;
mod states;
mod stopped;
mod table;
mod tail;
mod terminal;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use rustix::fs::Mode;

use self::signals::{Received, Signals};
use crate::app::{self, RuleSource, StartError};
use crate::base::machine;
use crate::base::panics;
use crate::config::Config;
use crate::logging;
use crate::metrics::Metrics;
use crate::plugin::compiler::child;
use crate::store::{Store, StoreFault};

/// Time for which a host without its store still reports that on `/readyz`, before it ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Stack size of the thread that writes a few lines to standard output.
const ANNOUNCE_STACK: usize = 64 << 10;

/// Runs the program to its end.
#[must_use]
pub fn main(rules: RuleSource) -> ExitCode {
    // The host's files hold all data of its aggregates, so no other user may read them, whatever
    // the umask was.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    if let Some(arguments) = as_compiler() {
        return child::run(&arguments);
    }
    let code = command(rules);
    logging::flush();
    code
}

/// Runs the command that the arguments name.
fn command(rules: RuleSource) -> ExitCode {
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
        Err(error) => {
            for problem in error.0 {
                complain(&problem);
            }
            return exit::USAGE.into();
        }
    };
    match action {
        options::CliAction::PrintConfig { config, json } => print_config(&config, json),
        options::CliAction::Completions(shell) => {
            say(&options::completions(shell));
            ExitCode::SUCCESS
        }
        options::CliAction::Run(config) => run(&config, rules),
        options::CliAction::Seek(request) => seek::run(&request).into(),
        options::CliAction::Operate(operation) => operate::operate(&operation).into(),
        options::CliAction::DeadLetters(operation) => dead_letters::operate(&operation).into(),
        options::CliAction::States(operation) => states::operate(&operation).into(),
        options::CliAction::Tail(operation) => tail::tail(&operation).into(),
        options::CliAction::Publish(operation) => publish::publish(&operation).into(),
        options::CliAction::Backup { data, target, json } => {
            backup::backup(&data, &target, json).into()
        }
        options::CliAction::Verify {
            config,
            request,
            may_change,
            json,
        } => verify::verify(&config, &request, may_change, json).into(),
    }
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

/// Runs a host to its end.
fn run(config: &Config, rules: RuleSource) -> ExitCode {
    // The filter was checked with the other settings.
    let filter = config.log.level.parse().unwrap_or_default();
    if let Err(error) = logging::start(filter, config.log.format == "json") {
        complain(&format!(
            "the log's thread can't be started: {error}; limits: {}",
            machine::limits()
        ));
        return exit::INTERNAL.into();
    }
    run_logged(config, rules)
}

fn run_logged(config: &Config, rules: RuleSource) -> ExitCode {
    logging::die_on_panic(exit::INTERNAL);
    if config.participants.is_empty() {
        complain(
            "no participant is configured; give one with --plugin NAME=PATH, or [participants.NAME] in a file",
        );
        return exit::USAGE.into();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(panics::STACK_BYTES)
        // If no thread can be started, blocking work waits for an existing one, but tokio panics if
        // there is none. So the first blocking thread stays for ever, and the start makes sure that
        // there is one.
        .thread_keep_alive(Duration::MAX)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!(
                "the runtime does not start: {error}; limits: {}",
                machine::limits()
            ));
            return exit::INTERNAL.into();
        }
    };
    let served = runtime.block_on(serve(config, rules));
    // Work that waits for the store, or for a blocked disk, must not delay the end.
    runtime.shutdown_background();
    served.map_or_else(
        |error| {
            // The log may be JSON for a machine; this line is for the person who started the
            // program.
            complain(&error.to_string());
            if let StartError::Other(error) = &error
                && let Some(lack) = error.chain().find_map(machine::shortage_in)
            {
                complain(&format!(
                    "the machine lacks {lack}; limits: {}",
                    machine::limits()
                ));
            }
            exit_code(&error).into()
        },
        |()| ExitCode::SUCCESS,
    )
}

async fn serve(config: &Config, rules: RuleSource) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(anyhow::Error::from)?;
    app::allow_descriptors(config)?;
    let metrics = Arc::new(Metrics::new(config.metrics.enabled));
    let store = tokio::select! {
        opened = open_store(config.clone(), metrics.clone()) => opened?,
        which = signals.stop() => end_before_start(which),
    };
    let started = tokio::select! {
        started = app::start(config, store.clone(), metrics, rules) => started,
        which = signals.stop() => end_before_start(which),
        () = store.condition().lost().cancelled() => end_without(&*store),
    };
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            let error = blame(&*store, error);
            // The parts that were started hold the store; closing it leaves no log to recover.
            store.close();
            return Err(error);
        }
    };
    point_to(config, running.admin.as_deref());
    announce(running.admin.as_deref(), &running.listening);
    service::notify(service::READY);
    let which = loop {
        let received = tokio::select! {
            received = signals.next() => received,
            () = store.condition().lost().cancelled() => {
                service::notify(service::STOPPING);
                tokio::time::sleep(LAST_WORDS).await;
                leave(config);
                end_without(&*store);
            }
        };
        match received {
            Received::Reread => running.reread(),
            Received::Stop(which) => break which,
        }
    };
    tracing::info!(
        signal = which.name,
        "draining; a second signal ends at once"
    );
    service::notify(service::STOPPING);
    tokio::select! {
        drained = running.drain(Duration::from_secs(config.drain_seconds)) => match drained {
            Ok(()) => tracing::info!("drained"),
            Err(step) => {
                leave(config);
                end_undrained(&*store, step);
            }
        },
        which = signals.stop() => {
            tracing::warn!(signal = which.name, "ending at once; the next start recovers");
            logging::exit(exit::SIGNAL + which.number);
        }
    }
    leave(config);
    if store.condition().lost().is_cancelled() {
        end_without(&*store);
    }
    Ok(())
}

/// Opens the store on a thread that may wait: another program may have locked it for seconds.
async fn open_store(config: Config, metrics: Arc<Metrics>) -> Result<Arc<Store>, StartError> {
    let opened = tokio::task::spawn_blocking(move || app::open_store(&config, &metrics));
    opened.await.map_err(anyhow::Error::from)?
}

/// Ends a host that has not started, like a kill: the next start recovers its work.
fn end_before_start(which: signals::StopSignal) -> ! {
    tracing::info!(signal = which.name, "ending before the start is done");
    logging::exit(exit::SIGNAL + which.number)
}

fn leave(config: &Config) {
    if let Err(error) = admin_file::withdraw(&config.data_dir) {
        tracing::warn!(%error, "admin.json can't be removed; commands see that no such process runs");
    }
}

/// The cause of a failed start: the store, if the error is a consequence of its failure.
fn blame(store: &Store, error: StartError) -> StartError {
    if let StartError::Other(reason) = &error
        && let Some(fault) = reason.downcast_ref::<StoreFault>()
    {
        let condition = store.condition();
        condition.report("the store can't be read for the start", fault);
    }
    let is_broken = store.condition().refusal().is_some();
    match store.condition().trouble().filter(|_| is_broken) {
        Some(trouble) => StartError::StoreBroke(trouble),
        None => error,
    }
}

/// Ends a host whose store's files are gone. It does not drain, since no work in flight could be
/// committed.
fn end_without(store: &Store) -> ! {
    let gone = store.condition().loss();
    let gone = gone.map_or_else(|| "its files are gone".into(), |gone| gone.to_string());
    complain(&format!(
        "the store can't be used: {gone}; put the files back, or restore a backup, before the next start"
    ));
    logging::exit(i32::from(exit::STORE));
}

/// Ends a host whose drain took too long.
fn end_undrained(store: &Store, step: &str) -> ! {
    let why = store.condition().trouble();
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    complain(&format!(
        "the drain did not end in time: it waits for {step}{why}; what was acknowledged is kept, and the next start goes on with the rest"
    ));
    logging::exit(i32::from(exit::TRY_AGAIN))
}

/// Writes the admin interface's address to the data directory, if there is one.
fn point_to(config: &Config, admin: Option<&str>) {
    let directory = &config.data_dir;
    let written = match admin {
        Some(url) => admin_file::write(directory, url),
        None => admin_file::clear(directory),
    };
    if let Err(error) = written {
        tracing::warn!(directory = %directory.display(), %error, "admin.json can't be written; commands need --admin URL to find this host");
    }
}

/// Prints the URLs of the admin interface and of the participants, then `ready`, to standard
/// output.
fn announce(admin: Option<&str>, listening: &[(String, String)]) {
    let admin = admin.map(|url| format!("admin {url}\n"));
    let listening = listening
        .iter()
        .map(|(name, url)| format!("listening {name} {url}\n"));
    let text: String = listening
        .chain(admin)
        .chain(["ready\n".to_owned()])
        .collect();
    let own = text.clone();
    // A blocked reader of standard output must not stop the host.
    let thread = std::thread::Builder::new()
        .name("announce".into())
        .stack_size(ANNOUNCE_STACK);
    if thread.spawn(move || say(&own)).is_err() {
        say(&text);
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

fn exit_code(error: &StartError) -> u8 {
    match error {
        StartError::Config(_) => exit::USAGE,
        StartError::Component(_) => exit::COMPONENT,
        StartError::Store(_) | StartError::StoreBroke(_) => exit::STORE,
        StartError::Listen(_) | StartError::GroupTaken(_) => exit::UNAVAILABLE,
        StartError::Machine(_) | StartError::Other(_) => exit::INTERNAL,
    }
}
