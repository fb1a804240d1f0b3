//! The only wiring: what is started in which order, and how it drains.
//!
//! Start: store → components → transport → participants → listeners → consumers and timers. Drain: stop
//! listening → stop consumers and timers → workers finish → relay → close the store. Each step of the
//! drain needs what comes after it.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::Duration;

use anyhow::Context as _;
use saga_core::description::Description;
use tokio::task::JoinHandle as Task;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::config::{Config, ParticipantConfig};
use crate::generation::{Build, Generation};
use crate::http::server;
use crate::http::service::Service;
use crate::pipeline::participant::Lane;
use crate::pipeline::{Participant, ParticipantSettings, timers};
use crate::plugin::compile::CodeCache;
use crate::plugin::{Component, Runtime};
use crate::store::{OpenError, OutboxReaders, Store, StoreFile, registry};
use crate::transport::embedded::EmbeddedLog;
use crate::transport::kafka::Kafka;
use crate::transport::{Source, Transport};

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

/// Loads the components of all participants.
///
/// # Errors
/// The first component that is refused.
pub fn load_components(config: &Config) -> Result<Vec<Arc<dyn Build>>, StartError> {
    let runtime = Runtime::new(config.guest)
        .map_err(|error| anyhow::anyhow!("wasmtime does not start: {error:#}"))?;
    let cache = CodeCache::new(config.data_dir.join("code"));
    let mut builds: Vec<Arc<dyn Build>> = Vec::new();
    for (name, participant) in &config.participants {
        let component = Component::load(&runtime, &cache, &participant.component)
            .map_err(|error| StartError::Component(error.to_string()))?;
        let described = &component.description().name;
        if described != name {
            return Err(StartError::Component(format!(
                "component {}: describes the participant `{described}`, not `{name}`; use --plugin {described}=PATH",
                participant.component.display()
            )));
        }
        builds.push(Arc::new(component));
    }
    Ok(builds)
}

/// A host that runs.
pub struct Running {
    /// Name and base URL of every participant.
    pub listening: Vec<(String, String)>,
    store: Arc<Store>,
    participants: Vec<Arc<Participant>>,
    listeners: Vec<Task<()>>,
    consumers: Vec<Thread<()>>,
    relay: Option<Thread<()>>,
    stop_listening: CancellationToken,
    stop_consuming: CancellationToken,
    stop_publishing: CancellationToken,
}

/// A participant with everything that is known before it starts.
struct Prepared {
    settings: ParticipantSettings,
    generation: Generation,
    sources: Vec<Arc<Source>>,
    config: ParticipantConfig,
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
    builds: Vec<Arc<dyn Build>>,
) -> Result<Running, StartError> {
    let transport: Arc<dyn Transport> = match &config.kafka {
        None => Arc::new(EmbeddedLog::new(store.clone(), config.embedded.partitions)),
        Some(settings) => Arc::new(Kafka::new(store.clone(), settings.clone())?),
    };
    let mut prepared = Vec::new();
    for build in builds {
        prepared.push(prepare(config, &store, transport.as_ref(), build)?);
    }
    check_together(&prepared)?;
    let published = published_topics(&prepared, &store)?;

    let mut running = Running {
        listening: Vec::new(),
        store: store.clone(),
        participants: Vec::new(),
        listeners: Vec::new(),
        consumers: Vec::new(),
        relay: None,
        stop_listening: CancellationToken::new(),
        stop_consuming: CancellationToken::new(),
        stop_publishing: CancellationToken::new(),
    };
    let mut sources = Vec::new();
    for participant in prepared {
        let own_sources = participant.sources.clone();
        let started = running.start_participant(config, participant).await?;
        sources.extend(
            own_sources
                .into_iter()
                .map(|source| (source, started.clone())),
        );
    }
    running.relay = transport.publish(published, running.stop_publishing.clone())?;
    for (source, participant) in sources {
        running.consumers.push(transport.consume(
            source,
            participant,
            running.stop_consuming.clone(),
        )?);
    }
    for participant in &running.participants {
        running.consumers.push(timers::start(
            participant.clone(),
            &store,
            running.stop_consuming.clone(),
        )?);
    }
    Ok(running)
}

impl Running {
    async fn start_participant(
        &mut self,
        config: &Config,
        prepared: Prepared,
    ) -> Result<Arc<Participant>, StartError> {
        let description = prepared.generation.description().clone();
        let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), description.endpoint.port);
        let address = prepared.config.listen.unwrap_or(loopback);
        let listener = server::bind(&description.name, address).map_err(StartError::Listen)?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let base_path = prepared
            .config
            .base_path
            .unwrap_or(description.endpoint.base_path);
        let participant = Arc::new(Participant::start(
            prepared.settings,
            prepared.generation,
            self.store.clone(),
        )?);
        let service = Service::new(participant.clone(), &base_path, config.http.body_bytes)
            .map_err(StartError::Component)?;
        self.listeners.push(tokio::spawn(server::serve(
            listener,
            Arc::new(service),
            config.http.connections,
            self.stop_listening.clone(),
            Duration::from_secs(config.drain_seconds),
        )));
        self.listening
            .push((description.name, format!("http://{address}{base_path}")));
        self.participants.push(participant.clone());
        Ok(participant)
    }

    /// Finishes the work under way and closes the store.
    pub async fn drain(self) {
        self.stop_listening.cancel();
        for listener in self.listeners {
            if let Err(error) = listener.await {
                tracing::error!(%error, "a listener broke");
            }
        }
        self.stop_consuming.cancel();
        self.store.published().ring();
        self.store.timers().ring();
        let rest = move || {
            for thread in self.consumers {
                join(thread, "a consumer");
            }
            for participant in self.participants {
                participant.finish();
            }
            self.store.settle_up();
            self.stop_publishing.cancel();
            self.store.published().ring();
            if let Some(relay) = self.relay {
                join(relay, "the relay");
            }
            self.store.close();
        };
        if let Err(error) = tokio::task::spawn_blocking(rest).await {
            tracing::error!(%error, "the drain broke; the next start recovers");
        }
    }
}

fn join(thread: Thread<()>, what: &str) {
    if thread.join().is_err() {
        tracing::error!("{what} panicked");
    }
}

/// Registers a participant in the store and maps its topics and groups.
fn prepare(
    config: &Config,
    store: &Store,
    transport: &dyn Transport,
    build: Arc<dyn Build>,
) -> Result<Prepared, StartError> {
    let description = build.description().clone();
    let own = config
        .participants
        .get(&description.name)
        .cloned()
        .ok_or_else(|| {
            StartError::Config(format!("participants.{}: is missing", description.name))
        })?;
    check_names(&description, &own)?;
    let name = description.name.clone();
    let digest = build.digest().to_owned();
    let for_store = description.clone();
    let (row, last_key, generation, outside) = store
        .run(move |sql| {
            let (row, last_key) = registry::participant(sql, &for_store.name)?;
            let state = &for_store.state;
            let outside =
                registry::state_versions_outside(sql, row, state.oldest_readable, state.version)?;
            let generation = registry::generation(sql, row, &digest, &for_store, now_ms())?;
            Ok((row, last_key, generation, outside))
        })
        .map_err(|fault| anyhow::anyhow!("the store can't be written: {fault}"))?;
    if let Some((oldest, newest)) = outside {
        return Err(StartError::Component(format!(
            "component {}: reads states of version {} to {}, but the store holds states of {name} of version \
             {oldest} to {newest}; use a build that reads them",
            own.component.display(),
            description.state.oldest_readable,
            description.state.version
        )));
    }
    let topic_row = |topic: String| -> Result<i64, StartError> {
        let row = store.run(move |sql| registry::topic(sql, &topic));
        Ok(row.map_err(|fault| anyhow::anyhow!("the store can't be written: {fault}"))?)
    };
    let lane = |topic: String| -> Result<Lane, StartError> {
        Ok(Lane {
            partitions: transport.partitions(&topic),
            topic: topic_row(topic)?,
        })
    };
    let mapped = |declared: &String| own.topics.get(declared).unwrap_or(declared).clone();

    let mut topics = HashMap::new();
    for publication in &description.publications {
        topics.insert(publication.topic.clone(), lane(mapped(&publication.topic))?);
    }
    let mut sources: Vec<Arc<Source>> = Vec::new();
    let mut dead_letters = HashMap::new();
    for subscription in &description.subscriptions {
        let topic: Arc<str> = mapped(&subscription.topic).into();
        if sources.iter().any(|source| source.topic == topic) {
            continue;
        }
        let group = own
            .groups
            .get(&subscription.group)
            .unwrap_or(&subscription.group)
            .clone();
        dead_letters.insert(topic.clone(), lane(format!("{topic}.{group}.dlq"))?);
        sources.push(Arc::new(Source {
            consumer: format!("{}:{name}/{group}", transport.offset_namespace()).into(),
            group: group.into(),
            topic_row: topic_row(topic.to_string())?,
            topic,
            declared_topic: subscription.topic.as_str().into(),
        }));
    }
    let settings = ParticipantSettings {
        row,
        last_key,
        instances: config.instances,
        limits: config.turn,
        retry: config.retry,
        topics,
        dead_letters,
    };
    Ok(Prepared {
        settings,
        generation: Generation {
            id: generation,
            build,
        },
        sources,
        config: own,
    })
}

/// Finds names in the settings that the component does not know, and two of its topics under one name.
fn check_names(description: &Description, own: &ParticipantConfig) -> Result<(), StartError> {
    let subscribed = description.subscriptions.iter();
    let topics: BTreeSet<&str> = (subscribed
        .clone()
        .map(|subscription| subscription.topic.as_str()))
    .chain(
        description
            .publications
            .iter()
            .map(|publication| publication.topic.as_str()),
    )
    .collect();
    let groups: BTreeSet<&str> = subscribed
        .map(|subscription| subscription.group.as_str())
        .collect();
    for (table, given, known) in [
        ("topics", &own.topics, &topics),
        ("groups", &own.groups, &groups),
    ] {
        if let Some(unknown) = given.keys().find(|name| !known.contains(name.as_str())) {
            let known = known.iter().copied().collect::<Vec<_>>().join(", ");
            return Err(StartError::Config(format!(
                "participants.{}.{table}.{unknown}: the component has no such name; its {table} are: {known}",
                description.name
            )));
        }
    }
    let mut mapped: HashMap<&str, &str> = HashMap::new();
    for topic in topics {
        let name = own.topics.get(topic).map_or(topic, String::as_str);
        if let Some(other) = mapped.insert(name, topic) {
            return Err(StartError::Config(format!(
                "participants.{}.topics: {other} and {topic} would both be {name}; give them different names",
                description.name
            )));
        }
    }
    Ok(())
}

/// Finds what fits for each participant by itself but not for all together.
fn check_together(prepared: &[Prepared]) -> Result<(), StartError> {
    let mut seen: HashMap<(Arc<str>, Arc<str>), String> = HashMap::new();
    for participant in prepared {
        let name = participant.generation.description().name.clone();
        for source in &participant.sources {
            if let Some(other) =
                seen.insert((source.topic.clone(), source.group.clone()), name.clone())
            {
                return Err(StartError::Config(format!(
                    "participants.{name}.groups: {name} and {other} would share the group {} on topic {}; \
                     each would get only a part of the records; give one of them another group",
                    source.group, source.topic
                )));
            }
        }
    }
    Ok(())
}

/// The topics that are published, dead letters included, with their names and rows.
fn published_topics(
    prepared: &[Prepared],
    store: &Store,
) -> Result<Vec<(Arc<str>, i64)>, StartError> {
    let rows: BTreeSet<i64> = prepared
        .iter()
        .flat_map(|participant| {
            participant
                .settings
                .topics
                .values()
                .chain(participant.settings.dead_letters.values())
        })
        .map(|lane| lane.topic)
        .collect();
    let names = store
        .run(move |sql| {
            rows.into_iter()
                .map(|row| {
                    let name: String =
                        sql.query_row("SELECT name FROM topics WHERE id = ?1", [row], |r| {
                            r.get(0)
                        })?;
                    Ok((name.into(), row))
                })
                .collect()
        })
        .map_err(|fault| anyhow::anyhow!("the store can't be read: {fault}"))?;
    Ok(names)
}
