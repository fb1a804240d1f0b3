//! The only wiring: what is started in which order, and how it drains.
//!
//! Start: store → components → transport → addresses → active generations → participants → listeners → consumers and
//! timers → admin. Drain: stop listening → stop swaps, consumers and timers → workers finish → relay → close the store
//! → admin. Each step of the drain needs what comes after it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use crate::admin::readiness::Readiness;
use crate::admin::service::{self as admin, Admin};
use crate::clock::now_ms;
use crate::config::{Config, ParticipantConfig};
use crate::generation::{Build, Generation};
use crate::http::server;
use crate::http::service::{Service, Serving};
use crate::pipeline::{Active, Participant, ParticipantSettings, timers};
use crate::reload::fit::{self, FitError, Fitted};
use crate::reload::hosted::Hosted;
use crate::reload::initial::{self, Initial};
use crate::reload::loader::Loader;
use crate::reload::report::Way;
use crate::reload::{Reloader, Surroundings, watch};
use crate::store::{OpenError, OutboxReaders, Store, StoreFault, StoreFile, history, registry};
use crate::transport::Transport;
use crate::transport::embedded::EmbeddedLog;
use crate::transport::kafka::Kafka;

/// Why the host did not start, by who has to act.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A component was refused.
    #[error("{0}")]
    Component(String),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// An address can't be listened on.
    #[error("{0:#}")]
    Listen(anyhow::Error),
    /// The settings and the components don't fit together.
    #[error("{0}")]
    Config(String),
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
    stop: Stop,
}

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

/// A participant with everything that is known before it starts.
struct Prepared {
    name: String,
    own: ParticipantConfig,
    row: i64,
    last_key: i64,
    active: Arc<Active>,
    fitted: Fitted,
    /// Whether it is active in the store already.
    is_active: bool,
    listener: TcpListener,
    base_path: String,
}

/// Opens the store in the data directory.
///
/// # Errors
/// Why it can't be used.
pub fn open_store(config: &Config) -> Result<Arc<Store>, StartError> {
    let file = StoreFile::open(&config.data_dir)?;
    let readers = match config.kafka {
        None => OutboxReaders::Consumers,
        Some(_) => OutboxReaders::Relay,
    };
    Ok(Arc::new(Store::start(file, config.store, readers)?))
}

/// Starts everything. Must be called within a tokio runtime.
///
/// # Errors
/// What could not be started; what was started already is stopped with the process.
pub async fn start(
    config: &Config,
    store: Arc<Store>,
    rules: Rules,
) -> Result<Running, StartError> {
    let transport: Arc<dyn Transport> = match &config.kafka {
        None => Arc::new(EmbeddedLog::new(store.clone(), config.embedded.partitions)),
        Some(settings) => Arc::new(Kafka::new(store.clone(), settings.clone())?),
    };
    let loader = match rules {
        Rules::Components => Some(Loader::new(config)?),
        Rules::CompiledIn(_) => None,
    };
    let mut builds = match rules {
        Rules::Components => Vec::new(),
        Rules::CompiledIn(load) => load(config)?,
    };
    let mut prepared = Vec::new();
    for (name, own) in &config.participants {
        let compiled_in = (builds
            .iter()
            .position(|build| build.description().name == *name))
        .map(|place| builds.swap_remove(place));
        let initial = (loader.as_ref(), compiled_in);
        prepared.push(prepare(
            config,
            &store,
            transport.as_ref(),
            initial,
            name,
            own,
        )?);
    }
    fit::check_together(
        (prepared.iter()).map(|participant| (&*participant.name, &*participant.fitted.sources)),
    )
    .map_err(StartError::Config)?;
    let admin_listener = match config.admin.listen {
        Some(address) => Some(admin::bind(address).map_err(StartError::Listen)?),
        None => None,
    };
    activate(&store, &prepared)?;

    let stop = Stop::default();
    let published = (prepared.iter()).flat_map(|participant| participant.fitted.published.clone());
    let relay = transport.publish(published.collect(), stop.publishing.clone())?;
    let mut listening = Vec::new();
    let mut listeners = Vec::new();
    let mut hosted = Vec::new();
    for participant in prepared {
        let (url, listener, one) =
            start_participant(config, &store, transport.as_ref(), participant, &stop)?;
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
        config: config.clone(),
        store: store.clone(),
        transport: transport.clone(),
        loader,
        stop_consuming: stop.consuming.clone(),
    };
    let reloader = Reloader::new(around, hosted);
    let watch = reloads
        .then(|| start_watch(config, &reloader))
        .transpose()
        .map_err(anyhow::Error::from)?;
    let admin = admin_listener
        .map(|listener| start_admin(config, listener, &reloader, transport, &stop))
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
        stop,
    })
}

impl Running {
    /// Has the components' files read again: those that are not what is active are applied.
    pub fn reread(&self) {
        if let Some((ask, _)) = &self.watch {
            // One that waits already reads what there is when its turn comes.
            let _ = ask.try_send(watch::Reread);
        }
    }

    /// Finishes the work under way and closes the store.
    pub async fn drain(self) {
        self.reloader.refuse();
        self.stop.listening.cancel();
        for listener in self.listeners {
            if let Err(error) = listener.await {
                tracing::error!(%error, "a listener broke");
            }
        }
        let stop = self.stop.clone();
        let rest = move || {
            self.reloader.close();
            if let Some((ask, thread)) = self.watch {
                drop(ask);
                join(thread, "the watch over the components' files");
            }
            self.stop.consuming.cancel();
            self.store.published().ring();
            self.store.timers().ring();
            for hosted in self.reloader.hosted() {
                hosted.join_consumers();
            }
            for thread in self.timers {
                join(thread, "a timer thread");
            }
            for hosted in self.reloader.hosted() {
                hosted.participant.finish();
            }
            self.store.settle_up();
            self.stop.publishing.cancel();
            self.store.published().ring();
            if let Some(relay) = self.relay {
                join(relay, "the relay");
            }
            self.store.close();
        };
        if let Err(error) = tokio::task::spawn_blocking(rest).await {
            tracing::error!(%error, "the drain broke; the next start recovers");
        }
        stop.admin.cancel();
        if let Some(listener) = self.admin_listener
            && let Err(error) = listener.await
        {
            tracing::error!(%error, "the admin listener broke");
        }
    }
}

fn join(thread: Thread<()>, what: &str) {
    if thread.join().is_err() {
        tracing::error!("{what} panicked");
    }
}

/// Chooses what a participant starts with, fits it into its surroundings, and takes its address.
fn prepare(
    config: &Config,
    store: &Store,
    transport: &dyn Transport,
    (loader, compiled_in): (Option<&Loader>, Option<Arc<dyn Build>>),
    name: &str,
    own: &ParticipantConfig,
) -> Result<Prepared, StartError> {
    let for_store = name.to_owned();
    let (row, last_key, active) = store
        .run(move |sql| {
            let (row, last_key) = registry::participant(sql, &for_store)?;
            Ok((row, last_key, history::active(sql, row)?))
        })
        .map_err(unwritable)?;
    let initial = match (compiled_in, loader) {
        (Some(build), _) => Initial { build, bytes: None },
        (None, Some(loader)) => {
            let reader = store.reader().map_err(anyhow::Error::from)?;
            let before = active.as_ref().map(|build| (row, build));
            let initial = initial::choose(loader, config, name, own, before, reader.connection());
            initial.map_err(|refused| StartError::Component(refused.to_string()))?
        }
        (None, None) => {
            let reason = format!("no rules of `{name}` are compiled in");
            return Err(StartError::Component(reason));
        }
    };
    let build = initial.build;
    let description = build.description().clone();
    let described = &description.name;
    if described != name {
        return Err(StartError::Component(format!(
            "component {}: describes the participant `{described}`, not `{name}`; use --plugin {described}=PATH",
            own.component.display()
        )));
    }
    let fitted = fit::fit(&description, own, store, transport).map_err(|error| match error {
        FitError::Settings(reason) => StartError::Config(reason),
        FitError::Store(fault) => unwritable(fault),
    })?;
    let generation = register(store, row, &build, own)?;
    if let (Some(loader), Some(bytes)) = (loader, initial.bytes) {
        let kept = loader.archive().keep(build.digest(), &bytes);
        kept.map_err(|reason| anyhow::anyhow!("the component can't be kept: {reason}"))?;
    }
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), description.endpoint.port);
    let address = own.listen.unwrap_or(loopback);
    let listener = server::bind(name, address).map_err(StartError::Listen)?;
    let base_path = own.base_path.clone();
    Ok(Prepared {
        name: name.to_owned(),
        own: own.clone(),
        row,
        last_key,
        is_active: active.is_some_and(|active| active.digest == build.digest()),
        active: Arc::new(Active {
            generation: Generation {
                id: generation,
                build,
            },
            topics: fitted.topics.clone(),
            dead_letters: fitted.dead_letters.clone(),
        }),
        fitted,
        listener,
        base_path: base_path.unwrap_or(description.endpoint.base_path),
    })
}

/// The row of a build that can read what is stored.
fn register(
    store: &Store,
    row: i64,
    build: &Arc<dyn Build>,
    own: &ParticipantConfig,
) -> Result<i64, StartError> {
    let for_store = build.clone();
    let (generation, outside) = store
        .run(move |sql| {
            let description = for_store.description();
            let state = &description.state;
            let outside =
                registry::state_versions_outside(sql, row, state.oldest_readable, state.version)?;
            let digest = for_store.digest();
            let id = registry::generation(sql, row, digest, description, now_ms())?;
            Ok((id, outside))
        })
        .map_err(unwritable)?;
    let Some((oldest, newest)) = outside else {
        return Ok(generation);
    };
    let description = build.description();
    Err(StartError::Component(format!(
        "component {}: reads states of version {} to {}, but the store holds states of {} of version \
         {oldest} to {newest}; use a build that reads them",
        own.component.display(),
        description.state.oldest_readable,
        description.state.version,
        description.name,
    )))
}

/// Makes what the participants start with active in the store, all of it or nothing.
fn activate(store: &Store, prepared: &[Prepared]) -> Result<(), StartError> {
    let new: Vec<_> = prepared
        .iter()
        .filter(|participant| !participant.is_active)
        .map(|participant| (participant.row, participant.active.generation.id))
        .collect();
    store
        .run(move |sql| {
            for (row, generation) in new {
                history::activate(sql, row, generation, Way::Start.word(), now_ms())?;
            }
            Ok(())
        })
        .map_err(unwritable)
}

/// Starts a participant's workers, serves it, and reads what it listens to. Gives its URL and its listener too.
fn start_participant(
    config: &Config,
    store: &Arc<Store>,
    transport: &dyn Transport,
    prepared: Prepared,
    stop: &Stop,
) -> Result<(String, Task<()>, Hosted), StartError> {
    let settings = ParticipantSettings {
        row: prepared.row,
        last_key: prepared.last_key,
        instances: config.instances,
        limits: config.turn,
        retry: config.retry,
    };
    let participant = Arc::new(Participant::start(
        settings,
        prepared.active.clone(),
        store.clone(),
    )?);
    let serving =
        Serving::new(prepared.active, &prepared.base_path).map_err(StartError::Component)?;
    let service = Arc::new(Service::new(
        participant.clone(),
        serving,
        config.http.body_bytes,
    ));
    let address = prepared
        .listener
        .local_addr()
        .context("the listener has no address")?;
    let url = format!("http://{address}{}", prepared.base_path);
    let listener = tokio::spawn(server::serve(
        prepared.listener,
        service.clone(),
        config.http.connections,
        stop.listening.clone(),
        Duration::from_secs(config.drain_seconds),
    ));
    let hosted = Hosted::new(
        prepared.own,
        prepared.row,
        participant,
        service,
        prepared.base_path,
    );
    hosted
        .read(&prepared.fitted.sources, transport, &stop.consuming)
        .map_err(|problems| anyhow::anyhow!(problems))?;
    Ok((url, listener, hosted))
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
    transport: Arc<dyn Transport>,
    stop: &Stop,
) -> Result<(String, Task<()>), StartError> {
    let address = listener
        .local_addr()
        .context("the admin listener has no address")?;
    let readiness = Readiness {
        trouble: Box::new(move || transport.trouble()),
        draining: stop.listening.clone(),
    };
    let settings = &config.admin;
    let admin = Admin::new(
        settings.token.as_ref().map(|token| token.reveal()),
        settings.component_bytes,
        reloader.clone(),
        readiness,
    );
    let listener = tokio::spawn(admin::serve(
        listener,
        Arc::new(admin),
        stop.admin.clone(),
        Duration::from_secs(config.drain_seconds),
    ));
    Ok((format!("http://{address}"), listener))
}

fn unwritable(fault: StoreFault) -> StartError {
    StartError::Other(anyhow::anyhow!("the store can't be written: {fault}"))
}
