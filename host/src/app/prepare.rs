//! Preparation of participants before the start: choose the generation, resolve its topics and
//! groups, bind the address. Once all participants are prepared, [`activate`] makes the generations
//! active.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use saga_contract::description::Description;
use saga_core::rules::Rules;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::StartError;
use super::process_limits::InstanceBudget;
use crate::base::clock::now_ms;
use crate::base::generation::{CompiledRules, Generation};
use crate::base::machine::Machine;
use crate::base::panics;
use crate::config::Config;
use crate::http::server;
use crate::http::service::Serving;
use crate::http::tls::{CertificateFiles, CertificateProblem, Tls};
use crate::rollout::flags;
use crate::rollout::initial::{self, InitialGeneration};
use crate::rollout::loader::Loader;
use crate::rollout::report::{Refused, Way};
use crate::rollout::settings::ParticipantSettings;
use crate::rollout::topics::{self, GenerationTopics, TopicsError};
use crate::rollout::usage;
use crate::store::{Activation, Index, NewGeneration, ReadStore, Store, StoreFault};
use crate::transport::Transport;
use crate::turn::Active;

/// A participant that is ready to start.
pub(super) struct PreparedParticipant {
    pub(super) name: String,
    pub(super) own: ParticipantSettings,
    pub(super) row: i64,
    pub(super) last_key: i64,
    pub(super) active: Arc<Active>,
    pub(super) instances: Vec<Box<dyn Rules + Send>>,
    pub(super) fitted: GenerationTopics,
    pub(super) serving: Serving,
    /// True if it is active in the store already.
    pub(super) is_active: bool,
    /// Digest of the configured file.
    pub(super) file: Option<String>,
    /// The rules that were active before, if the start replaces them.
    pub(super) replaced: Option<Arc<dyn CompiledRules>>,
    /// The change that it is, as the store keeps it.
    pub(super) change: Option<String>,
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) base_path: String,
}

/// The parts of the host that participants are prepared for.
pub(super) struct PrepareParts {
    pub(super) config: Config,
    pub(super) store: Arc<Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) machine: Machine,
}

/// Prepares all participants, with linked rules where there are some; returns the loader too.
///
/// This runs on a thread of its own: components are compiled, described and instantiated, which
/// takes time and runs their code, and must not block a thread of the runtime. A signal can
/// interrupt the caller's wait.
pub(super) async fn prepare_all(
    around: PrepareParts,
    loader: Option<Loader>,
    mut builds: Vec<Arc<dyn CompiledRules>>,
) -> Result<(Option<Loader>, Vec<PreparedParticipant>), StartError> {
    let (give, take) = oneshot::channel();
    let runtime = Handle::current();
    let work = move || {
        let PrepareParts {
            config,
            store,
            transport,
            machine,
        } = &around;
        let mut room = InstanceBudget::new(config, loader.as_ref(), machine);
        let mut prepared = Vec::new();
        for (name, own) in &config.participants {
            let compiled_in = (builds.iter())
                .position(|build| build.description().name == *name)
                .map(|place| builds.swap_remove(place));
            prepared.push(prepare(
                config,
                (&**store, transport.as_ref(), &mut room, &runtime),
                (loader.as_ref(), compiled_in),
                name,
                own,
            )?);
        }
        Ok((loader, prepared))
    };
    let thread = std::thread::Builder::new()
        .name("start".into())
        .stack_size(panics::STACK_BYTES);
    // If sending fails, the caller has gone.
    let started = thread.spawn(move || give.send(work()).is_ok());
    started.map_err(anyhow::Error::from)?;
    (take.await).unwrap_or_else(|error| Err(StartError::Other(error.into())))
}

/// Chooses the generation that a participant starts with, resolves its topics and groups, and binds
/// its address.
fn prepare(
    config: &Config,
    (store, transport, room, runtime): (&Store, &dyn Transport, &mut InstanceBudget<'_>, &Handle),
    (loader, compiled_in): (Option<&Loader>, Option<Arc<dyn CompiledRules>>),
    name: &str,
    own: &ParticipantSettings,
) -> Result<PreparedParticipant, StartError> {
    let (row, last_key) = store.register_participant(name).map_err(unwritable)?;
    let reader = store.reader().map_err(anyhow::Error::from)?;
    let active = reader.active(row).map_err(anyhow::Error::from)?;
    let initial = match (compiled_in, loader) {
        (Some(build), _) => compiled_in_generation(build),
        (None, Some(loader)) => {
            let before = active.as_ref().map(|active| (row, active));
            // Trusted time: a clock that leapt ahead must not put anything out of use.
            let present: (&dyn ReadStore, u64) = (&*reader, store.trusted_now());
            let initial = initial::choose(loader, &config.rollout(), name, own, before, present);
            initial.map_err(|refused| not_started(&refused, room.is_wanting(name)))?
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
    let security = config.http.auth.security();
    (security.check_metadata(&description)).map_err(StartError::Config)?;
    let instances = room.instances(name, &*build)?;
    let fitted =
        topics::resolve(&description, own, store, transport).map_err(|error| match error {
            TopicsError::Settings(reason) => StartError::Config(reason),
            TopicsError::Store(fault) => unwritable(fault),
        })?;
    let generation = register((store, &*reader), row, &*build, own)?;
    if let (Some(loader), Some(bytes)) = (loader, initial.bytes) {
        let kept = loader.archive().keep(build.component(), &bytes);
        kept.map_err(|reason| anyhow::anyhow!("the component can't be kept: {reason}"))?;
    }
    let listener = listener(runtime, own, &description)?;
    let tls = own.tls.as_ref().or(config.http.tls.as_ref());
    let tls = tls.map(read_certificate).transpose()?;
    let base_path = own.base_path.clone();
    let base_path = base_path.unwrap_or(description.endpoint.base_path);
    let is_active = active.is_some_and(|active| active.digest == build.digest());
    let active = Arc::new(Active {
        generation: Generation {
            id: generation,
            build,
        },
        topics: fitted.topics.clone(),
        dead_letters: fitted.dead_letters.clone(),
    });
    let configured = topics::configured(own, config.http.page_items, &security);
    let serving =
        Serving::new(active.clone(), &base_path, &configured).map_err(StartError::Component)?;
    Ok(PreparedParticipant {
        name: name.to_owned(),
        own: own.clone(),
        row,
        last_key,
        active,
        instances,
        serving,
        fitted,
        is_active,
        file: initial.file,
        replaced: initial.replaced,
        change: initial.change,
        listener,
        tls,
        base_path,
    })
}

fn compiled_in_generation(build: Arc<dyn CompiledRules>) -> InitialGeneration {
    InitialGeneration {
        build,
        bytes: None,
        file: None,
        replaced: None,
        change: None,
    }
}

/// Why a start was refused: the machine's shortage if there is one, otherwise what is wrong with the
/// component.
fn not_started(refused: &Refused, shortage: Option<String>) -> StartError {
    match shortage {
        Some(reason) => StartError::Machine(reason),
        None => {
            let way_out = flags::beside_a_start(&refused.allowed_by);
            StartError::Component(format!("{refused}{way_out}"))
        }
    }
}

/// Binds the configured address, or the described port on loopback.
fn listener(
    runtime: &Handle,
    own: &ParticipantSettings,
    description: &Description,
) -> Result<TcpListener, StartError> {
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), description.endpoint.port);
    let address = own.listen.unwrap_or(loopback);
    // A socket must be created within the runtime.
    let _entered = runtime.enter();
    server::bind(&description.name, address).map_err(StartError::Listen)
}

/// The files were valid when the settings were read; they may have changed since.
fn read_certificate(files: &CertificateFiles) -> Result<Arc<Tls>, StartError> {
    let problems = |wrong: Vec<CertificateProblem>| {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        StartError::Config(lines.join("\n"))
    };
    Tls::new(files).map(Arc::new).map_err(problems)
}

/// Registers rules in the store, unless they can't read what is stored; returns their row.
fn register(
    (store, reading): (&Store, &dyn ReadStore),
    row: i64,
    build: &dyn CompiledRules,
    own: &ParticipantSettings,
) -> Result<i64, StartError> {
    let description = build.description();
    let unreadable = usage::unreadable(reading, row, description);
    if let Some(reason) = unreadable.map_err(anyhow::Error::from)? {
        let component = own.component.display();
        return Err(StartError::Component(format!(
            "component {component}: {reason}"
        )));
    }
    let registered = store.register_generation(row, NewGeneration::of(build, now_ms()));
    registered.map_err(unwritable)
}

/// Makes the prepared generations active in the store and creates the indexes of their listings,
/// all or nothing.
pub(super) fn activate(store: &Store, prepared: &[PreparedParticipant]) -> Result<(), StartError> {
    let new: Vec<_> = prepared
        .iter()
        .filter(|participant| !participant.is_active)
        .map(|participant| Activation {
            participant: participant.row,
            generation: participant.active.generation.id,
            way: Way::Start.word(),
            now: now_ms(),
            change: participant.change.clone(),
            replaces: None,
            renamed: Vec::new(),
        })
        .collect();
    let indexes: Vec<_> = prepared
        .iter()
        .flat_map(|participant| Index::all_of(participant.row, participant.active.description()))
        .collect();
    store.activate(&new, &indexes).map_err(unwritable)
}

fn unwritable(fault: StoreFault) -> StartError {
    StartError::Other(anyhow::anyhow!("the store can't be written: {fault}"))
}
