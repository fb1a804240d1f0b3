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
//! - this file: the start and the drain
//! - `prepare`: the preparation of each participant
//! - `room`: limits of the process, checked before they bite
//! - `observe`: values that are read on each scrape of the metrics
//! - `stages`: the stages that readiness follows, sampled once a second

mod observe;
mod prepare;
mod process_limits;
mod stages;

use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use parking_lot::Mutex;
use saga_contract::description::Description;
use tokio::net::TcpListener;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use self::observe::Observer;
use self::prepare::{PreparedParticipant, activate};
use crate::admin::readiness::Readiness;
use crate::admin::service::{self as admin, Admin, RenderMetrics};
use crate::admin::topics::Topics;
use crate::base::budget::Budget;
use crate::base::generation::CompiledRules;
use crate::base::last_observed::LastObserved;
use crate::base::machine::Machine;
use crate::base::note::Note;
use crate::config::Config;
use crate::http::accept::Acceptor;
use crate::http::auth::Auth;
use crate::http::cors::Cors;
use crate::http::listing::Lists;
use crate::http::origin::ServedHosts;
use crate::http::request::Bodies;
use crate::http::routes::Routes;
use crate::http::server::{self, ListenerBounds};
use crate::http::service::{Service, Serving};
use crate::http::tls::Tls;
use crate::http::waiting::WaitBounds;
use crate::kafka::Kafka;
use crate::log::EmbeddedLog;
use crate::metrics::Metrics;
use crate::rollout::hosted::{HostedParticipant, Prepare};
use crate::rollout::loader::Loader;
use crate::rollout::neighbours::{self, StartingParticipant};
use crate::rollout::topics;
use crate::rollout::{Reloader, ReloaderParts, watch};
use crate::stages::{StageWatch, Stages};
use crate::store::{OpenError, OutboxReaders, Store, open, standstill};
use crate::transport::Transport;
use crate::turn::{Participant, ParticipantParts, timers};

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
    certificates: Vec<(String, Arc<Tls>)>,
    auth: Option<Arc<Auth>>,
    stop: StopTokens,
}

/// Time that the end of everything but the listeners gets in any case.
const LAST: Duration = Duration::from_secs(2);

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

/// Opens the store in the data directory.
///
/// # Errors
/// The reason why it can't be used.
pub fn open_store(config: &Config, metrics: &Metrics) -> Result<Arc<Store>, StartError> {
    let (readers, commits) = (outbox_readers(config), metrics.commits());
    let (data, idempotency) = (&config.data_dir, config.http.idempotency());
    let store = open(data, config.store, idempotency, readers, commits);
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
    let transport: Arc<dyn Transport> = match &config.kafka {
        None => Arc::new(EmbeddedLog::new(store.clone(), config.embedded.partitions)),
        Some(settings) => Arc::new(
            Kafka::new(store.clone(), settings.clone())
                .map_err(|error| StartError::Config(format!("{error:#}")))?,
        ),
    };
    let machine = Machine::default();
    let loader = match rules {
        RuleSource::Components => Some(Loader::new(
            &config.rollout(),
            machine.clone(),
            check_routes,
        )?),
        RuleSource::CompiledIn(_) => None,
    };
    let builds = match rules {
        RuleSource::Components => Vec::new(),
        RuleSource::CompiledIn(load) => load(config)?,
    };
    let around = prepare::PrepareParts {
        config: config.clone(),
        store: store.clone(),
        transport: transport.clone(),
        machine: machine.clone(),
    };
    let (loader, prepared) = prepare::prepare_all(around, loader, builds).await?;
    topics::check_together(
        (prepared.iter()).map(|participant| (&*participant.name, &*participant.fitted.sources)),
    )
    .map_err(StartError::Config)?;
    let starting: Vec<_> = (prepared.iter())
        .map(|participant| StartingParticipant {
            description: participant.active.description(),
            topics: &participant.own.topics,
            replaced: participant
                .replaced
                .as_ref()
                .map(|build| build.description()),
        })
        .collect();
    neighbours::at_start(&starting).map_err(StartError::Component)?;
    let admin_listener = match config.admin.listen {
        Some(address) => Some(admin::bind(address).map_err(StartError::Listen)?),
        None => None,
    };
    claim(&transport, &prepared).await?;
    activate(&*store, &prepared)?;

    let stop = StopTokens::default();
    let published = (prepared.iter()).flat_map(|participant| participant.fitted.published.clone());
    // Topics of former rules may still have unpublished records.
    let waiting = store.reader().and_then(|reader| reader.waiting_topics());
    let published = published.chain(waiting.map_err(anyhow::Error::from)?);
    let relay = transport.publish(published.collect(), stop.publishing.clone())?;
    let mut listening = Vec::new();
    let mut listeners = Vec::new();
    let mut hosted = Vec::new();
    let mut certificates = Vec::new();
    let budget = Budget::new(config.http.memory_bytes);
    let auth = start_auth(config, &stop).await?;
    for participant in prepared {
        certificates.extend(
            participant
                .tls
                .clone()
                .map(|tls| (participant.name.clone(), tls)),
        );
        let (url, listener, one) = start_participant(
            config,
            (&store, transport.as_ref(), &metrics, &machine),
            participant,
            (&budget, auth.as_ref()),
            &stop,
        )?;
        listening.push((one.participant.name().to_owned(), url));
        listeners.push(listener);
        hosted.push(one);
    }
    let timers = hosted
        .iter()
        .map(|hosted| timers::start(hosted.participant.clone(), &*store, stop.consuming.clone()))
        .collect::<Result<_, _>>()?;
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
    let build = Note::default();
    let admin = admin_listener
        .map(|listener| {
            let around = (&store, transport, metrics, machine, known);
            let auth = auth.clone();
            start_admin(config, listener, (&reloader, &build), around, (auth, &stop))
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
        certificates,
        auth,
        stop,
    })
}

impl RunningHost {
    /// Swaps the rules of its participants.
    #[must_use]
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Re-reads the files: applies components that differ from the active ones, uses the present
    /// certificates for new connections, and loads the keys that check tokens. Must be called within
    /// a tokio runtime.
    pub fn reread(&self) {
        let certificates = self.certificates.clone();
        tokio::task::spawn_blocking(move || {
            for (name, tls) in certificates {
                tls.reread(&name);
            }
        });
        if let Some(auth) = &self.auth {
            auth.reread();
        }
        if let Some((ask, _)) = &self.watch {
            // A request that is queued already will read the present files.
            let _ = ask.try_send(watch::Reread);
        }
    }

    /// Finishes the work in flight and closes the store, within this time. Clients have half of it;
    /// if the other half is shorter than [`LAST`], the rest has that long.
    ///
    /// # Errors
    /// The step that was not done in time. End the process then: some of its threads may be stuck.
    pub async fn drain(self, time: Duration) -> Result<(), &'static str> {
        let began = Instant::now();
        self.reloader.refuse();
        self.stop.listening.cancel();
        // No request in flight needs later records: requests that waited for a decision have
        // stopped waiting.
        self.stop.consuming.cancel();
        self.store.published().notify();
        self.store.timers().notify();
        for listener in self.listeners {
            if let Err(error) = listener.await {
                tracing::error!(%error, "a listener broke");
            }
        }
        let stop = self.stop.clone();
        let step = Arc::new(Mutex::new("a free thread"));
        let at = step.clone();
        let rest = move || {
            let at = |step| *at.lock() = step;
            at("the swap in flight");
            self.reloader.close();
            if let Some((ask, thread)) = self.watch {
                drop(ask);
                join(thread, "the watch over the components' files");
            }
            at("the consumers");
            for hosted in self.reloader.hosted() {
                hosted.join_consumers();
            }
            at("the timers");
            for thread in self.timers {
                join(thread, "a timer thread");
            }
            at("the turns");
            for hosted in self.reloader.hosted() {
                hosted.participant.finish();
            }
            // Before the store is closed, since the stages read it.
            self.stages.end();
            at("the last commits");
            self.store.settle_up();
            at("the relay");
            self.stop.publishing.cancel();
            self.store.published().notify();
            if let Some(relay) = self.relay {
                join(relay, "the relay");
            }
            at("the store to be closed");
            self.store.close();
        };
        let left = || time.saturating_sub(began.elapsed()).max(LAST);
        match tokio::time::timeout(left(), tokio::task::spawn_blocking(rest)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the drain broke; the next start recovers"),
            Err(_) => return Err(*step.lock()),
        }
        stop.admin.cancel();
        if let Some(listener) = self.admin_listener {
            // An operator's open connection must not delay the end.
            if let Ok(Err(error)) = tokio::time::timeout(left(), listener).await {
                tracing::error!(%error, "the admin listener broke");
            }
        }
        Ok(())
    }
}

/// Checks that all routes of a description can be served below this path.
///
/// # Errors
/// Names a route that can't, and the reason.
pub fn check_routes(description: &Description, base_path: &str) -> Result<(), String> {
    Routes::new(description, base_path).map(drop)
}

/// The preparation of routes and documents of further generations, for this service.
fn prepare_by(service: Arc<Service>, base_path: String) -> Prepare {
    Box::new(move |active, configured| {
        let serving = Serving::new(active.clone(), &base_path, configured)?;
        let service = service.clone();
        Ok(Box::new(move || Box::new(service.swap(serving))))
    })
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

fn join(thread: Thread<()>, what: &str) {
    if thread.join().is_err() {
        tracing::error!("{what} panicked");
    }
}

/// Starts a participant's workers, its listener and its consumers. Returns its URL and its listener
/// too.
fn start_participant(
    config: &Config,
    (store, transport, metrics, machine): (&Arc<Store>, &dyn Transport, &Metrics, &Machine),
    prepared: PreparedParticipant,
    (budget, auth): (&Budget, Option<&Arc<Auth>>),
    stop: &StopTokens,
) -> Result<(String, Task<()>, HostedParticipant), StartError> {
    let settings = ParticipantParts {
        row: prepared.row,
        last_key: prepared.last_key,
        limits: config.turn,
        retry: (config.participants.get(&prepared.name))
            .map_or(config.retry, |participant| participant.retry(config.retry)),
        parked: config.parked,
        turns: metrics.turns(&prepared.name),
        passed: metrics.passed(&prepared.name),
        instances: metrics.instances(&prepared.name),
        machine: machine.clone(),
        answer_time: Duration::from_secs(config.http.answer_seconds),
    };
    let participant = Arc::new(Participant::start(
        settings,
        prepared.active,
        prepared.instances,
        store.clone(),
    )?);
    let bounds = ListenerBounds {
        connections: process_limits::connections(config),
        // The other half is for the steps after the listeners.
        drain: Duration::from_secs(config.drain_seconds) / 2,
        ..bounds(config)
    };
    // If the limit of open files allows fewer connections than configured, watchers may take half
    // of them.
    let watchers = if bounds.connections < config.http.connections {
        config.http.watchers.min((bounds.connections / 2).max(1))
    } else {
        config.http.watchers
    };
    let waiting = WaitBounds::new(
        config.http.wait_seconds,
        Duration::from_secs(config.http.heartbeat_seconds),
        watchers,
        stop.listening.clone(),
    );
    let address = prepared
        .listener
        .local_addr()
        .context("the listener has no address")?;
    let service = Arc::new(Service::new(
        participant.clone(),
        prepared.serving,
        Bodies {
            bytes: config.http.body_bytes,
            budget: budget.clone(),
            are_checked: config.http.check_bodies,
        },
        waiting,
        (
            ServedHosts::new(&config.http.hosts, address.ip()),
            Cors::new(&config.http.cors_origins),
            auth.cloned(),
        ),
        metrics.requests(&prepared.name),
        Lists::new(store.clone(), config.http.page_items),
    ));
    let scheme = prepared.tls.as_ref().map_or("http", |_| "https");
    let url = format!("{scheme}://{address}{}", prepared.base_path);
    let listener = tokio::spawn(server::serve(
        Acceptor::new(prepared.listener, machine.clone()),
        prepared.tls,
        service.clone(),
        bounds,
        stop.listening.clone(),
    ));
    let hosted = HostedParticipant::new(
        prepared.own,
        prepared.row,
        participant,
        prepare_by(service, prepared.base_path.clone()),
        prepared.base_path,
        prepared.file,
    );
    hosted
        .read(&prepared.fitted.sources, transport, &stop.consuming)
        .map_err(|problems| anyhow::anyhow!(problems))?;
    hosted
        .note_consumers(&**store)
        .map_err(anyhow::Error::from)?;
    Ok((url, listener, hosted))
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

fn start_admin(
    config: &Config,
    listener: TcpListener,
    (reloader, build): (&Reloader, &Note),
    (store, transport, metrics, machine, stages): (
        &Arc<Store>,
        Arc<dyn Transport>,
        Arc<Metrics>,
        Machine,
        Stages,
    ),
    (auth, stop): (Option<Arc<Auth>>, &StopTokens),
) -> Result<(String, Task<()>), StartError> {
    let address = listener
        .local_addr()
        .context("the admin listener has no address")?;
    let observer = Observer {
        store: store.clone(),
        transport: transport.clone(),
        reloader: reloader.clone(),
        readers: outbox_readers(config),
        max_bytes: config.store.max_bytes,
        machine: machine.clone(),
        draining: stop.listening.clone(),
        stages: stages.clone(),
        looked: LastObserved::default(),
    };
    let observer = Arc::new(observer);
    let requests = metrics.requests("admin");
    let exposition: RenderMetrics = Arc::new(move |format| {
        let (metrics, observer) = (metrics.clone(), observer.clone());
        Box::pin(async move {
            if !metrics.is_on() {
                return None;
            }
            let observed = observer.observe().await;
            metrics.text(&observed, format)
        })
    });
    // The first overview is kept, for when the store stands still before any request.
    let first = reloader.clone();
    tokio::spawn(async move { first.overview(None).await });
    let partitions = config.kafka.is_none().then_some(config.embedded.partitions);
    let topics = Topics::new(store.clone(), reloader.clone(), partitions);
    let store = store.clone();
    let halted = transport.clone();
    let build = build.clone();
    let acceptor = Acceptor::new(listener, machine.clone()).with_spare();
    let readiness = Readiness {
        store: Box::new(move || store.condition().trouble()),
        lack: Box::new(move || machine.shortage()),
        trouble: Box::new(move || transport.trouble()),
        callers: Box::new(move || auth.as_ref().and_then(|auth| auth.trouble())),
        halted: Box::new(move || halted.halted()),
        standing: Box::new(move || stages.standing()),
        build: Box::new(move || build.get()),
        draining: stop.listening.clone(),
    };
    let settings = &config.admin;
    let admin = Admin::new(
        settings.token.as_ref().map(|token| token.reveal()),
        settings.component_bytes,
        (reloader.clone(), topics),
        readiness,
        (exposition, requests),
    );
    let listener = tokio::spawn(admin::serve(
        acceptor,
        Arc::new(admin),
        bounds(config),
        stop.admin.clone(),
    ));
    Ok((format!("http://{address}"), listener))
}
