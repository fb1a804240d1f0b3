//! The program: command line, logging, signals, exit codes.
//!
//! Where the rules come from is its one argument: `saga` loads components; the benchmark has a program
//! whose rules are compiled in, to measure what the components cost.
//!
//! # Layout
//!
//! - this file: a host from its start to its end
//! - [`options`]: the command line; [`arguments`]: what several commands take
//! - [`exit`]: the exit codes
//! - [`terminal`]: what is otherwise where a person watches: progress
//! - [`signals`]: the signals that the host takes; [`service`] tells the service manager how it is
//! - [`admin_file`]: the file by which commands find a host that runs
//! - [`operate`]: the commands that ask one, by the [`client`]; [`reply`] and [`table`] make text of what it answers
//! - [`seek`]: the command that chooses where a host that is stopped reads on; [`stopped`]: its rollback
//! - [`verify`]: the command that checks a component offline; [`tried`]: what it was tried on
//! - [`backup`]: the command that copies a data directory

mod admin_file;
mod arguments;
mod backup;
mod client;
mod exit;
mod operate;
mod options;
mod reply;
mod seek;
mod service;
mod signals;
mod stopped;
mod table;
mod terminal;
mod tried;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use rustix::fs::Mode;

use self::signals::{Received, Signals};
use crate::app::{self, Rules, StartError};
use crate::base::machine;
use crate::base::panics;
use crate::config::Config;
use crate::logging;
use crate::metrics::Metrics;
use crate::plugin::compiler::child;
use crate::store::{Store, StoreFault};

/// How long a host whose store is gone still says so to who asks, before it ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Bytes of the stack of the thread that writes a few lines to standard output.
const ANNOUNCE_STACK: usize = 64 << 10;

/// Runs the program to its end.
#[must_use]
pub fn main(rules: Rules) -> ExitCode {
    // What the host keeps says everything about its aggregates: no file of it is for other users, whatever the umask was.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    if let Some(arguments) = as_compiler() {
        return child::run(&arguments);
    }
    let code = command(rules);
    logging::flush();
    code
}

/// Runs the command that the arguments name.
fn command(rules: Rules) -> ExitCode {
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
            // It is asked for and goes to standard output.
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
    };
    // What is wrong with the settings is said before there is a log to say it in.
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
        options::Action::PrintConfig { config, json } => print_config(&config, json),
        options::Action::Completions(shell) => {
            say(&options::completions(shell));
            ExitCode::SUCCESS
        }
        options::Action::Run(config) => run(&config, rules),
        options::Action::Seek(request) => seek::run(&request).into(),
        options::Action::Operate(operation) => operate::operate(&operation).into(),
        options::Action::Backup { data, target, json } => {
            backup::backup(&data, &target, json).into()
        }
        options::Action::Verify {
            config,
            request,
            may_change,
            json,
        } => verify::verify(&config, &request, may_change, json).into(),
    }
}

/// The arguments of a compiler, where a host has started this program as one.
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
fn run(config: &Config, rules: Rules) -> ExitCode {
    // The filter was checked with the other settings.
    let filter = config.log.level.parse().unwrap_or_default();
    if let Err(error) = logging::start(filter, config.log.format == "json") {
        complain(&format!(
            "the log's thread can't be made: {error}; limits: {}",
            machine::limits()
        ));
        return exit::INTERNAL.into();
    }
    run_logged(config, rules)
}

fn run_logged(config: &Config, rules: Rules) -> ExitCode {
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
        // Work that blocks waits for a thread that is there where no other can be made; where none is, tokio panics. So the
        // first one stays, and as the start blocks, there is one.
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
    // What still waits for the store, or for a disk that stands still, must not hold up the end.
    runtime.shutdown_background();
    served.map_or_else(
        |error| {
            // The log may be JSON for a machine; this line is for whoever started the program.
            complain(&error.to_string());
            if let StartError::Other(error) = &error
                && let Some(lack) = error.chain().find_map(machine::lack_in)
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

async fn serve(config: &Config, rules: Rules) -> Result<(), StartError> {
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
            // What did start holds the store; closing it leaves no log to recover.
            store.close();
            return Err(error);
        }
    };
    point_to(config, running.admin.as_deref());
    announce(running.admin.as_deref(), &running.listening);
    service::tell(service::READY);
    let which = loop {
        let received = tokio::select! {
            received = signals.next() => received,
            () = store.condition().lost().cancelled() => {
                service::tell(service::STOPPING);
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
    service::tell(service::STOPPING);
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

/// Ends a host that has not started. It is as if it were killed: what it began is recovered by the next start.
fn end_before_start(which: signals::Stop) -> ! {
    tracing::info!(signal = which.name, "ending before the start is done");
    logging::exit(exit::SIGNAL + which.number)
}

fn leave(config: &Config) {
    if let Err(error) = admin_file::withdraw(&config.data_dir) {
        tracing::warn!(%error, "admin.json can't be removed; commands see that no such process runs");
    }
}

/// The reason why a start failed: what follows from a store that can't be used is not it.
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

/// Ends a host whose store's files are gone. There is nothing to drain: nothing that is under way can be kept.
fn end_without(store: &Store) -> ! {
    let gone = store.condition().loss();
    let gone = gone.map_or_else(|| "its files are gone".into(), |gone| gone.to_string());
    complain(&format!(
        "the store can't be used: {gone}; put the files back, or restore a backup, before the next start"
    ));
    logging::exit(i32::from(exit::STORE));
}

/// Ends a host whose drain was not done in its time.
fn end_undrained(store: &Store, step: &str) -> ! {
    let why = store.condition().trouble();
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    complain(&format!(
        "the drain was not done in its time: it waits for {step}{why}; what was acknowledged is kept, and the next start goes on with the rest"
    ));
    logging::exit(i32::from(exit::TRY_AGAIN))
}

/// Leaves word in the data directory where this host can be asked, if it can.
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

/// Says on standard output where the operator is served, where the participants listen, and that they do.
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
    // Whoever reads may stand still, and that must not stop the host either.
    let thread = std::thread::Builder::new()
        .name("announce".into())
        .stack_size(ANNOUNCE_STACK);
    if thread.spawn(move || say(&own)).is_err() {
        say(&text);
    }
}

/// Says something on standard output. Not `print!`: whoever reads may be gone, and that must not stop the host.
fn say(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says on standard error what is wrong.
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
