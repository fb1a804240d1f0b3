//! The only wiring: the order of start and drain.
//!
//! Start: store → components → transport → addresses → consumer groups → active generations →
//! participants → listeners → consumers and timers → admin. Drain: stop listening, consumers and
//! timers → answer requests in flight, in half of the time at most → stop swaps → workers finish →
//! relay → close the store → admin. Each step of the drain depends on later ones still running:
//! Kafka consumers end once the workers have settled the records in flight.
//!
//! # Layout
//!
//! - this file: the start
//! - `drain`: the end, and the files that are read again meanwhile
//! - `prepare`: the preparation of each participant; `participant`: its start
//! - `operator`: the start of the admin interface
//! - `process_limits`: limits of the process, checked before they bite
//! - `observe`: values that are read on each scrape of the metrics
//! - `stages`: the stages that readiness follows, sampled once a second

mod drain;
mod observe;
mod operator;
mod participant;
mod prepare;
mod process_limits;
mod stages;

use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::Duration;

use saga_contract::description::Description;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use self::prepare::{PreparedParticipant, activate};
use crate::admin::service as admin;
use crate::base::budget::Budget;
use crate::base::generation::CompiledRules;
use crate::base::machine::Machine;
use crate::base::note::Note;
use crate::config::Config;
use crate::http::auth::Auth;
use crate::http::routes::Routes;
use crate::http::server::ListenerBounds;
use crate::http::tls::Tls;
use crate::kafka::Kafka;
use crate::log::EmbeddedLog;
use crate::metrics::Metrics;
use crate::rollout::audit::Audit;
use crate::rollout::hosted::HostedParticipant;
use crate::rollout::loader::Loader;
use crate::rollout::neighbours::{self, StartingParticipant};
use crate::rollout::topics;
use crate::rollout::{Reloader, ReloaderParts, follow, watch};
use crate::stages::{StageWatch, Stages};
use crate::store::{OpenError, OutboxReaders, Store, make_directory, standstill};
use crate::transport::Transport;
use crate::turn::{others, timers};

/// The reason why the host did not start, by who has to act.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A component was refused.
    #[error("{0}")]
    Component(String),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store was found damaged, or its files were removed, while the host started.
    #[error("{0}")]
    StoreBroke(String),
    /// An address can't be listened on.
    #[error("{0:#}")]
    Listen(anyhow::Error),
    /// The settings and the components don't fit together.
    #[error("{0}")]
    Config(String),
    /// Another process consumes in a consumer group.
    #[error("{0}")]
    GroupTaken(String),
    /// The machine is out of a resource, or a limit of the process is too low.
    #[error("{0}")]
    Machine(String),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// The source of the rules.
#[derive(Clone, Copy)]
pub enum RuleSource {
    /// Components, which can be swapped.
    Components,
    /// Rules that are linked into the program, for every configured participant.
    CompiledIn(CompiledIn),
}

/// Returns the rules of every configured participant.
pub type CompiledIn = fn(&Config) -> Result<Vec<Arc<dyn CompiledRules>>, StartError>;

/// A running host.
pub struct RunningHost {
    /// Name and base URL of every participant.
    pub listening: Vec<(String, String)>,
    /// URL of the admin interface, if it is on.
    pub admin: Option<String>,
    /// Shown at `/readyz`: the reason why the sources that an author develops are not what runs.
    pub build: Note,
    store: Arc<Store>,
    reloader: Reloader,
    listeners: Vec<Task<()>>,
    admin_listener: Option<Task<()>>,
    timers: Vec<Thread<()>>,
    relay: Option<Thread<()>>,
    watch: Option<ComponentWatch>,
    stages: StageWatch,
    audit: Option<Audit>,
    certificates: Vec<(String, Arc<Tls>)>,
    auth: Option<Arc<Auth>>,
    stop: StopTokens,
}

/// Sends requests to re-read the components' files to the thread that watches them.
type ComponentWatch = (crossbeam_channel::Sender<watch::Reread>, Thread<()>);

/// One token for each group of tasks that stops together.
#[derive(Clone, Default)]
struct StopTokens {
    listening: CancellationToken,
    consuming: CancellationToken,
    publishing: CancellationToken,
    admin: CancellationToken,
}

pub use self::process_limits::allow_descriptors;

/// Opens the store.
///
/// # Errors
/// The reason why it can't be used.
pub fn open_store(config: &Config, metrics: &Metrics) -> Result<Arc<Store>, StartError> {
    let (readers, commits) = (outbox_readers(config), metrics.commits());
    // It has more than the store: copies of components, compiled code, the admin interface's address.
    make_directory(&config.data_dir).map_err(StartError::Store)?;
    let location = config.store.location(&config.data_dir);
    let idempotency = config.http.idempotency();
    let store = location.open(config.store.bounds, idempotency, readers, commits);
    store.map_err(|error| match error.downcast::<OpenError>() {
        Ok(error) => StartError::Store(error),
        Err(error) => StartError::Other(error),
    })
}

fn outbox_readers(config: &Config) -> OutboxReaders {
    match config.kafka {
        None => OutboxReaders::Consumers,
        Some(_) => OutboxReaders::Relay,
    }
}

/// Starts the host. Must be called within a tokio runtime.
///
/// # Errors
/// The part that could not be started. The process must end then, which stops the parts that were
/// started.
pub async fn start(
    config: &Config,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    rules: RuleSource,
) -> Result<RunningHost, StartError> {
    tokio::spawn(standstill::watch(Arc::downgrade(&store)));
    let transport = open_transport(config, &store)?;
    let machine = Machine::default();
    let (loader, builds) = match rules {
        RuleSource::Components => {
            let loader = Loader::new(&config.rollout(), machine.clone(), check_routes)?;
            (Some(loader), Vec::new())
        }
        RuleSource::CompiledIn(load) => (None, load(config)?),
    };
    let around = prepare::PrepareParts {
        config: config.clone(),
        store: store.clone(),
        transport: transport.clone(),
        machine: machine.clone(),
    };
    let (loader, prepared) = prepare::prepare_all(around, loader, builds).await?;
    check_together(&prepared)?;
    let admin_listener =
        (config.admin.listen.map(admin::bind).transpose()).map_err(StartError::Listen)?;
    claim(&transport, &prepared).await?;
    activate(&*store, &prepared)?;

    let stop = StopTokens::default();
    let relay = publish(&*transport, &*store, &prepared, &stop)?;
    let mut listening = Vec::new();
    let mut listeners = Vec::new();
    let mut hosted = Vec::new();
    let certificates = prepared.iter().filter_map(certificate).collect();
    let budget = Budget::new(config.http.memory_bytes);
    let auth = start_auth(config, &stop).await?;
    for participant in prepared {
        let around = (&store, transport.as_ref(), &*metrics, &machine);
        let requests = (&budget, auth.as_ref());
        let (url, listener, one) =
            participant::start(config, around, participant, requests, &stop)?;
        listening.push((one.participant.name().to_owned(), url));
        listeners.push(listener);
        hosted.push(one);
    }
    let mut timers = start_timers(&hosted, &store, &stop)?;
    let reloads = loader.is_some();
    let around = ReloaderParts {
        settings: config.rollout(),
        store: store.clone(),
        transport: transport.clone(),
        loader,
        stop_consuming: stop.consuming.clone(),
        swaps: metrics.swaps(),
        machine: machine.clone(),
    };
    let reloader = Reloader::new(around, hosted);
    let follow = follow::start(reloader.clone(), stop.consuming.clone());
    timers.extend(follow.map_err(anyhow::Error::from)?);
    let watch = reloads
        .then(|| start_watch(config, &reloader))
        .transpose()
        .map_err(anyhow::Error::from)?;
    let around = stages::StageSources {
        store: store.clone(),
        transport: transport.clone(),
        reloader: reloader.clone(),
        readers: outbox_readers(config),
    };
    let known = Stages::default();
    let stages =
        (known.watch(stages::stages(&around, &config.progress))).map_err(anyhow::Error::from)?;
    let audit = start_audit(config, &reloader, &store)?;
    let build = Note::default();
    let admin = admin_listener
        .map(|listener| {
            let around = (&store, transport, metrics, machine, known);
            let auth = auth.clone();
            operator::start(config, listener, (&reloader, &build), around, (auth, &stop))
        })
        .transpose()?;
    let (admin, admin_listener) = admin.unzip();
    Ok(RunningHost {
        listening,
        admin,
        build,
        store,
        reloader,
        listeners,
        admin_listener,
        timers,
        relay,
        watch,
        stages,
        audit,
        certificates,
        auth,
        stop,
    })
}

fn certificate(participant: &PreparedParticipant) -> Option<(String, Arc<Tls>)> {
    let tls = participant.tls.clone()?;
    Some((participant.name.clone(), tls))
}

fn start_timers(
    hosted: &[HostedParticipant],
    store: &Arc<Store>,
    stop: &StopTokens,
) -> Result<Vec<Thread<()>>, StartError> {
    let mut threads = Vec::new();
    for one in hosted {
        let stop = &stop.consuming;
        threads.push(timers::start(
            one.participant.clone(),
            &**store,
            stop.clone(),
        )?);
        threads.extend(others::start(
            one.participant.clone(),
            &**store,
            stop.clone(),
        )?);
    }
    Ok(threads)
}

fn start_audit(
    config: &Config,
    reloader: &Reloader,
    store: &Arc<Store>,
) -> Result<Option<Audit>, StartError> {
    let one_in = config.rollout.audit_one_in;
    let start = || Audit::start(reloader.clone(), store.clone(), config.turn, one_in);
    Ok((one_in > 0).then(start).transpose()?)
}

impl RunningHost {
    /// Swaps the rules of its participants.
    #[must_use]
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }
}

/// Checks that all routes of a description can be served below this path.
///
/// # Errors
/// Names a route that can't, and the reason.
pub fn check_routes(description: &Description, base_path: &str) -> Result<(), String> {
    Routes::new(description, base_path).map(drop)
}

fn open_transport(config: &Config, store: &Arc<Store>) -> Result<Arc<dyn Transport>, StartError> {
    let store = store.clone();
    Ok(match &config.kafka {
        None => Arc::new(EmbeddedLog::new(store, config.embedded.partitions)),
        Some(settings) => {
            let kafka = Kafka::new(store, settings.clone());
            Arc::new(kafka.map_err(|error| StartError::Config(format!("{error:#}")))?)
        }
    })
}

/// Checks that the participants fit each other.
fn check_together(prepared: &[PreparedParticipant]) -> Result<(), StartError> {
    let sources = (prepared.iter()).map(|one| (&*one.name, &*one.fitted.sources));
    topics::check_together(sources).map_err(StartError::Config)?;
    let starting = (prepared.iter()).map(|one| StartingParticipant {
        description: one.active.description(),
        topics: &one.own.topics,
        replaced: one.replaced.as_ref().map(|build| build.description()),
    });
    neighbours::at_start(&starting.collect::<Vec<_>>()).map_err(StartError::Component)
}

/// Begins to publish what the participants write.
fn publish(
    transport: &dyn Transport,
    store: &Store,
    prepared: &[PreparedParticipant],
    stop: &StopTokens,
) -> Result<Option<Thread<()>>, StartError> {
    let published = (prepared.iter()).flat_map(|participant| participant.fitted.published.clone());
    // Topics of former rules may still have unpublished records.
    let waiting = store.reader().and_then(|reader| reader.waiting_topics());
    let published = published.chain(waiting.map_err(anyhow::Error::from)?);
    Ok(transport.publish(published.collect(), stop.publishing.clone())?)
}

/// Makes sure that no other process consumes in the participants' groups.
async fn claim(
    transport: &Arc<dyn Transport>,
    prepared: &[PreparedParticipant],
) -> Result<(), StartError> {
    let sources = (prepared.iter()).flat_map(|participant| &participant.fitted.sources);
    let sources: Vec<_> = sources.cloned().collect();
    let transport = transport.clone();
    tokio::task::spawn_blocking(move || transport.claim(&sources))
        .await
        .map_err(anyhow::Error::from)?
        .map_err(StartError::GroupTaken)
}

/// Loads the keys that check callers' tokens, if callers show tokens.
async fn start_auth(config: &Config, stop: &StopTokens) -> Result<Option<Arc<Auth>>, StartError> {
    let auth = Auth::new(&config.http.auth);
    let auth = auth.map_err(|reason| StartError::Config(format!("http.auth.{reason}")))?;
    let auth = auth.map(Arc::new);
    if let Some(auth) = &auth {
        auth.start(stop.listening.clone()).await;
    }
    Ok(auth)
}

/// The bounds that all listeners share.
fn bounds(config: &Config) -> ListenerBounds {
    ListenerBounds {
        connections: 0,
        reserve: 0,
        stall: Duration::from_secs(config.http.stall_seconds),
        drain: Duration::from_secs(config.drain_seconds),
    }
}

fn start_watch(config: &Config, reloader: &Reloader) -> std::io::Result<ComponentWatch> {
    let (ask, asked) = crossbeam_channel::bounded(1);
    let interval = match config.reload.watch_ms {
        0 => None,
        ms => Some(Duration::from_millis(ms)),
    };
    Ok((ask, watch::start(reloader.clone(), interval, asked)?))
}
