//! A host from its start to its end.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::signals::{self, Received, Signals};
use super::{admin_file, complain, exit, say, service};
use crate::app::{self, RuleSource, RunningHost, StartError};
use crate::base::{machine, panics};
use crate::config::Config;
use crate::logging;
use crate::metrics::Metrics;
use crate::store::{Store, StoreFault};

/// Time for which a host without its store still reports that on `/readyz`, before it ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Stack size of the thread that writes a few lines to standard output.
const ANNOUNCE_STACK: usize = 64 << 10;

/// The work of a command beside a running host.
pub(super) struct Beside<'b> {
    /// Called once the host is ready.
    pub(super) ready: &'b (dyn Fn(&RunningHost) + Sync),
    /// Called when the host is asked to stop, before the drain.
    pub(super) stopping: &'b (dyn Fn() + Sync),
    /// True if SIGHUP ends the host too, as the end of its terminal; otherwise it re-reads files.
    pub(super) ends_at_hangup: bool,
}

/// Runs a host to its end.
pub(super) fn run(config: &Config, rules: RuleSource) -> ExitCode {
    if let Err(code) = start_log(config) {
        return code.into();
    }
    if config.participants.is_empty() {
        complain(
            "no participant is configured; give one with --plugin NAME=PATH, or [participants.NAME] in a file",
        );
        return exit::USAGE.into();
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(code) => return code.into(),
    };
    let beside = Beside {
        ready: &announce,
        stopping: &|| {},
        ends_at_hangup: false,
    };
    let served = runtime.block_on(serve(config, rules, &beside));
    // Work that waits for the store, or for a blocked disk, must not delay the end.
    runtime.shutdown_background();
    ended(served).into()
}

/// Starts the log, and makes a panic end the process; or gives the exit code.
pub(super) fn start_log(config: &Config) -> Result<(), u8> {
    // The filter was checked with the other settings.
    let filter = config.log.level.parse().unwrap_or_default();
    logging::start(filter, config.log.format == "json").map_err(|error| {
        complain(&format!(
            "the log's thread can't be started: {error}; limits: {}",
            machine::limits()
        ));
        exit::INTERNAL
    })?;
    logging::die_on_panic(exit::INTERNAL);
    Ok(())
}

/// The runtime of a host; or the exit code.
pub(super) fn runtime() -> Result<Runtime, u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(panics::STACK_BYTES)
        // If no thread can be started, blocking work waits for an existing one, but tokio panics if
        // there is none. So the first blocking thread stays for ever, and the start makes sure that
        // there is one.
        .thread_keep_alive(Duration::MAX)
        .build();
    runtime.map_err(|error| {
        complain(&format!(
            "the runtime does not start: {error}; limits: {}",
            machine::limits()
        ));
        exit::INTERNAL
    })
}

/// The exit code of a host, whose error is printed.
pub(super) fn ended(served: Result<(), StartError>) -> u8 {
    let Err(error) = served else {
        return exit::DONE;
    };
    // The log may be JSON for a machine; this line is for the person who started the program.
    complain(&error.to_string());
    if let StartError::Other(error) = &error
        && let Some(lack) = error.chain().find_map(machine::shortage_in)
    {
        complain(&format!(
            "the machine lacks {lack}; limits: {}",
            machine::limits()
        ));
    }
    exit_code(&error)
}

/// Starts a host, serves until a signal, and drains.
///
/// # Errors
/// The reason why it did not start.
pub(super) async fn serve(
    config: &Config,
    rules: RuleSource,
    beside: &Beside<'_>,
) -> Result<(), StartError> {
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
    (beside.ready)(&running);
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
            Received::Reread if beside.ends_at_hangup => break signals::HANGUP,
            Received::Reread => running.reread(),
            Received::Stop(which) => break which,
        }
    };
    tracing::info!(
        signal = which.name,
        "draining; a second signal ends at once"
    );
    service::notify(service::STOPPING);
    (beside.stopping)();
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
    let why = store.condition().last_words();
    complain(&format!("the store can't be used: {why}"));
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
fn announce(running: &RunningHost) {
    let admin = (running.admin.as_ref()).map(|url| format!("admin {url}\n"));
    let listening =
        (running.listening.iter()).map(|(name, url)| format!("listening {name} {url}\n"));
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

fn exit_code(error: &StartError) -> u8 {
    match error {
        StartError::Config(_) => exit::USAGE,
        StartError::Component(_) => exit::COMPONENT,
        StartError::Store(_) | StartError::StoreBroke(_) => exit::STORE,
        StartError::Listen(_) | StartError::GroupTaken(_) => exit::UNAVAILABLE,
        StartError::Machine(_) | StartError::Other(_) => exit::INTERNAL,
    }
}
