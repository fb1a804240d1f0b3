//! The only wiring: what is started in which order, and how it drains.
//!
//! Start: store → components → transport → addresses → consumer groups → active generations → participants → listeners → consumers and
//! timers → admin. Drain: stop listening, consumers and timers → answer requests in flight, in half of the time at most → stop
//! swaps → workers finish → relay → close the store → admin. Each step of the drain needs what comes after it: consumers of
//! Kafka end when workers have settled what is in flight.
//!
//! # Layout
//!
//! - this file: what is started in which order, and the drain
//! - `prepare`: what is done for a participant before it starts
//! - `room`: whether the machine has room for all of it
//! - `observe`: what is looked up for the metrics when somebody asks
//! - `stages`: what waits in each stage, looked up once a second

mod observe;
mod prepare;
mod room;
mod stages;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle as Thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use self::observe::Observer;
use self::prepare::{Prepared, activate};
use crate::admin::readiness::Readiness;
use crate::admin::service::{self as admin, Admin, Exposition};
use crate::base::budget::Budget;
use crate::base::generation::Build;
use crate::base::last_look::LastLook;
use crate::base::machine::Machine;
use crate::config::Config;
use crate::http::accept::Acceptor;
use crate::http::cors::Cors;
use crate::http::listing::Lists;
use crate::http::origin::Hosts;
use crate::http::request::Bodies;
use crate::http::server::{self, Bounds};
use crate::http::service::Service;
use crate::http::tls::Tls;
use crate::http::waiting::Waiting;
use crate::kafka::Kafka;
use crate::log::EmbeddedLog;
use crate::metrics::Metrics;
use crate::rollout::fit;
use crate::rollout::hosted::Hosted;
use crate::rollout::loader::Loader;
use crate::rollout::neighbours::{self, Starting};
use crate::rollout::{Reloader, Surroundings, watch};
use crate::stages::{StageWatch, Stages};
use crate::store::{OpenError, OutboxReaders, Store, StoreFile, registry};
use crate::transport::Transport;
use crate::turn::{Participant, ParticipantSettings, timers};

/// Why the host did not start, by who has to act.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A component was refused.
    #[error("{0}")]
    Component(String),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store was found damaged, or its files went away, while the host started.
    #[error("{0}")]
    StoreBroke(String),
    /// An address can't be listened on.
    #[error("{0:#}")]
    Listen(anyhow::Error),
    /// The settings and the components don't fit together.
    #[error("{0}")]
    Config(String),
    /// Another process reads in a consumer group.
    #[error("{0}")]
    GroupTaken(String),
    /// The machine, or a limit of the process, does not allow it.
    #[error("{0}")]
    Machine(String),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

/// Where the rules come from.
#[derive(Clone, Copy)]
pub enum Rules {
    /// They are components, and can be swapped.
    Components,
    /// They are compiled in: this gives those of every configured participant.
    CompiledIn(CompiledIn),
}

/// Gives the rules of every configured participant.
pub type CompiledIn = fn(&Config) -> Result<Vec<Arc<dyn Build>>, StartError>;

/// A host that runs.
pub struct Running {
    /// Name and base URL of every participant.
    pub listening: Vec<(String, String)>,
    /// URL of the admin interface, where there is one.
    pub admin: Option<String>,
    store: Arc<Store>,
    reloader: Reloader,
    listeners: Vec<Task<()>>,
    admin_listener: Option<Task<()>>,
    timers: Vec<Thread<()>>,
    relay: Option<Thread<()>>,
    watch: Option<Watch>,
    stages: StageWatch,
    certificates: Vec<(String, Arc<Tls>)>,
    stop: Stop,
}

/// What everything but the listeners has in any case to end with.
const LAST: Duration = Duration::from_secs(2);

/// Asks the watch over the components' files, and its thread.
type Watch = (crossbeam_channel::Sender<watch::Reread>, Thread<()>);

/// What ends what.
#[derive(Clone, Default)]
struct Stop {
    listening: CancellationToken,
    consuming: CancellationToken,
    publishing: CancellationToken,
    admin: CancellationToken,
}

pub use self::room::allow_descriptors;

/// Opens the store in the data directory.
///
/// # Errors
/// Why it can't be used.
pub fn open_store(config: &Config, metrics: &Metrics) -> Result<Arc<Store>, StartError> {
    let file = StoreFile::open(&config.data_dir)?;
    let (readers, commits) = (outbox_readers(config), metrics.commits());
    let idempotency = config.http.idempotency();
    let store = Store::start(file, config.store, idempotency, readers, commits);
    let store = store.map_err(|error| match error.downcast::<rusqlite::Error>() {
        Ok(error) => StartError::Store(OpenError::of(&config.data_dir, &error)),
        Err(error) => StartError::Other(error),
    })?;
    Ok(Arc::new(store))
}

fn outbox_readers(config: &Config) -> OutboxReaders {
    match config.kafka {
        None => OutboxReaders::Consumers,
        Some(_) => OutboxReaders::Relay,
    }
}

/// Starts everything. Must be called within a tokio runtime.
///
/// # Errors
/// What could not be started; what was started already is stopped with the process.
pub async fn start(
    config: &Config,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    rules: Rules,
) -> Result<Running, StartError> {
    tokio::spawn(Store::watch_standstill(Arc::downgrade(&store)));
    let transport: Arc<dyn Transport> = match &config.kafka {
        None => Arc::new(EmbeddedLog::new(store.clone(), config.embedded.partitions)),
        Some(settings) => Arc::new(
            Kafka::new(store.clone(), settings.clone())
                .map_err(|error| StartError::Config(format!("{error:#}")))?,
        ),
    };
    let machine = Machine::default();
    let loader = match rules {
        Rules::Components => Some(Loader::new(&config.rollout(), machine.clone())?),
        Rules::CompiledIn(_) => None,
    };
    let builds = match rules {
        Rules::Components => Vec::new(),
        Rules::CompiledIn(load) => load(config)?,
    };
    let around = prepare::Around {
        config: config.clone(),
        store: store.clone(),
        transport: transport.clone(),
        machine: machine.clone(),
    };
    let (loader, prepared) = prepare::prepare_all(around, loader, builds).await?;
    fit::check_together(
        (prepared.iter()).map(|participant| (&*participant.name, &*participant.fitted.sources)),
    )
    .map_err(StartError::Config)?;
    let starting: Vec<_> = (prepared.iter())
        .map(|participant| Starting {
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
    activate(&store, &prepared)?;

    let stop = Stop::default();
    let published = (prepared.iter()).flat_map(|participant| participant.fitted.published.clone());
    // What rules published that are gone by now has to go out too.
    let waiting = store
        .reader()
        .and_then(|reader| registry::waiting_topics(reader.connection()));
    let published = published.chain(waiting.map_err(anyhow::Error::from)?);
    let relay = transport.publish(published.collect(), stop.publishing.clone())?;
    let mut listening = Vec::new();
    let mut listeners = Vec::new();
    let mut hosted = Vec::new();
    let mut certificates = Vec::new();
    let budget = Budget::new(config.http.memory_bytes);
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
            &budget,
            &stop,
        )?;
        listening.push((one.participant.name().to_owned(), url));
        listeners.push(listener);
        hosted.push(one);
    }
    let timers = hosted
        .iter()
        .map(|hosted| timers::start(hosted.participant.clone(), &store, stop.consuming.clone()))
        .collect::<Result<_, _>>()?;
    let reloads = loader.is_some();
    let around = Surroundings {
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
    let around = stages::Around {
        store: store.clone(),
        transport: transport.clone(),
        reloader: reloader.clone(),
        readers: outbox_readers(config),
        reader: Arc::default(),
    };
    let known = Stages::default();
    let stages =
        (known.watch(stages::stages(&around, &config.progress))).map_err(anyhow::Error::from)?;
    let admin = admin_listener
        .map(|listener| {
            let around = (&store, transport, metrics, machine, known);
            start_admin(config, listener, &reloader, around, &stop)
        })
        .transpose()?;
    let (admin, admin_listener) = admin.unzip();
    Ok(Running {
        listening,
        admin,
        store,
        reloader,
        listeners,
        admin_listener,
        timers,
        relay,
        watch,
        stages,
        certificates,
        stop,
    })
}

impl Running {
    /// Has the files read again. Components that are not what is active are applied; new connections see the certificates
    /// that are there now. Must be called within a tokio runtime.
    pub fn reread(&self) {
        let certificates = self.certificates.clone();
        tokio::task::spawn_blocking(move || {
            for (name, tls) in certificates {
                tls.reread(&name);
            }
        });
        if let Some((ask, _)) = &self.watch {
            // One that waits already reads what there is when its turn comes.
            let _ = ask.try_send(watch::Reread);
        }
    }

    /// Finishes the work in flight and closes the store, within this time. Clients have half of it; where the other half is less
    /// than [`LAST`], the rest has that long.
    ///
    /// # Errors
    /// What it waited for when the time was over. The process is to be ended then: threads of it may be stuck.
    pub async fn drain(self, time: Duration) -> Result<(), &'static str> {
        let began = Instant::now();
        self.reloader.refuse();
        self.stop.listening.cancel();
        // No request in flight needs what is read from now on: those that waited for a decision have stopped waiting.
        self.stop.consuming.cancel();
        self.store.published().ring();
        self.store.timers().ring();
        for listener in self.listeners {
            if let Err(error) = listener.await {
                tracing::error!(%error, "a listener broke");
            }
        }
        let stop = self.stop.clone();
        let step = Arc::new(Mutex::new("a free thread"));
        let at = step.clone();
        let rest = move || {
            let at = |step| *at.lock().unwrap_or_else(PoisonError::into_inner) = step;
            at("the swap under way");
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
            // Before the store is closed: it reads there.
            self.stages.end();
            at("the last commits");
            self.store.settle_up();
            at("the relay");
            self.stop.publishing.cancel();
            self.store.published().ring();
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
            Err(_) => return Err(*step.lock().unwrap_or_else(PoisonError::into_inner)),
        }
        stop.admin.cancel();
        if let Some(listener) = self.admin_listener {
            // An operator who does not let go holds up nothing.
            if let Ok(Err(error)) = tokio::time::timeout(left(), listener).await {
                tracing::error!(%error, "the admin listener broke");
            }
        }
        Ok(())
    }
}

/// Makes sure that nobody else reads what the participants read.
async fn claim(transport: &Arc<dyn Transport>, prepared: &[Prepared]) -> Result<(), StartError> {
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

/// Starts a participant's workers, serves it, and reads what it listens to. Gives its URL and its listener too.
fn start_participant(
    config: &Config,
    (store, transport, metrics, machine): (&Arc<Store>, &dyn Transport, &Metrics, &Machine),
    prepared: Prepared,
    budget: &Budget,
    stop: &Stop,
) -> Result<(String, Task<()>, Hosted), StartError> {
    let settings = ParticipantSettings {
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
    let bounds = Bounds {
        connections: room::connections(config),
        // The other half is for what comes after the listeners.
        drain: Duration::from_secs(config.drain_seconds) / 2,
        ..bounds(config)
    };
    // Where fewer files may be open than connections were wanted, those who wait leave half of what there is to others.
    let watchers = if bounds.connections < config.http.connections {
        config.http.watchers.min((bounds.connections / 2).max(1))
    } else {
        config.http.watchers
    };
    let waiting = Waiting::new(
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
            Hosts::new(&config.http.hosts, address.ip()),
            Cors::new(&config.http.cors_origins),
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
    let hosted = Hosted::new(
        prepared.own,
        prepared.row,
        participant,
        service,
        prepared.base_path,
        prepared.file,
    );
    hosted
        .read(&prepared.fitted.sources, transport, &stop.consuming)
        .map_err(|problems| anyhow::anyhow!(problems))?;
    hosted.note_consumers(store).map_err(anyhow::Error::from)?;
    Ok((url, listener, hosted))
}

/// The bounds of a listener that are alike for all.
fn bounds(config: &Config) -> Bounds {
    Bounds {
        connections: 0,
        reserve: 0,
        stall: Duration::from_secs(config.http.stall_seconds),
        drain: Duration::from_secs(config.drain_seconds),
    }
}

fn start_watch(config: &Config, reloader: &Reloader) -> std::io::Result<Watch> {
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
    reloader: &Reloader,
    (store, transport, metrics, machine, stages): (
        &Arc<Store>,
        Arc<dyn Transport>,
        Arc<Metrics>,
        Machine,
        Stages,
    ),
    stop: &Stop,
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
        looked: LastLook::default(),
    };
    let observer = Arc::new(observer);
    let requests = metrics.requests("admin");
    let exposition: Exposition = Arc::new(move |format| {
        let (metrics, observer) = (metrics.clone(), observer.clone());
        Box::pin(async move {
            if !metrics.is_on() {
                return None;
            }
            let observed = observer.observe().await;
            metrics.text(&observed, format)
        })
    });
    // So that there is something to tell where the store stands still before anybody asked.
    let first = reloader.clone();
    tokio::spawn(async move { first.overview(None).await });
    let store = store.clone();
    let halted = transport.clone();
    let acceptor = Acceptor::new(listener, machine.clone()).with_spare();
    let readiness = Readiness {
        store: Box::new(move || store.condition().trouble()),
        lack: Box::new(move || machine.lack()),
        trouble: Box::new(move || transport.trouble()),
        halted: Box::new(move || halted.halted()),
        standing: Box::new(move || stages.standing()),
        draining: stop.listening.clone(),
    };
    let settings = &config.admin;
    let admin = Admin::new(
        settings.token.as_ref().map(|token| token.reveal()),
        settings.component_bytes,
        reloader.clone(),
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
