//! What is done for a participant before it starts: its build is chosen and fitted into its surroundings, its address is
//! taken, and, when all participants are ready for it, the builds become active.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use saga_core::rules::Rules;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::StartError;
use super::room::Room;
use crate::base::clock::now_ms;
use crate::base::generation::{Build, Generation};
use crate::base::machine::Machine;
use crate::base::panics;
use crate::config::Config;
use crate::http::server;
use crate::http::service::Serving;
use crate::http::tls::{CertificateFiles, Tls, Wrong};
use crate::rollout::fit::{self, FitError, Fitted};
use crate::rollout::flags;
use crate::rollout::initial::{self, Initial};
use crate::rollout::loader::Loader;
use crate::rollout::report::Way;
use crate::rollout::settings::ParticipantSettings;
use crate::rollout::usage;
use crate::store::{Index, Store, StoreFault, history, index, registry};
use crate::transport::Transport;
use crate::turn::Active;

/// A participant with everything that is known before it starts.
pub(super) struct Prepared {
    pub(super) name: String,
    pub(super) own: ParticipantSettings,
    pub(super) row: i64,
    pub(super) last_key: i64,
    pub(super) active: Arc<Active>,
    pub(super) instances: Vec<Box<dyn Rules + Send>>,
    pub(super) fitted: Fitted,
    pub(super) serving: Serving,
    /// Whether it is active in the store already.
    pub(super) is_active: bool,
    /// The digest of its file.
    pub(super) file: Option<String>,
    /// What was active before, where the start replaces it.
    pub(super) replaced: Option<Arc<dyn Build>>,
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) base_path: String,
}

/// What participants are prepared for.
pub(super) struct Around {
    pub(super) config: Config,
    pub(super) store: Arc<Store>,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) machine: Machine,
}

/// Prepares all participants, those whose rules are compiled in with theirs; gives the loader back.
///
/// It is done on a thread of its own: components are compiled, described and instantiated, which takes time and runs their code,
/// and no thread of the runtime may wait for either. Who waits for this can be interrupted by a signal.
pub(super) async fn prepare_all(
    around: Around,
    loader: Option<Loader>,
    mut builds: Vec<Arc<dyn Build>>,
) -> Result<(Option<Loader>, Vec<Prepared>), StartError> {
    let (give, take) = oneshot::channel();
    let runtime = Handle::current();
    let work = move || {
        let Around {
            config,
            store,
            transport,
            machine,
        } = &around;
        let mut room = Room::new(config, loader.as_ref(), machine);
        let mut prepared = Vec::new();
        for (name, own) in &config.participants {
            let compiled_in = (builds.iter())
                .position(|build| build.description().name == *name)
                .map(|place| builds.swap_remove(place));
            prepared.push(prepare(
                config,
                (store, transport.as_ref(), &mut room, &runtime),
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
    // Whoever waited is gone where it can't be given.
    let started = thread.spawn(move || give.send(work()).is_ok());
    started.map_err(anyhow::Error::from)?;
    (take.await).unwrap_or_else(|error| Err(StartError::Other(error.into())))
}

/// Chooses what a participant starts with, fits it into its surroundings, and takes its address.
fn prepare(
    config: &Config,
    (store, transport, room, runtime): (&Store, &dyn Transport, &mut Room<'_>, &Handle),
    (loader, compiled_in): (Option<&Loader>, Option<Arc<dyn Build>>),
    name: &str,
    own: &ParticipantSettings,
) -> Result<Prepared, StartError> {
    let for_store = name.to_owned();
    let (row, last_key, active) = store
        .run(move |sql| {
            let (row, last_key) = registry::participant(sql, &for_store)?;
            Ok((row, last_key, history::active(sql, row)?))
        })
        .map_err(unwritable)?;
    let initial = match (compiled_in, loader) {
        (Some(build), _) => Initial {
            build,
            bytes: None,
            file: None,
            replaced: None,
        },
        (None, Some(loader)) => {
            let reader = store.reader().map_err(anyhow::Error::from)?;
            let before = active.as_ref().map(|build| (row, build));
            // What was used is not out of use by a clock that leapt.
            let present = (reader.connection(), store.trusted_now());
            let initial = initial::choose(loader, &config.rollout(), name, own, before, present);
            initial.map_err(|refused| match room.is_wanting(name) {
                Some(reason) => StartError::Machine(reason),
                None => {
                    let way_out = flags::beside_a_start(&refused.allowed_by);
                    StartError::Component(format!("{refused}{way_out}"))
                }
            })?
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
    let instances = room.instances(name, &*build)?;
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
    let listener = {
        // Sockets belong to the runtime.
        let _entered = runtime.enter();
        server::bind(name, address).map_err(StartError::Listen)?
    };
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
    let configured = fit::configured(own, config.http.page_items);
    let serving =
        Serving::new(active.clone(), &base_path, &configured).map_err(StartError::Component)?;
    Ok(Prepared {
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
        listener,
        tls,
        base_path,
    })
}

/// The files were right when the settings were read; they may be others by now.
fn read_certificate(files: &CertificateFiles) -> Result<Arc<Tls>, StartError> {
    let problems = |wrong: Vec<Wrong>| {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        StartError::Config(lines.join("\n"))
    };
    Tls::new(files).map(Arc::new).map_err(problems)
}

/// The row of a build that can read what is stored.
fn register(
    store: &Store,
    row: i64,
    build: &Arc<dyn Build>,
    own: &ParticipantSettings,
) -> Result<i64, StartError> {
    let for_store = build.clone();
    let (generation, unreadable) = store
        .run(move |sql| {
            let description = for_store.description();
            let unreadable = usage::unreadable(sql, row, description)?;
            let digest = for_store.digest();
            let id = registry::generation(sql, row, digest, description, now_ms())?;
            Ok((id, unreadable))
        })
        .map_err(unwritable)?;
    match unreadable {
        None => Ok(generation),
        Some(reason) => Err(StartError::Component(format!(
            "component {}: {reason}",
            own.component.display()
        ))),
    }
}

/// Makes what the participants start with active in the store, with the indexes of its listings, all of it or nothing.
pub(super) fn activate(store: &Store, prepared: &[Prepared]) -> Result<(), StartError> {
    let new: Vec<_> = prepared
        .iter()
        .filter(|participant| !participant.is_active)
        .map(|participant| (participant.row, participant.active.generation.id))
        .collect();
    let indexes: Vec<_> = prepared
        .iter()
        .flat_map(|participant| Index::all_of(participant.row, participant.active.description()))
        .collect();
    store
        .run(move |sql| {
            index::create(sql, &indexes)?;
            for (row, generation) in new {
                history::activate(sql, row, generation, Way::Start.word(), now_ms())?;
            }
            Ok(())
        })
        .map_err(unwritable)
}

fn unwritable(fault: StoreFault) -> StartError {
    StartError::Other(anyhow::anyhow!("the store can't be written: {fault}"))
}
