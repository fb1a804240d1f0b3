//! The program: command line, logging, signals, exit codes.
//!
//! Where the rules come from is its one argument: `saga` loads components; the benchmark has a program
//! whose rules are compiled in, to measure what the components cost.

mod cli;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{self, StartError};
use crate::config::Config;
use crate::generation::Build;
use crate::panics;
use crate::store::Store;

/// Exit codes, after sysexits.h. `saga --help` lists them.
mod exit {
    /// Bad settings or a bad command line.
    pub(crate) const USAGE: u8 = 64;
    /// A component was refused.
    pub(crate) const COMPONENT: u8 = 65;
    /// An address can't be listened on.
    pub(crate) const LISTEN: u8 = 69;
    /// A bug in the host.
    pub(crate) const INTERNAL: u8 = 70;
    /// The store can't be used.
    pub(crate) const STORE: u8 = 73;
    /// Ended at once by a second signal: this and the signal's number, as shells have it.
    pub(crate) const SIGNAL: i32 = 128;
}

/// Gives the rules of every configured participant.
pub type Load = fn(&Config) -> Result<Vec<Arc<dyn Build>>, StartError>;

/// Runs the program to its end.
#[must_use]
pub fn main(load: Load) -> ExitCode {
    let arguments = match cli::Cli::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are asked for and go to standard output.
            let _ = error.print();
            return if error.use_stderr() {
                exit::USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    // What is wrong with the settings is said before there is a log to say it in.
    let (command, config) = match arguments.config() {
        Ok(config) => config,
        Err(error) => {
            for problem in error.0 {
                complain(&problem);
            }
            return exit::USAGE.into();
        }
    };
    match command {
        cli::Action::PrintConfig => print_config(&config),
        cli::Action::Run => run(&config, load),
    }
}

fn print_config(config: &Config) -> ExitCode {
    match config.to_toml() {
        Ok(text) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&format!("the settings can't be printed: {error}"));
            exit::INTERNAL.into()
        }
    }
}

fn run(config: &Config, load: Load) -> ExitCode {
    cli::start_log(&config.log);
    panics::die_on_panic(exit::INTERNAL);
    if config.participants.is_empty() {
        complain(
            "no participant is configured; give one with --plugin NAME=PATH, or [participants.NAME] in a file",
        );
        return exit::USAGE.into();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime does not start: {error}"));
            return exit::INTERNAL.into();
        }
    };
    runtime.block_on(serve(config, load)).map_or_else(
        |error| {
            // The log may be JSON for a machine; this line is for whoever started the program.
            complain(&error.to_string());
            exit_code(&error).into()
        },
        |()| ExitCode::SUCCESS,
    )
}

async fn serve(config: &Config, load: Load) -> Result<(), StartError> {
    let mut signals = Signals::new().map_err(anyhow::Error::from)?;
    let store = app::open_store(config)?;
    let running = match start(config, store.clone(), load).await {
        Ok(running) => running,
        Err(error) => {
            // What did start holds the store; closing it leaves no log to recover.
            store.close();
            return Err(error);
        }
    };
    announce(&running.listening);
    let which = signals.next().await;
    tracing::info!(
        signal = which.name,
        "draining; a second signal ends at once"
    );
    tokio::select! {
        () = running.drain() => tracing::info!("drained"),
        which = signals.next() => {
            tracing::warn!(signal = which.name, "ending at once; the next start recovers");
            std::process::exit(exit::SIGNAL + which.number);
        }
    }
    Ok(())
}

/// Says on standard output where the participants listen, and that they do.
fn announce(listening: &[(String, String)]) {
    let mut text: String = listening
        .iter()
        .map(|(name, url)| format!("listening {name} {url}\n"))
        .collect();
    text.push_str("ready\n");
    let mut out = std::io::stdout();
    // Not `println!`: whoever reads may be gone, and that must not stop the host.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Says on standard error what is wrong. Not `eprintln!`, which panics when nobody reads.
fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "saga: {what}");
}

async fn start(config: &Config, store: Arc<Store>, load: Load) -> Result<app::Running, StartError> {
    let builds = load(config)?;
    app::start(config, store, builds).await
}

fn exit_code(error: &StartError) -> u8 {
    match error {
        StartError::Config(_) => exit::USAGE,
        StartError::Component(_) => exit::COMPONENT,
        StartError::Store(_) => exit::STORE,
        StartError::Listen(_) => exit::LISTEN,
        StartError::Other(_) => exit::INTERNAL,
    }
}

/// A signal that came.
struct Received {
    name: &'static str,
    number: i32,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// `SIGXFSZ` on Linux and macOS.
const FILE_SIZE_EXCEEDED: i32 = 25;

impl Signals {
    fn new() -> std::io::Result<Self> {
        // Taken, so that a limit on the size of files is a failed write, as on a full disk, and not the
        // end of the process. It stays taken when the stream is dropped.
        signal(SignalKind::from_raw(FILE_SIZE_EXCEEDED)).map(drop)?;
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Received {
        tokio::select! {
            _ = self.interrupt.recv() => Received { name: "SIGINT", number: SignalKind::interrupt().as_raw_value() },
            _ = self.terminate.recv() => Received { name: "SIGTERM", number: SignalKind::terminate().as_raw_value() },
        }
    }
}
